//! How fast hits are looked up: `cargo test -p lore-index --release --test catalog_speed -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use lore_core::{Access, ChunkId, ContentHash};
use lore_index::{Catalog, DocumentOrder, DocumentQuery};
use support::*;

const DOCUMENTS: usize = 2_000;
const CHUNKS: usize = 25;
const IDS: usize = 100;

fn median(mut run: impl FnMut(usize)) -> Duration {
    let mut times: Vec<Duration> = (0..200)
        .map(|n| {
            let start = Instant::now();
            run(n);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement"]
fn look_up_of_hits() {
    let (folder, catalog) = open();
    let start = Instant::now();
    for n in 0..DOCUMENTS {
        let line = |m: usize| {
            format!("Document {n}, paragraph {m}: {}\n", "words of a paragraph, and more. ".repeat(25))
        };
        let text: String = (0..CHUNKS).map(line).collect();
        let document = document_for(&format!("folder/{n}.md"), if n % 3 == 0 { &["hr"] } else { &[] });
        catalog.commit_version(&document, &version(&text)).unwrap();
    }
    let per_commit = start.elapsed() / DOCUMENTS as u32;
    eprintln!("commit of {CHUNKS} chunks: {per_commit:?}");

    let documents = catalog.live_documents().unwrap();
    let ids = |round: usize| -> Vec<ChunkId> {
        (0..IDS)
            .map(|n| {
                let random = (round * IDS + n) * 2_654_435_761;
                ChunkId::new(documents[random / 7 % DOCUMENTS], 1, (random % CHUNKS) as u32)
            })
            .collect()
    };
    let access = Access::Groups(["hr".to_owned()].into());
    let cold = Catalog::open(folder.path()).unwrap();
    let start = Instant::now();
    assert_eq!(cold.live_chunks(&ids(0), &access).unwrap().len(), IDS);
    eprintln!("{IDS} hits of {IDS} documents, first time: {:?}", start.elapsed());
    let one = ids(0);
    let same = median(|_| assert_eq!(catalog.live_chunks(&one, &access).unwrap().len(), IDS));
    eprintln!("{IDS} hits, the same again: {same:?}");
    let spread = median(|round| assert_eq!(catalog.live_chunks(&ids(round), &access).unwrap().len(), IDS));
    eprintln!("{IDS} hits, others each time: {spread:?}");

    let hashes: Vec<ContentHash> =
        catalog.chunks(documents[0]).unwrap().into_iter().map(|c| c.text_hash).collect();
    let vectors: Vec<_> = hashes.iter().map(|hash| (hash.clone(), vec![0.5f32; 384])).collect();
    let put = median(|_| catalog.put_vectors("e", &vectors).unwrap());
    let get = median(|_| assert_eq!(catalog.vectors("e", &hashes).unwrap().len(), hashes.len()));
    eprintln!("{CHUNKS} vectors: put {put:?}, get {get:?}");
    let (_, secret) =
        catalog.create_key(&lore_index::NewKey { name: "k".into(), ..Default::default() }).unwrap();
    let key = median(|_| assert!(catalog.authenticate(&secret).unwrap().is_some()));
    eprintln!("authenticate: {key:?}");
    let page = median(|_| assert_eq!(catalog.documents(&Default::default()).unwrap().documents.len(), 50));
    eprintln!("page of 50 of {DOCUMENTS} documents: {page:?}");
    let stored = median(|n| drop(catalog.store_original(format!("original {n}").as_bytes()).unwrap()));
    eprintln!("store_original of a small file: {stored:?}");
}

#[test]
#[ignore = "a measurement"]
fn lists_of_documents() {
    const MANY: usize = 10_000;
    let (_folder, catalog) = open();
    for n in 0..MANY {
        let mut document =
            document_for(&format!("folder {}/{n}.md", n % 97), if n % 3 == 0 { &["hr"] } else { &[] });
        document.meta.tags.insert("team".into(), format!("team {}", n % 20));
        catalog.commit_version(&document, &version(&"word ".repeat(n % 50 + 1))).unwrap();
    }
    let groups = Access::Groups(["hr".to_owned(), "it".to_owned()].into());
    for (access, who) in [(Access::All, "all"), (groups, "members")] {
        let base = || DocumentQuery { limit: 100, access: access.clone(), ..DocumentQuery::default() };
        for (what, query) in [
            ("by name", base()),
            ("by name, at 9,000 of all", DocumentQuery { skip: 9_000, ..base() }),
            ("by size, at 5,000", DocumentQuery { order: DocumentOrder::Size, skip: 5_000, ..base() }),
            ("by update", DocumentQuery { order: DocumentOrder::Updated, descending: true, ..base() }),
            ("by words", DocumentQuery { text: Some("folder 9 md".into()), ..base() }),
            ("by tag", DocumentQuery { tag: Some(("team".into(), "team 7".into())), ..base() }),
            (
                "by group",
                DocumentQuery { group: Some(lore_index::GroupFilter::Named("hr".into())), ..base() },
            ),
        ] {
            let took = median(|_| assert!(!catalog.documents(&query).unwrap().documents.is_empty()));
            eprintln!("{who}, {what}: {took:?}");
        }
        eprintln!("{who}, facets: {:?}", median(|_| assert!(catalog.facets(&access).unwrap().documents > 0)));
    }
    let documents = catalog.live_documents().unwrap();
    let gone = median(|n| {
        catalog.delete_for(documents[n], Duration::from_secs(60)).unwrap().unwrap();
    });
    let back = median(|n| drop(catalog.restore(documents[n]).unwrap().unwrap()));
    eprintln!("delete with undo: {gone:?}, restore: {back:?}");
}
