//! Builds both indexes again from the catalog, beside those in use, which are searched and followed meanwhile.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::apply::blocking;
use crate::error::Result;
use crate::follow::{self, FollowReport, Position};
use crate::index::{Current, Generation, Inner};
use crate::lexical::LexicalIndex;
use crate::seed;
use crate::vector::VectorStore;

/// Documents applied in one go.
const BATCH: usize = 64;
/// How long to wait for the last searches in an index that was replaced.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where building the indexes again stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RebuildState {
    /// Nobody asked for it since the start.
    #[default]
    None,
    /// It runs; the indexes before answer.
    Running,
    /// The new indexes answer.
    Done,
    /// It failed; the indexes before answer.
    Failed,
}

/// The last time that the indexes were built again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RebuildStatus {
    /// Where it stands.
    pub state: RebuildState,
    /// Documents done.
    pub done: u64,
    /// Documents to be done.
    pub total: u64,
    /// Chunks written, at the end.
    pub chunks: u64,
    /// Chunks that had to be embedded, at the end.
    pub embedded: u64,
    /// Seconds it took, at the end.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
}

impl Inner {
    fn told(&self, change: impl FnOnce(&mut RebuildStatus)) {
        change(&mut self.rebuild.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Builds new generations, follows what changes meanwhile, and puts them in place of the old ones. Waits while another
/// rebuild runs.
///
/// # Errors
/// After an error the old generations stay in use, but for a document that the
/// embedder refuses and has refused before: the new ones lack it as the old did, and its error comes at the end.
pub(crate) async fn rebuild(
    inner: &Inner,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<FollowReport> {
    let _alone = inner.rebuilding.lock().await;
    let started = Instant::now();
    inner.told(|status| *status = RebuildStatus { state: RebuildState::Running, ..RebuildStatus::default() });
    let done = build_and_replace(inner, &|done, total| {
        inner.told(|status| (status.done, status.total) = (done, total));
        progress(done, total);
    })
    .await;
    inner.told(|status| {
        status.seconds = started.elapsed().as_secs_f64();
        match &done {
            Ok(report) => {
                status.state = RebuildState::Done;
                (status.chunks, status.embedded) = (report.chunks, report.embedded);
            }
            Err(error) => {
                status.state = RebuildState::Failed;
                status.error = Some(error.to_string());
            }
        }
    });
    done
}

async fn build_and_replace(
    inner: &Inner,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<FollowReport> {
    let next = create(inner).await?;
    let (mut own, mut report) = match build(inner, &next, progress).await {
        Ok(built) => built,
        Err(error) => {
            let _ = next.vectors.store.destroy().await;
            drop(next);
            let (lexical, vectors) = (inner.lexical.clone(), inner.vectors.clone());
            let in_use = inner.current();
            let _ = blocking(move || {
                lexical.sweep_but(&in_use.lexical.name)?;
                vectors.sweep_but(&in_use.vectors.name)
            })
            .await;
            return Err(error);
        }
    };
    // Little is left to be followed now, so that the others wait for a moment only.
    let mut position = inner.position.lock().await;
    follow::catch_up(inner, &next, &mut own, &|_, _| {}, &mut report, false).await?;
    own.promote = true;
    // Each of the two is complete by itself, so a crash between the renames leaves one old and one new, both right.
    let (lexical, name) = (inner.lexical.clone(), next.lexical.name.clone());
    blocking(move || lexical.promote(&name)).await?;
    let old = inner.replace(next.clone());
    *position = own;
    let flushed = follow::flush(inner, &next.vectors, &mut position).await;
    follow::note_followed(inner, &position);
    inner.prepared();
    let refused = position.refusal();
    drop(position);
    drop(next);
    flushed?;
    retire(inner, old).await;
    refused.map_or(Ok(report), |error| Err(error.into()))
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
    let scoped = seed::scoped(&inner.folder_id, &name);
    let store = VectorStore::create(&inner.config.vectors, &folder, &scoped, dimension).await?;
    Ok(Current { lexical, vectors: Generation { name, store: Arc::new(store) } })
}

/// Fills new generations, optimises them, and follows what changed meanwhile.
async fn build(
    inner: &Inner,
    next: &Current,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<(Position, FollowReport)> {
    let (from, documents) = seed::live(&inner.catalog).await?;
    let known = documents.len() as u64;
    let mut report = FollowReport { changes: known, ..FollowReport::default() };
    let mut own = Position::at(from.seq, from.seq);
    progress(0, known);
    seed::words(inner, &next.lexical.store, &documents, from).await?;
    let mut done = 0;
    for batch in documents.chunks(BATCH) {
        let applied = seed::points(inner, &next.vectors.store, batch, &mut own).await?;
        if !applied.failed.is_empty() {
            let before = inner.position.lock().await.refused();
            if let Some((_, error)) = applied.failed.into_iter().find(|(id, _)| !before.contains(id)) {
                return Err(error.into());
            }
        }
        report.chunks += applied.chunks;
        report.embedded += applied.embedded;
        done += batch.len() as u64;
        progress(done, known);
    }
    follow::catch_up(inner, next, &mut own, &|_, _| {}, &mut report, false).await?;
    let store = Arc::clone(&next.vectors.store);
    blocking(move || store.optimise()).await?;
    own.unoptimised = 0;
    follow::catch_up(inner, next, &mut own, &|_, _| {}, &mut report, false).await?;
    Ok((own, report))
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
    seed::sweep_server(&inner.current().vectors.store, None).await;
}
