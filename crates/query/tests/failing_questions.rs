//! What a question that cannot be answered says, to an evaluation and to a caller.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use lore_core::{AnswerEvent, Caller, Embedder, EmbedderInfo, Question, Turn};
use lore_index::{Catalog, Index, IndexConfig, Owner};
use lore_query::eval::{EvalQuestion, answers};
use lore_query::{AnswerConfig, Answerer, QueryError, RetrieveConfig, Retriever};
use tempfile::TempDir;

/// An answerer whose embedder has stopped, behind its folder, which must go last.
async fn answerer() -> (TempDir, Answerer) {
    let folder = tempfile::tempdir().unwrap();
    let info = EmbedderInfo { id: "none@test".into(), dimension: 4, max_tokens: 256 };
    let (embedder, _) = Embedder::channel(info, Arc::new(|text: &str| text.len()), 1);
    let catalog = Catalog::open(folder.path()).unwrap();
    let owner = Owner::take(folder.path(), "test").unwrap();
    let index = Index::open(catalog, IndexConfig::default(), embedder, owner).await.unwrap();
    let retriever = Retriever::new(index, None, RetrieveConfig::default());
    (folder, Answerer::new(retriever, AnswerConfig::default()).with_question_chars(40))
}

#[tokio::test]
async fn an_evaluation_names_the_question_and_the_cause() {
    let (_folder, answerer) = answerer().await;
    let question = EvalQuestion {
        id: "q-17".into(),
        lang: "en".into(),
        question: "How many days?".into(),
        history: Vec::new(),
        groups: Default::default(),
        answers: Vec::new(),
        sources: Vec::new(),
        answerable: true,
        kind: "lookup".into(),
    };
    let error = answers::run(&answerer, &[question], &|_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "question q-17: the none@test has stopped");
}

#[tokio::test]
async fn a_question_or_a_turn_over_the_limit_is_refused_before_any_work() {
    let (_folder, answerer) = answerer().await;
    let turn = |question: String| Turn { question, answer: "x".repeat(100) };
    for (text, history) in [
        ("x".repeat(41), Vec::new()),
        ("And then?".to_owned(), vec![turn("x".repeat(41)), turn("Why?".to_owned())]),
    ] {
        let question = Question { text, history, ..Question::default() };
        let refused = answerer.answer(&question, &Caller::local()).await.unwrap_err();
        assert!(matches!(refused, QueryError::QuestionTooLong { chars: 41, limit: 40 }), "{refused}");
        let mut events = answerer.ask(question, &Caller::local());
        let Some(AnswerEvent::Error { code, .. }) = events.recv().await else { panic!("no error") };
        assert_eq!(code, "question_too_long");
    }
}
