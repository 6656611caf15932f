//! Takes files into the catalog, one by one: what is unchanged is skipped, what cannot be read is recorded with its
//! reason, and nothing but a failing catalog stops a run.

mod events;
mod folders;
mod recut;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use lore_core::TokenCounter;
use lore_core::{ContentHash, DocumentId, Format, Limits, NewChunk, Parsed};
use lore_index::{Catalog, Committed, IndexError, NewDocument};

use crate::chunk::{ChunkConfig, Window, chunk};
use crate::parse;
use crate::source::files::WalkError;

pub use events::{IngestEvent, IngestOptions, IngestReport, Outcome};
pub use recut::RecutReport;

/// Version of parsers and chunker together; documents made by an older one are parsed again when they are next ingested.
pub const PIPELINE: u32 = 2;

/// What stops a run.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The catalog failed; what was committed stays.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A path cannot be walked; nothing was ingested.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The folder cannot be followed.
    #[error("{path} cannot be followed for changes: {message}")]
    Watch {
        /// The folder.
        path: PathBuf,
        /// The cause.
        message: String,
    },
}

/// Takes documents into a catalog; clones share it.
#[derive(Clone)]
pub struct Ingester {
    catalog: Catalog,
    count: TokenCounter,
    chunks: ChunkConfig,
    limits: Limits,
    recipe: String,
    attempt: String,
}

/// What became of a document, and whether an access list that was set by hand holds in place of its source's.
pub(crate) struct Taken {
    pub(crate) outcome: Outcome,
    pub(crate) kept_acl: bool,
}

impl From<Outcome> for Taken {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, kept_acl: false }
    }
}

impl std::fmt::Debug for Ingester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { catalog, chunks, limits, .. } = self;
        f.debug_struct("Ingester")
            .field("catalog", catalog)
            .field("chunks", chunks)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

/// A document's content, parsed and cut, or why it could not be.
pub(crate) struct Prepared {
    pub(crate) document: NewDocument,
    pub(crate) hash: ContentHash,
    pub(crate) size: u64,
    pub(crate) content: Result<(Parsed, Vec<NewChunk>), String>,
}

impl Ingester {
    /// An ingester whose chunks fit an embedder of `embedder_max_tokens` that counts as `count` does.
    pub fn new(
        catalog: Catalog,
        count: TokenCounter,
        embedder_max_tokens: usize,
        chunks: ChunkConfig,
        limits: Limits,
    ) -> Self {
        let chunks = ChunkConfig { window: Window(embedder_max_tokens), ..chunks };
        let (recipe, attempt) = (recut::recipe(&chunks, &count), recut::attempt(&limits));
        Self { catalog, count, chunks, limits, recipe, attempt }
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes one document in.
    ///
    /// # Errors
    /// Only those of the catalog; content that cannot be read is [`Outcome::Failed`].
    pub fn ingest_bytes(&self, document: &NewDocument, bytes: &[u8]) -> Result<Outcome, IngestError> {
        let hash = ContentHash::of(bytes);
        if let Some(taken) = self.unchanged(document, &hash)? {
            return Ok(taken.outcome);
        }
        let prepared = self.prepare(document, hash, bytes)?;
        Ok(self.commit(prepared)?.outcome)
    }

    /// The outcome where the live version has this content already; tags, access list and the rest are brought up to date.
    pub(crate) fn unchanged(
        &self,
        document: &NewDocument,
        hash: &ContentHash,
    ) -> Result<Option<Taken>, IngestError> {
        if !self.catalog.is_current(&document.source, hash, PIPELINE, &self.recipe)? {
            return Ok(None);
        }
        let id = DocumentId::from_source(&document.source);
        let Some(known) = self.catalog.document(id)? else { return Ok(None) };
        if known.name != document.name {
            // The name is committed with the content.
            return Ok(None);
        }
        let Some(done) = self.catalog.refresh_meta(document)? else { return Ok(None) };
        let outcome = match done.seq {
            Some(_) => Outcome::MetaOnly { document: id },
            None => Outcome::Unchanged { document: id },
        };
        Ok(Some(Taken { outcome, kept_acl: done.kept_acl }))
    }

    /// The outcome where the same parsers could not read the same content before; tags, access list and the rest are
    /// brought up to date.
    pub(crate) fn failed_before(
        &self,
        document: &NewDocument,
        hash: &ContentHash,
    ) -> Result<Option<Taken>, IngestError> {
        let Some(reason) = self.catalog.failed_before(&document.source, hash, &self.attempt)? else {
            return Ok(None);
        };
        let document = self.catalog.refresh_failed(document)?;
        Ok(Some(Outcome::Failed { document, reason }.into()))
    }

    /// Stores the original, parses and cuts it.
    pub(crate) fn prepare(
        &self,
        document: &NewDocument,
        hash: ContentHash,
        bytes: &[u8],
    ) -> Result<Prepared, IngestError> {
        self.catalog.store_original(bytes)?;
        let mut document = document.clone();
        let content = self.read(&document.name, bytes).map(|(format, parsed, chunks)| {
            document.format = format;
            (parsed, chunks)
        });
        Ok(Prepared { document, hash, size: bytes.len() as u64, content })
    }

    fn read(&self, name: &str, bytes: &[u8]) -> Result<(Format, Parsed, Vec<NewChunk>), String> {
        let format = parse::detect(name, bytes).map_err(|e| e.to_string())?;
        let parsed = parse::parse(format, bytes, name, &self.limits).map_err(|e| e.to_string())?;
        let (config, count) = (self.chunks.clone(), self.count.clone());
        // Where the parser ran: a tokenizer that panics, or takes for ever on some text, costs this file alone.
        let (parsed, chunks) = parse::guarded(format, self.limits.parse_seconds, move || {
            let chunks = chunk(&parsed, &config, &count);
            // Then they may not be all.
            let late = parse::overdue().then_some(parse::ParseError::TimedOut { seconds: 0 });
            late.map_or(Ok((parsed, chunks)), Err)
        })
        .map_err(|e| e.to_string())?;
        if chunks.is_empty() {
            return Err("the file holds no text; there is nothing to ingest".into());
        }
        Ok((format, parsed, chunks))
    }

    pub(crate) fn commit(&self, prepared: Prepared) -> Result<Taken, IngestError> {
        let Prepared { document, hash, size, content } = prepared;
        let (parsed, chunks) = match content {
            Ok(content) => content,
            Err(reason) => return self.fail(&document, Some(&hash), reason),
        };
        let known = self.catalog.document(DocumentId::from_source(&document.source))?.map(|d| d.version);
        let pages = parsed.pages.len() as u32;
        let count = chunks.len() as u32;
        let version = self.version(hash, size, parsed, chunks);
        let Committed { document, version, seq, kept_acl } =
            self.catalog.commit_version(&document, &version)?;
        metrics::counter!("lore_ingest_documents_total").increment(1);
        metrics::counter!("lore_ingest_bytes_total").increment(size);
        let outcome = match known {
            _ if seq.is_none() => Outcome::Unchanged { document },
            Some(known) if known == version => Outcome::MetaOnly { document },
            Some(known) if known > 0 => Outcome::Updated { document, version, pages, chunks: count },
            _ => Outcome::Added { document, version, pages, chunks: count },
        };
        Ok(Taken { outcome, kept_acl })
    }

    pub(crate) fn fail(
        &self,
        document: &NewDocument,
        hash: Option<&ContentHash>,
        reason: String,
    ) -> Result<Taken, IngestError> {
        // The caller hears of it as an event and tells it.
        tracing::debug!(document = %document.name, %reason, "a document could not be read");
        metrics::counter!("lore_ingest_failures_total").increment(1);
        let document = self.catalog.commit_failure(document, hash, &reason, &self.attempt)?;
        Ok(Outcome::Failed { document, reason }.into())
    }
}
