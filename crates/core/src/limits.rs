//! Bounds; over each of them the caller gets a clear error and the process stays up.

use serde::{Deserialize, Serialize};

/// The limits of the service. All are settings; these are the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest JSON body in bytes.
    pub json_body_bytes: usize,
    /// Largest document in bytes, uploaded or in a folder.
    pub document_bytes: u64,
    /// Largest size in bytes to which an archive (docx, pptx, xlsx) may expand.
    pub archive_bytes: u64,
    /// Most pages, sheets or slides of a document.
    pub document_pages: u32,
    /// Longest parsed text of a document in code points.
    pub text_chars: usize,
    /// Longest a parser may take for one document, in seconds.
    pub parse_seconds: u64,
    /// Longest question in code points.
    pub question_chars: usize,
    /// Most earlier turns that a question may bring.
    pub history_turns: usize,
    /// Most hits that a search may ask for.
    pub search_hits: usize,
    /// Questions and searches answered at once; more wait in a queue of the same length, then 429.
    pub concurrent_questions: usize,
    /// Jobs that may wait for the worker; more are refused with 429.
    pub queued_jobs: usize,
    /// Requests that may wait for the embedder.
    pub embed_queue: usize,
    /// Pieces of feedback that are kept; more are refused with 429.
    pub feedback_entries: usize,
    /// Conversations that are kept of one caller; a new one takes the place of the one that was used longest ago.
    pub conversations: usize,
    /// Turns of one conversation; more are refused.
    pub conversation_turns: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_body_bytes: 1 << 20,
            document_bytes: 64 << 20,
            archive_bytes: 512 << 20,
            document_pages: 5_000,
            text_chars: 20_000_000,
            parse_seconds: 120,
            question_chars: 4_000,
            history_turns: 32,
            search_hits: 100,
            concurrent_questions: 32,
            queued_jobs: 10_000,
            embed_queue: 256,
            feedback_entries: 100_000,
            conversations: 1_000,
            conversation_turns: 200,
        }
    }
}
