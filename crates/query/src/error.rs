//! What can go wrong between a question and its answer.

use lore_core::ModelError;
use lore_index::IndexError;

/// An error of retrieval, answering or evaluation.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The question has nothing to look for.
    #[error("the question is empty; write what you want to know")]
    EmptyQuestion,
    /// The question is too long.
    #[error("the question has {chars} characters, the limit is {limit}; shorten it")]
    QuestionTooLong {
        /// Its length.
        chars: usize,
        /// The limit.
        limit: usize,
    },
    /// A search is to run with settings that it cannot.
    #[error("{0}")]
    BadWeights(String),
    /// The catalog or an index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A data set for evaluation cannot be read.
    #[error("{path}, line {line}: {message}")]
    Dataset {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A question of an evaluation failed.
    #[error("question {id}: {source}")]
    Question {
        /// Its id.
        id: String,
        /// The cause.
        source: Box<QueryError>,
    },
    /// Training questions that a model is tested with.
    #[error(
        "training question {id} is held-out question {held_out} ({question:?}){more}; a test proves nothing about what was \
         learned by heart: take it out of the training file",
        more = match others { 0 => String::new(), n => format!(", and {n} more are held out") }
    )]
    HeldOut {
        /// The training question's id.
        id: String,
        /// The held-out question's id.
        held_out: String,
        /// Its text.
        question: String,
        /// How many more there are.
        others: usize,
    },
    /// What the answer was being written from may not be read any more.
    #[error("a document that the answer was written from was deleted or closed; ask again")]
    Withdrawn,
    /// A background task ended early.
    #[error("the work was cancelled")]
    Cancelled,
}

impl QueryError {
    /// This error as that of evaluation question `id`.
    pub(crate) fn of_question(self, id: &str) -> Self {
        Self::Question { id: id.to_owned(), source: Box::new(self) }
    }
}

impl From<tokio::task::JoinError> for QueryError {
    fn from(_: tokio::task::JoinError) -> Self {
        QueryError::Cancelled
    }
}

/// Result of this crate.
pub type Result<T, E = QueryError> = std::result::Result<T, E>;
