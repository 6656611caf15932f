#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lore_core::{Access, ContentHash, DocumentId, DocumentMeta, DocumentState, Format, Limits};
use lore_index::{Catalog, DocumentQuery, JobState, MetaChange, NewDocument, Upload};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::source::files::file_uri;

fn ingester(catalog: Catalog, window: usize, chunks: ChunkConfig, limits: Limits) -> Ingester {
    let count: TokenCounter = Arc::new(|text: &str| text.split_whitespace().count());
    Ingester::new(catalog, count, window, chunks, limits)
}

struct House {
    _dir: TempDir,
    docs: PathBuf,
    ingester: Ingester,
}

impl House {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let dir = TempDir::new().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let docs = root.join("docs");
        fs::create_dir(&docs).unwrap();
        let catalog = Catalog::open(&root.join("data")).unwrap();
        Self { _dir: dir, docs, ingester: ingester(catalog, 256, ChunkConfig::default(), limits) }
    }

    /// The same folders, with other settings.
    fn set(&mut self, window: usize, chunks: ChunkConfig, limits: Limits) {
        self.ingester = ingester(self.ingester.catalog().clone(), window, chunks, limits);
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.docs.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn ingest(&self, options: &IngestOptions) -> (IngestReport, BTreeMap<String, Outcome>) {
        let mut outcomes = BTreeMap::new();
        let mut hear = |event| {
            if let IngestEvent::Finished { name, outcome } = event {
                outcomes.insert(name, outcome);
            }
        };
        let report =
            self.ingester.ingest_paths(std::slice::from_ref(&self.docs), options, &mut hear).unwrap();
        (report, outcomes)
    }

    fn document(&self, name: &str) -> Option<lore_core::Document> {
        self.ingester.catalog().document(self.id(name)).unwrap()
    }

    fn id(&self, name: &str) -> DocumentId {
        DocumentId::from_source(&file_uri(&self.docs.join(name)))
    }

    fn acl(&self, name: &str) -> Vec<String> {
        self.document(name).unwrap().meta.acl.0.into_iter().collect()
    }

    fn names(&self) -> Vec<String> {
        let query = DocumentQuery { access: Access::All, limit: 100, ..DocumentQuery::default() };
        let page = self.ingester.catalog().documents(&query).unwrap();
        page.documents.into_iter().map(|d| d.name).collect()
    }
}

#[test]
fn a_tokenizer_that_panics_costs_one_file() {
    let house = House::new();
    house.write("good.md", "# A\n\nfine");
    house.write("bad.md", "# B\n\npoison");
    let count: TokenCounter = Arc::new(|text: &str| {
        assert!(!text.contains("poison"), "cannot count this");
        text.split_whitespace().count()
    });
    let ingester = Ingester { count, ..house.ingester.clone() };
    let mut failed = Vec::new();
    let mut hear = |event| {
        if let IngestEvent::Finished { name, outcome: Outcome::Failed { reason, .. } } = event {
            failed.push((name, reason));
        }
    };
    let paths = std::slice::from_ref(&house.docs);
    let report = ingester.ingest_paths(paths, &IngestOptions::default(), &mut hear).unwrap();
    assert_eq!((report.added, report.failed), (1, 1));
    assert_eq!(failed[0].0, "bad.md");
    assert!(failed[0].1.contains("cannot count this"), "{}", failed[0].1);
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what} did not come");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

const PRUNE: fn() -> IngestOptions = || IngestOptions { prune: true, ..IngestOptions::default() };

#[test]
fn added_changed_unchanged_removed() {
    let house = House::new();
    house.write("a.md", "# A\n\nThe first.\n");
    house.write("sub/b ü%.txt", "The second.\n");
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!((report.added, report.failed, report.skipped), (2, 0, 0));
    assert_eq!(report.bytes, 28);
    assert_eq!(house.names(), ["a.md", "sub/b ü%.txt"]);
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!((report.added, report.unchanged, report.changed()), (0, 2, false));

    house.write("a.md", "# A\n\nThe first, changed.\n");
    fs::remove_dir_all(house.docs.join("sub")).unwrap();
    let (report, _) = house.ingest(&IngestOptions::default());
    assert_eq!((report.updated, report.removed), (1, 0));
    assert_eq!(house.document("a.md").unwrap().version, 2);
    let (report, outcomes) = house.ingest(&PRUNE());
    assert_eq!((report.unchanged, report.removed), (1, 1));
    assert!(matches!(outcomes["sub/b ü%.txt"], Outcome::Removed { .. }));
    assert_eq!(house.names(), ["a.md"]);
}

#[test]
fn prune_stays_within_its_folder() {
    let house = House::new();
    house.write("x/a.md", "In the folder.\n");
    house.write("xy/b.md", "Beside the folder.\n");
    house.ingest(&PRUNE());
    fs::remove_file(house.docs.join("x/a.md")).unwrap();
    fs::remove_file(house.docs.join("xy/b.md")).unwrap();
    let forced = IngestOptions { force: true, ..PRUNE() };
    let report = house.ingester.ingest_paths(&[house.docs.join("x")], &forced, &mut |_| {}).unwrap();
    assert_eq!(report.removed, 1);
    assert_eq!(house.names(), ["xy/b.md"]);
    let gone = house.ingester.ingest_paths(&[house.docs.join("gone")], &PRUNE(), &mut |_| {});
    assert!(matches!(gone, Err(IngestError::Walk(_))));
}

#[test]
fn manifests_give_access_tags_dates() {
    let house = House::new();
    house.write(
        ".lore.yaml",
        "ignore: ['drafts/**']\nrules:\n  - path: '**'\n    tags: {company: h}\n  - path: 'board/**'\n    acl: [board]\n    \
         date: 2026-03-12\n  - path: 'old.md'\n    superseded_by: board/new.md\n",
    );
    house.write("board/.lore.yaml", "rules:\n  - path: 'open.md'\n    acl: []\n    tags: {open: 'yes'}\n");
    for name in ["old.md", "board/new.md", "board/open.md", "drafts/no.md"] {
        house.write(name, format!("Text of {name}."));
    }
    let options = IngestOptions { tags: [("run".into(), "1".into())].into(), ..PRUNE() };
    house.ingest(&options);
    assert_eq!(house.names(), ["board/new.md", "board/open.md", "old.md"]);
    let new = house.document("board/new.md").unwrap().meta;
    assert_eq!(new.acl.0, ["board".to_owned()].into());
    assert_eq!(new.date, Some(jiff::civil::date(2026, 3, 12)));
    assert_eq!(new.tags, [("company".into(), "h".into()), ("run".into(), "1".into())].into());
    assert!(house.document("board/open.md").unwrap().meta.acl.0.is_empty());
    assert_eq!(house.document("old.md").unwrap().meta.superseded_by.as_deref(), Some("board/new.md"));

    // A part of the folder has the access lists of the whole; its names are its own.
    let part = [house.docs.join("board/new.md")];
    house.ingester.ingest_paths(&part, &options, &mut |_| {}).unwrap();
    let document = house.document("board/new.md").unwrap();
    assert_eq!((document.name.as_str(), document.version), ("new.md", 1));
    assert_eq!(document.meta.acl.0, ["board".to_owned()].into());

    house.write(".lore.yaml", "rules:\n  - path: '**'\n    acl: [staff]\n");
    let options = IngestOptions { acl: ["extra".to_owned()].into(), ..PRUNE() };
    let (report, _) = house.ingest(&options);
    assert_eq!((report.added, report.meta_only, report.updated), (1, 3, 0));
    // Never wider than the manifest's, and where that names nobody, the groups given.
    assert_eq!(house.acl("old.md"), ["staff"]);
    assert_eq!(house.acl("board/open.md"), ["extra"]);

    // With a wrong manifest nothing is taken in: access lists may depend on it.
    house.write("board/.lore.yaml", "rules:\n  - path: 'a'\n    acls: [b]\n");
    let error =
        house.ingester.ingest_paths(std::slice::from_ref(&house.docs), &PRUNE(), &mut |_| {}).unwrap_err();
    assert!(
        error.to_string().ends_with("board/.lore.yaml, line 3: unknown key 'acls'; did you mean 'acl'?"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_goes_on() {
    let house = House::with(Limits { document_bytes: 2_000, ..Limits::default() });
    house.write("broken.pdf", b"%PDF-1.7\nnot really");
    house.write("empty.md", "  \n");
    house.write("picture.md", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    house.write("large.txt", "word ".repeat(1_000));
    house.write("film.mp4", b"0");
    house.write(".hidden.md", "hidden");
    house.write("skip/me.md", "ignored");
    house.write(".loreignore", "skip/\n");
    house.write("good.md", "It is good.");
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/hosts", house.docs.join("link.txt")).unwrap();
    let (report, outcomes) = house.ingest(&PRUNE());
    assert_eq!((report.added, report.failed), (1, 4), "{outcomes:?}");
    let reason = |name: &str| match &outcomes[name] {
        Outcome::Failed { reason, .. } | Outcome::Skipped { reason } => reason.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert!(reason("broken.pdf").contains("pdf"));
    assert!(reason("empty.md").contains("no text"));
    assert!(reason("picture.md").contains("rename"));
    assert!(reason("large.txt").contains("5000 bytes, the limit is 2000"));
    assert!(reason("film.mp4").contains("'mp4'"));
    #[cfg(unix)]
    assert!(reason("link.txt").contains("symbolic link"));
    assert!(!outcomes.contains_key("skip/me.md") && !outcomes.contains_key(".hidden.md"));
    assert!(matches!(house.document("large.txt").unwrap().state, DocumentState::Failed { .. }));

    // A version that was live stays, and comes back when the content does.
    house.write("good.md", "\n");
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!(report.failed, 5);
    let good = house.document("good.md").unwrap();
    assert!(good.version == 1 && matches!(good.state, DocumentState::Failed { .. }));
    house.write("good.md", "It is good.");
    house.ingest(&PRUNE());
    assert_eq!(house.document("good.md").unwrap().state, DocumentState::Live);
}

#[test]
fn access_set_by_hand_survives_plain_runs() {
    let house = House::new();
    house.write(".lore.yaml", "rules:\n  - path: 'pay.md'\n    acl: [people]\n");
    house.write("pay.md", "Pay.");
    house.write("plan.md", "Plan.");
    let board = IngestOptions { acl: ["board".to_owned()].into(), ..PRUNE() };
    let mut warnings = Vec::new();
    let mut hear = |event| {
        if let IngestEvent::Warning { message } = event {
            warnings.push(message);
        }
    };
    house.ingester.ingest_paths(std::slice::from_ref(&house.docs), &board, &mut hear).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("pay.md"), "{warnings:?}");
    assert_eq!(
        (house.acl("pay.md"), house.acl("plan.md")),
        (vec!["people".into()], vec!["board".to_owned()])
    );

    house.write("plan.md", "Plan, changed.");
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!((report.updated, report.kept_access), (1, 1));
    assert_eq!(house.acl("plan.md"), ["board"]);
    let open = MetaChange { acl: Some(Default::default()), ..MetaChange::default() };
    house.ingester.catalog().change_meta(house.id("plan.md"), &open).unwrap();
    // A folder that is followed asked for its groups once: they are for what is new.
    let (report, _) = house.ingest(&IngestOptions { acl_of_new: true, ..board });
    assert_eq!((report.kept_access, house.acl("plan.md").len()), (0, 0));
    house.ingester.catalog().change_meta(house.id("pay.md"), &open).unwrap();
    let (report, _) = house.ingest(&IngestOptions { reset_acl: true, ..PRUNE() });
    assert_eq!((report.meta_only, report.kept_access), (1, 0));
    assert_eq!(house.acl("pay.md"), ["people"]);
}

#[test]
fn a_restriction_does_not_wait_for_readable_content() {
    let house = House::new();
    house.write("a.md", "# A\n\nIt can be read.");
    house.ingest(&PRUNE());
    house.write("a.md", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!((report.failed, house.acl("a.md").len()), (1, 0));
    house.write(".lore.yaml", "rules:\n  - path: '**'\n    acl: [board]\n");
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!(report.failed, 1);
    assert_eq!((house.document("a.md").unwrap().version, house.acl("a.md")), (1, vec!["board".to_owned()]));
}

#[test]
fn what_failed_is_told_again_and_not_read_again() {
    let mut house = House::new();
    house.write("a.txt", "word ".repeat(100));
    house.set(256, ChunkConfig::default(), Limits { text_chars: 50, ..Limits::default() });
    let reads = |options: &IngestOptions, house: &House| {
        let (report, outcomes) = house.ingest(options);
        assert!(matches!(&outcomes["a.txt"], Outcome::Failed { reason, .. } if !reason.is_empty()));
        assert_eq!(report.failed, 1);
        house.document("a.txt").unwrap().updated_at
    };
    let first = reads(&PRUNE(), &house);
    assert_eq!(reads(&PRUNE(), &house), first, "it was not read again");
    let retried = reads(&IngestOptions { retry_failed: true, ..PRUNE() }, &house);
    assert_ne!(retried, first);
    // Another limit is a reason to try.
    house.set(256, ChunkConfig::default(), Limits::default());
    assert_eq!(house.ingest(&PRUNE()).0.added, 1);
}

#[test]
fn other_settings_cut_again() {
    let mut house = House::new();
    house.write("a.md", "word ".repeat(300));
    house.ingest(&PRUNE());
    let parsed = upload(&house, "b.md", "word ".repeat(300).as_bytes());
    let job = house.ingester.catalog().job(&parsed).unwrap().unwrap();
    let chunks = |house: &House, id| house.ingester.catalog().document(id).unwrap().unwrap().chunks;
    let before = chunks(&house, house.id("a.md"));
    assert!(house.ingester.stale().unwrap().is_empty());

    house.set(64, ChunkConfig::default(), Limits::default());
    assert_eq!(house.ingester.stale().unwrap(), [house.id("a.md")]);
    // Without the file: the stored original is enough.
    fs::remove_file(house.docs.join("a.md")).unwrap();
    let report = house.ingester.recut_stale(&mut |_, _| {}).unwrap();
    assert_eq!((report.recut, report.failed.len()), (1, 0));
    let after = chunks(&house, house.id("a.md"));
    assert!(after > before, "{after} {before}");
    assert!(house.ingester.stale().unwrap().is_empty());
    assert_eq!(chunks(&house, job.document), 0, "what waits is cut when it is read");

    house.write("a.md", "word ".repeat(300));
    let narrow = ChunkConfig { max_tokens: 20, ..ChunkConfig::default() };
    house.set(64, narrow, Limits::default());
    assert_eq!(house.ingest(&PRUNE()).0.updated, 1);
    assert!(chunks(&house, house.id("a.md")) > after);
    assert_eq!(house.ingest(&PRUNE()).0.unchanged, 1);
}

#[test]
fn a_folder_that_lost_most_of_its_files_is_not_pruned() {
    let house = House::new();
    (0..30).for_each(|i| house.write(&format!("{i:02}.md"), format!("Number {i}.")));
    house.ingest(&PRUNE());
    (0..16).for_each(|i| fs::remove_file(house.docs.join(format!("{i:02}.md"))).unwrap());
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!((report.removed, report.not_pruned, house.names().len()), (0, 16, 30));
    fs::remove_dir_all(&house.docs).unwrap();
    fs::create_dir(&house.docs).unwrap();
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!((report.removed, report.not_pruned, house.names().len()), (0, 30, 30));
    let (report, _) = house.ingest(&IngestOptions { force: true, ..PRUNE() });
    assert_eq!((report.removed, report.not_pruned, house.names().len()), (30, 0, 0));
}

#[test]
fn only_changed_chunks_get_new_texts() {
    let house = House::new();
    let section = |i: usize, text: &str| format!("# Part {i}\n\n{}\n\n", vec![text; 60].join(" "));
    let build = |changed: &str| -> String {
        (0..10).map(|i| section(i, if i == 5 { changed } else { "same" })).collect()
    };
    house.write("a.md", build("old"));
    house.ingest(&PRUNE());
    let hashes = || -> Vec<ContentHash> {
        let chunks = house.ingester.catalog().chunks(house.id("a.md")).unwrap();
        chunks.into_iter().map(|c| c.text_hash).collect()
    };
    let before = hashes();
    house.write("a.md", build("new"));
    house.ingest(&PRUNE());
    let after = hashes();
    assert_eq!(after.len(), 10);
    assert_eq!(after.iter().filter(|h| !before.contains(h)).count(), 1);
}

#[test]
fn events_are_lines_of_json() {
    let house = House::new();
    house.write("a.md", "One.");
    let mut lines = Vec::new();
    let paths = [house.docs.clone()];
    let mut hear = |event: IngestEvent| lines.push(serde_json::to_value(&event).unwrap());
    house.ingester.ingest_paths(&paths, &IngestOptions::default(), &mut hear).unwrap();
    let kinds: Vec<_> = lines.iter().map(|l| l["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["discovered", "started", "finished", "done"]);
    assert_eq!(lines[2]["outcome"], "added");
    assert_eq!(lines[2]["name"], "a.md");
    assert_eq!(lines[3]["added"], 1);
}

#[test]
fn a_run_can_be_stopped() {
    let house = House::new();
    (0..50).for_each(|i| house.write(&format!("{i:02}.md"), format!("Number {i}.")));
    let options = PRUNE();
    let stop = options.stop.clone();
    let mut hear = |event| {
        if matches!(event, IngestEvent::Finished { .. }) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let paths = [house.docs.clone()];
    let report = house.ingester.ingest_paths(&paths, &options, &mut hear).unwrap();
    assert!(report.stopped && report.added >= 1 && report.added < 10, "{report:?}");
    let (report, _) = house.ingest(&PRUNE());
    assert_eq!(report.added + report.unchanged, 50);
}

#[test]
fn the_data_folder_is_not_a_document() {
    let house = House::new();
    house.write("a.md", "One.");
    let root = house.docs.parent().unwrap().to_owned();
    let report = house.ingester.ingest_paths(&[root], &PRUNE(), &mut |_| {}).unwrap();
    assert_eq!((report.added, report.skipped, report.failed), (1, 0, 0));
    assert_eq!(house.names(), ["docs/a.md"]);
}

#[test]
fn a_folder_is_followed() {
    let house = House::new();
    house.write("a.md", "One.");
    house.write("old/b.md", "Two.");
    let options = PRUNE();
    let stop = options.stop.clone();
    let (ingester, paths) = (house.ingester.clone(), [house.docs.clone()]);
    let thread = std::thread::spawn(move || crate::watch(&ingester, &paths, &options, &mut |_| {}));
    wait("the first walk", || house.names() == ["a.md", "old/b.md"]);
    house.write("a.md", "One, changed.");
    wait("the change", || house.document("a.md").is_some_and(|d| d.version == 2));
    house.write("new/c.md", "Three.");
    wait("a file in a new folder", || house.document("new/c.md").is_some());
    fs::rename(house.docs.join("old"), house.docs.join("moved")).unwrap();
    wait("a renamed folder", || house.names() == ["a.md", "moved/b.md", "new/c.md"]);
    fs::remove_file(house.docs.join("a.md")).unwrap();
    wait("a removed file", || house.document("a.md").is_none());
    house.write(".lore.yaml", "rules:\n  - path: '**'\n    acl: [staff]\n");
    wait("a changed manifest", || house.document("new/c.md").is_some_and(|d| d.meta.acl.0.contains("staff")));
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap().unwrap();
}

fn upload(house: &House, name: &str, bytes: &[u8]) -> String {
    let catalog = house.ingester.catalog();
    let hash = catalog.store_original(bytes).unwrap();
    let document = NewDocument {
        source: format!("upload:{name}"),
        name: name.into(),
        format: Format::from_extension(Path::new(name).extension().unwrap().to_str().unwrap()).unwrap(),
        meta: DocumentMeta::default(),
        acl: lore_index::AclChoice::Keep,
    };
    let upload = Upload { document, hash, size: bytes.len() as u64 };
    catalog.enqueue(&[upload], 10).unwrap().remove(0).id
}

#[tokio::test]
async fn the_worker_takes_uploads() {
    let house = House::new();
    let good = upload(&house, "good.md", b"# Title\n\nSome text.\n");
    let bad = upload(&house, "bad.pdf", b"this is no pdf");
    let wake = Arc::new(Notify::new());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let changes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let heard = changes.clone();
    let tell = move |event| {
        assert_eq!(event, crate::worker::WorkerEvent::Changed);
        heard.fetch_add(1, Ordering::Relaxed);
    };
    let worker =
        tokio::spawn(crate::worker::run(house.ingester.clone(), "w1".into(), wake.clone(), stopped, tell));
    let state = |id: &str| house.ingester.catalog().job(id).unwrap().unwrap().state;
    let until = async |id: &str| {
        for _ in 0..1_000 {
            if !matches!(state(id), JobState::Queued | JobState::Running) {
                return state(id);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the job did not end");
    };
    assert_eq!(until(&good).await, JobState::Done);
    let JobState::Failed { reason } = until(&bad).await else { panic!("the broken file was taken") };
    assert!(reason.contains("pdf"), "{reason}");
    assert_eq!(changes.load(Ordering::Relaxed), 1);
    let again = upload(&house, "good.md", b"# Title\n\nOther text.\n");
    wake.notify_one();
    assert_eq!(until(&again).await, JobState::Done);
    let document =
        house.ingester.catalog().document(DocumentId::from_source("upload:good.md")).unwrap().unwrap();
    assert_eq!((document.version, document.title.as_str()), (2, "Title"));
    stop.send(true).unwrap();
    worker.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_damaged_original_fails_its_job_alone() {
    let house = House::new();
    let damaged = upload(&house, "damaged.md", b"# One\n\nFirst.\n");
    let good = upload(&house, "good.md", b"# Two\n\nSecond.\n");
    let catalog = house.ingester.catalog();
    let hash = catalog.job(&damaged).unwrap().unwrap().content_hash;
    fs::write(catalog.original_path(&hash), "something else").unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let changed = Arc::new(Notify::new());
    let heard = changed.clone();
    let tell = move |event| {
        assert_eq!(event, crate::worker::WorkerEvent::Changed, "the worker went on");
        heard.notify_one();
    };
    let worker =
        tokio::spawn(crate::worker::run(house.ingester.clone(), "w".into(), Arc::default(), stopped, tell));
    tokio::time::timeout(Duration::from_secs(20), changed.notified()).await.unwrap();
    assert_eq!(catalog.job(&good).unwrap().unwrap().state, JobState::Done);
    let JobState::Failed { reason } = catalog.job(&damaged).unwrap().unwrap().state else { panic!("taken") };
    assert!(reason.contains("damaged") && reason.contains("upload it again"), "{reason}");
    stop.send(true).unwrap();
    worker.await.unwrap().unwrap();
}
