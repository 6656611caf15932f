//! Applies the catalog's changes to the indexes, in order, each index at its own checkpoint.
//!
//! - The lexical index keeps its checkpoint in its own commit.
//! - A vector store's checkpoint is in the catalog, under a name of its own (`vectors:EMBEDDER:GENERATION`), and moves
//!   only after what was written has been flushed. Between flushes the position in memory is ahead of it; a crash takes
//!   the difference, which is then applied again.
//! - A document that the embedder refuses holds the checkpoint back, but not the documents after it; it is tried again,
//!   at growing intervals, until it can be embedded or changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lore_core::{DocumentId, ModelError, Seq};

use crate::apply::{Applied, Task, apply_lexical, apply_vectors, blocking};
use crate::catalog::{Catalog, Change, ChangeKind};
use crate::error::Result;
use crate::index::{Current, Generation, Inner};
use crate::lexical::LexicalIndex;
use crate::seed::{self, Seed};
use crate::vector::VectorStore;

/// Chunks written to the vector store after which it is flushed though more wait.
const FLUSH_CHUNKS: u64 = 4_096;
/// First wait before a document that the embedder refused is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Longest such wait.
const RETRY_MOST: Duration = Duration::from_secs(300);

/// What a round of following did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowReport {
    /// Changes applied.
    pub changes: u64,
    /// Chunks written to the indexes.
    pub chunks: u64,
    /// Chunks that had to be embedded (the others' vectors were known).
    pub embedded: u64,
}

/// A document that the embedder refused.
#[derive(Debug)]
struct Refusal {
    /// The first change of it that the vectors lack.
    seq: Seq,
    error: ModelError,
    tries: u32,
    next: Instant,
}

/// How far the indexes are.
#[derive(Debug, Default)]
pub(crate) struct Position {
    /// Last change in the lexical index.
    pub lexical: Seq,
    /// Last change in the vector store, flushed or not.
    pub vectors: Seq,
    /// Last change whose checkpoint was written.
    pub durable: Seq,
    /// Chunks written to the vector store since it was flushed.
    unflushed: u64,
    /// Chunks written to the vector store since it was optimised.
    pub unoptimised: u64,
    refused: BTreeMap<DocumentId, Refusal>,
    /// What new indexes are still to be filled with.
    pub seed: Option<Seed>,
    /// Whether the vectors in use are not yet the ones that the next start opens.
    pub promote: bool,
}

impl Position {
    pub(crate) fn at(lexical: Seq, vectors: Seq) -> Self {
        Self { lexical, vectors, durable: vectors, ..Self::default() }
    }

    /// Why the embedder refused a document, if it did.
    pub(crate) fn refusal(&self) -> Option<ModelError> {
        self.refused.values().next().map(|refusal| refusal.error.clone())
    }

    /// Documents that the embedder refused.
    pub(crate) fn refused(&self) -> BTreeSet<DocumentId> {
        self.refused.keys().copied().collect()
    }

    /// The last change that the vectors hold with all before it.
    fn complete(&self) -> Seq {
        let refused = self.refused.values().map(|r| Seq(r.seq.0.saturating_sub(1)));
        refused.fold(self.vectors, Ord::min)
    }

    /// Documents to try again: all that were refused, or those whose wait is over.
    fn due(&self, all: bool) -> Vec<DocumentId> {
        let now = Instant::now();
        self.refused.iter().filter(|(_, r)| all || r.next <= now).map(|(id, _)| *id).collect()
    }

    pub(crate) fn note(&mut self, tasks: &[(Task, Seq)], applied: &Applied) {
        self.unflushed += applied.chunks;
        self.unoptimised += applied.chunks;
        for (task, seq) in tasks {
            let Some(error) = applied.failed.get(&task.document) else {
                self.refused.remove(&task.document);
                continue;
            };
            let before = self.refused.remove(&task.document);
            let tries = before.as_ref().map_or(0, |r| r.tries) + 1;
            let wait = RETRY.saturating_mul(1 << (tries - 1).min(16)).min(RETRY_MOST);
            let seq = before.map_or(*seq, |r| r.seq.min(*seq));
            tracing::warn!(document = %task.document, %error, tries, "the embedder refused a document; it is tried again");
            let refusal = Refusal { seq, error: error.clone(), tries, next: Instant::now() + wait };
            self.refused.insert(task.document, refusal);
        }
    }
}

/// Fills new indexes, then applies all changes that wait, and what was refused before: `retry_all`, or where its time
/// has come.
pub(crate) async fn follow(
    inner: &Inner,
    position: &mut Position,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
    retry_all: bool,
) -> Result<FollowReport> {
    let mut report = FollowReport::default();
    let current = inner.current();
    if position.seed.is_some() {
        seed::seed(inner, &current, position, progress, &mut report).await?;
    }
    let new = position.promote;
    retry(inner, &current.vectors.store, position, &mut report, retry_all).await?;
    catch_up(inner, &current, position, progress, &mut report, true).await?;
    flush(inner, &current.vectors, position).await?;
    match (new, position.promote) {
        (true, false) => seed::sweep(inner, &current.vectors).await?,
        (false, _) => current.vectors.store.publish().await?,
        (true, true) => {}
    }
    note_followed(inner, position);
    inner.prepared();
    match position.refusal().filter(|_| retry_all) {
        Some(error) => Err(error.into()),
        None => Ok(report),
    }
}

/// Applies the changes after `position` to `target`; figures are told where it is `in_use`.
pub(crate) async fn catch_up(
    inner: &Inner,
    target: &Current,
    position: &mut Position,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
    report: &mut FollowReport,
    in_use: bool,
) -> Result<()> {
    let start = position.vectors;
    loop {
        let last = call(&inner.catalog, Catalog::last_seq).await?;
        if in_use {
            metrics::gauge!("lore_index_lag_changes", "index" => "lexical")
                .set(last.0.saturating_sub(position.lexical.0) as f64);
            metrics::gauge!("lore_index_lag_changes", "index" => "vectors")
                .set(last.0.saturating_sub(position.vectors.0) as f64);
            note_followed(inner, position);
        }
        let known = last.0.saturating_sub(start.0);
        progress(position.vectors.0.saturating_sub(start.0).min(known), known);
        if position.lexical >= last && position.vectors >= last {
            return Ok(());
        }
        if position.lexical < last {
            position.lexical = lexical_batch(inner, &target.lexical.store, position.lexical, last).await?;
        }
        if position.vectors < last {
            let changes = changes(inner, position.vectors, last).await?;
            let tasks = tasks(&changes);
            let list: Vec<Task> = tasks.iter().map(|(task, _)| *task).collect();
            let applied =
                apply_vectors(&inner.catalog, &inner.embedder, &target.vectors.store, &list).await?;
            position.note(&tasks, &applied);
            position.vectors = changes.last().map_or(last, |change| change.seq);
            report.changes += changes.len() as u64;
            report.chunks += applied.chunks;
            report.embedded += applied.embedded;
            if position.unflushed >= FLUSH_CHUNKS {
                flush(inner, &target.vectors, position).await?;
            }
        }
    }
}

pub(crate) fn note_followed(inner: &Inner, position: &Position) {
    inner.followed.store(position.lexical.min(position.complete()).0, Ordering::Release);
}

/// Makes the vectors durable and then moves their checkpoint; does nothing while the store is being optimised. New ones
/// then take the place of those that the next start would open.
pub(crate) async fn flush(
    inner: &Inner,
    vectors: &Generation<VectorStore>,
    position: &mut Position,
) -> Result<()> {
    let complete = position.complete();
    let idle = position.unflushed == 0 && position.durable == complete && !position.promote;
    if idle || position.seed.is_some() || !vectors.store.flush().await? {
        return Ok(());
    }
    position.unflushed = 0;
    let (name, checkpoint) = (vectors.name.clone(), checkpoint(inner, &vectors.name));
    let (generations, held) = (inner.vectors.clone(), position.vectors);
    call(&inner.catalog, move |catalog| {
        generations.set_mark(&name, catalog.mark(held)?)?;
        catalog.set_checkpoint(&checkpoint, complete)
    })
    .await?;
    position.durable = complete;
    if position.promote {
        seed::promote(inner, vectors).await?;
        position.promote = false;
    }
    Ok(())
}

/// Name of the checkpoint of a generation of vectors.
pub(crate) fn checkpoint(inner: &Inner, generation: &str) -> String {
    format!("vectors:{}:{generation}", inner.embedder.info().id)
}

/// Runs a catalog method off the async threads.
pub(crate) async fn call<T: Send + 'static>(
    catalog: &Catalog,
    work: impl FnOnce(&Catalog) -> Result<T> + Send + 'static,
) -> Result<T> {
    let catalog = catalog.clone();
    blocking(move || work(&catalog)).await
}

async fn retry(
    inner: &Inner,
    store: &VectorStore,
    position: &mut Position,
    report: &mut FollowReport,
    all: bool,
) -> Result<()> {
    let tasks: Vec<(Task, Seq)> = position
        .due(all)
        .into_iter()
        .map(|document| (Task { document, labels_only: false }, position.vectors))
        .collect();
    let list: Vec<Task> = tasks.iter().map(|(task, _)| *task).collect();
    let applied = apply_vectors(&inner.catalog, &inner.embedder, store, &list).await?;
    position.note(&tasks, &applied);
    report.chunks += applied.chunks;
    report.embedded += applied.embedded;
    Ok(())
}

async fn lexical_batch(inner: &Inner, index: &Arc<LexicalIndex>, from: Seq, last: Seq) -> Result<Seq> {
    let changes = changes(inner, from, last).await?;
    let to = changes.last().map_or(last, |change| change.seq);
    let documents: Vec<DocumentId> = tasks(&changes).into_iter().map(|(task, _)| task.document).collect();
    let index = Arc::clone(index);
    call(&inner.catalog, move |catalog| {
        let _batch = index.batch();
        apply_lexical(catalog, &index, &documents)?;
        index.commit(catalog.mark(to)?)
    })
    .await?;
    Ok(to)
}

async fn changes(inner: &Inner, from: Seq, last: Seq) -> Result<Vec<Change>> {
    let limit = inner.config.follow_batch.max(1);
    let mut changes = call(&inner.catalog, move |catalog| catalog.changes_after(from, limit)).await?;
    changes.retain(|change| change.seq <= last);
    Ok(changes)
}

/// One task for each document, with its first change, in the order of their last changes.
fn tasks(changes: &[Change]) -> Vec<(Task, Seq)> {
    let mut tasks: Vec<(Task, Seq)> = Vec::new();
    for change in changes {
        let mut labels_only = change.kind == ChangeKind::Meta;
        let mut first = change.seq;
        if let Some(at) = tasks.iter().position(|(task, _)| task.document == change.document) {
            let (task, seq) = tasks.remove(at);
            labels_only &= task.labels_only;
            first = seq;
        }
        tasks.push((Task { document: change.document, labels_only }, first));
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_applied_once_and_labels_alone_only_when_nothing_else_changed() {
        let [a, b] = ["a", "b"].map(DocumentId::from_source);
        let change = |seq, document, kind| Change { seq: Seq(seq), document, kind };
        let changes = [
            change(1, a, ChangeKind::Version(1)),
            change(2, b, ChangeKind::Meta),
            change(3, a, ChangeKind::Meta),
        ];
        let task = |document, labels_only| Task { document, labels_only };
        assert_eq!(tasks(&changes), [(task(b, true), Seq(2)), (task(a, false), Seq(1))]);
    }

    #[test]
    fn a_refused_document_holds_the_checkpoint_back_until_it_is_taken() {
        let document = DocumentId::from_source("a");
        let task = Task { document, labels_only: false };
        let error = ModelError::Failed { model: "m".into(), message: "no".into() };
        let mut position = Position::at(Seq(9), Seq(9));
        let failed = Applied { failed: [(document, error)].into(), ..Applied::default() };
        position.note(&[(task, Seq(4))], &failed);
        position.note(&[(task, Seq(7))], &failed);
        assert_eq!(position.complete(), Seq(3));
        assert_eq!((position.due(true).len(), position.due(false).len()), (1, 0));
        position.note(&[(task, Seq(9))], &Applied::default());
        assert_eq!(position.complete(), Seq(9));
    }
}
