//! Catalog and indexes together: following, failing, crashing, rebuilding, checking.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lore_core::{Access, ChunkId, DocumentId, Embedder, EmbedderInfo, Filter, ModelError, Seq};
use lore_index::vector::VectorStore;
use lore_index::{Catalog, Index, IndexConfig, IndexError, Owner, VectorBackend};

use support::{acl, commit, document, version};

const DIMENSION: usize = 32;

/// An embedder that hashes words into a unit vector; it refuses texts with the word `poison`, and counts texts.
fn embedder(id: &str) -> (Embedder, Arc<AtomicUsize>) {
    let info = EmbedderInfo { id: id.into(), dimension: DIMENSION, max_tokens: 256 };
    let (embedder, mut requests) =
        Embedder::channel(info, Arc::new(|t: &str| t.split_whitespace().count()), 8);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let refused = request.texts.iter().any(|text| text.contains("poison"));
            let answer = if refused {
                Err(ModelError::Failed { model: "fake".into(), message: "poison".into() })
            } else {
                counted.fetch_add(request.texts.len(), Ordering::Relaxed);
                Ok(request.texts.iter().map(|text| hashed(text)).collect())
            };
            let _ = request.reply.send(answer);
        }
    });
    (embedder, count)
}

fn hashed(text: &str) -> Vec<f32> {
    let mut vector = vec![1e-3; DIMENSION];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let hash = lore_core::ContentHash::of(word.to_lowercase().as_bytes());
        let at = usize::from_str_radix(&hash.as_str()[..4], 16).unwrap();
        vector[at % DIMENSION] += 1.0;
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / norm).collect()
}

/// Each of these once with the vectors in this process, and once on the server that `QDRANT_URL` names.
macro_rules! on_both_back_ends {
    ($($name:ident),+ $(,)?) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(&super::VectorBackend::Edge).await;
            })+
        }
        mod on_a_server {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let Some(server) = super::support::server() else { return };
                super::$name(&server.backend).await;
                server.clean().await;
            })+
        }
    };
}

on_both_back_ends!(
    a_document_is_found_changed_and_gone,
    reopening_goes_on_where_it_was,
    lost_and_damaged_indexes_come_back,
    another_embedder_gets_vectors_of_its_own,
    new_indexes_take_the_place_of_the_old_when_they_are_complete,
    history_is_not_replayed_into_new_indexes,
    rebuilding_gives_the_same,
    a_rebuild_follows_what_changes_meanwhile,
    a_text_that_cannot_be_embedded_stops_nobody_and_is_not_forgotten,
    an_embedder_that_has_stopped_is_an_error_and_words_are_found,
    running_follows_nudges_and_stops,
    a_catalog_older_than_the_indexes_wins,
    a_backup_put_back_is_noticed_though_it_caught_up,
    a_large_document_is_applied_in_slices,
);

async fn open(folder: &Path, store: &VectorBackend) -> (Index, Arc<AtomicUsize>) {
    open_with(folder, store, "fake@1").await
}

async fn open_with(folder: &Path, store: &VectorBackend, model: &str) -> (Index, Arc<AtomicUsize>) {
    let (index, count) = try_open(folder, store, model).await;
    (index.unwrap(), count)
}

async fn try_open(
    folder: &Path,
    store: &VectorBackend,
    model: &str,
) -> (Result<Index, IndexError>, Arc<AtomicUsize>) {
    let owner = Owner::take(folder, "test").unwrap();
    let catalog = Catalog::open(folder).unwrap();
    let (embedder, count) = embedder(model);
    (Index::open(catalog, config(store), embedder, owner).await, count)
}

fn config(store: &VectorBackend) -> IndexConfig {
    IndexConfig { follow_batch: 3, vectors: store.clone(), ..IndexConfig::default() }
}

async fn follow(index: &Index) -> lore_index::FollowReport {
    index.follow(&|done, known| assert!(done <= known)).await.unwrap()
}

async fn clean(index: &Index) {
    let report = index.check().await.unwrap();
    assert!(report.differences.is_empty(), "{:?}", report.differences);
    let counts = index.catalog().counts().unwrap();
    assert_eq!((report.documents, report.chunks), counts);
}

async fn dense(index: &Index, text: &str) -> Vec<ChunkId> {
    let found = index.search_dense(&hashed(text), &Filter::default(), &Access::All, 5).await.unwrap();
    found.into_iter().map(|hit| hit.id).collect()
}

async fn words(index: &Index, text: &str) -> Vec<ChunkId> {
    let found = index.search_lexical(text, &Filter::default(), &Access::All, 5).await.unwrap();
    found.into_iter().map(|hit| hit.id).collect()
}

fn chunk(name: &str, version: u32, ordinal: u32) -> ChunkId {
    ChunkId::new(DocumentId::from_source(&format!("upload:{name}")), version, ordinal)
}

async fn a_document_is_found_changed_and_gone(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, count) = open(folder.path(), store).await;
    for n in 0..10 {
        commit(
            index.catalog(),
            &format!("filler{n}.md"),
            &format!("filler text number {n}\nand more of {n}"),
        );
    }
    commit(index.catalog(), "a.md", "hotels are paid\ntrains are paid as well");
    let report = follow(&index).await;
    assert_eq!((report.changes, report.chunks), (11, 22));
    assert_eq!(words(&index, "hotels").await[0], chunk("a.md", 1, 0));
    let scores = index.similarities(&hashed("x"), &[chunk("a.md", 1, 0), chunk("z", 1, 0)]).await.unwrap();
    assert!(scores[0].is_some() && scores[1].is_none());
    clean(&index).await;

    let before = count.load(Ordering::Relaxed);
    commit(index.catalog(), "a.md", "hotels are not paid\ntrains are paid as well");
    assert_eq!(follow(&index).await.embedded, 1, "only the changed chunk");
    assert_eq!(count.load(Ordering::Relaxed), before + 1);
    assert_eq!(words(&index, "hotels").await[0], chunk("a.md", 2, 0));
    assert!(!dense(&index, "hotels are paid").await.contains(&chunk("a.md", 1, 0)));
    clean(&index).await;

    let id = DocumentId::from_source("upload:a.md");
    index.catalog().change_meta(id, &acl(&["board"])).unwrap();
    assert_eq!(follow(&index).await.embedded, 0);
    let nobody = Access::Groups(Default::default());
    assert!(index.search_lexical("hotels", &Filter::default(), &nobody, 5).await.unwrap().is_empty());
    clean(&index).await;

    index.catalog().delete(id).unwrap();
    follow(&index).await;
    assert!(words(&index, "hotels").await.is_empty());
    clean(&index).await;
    index.close().await.unwrap();
}

async fn reopening_goes_on_where_it_was(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    commit(index.catalog(), "a.md", "one\ntwo\nthree");
    follow(&index).await;
    commit(index.catalog(), "b.md", "four");
    index.close().await.unwrap();
    let (index, count) = open(folder.path(), store).await;
    let report = follow(&index).await;
    assert_eq!((report.changes, report.embedded), (1, 1));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    clean(&index).await;
    // Dropped without closing, as by a crash that leaves the files.
    commit(index.catalog(), "c.md", "five");
    follow(&index).await;
    drop(index);
    let (index, _) = open(folder.path(), store).await;
    follow(&index).await;
    clean(&index).await;
}

async fn lost_and_damaged_indexes_come_back(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    for n in 0..7 {
        commit(index.catalog(), &format!("{n}.md"), &format!("text {n}\nmore {n}"));
    }
    follow(&index).await;
    let hits = (words(&index, "text 3").await, dense(&index, "text 3").await);
    index.close().await.unwrap();
    for lost in ["lexical", "vectors"] {
        std::fs::remove_dir_all(folder.path().join(lost)).unwrap();
        let (index, count) = open(folder.path(), store).await;
        follow(&index).await;
        assert_eq!(count.load(Ordering::Relaxed), 0, "the catalog knows the vectors");
        clean(&index).await;
        assert_eq!((words(&index, "text 3").await, dense(&index, "text 3").await), hits);
        index.close().await.unwrap();
    }
    // A file of each is overwritten.
    let lexical = std::fs::read_to_string(folder.path().join("lexical/CURRENT")).unwrap();
    std::fs::write(folder.path().join("lexical").join(lexical).join("meta.json"), "no").unwrap();
    let vectors = std::fs::read_to_string(folder.path().join("vectors/CURRENT")).unwrap();
    if let VectorBackend::Edge = store {
        let segments = folder.path().join("vectors").join(vectors).join("segments");
        for segment in std::fs::read_dir(segments).unwrap() {
            std::fs::write(segment.unwrap().path().join("segment.json"), "no").unwrap();
        }
    } else {
        let id = Catalog::open(folder.path()).unwrap().folder_id().unwrap();
        let name = format!("{id}-{vectors}");
        let lost = VectorStore::open(store, Path::new(""), &name, DIMENSION).await.unwrap().unwrap();
        lost.destroy().await.unwrap();
    }
    let (index, _) = open(folder.path(), store).await;
    follow(&index).await;
    clean(&index).await;
    assert_eq!((words(&index, "text 3").await, dense(&index, "text 3").await), hits);
    for kind in ["lexical", "vectors"] {
        let folders = std::fs::read_dir(folder.path().join(kind)).unwrap();
        let folders = folders.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
        let kept = usize::from(kind == "lexical" || *store == VectorBackend::Edge);
        assert_eq!(folders, kept, "the damaged {kind} are removed");
    }
}

async fn another_embedder_gets_vectors_of_its_own(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    commit(index.catalog(), "a.md", "one\ntwo");
    follow(&index).await;
    index.close().await.unwrap();
    let (index, count) = open_with(folder.path(), store, "other@2").await;
    assert!(dense(&index, "one").await.is_empty());
    assert_eq!(words(&index, "one").await.len(), 1, "the lexical index stays");
    let preparing = index.preparing().unwrap();
    assert!(preparing.contains("another embedder") && preparing.contains("0 of 1 documents"), "{preparing}");
    follow(&index).await;
    assert_eq!((index.preparing(), count.load(Ordering::Relaxed)), (None, 2));
    clean(&index).await;
    index.close().await.unwrap();
    let (index, _) = open_with(folder.path(), store, "other@2").await;
    assert_eq!((index.preparing(), follow(&index).await.changes), (None, 0));
}

async fn new_indexes_take_the_place_of_the_old_when_they_are_complete(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    assert_eq!(index.preparing(), None, "nothing is missing where there is nothing");
    commit(index.catalog(), "a.md", "one\ntwo");
    follow(&index).await;
    let hits = dense(&index, "one").await;
    index.close().await.unwrap();
    // Another embedder is tried, and ends before it has done anything.
    let (index, _) = open_with(folder.path(), store, "other@2").await;
    index.close().await.unwrap();
    let (index, count) = open(folder.path(), store).await;
    assert_eq!((index.preparing(), dense(&index, "one").await), (None, hits));
    assert_eq!((follow(&index).await.changes, count.load(Ordering::Relaxed)), (0, 0));
    clean(&index).await;
}

async fn history_is_not_replayed_into_new_indexes(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    for n in 0..30 {
        commit(index.catalog(), "often.md", &format!("text {n}\nmore {n}"));
    }
    commit(index.catalog(), "once.md", "other text");
    follow(&index).await;
    index.close().await.unwrap();
    for kind in ["lexical", "vectors"] {
        std::fs::remove_dir_all(folder.path().join(kind)).unwrap();
    }
    let (index, _) = open(folder.path(), store).await;
    let report = follow(&index).await;
    assert_eq!((report.changes, report.chunks, report.embedded), (2, 3, 0));
    clean(&index).await;
    index.close().await.unwrap();
    let (index, _) = open(folder.path(), store).await;
    assert_eq!(follow(&index).await.changes, 0, "the position was kept");
}

async fn rebuilding_gives_the_same(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, count) = open(folder.path(), store).await;
    for n in 0..20 {
        commit(index.catalog(), &format!("{n}.md"), &format!("text {n}\nmore {n}"));
        commit(index.catalog(), &format!("{n}.md"), &format!("text {n}\nmuch more {n}"));
    }
    index.catalog().delete(DocumentId::from_source("upload:4.md")).unwrap();
    follow(&index).await;
    let before = count.load(Ordering::Relaxed);
    let hits = (words(&index, "text 7").await, dense(&index, "text 7").await);
    let report = index.rebuild(&|done, known| assert!(done <= known)).await.unwrap();
    assert_eq!((report.chunks, report.embedded), (38, 0));
    assert_eq!(count.load(Ordering::Relaxed), before);
    assert_eq!((words(&index, "text 7").await, dense(&index, "text 7").await), hits);
    clean(&index).await;
    commit(index.catalog(), "new.md", "brand new");
    follow(&index).await;
    index.close().await.unwrap();
    let (index, _) = open(folder.path(), store).await;
    assert_eq!(follow(&index).await.changes, 0, "the checkpoints went with the new indexes");
    clean(&index).await;
}

async fn a_rebuild_follows_what_changes_meanwhile(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    for n in 0..5 {
        commit(index.catalog(), &format!("{n}.md"), &format!("text {n}"));
    }
    follow(&index).await;
    // The rebuild waits in the middle of its work until it is let on.
    let (here, arrived) = std::sync::mpsc::channel();
    let (go, on) = std::sync::mpsc::channel::<()>();
    let on = std::sync::Mutex::new(Some(on));
    let rebuilding = tokio::spawn({
        let index = index.clone();
        async move {
            let wait = |done, _| {
                if done > 0
                    && let Some(on) = on.lock().unwrap().take()
                {
                    here.send(()).unwrap();
                    on.recv().unwrap();
                }
            };
            index.rebuild(&wait).await
        }
    });
    tokio::task::block_in_place(|| arrived.recv_timeout(Duration::from_secs(20))).unwrap();
    assert_eq!(index.rebuild_status().state, lore_index::RebuildState::Running);
    commit(index.catalog(), "meanwhile.md", "something new");
    commit(index.catalog(), "0.md", "text changed");
    index.catalog().delete(DocumentId::from_source("upload:1.md")).unwrap();
    follow(&index).await;
    assert_eq!(words(&index, "something").await, [chunk("meanwhile.md", 1, 0)], "it is found at once");
    go.send(()).unwrap();
    let report = rebuilding.await.unwrap().unwrap();
    assert!(report.chunks >= 5, "{report:?}");
    assert_eq!(words(&index, "something").await, [chunk("meanwhile.md", 1, 0)], "and afterwards");
    assert_eq!(dense(&index, "something new").await[0], chunk("meanwhile.md", 1, 0));
    assert_eq!(index.rebuild_status().state, lore_index::RebuildState::Done);
    clean(&index).await;
    index.close().await.unwrap();
    let (index, _) = open(folder.path(), store).await;
    assert_eq!(follow(&index).await.changes, 0);
    clean(&index).await;
}

async fn a_text_that_cannot_be_embedded_stops_nobody_and_is_not_forgotten(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    commit(index.catalog(), "a.md", "good\npoison\nalso good");
    for n in 0..8 {
        commit(index.catalog(), &format!("{n}.md"), &format!("text {n}"));
    }
    let error = index.follow(&|_, _| {}).await.unwrap_err();
    assert!(matches!(error, IndexError::Model(_)), "{error}");
    let last = index.similarities(&hashed("text 7"), &[chunk("7.md", 1, 0)]).await.unwrap();
    assert!(last[0].is_some(), "the documents after it are there");
    assert_eq!(words(&index, "poison").await, [chunk("a.md", 1, 1)]);
    let report = index.check().await.unwrap();
    assert_eq!(report.differences.len(), 1, "{:?}", report.differences);
    assert!(report.differences[0].contains("chunk 1 of a.md"), "{:?}", report.differences);
    // Remembered over a restart, and done when the text can be embedded.
    index.close().await.unwrap();
    let (index, _) = open(folder.path(), store).await;
    assert!(index.follow(&|_, _| {}).await.is_err());
    commit(index.catalog(), "a.md", "good\nwholesome\nalso good");
    follow(&index).await;
    clean(&index).await;
}

async fn an_embedder_that_has_stopped_is_an_error_and_words_are_found(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let owner = Owner::take(folder.path(), "test").unwrap();
    let catalog = Catalog::open(folder.path()).unwrap();
    commit(&catalog, "a.md", "one\ntwo");
    let info = EmbedderInfo { id: "gone".into(), dimension: DIMENSION, max_tokens: 8 };
    let (gone, requests) = Embedder::channel(info, Arc::new(|_: &str| 1), 1);
    drop(requests);
    let index = Index::open(catalog, config(store), gone, owner).await.unwrap();
    assert!(matches!(index.follow(&|_, _| {}).await, Err(IndexError::Model(ModelError::Stopped { .. }))));
    assert_eq!(words(&index, "two").await, [chunk("a.md", 1, 1)]);
    index.close().await.unwrap();
    let (index, _) = open_with(folder.path(), store, "gone").await;
    follow(&index).await;
    clean(&index).await;
}

async fn running_follows_nudges_and_stops(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn({
        let index = index.clone();
        async move { index.run(Duration::from_secs(3_600), stopped).await }
    });
    for n in 0..5_u32 {
        commit(index.catalog(), "a.md", &format!("text {n}"));
        index.nudge();
        let seen = async {
            while dense(&index, "text").await != [chunk("a.md", n + 1, 0)] {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.unwrap();
    }
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    clean(&index).await;
    index.close().await.unwrap();
    let (index, _) = open(folder.path(), store).await;
    assert_eq!(follow(&index).await.changes, 0, "the position was kept");
}

async fn a_catalog_older_than_the_indexes_wins(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let saved = tempfile::tempdir().unwrap();
    let database = || {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        files.filter(|file| file.file_name().to_str().unwrap().starts_with("catalog.db"))
    };
    drop(Catalog::open(folder.path()).unwrap());
    for file in database() {
        std::fs::copy(file.path(), saved.path().join(file.file_name())).unwrap();
    }
    let (index, _) = open(folder.path(), store).await;
    for n in 0..5 {
        commit(index.catalog(), &format!("{n}.md"), &format!("text {n}"));
    }
    follow(&index).await;
    index.close().await.unwrap();
    // The catalog is restored from before those documents.
    for file in database() {
        std::fs::remove_file(file.path()).unwrap();
    }
    for file in std::fs::read_dir(saved.path()).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let catalog = Catalog::open(folder.path()).unwrap();
    catalog.store_original(b"x").unwrap();
    catalog.commit_version(&document("only.md"), &version("x")).unwrap();
    assert_eq!(catalog.last_seq().unwrap(), Seq(1));
    drop(catalog);
    let (index, _) = open(folder.path(), store).await;
    follow(&index).await;
    clean(&index).await;
}

async fn a_backup_put_back_is_noticed_though_it_caught_up(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    commit(index.catalog(), "a.md", "first text");
    follow(&index).await;
    index.close().await.unwrap();
    let backup = tempfile::tempdir().unwrap();
    let database = Catalog::open(folder.path()).unwrap();
    database.vacuum().unwrap();
    drop(database);
    std::fs::copy(folder.path().join("catalog.db"), backup.path().join("catalog.db")).unwrap();
    let put_back = || {
        for path in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if path.file_name().unwrap().to_str().unwrap().starts_with("catalog") {
                std::fs::remove_file(path).unwrap();
            }
        }
        std::fs::copy(backup.path().join("catalog.db"), folder.path().join("catalog.db")).unwrap();
    };
    for lost in [&["lexical"][..], &[]] {
        let (index, _) = open(folder.path(), store).await;
        follow(&index).await;
        commit(index.catalog(), "lost.md", "text that the backup lacks");
        follow(&index).await;
        index.close().await.unwrap();
        put_back();
        // The same number of changes as before, and one more.
        let catalog = Catalog::open(folder.path()).unwrap();
        commit(&catalog, "other.md", "text of another history");
        commit(&catalog, "more.md", "and more of it");
        drop(catalog);
        for kind in lost {
            std::fs::remove_dir_all(folder.path().join(kind)).unwrap();
        }
        let (index, _) = open(folder.path(), store).await;
        assert!(index.preparing().is_some());
        follow(&index).await;
        clean(&index).await;
        index.close().await.unwrap();
        put_back();
    }
}

async fn a_large_document_is_applied_in_slices(store: &VectorBackend) {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), store).await;
    let text: Vec<String> = (0..3_000).map(|n| format!("line {n} of the long document")).collect();
    commit(index.catalog(), "long.md", &text.join("\n"));
    let report = follow(&index).await;
    assert_eq!((report.chunks, report.embedded), (3_000, 3_000));
    clean(&index).await;
    commit(index.catalog(), "long.md", &text[..1_000].join("\n"));
    assert_eq!(follow(&index).await.embedded, 0);
    clean(&index).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_data_folders_do_not_share_an_alias() {
    let Some(server) = support::server() else { return };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, _) = open(one.path(), &server.backend).await;
    commit(first.catalog(), "a.md", "one\ntwo");
    follow(&first).await;
    let (second, _) = try_open(two.path(), &server.backend, "fake@1").await;
    let refused = second.unwrap_err().to_string();
    assert!(refused.contains("another data folder") && refused.contains("collection"), "{refused}");
    assert_eq!(dense(&first, "one").await[0], chunk("a.md", 1, 0));
    first.rebuild(&|_, _| {}).await.unwrap();
    clean(&first).await;
    server.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_left_by_a_kill_are_removed_and_others_are_not() {
    let Some(server) = support::server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path(), &server.backend).await;
    commit(index.catalog(), "a.md", "one");
    follow(&index).await;
    let id = index.catalog().folder_id().unwrap();
    index.close().await.unwrap();
    let nowhere = Path::new("");
    let left = format!("{id}-left");
    for name in [left.as_str(), "0-foreign"] {
        let made = VectorStore::create(&server.backend, nowhere, name, DIMENSION).await;
        // The foreign one is refused where the alias is ours, which leaves it to the check below.
        assert_eq!(made.is_ok(), name == left, "{made:?}");
    }
    let foreign = server.make("0-foreign").await;
    let (index, _) = open(folder.path(), &server.backend).await;
    assert_eq!(index.preparing(), None);
    let there = server.collections().await;
    assert!(there.contains(&foreign) && !there.iter().any(|name| name.ends_with("-left")), "{there:?}");
    assert_eq!(there.len(), 2, "{there:?}");
    clean(&index).await;
    server.clean().await;
}
