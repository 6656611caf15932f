//! Jobs: leases, newer content, deletion meanwhile.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use lore_core::{Acl, ContentHash, DocumentId, DocumentState};
use lore_index::{AclChoice, IndexError, JobState, MetaChange, NewDocument, Upload};
use support::*;

const MINUTE: u64 = 60;

fn board() -> Acl {
    Acl(["board".to_owned()].into())
}

#[test]
fn an_upload_becomes_live() {
    let (_folder, catalog) = open();
    assert!(catalog.lease_job("w", MINUTE).unwrap().is_none());
    let doc = document_for("a.md", &["hr"]);
    let job = enqueue(&catalog, &doc, "text");
    assert_eq!((job.state.clone(), job.attempts), (JobState::Queued, 0));
    assert_eq!(catalog.job(&job.id).unwrap(), Some(job.clone()));
    assert_eq!(catalog.open_jobs().unwrap(), (1, 0));
    let pending = catalog.document(job.document).unwrap().unwrap();
    assert_eq!((pending.state, pending.version, &pending.meta), (DocumentState::Pending, 0, &doc.meta));

    let (leased, given) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
    assert_eq!(
        (leased.id.as_str(), &leased.state, leased.attempts),
        (job.id.as_str(), &JobState::Running, 1)
    );
    assert_eq!(given, doc);
    assert!(catalog.lease_job("other", MINUTE).unwrap().is_none());
    assert!(catalog.extend_lease(&job.id, "w", MINUTE).unwrap());
    assert!(!catalog.extend_lease(&job.id, "other", MINUTE).unwrap());
    assert!(catalog.commit_job(&job.id, "other", &given, &version("text")).unwrap().is_none());
    let committed = catalog.commit_job(&job.id, "w", &given, &version("text")).unwrap().unwrap();
    assert_eq!((committed.version, catalog.last_seq().unwrap()), (1, committed.seq.unwrap()));
    assert_eq!(catalog.job(&job.id).unwrap().unwrap().state, JobState::Done);
    assert_eq!(catalog.document(job.document).unwrap().unwrap().state, DocumentState::Live);
    assert_eq!(catalog.open_jobs().unwrap(), (0, 0));
    assert!(catalog.commit_job(&job.id, "w", &given, &version("text")).unwrap().is_none());
    assert!(catalog.original(&ContentHash::of(b"text")).unwrap().is_some());
}

#[test]
fn jobs_come_in_order_and_the_queue_is_bounded() {
    let (_folder, catalog) = open();
    let jobs: Vec<String> =
        ["b", "a", "c"].map(|name| enqueue(&catalog, &document(name), name).id).into_iter().collect();
    let hash = catalog.store_original(b"more").unwrap();
    let upload =
        |name: &str, hash: &ContentHash| Upload { document: document(name), hash: hash.clone(), size: 4 };
    let refused = catalog.enqueue(&[upload("d", &hash)], 3);
    assert!(matches!(refused, Err(IndexError::QueueFull { waiting: 3 })));
    assert_eq!(catalog.document(DocumentId::from_source("upload:d")).unwrap(), None);
    let leased: Vec<String> = (0..3).map(|_| catalog.lease_job("w", MINUTE).unwrap().unwrap().0.id).collect();
    assert_eq!(leased, jobs);
    assert!(matches!(
        catalog.enqueue(&[upload("e", &ContentHash::of(b"not stored"))], 3),
        Err(IndexError::Invalid(_))
    ));
}

#[test]
fn a_lease_that_ran_out_is_lost() {
    let (_folder, catalog) = open();
    let job = enqueue(&catalog, &document("a.md"), "text");
    let (_, given) = catalog.lease_job("slow", 0).unwrap().unwrap();
    assert!(!catalog.extend_lease(&job.id, "slow", MINUTE).unwrap());
    assert!(catalog.commit_job(&job.id, "slow", &given, &version("text")).unwrap().is_none());
    assert!(!catalog.fail_job(&job.id, "slow", "late").unwrap());
    assert_eq!(catalog.lease_job("second", 0).unwrap().unwrap().0.attempts, 2);
    assert_eq!(catalog.lease_job("third", 0).unwrap().unwrap().0.attempts, 3);
    assert!(catalog.lease_job("fourth", MINUTE).unwrap().is_none());
    let JobState::Failed { reason } = catalog.job(&job.id).unwrap().unwrap().state else {
        panic!("the job goes on")
    };
    assert!(reason.contains("3 attempts"), "{reason}");
    assert_eq!(catalog.document(job.document).unwrap().unwrap().state, DocumentState::Failed { reason });
}

#[test]
fn newer_content_takes_the_place_of_older() {
    let (folder, catalog) = open();
    let doc = document("a.md");
    let first = enqueue(&catalog, &doc, "first");
    assert_eq!(enqueue(&catalog, &doc, "first").id, first.id);
    let second = enqueue(&catalog, &doc, "second");
    assert_eq!((second.id.as_str(), &second.content_hash), (first.id.as_str(), &ContentHash::of(b"second")));
    assert_eq!(files(&folder.path().join("originals")), [ContentHash::of(b"second").0]);

    // While a worker is at it, too: what it made of the older content does not count.
    let (leased, given) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
    let third = enqueue(&catalog, &doc, "third");
    assert_eq!((third.id.as_str(), third.state), (leased.id.as_str(), JobState::Queued));
    assert!(catalog.commit_job(&leased.id, "w", &given, &version("second")).unwrap().is_none());
    let (again, _) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
    assert_eq!((again.content_hash, again.attempts), (ContentHash::of(b"third"), 1));
    catalog.commit_job(&again.id, "w", &given, &version("third")).unwrap().unwrap();
    assert_eq!(catalog.parsed(first.document, 1).unwrap().unwrap().text, "third");
}

#[test]
fn a_document_deleted_meanwhile_stays_deleted() {
    let (folder, catalog) = open();
    let job = enqueue(&catalog, &document("a.md"), "text");
    let (_, given) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
    assert!(catalog.delete(job.document).unwrap().is_some());
    assert!(catalog.commit_job(&job.id, "w", &given, &version("text")).unwrap().is_none());
    assert!(!catalog.fail_job(&job.id, "w", "x").unwrap());
    catalog.finish_job(&job.id, Ok(())).unwrap();
    let state = catalog.job(&job.id).unwrap().unwrap().state;
    assert_eq!(state, JobState::Failed { reason: "the document was deleted".into() });
    assert_eq!(catalog.document(job.document).unwrap(), None);
    assert!(files(&folder.path().join("originals")).is_empty());
}

#[test]
fn meta_set_while_a_job_waits_wins() {
    let (_folder, catalog) = open();
    let job = enqueue(&catalog, &document("a.md"), "text");
    let (_, given) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
    let restricted = document_for("a.md", &["board"]).meta;
    catalog.change_meta(job.document, &acl(&["board"])).unwrap().unwrap();
    catalog.commit_job(&job.id, "w", &given, &version("text")).unwrap().unwrap();
    assert_eq!(catalog.document(job.document).unwrap().unwrap().meta, restricted);
}

#[test]
fn a_change_leaves_the_access_list_of_a_waiting_upload() {
    let (_folder, catalog) = open();
    let id = commit(&catalog, "a.md", "for everyone").document;
    let upload = NewDocument { acl: AclChoice::Set(board()), ..document("a.md") };
    let job = enqueue(&catalog, &upload, "for the board");
    let tags = MetaChange { tags: Some([("team".into(), "hr".into())].into()), ..MetaChange::default() };
    let (changed, seq) = catalog.change_meta(id, &tags).unwrap().unwrap();
    assert!(changed.meta.acl.0.is_empty() && seq.is_some());
    let (_, given) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
    // What is given while a worker reads it holds, too, and the rest is as it was uploaded.
    let date = MetaChange { date: Some(Some("2026-01-02".parse().unwrap())), ..MetaChange::default() };
    catalog.change_meta(id, &date).unwrap().unwrap();
    catalog.commit_job(&job.id, "w", &given, &version("for the board")).unwrap().unwrap();
    let live = catalog.document(id).unwrap().unwrap();
    assert_eq!((live.version, &live.meta.acl), (2, &board()));
    assert_eq!((live.meta.tags["team"].as_str(), live.meta.date.is_some()), ("hr", true));
    assert_eq!(catalog.change_meta(id, &date).unwrap().unwrap().1, None);
}

#[test]
fn an_upload_without_groups_opens_nothing() {
    let (_folder, catalog) = open();
    let restricted = NewDocument { acl: AclChoice::Set(board()), ..document("a.md") };
    let id = enqueue(&catalog, &restricted, "one").document;
    // Another one before the first was read, and after it.
    for text in ["two", "three"] {
        let job = enqueue(&catalog, &document("a.md"), text);
        let (_, given) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
        catalog.commit_job(&job.id, "w", &given, &version(text)).unwrap().unwrap();
        assert_eq!(catalog.document(id).unwrap().unwrap().meta.acl, board(), "{text}");
    }
}

#[test]
fn a_list_of_uploads_is_taken_whole_or_not_at_all() {
    let (_folder, catalog) = open();
    let uploads: Vec<Upload> = ["a.md", "b.md", "c.md"]
        .map(|name| Upload {
            document: document(name),
            hash: catalog.store_original(name.as_bytes()).unwrap(),
            size: 4,
        })
        .into();
    assert!(matches!(catalog.enqueue(&uploads, 2), Err(IndexError::QueueFull { waiting: 2 })));
    assert_eq!(catalog.open_jobs().unwrap(), (0, 0));
    assert_eq!(catalog.document(DocumentId::from_source("upload:a.md")).unwrap(), None);
    assert_eq!(catalog.enqueue(&uploads, 3).unwrap().len(), 3);
}

#[test]
fn a_failed_job_shows_its_reason_and_leaves_the_live_version() {
    let (_folder, catalog) = open();
    let id = commit(&catalog, "a.md", "good").document;
    let job = enqueue(&catalog, &document("a.md"), "bad");
    let stored = catalog.document(id).unwrap().unwrap();
    assert_eq!((stored.state, stored.version), (DocumentState::Pending, 1));
    catalog.lease_job("w", MINUTE).unwrap().unwrap();
    assert!(catalog.fail_job(&job.id, "w", "it is encrypted").unwrap());
    let stored = catalog.document(id).unwrap().unwrap();
    assert_eq!(stored.state, DocumentState::Failed { reason: "it is encrypted".into() });
    assert_eq!(stored.version, 1);

    // Content that turns out to be the live one: the job ends, the document is live again.
    let job = enqueue(&catalog, &document("a.md"), "good");
    catalog.lease_job("w", MINUTE).unwrap().unwrap();
    catalog.finish_job(&job.id, Ok(())).unwrap();
    assert_eq!(catalog.document(id).unwrap().unwrap().state, DocumentState::Live);
    assert!(matches!(catalog.finish_job("nobody", Ok(())), Err(IndexError::Invalid(_))));
    assert_eq!(catalog.integrity().unwrap(), Vec::<String>::new());
}

#[test]
fn a_job_that_is_given_back_keeps_its_tries() {
    let (_folder, catalog) = open();
    let job = enqueue(&catalog, &document("a.md"), "text");
    for _ in 0..10 {
        let (leased, _) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
        assert_eq!(leased.attempts, 1);
        catalog.release_job(&job.id, "other").unwrap();
        assert!(catalog.lease_job("other", MINUTE).unwrap().is_none(), "only its holder gives it back");
        catalog.release_job(&job.id, "w").unwrap();
    }
    let (_, given) = catalog.lease_job("w", MINUTE).unwrap().unwrap();
    assert!(catalog.commit_job(&job.id, "w", &given, &version("text")).unwrap().is_some());
}
