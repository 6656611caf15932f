//! Training examples from questions with known sources, over a small real index.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use lore_core::{Role, Turn};
use lore_query::eval::EvalQuestion;
use lore_query::training::{
    AnswerForm, RagConfig, RagExample, RagKind, RagSet, build, learned, marks, refuse_held_out,
};
use lore_query::{AnswerConfig, GenerateConfig};
use proptest::prelude::*;
use support::{CHINESE, HANDBOOK, SENSORS, World, asked, generator};

const MUNICH: &str = "A full-time employee in Munich is entitled to 30 days of vacation per year.";

fn questions() -> Vec<EvalQuestion> {
    let follow_up = asked(
        "austin",
        "And in Austin?",
        "18 days",
        &[("handbook.md", "A new employee in Austin receives 18 days of vacation per year.")],
    );
    let turn = Turn { question: "How many vacation days in Munich?".into(), answer: "30 days.".into() };
    vec![
        asked("munich", "How many vacation days in Munich?", "30 days", &[("handbook.md", MUNICH)]),
        EvalQuestion { history: vec![turn], ..follow_up },
        asked(
            "both",
            "How far do the FJ-200 and the FJ-300 measure?",
            "80 metres; 120 metres",
            &[
                ("sensors.md", "The FJ-200 measures up to 80 metres."),
                ("sensors.md", "The FJ-300 measures up to 120 metres."),
            ],
        ),
        asked(
            "lunch",
            "When does the canteen open?",
            "noon",
            &[("handbook.md", "The canteen opens at noon and closes at two.")],
        ),
        asked(
            "shanghai",
            "上海员工有多少天年假？",
            "12 天",
            &[("zh.md", "上海全职员工每年享有 12 天年假。")],
        ),
        asked("parking", "Where may visitors park?", "", &[]),
    ]
}

async fn world() -> World {
    World::new(&[("handbook.md", HANDBOOK), ("sensors.md", SENSORS), ("zh.md", CHINESE)]).await
}

fn config(passages: usize) -> AnswerConfig {
    AnswerConfig { passages, generate: GenerateConfig::default(), ..AnswerConfig::default() }
}

async fn built(passages: usize, context: usize, rag: &RagConfig) -> RagSet {
    let world = world().await;
    let (text, _) = generator(context, &[]);
    build(&world.extractive(config(passages)), &text, &questions(), rag, &|_| ()).await.unwrap()
}

fn of<'a>(set: &'a RagSet, id: &str) -> &'a RagExample {
    set.examples.iter().find(|example| example.id == id).unwrap_or_else(|| panic!("{id} in {set:?}"))
}

fn said(example: &RagExample) -> &str {
    &example.messages.last().unwrap().content
}

/// The passage with this number, as the example's prompt has it.
fn passage(example: &RagExample, number: u32) -> &str {
    let shown = example.messages.iter().find(|message| message.role == Role::User).unwrap();
    let after = shown.content.split_once(&format!("<passage n=\"{number}\"")).unwrap().1;
    after.split_once("</passage>").unwrap().0
}

#[tokio::test]
async fn answers_cite_the_passages_that_hold_their_sources() {
    let set = built(4, 4096, &RagConfig { no_answer_share: 0.0, ..RagConfig::default() }).await;
    assert_eq!(set.skipped, []);
    for question in questions().iter().filter(|question| question.answerable) {
        let example = of(&set, &question.id);
        assert_eq!(example.kind, RagKind::Answer);
        for source in &question.sources {
            let holds = |marker: &u32| passage(example, *marker).contains(&source.quote);
            assert!(example.right.iter().any(holds), "{example:?}");
            assert!(example.right.iter().all(|marker| said(example).contains(&format!("[{marker}]"))));
        }
        assert!(!example.documents.is_empty());
    }
    assert!(said(of(&set, "munich")).starts_with("A full-time employee in Munich is entitled to 30 days"));
    assert!(said(of(&set, "shanghai")).starts_with("上海全职员工每年享有 12 天年假["));
    let refusal = of(&set, "parking");
    assert_eq!(said(refusal), "I could not find this in the documents.");
    assert_eq!(refusal.kind, RagKind::Unanswerable);
    assert_eq!((set.report.answers, set.report.unanswerable, set.report.without_source), (5, 1, 0));
}

#[tokio::test]
async fn the_prompt_is_the_one_of_serving() {
    let world = world().await;
    let serving = AnswerConfig {
        generate: GenerateConfig { ask_threshold: 0.0, rewrite: false, ..GenerateConfig::default() },
        ..config(4)
    };
    let (answerer, told) = world.writing(serving.clone(), &["x", "x"]);
    let (text, _) = generator(4096, &[]);
    let rag = RagConfig { no_answer_share: 0.0, ..RagConfig::default() };
    let set = build(&world.extractive(serving), &text, &questions(), &rag, &|_| ()).await.unwrap();
    for question in questions().iter().take(2) {
        let (asked, caller) = lore_query::eval::answers::as_asked(question);
        answerer.answer(&asked, &caller).await.unwrap();
        let example = of(&set, &question.id);
        let (_, prompt) = example.messages.split_last().unwrap();
        let shown: Vec<(Role, &str)> = prompt.iter().map(|m| (m.role, m.content.as_str())).collect();
        let chat = told.chat();
        let served: Vec<(Role, &str)> = chat.iter().map(|m| (m.role, m.content.as_str())).collect();
        assert_eq!(shown, served);
    }
    let austin = serde_json::to_value(of(&set, "austin")).unwrap();
    let weights: Vec<_> = austin["messages"].as_array().unwrap().iter().map(|m| &m["weight"]).collect();
    assert_eq!(
        weights,
        [
            &serde_json::Value::Null,
            &serde_json::Value::Null,
            &0.into(),
            &serde_json::Value::Null,
            &serde_json::Value::Null
        ]
    );
    assert_eq!(austin["id"], "austin");
}

#[tokio::test]
async fn a_share_is_asked_again_without_what_answers_it() {
    let share = |share| RagConfig { no_answer_share: share, ..RagConfig::default() };
    let set = built(3, 4096, &share(1.0)).await;
    assert_eq!(set.report.without_source, 5, "{:?}", set.skipped);
    for question in questions().iter().filter(|question| question.answerable) {
        let example = of(&set, &format!("{}:without-source", question.id));
        assert_eq!(example.kind, RagKind::WithoutSource);
        let all: String = example.messages.iter().rev().skip(1).map(|m| m.content.as_str()).collect();
        // A follow-up's conversation may name what the passages do not.
        assert!(question.sources.iter().all(|source| !all.contains(&source.quote)), "{all}");
        assert!(
            said(example) == "I could not find this in the documents."
                || said(example) == "我在文档中没有找到答案。"
        );
    }
    assert_eq!(said(of(&set, "shanghai:without-source")), "我在文档中没有找到答案。");
    assert_eq!(built(3, 4096, &share(0.4)).await.report.without_source, 2);
}

#[tokio::test]
async fn a_source_that_was_not_found_is_put_in_for_a_distractor() {
    let set = built(1, 4096, &RagConfig { no_answer_share: 0.0, ..RagConfig::default() }).await;
    // One passage, and the distractor is the nearest: what answers takes its place.
    let stray = asked(
        "stray",
        "Vacation days in Munich?",
        "noon",
        &[("handbook.md", "The canteen opens at noon and closes at two.")],
    );
    let world = world().await;
    let (text, _) = generator(4096, &[]);
    let rag = RagConfig { no_answer_share: 0.0, ..RagConfig::default() };
    let answerer = world.extractive(config(1));
    let alone = build(&answerer, &text, std::slice::from_ref(&stray), &rag, &|_| ()).await.unwrap();
    assert_eq!((alone.report.retrieved, alone.report.answers), (0.0, 1));
    assert_eq!(of(&alone, "stray").passages, 1);
    assert!(passage(of(&alone, "stray"), 1).contains("opens at noon"));
    assert!(set.report.retrieved > 0.5, "{:?}", set.report);
}

#[tokio::test]
async fn what_has_no_room_loses_its_distractors_first() {
    let rag = RagConfig { no_answer_share: 0.0, ..RagConfig::default() };
    let roomy = built(4, 4096, &rag).await;
    let example = of(&roomy, "munich");
    let bare = example.prompt_tokens + example.answer_tokens;
    let tight = built(4, bare - 10, &rag).await;
    for example in &tight.examples {
        assert!(example.prompt_tokens + example.answer_tokens <= bare - 10, "{example:?}");
    }
    let example = of(&tight, "munich");
    assert!(example.right.iter().any(|marker| passage(example, *marker).contains(MUNICH)));
    let none = built(4, 100, &rag).await;
    // To this tokenizer Chinese is one word.
    assert!(none.examples.iter().all(|example| example.id == "shanghai"), "{none:?}");
    assert!(
        none.skipped.iter().any(|s| s.reason.contains("does not fit an example of 100 tokens")),
        "{none:?}"
    );
}

#[tokio::test]
async fn the_same_seed_gives_the_same_examples_and_questions_that_cannot_be_used_are_told() {
    let rag = RagConfig { no_answer_share: 0.5, seed: 7, ..RagConfig::default() };
    assert_eq!(built(2, 4096, &rag).await, built(2, 4096, &rag).await);
    let world = world().await;
    let (text, _) = generator(4096, &[]);
    let odd = [
        asked("gone", "Where?", "x", &[("gone.md", "x")]),
        asked("changed", "Where?", "x", &[("zh.md", "This is not in it.")]),
        asked("bare", "Where?", "x", &[("zh.md", "")]),
    ];
    let set = build(&world.extractive(config(4)), &text, &odd, &rag, &|_| ()).await.unwrap();
    let reasons: Vec<&str> = set.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
    let told =
        ["there is no document gone.md", "zh.md does not hold the quote", "its source in zh.md has no quote"];
    assert_eq!(reasons, told);
    assert!(set.learned.is_empty() == set.examples.is_empty(), "only what became an example is learned");
}

#[test]
fn questions_of_the_test_are_refused_by_id_and_by_words() {
    let training = questions();
    assert!(refuse_held_out(&training, &[]).is_ok());
    let other = asked("test-1", "how many vacation days in MUNICH", "30 days", &[]);
    let error = refuse_held_out(&training, std::slice::from_ref(&other)).unwrap_err().to_string();
    assert!(error.starts_with("training question munich is held-out question test-1"), "{error}");
    let same_id = asked("lunch", "Something else?", "", &[]);
    let error = refuse_held_out(&training, &[other, same_id]).unwrap_err().to_string();
    assert!(error.contains("and 1 more are held out"), "{error}");
    // By the record of what was learned, too.
    let record = training.iter().flat_map(marks).collect();
    let again = [
        asked("test-1", "how many vacation days in MUNICH", "30 days", &[]),
        asked("lunch", "Something else?", "", &[]),
        asked("test-3", "Something new?", "", &[]),
    ];
    let ids: Vec<&str> = learned(&again, &record).iter().map(|question| question.id.as_str()).collect();
    assert_eq!(ids, ["test-1", "lunch"]);
    // The same follow-up in another conversation is another question.
    let elsewhere = EvalQuestion { id: "test-2".into(), history: Vec::new(), ..training[1].clone() };
    assert!(refuse_held_out(&training, &[elsewhere]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_answer_has_its_source_however_little_room_there_is(
        passages in 1..6usize,
        context in 150..900usize,
        share in 0.0..1.0f64,
        seed in any::<u64>(),
        form in prop_oneof![Just(AnswerForm::Quote), Just(AnswerForm::Short), Just(AnswerForm::ShortThenQuote)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rag = RagConfig { answer: form, no_answer_share: share, seed, ..RagConfig::default() };
        let set = runtime.block_on(built(passages, context, &rag));
        for example in &set.examples {
            prop_assert!(example.passages <= passages + 1);
            prop_assert!(example.prompt_tokens + example.answer_tokens <= context);
            let id = example.id.trim_end_matches(":without-source");
            let question = questions().into_iter().find(|question| question.id == id).unwrap();
            let all: String = (1..=example.passages as u32).map(|n| passage(example, n).to_owned()).collect();
            let there = question.sources.iter().filter(|source| all.contains(&source.quote)).count();
            let wanted = if example.kind == RagKind::Answer { question.sources.len() } else { 0 };
            prop_assert_eq!(there, wanted);
        }
    }
}
