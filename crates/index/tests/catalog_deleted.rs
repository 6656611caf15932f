//! Documents that are deleted with a time to undo it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use lore_core::{Access, ChunkId, ContentHash, DocumentId, DocumentState};
use lore_index::{Catalog, ChangeKind, JobState};
use support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Whether the database has this word anywhere.
fn stands_in(folder: &std::path::Path, word: &str) -> bool {
    ["catalog.db", "catalog.db-wal"].iter().any(|name| {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    })
}

#[test]
fn a_deleted_document_answers_nothing_and_comes_back_whole() {
    let (folder, catalog) = open();
    let id = commit(&catalog, "a.md", "one\ntwo").document;
    commit(&catalog, "a.md", "one\nthree");
    catalog.change_meta(id, &acl(&["hr"])).unwrap();
    let before = catalog.document(id).unwrap().unwrap();
    let (chunks, versions) = (catalog.chunks(id).unwrap(), catalog.versions(id, &Access::All).unwrap());
    let hashes: Vec<ContentHash> = chunks.iter().map(|chunk| chunk.text_hash.clone()).collect();
    catalog.put_vectors("e5", &[(hashes[0].clone(), vec![0.5, -1.0])]).unwrap();
    let others: Vec<DocumentId> =
        (0..3).map(|n| commit(&catalog, &format!("{n}.md"), "other").document).collect();

    assert!(catalog.delete_for(id, MINUTE).unwrap().is_some());
    assert!(catalog.delete_for(id, MINUTE).unwrap().is_none());
    assert_eq!(catalog.document(id).unwrap(), None);
    assert!(catalog.parsed(id, 1).unwrap().is_none() && catalog.chunks(id).unwrap().is_empty());
    assert!(catalog.live_chunks(&[ChunkId::new(id, 2, 0)], &Access::All).unwrap().is_empty());
    assert!(catalog.versions(id, &Access::All).unwrap().is_empty());
    assert_eq!(
        catalog.changes_after(lore_core::Seq(0), 100).unwrap().last().unwrap().kind,
        ChangeKind::Deleted
    );
    assert_eq!(catalog.live_documents().unwrap().len(), others.len());
    // What is kept for it survives a clean-up and a restart, and rows that others take meanwhile.
    commit(&catalog, "new.md", "new");
    catalog.vacuum().unwrap();
    assert!(catalog.integrity().unwrap().is_empty());
    drop(catalog);
    let catalog = Catalog::open(folder.path()).unwrap();

    assert_eq!(catalog.restore(id).unwrap(), Some(before));
    assert_eq!(catalog.restore(id).unwrap(), None);
    assert_eq!(catalog.chunks(id).unwrap(), chunks);
    assert_eq!(catalog.versions(id, &Access::All).unwrap(), versions);
    assert_eq!(catalog.parsed(id, 1).unwrap().unwrap().text, "one\ntwo");
    assert_eq!(catalog.original(&ContentHash::of(b"one\ntwo")).unwrap().unwrap(), b"one\ntwo");
    assert_eq!(catalog.vectors("e5", &hashes).unwrap().len(), 1);
    assert_eq!(
        catalog.changes_after(lore_core::Seq(0), 100).unwrap().last().unwrap().kind,
        ChangeKind::Version(2)
    );
    // Another list than the one that was set by hand would show it to others.
    assert!(catalog.readable_version(id, None, &Access::Groups(["it".to_owned()].into())).unwrap().is_none());
    assert_eq!(commit(&catalog, "a.md", "four").version, 3);
    assert!(catalog.integrity().unwrap().is_empty());
}

#[test]
fn when_the_time_is_over_nothing_is_left() {
    let (folder, catalog) = open();
    let id = commit(&catalog, "a.md", "the word xylophonist stands nowhere else").document;
    let hash = catalog.chunks(id).unwrap()[0].text_hash.clone();
    catalog.put_vectors("e5", &[(hash.clone(), vec![1.0])]).unwrap();
    catalog.delete_for(id, Duration::ZERO).unwrap().unwrap();
    assert_eq!(catalog.restore(id).unwrap(), None);
    assert_eq!(catalog.remove_expired().unwrap(), 1);
    assert_eq!(catalog.remove_expired().unwrap(), 0);
    assert!(catalog.vectors("e5", &[hash]).unwrap().is_empty());
    assert!(files(&folder.path().join("originals")).is_empty());
    catalog.vacuum().unwrap();
    drop(catalog);
    assert!(!stands_in(folder.path(), "xylophonist"));
}

#[test]
fn a_restart_removes_what_is_over() {
    let (folder, catalog) = open();
    let id = commit(&catalog, "a.md", "text").document;
    catalog.delete_for(id, Duration::ZERO).unwrap().unwrap();
    drop(catalog);
    let catalog = Catalog::open(folder.path()).unwrap();
    assert!(files(&folder.path().join("originals")).is_empty());
    assert_eq!(catalog.remove_expired().unwrap(), 0);
}

#[test]
fn content_that_comes_in_anew_ends_the_time() {
    let (folder, catalog) = open();
    let id = commit(&catalog, "a.md", "old").document;
    catalog.delete_for(id, MINUTE).unwrap().unwrap();
    assert_eq!(commit(&catalog, "a.md", "new").version, 2);
    assert_eq!(catalog.restore(id).unwrap(), None);
    assert_eq!(catalog.parsed(id, 1).unwrap(), None);
    assert_eq!(files(&folder.path().join("originals")), [ContentHash::of(b"new").0]);
}

#[test]
fn an_upload_that_waits_comes_back_too() {
    let (folder, catalog) = open();
    let job = enqueue(&catalog, &document_for("a.md", &["hr"]), "text");
    catalog.delete_for(job.document, MINUTE).unwrap().unwrap();
    assert!(matches!(catalog.job(&job.id).unwrap().unwrap().state, JobState::Failed { .. }));
    assert!(catalog.lease_job("w", 60).unwrap().is_none());
    catalog.vacuum().unwrap();
    assert_eq!(files(&folder.path().join("originals")).len(), 1);

    let restored = catalog.restore(job.document).unwrap().unwrap();
    assert_eq!((restored.state, restored.version), (DocumentState::Pending, 0));
    let (leased, given) = catalog.lease_job("w", 60).unwrap().unwrap();
    assert_eq!((leased.id, given), (job.id.clone(), document_for("a.md", &["hr"])));
    catalog.delete_for(job.document, Duration::ZERO).unwrap().unwrap();
    catalog.remove_expired().unwrap();
    assert!(files(&folder.path().join("originals")).is_empty());
    drop(catalog);
    assert!(!stands_in(folder.path(), "upload:a.md"), "what the upload said is still there");
}

#[test]
fn what_failed_is_tried_again_as_it_was_uploaded() {
    let (_folder, catalog) = open();
    assert!(catalog.retry(DocumentId::from_source("upload:none.md"), 9).unwrap().is_none());
    let id = commit(&catalog, "a.md", "open").document;
    let refused = catalog.retry(id, 9).unwrap_err();
    assert!(refused.to_string().contains("did not fail"), "{refused}");
    // Newer content for fewer eyes cannot be read.
    let mut closed = document("a.md");
    closed.acl = lore_index::AclChoice::Set(document_for("a.md", &["board"]).meta.acl);
    enqueue(&catalog, &closed, "closed");
    let (job, _) = catalog.lease_job("w", 60).unwrap().unwrap();
    assert!(catalog.fail_job(&job.id, "w", "too long").unwrap());
    // What is changed meanwhile holds for it.
    let tags = lore_index::MetaChange {
        tags: Some([("team".to_owned(), "hr".to_owned())].into()),
        ..Default::default()
    };
    catalog.change_meta(id, &tags).unwrap();

    let again = catalog.retry(id, 9).unwrap().unwrap();
    assert_ne!(again.id, job.id);
    assert_eq!(catalog.document(id).unwrap().unwrap().state, DocumentState::Pending);
    let (leased, given) = catalog.lease_job("w", 60).unwrap().unwrap();
    assert_eq!(
        (&leased.id, &given.acl, &given.meta.tags["team"]),
        (&again.id, &closed.acl, &"hr".to_owned())
    );
    catalog.commit_job(&leased.id, "w", &given, &version("closed")).unwrap().unwrap();
    let live = catalog.document(id).unwrap().unwrap();
    assert_eq!((live.state, live.meta.acl.0.len()), (DocumentState::Live, 1));
    assert!(catalog.retry(id, 9).is_err());
}

#[test]
fn a_file_of_a_folder_that_failed_is_tried_again() {
    let (_folder, catalog) = open();
    let document = document_for("a.md", &["hr"]);
    let hash = catalog.store_original(b"text").unwrap();
    let id = catalog.commit_failure(&document, Some(&hash), "unreadable", "parser 1").unwrap();
    catalog.retry(id, 9).unwrap().unwrap();
    let (_, given) = catalog.lease_job("w", 60).unwrap().unwrap();
    assert_eq!(given, document);
    // Without a stored original there is nothing to try.
    let id = catalog.commit_failure(&support::document("b.md"), None, "too large", "").unwrap();
    assert!(catalog.retry(id, 9).unwrap_err().to_string().contains("upload it again"));
}
