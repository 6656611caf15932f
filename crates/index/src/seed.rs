//! Fills new indexes from the documents that are live, so that their history need not be replayed.
//!
//! The generations that the last start opened stay on the disk until the new ones are complete. A crash in between throws
//! the new ones away; what was embedded for them is in the catalog.

use std::collections::BTreeSet;
use std::sync::Arc;

use lore_core::{DocumentId, Seq};

use crate::apply::{Applied, Task, apply_lexical, apply_vectors, blocking};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::follow::{FollowReport, Position, call};
use crate::index::{Current, Generation, Inner};
use crate::lexical::LexicalIndex;
use crate::mark::Mark;
use crate::vector::VectorStore;

/// Documents applied in one go.
const BATCH: usize = 64;

/// What new indexes are filled with, and how far that is.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    /// The last change before the documents were listed; those after it are followed.
    from: Mark,
    documents: Arc<[DocumentId]>,
    /// Whether the lexical index is new and lacks them.
    words: bool,
    /// Whether the vectors are new, and how many of the documents they hold.
    points: Option<usize>,
}

impl Seed {
    /// What fills the indexes that are new.
    pub(crate) async fn new(catalog: &Catalog, words: bool, points: bool) -> Result<Self> {
        let (from, documents) = live(catalog).await?;
        Ok(Self { from, documents: documents.into(), words, points: points.then_some(0) })
    }

    /// Documents to be filled in.
    pub(crate) fn len(&self) -> u64 {
        self.documents.len() as u64
    }
}

/// The live documents, and the last change before they were listed.
pub(crate) async fn live(catalog: &Catalog) -> Result<(Mark, Vec<DocumentId>)> {
    call(catalog, |catalog| {
        let from = catalog.mark(catalog.last_seq()?)?;
        Ok((from, catalog.live_documents()?))
    })
    .await
}

/// Fills the new ones among the indexes in use. After an error, or when it was given up, it goes on where it was.
pub(crate) async fn seed(
    inner: &Inner,
    current: &Current,
    position: &mut Position,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
    report: &mut FollowReport,
) -> Result<()> {
    let Some(seed) = position.seed.clone() else { return Ok(()) };
    let told = |done: usize| {
        inner.preparing(done as u64, seed.len());
        progress(done as u64, seed.len());
    };
    told(seed.points.unwrap_or(0));
    if seed.words {
        words(inner, &current.lexical.store, &seed.documents, seed.from).await?;
        let (generations, name) = (inner.lexical.clone(), current.lexical.name.clone());
        blocking(move || {
            generations.promote(&name)?;
            generations.sweep_or_warn();
            Ok(())
        })
        .await?;
        position.lexical = seed.from.seq;
        position.seed = Some(Seed { words: false, ..seed.clone() });
    }
    if let Some(mut done) = seed.points {
        for batch in seed.documents[done.min(seed.documents.len())..].chunks(BATCH) {
            let applied = points(inner, &current.vectors.store, batch, position).await?;
            report.chunks += applied.chunks;
            report.embedded += applied.embedded;
            report.changes += batch.len() as u64;
            done += batch.len();
            position.seed = Some(Seed { words: false, points: Some(done), ..seed.clone() });
            told(done);
        }
        position.vectors = seed.from.seq;
        position.promote = true;
    }
    position.seed = None;
    Ok(())
}

/// Brings documents into a new lexical index and commits.
pub(crate) async fn words(
    inner: &Inner,
    index: &Arc<LexicalIndex>,
    documents: &[DocumentId],
    from: Mark,
) -> Result<()> {
    let (index, documents) = (Arc::clone(index), documents.to_vec());
    call(&inner.catalog, move |catalog| {
        let _batch = index.batch();
        for batch in documents.chunks(BATCH) {
            apply_lexical(catalog, &index, batch)?;
        }
        index.commit(from)
    })
    .await
}

/// Brings some documents into a new store; those that the embedder refuses are noted in `position`.
pub(crate) async fn points(
    inner: &Inner,
    store: &VectorStore,
    documents: &[DocumentId],
    position: &mut Position,
) -> Result<Applied> {
    let tasks: Vec<Task> = documents.iter().map(|&document| Task { document, labels_only: false }).collect();
    let applied = apply_vectors(&inner.catalog, &inner.embedder, store, &tasks).await?;
    let refused: BTreeSet<DocumentId> = applied.failed.keys().copied().collect();
    // A refused document keeps the checkpoint before its last change, so that it is tried again after a restart.
    let noted = call(&inner.catalog, move |catalog| {
        let seq = |task: &Task| match refused.contains(&task.document) {
            true => catalog.last_change(task.document),
            false => Ok(Seq(0)),
        };
        tasks.iter().map(|task| Ok((*task, seq(task)?))).collect::<Result<Vec<_>>>()
    });
    position.note(&noted.await?, &applied);
    Ok(applied)
}

/// Makes `vectors`, which are complete and durable, the ones that the next start opens and that other readers find.
pub(crate) async fn promote(inner: &Inner, vectors: &Generation<VectorStore>) -> Result<()> {
    let (generations, name) = (inner.vectors.clone(), vectors.name.clone());
    blocking(move || generations.promote(&name)).await?;
    vectors.store.publish().await
}

/// Removes the vectors before those in use, which nothing searches.
pub(crate) async fn sweep(inner: &Inner, vectors: &Generation<VectorStore>) -> Result<()> {
    let generations = inner.vectors.clone();
    blocking(move || {
        generations.sweep_or_warn();
        Ok(())
    })
    .await?;
    sweep_server(&vectors.store, None).await;
    Ok(())
}

/// Removes this folder's collections on a server but `store`'s and `kept`; what cannot be removed now is tried again at
/// the next opening.
pub(crate) async fn sweep_server(store: &VectorStore, kept: Option<&str>) {
    if let Err(error) = store.sweep(kept).await {
        tracing::warn!(%error, "collections that are not used any more cannot be removed from the vector server");
    }
}

/// What the store of generation `generation` is called on a server.
pub(crate) fn scoped(folder_id: &str, generation: &str) -> String {
    format!("{folder_id}-{generation}")
}
