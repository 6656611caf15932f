//! Releases in the catalog: candidates, verdicts, the alias, the way back, lineage.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use jiff::Timestamp;
use lore_core::DocumentId;
use lore_index::{
    Catalog, IndexError, NewRelease, Release, ReleaseOrigin, ReleaseSource, ReleaseState, ReleaseVerdict,
    SourceState,
};
use serde_json::json;

fn id(first: &str) -> String {
    format!("{first:0<64}")
}

fn add(catalog: &Catalog, first: &str, sources: Vec<ReleaseSource>) -> Release {
    let origin = ReleaseOrigin {
        base: Some("tiny".into()),
        seed: Some(u64::MAX),
        config: Some("lora_rank: 8".into()),
        ..ReleaseOrigin::default()
    };
    let new = NewRelease { id: id(first), name: "handbook".into(), bytes: 7, origin, sources };
    catalog.add_release(&new).unwrap()
}

fn verdict(passed: bool) -> ReleaseVerdict {
    let reasons = vec!["answer_f1 fell by 0.2".to_owned()];
    ReleaseVerdict { passed, reasons, against: "extractive".into(), at: Timestamp::now() }
}

fn proven(catalog: &Catalog, first: &str) -> Release {
    add(catalog, first, Vec::new());
    catalog.judge_release(&id(first), &verdict(true), &json!({"answer_f1": 0.5})).unwrap()
}

/// Has a release that was added pass against what is live now, and makes it live.
fn prove_and_promote(catalog: &Catalog, id: &str) -> Release {
    let live = catalog.live_release().unwrap();
    let against = live.map_or_else(|| "extractive".to_owned(), |live| live.label());
    let verdict = ReleaseVerdict { against, ..verdict(true) };
    catalog.judge_release(id, &verdict, &json!({"answer_f1": 0.5})).unwrap();
    catalog.promote_release(id, None, "k1").unwrap()
}

fn states(catalog: &Catalog) -> Vec<(String, ReleaseState)> {
    let found = catalog.releases().unwrap();
    found.into_iter().map(|r| (r.id.trim_end_matches('0').to_owned(), r.state)).collect()
}

#[test]
fn a_release_goes_live_only_when_it_is_proven_or_forced_for_a_reason() {
    let (_folder, catalog) = support::open();
    let made = add(&catalog, "aaaa1", Vec::new());
    assert_eq!((made.state, made.label().as_str()), (ReleaseState::Candidate, "handbook@aaaa10000000"));
    assert_eq!(made.origin.seed, Some(u64::MAX));
    assert!(made.origin.config.is_some() && catalog.releases().unwrap()[0].origin.config.is_none());
    let refused = catalog.promote_release(&made.id, None, "cli").unwrap_err();
    assert!(
        matches!(&refused, IndexError::Unproven { why, .. } if why.contains("not evaluated")),
        "{refused}"
    );

    let failed = catalog.judge_release(&made.id, &verdict(false), &json!({})).unwrap();
    assert_eq!(failed.state, ReleaseState::Rejected);
    let refused = catalog.promote_release(&made.id, None, "cli").unwrap_err().to_string();
    assert!(refused.contains("answer_f1 fell by 0.2") && refused.contains("--force"), "{refused}");
    assert!(catalog.live_release().unwrap().is_none());

    let live = catalog.promote_release(&made.id, Some("for the fair"), "cli").unwrap();
    assert_eq!((live.state, live.forced.as_deref()), (ReleaseState::Live, Some("for the fair")));
    let shown = catalog.release("live").unwrap();
    assert_eq!(shown.promotions.len(), 1);
    assert_eq!(shown.promotions[0].forced.as_deref(), Some("for the fair"));

    let second = proven(&catalog, "bbbb2");
    let live = prove_and_promote(&catalog, &second.id);
    assert!(live.forced.is_none() && live.promoted_at.is_some());
    assert_eq!(
        states(&catalog),
        [("bbbb2".into(), ReleaseState::Live), ("aaaa1".into(), ReleaseState::Retired)]
    );
    let shown = catalog.release(&second.id).unwrap();
    assert_eq!(shown.report, Some(json!({"answer_f1": 0.5})));
    assert_eq!(shown.promotions[0].before.as_deref(), Some("handbook@aaaa10000000"));
    // Once more changes nothing.
    catalog.promote_release(&second.id, None, "k1").unwrap();
    assert_eq!(catalog.release("live").unwrap().promotions.len(), 1);
}

#[test]
fn the_way_back_leads_through_what_was_live_before() {
    let (_folder, catalog) = support::open();
    assert!(matches!(catalog.before_live(None).unwrap_err(), IndexError::NothingLive));
    let [a, b, c] = ["aaaa1", "bbbb2", "cccc3"].map(|first| proven(&catalog, first).id);
    for id in [&a, &b] {
        prove_and_promote(&catalog, id);
    }
    let wrong = catalog.roll_back(&a, "cli").unwrap_err();
    assert!(matches!(wrong, IndexError::NotLive { .. }), "{wrong}");
    assert_eq!(catalog.before_live(None).unwrap().to.unwrap().id, a);
    let back = catalog.roll_back(&b, "cli").unwrap();
    assert_eq!((back.from.state, back.to.unwrap().state), (ReleaseState::Retired, ReleaseState::Live));
    // Not to b and fro: a step further back.
    prove_and_promote(&catalog, &c);
    assert_eq!(catalog.roll_back(&c, "cli").unwrap().to.unwrap().id, a);
    let back = catalog.roll_back(&a, "k1").unwrap();
    assert!(back.to.is_none() && catalog.live_release().unwrap().is_none());
    assert!(matches!(catalog.roll_back(&a, "cli").unwrap_err(), IndexError::NothingLive));
    let undone = &catalog.release(&a).unwrap().promotions[0];
    assert_eq!(undone.undone_by.as_deref(), Some("k1"));
    // One that was live may be so again.
    catalog.promote_release(&b, None, "cli").unwrap();
    assert!(catalog.roll_back(&b, "cli").unwrap().to.is_none());
}

#[test]
fn a_release_is_named_by_as_much_of_its_id_as_no_other_has() {
    let (_folder, catalog) = support::open();
    add(&catalog, "abcd1", Vec::new());
    let found = |wanted: &str| catalog.release(wanted).map(|r| r.release.id);
    assert_eq!(found("handbook").unwrap(), id("abcd1"));
    add(&catalog, "abcd2", Vec::new());
    for wanted in ["abcd1", "ABCD1", "handbook@abcd1", &id("abcd1")] {
        assert_eq!(found(wanted).unwrap(), id("abcd1"), "{wanted}");
    }
    for wanted in ["abcd", "handbook", "handbook@abcd"] {
        let error = found(wanted).unwrap_err();
        assert!(
            matches!(&error, IndexError::AmbiguousRelease { releases, .. } if releases.len() == 2),
            "{error}"
        );
    }
    for wanted in ["abc", "abcd3", "other@abcd1", "", "%", "_bcd1", "abcd1%", "live"] {
        let error = found(wanted).unwrap_err();
        assert!(
            matches!(error, IndexError::UnknownRelease { .. } | IndexError::NothingLive),
            "{wanted}: {error}"
        );
    }
    for name in ["", "live", "a b", "../x", "abcd1", &"x".repeat(65), "a@b"] {
        let new = NewRelease {
            id: id("9999"),
            name: name.into(),
            bytes: 0,
            origin: ReleaseOrigin::default(),
            sources: Vec::new(),
        };
        assert!(matches!(catalog.add_release(&new).unwrap_err(), IndexError::Invalid(_)), "{name}");
    }
}

#[test]
fn a_release_tells_which_of_its_documents_are_gone() {
    let (_folder, catalog) = support::open();
    let source = |name: &str, version| ReleaseSource {
        document: DocumentId::from_source(&format!("upload:{name}")),
        version,
        name: name.into(),
    };
    for name in ["a.md", "b.md", "c.md"] {
        support::commit(&catalog, name, "first");
    }
    support::commit(&catalog, "b.md", "second");
    let made = add(&catalog, "aaaa1", ["a.md", "b.md", "c.md"].map(|name| source(name, 1)).to_vec());
    assert_eq!((made.documents, made.gone.len()), (3, 0));
    let shown = catalog.release("aaaa1").unwrap();
    let states: Vec<SourceState> = shown.sources.iter().map(|s| s.state).collect();
    assert_eq!(states, [SourceState::Live, SourceState::Replaced, SourceState::Live]);

    catalog.delete(source("c.md", 1).document).unwrap();
    let gone = catalog.releases().unwrap()[0].gone.clone();
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].source.name.as_str(), gone[0].state), ("c.md", SourceState::Deleted));
    // It comes back as another version; the one that was learned from does not.
    support::commit(&catalog, "c.md", "first");
    let gone = catalog.releases().unwrap()[0].gone.clone();
    assert_eq!(gone[0].state, SourceState::VersionGone);
}

#[test]
fn what_is_pruned_is_neither_live_nor_a_candidate_nor_the_way_back() {
    let (_folder, catalog) = support::open();
    let [a, b, c, d] = ["aaaa1", "bbbb2", "cccc3", "dddd4"].map(|first| proven(&catalog, first).id);
    for id in [&a, &b, &c] {
        prove_and_promote(&catalog, id);
    }
    let ids = |keep| -> Vec<String> {
        catalog.prunable_releases(keep).unwrap().into_iter().map(|r| r.id).collect()
    };
    assert_eq!(ids(0), std::slice::from_ref(&a), "b is the way back, c is live, d is a candidate");
    assert_eq!(ids(2), Vec::<String>::new());
    let removed = catalog.remove_release::<IndexError>(&a, || Ok(7)).unwrap();
    assert_eq!(removed, Some(7));
    for kept in [&c, &d] {
        let called = catalog.remove_release::<IndexError>(kept, || panic!("it is in use")).unwrap();
        assert_eq!(called, None);
    }
    assert!(catalog.release(&a).unwrap().release.removed_at.is_some());
    assert!(matches!(catalog.promote_release(&a, None, "cli"), Err(IndexError::ReleaseRemoved { .. })));
    catalog.roll_back(&c, "cli").unwrap();
    assert!(matches!(catalog.roll_back(&b, "cli"), Err(IndexError::ReleaseRemoved { .. })));
    assert_eq!(catalog.live_release().unwrap().unwrap().id, b);
    // Its folder is made again.
    assert_eq!(add(&catalog, "aaaa1", Vec::new()).state, ReleaseState::Candidate);
    assert!(catalog.roll_back(&b, "cli").unwrap().to.is_some());
}

#[test]
fn one_that_cannot_be_run_is_promoted_by_force_alone() {
    let (_folder, catalog) = support::open();
    let a = proven(&catalog, "aaaa1").id;
    let failed = catalog.fail_release(&a, "its files are damaged").unwrap();
    assert_eq!(failed.state, ReleaseState::Failed);
    let refused = catalog.promote_release(&a, None, "cli").unwrap_err().to_string();
    assert!(refused.contains("its files are damaged"), "{refused}");
    catalog.promote_release(&a, Some("they are not"), "cli").unwrap();
    let live = catalog.fail_release(&a, "again").unwrap();
    assert_eq!((live.state, live.reason.as_deref()), (ReleaseState::Live, Some("again")));
    // It runs again.
    assert_eq!(catalog.promote_release(&a, None, "cli").unwrap().reason, None);
}

#[test]
fn a_verdict_counts_against_what_is_live_alone() {
    let (_folder, catalog) = support::open();
    let [a, b] = ["aaaa1", "bbbb2"].map(|first| proven(&catalog, first).id);
    // Nothing is live: what a verdict against no model is worth depends on whether the settings name one.
    catalog.may_promote(&a, None, false).unwrap();
    let refused = catalog.may_promote(&a, None, true).unwrap_err().to_string();
    assert!(refused.contains("proven against extractive, and the model of the settings writes"), "{refused}");
    let live = prove_and_promote(&catalog, &a).label();
    let refusals = [
        catalog.may_promote(&b, None, true).unwrap_err().to_string(),
        catalog.promote_release(&b, None, "cli").unwrap_err().to_string(),
    ];
    for refused in refusals {
        let why = format!("was proven against extractive, and {live} is live; evaluate it again");
        assert!(refused.contains(&why), "{refused}");
    }
    // What it failed against the live one is not made good by passing against something weaker.
    let lost = ReleaseVerdict { against: live, ..verdict(false) };
    catalog.judge_release(&b, &lost, &json!({})).unwrap();
    catalog.judge_release(&b, &verdict(true), &json!({})).unwrap();
    assert!(matches!(catalog.promote_release(&b, None, "cli"), Err(IndexError::Unproven { .. })));
    catalog.promote_release(&b, Some("it is urgent"), "cli").unwrap();
}

#[test]
fn a_document_that_was_never_here_is_not_one_that_was_deleted() {
    let (_folder, catalog) = support::open();
    let document = DocumentId::from_source("upload:elsewhere.md");
    let foreign = ReleaseSource { document, version: 1, name: document.to_string() };
    assert_eq!(add(&catalog, "aaaa1", vec![foreign]).gone[0].state, SourceState::NeverHere);
    // One that was deleted before the release was taken in is told as deleted.
    support::commit(&catalog, "a.md", "first");
    let document = DocumentId::from_source("upload:a.md");
    catalog.delete(document).unwrap();
    let late = ReleaseSource { document, version: 1, name: document.to_string() };
    assert_eq!(add(&catalog, "bbbb2", vec![late]).gone[0].state, SourceState::Deleted);
}
