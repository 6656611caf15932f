//! Two models through the whole path of a question, in one run.

use serde::{Deserialize, Serialize};

use crate::answer::Answerer;
use crate::error::Result;
use crate::eval::answers::{self, AnswersReport, QuestionOutcome};
use crate::eval::dataset::EvalQuestion;

/// What one model did on a set of questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerReport {
    /// Who answered: `extractive`, or the generator's id.
    pub model: String,
    /// Means over the questions.
    pub means: AnswersReport,
    /// Each question's outcome, in the order of the questions.
    pub outcomes: Vec<QuestionOutcome>,
}

impl AnswerReport {
    /// The report of `model` from its outcomes.
    pub fn new(model: impl Into<String>, outcomes: Vec<QuestionOutcome>) -> Self {
        Self { model: model.into(), means: answers::report(&outcomes), outcomes }
    }
}

/// Asks both the same questions, one after the other and each question of both before the next, so that what changes
/// meanwhile (documents, the machine's load) changes for both; `progress` hears the questions that both have answered.
///
/// Both answerers search the same index; each rewrites, is shown passages, and is checked as in serving.
///
/// # Errors
/// Fails where a question fails; its id is in the message.
pub async fn evaluate_pair(
    candidate: &Answerer,
    incumbent: &Answerer,
    questions: &[EvalQuestion],
    progress: &(dyn Fn(usize) + Send + Sync),
) -> Result<(AnswerReport, AnswerReport)> {
    let (mut new, mut old) = (Side::default(), Side::default());
    for (done, question) in questions.iter().enumerate() {
        new.ask(candidate, question).await?;
        old.ask(incumbent, question).await?;
        progress(done + 1);
    }
    Ok((new.report(), old.report()))
}

#[derive(Default)]
struct Side {
    model: String,
    outcomes: Vec<QuestionOutcome>,
}

impl Side {
    async fn ask(&mut self, answerer: &Answerer, question: &EvalQuestion) -> Result<()> {
        let (outcome, model) = answers::ask(answerer, question).await?;
        self.outcomes.push(outcome);
        self.model = model;
        Ok(())
    }

    fn report(self) -> AnswerReport {
        AnswerReport::new(self.model, self.outcomes)
    }
}
