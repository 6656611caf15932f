//! Texts that are being written, by the answerer or by the language model alone, as one thing.

use std::sync::Arc;

use lore_core::{AnswerEvent, AnswerSummary, FinishReason, GenerateEvent, Generation, Serving, Timings};
use tokio::time::Instant;

use crate::config::HttpConfig;
use crate::error::ApiError;
use crate::metrics::Outcome;
use crate::routes::openai::reply::{Annotation, ChatDetails, ChatUsage};
use crate::sse::Flow;
use crate::state::AppState;
use crate::work::Work;

/// A text that is being written; dropping it cancels the work.
pub enum Writing {
    /// An answer from the documents.
    Lore { flow: Box<Flow>, state: AppState },
    /// A text of the language model alone.
    Model { work: Work<GenerateEvent>, serving: Arc<Serving> },
}

/// What comes of it, in this order: `Begun` where it comes, any number of `Text`, one `End` or `Failed`.
#[derive(Debug)]
pub enum Piece {
    /// It will not fail at once.
    Begun,
    /// The next piece of text.
    Text(String),
    /// The end.
    End(Box<Ending>),
    /// The end, without the rest.
    Failed(ApiError),
}

/// What is known at the end.
#[derive(Debug)]
pub struct Ending {
    /// The whole text where it is known apart from its pieces: the annotations count in it.
    pub whole: Option<String>,
    pub annotations: Vec<Annotation>,
    pub finish: FinishReason,
    pub usage: ChatUsage,
    pub details: ChatDetails,
}

impl Writing {
    /// When it must have ended.
    pub fn deadline(&self) -> Instant {
        match self {
            Self::Lore { flow, .. } => flow.deadline(),
            Self::Model { work, .. } => work.deadline(),
        }
    }

    /// The next piece; `None` after the end. A future that is dropped loses nothing.
    pub async fn next(&mut self) -> Option<Piece> {
        match self {
            Self::Lore { flow, state } => loop {
                return Some(match flow.next().await? {
                    AnswerEvent::Sources { .. } => Piece::Begun,
                    AnswerEvent::Token { text } => Piece::Text(text),
                    // All of them stand in the summary.
                    AnswerEvent::Citation { .. } => continue,
                    AnswerEvent::Done(summary) => {
                        Piece::End(Box::new(answered(summary, &state.options().http)))
                    }
                    AnswerEvent::Error { code, message } => {
                        Piece::Failed(ApiError::of_event(&code, &message))
                    }
                });
            },
            Self::Model { work, serving } => Some(match work.next().await? {
                Ok(GenerateEvent::Text(text)) => Piece::Text(text),
                Ok(GenerateEvent::Done(generation)) => {
                    work.end(Outcome::Answered);
                    Piece::End(Box::new(written(&generation, serving)))
                }
                Ok(GenerateEvent::Failed(error)) => {
                    work.end(Outcome::Failed);
                    Piece::Failed(error.into())
                }
                Err(error) => Piece::Failed(error),
            }),
        }
    }
}

fn answered(summary: AnswerSummary, http: &HttpConfig) -> Ending {
    let whole = Some(summary.answer);
    let nearest = (!summary.answered).then_some(summary.nearest);
    Ending {
        whole,
        annotations: summary.citations.into_iter().map(|citation| Annotation::of(citation, http)).collect(),
        finish: summary.finish.unwrap_or(FinishReason::Stop),
        usage: summary.usage.map(ChatUsage::from).unwrap_or_default(),
        details: ChatDetails {
            answered: Some(summary.answered),
            confidence: Some(summary.confidence),
            nearest,
            written_by: summary.model,
            release: summary.release,
            unsupported: summary.unsupported,
            rewritten: summary.rewritten,
            timings: summary.timings,
        },
    }
}

fn written(generation: &Generation, serving: &Serving) -> Ending {
    let took = generation.timings.total_ms;
    Ending {
        whole: None,
        annotations: Vec::new(),
        finish: generation.finish,
        usage: generation.usage.into(),
        details: ChatDetails {
            written_by: serving.generator.info().id.clone(),
            release: serving.release_id(),
            timings: Timings {
                answer_ms: took,
                total_ms: took,
                generation: Some(generation.timings),
                ..Timings::default()
            },
            ..ChatDetails::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use lore_core::{GenerationTimings, Span, Usage};

    use super::*;

    #[test]
    fn a_generated_answer_tells_its_tokens_and_how_it_ended() {
        let usage = Usage { prompt_tokens: 30, cached_tokens: 20, completion_tokens: 5 };
        let generation = Some(GenerationTimings { tokens_per_second: 9.0, ..GenerationTimings::default() });
        let ending = answered(
            AnswerSummary {
                answer: "Thirty days.".into(),
                answered: true,
                model: "tiny@test".into(),
                usage: Some(usage),
                finish: Some(FinishReason::Length),
                unsupported: vec![Span::new(0, 12)],
                rewritten: Some("How many days?".into()),
                timings: Timings { generation, ..Timings::default() },
                ..AnswerSummary::default()
            },
            &HttpConfig::default(),
        );
        assert_eq!((ending.finish, ending.usage), (FinishReason::Length, usage.into()));
        assert_eq!((ending.usage.total_tokens, ending.usage.prompt_tokens_details.cached_tokens), (35, 20));
        let details = ending.details;
        assert_eq!((details.written_by.as_str(), details.nearest), ("tiny@test", None));
        assert_eq!((details.unsupported.len(), details.timings.generation), (1, generation));
        assert_eq!(details.rewritten.as_deref(), Some("How many days?"));
    }
}
