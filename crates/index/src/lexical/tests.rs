#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::payload::Labels;

struct Text {
    document: &'static str,
    title: &'static str,
    heading: Option<&'static str>,
    body: &'static str,
    group: Option<&'static str>,
}

const fn text(document: &'static str, title: &'static str, body: &'static str) -> Text {
    Text { document, title, heading: None, body, group: None }
}

fn id(text: &Text) -> ChunkId {
    ChunkId::new(DocumentId::from_source(text.document), 1, 0)
}

fn put(index: &LexicalIndex, texts: &[Text]) {
    for text in texts {
        let document = DocumentId::from_source(text.document);
        let access = text.group.map_or_else(|| "*".to_owned(), |group| format!("={group}"));
        let labels = Labels {
            access: vec![access],
            tags: vec![format!("name={}", text.document)],
            language: Some("en".into()),
            date: Some(20_240_500 + text.document.len() as i64),
        };
        let payload = Payload { document, version: 1, ordinal: 0, labels };
        let place = NewChunk {
            span: lore_core::Span::new(0, 0),
            pages: None,
            headings: text.heading.into_iter().map(str::to_owned).collect(),
            context: None,
        };
        let entry =
            Entry { id: id(text), payload: &payload, title: text.title, place: &place, text: text.body };
        index.replace(document, [entry]).unwrap();
    }
}

fn search(index: &LexicalIndex, query: &str) -> Vec<(ChunkId, f32)> {
    let found = index.search(query, &Filter::default(), &Access::All, 10).unwrap();
    found.into_iter().map(|hit| (hit.id, hit.score)).collect()
}

fn ids(index: &LexicalIndex, query: &str) -> Vec<ChunkId> {
    search(index, query).into_iter().map(|(id, _)| id).collect()
}

const TEXTS: [Text; 5] = [
    text("a", "Travel rules", "Hotels up to 120 EUR a night are paid; the AX-200 scanner is not."),
    text("b", "Vacation", "Employees in Munich have 30 vacation days."),
    text("c", "假期规定", "新员工在上海每年有十五天年假，设备型号为AX-200。"),
    Text { heading: Some("Night trains"), ..text("d", "Trains", "Sleepers are paid.") },
    Text { group: Some("board"), ..text("e", "Board minutes", "Vacation of the board.") },
];

#[test]
fn finds_by_words_stems_codes_and_chinese() {
    let folder = tempfile::tempdir().unwrap();
    let index = LexicalIndex::create(folder.path(), &IndexConfig::default()).unwrap();
    put(&index, &TEXTS);
    assert!(ids(&index, "vacation").is_empty(), "not committed yet");
    index.commit(Seq(7)).unwrap();
    assert_eq!((index.count(), index.seq().unwrap()), (5, Seq(7)));
    assert_eq!(ids(&index, "How many vacations does an employee have in MUNICH?")[0], id(&TEXTS[1]));
    assert_eq!(ids(&index, "上海的年假有几天")[0], id(&TEXTS[2]));
    for query in ["ax200", "AX 200", "ax-200"] {
        let found = ids(&index, query);
        assert!(found.contains(&id(&TEXTS[0])) && found.contains(&id(&TEXTS[2])), "{query}");
    }
    let nights = ids(&index, "night");
    assert!(nights.len() == 2 && nights.contains(&id(&TEXTS[3])), "headings are searched");
    assert!(ids(&index, "").is_empty() && ids(&index, "?!").is_empty());
    let weights = index.term_weights("the vacation of the AX-200").unwrap();
    assert_eq!(weights.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>(), ["vacat", "ax", "200", "ax200"]);
    assert!(
        weights.iter().all(|(_, weight)| (*weight - 1.0986).abs() < 0.3),
        "each is in 2 of 5: {weights:?}"
    );
}

#[test]
fn a_very_long_question_costs_no_more_than_its_rarest_words() {
    let folder = tempfile::tempdir().unwrap();
    let index = LexicalIndex::create(folder.path(), &IndexConfig::default()).unwrap();
    let many: Vec<String> = (0..500).map(|n| format!("common{n}x")).collect();
    let body: &'static str = many.join(" ").leak();
    put(&index, &[text("a", "", body), text("b", "", body), text("c", "", "rareword")]);
    index.commit(Seq(1)).unwrap();
    let question = format!("{body} rareword");
    let weights = index.term_weights(&question).unwrap();
    assert!(weights.len() <= 96, "{} words were weighed", weights.len());
    assert!(weights.iter().any(|(term, _)| term.starts_with("rarew")), "{weights:?}");
}

#[test]
fn a_limit_beyond_all_chunks_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let index = LexicalIndex::create(folder.path(), &IndexConfig::default()).unwrap();
    put(&index, &TEXTS);
    index.commit(Seq(1)).unwrap();
    let found = index.search("vacation", &Filter::default(), &Access::All, usize::MAX).unwrap();
    assert_eq!(found.len(), 2);
}

#[test]
fn access_and_filters_hold() {
    let folder = tempfile::tempdir().unwrap();
    let index = LexicalIndex::create(folder.path(), &IndexConfig::default()).unwrap();
    put(&index, &TEXTS);
    index.commit(Seq(1)).unwrap();
    let find = |filter: &Filter, groups: &[&str]| {
        let access = Access::Groups(groups.iter().map(|g| (*g).to_owned()).collect());
        index
            .search("vacation", filter, &access, 10)
            .unwrap()
            .into_iter()
            .map(|hit| hit.id)
            .collect::<Vec<_>>()
    };
    let none = Filter::default();
    assert_eq!(find(&none, &[]), [id(&TEXTS[1])]);
    assert_eq!(find(&none, &["board"]).len(), 2);
    let tagged = Filter { tags: [("name".into(), vec!["e".into(), "x".into()])].into(), ..Filter::default() };
    assert_eq!(find(&tagged, &["board"]), [id(&TEXTS[4])]);
    let documents = Filter { documents: vec![DocumentId::from_source("b")], ..Filter::default() };
    assert_eq!(find(&documents, &["board"]), [id(&TEXTS[1])]);
    let german = Filter { languages: vec!["de".into()], ..Filter::default() };
    assert!(find(&german, &["board"]).is_empty());
    let late = Filter { date_from: "2024-05-02".parse().ok(), ..Filter::default() };
    let early = Filter { date_to: "2024-05-01".parse().ok(), ..Filter::default() };
    assert_eq!((find(&late, &["board"]).len(), find(&early, &["board"]).len()), (0, 2));
}

/// What was deleted or replaced leaves no trace in the scores, whatever the segments.
#[test]
fn an_index_with_a_history_scores_as_one_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let old = LexicalIndex::create(&folder.path().join("old"), &IndexConfig::default()).unwrap();
    let dropped =
        [text("x", "Vacation vacation", "vacation"), text("b", "Munich", "an older version, vacation")];
    put(&old, &dropped);
    old.commit(Seq(1)).unwrap();
    for (at, text) in TEXTS.iter().enumerate() {
        put(&old, std::slice::from_ref(text));
        old.commit(Seq(2 + at as u64)).unwrap();
    }
    old.replace(DocumentId::from_source("x"), []).unwrap();
    old.commit(Seq(9)).unwrap();
    let new = LexicalIndex::create(&folder.path().join("new"), &IndexConfig::default()).unwrap();
    put(&new, &TEXTS);
    new.commit(Seq(9)).unwrap();
    for query in ["vacation night", "AX-200 Munich", "年假", "paid trains board"] {
        assert!(!search(&new, query).is_empty());
        assert_eq!(search(&old, query), search(&new, query), "{query}");
    }
    assert_eq!(old.fingerprints().unwrap(), new.fingerprints().unwrap());
    assert_eq!(old.term_weights("vacation").unwrap(), new.term_weights("vacation").unwrap());
}

#[test]
fn reopening_keeps_what_was_committed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = IndexConfig::default();
    let index = LexicalIndex::create(folder.path(), &config).unwrap();
    put(&index, &TEXTS[..2]);
    index.commit(Seq(3)).unwrap();
    put(&index, &TEXTS[2..]);
    index.close().unwrap();
    drop(index);
    let index = LexicalIndex::open(folder.path(), &config).unwrap();
    assert_eq!((index.count(), index.seq().unwrap()), (2, Seq(3)));
    put(&index, &TEXTS);
    index.commit(Seq(4)).unwrap();
    assert_eq!(index.count(), 5);
    drop(index);
    std::fs::write(folder.path().join("meta.json"), "{").unwrap();
    assert!(LexicalIndex::open(folder.path(), &config).is_err());
}

/// The score against the formula, computed by hand.
#[test]
fn scores_are_bm25() {
    let folder = tempfile::tempdir().unwrap();
    let config = IndexConfig { bm25_k1: 1.2, bm25_b: 0.75, title_boost: 2.0, ..IndexConfig::default() };
    let index = LexicalIndex::create(folder.path(), &config).unwrap();
    put(
        &index,
        &[text("a", "red", "red fish swims"), text("b", "", "fish"), text("c", "", "blue bird sings")],
    );
    index.commit(Seq(1)).unwrap();
    // "red": in 1 of 3; frequency 2 * 1 + 1 = 3; length 2 * 1 + 3 = 5; average (5 + 1 + 3) / 3 = 3.
    let idf = (1.0_f32 + (3.0 - 1.0 + 0.5) / (1.0 + 0.5)).ln();
    let expected = idf * 3.0 / (3.0 + 1.2 * (1.0 - 0.75 + 0.75 * 5.0 / 3.0));
    let found = search(&index, "red");
    assert_eq!(found.len(), 1);
    assert!((found[0].1 - expected).abs() < 1e-6, "{} {expected}", found[0].1);
    assert!((search(&index, "red red")[0].1 - 2.0 * expected).abs() < 1e-6);
}

#[test]
fn other_weights_score_as_an_index_that_was_opened_with_them() {
    let other = IndexConfig {
        bm25_k1: 1.7,
        bm25_b: 0.9,
        title_boost: 3.0,
        headings_boost: 0.0,
        ..IndexConfig::default()
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ours, theirs] =
        [(&folders[0], &IndexConfig::default()), (&folders[1], &other)].map(|(folder, config)| {
            let index = LexicalIndex::create(folder.path(), config).unwrap();
            put(&index, &TEXTS);
            index.commit(Seq(1)).unwrap();
            index
        });
    let query = "vacation days";
    let before = search(&ours, query);
    let weighted =
        ours.search_weighted(query, &Filter::default(), &Access::All, 10, Some(other.bm25())).unwrap();
    let weighted: Vec<(ChunkId, f32)> = weighted.into_iter().map(|hit| (hit.id, hit.score)).collect();
    assert_eq!(weighted, search(&theirs, query));
    assert_ne!(weighted, before);
    assert_eq!(search(&ours, query), before, "the index itself keeps its weights");
}

#[test]
fn a_write_after_the_close_is_refused_and_moves_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let index = LexicalIndex::create(&folder.path().join("words"), &IndexConfig::default()).unwrap();
    let document = DocumentId::from_source("a");
    index.replace(document, []).unwrap();
    index.commit(Seq(1)).unwrap();
    // Work whose future was dropped at the end of a server: its writes come before the close, its commit after it.
    index.replace(document, []).unwrap();
    index.close().unwrap();
    assert!(index.commit(Seq(2)).is_err());
    assert_eq!(index.seq().unwrap(), Seq(1));
}
