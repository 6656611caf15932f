//! From a question to a cited answer.
//!
//! A question is rewritten with its conversation ([`rewrite`]), looked for ([`retrieve`], [`fuse`]; [`weights`] and
//! [`explain`] are for whoever tunes that), its hits become
//! numbered passages ([`passages`]), their sentences are scored by how they bear on what is asked ([`asked`], [`kind`],
//! [`extract`], [`support`]), the fewest that answer are chosen ([`select`](mod@select)), and the answer goes out as a stream of events ([`answer`]).
//!
//! Where a language model writes the answer ([`write`](mod@write)), the passages are packed ([`pack`](mod@pack)) into a chat ([`prompt`]), the
//! markers are taken out of what it writes ([`cite`]), and its sentences ([`statements`]) are checked against the passages
//! ([`ground`], [`judgement`], [`claim`], [`measure`]). [`eval`] measures all of it, and judges whether one model may take
//! another's place; [`training`] makes of questions with known sources what a model learns to answer from. A model may also point at the sentences that
//! answer, which are then quoted ([`quote`]).

pub mod answer;
pub mod asked;
pub mod cite;
pub mod claim;
pub mod config;
pub mod error;
pub mod eval;
pub mod explain;
pub mod extract;
pub mod fuse;
pub mod ground;
mod grounds;
pub mod judgement;
pub mod kind;
pub mod measure;
pub mod pack;
pub mod passages;
pub mod prompt;
pub mod quote;
mod rank;
pub mod retrieve;
pub mod rewrite;
pub mod select;
pub mod statements;
pub mod support;
pub mod text;
mod thoughts;
pub mod training;
mod units;
pub mod weights;
pub mod write;

pub use answer::{Answerer, EVENT_BUFFER};
pub use config::{AnswerConfig, Fusion, GenerateConfig, QueryConfig, RetrieveConfig};
pub use error::QueryError;
pub use explain::{Dropped, Explanation, Reason};
pub use retrieve::{Hit, Retrieval, Retriever, SearchRequest};
pub use units::{Readable, readable};
pub use weights::{Bound, Weights};
