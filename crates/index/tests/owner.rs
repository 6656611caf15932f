//! The owner's lock.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use lore_index::{IndexError, Owner};

#[test]
fn one_owner_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert_eq!(Owner::current(&data).unwrap(), None);
    let owner = Owner::take(&data, "lore serve").unwrap();
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "the data folder is for its user alone");
    let info = Owner::current(&data).unwrap().unwrap();
    assert_eq!((info.pid, info.command.as_str(), info.url), (std::process::id(), "lore serve", None));
    let error = Owner::take(&data, "lore ingest").unwrap_err();
    assert!(matches!(error, IndexError::Locked { .. }));
    let message = error.to_string();
    assert!(
        message.contains("`lore serve`") && message.contains(&std::process::id().to_string()),
        "{message}"
    );

    owner.publish("http://127.0.0.1:8787", "token").unwrap();
    let info = Owner::current(&data).unwrap().unwrap();
    assert_eq!((info.url.as_deref(), info.token.as_deref()), (Some("http://127.0.0.1:8787"), Some("token")));
    let mode = std::fs::metadata(data.join("owner.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(Owner::take(&data, "x").unwrap_err().to_string().contains("http://127.0.0.1:8787"));

    drop(owner);
    assert_eq!(Owner::current(&data).unwrap(), None);
    drop(Owner::take(&data, "lore ingest").unwrap());
}

#[test]
fn a_dead_owner_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let left_behind = r#"{"pid":1,"command":"lore serve","url":"http://127.0.0.1:1","token":"t"}"#;
    std::fs::write(folder.path().join("owner.json"), left_behind).unwrap();
    std::fs::write(folder.path().join("owner.lock"), "").unwrap();
    assert_eq!(Owner::current(folder.path()).unwrap(), None);
    let owner = Owner::take(folder.path(), "lore reindex").unwrap();
    assert_eq!(Owner::current(folder.path()).unwrap().unwrap().command, "lore reindex");
    drop(owner);
}

#[test]
fn looking_does_not_stand_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    drop(Owner::take(folder.path(), "first").unwrap());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, path) = (&done, folder.path());
        for _ in 0..2 {
            scope.spawn(move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    Owner::current(path).unwrap();
                }
            });
        }
        let outcomes: Vec<_> = (0..50).map(|_| Owner::take(path, "lore ingest").map(drop)).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    });
}
