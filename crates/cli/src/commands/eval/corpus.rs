//! The documents of a data set, indexed in a folder of their own.

use std::path::{Path, PathBuf};

use lore_core::{DocumentMeta, Embedder, Format, Limits};
use lore_index::{Catalog, Index, NewDocument, NewVersion, Owner, VectorBackend};
use lore_ingest::{ChunkConfig, IngestOptions, PIPELINE, Window, chunk, parse};
use lore_query::eval::EvalDocument;
use tempfile::TempDir;

use crate::intake;
use crate::open::{self, Parts};
use crate::progress::{self, Progress, Unit};
use crate::settings::Settings;

/// An indexed data set.
pub struct Corpus {
    /// What searches it and answers from it.
    pub parts: Parts,
    /// Removed at the end, unless it is to be kept.
    _folder: Option<TempDir>,
}

/// A folder with catalog and indexes that have nothing to do with the data folder.
struct Place {
    folder: PathBuf,
    temporary: Option<TempDir>,
    owner: Owner,
    catalog: Catalog,
    embedder: Embedder,
}

impl Place {
    async fn open(settings: &Settings, kept: Option<&Path>) -> anyhow::Result<Self> {
        let temporary = match kept {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("lore-eval-").tempdir()?),
        };
        let folder = kept.or(temporary.as_ref().map(TempDir::path)).unwrap_or(Path::new(".")).to_owned();
        let owner = Owner::take(&folder, "lore eval")?;
        let at = folder.clone();
        let catalog = open::blocking(move || Catalog::open(&at)).await?;
        let embedder = open::embedder(settings).await?;
        Ok(Self { folder, temporary, owner, catalog, embedder })
    }

    async fn index(self, settings: &Settings) -> anyhow::Result<Corpus> {
        let mut config = settings.config.index.clone();
        // A Qdrant server holds the data folder's vectors; a measurement stays away from it.
        config.vectors = VectorBackend::Edge;
        let index = Index::open(self.catalog, config, self.embedder, self.owner).await?;
        open::follow(&index).await?;
        if self.temporary.is_none() {
            progress::say(&format!("indexes kept in {}", self.folder.display()));
        }
        Ok(Corpus { parts: Parts::over(settings, index).await?, _folder: self.temporary })
    }
}

impl Corpus {
    /// Indexes `documents` under their names, in folder `kept` or a temporary one.
    ///
    /// # Errors
    /// Fails where the folder, the embedder or an index does.
    pub async fn of_texts(
        settings: &Settings,
        documents: Vec<EvalDocument>,
        kept: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let place = Place::open(settings, kept).await?;
        let catalog = place.catalog.clone();
        let (count, window) = (place.embedder.counter(), Window(place.embedder.info().max_tokens));
        let config = ChunkConfig { window, ..settings.config.chunk.clone() };
        let limits = settings.config.limits.clone();
        open::blocking(move || {
            let shown = Progress::new("reading", Unit::Count("documents"));
            let total = documents.len() as u64;
            for (done, document) in (1..).zip(documents) {
                write(&catalog, document, &limits, |parsed| chunk(parsed, &config, &count))?;
                shown.set(done, total);
            }
            anyhow::Ok(())
        })
        .await?;
        place.index(settings).await
    }

    /// Indexes the files of `folder` as `lore ingest` would.
    ///
    /// # Errors
    /// As [`Corpus::of_texts`].
    pub async fn of_folder(settings: &Settings, folder: &Path, kept: Option<&Path>) -> anyhow::Result<Self> {
        let place = Place::open(settings, kept).await?;
        let ingester = intake::ingester(settings, &place.catalog, &place.embedder);
        let options = IngestOptions { prune: true, force: true, ..IngestOptions::default() };
        let report = intake::folders(&ingester, vec![folder.to_owned()], options, false).await?;
        progress::say(&intake::summary(&report));
        place.index(settings).await
    }

    /// Closes the indexes.
    ///
    /// # Errors
    /// Fails where they cannot be written.
    pub async fn close(self) -> anyhow::Result<()> {
        self.parts.close().await
    }
}

/// Writes one text into the catalog; one without words is left out.
fn write(
    catalog: &Catalog,
    document: EvalDocument,
    limits: &Limits,
    cut: impl Fn(&lore_core::Parsed) -> Vec<lore_core::NewChunk>,
) -> anyhow::Result<()> {
    if document.text.trim().is_empty() {
        return Ok(());
    }
    let bytes = document.text.as_bytes();
    let mut parsed = parse::parse(Format::Txt, bytes, &document.name, limits)?;
    parsed.title = document.title;
    let chunks = cut(&parsed);
    let version = NewVersion {
        content_hash: catalog.store_original(bytes)?,
        size: bytes.len() as u64,
        pipeline: PIPELINE,
        recipe: String::new(),
        parsed,
        chunks,
    };
    let document = NewDocument {
        source: format!("eval:{}", document.name),
        name: document.name,
        format: Format::Txt,
        meta: DocumentMeta::default(),
        acl: lore_index::AclChoice::Keep,
    };
    catalog.commit_version(&document, &version)?;
    Ok(())
}
