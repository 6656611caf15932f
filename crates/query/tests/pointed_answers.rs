//! Answers of a model that points at sentences, and what it learns to.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use lore_core::{
    Access, AnswerEvent, AnswerStyle, Caller, FinishReason, Form, GenerateEvent, GenerateRequest, Generation,
    GenerationTimings, Generator, GeneratorInfo, Pointing, Turn, Usage, Verdict,
};
use lore_query::quote::QuoteConfig;
use lore_query::training::{AnswerForm, RagConfig, RagKind, build};
use lore_query::{AnswerConfig, GenerateConfig};
use support::{CHINESE, HANDBOOK, SENSORS, World, asked, events, generator, printed, question};
use tokio::sync::mpsc;

const MUNICH: &str = "How many vacation days does a full-time employee in Munich get?";

async fn world() -> World {
    World::new(&[("handbook.md", HANDBOOK), ("sensors.md", SENSORS), ("zh.md", CHINESE)]).await
}

fn config(quotes: QuoteConfig) -> AnswerConfig {
    let generate = GenerateConfig {
        answer_style: Some(AnswerStyle::Quotes),
        max_tokens: 64,
        quotes,
        ..GenerateConfig::default()
    };
    AnswerConfig { generate, ..AnswerConfig::default() }
}

/// The sentences that the model was shown, in the order of their tags.
fn shown(told: &support::Told) -> Vec<String> {
    let prompts = told.prompts.lock().unwrap();
    let Some(Form::Quotes(quotes)) = prompts.last().unwrap().form.clone() else { panic!("{prompts:?}") };
    quotes.sentences.clone()
}

#[tokio::test]
async fn what_is_pointed_at_is_quoted_with_its_citation() {
    let world = world().await;
    let (answerer, told) = world.writing(config(QuoteConfig::default()), &["[s1]"]);
    let (told_events, summary) = events(&answerer, question(MUNICH)).await;
    let sentences = shown(&told);
    assert!(
        sentences[0].starts_with("A full-time employee in Munich is entitled to 30 days"),
        "{sentences:?}"
    );
    assert_eq!(summary.answer, sentences[0]);
    assert!(summary.answered && summary.citations.len() == 1);
    let citation = &summary.citations[0];
    assert_eq!((citation.verdict, citation.quote.as_str()), (Verdict::Supported, sentences[0].as_str()));
    assert!(world.text(citation.document, citation.version).contains(&citation.quote));
    assert_eq!(citation.answer_span.slice(&summary.answer), Some(summary.answer.as_str()));
    assert!(matches!(told_events[0], AnswerEvent::Sources { .. }));
    // The chat: the question, a line for each sentence with its tag behind it, and the question again.
    let chat = told.chat();
    let lines: Vec<&str> = chat[1].content.lines().collect();
    assert_eq!((lines[0], lines.len()), (MUNICH, sentences.len() + 2));
    // What sentence and question share is marked.
    assert!(lines[1].replace('*', "").contains(&sentences[0]) && lines[1].ends_with("[s1]"), "{}", lines[1]);
    assert!(
        lines[1].contains(" full-time* employee* in Munich* is entitled to 30 days* of vacation*"),
        "{}",
        lines[1]
    );
    let last = lines.last().unwrap();
    assert!(
        last.starts_with("How many vacation* days* does a full-time* employee* in Munich* get? "),
        "{last}"
    );
}

#[tokio::test]
async fn words_of_a_sentence_are_the_answer_and_the_sentence_its_quote() {
    let world = world().await;
    let (answerer, _) = world.writing(config(QuoteConfig::default()), &["[s1] 30 days[s2]"]);
    let (told, summary) = events(&answerer, question(MUNICH)).await;
    assert!(summary.answer.starts_with("30 days ") && summary.citations.len() == 2, "{}", summary.answer);
    assert_eq!(summary.citations[0].answer_span.slice(&summary.answer), Some("30 days"));
    assert!(summary.citations[0].quote.contains("is entitled to 30 days"));
    assert!(printed(&told).starts_with("30 days [handbook.md: A full-time"), "{}", printed(&told));
}

#[tokio::test]
async fn a_refusal_names_the_nearest_documents() {
    let world = world().await;
    let (answerer, _) = world.writing(config(QuoteConfig::default()), &["[none]", "[s99]"]);
    for _ in 0..2 {
        let (_, summary) = events(&answerer, question(MUNICH)).await;
        assert!(!summary.answered && summary.citations.is_empty());
        assert!(summary.answer.starts_with("I could not find this") && !summary.nearest.is_empty());
    }
}

#[tokio::test]
async fn settings_bound_what_is_shown_and_pointed_at() {
    let world = world().await;
    let quotes =
        QuoteConfig { sentences: 2, most: 1, words: false, refuse_at: 0.3, max_tokens: 20, also_from: 1.5 };
    let (answerer, told) = world.writing(config(quotes), &["[s1]"]);
    events(&answerer, question(MUNICH)).await;
    let prompts = told.prompts.lock().unwrap();
    let Some(Form::Quotes(form)) = prompts[0].form.clone() else { panic!("{prompts:?}") };
    assert_eq!((form.sentences.len(), form.most, form.words, form.refuse_at), (2, 1, false, 0.3));
    assert_eq!(prompts[0].max_tokens, 20);
}

#[tokio::test]
async fn a_follow_up_is_made_whole_before_it_is_shown() {
    let world = world().await;
    let (answerer, told) =
        world.writing(config(QuoteConfig::default()), &["How many days in Austin?", "[s1]"]);
    let turn = Turn { question: MUNICH.into(), answer: "30 days.".into() };
    let asked = lore_core::Question { history: vec![turn], ..question("And in Austin?") };
    let (_, summary) = events(&answerer, asked).await;
    assert_eq!(summary.rewritten.as_deref(), Some("How many days in Austin?"));
    assert!(told.chat()[1].content.starts_with("How many days in Austin?\n"));
}

#[tokio::test]
async fn examples_point_at_the_sources_in_the_prompt_that_serving_shows() {
    let world = world().await;
    let (answerer, told) =
        world.writing(config(QuoteConfig { sentences: 2, ..QuoteConfig::default() }), &["[none]"]);
    let quote = "A full-time employee in Munich is entitled to 30 days of vacation per year.";
    let questions = [
        asked("munich", MUNICH, "30 days", &[("handbook.md", quote)]),
        asked(
            "both",
            "How far do the FJ-200 and the FJ-300 measure?",
            "80 metres; 120 metres",
            &[
                ("sensors.md", "The FJ-200 measures up to 80 metres."),
                ("sensors.md", "The FJ-300 measures up to 120 metres."),
            ],
        ),
        // The search cannot know that this answers, and would not show it.
        asked(
            "far",
            "May I keep my dog?",
            "noon",
            &[("handbook.md", "The canteen opens at noon and closes at two.")],
        ),
        asked("parking", "Where may visitors park?", "", &[]),
    ];
    let reader = generator(4096, &[]).0;
    let rag = RagConfig { answer: AnswerForm::Short, no_answer_share: 1.0, ..RagConfig::default() };
    let set = build(&answerer, &reader, &questions, &rag, &|_| ()).await.unwrap();
    assert_eq!((set.skipped.len(), set.skipped[0].id.as_str()), (1, "far"), "{:?}", set.skipped);
    assert!(set.skipped[0].reason.contains("too low"), "{:?}", set.skipped);
    let answers: Vec<(&str, &str)> = set
        .examples
        .iter()
        .map(|example| (example.id.as_str(), example.messages.last().unwrap().content.as_str()))
        .collect();
    let both = answers.iter().find(|(id, _)| *id == "both").unwrap().1;
    assert!(both == "[s1] 80 metres[s2] 120 metres" || both == "[s2] 80 metres[s1] 120 metres", "{both}");
    assert_eq!(answers[0], ("munich", "[s1] 30 days"));
    assert_eq!(answers[1], ("munich:without-source", "[none]"));
    assert_eq!(answers.last().unwrap(), &("parking", "[none]"));
    let kinds: Vec<RagKind> = set.examples.iter().map(|example| example.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == RagKind::WithoutSource).count(), 3);
    assert_eq!((set.report.contains_gold, set.report.answer_f1), (1.0, 1.0));
    // What is learned is what is served.
    events(&answerer, question(MUNICH)).await;
    let [system, user] = &told.chat()[..] else { panic!("{:?}", told.chat()) };
    assert_eq!(
        [&set.examples[0].messages[0].content, &set.examples[0].messages[1].content],
        [&system.content, &user.content]
    );
}

/// A model that points, whose requests the test answers; it was taught to.
fn by_hand() -> (Generator, mpsc::Receiver<GenerateRequest>) {
    let info =
        GeneratorInfo { id: "hand@test".into(), context_tokens: 4096, answer_style: AnswerStyle::Quotes };
    let words = |text: &str| text.split_whitespace().count();
    Generator::channel(info, Arc::new(words), Arc::new(|_, _| Ok(vec![1])), 1)
}

fn done(refusal: f32, sentences: &[f32]) -> GenerateEvent {
    GenerateEvent::Done(Generation {
        finish: FinishReason::Stop,
        usage: Usage::default(),
        timings: GenerationTimings::default(),
        pointing: Some(Pointing { refusal, sentences: sentences.to_vec() }),
    })
}

#[tokio::test]
async fn sentences_nearly_as_likely_are_quoted_too_and_the_probability_is_the_confidence() {
    let world = world().await;
    for (also_from, count) in [(0.3, 3), (0.5, 2), (1.1, 1)] {
        let (generator, mut requests) = by_hand();
        let quotes = QuoteConfig { also_from, ..QuoteConfig::default() };
        let config = AnswerConfig {
            generate: GenerateConfig { quotes, ..GenerateConfig::default() },
            ..AnswerConfig::default()
        };
        let answerer = world.extractive(config).with_generator(generator);
        let answering = tokio::spawn(async move { events(&answerer, question(MUNICH)).await.1 });
        let request = requests.recv().await.unwrap();
        // What a caller asks of sampling is no matter of tags.
        assert_eq!(
            (request.prompt.sampling.temperature, request.prompt.sampling.repetition_penalty),
            (0.0, 1.0)
        );
        request.reply.send(GenerateEvent::Text("[s1]".into())).await.unwrap();
        request.reply.send(done(0.2, &[0.5, 0.16, 0.3, 0.04])).await.unwrap();
        let summary = answering.await.unwrap();
        assert!((summary.confidence - 0.8).abs() < 1e-6, "{}", summary.confidence);
        let scores: Vec<f32> = summary.citations.iter().map(|citation| citation.score).collect();
        assert_eq!(scores, [0.5, 0.3, 0.16][..count], "{also_from}");
    }
}

#[tokio::test]
async fn a_document_that_goes_before_it_is_quoted_is_not_quoted() {
    for delete in [true, false] {
        let world = world().await;
        let (generator, mut requests) = by_hand();
        let answerer = world.extractive(AnswerConfig::default()).with_generator(generator);
        let caller = Caller { access: Access::Groups(Default::default()), ..Caller::local() };
        let mut told = answerer.ask(question(MUNICH), &caller);
        let request = requests.recv().await.unwrap();
        let Some(AnswerEvent::Sources { passages }) = told.recv().await else { panic!("no sources") };
        request.reply.send(GenerateEvent::Text("[s1]".into())).await.unwrap();
        world.close(passages[0].document, delete);
        request.reply.send(done(0.1, &[1.0])).await.unwrap();
        let event = told.recv().await;
        assert!(matches!(&event, Some(AnswerEvent::Error { code, .. }) if code == "withdrawn"), "{event:?}");
        assert_eq!(told.recv().await, None);
    }
}

#[tokio::test]
async fn a_small_context_shows_fewer_sentences_and_says_where_it_has_room_for_none() {
    let world = world().await;
    let config = config(QuoteConfig { max_tokens: 10, ..QuoteConfig::default() });
    let (answerer, _) = world.writing(config.clone(), &[]);
    let asked = question(MUNICH);
    let findings = answerer.findings(&asked, &Caller::local()).await.unwrap();
    let show = |context| {
        let (generator, _) = support::generator(context, &[]);
        let parts = lore_query::quote::ToShow {
            index: answerer.retriever().index().clone(),
            asked: findings.asked.clone(),
            question: asked.text.clone(),
            passages: findings.passages.clone(),
            candidates: findings.candidates.clone(),
            confidence: 0.5,
        };
        lore_query::quote::show(&generator, &config.generate.quotes, &parts)
    };
    let (many, few) = (show(4096).unwrap(), show(300).unwrap());
    assert!(few.sentences.len() < many.sentences.len() && !few.sentences.is_empty());
    assert_eq!(many.sentences[..few.sentences.len()], few.sentences);
    assert!(few.tokens.len() + few.max_tokens <= 300);
    let refused = show(100).unwrap_err().to_string();
    assert!(refused.contains("no room for the question and a sentence"), "{refused}");
}
