//! Folders of releases: made as a whole, named by their content, checked, leased and removed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use lore_core::OpenError;
use lore_inference::release::{ReleaseError, ReleaseStore, Room};
use tempfile::TempDir;

fn model(place: &Path, name: &str, weights: &[u8]) -> PathBuf {
    let folder = place.join(name);
    std::fs::create_dir_all(folder.join("checkpoint-10")).unwrap();
    let files: [(&str, &[u8]); 6] = [
        ("config.json", b"{}"),
        ("tokenizer.json", b"{}"),
        ("model.safetensors", weights),
        ("report.json", b"changes later"),
        (".gitattributes", b"hidden"),
        ("checkpoint-10/optimizer.safetensors", b"not the model's"),
    ];
    for (name, content) in files {
        std::fs::write(folder.join(name), content).unwrap();
    }
    folder
}

fn store() -> (TempDir, ReleaseStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = ReleaseStore::of(&folder.path().join("data"));
    (folder, store)
}

/// What lies in the folder of releases, locks aside.
fn listed(store: &ReleaseStore) -> Vec<String> {
    let folder = store.path("x").parent().unwrap().to_owned();
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".leases" && name != ".making").collect()
}

#[test]
fn a_release_is_named_by_its_content_and_nothing_else() {
    let (folder, store) = store();
    let run: [(&str, &[u8]); 1] = [("run.yaml", b"seed: 7")];
    let first = store.add(&model(folder.path(), "a", b"weights"), &run).unwrap();
    assert!(!first.known && first.id.len() == 64 && first.bytes == 2 + 2 + 7 + 7);
    assert_eq!(store.bytes(&first.id).unwrap(), first.bytes);
    let mut names: Vec<String> = std::fs::read_dir(store.path(&first.id))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors", "run.yaml", "tokenizer.json"]);
    store.verify(&first.id).unwrap();

    let again = store.add(&model(folder.path(), "b", b"weights"), &run).unwrap();
    assert!(again.known && again.id == first.id);
    let other = store.add(&model(folder.path(), "c", b"weightz"), &run).unwrap();
    let unlike = store.add(&model(folder.path(), "a", b"weights"), &[("run.yaml", b"seed: 8")]).unwrap();
    assert!(other.id != first.id && unlike.id != first.id && unlike.id != other.id);
    assert_eq!(listed(&store).len(), 3, "nothing is left of the making");
}

#[test]
fn a_gguf_file_is_a_model_by_itself_or_alone_in_a_folder() {
    let (folder, store) = store();
    let file = folder.path().join("Some-Name.Q8_0.gguf");
    std::fs::write(&file, b"GGUF").unwrap();
    let alone = store.add(&file, &[]).unwrap();
    assert_eq!(store.model(&alone.id), store.path(&alone.id).join("model.gguf"));
    let inside = folder.path().join("merged");
    std::fs::create_dir(&inside).unwrap();
    std::fs::copy(&file, inside.join("other.gguf")).unwrap();
    assert_eq!(store.add(&inside, &[]).unwrap().id, alone.id, "what the file is called does not count");
    let folder_model = store.add(&model(folder.path(), "a", b"w"), &[]).unwrap();
    assert_eq!(store.model(&folder_model.id), store.path(&folder_model.id));
}

#[test]
fn an_adapter_that_is_not_merged_lies_beside_its_base() {
    let (folder, store) = store();
    let base = model(folder.path(), "a", b"weights");
    let adapter = folder.path().join("adapter");
    std::fs::create_dir(&adapter).unwrap();
    std::fs::write(adapter.join("adapter_config.json"), b"{}").unwrap();
    let refused = store.add_adapted(&base, Some(&adapter), &[]).unwrap_err();
    assert!(matches!(refused, ReleaseError::NoAdapter { .. }), "{refused}");
    for name in ["adapter_model.safetensors", "optimizer.safetensors"] {
        std::fs::write(adapter.join(name), b"values").unwrap();
    }
    // The base's own run is not that of the adapter.
    std::fs::write(base.join("run.yaml"), b"seed: 1").unwrap();
    let (bare, with) =
        (store.add(&base, &[]).unwrap(), store.add_adapted(&base, Some(&adapter), &[]).unwrap());
    assert_ne!(bare.id, with.id);
    assert_eq!((store.adapter(&bare.id), store.adapter(&with.id)), (None, Some(store.path(&with.id))));
    assert!(!store.path(&with.id).join("optimizer.safetensors").exists());
    assert!(
        store.path(&bare.id).join("run.yaml").exists() && !store.path(&with.id).join("run.yaml").exists()
    );
    store.verify(&with.id).unwrap();
}

#[test]
fn what_is_no_model_is_refused_and_nothing_is_left() {
    let (folder, store) = store();
    std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    for nothing in ["notes.txt", "empty", "missing"] {
        let error = store.add(&folder.path().join(nothing), &[]).unwrap_err();
        assert!(matches!(error, ReleaseError::NoModel { .. }), "{error}");
    }
    let many = model(folder.path(), "many", b"w");
    for n in 0..300 {
        std::fs::write(many.join(format!("{n}.txt")), "x").unwrap();
    }
    assert!(matches!(store.add(&many, &[]).unwrap_err(), ReleaseError::TooMany { .. }));
    // A file that cannot be read in the middle of the making.
    let broken = model(folder.path(), "broken", b"w");
    std::fs::remove_file(broken.join("tokenizer.json")).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", broken.join("tokenizer.json")).unwrap();
    assert!(store.add(&broken, &[]).is_err());
    assert_eq!(listed(&store), Vec::<String>::new());
}

#[test]
fn tampering_is_seen_and_healed_by_adding_the_model_again() {
    let (folder, store) = store();
    let source = model(folder.path(), "a", b"weights");
    let id = store.add(&source, &[]).unwrap().id;
    let place = store.path(&id);
    let weights = place.join("model.safetensors");
    assert!(std::fs::metadata(&weights).unwrap().permissions().readonly());
    let damage: [&dyn Fn(); 4] = [
        // The same length.
        &|| {
            std::fs::remove_file(&weights).unwrap();
            std::fs::write(&weights, b"weightz").unwrap();
        },
        &|| std::fs::remove_file(&weights).unwrap(),
        &|| std::fs::write(place.join("more.txt"), b"").unwrap(),
        &|| std::fs::rename(place.join("config.json"), place.join("config2.json")).unwrap(),
    ];
    for damage in damage {
        damage();
        let error = store.verify(&id).unwrap_err();
        assert!(matches!(error, ReleaseError::Damaged { .. }) && error.to_string().contains(&id), "{error}");
        let healed = store.add(&source, &[]).unwrap();
        assert!(healed.id == id && !healed.known);
        store.verify(&id).unwrap();
    }
    std::fs::remove_dir_all(&place).unwrap();
    assert!(matches!(store.verify(&id).unwrap_err(), ReleaseError::Missing { .. }));
    assert!(matches!(store.lease(&id).unwrap_err(), ReleaseError::Missing { .. }));
}

#[test]
fn a_leased_release_is_not_removed() {
    let (folder, store) = store();
    let stored = store.add(&model(folder.path(), "a", b"weights"), &[]).unwrap();
    let (one, two) = (store.lease(&stored.id).unwrap(), store.lease(&stored.id).unwrap());
    drop(one);
    assert!(matches!(store.remove(&stored.id).unwrap_err(), ReleaseError::Leased { .. }));
    store.verify(&stored.id).unwrap();
    drop(two);
    assert_eq!(store.remove(&stored.id).unwrap(), stored.bytes);
    assert_eq!(store.remove(&stored.id).unwrap(), 0);
    assert_eq!(listed(&store), Vec::<String>::new());
}

#[test]
fn an_id_is_never_a_path() {
    let (_folder, store) = store();
    for bad in ["", "..", "../../etc", "abc", &"G".repeat(64), &"A".repeat(64)] {
        assert!(matches!(store.remove(bad).unwrap_err(), ReleaseError::BadId(_)), "{bad}");
        assert!(matches!(store.verify(bad).unwrap_err(), ReleaseError::BadId(_)), "{bad}");
        assert!(matches!(store.lease(bad).unwrap_err(), ReleaseError::BadId(_)), "{bad}");
    }
}

#[test]
fn what_was_left_half_made_is_swept_unless_something_is_being_made() {
    let (folder, store) = store();
    assert_eq!(store.sweep().unwrap(), 0);
    let id = store.add(&model(folder.path(), "a", b"weights"), &[]).unwrap().id;
    let releases = store.path(&id).parent().unwrap().to_owned();
    std::fs::create_dir(releases.join(".tmp-left")).unwrap();
    std::fs::write(releases.join(".tmp-left/model.safetensors"), b"half").unwrap();
    let making = std::fs::File::open(releases.join(".making")).unwrap();
    making.lock_shared().unwrap();
    assert_eq!(store.sweep().unwrap(), 0);
    drop(making);
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(listed(&store), [id]);
}

#[test]
fn a_model_without_room_is_told_with_the_bytes() {
    let room = Room { weights: 600, kv: 400 };
    assert_eq!(room.check(None), Ok(()));
    assert_eq!(room.check(Some(1000)), Ok(()));
    assert_eq!(room.check(Some(999)), Err(OpenError::NoRoom { needed: 1000, available: 999 }));
}
