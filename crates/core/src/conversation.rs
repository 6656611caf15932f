//! Conversations: questions and their answers, kept for whoever asked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{AnswerSummary, Passage};
use crate::ids::ConversationId;

/// A conversation as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// Identifier.
    pub id: ConversationId,
    /// The first question, or what it was renamed to.
    pub title: String,
    /// Number of its turns.
    pub turns: u64,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last used.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A question and its answer, as whoever asked may read them today.
///
/// Names, headings, quotes and passages are read from the documents anew. A passage or citation of a document that the
/// caller cannot read any more is left out; the quote of a version that is not kept any more is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConversationTurn {
    /// What was asked.
    pub question: String,
    /// When it was answered.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether the answer is not shown, because a document that it rests on was deleted or is not the caller's to read
    /// any more; then the answer is empty.
    pub withdrawn: bool,
    /// The answer with its citations.
    pub summary: AnswerSummary,
    /// The passages that it could cite, best first.
    pub sources: Vec<Passage>,
}
