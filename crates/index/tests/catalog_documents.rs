//! Documents in the catalog: round trips, meta, access, paging, versions, deletion.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use lore_core::{
    Access, Acl, Block, BlockKind, ChunkId, ContentHash, DocumentId, DocumentState, Heading, Seq, Span,
};
use lore_index::{AclChoice, Catalog, ChangeKind, DocumentQuery, IndexError, MetaChange, NewDocument};
use support::*;

fn groups(names: &[&str]) -> Access {
    Access::Groups(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn a_version_comes_back_as_it_went_in() {
    let (_folder, catalog) = open();
    let text = "Reisekosten über 50 €\n出差须知：先申请。\nlast line";
    let hash = catalog.store_original(text.as_bytes()).unwrap();
    let mut new = version(text);
    new.parsed.title = Some("Travel".into());
    new.parsed.blocks = vec![Block { kind: BlockKind::Table, span: Span::new(0, 21) }];
    new.parsed.headings = vec![Heading { level: 2, title: "Köpfe".into(), at: 3 }];
    new.parsed.pages = vec![Span::new(0, 21), Span::new(21, 42)];
    new.chunks[1].context = Some("| a | b |".into());
    new.chunks[2].pages = None;
    let mut doc = document("rules/travel.md");
    doc.meta.tags.insert("department".into(), "people".into());
    doc.meta.date = Some("2025-03-01".parse().unwrap());
    doc.meta.superseded_by = Some("rules/travel-2.md".into());
    let committed = catalog.commit_version(&doc, &new).unwrap();
    assert_eq!((committed.version, committed.seq), (1, Some(Seq(1))));

    let stored = catalog.document(committed.document).unwrap().unwrap();
    assert_eq!(stored.meta, doc.meta);
    assert_eq!((stored.title.as_str(), stored.pages, stored.chunks), ("Travel", Some(2), 3));
    assert_eq!(
        (stored.state.clone(), stored.content_hash.clone()),
        (DocumentState::Live, Some(hash.clone()))
    );
    let json = serde_json::to_value(&stored).unwrap();
    assert_eq!(json["state"], "live");
    assert_eq!(serde_json::from_value::<lore_core::Document>(json).unwrap(), stored);
    assert_eq!(*catalog.parsed(committed.document, 1).unwrap().unwrap(), new.parsed);
    assert_eq!(catalog.original(&hash).unwrap().unwrap(), text.as_bytes());

    let chunks = catalog.chunks(committed.document).unwrap();
    assert_eq!(chunks.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), text.lines().collect::<Vec<_>>());
    for (chunk, place) in chunks.iter().zip(&new.chunks) {
        assert_eq!(chunk.place, *place);
        assert_eq!(chunk.place.span.slice(text), Some(chunk.text.as_str()));
        let embedded = place.embed_text("Travel", &chunk.text);
        assert_eq!(chunk.text_hash, ContentHash::of(embedded.as_bytes()));
    }
    // Another handle has nothing cached, the answer is the same.
    let other = Catalog::open(catalog.folder()).unwrap();
    let ids: Vec<ChunkId> = chunks.iter().rev().map(|chunk| chunk.id).collect();
    let live = other.live_chunks(&ids, &Access::All).unwrap();
    assert_eq!(
        live.iter().map(|l| l.chunk.clone()).collect::<Vec<_>>(),
        chunks.into_iter().rev().collect::<Vec<_>>()
    );
    assert!(live.iter().all(|l| *l.document == stored));
    assert_eq!(catalog.counts().unwrap(), (1, 3));
    assert_eq!(catalog.integrity().unwrap(), Vec::<String>::new());
}

#[test]
fn a_long_text_is_sliced_without_being_read_whole() {
    let (_folder, catalog) = open();
    let text: String =
        (0..4_000).map(|n| format!("第{n}行 of a long document{}\n", "，等等".repeat(40))).collect();
    assert!(text.len() > 1 << 20);
    let committed = commit(&catalog, "long.md", &text);
    let other = Catalog::open(catalog.folder()).unwrap();
    let ordinals = [3_999, 7, 2_000];
    let ids: Vec<ChunkId> = ordinals.map(|ordinal| ChunkId::new(committed.document, 1, ordinal)).into();
    let live = other.live_chunks(&ids, &Access::All).unwrap();
    let texts: Vec<&str> = live.iter().map(|l| l.chunk.text.as_str()).collect();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(texts, ordinals.map(|ordinal| lines[ordinal as usize]));
}

#[test]
fn unchanged_content_is_no_change() {
    let (_folder, catalog) = open();
    let first = commit(&catalog, "a.md", "one\ntwo");
    assert!(catalog.is_current("upload:a.md", &ContentHash::of(b"one\ntwo"), 1, "").unwrap());
    assert!(!catalog.is_current("upload:a.md", &ContentHash::of(b"one\ntwo"), 2, "").unwrap());
    assert!(!catalog.is_current("upload:a.md", &ContentHash::of(b"other"), 1, "").unwrap());
    assert!(!catalog.is_current("upload:b.md", &ContentHash::of(b"one\ntwo"), 1, "").unwrap());
    let again = commit(&catalog, "a.md", "one\ntwo");
    assert_eq!((again.version, again.seq), (first.version, None));

    let tagged = catalog.commit_version(&document_for("a.md", &["hr"]), &version("one\ntwo")).unwrap();
    assert_eq!((tagged.version, tagged.seq), (1, Some(Seq(2))));
    let mut newer = version("one\ntwo");
    newer.pipeline = 2;
    let parsed_again = catalog.commit_version(&document_for("a.md", &["hr"]), &newer).unwrap();
    assert_eq!((parsed_again.version, parsed_again.seq), (2, Some(Seq(3))));
    assert_eq!(catalog.stale_documents(2, "").unwrap(), []);
    assert_eq!(catalog.stale_documents(2, "other").unwrap(), [first.document]);
    let kinds: Vec<ChangeKind> =
        catalog.changes_after(Seq(0), 10).unwrap().into_iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ChangeKind::Version(1), ChangeKind::Meta, ChangeKind::Version(2)]);
    assert_eq!(catalog.last_seq().unwrap(), Seq(3));
}

#[test]
fn a_chunk_outside_of_the_text_is_refused() {
    let (_folder, catalog) = open();
    let mut new = version("é");
    new.chunks[0].span = Span::new(0, 2);
    let error = catalog.commit_version(&document("a.md"), &new).unwrap_err();
    assert!(matches!(error, IndexError::Invalid(_)), "{error}");
    assert_eq!(catalog.document(DocumentId::from_source("upload:a.md")).unwrap(), None);
}

#[test]
fn meta_changes_at_once() {
    let (_folder, catalog) = open();
    let id = commit(&catalog, "a.md", "open text").document;
    let chunk = ChunkId::new(id, 1, 0);
    assert_eq!(catalog.live_chunks(&[chunk], &groups(&[])).unwrap().len(), 1);
    let meta = document_for("a.md", &["board"]).meta;
    let change = acl(&["board"]);
    let (changed, seq) = catalog.change_meta(id, &change).unwrap().unwrap();
    assert_eq!((&changed.meta, seq), (&meta, Some(Seq(2))));
    assert_eq!(catalog.change_meta(id, &change).unwrap().unwrap().1, None);
    assert_eq!(catalog.change_meta(DocumentId::from_source("nobody"), &change).unwrap(), None);
    assert!(catalog.live_chunks(&[chunk], &groups(&["staff"])).unwrap().is_empty());
    assert_eq!(catalog.live_chunks(&[chunk], &groups(&["staff", "board"])).unwrap().len(), 1);
    assert_eq!(catalog.live_chunks(&[chunk], &Access::All).unwrap()[0].document.meta, meta);
}

#[test]
fn pages_hold_each_readable_document_once() {
    let (_folder, catalog) = open();
    for n in 0..25 {
        let name = format!("folder{}/Übung {n:02}.md", n % 2);
        let restricted: &[&str] = if n % 5 == 0 { &["board", "hr"] } else { &[] };
        catalog.commit_version(&document_for(&name, restricted), &version(&format!("text {n}"))).unwrap();
    }
    // Two documents of one name are both listed.
    let mut twin = document("folder0/Übung 02.md");
    twin.source = "file:///elsewhere.md".into();
    catalog.commit_version(&twin, &version("twin")).unwrap();

    let walk = |query: DocumentQuery| {
        let (mut names, mut query) = (Vec::new(), query);
        loop {
            let page = catalog.documents(&query).unwrap();
            assert!(page.documents.len() <= query.limit);
            names.extend(page.documents.into_iter().map(|d| (d.name, d.id)));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return (names, page.total),
            }
        }
    };
    let (all, total) = walk(DocumentQuery { limit: 7, ..DocumentQuery::default() });
    assert_eq!((all.len(), total), (26, 26));
    assert!(all.is_sorted());
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 26);
    let (open_only, total) =
        walk(DocumentQuery { limit: 4, access: groups(&["x"]), ..DocumentQuery::default() });
    assert_eq!((open_only.len(), total), (21, 21));
    let (with_hr, _) = walk(DocumentQuery { access: groups(&["hr"]), ..DocumentQuery::default() });
    assert_eq!(with_hr.len(), 26);
    let (prefixed, _) =
        walk(DocumentQuery { name_prefix: Some("folder1/".into()), ..DocumentQuery::default() });
    assert_eq!(prefixed.len(), 12);
    let (of_source, _) =
        walk(DocumentQuery { source_prefix: Some("file://".into()), ..DocumentQuery::default() });
    assert_eq!(of_source.len(), 1);
    let (found, _) =
        walk(DocumentQuery { text: Some("ÜBUNG 2".into()), limit: 3, ..DocumentQuery::default() });
    assert_eq!(found.len(), 8, "02 twice, 12, 20 to 24: {found:?}");
    for query in [
        DocumentQuery { state: Some("dead".into()), ..DocumentQuery::default() },
        DocumentQuery { after: Some("no cursor".into()), ..DocumentQuery::default() },
    ] {
        assert!(matches!(catalog.documents(&query), Err(IndexError::Invalid(_))));
    }
}

#[test]
fn three_versions_are_kept() {
    let (folder, catalog) = open();
    for n in 1..=5 {
        commit(&catalog, "a.md", &format!("version {n}"));
    }
    let id = DocumentId::from_source("upload:a.md");
    let versions: Vec<u32> =
        catalog.versions(id, &Access::All).unwrap().into_iter().map(|v| v.version).collect();
    assert_eq!(versions, [3, 4, 5]);
    assert!(catalog.parsed(id, 2).unwrap().is_none());
    assert_eq!(catalog.parsed(id, 3).unwrap().unwrap().text, "version 3");
    assert_eq!(files(&folder.path().join("originals")).len(), 3);
    assert!(catalog.original(&ContentHash::of(b"version 2")).unwrap().is_none());
    let stale: Vec<ChunkId> = (1..=5).map(|version| ChunkId::new(id, version, 0)).collect();
    let live = catalog.live_chunks(&stale, &Access::All).unwrap();
    assert_eq!(live.iter().map(|l| l.chunk.version).collect::<Vec<_>>(), [5]);
}

#[test]
fn deletion_removes_everything_but_what_others_share() {
    let (folder, catalog) = open();
    let secret = "the word xylophonist stands nowhere else";
    let id = commit(&catalog, "a.md", secret).document;
    commit(&catalog, "a.md", "shared");
    let other = commit(&catalog, "b.md", "shared").document;
    let hashes: Vec<ContentHash> = catalog.chunks(id).unwrap().into_iter().map(|c| c.text_hash).collect();
    catalog.put_vectors("e5", &[(hashes[0].clone(), vec![0.5, -1.0])]).unwrap();
    assert_eq!(catalog.vectors("e5", &hashes).unwrap()[&hashes[0]], [0.5, -1.0]);
    assert!(catalog.vectors("another", &hashes).unwrap().is_empty());

    assert_eq!(catalog.delete(id).unwrap(), Some(Seq(4)));
    assert_eq!(catalog.delete(id).unwrap(), None);
    assert_eq!(catalog.document(id).unwrap(), None);
    assert!(catalog.parsed(id, 2).unwrap().is_none());
    assert!(catalog.live_chunks(&[ChunkId::new(id, 2, 0)], &Access::All).unwrap().is_empty());
    assert!(catalog.vectors("e5", &hashes).unwrap().is_empty());
    assert_eq!(files(&folder.path().join("originals")), [ContentHash::of(b"shared").0]);
    assert_eq!(catalog.chunks(other).unwrap()[0].text, "shared");
    assert_eq!(catalog.live_documents().unwrap(), [other]);

    // A document that comes back counts on, so no chunk id means two texts.
    assert_eq!(commit(&catalog, "a.md", "new life").version, 3);
    catalog.vacuum().unwrap();
    drop(catalog);
    for name in ["catalog.db", "catalog.db-wal"] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap_or_default();
        assert!(!bytes.windows(11).any(|w| w == b"xylophonist"), "{name} still has the deleted text");
    }
}

#[test]
fn vectors_of_unchanged_texts_stay() {
    let (_folder, catalog) = open();
    let id = commit(&catalog, "a.md", "stays\ngoes").document;
    let hashes: Vec<ContentHash> = catalog.chunks(id).unwrap().into_iter().map(|c| c.text_hash).collect();
    let vectors: Vec<_> = hashes.iter().map(|hash| (hash.clone(), vec![1.0f32; 4])).collect();
    catalog.put_vectors("e5", &vectors).unwrap();
    commit(&catalog, "a.md", "comes\nstays");
    let found = catalog.vectors("e5", &hashes).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), [&hashes[0]]);

    // A vector that comes when its text has gone is not kept.
    catalog.put_vectors("e5", &[(hashes[1].clone(), vec![1.0; 4])]).unwrap();
    assert!(catalog.vectors("e5", &hashes[1..]).unwrap().is_empty());
    assert_eq!(catalog.vacuum().unwrap().vectors, 0);
}

#[test]
fn failures_are_shown_and_the_live_version_stays() {
    let (folder, catalog) = open();
    let id = commit(&catalog, "a.md", "good").document;
    let bad = catalog.store_original(b"\x00bad").unwrap();
    catalog.commit_failure(&document("a.md"), Some(&bad), "the file is encrypted", "p1").unwrap();
    let stored = catalog.document(id).unwrap().unwrap();
    assert_eq!(stored.state, DocumentState::Failed { reason: "the file is encrypted".into() });
    assert_eq!(stored.version, 1);
    assert_eq!(serde_json::to_value(&stored).unwrap()["reason"], "the file is encrypted");
    assert_eq!(catalog.live_chunks(&[ChunkId::new(id, 1, 0)], &Access::All).unwrap().len(), 1);
    let never = catalog.commit_failure(&document("b.md"), None, "empty", "p1").unwrap();
    assert_eq!(catalog.document(never).unwrap().unwrap().version, 0);
    let failed = DocumentQuery { state: Some("failed".into()), ..DocumentQuery::default() };
    assert_eq!(catalog.documents(&failed).unwrap().total, 2);
    assert_eq!(catalog.counts().unwrap(), (1, 1));
    assert_eq!(files(&folder.path().join("originals")).len(), 2);
    commit(&catalog, "a.md", "good");
    assert_eq!(catalog.document(id).unwrap().unwrap().state, DocumentState::Live);
    assert_eq!(files(&folder.path().join("originals")).len(), 1);
    assert_eq!(catalog.change_meta(never, &MetaChange::default()).unwrap().unwrap().1, None);
}

#[test]
fn originals_are_safe_from_names_that_are_no_hashes() {
    let (folder, catalog) = open();
    let path = catalog.original_path(&ContentHash("../../etc/passwd".into()));
    assert!(path.starts_with(folder.path().join("originals")));
    assert!(!path.components().any(|part| part == std::path::Component::ParentDir));
    assert!(catalog.original(&ContentHash("ü".into())).unwrap().is_none());
    let hash = catalog.store_original(b"whole").unwrap();
    std::fs::write(catalog.original_path(&hash), b"hole!").unwrap();
    assert!(matches!(catalog.original(&hash), Err(IndexError::Damaged(_))));
    std::fs::write(catalog.original_path(&hash), b"who").unwrap();
    catalog.store_original(b"whole").unwrap();
    assert_eq!(catalog.original(&hash).unwrap().unwrap(), b"whole");
}

fn list(names: &[&str]) -> Acl {
    document_for("any", names).meta.acl
}

fn list_of(catalog: &Catalog, id: DocumentId) -> Acl {
    catalog.document(id).unwrap().unwrap().meta.acl
}

#[test]
fn a_list_set_by_hand_holds_until_it_is_set_again() {
    let (_folder, catalog) = open();
    let id = commit(&catalog, "a.md", "text").document;
    catalog.change_meta(id, &acl(&["board"])).unwrap();
    let kept = catalog.refresh_meta(&document("a.md")).unwrap().unwrap();
    assert!(kept.kept_acl && kept.seq.is_none());
    assert!(catalog.commit_version(&document("a.md"), &version("new text")).unwrap().kept_acl);
    assert_eq!(list_of(&catalog, id), list(&["board"]));

    // Opened on purpose it stays open, until the source says something new.
    let staff = document_for("a.md", &["staff"]);
    catalog.refresh_meta(&staff).unwrap().unwrap();
    catalog.change_meta(id, &acl(&[])).unwrap();
    assert!(catalog.refresh_meta(&staff).unwrap().unwrap().kept_acl);
    assert_eq!(list_of(&catalog, id), list(&[]));
    let people = document_for("a.md", &["people"]);
    assert!(catalog.refresh_meta(&people).unwrap().unwrap().seq.is_some());
    assert_eq!(list_of(&catalog, id), list(&["people"]));

    let wider = NewDocument { acl: AclChoice::Set(list(&["people", "everybody"])), ..people.clone() };
    catalog.refresh_meta(&wider).unwrap().unwrap();
    assert_eq!(list_of(&catalog, id), list(&["people"]), "never wider than the source's");
    let reset = NewDocument { acl: AclChoice::Reset, ..staff.clone() };
    assert!(!catalog.refresh_meta(&reset).unwrap().unwrap().kept_acl);
    assert_eq!(list_of(&catalog, id), list(&["staff"]));
    assert!(catalog.refresh_meta(&document("a.md")).unwrap().unwrap().seq.is_some());
    assert_eq!(list_of(&catalog, id), list(&[]));
}

#[test]
fn a_restriction_holds_though_the_content_cannot_be_read() {
    let (_folder, catalog) = open();
    let id = commit(&catalog, "a.md", "text").document;
    let seq = catalog.last_seq().unwrap();
    catalog.commit_failure(&document_for("a.md", &["board"]), None, "unreadable", "p1").unwrap();
    assert_eq!(list_of(&catalog, id), list(&["board"]));
    assert_eq!(catalog.changes_after(seq, 9).unwrap()[0].kind, ChangeKind::Meta);
    // The list for content that could not be read opens nothing.
    let bad = catalog.store_original(b"bad").unwrap();
    catalog.commit_failure(&document("a.md"), Some(&bad), "unreadable", "p1").unwrap();
    assert_eq!(list_of(&catalog, id), list(&["board"]));
    // A later run that knows the content repairs what is known of it, too.
    assert_eq!(catalog.failed_before("upload:a.md", &bad, "p1").unwrap().as_deref(), Some("unreadable"));
    assert_eq!(catalog.failed_before("upload:a.md", &bad, "p2").unwrap(), None);
    catalog.refresh_failed(&document_for("a.md", &["hr", "board"])).unwrap();
    assert_eq!(list_of(&catalog, id), list(&["board"]));
    commit(&catalog, "a.md", "open text");
    assert_eq!(list_of(&catalog, id), list(&[]));
}

#[test]
fn a_replaced_version_stays_closed_to_those_who_could_not_read_it() {
    let (_folder, catalog) = open();
    catalog.commit_version(&document_for("a.md", &["board"]), &version("with salaries")).unwrap();
    let id = commit(&catalog, "a.md", "without salaries").document;
    let reads = |version: Option<u32>, names: &[&str]| {
        catalog.readable_version(id, version, &groups(names)).unwrap().map(|(_, version, _)| version)
    };
    assert_eq!((reads(None, &[]), reads(Some(1), &[]), reads(Some(1), &["board"])), (Some(2), None, Some(1)));
    assert_eq!(catalog.versions(id, &groups(&[])).unwrap().len(), 1);
    assert_eq!(catalog.versions(id, &Access::All).unwrap().len(), 2);
    // And a list of today's closes the older ones, too.
    catalog.change_meta(id, &acl(&["hr"])).unwrap();
    assert_eq!((reads(Some(1), &["board"]), reads(Some(1), &["board", "hr"])), (None, Some(1)));
}

#[test]
fn cutting_again_changes_text_and_chunks_alone() {
    let (_folder, catalog) = open();
    let id =
        catalog.commit_version(&document_for("a.md", &["board"]), &version("one\ntwo")).unwrap().document;
    catalog.change_meta(id, &acl(&["hr"])).unwrap();
    catalog.commit_failure(&document_for("a.md", &["board"]), None, "unreadable", "p1").unwrap();
    let before = catalog.document(id).unwrap().unwrap();
    let mut again = version("one\ntwo");
    again.recipe = "other".into();
    again.chunks.truncate(1);
    assert_eq!(catalog.recut(&document("a.md"), 7, &again).unwrap(), None);
    assert_eq!(catalog.recut(&document("a.md"), 1, &again).unwrap().unwrap().version, 2);
    let after = catalog.document(id).unwrap().unwrap();
    assert_eq!((&after.meta, &after.state, after.chunks), (&before.meta, &before.state, 1));
    assert_eq!(catalog.stale_documents(1, "other").unwrap(), []);
    catalog.delete(id).unwrap();
    assert_eq!(catalog.recut(&document("a.md"), 2, &again).unwrap(), None);
}

#[test]
fn a_copy_has_the_same_documents_and_goes_its_own_way() {
    let (_folder, catalog) = open();
    let first = commit(&catalog, "a.md", "One line.\nAnother.");
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    assert!(!Catalog::is_in(&copy));
    catalog.copy_to(&copy).unwrap();
    assert!(Catalog::is_in(&copy));
    let copied = Catalog::open(&copy).unwrap();
    assert_eq!(copied.chunks(first.document).unwrap(), catalog.chunks(first.document).unwrap());
    catalog.delete(first.document).unwrap();
    commit(&catalog, "b.md", "New.");
    assert_eq!(copied.live_documents().unwrap(), [first.document]);
    assert!(catalog.copy_to(&copy).is_err(), "a catalog is not written over");
}
