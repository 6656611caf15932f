//! What can be chosen for a training: models, data sets, settings, configurations to begin with.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use lore_index::{Catalog, ReleaseState};
use lore_inference::release::ReleaseStore;
use lore_server::trainings::{BaseChoice, DatasetChoice, PresetChoice, TrainingChoices};
use serde_json::{Value, json};

use super::{Roots, feedback, parameters};
use crate::examples::HELD_OUT;
use crate::settings::{GeneratorConfig, Settings};

/// How deep files are looked for below the folder that the server was started in.
const DEPTH: usize = 4;
/// Most entries that are looked at.
const ENTRIES: usize = 20_000;
/// Most models and data sets that are told.
const TOLD: usize = 200;
/// Folders in which nobody keeps what is learned from.
const SKIPPED: [&str; 4] = ["target", "node_modules", "saves", "__pycache__"];
/// Largest file whose lines are counted, in bytes.
const COUNTED: u64 = 64 << 20;
/// Longest first line that is looked at, in bytes.
const LINE: u64 = 1 << 20;

/// The files of configs/train.
const PRESETS: [(&str, &str); 9] = [
    ("lora-nano", include_str!("../../../../configs/train/lora-nano.yaml")),
    ("lora-sft", include_str!("../../../../configs/train/lora-sft.yaml")),
    ("qlora-sft", include_str!("../../../../configs/train/qlora-sft.yaml")),
    ("adapter-sft", include_str!("../../../../configs/train/adapter-sft.yaml")),
    ("freeze-sft", include_str!("../../../../configs/train/freeze-sft.yaml")),
    ("full-sft", include_str!("../../../../configs/train/full-sft.yaml")),
    ("pretrain", include_str!("../../../../configs/train/pretrain.yaml")),
    ("pretrain-nano-text", include_str!("../../../../configs/train/pretrain-nano-text.yaml")),
    ("pretrain-nano", include_str!("../../../../configs/train/pretrain-nano.yaml")),
];

/// All of it.
///
/// # Errors
/// Fails where the catalog does.
pub fn choices(settings: &Settings, catalog: &Catalog, roots: &Roots) -> anyhow::Result<TrainingChoices> {
    let pairs = feedback::renew(&settings.data_dir, catalog)?;
    let mut walk =
        Walk { base: roots.base().to_owned(), left: ENTRIES, models: Vec::new(), files: Vec::new() };
    if roots.is_bounded() {
        walk.folder(&PathBuf::new(), DEPTH);
    }
    walk.models.sort();
    walk.files.sort();
    let mut datasets: Vec<DatasetChoice> = Vec::new();
    if pairs > 0 {
        datasets.push(DatasetChoice {
            value: feedback::path(&settings.data_dir).display().to_string(),
            format: "questions".into(),
            rows: pairs,
            kind: "feedback".into(),
            documents: None,
            held_out: false,
        });
    }
    datasets.extend(walk.files.iter().filter_map(|file| dataset(roots.base(), file)).take(TOLD));
    datasets.extend(of_data(settings));
    Ok(TrainingChoices {
        bases: bases(settings, catalog, &walk.models)?,
        datasets,
        parameters: parameters::parameters(),
        presets: PRESETS
            .iter()
            .map(|(name, config)| PresetChoice { name: (*name).into(), config: (*config).into() })
            .collect(),
        folders: roots.folders().iter().map(|folder| folder.display().to_string()).collect(),
        documents: catalog.counts()?.0,
        start_with: format!("lore trainer {}", settings.flags().join(" ")),
        starts_itself: settings.config.trainer.start,
    })
}

fn bases(settings: &Settings, catalog: &Catalog, folders: &[PathBuf]) -> anyhow::Result<Vec<BaseChoice>> {
    let base = |value: String, kind: &str, label: String| BaseChoice { value, kind: kind.into(), label };
    let mut out = vec![base(lore_nano::NAME.into(), "built_in", lore_nano::NAME.into())];
    if let Some(name) = settings.config.generator.configured().map(GeneratorConfig::name)
        && name != lore_nano::NAME
    {
        out.push(base(name.clone(), "configured", name));
    }
    let store = ReleaseStore::of(&settings.data_dir);
    for release in catalog.releases()? {
        let usable = release.removed_at.is_none() && release.state != ReleaseState::Failed;
        // A model beside which an adapter is computed is taught by going on with that adapter.
        if usable && store.adapter(&release.id).is_none() {
            let path = store.model(&release.id).display().to_string();
            out.push(base(path, "release", release.label()));
        }
    }
    let named = |folder: &PathBuf| base(folder.display().to_string(), "folder", folder.display().to_string());
    out.extend(folders.iter().take(TOLD).map(named));
    Ok(out)
}

/// Data sets that lie in the data folder.
fn of_data(settings: &Settings) -> Vec<DatasetChoice> {
    let folder = settings.data_dir.join(feedback::FOLDER);
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| *path != feedback::path(&settings.data_dir));
    let mut files: Vec<PathBuf> = files.filter(|path| is_data(path)).take(TOLD).collect();
    files.sort();
    files.iter().filter_map(|path| dataset(Path::new("/"), path)).collect()
}

/// Looks for folders of models and files of examples.
struct Walk {
    base: PathBuf,
    left: usize,
    models: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Walk {
    /// `folder` is seen from the base.
    fn folder(&mut self, folder: &Path, depth: usize) {
        let entries = fs::read_dir(self.base.join(folder)).into_iter().flatten().flatten();
        for entry in entries {
            let Some(left) = self.left.checked_sub(1) else { return };
            self.left = left;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            // Links are not followed, so that this ends.
            let Ok(kind) = entry.file_type() else { continue };
            if name.starts_with('.') || SKIPPED.contains(&name) {
                continue;
            }
            let path = folder.join(name);
            if kind.is_dir() && depth > 0 {
                let whole = self.base.join(&path);
                if whole.join("config.json").is_file() && whole.join("tokenizer.json").is_file() {
                    // Embedders and the like cannot be taught.
                    if lore_train::model_shape(&whole).is_ok() {
                        self.models.push(path);
                    }
                } else {
                    self.folder(&path, depth - 1);
                }
            } else if kind.is_file() && is_data(&path) {
                self.files.push(path);
            }
        }
    }
}

fn is_data(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// The data set in `file`, seen from `base`; `None` where its first line is none.
fn dataset(base: &Path, file: &Path) -> Option<DatasetChoice> {
    let whole = base.join(file);
    let mut first = String::new();
    let opened = fs::File::open(&whole).ok()?;
    BufReader::new(opened.take(LINE)).read_line(&mut first).ok()?;
    let line: Value = serde_json::from_str(&first).ok()?;
    let has = |key: &&str| line.get(*key).is_some_and(|value| !value.is_null());
    let format = if ["question", "answer", "sources"].iter().all(has) {
        json!("questions")
    } else {
        json!(lore_train::data::format_of(&line)?)
    };
    let format = format.as_str()?;
    let parent = whole.parent()?;
    let documents = (format == "questions" && parent.ends_with("questions"))
        .then(|| file.parent().and_then(Path::parent))
        .flatten()
        .filter(|folder| !folder.as_os_str().is_empty());
    Some(DatasetChoice {
        value: file.display().to_string(),
        format: format.into(),
        rows: rows(&whole).unwrap_or(0),
        kind: "file".into(),
        documents: documents.map(|folder| folder.display().to_string()),
        held_out: format == "questions" && whole.file_name().is_some_and(|name| name == HELD_OUT),
    })
}

/// Lines of a file; those of a large one are guessed from its first part.
fn rows(path: &Path) -> Option<u64> {
    let size = fs::metadata(path).ok()?.len();
    let mut file = fs::File::open(path).ok()?.take(COUNTED);
    let (mut lines, mut read, mut last, mut piece) = (0u64, 0u64, b'\n', vec![0; 1 << 16]);
    loop {
        let count = file.read(&mut piece).ok()?;
        let Some(end) = piece.get(..count).and_then(|piece| piece.last()) else { break };
        lines += piece[..count].iter().filter(|byte| **byte == b'\n').count() as u64;
        (read, last) = (read + count as u64, *end);
    }
    lines += u64::from(last != b'\n');
    Some(if size > read && read > 0 { (lines as f64 * size as f64 / read as f64) as u64 } else { lines })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn data_sets_and_models_are_found() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let question = r#"{"id":"a","question":"q","answer":"x","sources":[]}"#;
        write("house/questions/train.jsonl", &format!("{question}\n{question}"));
        write("house/questions/test.jsonl", question);
        write("sums.jsonl", "{\"instruction\":\"1\",\"output\":\"2\"}\n");
        write("turns.jsonl", "{\"conversations\":[{\"role\":\"user\",\"content\":\"a\"}]}\n");
        write("other.jsonl", "{\"x\":1}\n");
        write(".hidden/a.jsonl", question);
        let shape = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,"intermediate_size":128,
            "num_hidden_layers":1,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":264,"rms_norm_eps":1e-5,
            "max_position_embeddings":512,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":true}"#;
        for (folder, config) in [("m", shape), ("embedder", "{}")] {
            write(&format!("{folder}/config.json"), config);
            write(&format!("{folder}/tokenizer.json"), "{}");
        }
        let mut walk =
            Walk { base: place.path().to_owned(), left: 100, models: Vec::new(), files: Vec::new() };
        walk.folder(&PathBuf::new(), DEPTH);
        walk.files.sort();
        assert_eq!(walk.models, [PathBuf::from("m")]);
        let found: Vec<DatasetChoice> =
            walk.files.iter().filter_map(|file| dataset(place.path(), file)).collect();
        let told: Vec<_> =
            found.iter().map(|d| (d.value.as_str(), d.format.as_str(), d.rows, d.held_out)).collect();
        assert_eq!(
            told,
            [
                ("house/questions/test.jsonl", "questions", 1, true),
                ("house/questions/train.jsonl", "questions", 2, false),
                ("sums.jsonl", "alpaca", 1, false),
                ("turns.jsonl", "messages", 1, false),
            ]
        );
        assert_eq!(found[1].documents.as_deref(), Some("house"));
    }

    #[test]
    fn configurations_to_begin_with_are_those_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/train");
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut known: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
