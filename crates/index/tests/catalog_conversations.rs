//! Conversations: whose they are, their bounds, and what becomes of them when documents go.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use lore_core::{
    Access, AnswerSummary, Citation, ConversationId, DocumentId, Limits, Passage, Span, Verdict,
};
use lore_index::{Catalog, ConversationQuery, IndexError, NewTurn};
use support::*;

const TEXT: &str = "Travel is booked by the team.\nMeals cost at most 40 euros.";
const QUOTE: &str = "Meals cost at most 40 euros.";

/// A turn whose answer is the second line of `document`.
fn turn(question: &str, document: DocumentId, version: u32) -> NewTurn {
    let span = Span::new(30, 58);
    let citation = Citation {
        marker: 1,
        answer_span: Span::new(0, 28),
        document,
        name: "stale".into(),
        title: "stale".into(),
        version,
        source_span: span,
        page: None,
        headings: vec!["stale".into()],
        quote: "stale".into(),
        score: 1.0,
        verdict: Verdict::Supported,
    };
    let passage = Passage {
        marker: 1,
        document,
        version,
        name: "stale".into(),
        title: "stale".into(),
        headings: Vec::new(),
        pages: None,
        span,
        text: "stale".into(),
        score: 1.0,
    };
    NewTurn {
        question: question.into(),
        summary: serde_json::from_value::<AnswerSummary>(serde_json::json!({
            "answer": QUOTE, "answered": true, "citations": [citation], "nearest": [], "confidence": 0.9,
            "model": "extractive", "timings": {"retrieve_ms": 0.0, "answer_ms": 0.0, "total_ms": 0.0},
        }))
        .unwrap(),
        sources: vec![passage],
    }
}

fn begin(catalog: &Catalog, owner: &str, turn: &NewTurn, limits: &Limits) -> ConversationId {
    let id = ConversationId::fresh();
    catalog.begin_conversation(owner, id, turn, limits).unwrap();
    id
}

fn groups(names: &[&str]) -> Access {
    Access::Groups(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())
}

#[test]
fn a_conversation_is_its_owners_alone() {
    let (_folder, catalog) = open();
    let document = commit(&catalog, "rules.md", TEXT).document;
    let limits = Limits::default();
    let id = begin(&catalog, "ana", &turn("What do\n meals cost?", document, 1), &limits);
    assert!(catalog.append_turn("ana", id, &turn("And in Bern?", document, 1), &limits).unwrap());

    let (conversation, turns) = catalog.conversation_turns("ana", id, &Access::All).unwrap().unwrap();
    assert_eq!((conversation.title.as_str(), conversation.turns), ("What do meals cost?", 2));
    assert_eq!(turns[1].question, "And in Bern?");
    let citation = &turns[0].summary.citations[0];
    assert_eq!((citation.name.as_str(), citation.quote.as_str()), ("rules.md", QUOTE));
    assert_eq!((turns[0].sources[0].name.as_str(), turns[0].sources[0].text.as_str()), ("rules.md", QUOTE));
    assert_eq!((turns[0].summary.answer.as_str(), turns[0].withdrawn), (QUOTE, false));
    let (count, history) = catalog.conversation_history("ana", id, &Access::All, 1).unwrap().unwrap();
    assert_eq!((count, history.len(), history[0].question.as_str()), (2, 1, "And in Bern?"));

    for other in ["bo", "local", ""] {
        assert_eq!(catalog.conversation(other, id).unwrap(), None);
        assert_eq!(catalog.conversation_turns(other, id, &Access::All).unwrap(), None);
        assert_eq!(catalog.conversation_history(other, id, &Access::All, 9).unwrap(), None);
        assert_eq!(catalog.rename_conversation(other, id, "mine").unwrap(), None);
        assert!(!catalog.append_turn(other, id, &turn("x", document, 1), &limits).unwrap());
        assert!(!catalog.delete_conversation(other, id).unwrap());
        let page = catalog.conversations(other, &ConversationQuery { limit: 9, ..Default::default() });
        assert!(page.unwrap().conversations.is_empty());
    }
    assert_eq!(catalog.conversation("ana", id).unwrap(), Some(conversation));
    let renamed = catalog.rename_conversation("ana", id, " Meals ").unwrap().unwrap();
    assert_eq!((renamed.title.as_str(), renamed.turns), ("Meals", 2));
    assert!(matches!(catalog.rename_conversation("ana", id, " "), Err(IndexError::Invalid(_))));
    assert!(catalog.delete_conversation("ana", id).unwrap());
    assert_eq!(catalog.conversation("ana", id).unwrap(), None);
}

#[test]
fn listed_by_page_and_by_words_the_last_used_first() {
    let (_folder, catalog) = open();
    let document = commit(&catalog, "rules.md", TEXT).document;
    let limits = Limits::default();
    let questions = ["Wie ÖFFNET die Kantine?", "What do meals cost?", "How many vacation days?"];
    let ids = questions.map(|question| begin(&catalog, "ana", &turn(question, document, 1), &limits));
    assert!(catalog.append_turn("ana", ids[0], &turn("And for meals?", document, 1), &limits).unwrap());
    let list = |text: Option<&str>, limit, before| {
        let query = ConversationQuery { text: text.map(Into::into), limit, before };
        let page = catalog.conversations("ana", &query).unwrap();
        (page.conversations.iter().map(|c| c.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(list(None, 10, None), (vec![ids[0], ids[2], ids[1]], None));
    let (first, next) = list(None, 2, None);
    assert_eq!(first, [ids[0], ids[2]]);
    assert_eq!(list(None, 2, next), (vec![ids[1]], None));
    assert_eq!(list(Some("MEALS"), 10, None).0, [ids[0], ids[1]]);
    assert_eq!(list(Some("öffnet"), 10, None).0, [ids[0]]);
    assert_eq!(list(Some("euros"), 10, None).0, [], "answers are not looked through");
    let wrong = ConversationQuery { before: Some("yesterday".into()), limit: 1, text: None };
    assert!(matches!(catalog.conversations("ana", &wrong), Err(IndexError::Invalid(_))));
}

#[test]
fn over_the_limits_the_oldest_goes_and_a_full_one_says_so() {
    let (_folder, catalog) = open();
    let document = commit(&catalog, "rules.md", TEXT).document;
    let limits = Limits { conversations: 2, conversation_turns: 2, ..Limits::default() };
    let ask = turn("What do meals cost?", document, 1);
    let first = begin(&catalog, "ana", &ask, &limits);
    let second = begin(&catalog, "ana", &ask, &limits);
    let others = begin(&catalog, "bo", &ask, &limits);
    assert!(catalog.append_turn("ana", first, &ask, &limits).unwrap());
    let full = catalog.append_turn("ana", first, &ask, &limits).unwrap_err();
    assert!(full.to_string().contains("limits.conversation_turns"), "{full}");
    let third = begin(&catalog, "ana", &ask, &limits);
    let kept = |id| catalog.conversation("ana", id).unwrap().is_some();
    assert_eq!([kept(first), kept(second), kept(third)], [true, false, true]);
    assert!(catalog.conversation("bo", others).unwrap().is_some());
}

#[test]
fn what_may_not_be_read_any_more_is_withdrawn() {
    let (_folder, catalog) = open();
    let document = commit(&catalog, "rules.md", TEXT).document;
    let limits = Limits::default();
    let id = begin(&catalog, "ana", &turn("What do meals cost?", document, 1), &limits);
    let read = |access: &Access| catalog.conversation_turns("ana", id, access).unwrap().unwrap().1.remove(0);
    let told = |access: &Access| {
        catalog.conversation_history("ana", id, access, 9).unwrap().unwrap().1.remove(0).answer
    };
    assert!(!read(&groups(&["hr"])).withdrawn);
    catalog.change_meta(document, &acl(&["board"])).unwrap();
    assert!(!read(&groups(&["board"])).withdrawn);
    let closed = read(&groups(&["hr"]));
    assert!(closed.withdrawn && closed.summary.answer.is_empty() && closed.sources.is_empty());
    assert!(closed.summary.citations.is_empty() && !told(&groups(&["hr"])).contains("40"));
    assert_eq!(
        (closed.question.as_str(), told(&groups(&["board"])).as_str()),
        ("What do meals cost?", QUOTE)
    );

    catalog.delete(document).unwrap();
    let gone = read(&Access::All);
    assert!(gone.withdrawn && gone.summary.answer.is_empty() && gone.sources.is_empty());
    assert!(!told(&Access::All).contains("40"));
    // An answer that was being written meanwhile is not kept.
    let late = turn("And in Bern?", document, 1);
    assert!(catalog.append_turn("ana", id, &late, &limits).unwrap());
    // Nor do they come back with the document.
    commit(&catalog, "rules.md", TEXT);
    let turns = catalog.conversation_turns("ana", id, &Access::All).unwrap().unwrap().1;
    assert_eq!(turns.iter().map(|turn| turn.withdrawn).collect::<Vec<_>>(), [true, true]);
}

#[test]
fn a_statement_without_a_source_rests_on_every_passage() {
    let (_folder, catalog) = open();
    let cited = commit(&catalog, "rules.md", TEXT).document;
    let beside = commit(&catalog, "memo.md", TEXT).document;
    let mut answer = turn("What do meals cost?", cited, 1);
    answer.sources.extend(turn("", beside, 1).sources);
    let sure = begin(&catalog, "ana", &answer, &Limits::default());
    answer.summary.unsupported.push(Span::new(0, 5));
    let doubtful = begin(&catalog, "ana", &answer, &Limits::default());
    let withdrawn =
        |id, access: &Access| catalog.conversation_turns("ana", id, access).unwrap().unwrap().1[0].withdrawn;
    catalog.change_meta(beside, &acl(&["board"])).unwrap();
    let hr = groups(&["hr"]);
    assert_eq!([withdrawn(sure, &hr), withdrawn(doubtful, &hr)], [false, true]);
    catalog.delete(beside).unwrap();
    assert_eq!([withdrawn(sure, &Access::All), withdrawn(doubtful, &Access::All)], [false, true]);
}

#[test]
fn words_that_nothing_covers_rest_on_every_passage_and_on_the_answers_before() {
    let (_folder, catalog) = open();
    let cited = commit(&catalog, "rules.md", TEXT).document;
    let beside = commit(&catalog, "memo.md", TEXT).document;
    let begun = begin(&catalog, "ana", &turn("What do meals cost?", beside, 1), &Limits::default());
    let mut led_in = turn("And in Bern?", cited, 1);
    led_in.summary.answer = format!("Bob was let go: {QUOTE}");
    led_in.summary.citations[0].answer_span = Span::new(16, 44);
    catalog.append_turn("ana", begun, &led_in, &Limits::default()).unwrap();
    catalog.append_turn("ana", begun, &turn("And in Leeds?", cited, 1), &Limits::default()).unwrap();
    led_in.sources.extend(turn("", beside, 1).sources);
    let alone = begin(&catalog, "ana", &led_in, &Limits::default());
    let withdrawn = |id, access: &Access| -> Vec<bool> {
        let turns = catalog.conversation_turns("ana", id, access).unwrap().unwrap().1;
        turns.iter().map(|turn| turn.withdrawn).collect()
    };
    assert_eq!(withdrawn(begun, &Access::All), [false, false, false]);
    catalog.change_meta(beside, &acl(&["board"])).unwrap();
    assert_eq!(withdrawn(begun, &groups(&["hr"])), [true, true, false]);
    assert_eq!(withdrawn(alone, &groups(&["hr"])), [true]);
    let (_, history) = catalog.conversation_history("ana", begun, &groups(&["hr"]), 3).unwrap().unwrap();
    assert!(history.iter().all(|turn| !turn.answer.contains("Bob")), "{history:?}");
    catalog.delete(beside).unwrap();
    assert_eq!(withdrawn(begun, &Access::All), [true, true, false]);
}

#[test]
fn of_a_version_that_is_not_kept_any_more_the_name_is_shown() {
    let (_folder, catalog) = open();
    let document = commit(&catalog, "rules.md", TEXT).document;
    let id = begin(&catalog, "ana", &turn("What do meals cost?", document, 1), &Limits::default());
    let read = || catalog.conversation_turns("ana", id, &Access::All).unwrap().unwrap().1.remove(0);
    commit(&catalog, "rules.md", "Meals cost nothing.");
    assert_eq!(read().summary.citations[0].quote, QUOTE, "the version that was cited");
    for round in 0..3 {
        commit(&catalog, "rules.md", &format!("Meals cost {round} euros."));
    }
    let turn = read();
    let citation = &turn.summary.citations[0];
    assert_eq!((turn.withdrawn, citation.name.as_str(), citation.quote.as_str()), (false, "rules.md", ""));
    assert!(turn.sources.is_empty());
}

#[test]
fn a_revoked_keys_conversations_go_with_it() {
    let (_folder, catalog) = open();
    let document = commit(&catalog, "rules.md", TEXT).document;
    let new = lore_index::NewKey { name: "bot".into(), ..Default::default() };
    let (key, _) = catalog.create_key(&new).unwrap();
    let id = begin(&catalog, &key.id, &turn("What do meals cost?", document, 1), &Limits::default());
    let kept = begin(&catalog, "local", &turn("What do meals cost?", document, 1), &Limits::default());
    catalog.revoke_key(&key.id).unwrap();
    assert_eq!(catalog.conversation(&key.id, id).unwrap(), None);
    assert!(catalog.conversation("local", kept).unwrap().is_some());
}
