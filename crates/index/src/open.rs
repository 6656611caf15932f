//! Opens the indexes of a data folder, or makes those anew that cannot be used.

use std::sync::Arc;

use lore_core::{Embedder, Seq};

use crate::apply::blocking;
use crate::catalog::Catalog;
use crate::config::IndexConfig;
use crate::error::{IndexError, Result};
use crate::follow::call;
use crate::generation::Generations;
use crate::index::Generation;
use crate::lexical::LexicalIndex;
use crate::mark::Mark;
use crate::seed::{self, scoped};
use crate::vector::VectorStore;

/// Why an index was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// There was none, or one for another embedder or of another format.
    Missing,
    /// It could not be opened.
    Damaged,
    /// It held changes that the catalog does not know: a backup was put back.
    OtherHistory,
}

impl News {
    /// For everybody to read: no paths.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "the indexes are made for the first time or for another embedder",
            Self::Damaged => "the indexes were damaged and are made anew",
            Self::OtherHistory => "the catalog is not the one that the indexes followed; they are made anew",
        }
    }
}

/// An index, with the last change that it holds, and why it was made anew if it was.
pub(crate) struct Opened<T> {
    pub generation: Generation<T>,
    pub at: Seq,
    pub news: Option<News>,
}

/// Whether the catalog has the change `mark`.
fn knows(catalog: &Catalog, mark: &Mark) -> Result<bool> {
    Ok(mark.seq <= catalog.last_seq()? && mark.agrees(&catalog.mark(mark.seq)?))
}

/// Opens the lexical index in use, or makes an empty one, which the next start does not open before it was promoted.
pub(crate) async fn open_lexical(
    generations: &Generations,
    config: &IndexConfig,
    catalog: &Catalog,
) -> Result<Opened<LexicalIndex>> {
    let (generations, config) = (generations.clone(), config.clone());
    call(catalog, move |catalog| {
        generations.sweep_or_warn();
        let mut news = News::Missing;
        if let Some(name) = generations.current()? {
            let opened = LexicalIndex::open(&generations.folder(&name), &config);
            match opened.and_then(|index| index.mark().map(|mark| (index, mark))) {
                Ok((index, mark)) if knows(catalog, &mark)? => {
                    let generation = Generation { name, store: Arc::new(index) };
                    return Ok(Opened { generation, at: mark.seq, news: None });
                }
                Ok(_) => {
                    tracing::warn!(
                        "the catalog is not the one that the indexes followed; they are built again"
                    );
                    news = News::OtherHistory;
                }
                Err(error) => {
                    tracing::warn!(%error, "the lexical index cannot be opened and is built again");
                    news = News::Damaged;
                }
            }
        }
        let name = generations.fresh();
        let index = LexicalIndex::create(&generations.folder(&name), &config)?;
        Ok(Opened { generation: Generation { name, store: Arc::new(index) }, at: Seq(0), news: Some(news) })
    })
    .await
}

/// Opens the vector store in use, or makes an empty one (always when `anew`), which the next start does not open before
/// it was promoted.
pub(crate) async fn open_vectors(
    generations: &Generations,
    config: &IndexConfig,
    embedder: &Embedder,
    catalog: &Catalog,
    folder_id: &str,
    anew: bool,
) -> Result<Opened<VectorStore>> {
    let dimension = embedder.info().dimension;
    if dimension == 0 {
        return Err(IndexError::Invalid("the embedder says that its vectors have no dimensions".into()));
    }
    let (named, current) = {
        let generations = generations.clone();
        blocking(move || {
            generations.sweep_or_warn();
            Ok((generations.named()?, generations.current()?))
        })
        .await?
    };
    let mut news = if anew { News::OtherHistory } else { News::Missing };
    if let Some(name) = current.filter(|_| !anew) {
        let folder = generations.folder(&name);
        let store = VectorStore::open(&config.vectors, &folder, &scoped(folder_id, &name), dimension).await?;
        if let Some(store) = store {
            let checkpoint = format!("vectors:{}:{name}", embedder.info().id);
            let (generations, of) = (generations.clone(), name.clone());
            let (at, known) = call(catalog, move |catalog| {
                let at = catalog.checkpoint(&checkpoint)?;
                let mark = generations.mark(&of)?.unwrap_or(Mark::from(at));
                Ok((at, at <= catalog.last_seq()? && knows(catalog, &mark)?))
            })
            .await?;
            if known {
                seed::sweep_server(&store, None).await;
                return Ok(Opened {
                    generation: Generation { name, store: Arc::new(store) },
                    at,
                    news: None,
                });
            }
            tracing::warn!("the catalog is not the one that the vectors followed; they are built again");
            news = News::OtherHistory;
        } else {
            news = News::Damaged;
        }
    }
    let name = generations.fresh();
    let folder = generations.folder(&name);
    let store = VectorStore::create(&config.vectors, &folder, &scoped(folder_id, &name), dimension).await?;
    seed::sweep_server(&store, named.map(|name| scoped(folder_id, &name)).as_deref()).await;
    Ok(Opened { generation: Generation { name, store: Arc::new(store) }, at: Seq(0), news: Some(news) })
}
