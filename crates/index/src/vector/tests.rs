//! The contract of a vector store, run in process and, where `QDRANT_URL` names a server, there.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::*;
use crate::error::IndexError;

const DIMENSION: usize = 8;

/// A unit vector that is `axis` with a bit of the next one.
fn vector(axis: usize, tilt: f32) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSION];
    vector[axis % DIMENSION] = (1.0 - tilt * tilt).sqrt();
    vector[(axis + 1) % DIMENSION] = tilt;
    vector
}

fn labels(groups: &[&str], tags: &[&str], language: &str, date: Option<i64>) -> Labels {
    let access =
        if groups.is_empty() { vec!["*".into()] } else { groups.iter().map(|g| format!("={g}")).collect() };
    let tags = tags.iter().map(|t| (*t).to_owned()).collect();
    Labels { access, tags, language: Some(language.to_owned()), date }
}

fn point(name: &str, version: u32, ordinal: u32, vector: Vec<f32>, labels: &Labels) -> Point {
    let document = DocumentId::from_source(name);
    let payload = Payload { document, version, ordinal, labels: labels.clone() };
    Point { id: ChunkId::new(document, version, ordinal), vector, payload }
}

fn groups(names: &[&str]) -> Access {
    Access::Groups(names.iter().map(|name| (*name).to_owned()).collect())
}

async fn ids(store: &VectorStore, filter: &Filter, access: &Access) -> Vec<ChunkId> {
    let found = store.search(&vector(0, 0.0), filter, access, 100).await.unwrap();
    assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score), "best first");
    found.into_iter().map(|hit| hit.id).collect()
}

async fn all(store: &VectorStore) -> BTreeSet<ChunkId> {
    ids(store, &Filter::default(), &Access::All).await.into_iter().collect()
}

/// What every store must do; it is empty before and after.
async fn contract(store: &VectorStore) {
    assert_eq!(store.count(None).await.unwrap(), 0);
    assert!(all(store).await.is_empty());

    let open = labels(&[], &["team=people", "site=munich"], "en", Some(20_240_110));
    let board = labels(&["board"], &["team=board"], "de", None);
    let points = vec![
        point("a", 1, 0, vector(0, 0.0), &open),
        point("a", 1, 1, vector(0, 0.5), &open),
        point("b", 1, 0, vector(0, 0.2), &board),
    ];
    let [a0, a1, b0] = [points[0].id, points[1].id, points[2].id];
    store.upsert(points.clone()).await.unwrap();
    store.upsert(points.clone()).await.unwrap();
    assert_eq!(store.count(None).await.unwrap(), 3, "writing twice changes nothing");
    let none = Filter::default();
    assert_eq!(ids(store, &none, &Access::All).await, [a0, b0, a1]);
    let best = store.search(&vector(0, 0.0), &none, &Access::All, 1).await.unwrap();
    assert_eq!(best.len(), 1);
    assert!((best[0].score - 1.0).abs() < 1e-5, "the score is the cosine");

    // Access and filters.
    assert_eq!(ids(store, &none, &groups(&[])).await, [a0, a1]);
    assert_eq!(ids(store, &none, &groups(&["board"])).await, [a0, b0, a1]);
    assert_eq!(ids(store, &none, &groups(&["*", "other"])).await, [a0, a1]);
    let tags = |key: &str, values: &[&str]| Filter {
        tags: [(key.to_owned(), values.iter().map(|v| (*v).to_owned()).collect())].into(),
        ..Filter::default()
    };
    assert_eq!(ids(store, &tags("team", &["board", "x"]), &Access::All).await, [b0]);
    assert!(ids(store, &tags("team", &["x"]), &Access::All).await.is_empty());
    assert!(ids(store, &tags("team", &["board"]), &groups(&[])).await.is_empty());
    assert!(ids(store, &tags("team", &[]), &Access::All).await.is_empty(), "no value, no match");
    let of_b = Filter { documents: vec![DocumentId::from_source("b")], ..Filter::default() };
    assert_eq!(ids(store, &of_b, &Access::All).await, [b0]);
    let german = Filter { languages: vec!["de".into()], ..Filter::default() };
    assert_eq!(ids(store, &german, &Access::All).await, [b0]);
    let day = |from: &str, to: &str| Filter {
        date_from: from.parse().ok(),
        date_to: to.parse().ok(),
        ..Filter::default()
    };
    assert_eq!(ids(store, &day("2024-01-10", "2024-01-10"), &Access::All).await, [a0, a1]);
    assert!(ids(store, &day("2024-01-11", ""), &Access::All).await.is_empty());
    assert_eq!(ids(store, &day("", "2024-12-31"), &Access::All).await, [a0, a1], "no date, no match");

    // Vectors and pages.
    let unknown = ChunkId::new(DocumentId::from_source("z"), 1, 0);
    let vectors = store.vectors(&[b0, unknown, a1]).await.unwrap();
    assert_eq!(vectors, [Some(points[2].vector.clone()), None, Some(points[1].vector.clone())]);
    let mut paged = Vec::new();
    let mut from = None;
    loop {
        let page = store.page(from, 2).await.unwrap();
        paged.extend(page.points);
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    let mut expected: Vec<_> = points.iter().map(|p| (p.id, Some(p.payload.clone()))).collect();
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(paged, expected);

    // Labels change without the vectors.
    let moved = labels(&["staff"], &[], "en", None);
    store.set_labels(DocumentId::from_source("a"), &moved).await.unwrap();
    assert_eq!(ids(store, &none, &groups(&["staff"])).await, [a0, a1]);
    assert!(ids(store, &none, &groups(&[])).await.is_empty());
    let page = store.page(None, 10).await.unwrap();
    let labels_of = |id| page.points.iter().find(|(p, _)| *p == id).and_then(|(_, p)| p.clone()).unwrap();
    assert_eq!(labels_of(a1), Payload { labels: moved.clone(), ..points[1].payload.clone() });

    // A new version with fewer chunks, and the old one goes.
    store.upsert(vec![point("a", 2, 0, vector(0, 0.1), &moved)]).await.unwrap();
    let a = DocumentId::from_source("a");
    assert_eq!(store.count(Some((a, 1))).await.unwrap(), 2);
    store.delete_stale(a, 2, 1).await.unwrap();
    assert_eq!(store.count(Some((a, 1))).await.unwrap(), 0);
    assert_eq!(store.count(Some((a, 2))).await.unwrap(), 1);
    store.upsert(vec![point("a", 2, 1, vector(0, 0.3), &moved)]).await.unwrap();
    store.delete_stale(a, 2, 1).await.unwrap();
    assert_eq!(all(store).await, [ChunkId::new(a, 2, 0), b0].into(), "a chunk beyond the last one is stale");

    // Optimising and flushing lose nothing.
    let many: Vec<Point> = (0..300).map(|n| point("c", 1, n, vector(n as usize, 0.4), &open)).collect();
    store.upsert(many).await.unwrap();
    store.flush().await.unwrap();
    let blocking = store.clone();
    tokio::task::spawn_blocking(move || blocking.optimise()).await.unwrap().unwrap();
    assert_eq!(store.count(None).await.unwrap(), 302);

    store.delete_document(DocumentId::from_source("c")).await.unwrap();
    store.delete_document(DocumentId::from_source("nobody")).await.unwrap();
    assert_eq!(store.count(None).await.unwrap(), 2);
    store.clear().await.unwrap();
    assert_eq!(store.count(None).await.unwrap(), 0);
    assert!(all(store).await.is_empty());
}

async fn edge(folder: &Path) -> VectorStore {
    VectorStore::create(&VectorBackend::Edge, folder, "g", DIMENSION).await.unwrap()
}

async fn reopen(folder: &Path) -> Option<VectorStore> {
    VectorStore::open(&VectorBackend::Edge, folder, "g", DIMENSION).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = edge(&path).await;
    contract(&store).await;
    drop(store);
    let store = reopen(&path).await.unwrap();
    contract(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_server() {
    let Ok(url) = std::env::var("QDRANT_URL") else {
        // Not by a macro, whose output the test runner keeps back.
        let text = b"skipped, because QDRANT_URL is not set: the vector store's contract on a server\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text);
        return;
    };
    let collection = format!("lore-test-{}", uuid::Uuid::now_v7().simple());
    let backend = VectorBackend::Server { url, api_key: None, collection, shards: 1, replicas: 1 };
    let open = async |name| VectorStore::open(&backend, Path::new(""), name, DIMENSION).await.unwrap();
    let create = async |name| VectorStore::create(&backend, Path::new(""), name, DIMENSION).await.unwrap();
    assert!(open("a-one").await.is_none());
    let one = create("a-one").await;
    contract(&one).await;
    one.publish().await.unwrap();
    one.publish().await.unwrap();
    assert!(open("a-one").await.is_some());
    let two = create("a-two").await;
    two.publish().await.unwrap();
    two.sweep(Some("a-one")).await.unwrap();
    assert!(open("a-one").await.is_some(), "what is still searched stays");
    let foreign = VectorStore::create(&backend, Path::new(""), "b-one", DIMENSION).await.unwrap_err();
    assert!(foreign.to_string().contains("another data folder"), "{foreign}");
    two.sweep(None).await.unwrap();
    assert!(open("a-one").await.is_none(), "it goes when nobody searches it");
    two.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_could_not_be_opened_again_is_opened_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // The log's files are counted before the shard is opened again; many small flushes make many.
    let dimension = 1_024;
    let store = VectorStore::create(&VectorBackend::Edge, &path, "g", dimension).await.unwrap();
    let open = labels(&[], &[], "en", None);
    let write = async |round: u32| {
        let points = (0..256).map(|n| point("a", 1, n, vec![round as f32 / 1024.0; dimension], &open));
        store.upsert(points.collect()).await.unwrap();
        store.flush().await.unwrap();
    };
    let VectorStore::Edge(edge) = &store else { panic!("not in process") };
    write(1).await;
    edge.lose();
    write(2).await;
    assert_eq!(store.count(None).await.unwrap(), 256, "the next use opens it");
    store.close();
    let error = store.count(None).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_flushed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = edge(&path).await;
    let open = labels(&[], &[], "en", None);
    let points: Vec<Point> = (0..500).map(|n| point("a", 1, n, vector(n as usize, 0.1), &open)).collect();
    store.upsert(points).await.unwrap();
    assert!(store.flush().await.unwrap());
    drop(store);
    let store = reopen(&path).await.unwrap();
    assert_eq!(store.count(None).await.unwrap(), 500);
    store.upsert(vec![point("b", 1, 0, vector(3, 0.9), &open)]).await.unwrap();
    store.delete_document(DocumentId::from_source("a")).await.unwrap();
    assert_eq!(store.count(None).await.unwrap(), 1, "changes after reopening count");
}

/// The engine keeps its log for ever by itself; here its old files go and numbers go on.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let dimension = 1_024;
    let store = VectorStore::create(&VectorBackend::Edge, &path, "g", dimension).await.unwrap();
    let open = labels(&[], &[], "en", None);
    for round in 0..10 {
        let points =
            (0..256).map(|n| point("a", 1, n, vec![round as f32 / 1024.0; dimension], &open)).collect();
        store.upsert(points).await.unwrap();
        store.flush().await.unwrap();
    }
    let log = std::fs::read_dir(path.join("wal")).unwrap();
    let bytes: u64 = log.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 10 << 20, "{bytes} bytes of log");
    assert_eq!(store.count(None).await.unwrap(), 256);
    let id = ChunkId::new(DocumentId::from_source("a"), 1, 7);
    assert_eq!(
        store.vectors(&[id]).await.unwrap()[0].as_ref().unwrap()[0],
        9.0 / 1024.0,
        "the last one written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_searches_flushes_and_optimising_go_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let store = edge(&folder.path().join("store")).await;
    let open = labels(&[], &[], "en", None);
    let mut tasks = tokio::task::JoinSet::new();
    let mut optimisations = tokio::task::JoinSet::new();
    for name in ["a", "b", "c"] {
        let (store, open) = (store.clone(), open.clone());
        tasks.spawn(async move {
            for n in 0..40 {
                let points =
                    (0..20).map(|m| point(name, 1, n * 20 + m, vector(m as usize, 0.2), &open)).collect();
                store.upsert(points).await.unwrap();
                store.flush().await.unwrap();
                assert!(
                    !store
                        .search(&vector(0, 0.2), &Filter::default(), &Access::All, 5)
                        .await
                        .unwrap()
                        .is_empty()
                );
            }
        });
    }
    for _ in 0..5 {
        let store = store.clone();
        optimisations.spawn_blocking(move || store.optimise().unwrap());
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    while let Some(done) = optimisations.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.count(None).await.unwrap(), 2_400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_folder_is_reported_as_missing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(reopen(&folder.path().join("nothing")).await.is_none());
    let path = folder.path().join("store");
    drop(edge(&path).await);
    std::fs::write(path.join("edge_config.json"), "{").unwrap();
    for entry in std::fs::read_dir(path.join("segments")).unwrap() {
        std::fs::write(entry.unwrap().path().join("segment.json"), "no JSON").unwrap();
    }
    assert!(reopen(&path).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_of_the_wrong_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = edge(&folder.path().join("store")).await;
    let wrong = point("a", 1, 0, vec![1.0; 3], &labels(&[], &[], "en", None));
    assert!(matches!(store.upsert(vec![wrong]).await, Err(IndexError::Invalid(_))));
    let searched = store.search(&[f32::NAN; DIMENSION], &Filter::default(), &Access::All, 1).await;
    assert!(matches!(searched, Err(IndexError::Invalid(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_named() {
    // A port that was just free, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let backend = VectorBackend::Server {
        url: format!("http://127.0.0.1:{port}"),
        api_key: None,
        collection: "lore".into(),
        shards: 1,
        replicas: 1,
    };
    let started = Instant::now();
    let error = VectorStore::open(&backend, Path::new(""), "g", DIMENSION).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(20));
    let text = error.to_string();
    assert!(
        text.contains(&format!("127.0.0.1:{port}")) && text.contains("index.vectors.server.url"),
        "{text}"
    );
}
