//! From files to the catalog: walk, parse, chunk, commit.
//!
//! - [`source`]: which files a folder holds, what its `.lore.yaml` says of them, and how they change.
//! - [`parse`]: from bytes to text with headings, tables, pages and spans.
//! - [`chunk`]: from text to the pieces that are embedded.
//! - [`pipeline`]: all of it for a folder, file by file, in bounded memory.
//! - [`worker`]: the same for uploads, whose jobs wait in the catalog.

pub mod chunk;
pub mod parse;
pub mod pipeline;
pub mod source;
pub mod worker;

pub use chunk::{ChunkConfig, Window, chunk};
pub use pipeline::{
    IngestError, IngestEvent, IngestOptions, IngestReport, Ingester, Outcome, PIPELINE, RecutReport,
};
pub use source::manifest::ManifestError;
pub use source::watch::watch;
