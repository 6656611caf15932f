//! Random sequences of changes against a model in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use lore_core::{Access, ChunkId, ContentHash, DocumentId, DocumentState, Seq};
use lore_index::{Catalog, ChangeKind, DocumentQuery, NewDocument};
use proptest::prelude::*;
use support::*;

const DOCUMENTS: usize = 4;
const TEXTS: [&str; 5] = ["one\ntwo", "one", "three\none\nzwei ü", "", "四\n五\n六"];
const GROUPS: [&[&str]; 3] = [&[], &["hr"], &["board", "hr"]];

#[derive(Clone, Debug)]
enum Step {
    Commit { document: usize, text: usize, groups: usize },
    Fail { document: usize, text: usize },
    Delete { document: usize },
    Meta { document: usize, groups: usize },
    Enqueue { document: usize, text: usize, groups: usize },
    Work { succeed: bool },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let (document, text, groups) = (0..DOCUMENTS, 0..TEXTS.len(), 0..GROUPS.len());
    prop_oneof![
        4 => (document.clone(), text.clone(), groups.clone())
            .prop_map(|(document, text, groups)| Step::Commit { document, text, groups }),
        1 => (document.clone(), text.clone()).prop_map(|(document, text)| Step::Fail { document, text }),
        2 => document.clone().prop_map(|document| Step::Delete { document }),
        2 => (document.clone(), groups.clone()).prop_map(|(document, groups)| Step::Meta { document, groups }),
        3 => (document, text, groups)
            .prop_map(|(document, text, groups)| Step::Enqueue { document, text, groups }),
        3 => any::<bool>().prop_map(|succeed| Step::Work { succeed }),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// Live version and its text; versions kept, oldest first.
    kept: Vec<(u32, usize)>,
    groups: usize,
    /// Whether the groups were set by hand, and what the source said last.
    by_hand: bool,
    source: usize,
    state: &'static str,
    failed: Option<usize>,
    job: Option<Waiting>,
}

impl Known {
    /// The source says `source`.
    fn says(&mut self, source: usize) {
        self.groups = match (self.by_hand, self.source == source) {
            (false, _) => source,
            (true, true) => self.groups,
            // The lists are nested: the open one, two groups, one of the two.
            (true, false) if source == 0 || self.groups == 0 => source.max(self.groups),
            (true, false) => source.min(self.groups),
        };
        self.source = source;
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    order: u64,
    text: usize,
    groups: usize,
}

#[derive(Default)]
struct Model {
    documents: BTreeMap<usize, Known>,
    versions: BTreeMap<usize, u32>,
    changes: Vec<(usize, ChangeKind)>,
    clock: u64,
}

impl Model {
    fn commit(&mut self, document: usize, text: usize, groups: usize) {
        let known = self.documents.entry(document).or_default();
        let before = known.groups;
        known.says(groups);
        let differs = known.groups != before;
        known.state = "live";
        known.failed = None;
        if known.kept.last().is_some_and(|(_, live)| *live == text) {
            if differs {
                self.changes.push((document, ChangeKind::Meta));
            }
            return;
        }
        let version = self.versions.entry(document).or_default();
        *version += 1;
        known.kept.push((*version, text));
        if known.kept.len() > 3 {
            known.kept.remove(0);
        }
        self.changes.push((document, ChangeKind::Version(*version)));
    }

    fn fail(&mut self, document: usize, text: usize, groups: Option<usize>) {
        let known = self.documents.entry(document).or_default();
        if let Some(groups) = groups {
            known.says(groups);
        }
        known.state = "failed";
        known.failed = Some(text);
    }

    fn meta(&mut self, document: usize, groups: usize) {
        let Some(known) = self.documents.get_mut(&document) else { return };
        known.by_hand = true;
        if known.groups != groups {
            known.groups = groups;
            self.changes.push((document, ChangeKind::Meta));
        }
    }

    fn enqueue(&mut self, document: usize, text: usize, groups: usize) {
        self.clock += 1;
        let known = self.documents.entry(document).or_default();
        if known.kept.is_empty() {
            known.says(groups);
        }
        known.state = "pending";
        known.failed = None;
        let order = known.job.as_ref().map_or(self.clock, |job| job.order);
        known.job = Some(Waiting { order, text, groups });
    }

    fn next_job(&self) -> Option<(usize, Waiting)> {
        let waiting =
            self.documents.iter().filter_map(|(document, known)| Some((*document, known.job.clone()?)));
        waiting.min_by_key(|(_, job)| job.order)
    }
}

fn name(document: usize) -> String {
    format!("{document}.md")
}

fn id(document: usize) -> DocumentId {
    DocumentId::from_source(&format!("upload:{}", name(document)))
}

fn upload(document: usize, groups: usize) -> NewDocument {
    document_for(&name(document), GROUPS[groups])
}

fn apply(catalog: &Catalog, model: &mut Model, step: &Step) {
    match *step {
        Step::Commit { document, text, groups } => {
            catalog.store_original(TEXTS[text].as_bytes()).unwrap();
            let committed = catalog.commit_version(&upload(document, groups), &version(TEXTS[text])).unwrap();
            model.commit(document, text, groups);
            assert_eq!(committed.version, model.documents[&document].kept.last().unwrap().0);
        }
        Step::Fail { document, text } => {
            let hash = catalog.store_original(TEXTS[text].as_bytes()).unwrap();
            // Groups that change nothing: what a failure does to others has a test of its own.
            let groups = model.documents.get(&document).map_or(0, |known| known.groups);
            catalog.commit_failure(&upload(document, groups), Some(&hash), "unreadable", "").unwrap();
            model.fail(document, text, Some(groups));
        }
        Step::Delete { document } => {
            let known = model.documents.remove(&document).is_some();
            assert_eq!(catalog.delete(id(document)).unwrap().is_some(), known);
            if known {
                model.changes.push((document, ChangeKind::Deleted));
            }
        }
        Step::Meta { document, groups } => {
            let before = model.changes.len();
            model.meta(document, groups);
            let changed = catalog.change_meta(id(document), &acl(GROUPS[groups])).unwrap();
            assert_eq!(changed.and_then(|(_, seq)| seq).is_some(), model.changes.len() > before);
        }
        Step::Enqueue { document, text, groups } => {
            enqueue(catalog, &upload(document, groups), TEXTS[text]);
            model.enqueue(document, text, groups);
        }
        Step::Work { succeed } => {
            let leased = catalog.lease_job("w", 60).unwrap();
            let expected = model.next_job();
            assert_eq!(leased.is_some(), expected.is_some());
            let (Some((job, given)), Some((document, waiting))) = (leased, expected) else { return };
            assert_eq!(given, upload(document, waiting.groups));
            model.documents.get_mut(&document).unwrap().job = None;
            if succeed {
                catalog.commit_job(&job.id, "w", &given, &version(TEXTS[waiting.text])).unwrap().unwrap();
                model.commit(document, waiting.text, waiting.groups);
            } else {
                assert!(catalog.fail_job(&job.id, "w", "unreadable").unwrap());
                model.fail(document, waiting.text, None);
            }
        }
        Step::Reopen => {}
    }
}

fn compare(catalog: &Catalog, model: &Model) {
    for groups in [&["hr"][..], &["other"], &["board"]] {
        let access = Access::Groups(groups.iter().map(|group| (*group).to_owned()).collect());
        let readable = |known: &&Known| {
            GROUPS[known.groups].is_empty() || GROUPS[known.groups].iter().any(|g| groups.contains(g))
        };
        let query = DocumentQuery { access: access.clone(), ..DocumentQuery::default() };
        let listed: Vec<(String, u32, &str)> = catalog
            .documents(&query)
            .unwrap()
            .documents
            .into_iter()
            .map(|d| {
                let state = match d.state {
                    DocumentState::Live => "live",
                    DocumentState::Pending => "pending",
                    DocumentState::Failed { .. } => "failed",
                };
                (d.name, d.version, state)
            })
            .collect();
        let expected: Vec<(String, u32, &str)> = model
            .documents
            .iter()
            .filter(|(_, known)| readable(known))
            .map(|(document, known)| (name(*document), known.kept.last().map_or(0, |v| v.0), known.state))
            .collect();
        assert_eq!(listed, expected);

        // Every chunk id that there ever was, the newest documents first, so that the order asked for matters.
        let ids: Vec<ChunkId> = (0..DOCUMENTS)
            .rev()
            .flat_map(|document| {
                let versions = model.versions.get(&document).copied().unwrap_or(0);
                (1..=versions).flat_map(move |v| (0..3).map(move |n| ChunkId::new(id(document), v, n)))
            })
            .collect();
        let found: Vec<(ChunkId, String)> = catalog
            .live_chunks(&ids, &access)
            .unwrap()
            .into_iter()
            .map(|live| (live.chunk.id, live.chunk.text))
            .collect();
        let mut expected = Vec::new();
        for (document, known) in model.documents.iter().rev().filter(|(_, known)| readable(known)) {
            let Some((version, text)) = known.kept.last() else { continue };
            for (n, line) in TEXTS[*text].lines().enumerate() {
                expected.push((ChunkId::new(id(*document), *version, n as u32), line.to_owned()));
            }
        }
        assert_eq!(found, expected);
    }

    let changes: Vec<_> = catalog
        .changes_after(Seq(0), 1_000)
        .unwrap()
        .into_iter()
        .map(|change| (change.seq.0, change.document, change.kind))
        .collect();
    let expected: Vec<_> =
        (1..).zip(&model.changes).map(|(seq, (document, kind))| (seq, id(*document), *kind)).collect();
    assert_eq!(changes, expected);
    let middle = expected.len() as u64 / 2;
    let rest = catalog.changes_after(Seq(middle), 2).unwrap();
    assert!(rest.iter().zip(middle + 1..).all(|(change, seq)| change.seq.0 == seq));

    let mut originals = BTreeSet::new();
    for (document, known) in &model.documents {
        let versions = catalog.versions(id(*document), &Access::All).unwrap();
        assert_eq!(
            versions.iter().map(|v| v.version).collect::<Vec<_>>(),
            known.kept.iter().map(|v| v.0).collect::<Vec<_>>()
        );
        for (version, text) in &known.kept {
            let parsed = catalog.parsed(id(*document), *version).unwrap().unwrap();
            assert_eq!(parsed.text, TEXTS[*text]);
            originals.insert(*text);
        }
        originals.extend(known.failed);
        originals.extend(known.job.as_ref().map(|job| job.text));
    }
    let expected: BTreeSet<String> =
        originals.into_iter().map(|text| ContentHash::of(TEXTS[text].as_bytes()).0).collect();
    let stored = files(&catalog.folder().join("originals"));
    assert_eq!(stored, expected.into_iter().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_catalog_does_what_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        let (_folder, mut catalog) = open();
        let mut model = Model::default();
        for step in &steps {
            if matches!(step, Step::Reopen) {
                catalog = Catalog::open(catalog.folder()).unwrap();
            }
            apply(&catalog, &mut model, step);
            compare(&catalog, &model);
        }
        prop_assert_eq!(catalog.integrity().unwrap(), Vec::<String>::new());
    }
}
