//! The documents of a data set, indexed in a folder of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lore_core::{DocumentMeta, Embedder, Format, Limits};
use lore_index::{Catalog, Index, IndexError, NewDocument, NewVersion, Owner, VectorBackend};
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

    /// The documents of the data folder, whose catalog is `catalog`: with its own indexes where no other process has them,
    /// else with indexes of a copy, beside a server that goes on. A copy embeds nothing anew: vectors are in the catalog.
    ///
    /// # Errors
    /// As [`Corpus::of_texts`].
    pub async fn of_data(settings: &Settings, catalog: Catalog) -> anyhow::Result<Self> {
        match Owner::take(&settings.data_dir, "lore train") {
            Ok(owner) => {
                let embedder = open::embedder(settings).await?;
                let index = Index::open(catalog, settings.config.index.clone(), embedder, owner).await?;
                open::follow(&index).await?;
                Ok(Self { parts: Parts::over(settings, index).await?, _folder: None })
            }
            Err(IndexError::Locked { .. }) => {
                let temporary = tempfile::Builder::new().prefix("lore-train-").tempdir()?;
                let folder = temporary.path().to_owned();
                let at = folder.clone();
                let catalog = open::blocking(move || {
                    catalog.copy_to(&at)?;
                    Catalog::open(&at)
                })
                .await?;
                let owner = Owner::take(&folder, "lore train")?;
                let embedder = open::embedder(settings).await?;
                let place = Place { folder, temporary: Some(temporary), owner, catalog, embedder };
                place.index(settings).await
            }
            Err(error) => Err(error.into()),
        }
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

/// The folder of documents that the questions at `path` are about: the one `given`, or the one whose folder `questions`
/// they lie in.
///
/// # Errors
/// Fails where there is no such folder, and where it is a home or the root.
pub fn documents_of(path: &Path, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let here = |path: &Path| path.canonicalize().with_context(|| format!("cannot read {}", path.display()));
    let folder = match given {
        Some(folder) => here(folder)?,
        None => {
            let path = here(path)?;
            let questions = path.parent().filter(|folder| folder.ends_with("questions"));
            match questions.and_then(Path::parent) {
                Some(folder) => folder.to_owned(),
                None => bail!(
                    "{} does not lie in DIR/questions; name the folder of its documents with --documents DIR",
                    path.display()
                ),
            }
        }
    };
    let home = std::env::var_os("HOME").and_then(|home| Path::new(&home).canonicalize().ok());
    if folder.parent().is_none() || home.as_ref() == Some(&folder) {
        bail!(
            "{} is not taken in as a whole; name a folder of documents with --documents DIR",
            folder.display()
        );
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn questions_name_their_documents_by_where_they_lie_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir(folder.join("questions")).unwrap();
        let (inside, outside) = (folder.join("questions/q.jsonl"), folder.join("q.jsonl"));
        for path in [&inside, &outside] {
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(documents_of(&inside, None).unwrap(), folder);
        let refused = documents_of(&outside, None).unwrap_err().to_string();
        assert!(refused.contains("--documents"), "{refused}");
        assert_eq!(documents_of(&outside, Some(&folder)).unwrap(), folder);
        for whole in ["/".into(), std::env::var("HOME").unwrap_or("/".into())] {
            let refused = documents_of(&inside, Some(Path::new(&whole))).unwrap_err().to_string();
            assert!(refused.contains("as a whole"), "{refused}");
        }
    }
}
