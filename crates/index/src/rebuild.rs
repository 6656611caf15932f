//! Builds both indexes again from the catalog, beside those in use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lore_core::DocumentId;

use crate::apply::{Applied, Task, apply_lexical, apply_vectors, blocking};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::follow::{self, FollowReport, Position, call};
use crate::index::{Current, Generation, Inner};
use crate::lexical::LexicalIndex;
use crate::vector::VectorStore;

/// Documents applied in one go.
const BATCH: usize = 64;
/// How long to wait for the last searches in an index that was replaced.
const PATIENCE: Duration = Duration::from_secs(10);

/// Builds new generations, puts them in place of the old ones, and follows what changed meanwhile.
pub(crate) async fn rebuild(
    inner: &Inner,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<FollowReport> {
    let mut position = inner.position.lock().await;
    // Changes from here on are applied again after the swap.
    let from = call(&inner.catalog, Catalog::last_seq).await?;
    let documents = call(&inner.catalog, Catalog::live_documents).await?;
    let next = create(inner).await?;
    let applied = match fill(inner, &next, &documents, progress).await {
        Ok(applied) => applied,
        Err(error) => {
            let _ = next.vectors.store.destroy().await;
            retire(inner, next).await;
            return Err(error);
        }
    };
    let lexical = Arc::clone(&next.lexical.store);
    blocking(move || lexical.commit(from)).await?;
    {
        let store = Arc::clone(&next.vectors.store);
        blocking(move || store.optimise()).await?;
    }
    next.vectors.store.flush().await?;
    let checkpoint = follow::checkpoint(inner, &next.vectors.name);
    call(&inner.catalog, move |catalog| catalog.set_checkpoint(&checkpoint, from)).await?;
    // Each of the two is complete by itself, so a crash between the renames leaves one old and one new, both right.
    let names = (next.lexical.name.clone(), next.vectors.name.clone());
    let (lexical, vectors) = (inner.lexical.clone(), inner.vectors.clone());
    blocking(move || {
        lexical.promote(&names.0)?;
        vectors.promote(&names.1)
    })
    .await?;
    let old = inner.replace(next);
    *position = Position::at(from, from);
    let caught_up = follow::follow(inner, &mut position, &|_, _| {}, true).await?;
    retire(inner, old).await;
    Ok(FollowReport {
        changes: documents.len() as u64 + caught_up.changes,
        chunks: applied.chunks + caught_up.chunks,
        embedded: applied.embedded + caught_up.embedded,
    })
}

/// Makes empty generations.
async fn create(inner: &Inner) -> Result<Current> {
    let (name, folder, config) = (inner.lexical.fresh(), inner.lexical.clone(), inner.config.clone());
    let lexical = blocking(move || {
        let index = LexicalIndex::create(&folder.folder(&name), &config)?;
        Ok(Generation { name, store: Arc::new(index) })
    })
    .await?;
    let name = inner.vectors.fresh();
    let folder = inner.vectors.folder(&name);
    let dimension = inner.embedder.info().dimension;
    let store = VectorStore::create(&inner.config.vectors, &folder, &name, dimension).await?;
    Ok(Current { lexical, vectors: Generation { name, store: Arc::new(store) } })
}

async fn fill(
    inner: &Inner,
    next: &Current,
    documents: &[DocumentId],
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Applied> {
    let mut all = Applied::default();
    let known = documents.len() as u64;
    for (at, batch) in documents.chunks(BATCH).enumerate() {
        progress((at * BATCH) as u64, known);
        let (index, list) = (Arc::clone(&next.lexical.store), batch.to_vec());
        call(&inner.catalog, move |catalog| apply_lexical(catalog, &index, &list)).await?;
        let tasks: Vec<Task> = batch.iter().map(|&document| Task { document, labels_only: false }).collect();
        let applied = apply_vectors(&inner.catalog, &inner.embedder, &next.vectors.store, &tasks).await?;
        if let Some(error) = applied.failed.into_values().next() {
            return Err(error.into());
        }
        all.chunks += applied.chunks;
        all.embedded += applied.embedded;
    }
    progress(known, known);
    Ok(all)
}

/// Closes generations that are not searched any more, once the last search in them has ended, and removes them. What
/// cannot be removed now goes when the indexes are opened the next time.
async fn retire(inner: &Inner, old: Current) {
    let Current { lexical: Generation { store: words, .. }, vectors: Generation { store: points, .. } } = old;
    let deadline = Instant::now() + PATIENCE;
    while Arc::strong_count(&words) > 1 || Arc::strong_count(&points) > 1 {
        if Instant::now() > deadline {
            tracing::warn!(
                "the indexes that were replaced are still in use; they are removed at the next start"
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (lexical, vectors) = (inner.lexical.clone(), inner.vectors.clone());
    let removed = blocking(move || {
        words.close()?;
        drop((words, points));
        lexical.sweep()?;
        vectors.sweep()
    });
    if let Err(error) = removed.await {
        tracing::warn!(%error, "the indexes that were replaced cannot be removed; they are at the next start");
    }
}
