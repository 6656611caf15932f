//! What the configuration of a training that came over HTTP may name: files of the folder that the server was started in, and
//! those of the data folder that are there for trainings.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

/// Folders of the data folder that trainings read; its other files hold secrets and other people's texts.
const OF_DATA: [&str; 3] = ["datasets", "releases", "trainings"];
/// Keys whose values are paths, one or several.
const PATHS: [&str; 8] = [
    "adapter_name_or_path",
    "dataset_dir",
    "rag_documents",
    "invent_from",
    "chat_template",
    "quantization_cache_dir",
    "resume_from_checkpoint",
    "model_name_or_path",
];
/// Keys whose values are data sets, one or several.
const DATASETS: [&str; 2] = ["dataset", "eval_dataset"];

/// Where paths may lie.
#[derive(Clone, Debug)]
pub struct Roots {
    base: PathBuf,
    data: PathBuf,
}

impl Roots {
    /// Paths are seen from `base`; `data` is the data folder.
    pub fn new(base: &Path, data: &Path) -> Self {
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { base: whole(base), data: whole(data) }
    }

    /// The folder that paths are seen from.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The folders, for a person.
    pub fn folders(&self) -> Vec<PathBuf> {
        let of_data = OF_DATA.iter().map(|name| self.data.join(name));
        self.is_bounded().then(|| self.base.clone()).into_iter().chain(of_data).collect()
    }

    /// Whether the base is a folder of its own. A service manager starts programs in `/` unless it is told otherwise, and
    /// nobody means by that that trainings may read the whole machine.
    pub fn is_bounded(&self) -> bool {
        self.base.parent().is_some()
    }

    /// Refuses `path` of the key `key` where it lies elsewhere, links followed.
    ///
    /// # Errors
    /// In words, with what may be named instead.
    pub fn check(&self, key: &str, path: &Path) -> Result<(), String> {
        let named = path.display();
        let refuse = || {
            let folders: Vec<String> =
                self.folders().iter().map(|folder| folder.display().to_string()).collect();
            Err(format!(
                "{key} names {named}, which a training over HTTP may not read; name something in {}, nothing hidden and no YAML",
                folders.join(", ")
            ))
        };
        if path.starts_with("~") {
            return refuse();
        }
        let Some(whole) = resolved(&self.base.join(path)) else { return refuse() };
        if let Ok(inner) = whole.strip_prefix(&self.data) {
            let first = inner.components().next().and_then(|first| first.as_os_str().to_str());
            return if first.is_some_and(|first| OF_DATA.contains(&first)) { Ok(()) } else { refuse() };
        }
        match whole.strip_prefix(&self.base) {
            // Settings hold secrets, and what a training reads is shown as examples.
            Ok(inner) if self.is_bounded() && !hidden(inner) && !is_yaml(inner) => Ok(()),
            _ => refuse(),
        }
    }

    /// Refuses a configuration with a path elsewhere; says which key it is.
    ///
    /// # Errors
    /// The key, and why in words.
    pub fn check_all(&self, keys: &Map<String, Value>) -> Result<(), (&'static str, String)> {
        for key in PATHS {
            for value in words(keys.get(key)) {
                // A name on the hub, or of the model that comes with the program, is no path here, nor is `true`.
                let is_word = !is_path(&value) && !self.base.join(&value).exists();
                if !is_word || !["model_name_or_path", "resume_from_checkpoint"].contains(&key) {
                    self.check(key, Path::new(&value)).map_err(|message| (key, message))?;
                }
            }
        }
        let folder = words(keys.get("dataset_dir")).into_iter().next().unwrap_or_else(|| "data".into());
        for key in DATASETS {
            for value in words(keys.get(key)) {
                // It is looked for in both places; a plain name that is in neither is told as such, not as one that is refused.
                for path in [Path::new(&folder).join(&value), PathBuf::from(&value)] {
                    if is_path(&value) || self.base.join(&path).exists() {
                        self.check(key, &path).map_err(|message| (key, message))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The path with links followed as far as it exists; `None` where what does not exist goes up again.
fn resolved(path: &Path) -> Option<PathBuf> {
    let (mut there, mut rest) = (path.to_owned(), Vec::new());
    let mut whole = loop {
        match there.canonicalize() {
            Ok(whole) => break whole,
            Err(_) => {
                let last = there.components().next_back()?;
                let Component::Normal(name) = last else { return None };
                rest.push(name.to_owned());
                there.pop();
            }
        }
    };
    whole.extend(rest.iter().rev());
    Some(whole)
}

fn hidden(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| ["yaml", "yml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml)))
}

/// Whether a name is written as a path.
fn is_path(name: &str) -> bool {
    name.starts_with(['/', '.', '~']) || Path::new(name).components().any(|part| part == Component::ParentDir)
}

/// The texts of a value: itself, its items, or what commas part.
fn words(value: Option<&Value>) -> Vec<String> {
    let parted = |text: &str| -> Vec<String> {
        text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    match value {
        Some(Value::String(text)) => {
            // As a whole too: a file's name may have a comma.
            let mut all = parted(text);
            if all.len() > 1 {
                all.push(text.trim().to_owned());
            }
            all
        }
        Some(Value::Array(items)) => items.iter().flat_map(|item| words(Some(item))).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_stay_where_trainings_may_read() {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().join("srv");
        let data = base.join("data");
        for folder in ["docs", ".ssh", "data/datasets", "data/originals", "data/releases"] {
            std::fs::create_dir_all(base.join(folder)).unwrap();
        }
        std::fs::write(place.path().join("secret"), "").unwrap();
        std::os::unix::fs::symlink(place.path().join("secret"), base.join("docs/link")).unwrap();
        std::fs::write(base.join("lore.yaml"), "").unwrap();
        std::os::unix::fs::symlink(base.join("lore.yaml"), base.join("docs/template.jinja")).unwrap();
        let roots = Roots::new(&base, &data);
        let allowed = |path: &str| roots.check("dataset", Path::new(path)).is_ok();
        for path in
            ["docs", "docs/new/file.jsonl", "./docs/../docs", "data/datasets/a.jsonl", "data/releases/ab"]
        {
            assert!(allowed(path), "{path}");
        }
        for path in [
            "/etc/passwd",
            "../secret",
            "docs/link",
            "lore.yaml",
            "docs/lore.YML",
            "docs/template.jinja",
            "docs/none/../../../secret",
            ".ssh/id",
            "~/x",
            "data/catalog.db",
            "data/originals/x",
            "data",
        ] {
            assert!(!allowed(path), "{path}");
        }
        assert!(allowed(&base.join("docs").display().to_string()));
        let told = roots.check("rag_documents", Path::new("/etc")).unwrap_err();
        assert!(
            told.starts_with("rag_documents names /etc, which a training over HTTP may not read"),
            "{told}"
        );
    }

    #[test]
    fn a_server_that_was_started_in_the_root_opens_its_data_folder_alone() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().canonicalize().unwrap();
        let roots = Roots::new(Path::new("/"), &data);
        assert!(roots.check("dataset", Path::new("/etc/passwd")).is_err());
        assert!(roots.check("dataset", Path::new("etc")).is_err());
        assert!(roots.check("dataset", &data.join("datasets/a.jsonl")).is_ok());
        assert_eq!(roots.folders(), OF_DATA.map(|name| data.join(name)));
    }

    #[test]
    fn every_key_with_a_path_is_looked_at() {
        let place = tempfile::tempdir().unwrap();
        let roots = Roots::new(place.path(), &place.path().join("data"));
        let refused = |keys: Value| roots.check_all(keys.as_object().unwrap()).err().map(|(key, _)| key);
        for key in PATHS.into_iter().chain(DATASETS) {
            assert_eq!(refused(json!({key: "/etc/passwd"})), Some(key));
            assert_eq!(refused(json!({key: ["a", "../x"]})), Some(key), "{key}");
        }
        assert_eq!(refused(json!({"dataset": "a.jsonl, /etc/passwd"})), Some("dataset"));
        assert_eq!(refused(json!({"dataset": "x/../../y"})), Some("dataset"));
        assert_eq!(refused(json!({"dataset": "passwd", "dataset_dir": "/etc"})), Some("dataset_dir"));
        let fine = json!({
            "model_name_or_path": "Qwen/Qwen3-0.6B", "dataset": "a.jsonl,b.jsonl", "resume_from_checkpoint": true,
            "output_dir": "/anywhere"
        });
        assert_eq!(refused(fine), None);
        std::fs::create_dir(place.path().join("data")).unwrap();
        std::fs::write(place.path().join("data/secret.jsonl"), "").unwrap();
        assert_eq!(
            refused(json!({"dataset": "secret.jsonl"})),
            Some("dataset"),
            "it would be found in the folder data"
        );
        assert_eq!(refused(json!({"resume_from_checkpoint": "true"})), None);
        assert_eq!(refused(json!({"resume_from_checkpoint": "data"})), Some("resume_from_checkpoint"));
    }
}
