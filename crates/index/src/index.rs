//! The indexes of a data folder, as a searcher holds them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use lore_core::{Access, ChunkId, Embedder, Filter, ScoredChunk, Seq};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};
use utoipa::ToSchema;

use crate::apply::blocking;
use crate::catalog::Catalog;
use crate::config::{Bm25, IndexConfig};
use crate::error::Result;
use crate::follow::{self, FollowReport, Position, call};
use crate::generation::Generations;
use crate::lexical::{self, LexicalIndex, analyzer};
use crate::open::{News, open_lexical, open_vectors};
use crate::owner::Owner;
use crate::rebuild::{RebuildState, RebuildStatus};
use crate::seed::{self, Seed};
use crate::vector::{self, VectorStore};

/// Chunks written to the vectors after which they are optimised.
const OPTIMISE_CHUNKS: u64 = 2_000;
/// Longest wait before following is tried again after an error.
const BACK_OFF_MOST: Duration = Duration::from_secs(60);
/// How long closing waits for an optimisation.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// Differences between the catalog and the indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckReport {
    /// Live documents compared.
    pub documents: u64,
    /// Live chunks compared.
    pub chunks: u64,
    /// Each difference, in words; empty when all agree.
    pub differences: Vec<String>,
}

/// Both indexes of a data folder; clones share them.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("catalog", &self.inner.catalog).finish_non_exhaustive()
    }
}

/// One generation of an index.
#[derive(Debug)]
pub(crate) struct Generation<T> {
    pub name: String,
    pub store: Arc<T>,
}

impl<T> Clone for Generation<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), store: Arc::clone(&self.store) }
    }
}

/// The generations that are searched.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub lexical: Generation<LexicalIndex>,
    pub vectors: Generation<VectorStore>,
}

pub(crate) struct Inner {
    pub catalog: Catalog,
    pub config: IndexConfig,
    pub embedder: Embedder,
    pub lexical: Generations,
    pub vectors: Generations,
    /// The data folder's own id.
    pub folder_id: String,
    current: RwLock<Current>,
    /// Held while changes are applied.
    pub position: Mutex<Position>,
    /// Last change that both indexes hold with all before it.
    pub followed: AtomicU64,
    /// Held while the indexes are built again.
    pub rebuilding: Mutex<()>,
    pub rebuild: std::sync::Mutex<RebuildStatus>,
    /// Why the indexes lack documents that were live before they were opened, until the first catch-up.
    preparing: std::sync::Mutex<Option<Preparing>>,
    /// Why the last round of following failed.
    trouble: std::sync::Mutex<Option<String>>,
    nudge: Notify,
    optimising: AtomicBool,
    owner: Owner,
}

/// New indexes on their way.
#[derive(Clone, Debug)]
struct Preparing {
    reason: String,
    done: u64,
    total: u64,
}

impl Inner {
    pub(crate) fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Searches use `next` from now on; gives what they used before.
    pub(crate) fn replace(&self, next: Current) -> Current {
        std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), next)
    }
}

impl Inner {
    /// Says how many documents new indexes hold.
    pub(crate) fn preparing(&self, done: u64, total: u64) {
        if let Some(preparing) = &mut *locked(&self.preparing) {
            (preparing.done, preparing.total) = (done, total);
        }
    }

    /// Says that new indexes hold what the old ones would.
    pub(crate) fn prepared(&self) {
        *locked(&self.preparing) = None;
    }
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Index {
    /// Opens the indexes under `catalog`'s folder, rebuilding one that is missing, damaged or made for another embedder from the catalog as it follows; [`Index::preparing`] tells of that.
    ///
    /// The owner's lock is held for as long as a clone lives.
    pub async fn open(
        catalog: Catalog,
        config: IndexConfig,
        embedder: Embedder,
        owner: Owner,
    ) -> Result<Self> {
        let folder = catalog.folder().to_owned();
        let kind = vector::kind(&config.vectors, embedder.info());
        let (lexical, vectors) = blocking(move || {
            Ok((
                Generations::new(folder.join("lexical"), &lexical::format())?,
                Generations::new(folder.join("vectors"), &kind)?,
            ))
        })
        .await?;
        let folder_id = call(&catalog, Catalog::folder_id).await?;
        let words = open_lexical(&lexical, &config, &catalog).await?;
        let anew = words.news == Some(News::OtherHistory);
        let points = open_vectors(&vectors, &config, &embedder, &catalog, &folder_id, anew).await?;
        let mut position = Position::at(words.at, points.at);
        let mut preparing = None;
        // Vectors made anew say more than words made anew; without any document there is nothing to wait for.
        if let Some(news) = points.news.or(words.news) {
            let seed = Seed::new(&catalog, words.news.is_some(), points.news.is_some()).await?;
            let reason = news.reason().to_owned();
            preparing = (seed.len() > 0).then(|| Preparing { reason, done: 0, total: seed.len() });
            position.seed = Some(seed);
        }
        let empty = position.seed.is_some() && preparing.is_none();
        let inner = Inner {
            catalog,
            config,
            embedder,
            lexical,
            vectors,
            folder_id,
            followed: AtomicU64::new(position.lexical.min(position.vectors).0),
            current: RwLock::new(Current { lexical: words.generation, vectors: points.generation }),
            position: Mutex::new(position),
            rebuilding: Mutex::new(()),
            rebuild: std::sync::Mutex::default(),
            preparing: std::sync::Mutex::new(preparing),
            trouble: std::sync::Mutex::default(),
            nudge: Notify::new(),
            optimising: AtomicBool::new(false),
            owner,
        };
        if empty {
            let mut position = inner.position.lock().await;
            let current = inner.current();
            let (position, report) = (&mut *position, &mut FollowReport::default());
            seed::seed(&inner, &current, position, &|_, _| {}, report).await?;
            follow::flush(&inner, &current.vectors, position).await?;
            seed::sweep(&inner, &current.vectors).await?;
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Why the indexes lack documents that were live before they were opened, and how far they are: they were made anew
    /// and have not caught up for the first time. `None` from then on.
    pub fn preparing(&self) -> Option<String> {
        let Preparing { reason, done, total } = locked(&self.inner.preparing).clone()?;
        Some(format!("{reason}: {done} of {total} documents are indexed"))
    }

    /// Why the catalog's changes cannot be applied at the moment; they are tried again.
    pub fn trouble(&self) -> Option<String> {
        locked(&self.inner.trouble).clone()
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// The embedder whose vectors these are.
    pub fn embedder(&self) -> &Embedder {
        &self.inner.embedder
    }

    /// Publishes the owner's address; see [`Owner::publish`].
    pub fn publish(&self, url: &str, token: &str) -> Result<()> {
        self.inner.owner.publish(url, token)
    }

    /// Asks whether the vectors can be searched now; one try, a few seconds at most.
    ///
    /// # Errors
    /// `Unreachable` where they are on a server that does not answer.
    pub async fn reach_vectors(&self) -> Result<()> {
        self.inner.current().vectors.store.reach().await
    }

    /// Chunks nearest to the unit vector `query` (cosine), best first. ACL and filter are applied in the index.
    pub async fn search_dense(
        &self,
        query: &[f32],
        filter: &Filter,
        access: &Access,
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        self.inner.current().vectors.store.search(query, filter, access, limit).await
    }

    /// Chunks with the words of `query` (BM25), best first.
    pub async fn search_lexical(
        &self,
        query: &str,
        filter: &Filter,
        access: &Access,
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        self.search_lexical_weighted(query, filter, access, limit, None).await
    }

    /// [`Index::search_lexical`], with other weights than those of the settings where they are given.
    pub async fn search_lexical_weighted(
        &self,
        query: &str,
        filter: &Filter,
        access: &Access,
        limit: usize,
        bm25: Option<Bm25>,
    ) -> Result<Vec<ScoredChunk>> {
        let index = self.inner.current().lexical.store;
        let (query, filter, access) = (query.to_owned(), filter.clone(), access.clone());
        blocking(move || index.search_weighted(&query, &filter, &access, limit, bm25)).await
    }

    /// How words are scored.
    pub fn bm25(&self) -> Bm25 {
        self.inner.config.bm25()
    }

    /// Cosine similarity of `query` to chunks that are known by id (for candidates that only the lexical side found); `None` where there is no vector.
    pub async fn similarities(&self, query: &[f32], ids: &[ChunkId]) -> Result<Vec<Option<f32>>> {
        let vectors = self.inner.current().vectors.store.vectors(ids).await?;
        let cosine = |vector: Vec<f32>| vector.iter().zip(query).map(|(a, b)| a * b).sum();
        Ok(vectors.into_iter().map(|vector| vector.map(cosine)).collect())
    }

    /// Applies all changes that are waiting; `progress` hears (changes done, changes known). After many, it also waits
    /// until the vectors are optimised.
    ///
    /// # Errors
    /// The first error of the embedder, after everything else was applied.
    pub async fn follow(&self, progress: &(dyn Fn(u64, u64) + Send + Sync)) -> Result<FollowReport> {
        let mut position = self.inner.position.lock().await;
        let report = follow::follow(&self.inner, &mut position, progress, true).await;
        if position.unoptimised >= OPTIMISE_CHUNKS {
            position.unoptimised = 0;
            let vectors = self.inner.current().vectors;
            let store = Arc::clone(&vectors.store);
            blocking(move || store.optimise()).await?;
            follow::flush(&self.inner, &vectors, &mut position).await?;
        }
        report
    }

    /// Follows for as long as `stop` is not set: polls the catalog every `every`, and at once when [`Index::nudge`] is called.
    ///
    /// An error is logged and following tried again, at growing intervals; nothing is skipped. Vectors are optimised in
    /// the background.
    pub async fn run(&self, every: Duration, mut stop: tokio::sync::watch::Receiver<bool>) -> Result<()> {
        self.optimise_in_background();
        let mut wait = every;
        while !*stop.borrow() {
            let round = tokio::select! {
                round = self.round() => round,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            *locked(&self.inner.trouble) = round.as_ref().err().map(ToString::to_string);
            wait = match round {
                Ok(_) => every,
                Err(error) => {
                    let wait = (wait * 2).clamp(every, BACK_OFF_MOST.max(every));
                    tracing::warn!(%error, seconds = wait.as_secs(), "the indexes cannot follow; trying again");
                    wait
                }
            };
            tokio::select! {
                () = self.inner.nudge.notified() => {}
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.flush().await
    }

    async fn round(&self) -> Result<FollowReport> {
        let mut position = self.inner.position.lock().await;
        let report = follow::follow(&self.inner, &mut position, &|_, _| {}, false).await?;
        if position.unoptimised >= OPTIMISE_CHUNKS && self.optimise_in_background() {
            position.unoptimised = 0;
        }
        Ok(report)
    }

    /// Starts an optimisation of the vectors unless one runs. It keeps the owner's lock until it ends.
    fn optimise_in_background(&self) -> bool {
        if self.inner.optimising.swap(true, Ordering::AcqRel) {
            return false;
        }
        let inner = Arc::clone(&self.inner);
        // A thread of its own: a runtime that shuts down would wait for a blocking task, and this one may take minutes.
        // Ended in the middle, it leaves what was there before.
        let work = move || {
            let store = inner.current().vectors.store;
            match store.optimise() {
                Ok(true) => tracing::info!("the vectors are optimised"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "the vectors could not be optimised; searches are slower")
                }
            }
            drop(store);
            inner.optimising.store(false, Ordering::Release);
            // What waited for the end can be made durable now.
            inner.nudge.notify_one();
        };
        let started = std::thread::Builder::new().name("lore-optimise".into()).spawn(work);
        if started.is_err() {
            self.inner.optimising.store(false, Ordering::Release);
        }
        started.is_ok()
    }

    /// The last change that both indexes hold with all before it.
    pub fn followed(&self) -> Seq {
        Seq(self.inner.followed.load(Ordering::Acquire))
    }

    /// Says that the catalog changed.
    pub fn nudge(&self) {
        self.inner.nudge.notify_one();
    }

    /// Builds both indexes again from the catalog; searches and following keep the old ones until the new are complete.
    ///
    /// # Errors
    /// The old ones stay in use. Where the embedder refuses a document that it
    /// had refused before, its error comes after the new ones have taken their place.
    pub async fn rebuild(&self, progress: &(dyn Fn(u64, u64) + Send + Sync)) -> Result<FollowReport> {
        crate::rebuild::rebuild(&self.inner, progress).await
    }

    /// Starts [`Index::rebuild`] in the background, unless one runs; [`Index::rebuild_status`] tells how it goes.
    pub fn start_rebuild(&self) -> RebuildStatus {
        {
            let mut status = locked(&self.inner.rebuild);
            if status.state == RebuildState::Running {
                return status.clone();
            }
            *status = RebuildStatus { state: RebuildState::Running, ..RebuildStatus::default() };
        }
        let index = self.clone();
        tokio::spawn(async move {
            match index.rebuild(&|_, _| {}).await {
                Ok(report) => tracing::info!(chunks = report.chunks, "the indexes are built again"),
                Err(error) => tracing::error!(%error, "the indexes could not be built again"),
            }
        });
        self.rebuild_status()
    }

    /// How the last rebuild goes or went.
    pub fn rebuild_status(&self) -> RebuildStatus {
        locked(&self.inner.rebuild).clone()
    }

    /// Compares catalog, vectors and lexical index.
    pub async fn check(&self) -> Result<CheckReport> {
        crate::check::check(&self.inner).await
    }

    /// Inverse document frequency of the words of `text` in the lexical index, analysed as the index does: (token, idf).
    /// Of a very long text only the rarest words. Reads their postings, so it blocks.
    pub fn term_weights(&self, text: &str) -> Result<Vec<(String, f32)>> {
        self.inner.current().lexical.store.term_weights(text)
    }

    /// The terms of `text` in order, analysed as the lexical index analyses (the tokens of [`Index::term_weights`]).
    pub fn analyze(&self, text: &str) -> Vec<String> {
        analyzer::terms(text)
    }

    /// Makes everything that was applied durable, waiting a little for an optimisation to end. Where it takes longer, what
    /// was written since it began is applied again at the next start.
    async fn flush(&self) -> Result<()> {
        let deadline = Instant::now() + CLOSE_PATIENCE;
        while self.inner.optimising.load(Ordering::Acquire) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut position = self.inner.position.lock().await;
        follow::flush(&self.inner, &self.inner.current().vectors, &mut position).await
    }

    /// Flushes and closes.
    ///
    /// The owner's lock is freed with the last clone. An optimisation that takes long is not waited for; it holds the lock
    /// until it, or the process, ends.
    pub async fn close(self) -> Result<()> {
        self.flush().await?;
        let current = self.inner.current();
        blocking(move || current.lexical.store.close()).await?;
        let Ok(inner) = Arc::try_unwrap(self.inner) else { return Ok(()) };
        // Nobody else has it: files are closed before the lock is freed.
        let vectors = inner.current().vectors.store;
        blocking(move || {
            vectors.close();
            drop(inner);
            Ok(())
        })
        .await
    }
}
