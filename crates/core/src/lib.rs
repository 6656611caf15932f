//! The vocabulary of Lore: the types that every other crate speaks, and the handles to models.
//!
//! No IO happens here. The modules, from the inside out:
//!
//! - [`ids`]: identifiers of documents, chunks, changes and content.
//! - [`span`]: positions in parsed text, counted in Unicode scalar values.
//! - [`sentence`]: where sentences start and end.
//! - [`document`]: what a person knows: documents, versions, parsed text, access.
//! - [`chunk`]: what is embedded and found.
//! - [`question`]: what is asked: queries, filters, callers.
//! - [`citation`] and [`answer`]: what is said back, and where it stands.
//! - [`conversation`]: questions and answers that are kept.
//! - [`model`] and [`generate`]: cloneable handles over bounded queues to the models; [`live`]: the one that writes now.
//! - [`limits`]: the bounds that keep the process up.
//! - [`random`]: numbers by chance that are the same for the same seed.

pub mod answer;
pub mod chunk;
pub mod citation;
pub mod conversation;
pub mod document;
pub mod generate;
pub mod ids;
pub mod limits;
pub mod live;
pub mod model;
pub mod question;
pub mod random;
pub mod sentence;
pub mod span;

pub use answer::{AnswerEvent, AnswerSummary, NearDocument, Passage, Timings};
pub use chunk::{Chunk, NewChunk};
pub use citation::{Citation, Verdict};
pub use conversation::{Conversation, ConversationTurn};
pub use document::{
    Access, Acl, Block, BlockKind, Document, DocumentMeta, DocumentState, Format, Heading, Parsed,
};
pub use generate::{
    AnswerStyle, ChatEncoder, ChatOptions, FinishReason, Form, GenerateEvent, GenerateRequest, Generation,
    GenerationTimings, Generator, GeneratorInfo, Markers, Message, Pointing, Prompt, Quotes, Role, Sampling,
    Usage,
};
pub use ids::{ChunkId, ContentHash, ConversationId, DocumentId, Seq};
pub use limits::Limits;
pub use live::{EXTRACTIVE, Live, OpenError, Opened, Opener, ReleaseName, Serving};
pub use model::{
    EmbedKind, EmbedRequest, Embedder, EmbedderInfo, ModelError, RerankRequest, Reranker, TokenCounter,
};
pub use question::{AnswerOptions, Caller, Filter, Question, ScoredChunk, SearchMode, Turn};
pub use sentence::sentences;
pub use span::{CharIndex, PageRange, Span};
