//! Qdrant's engine in this process.
//!
//! What the engine leaves to its user, and how it is done here:
//! - Its write-ahead log is never replayed and never shortened. Durability is `flush`: the catalog's checkpoint moves
//!   only after it, and whatever a crash takes is applied again. The log's closed files go after a flush.
//! - Its `flush` panics when a write or an optimisation runs at the same time, so a lock keeps them apart. Deletions
//!   during an optimisation are not durable until it has ended, which is the other reason for waiting.
//! - It may panic on damaged files; opening catches that and reports the store as damaged.

use std::collections::HashMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use lore_core::{ChunkId, DocumentId, ScoredChunk};
use qdrant_edge::{
    CountRequest, CreateIndex, Distance, EdgeConfig, EdgeOptimizersConfig, EdgeShard, EdgeVectorParams,
    FieldIndexOperations, Filter, HnswIndexConfig, JsonPath, NamedQuery, PayloadFieldSchema, PayloadOps,
    PayloadSchemaType, PointId, PointInsertOperations, PointOperations, PointStruct, QueryEnum,
    ScrollRequest, SearchParams, SearchRequest, SetPayloadOp, UpdateOperation, VectorStructInternal,
    WalOptions, WithPayloadInterface, WithVector,
};
use serde_json::{Value, json};

use super::{FIELDS, Point, PointPage, SEARCH_BEAM, of_conditions, of_document, of_version};
use crate::error::{IndexError, Result};
use crate::payload::{Condition, Labels, Payload};

/// Segments above this size get an HNSW graph; below, a search compares every vector, exactly.
const GRAPH_FROM_KB: usize = 16 << 10;
/// Segments that the optimiser aims at: fewer make a search faster, more make merging cheaper.
const SEGMENTS: usize = 2;
/// Size of a file of the write-ahead log.
const LOG_BYTES: usize = if cfg!(test) { 1 << 20 } else { 8 << 20 };
/// Closed files of the log after which it is shortened.
const LOG_FILES: usize = 6;
/// Points in one write: each locks a segment for about this many insertions.
const WRITE_POINTS: usize = 64;
/// Pause between two tries of a lock.
const PAUSE: Duration = Duration::from_millis(2);
/// Least time between two tries to open a store that could not be opened again.
const LOAD_EVERY: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(1) };
/// How long to wait for a store of the same folder to be closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Space that must be left on the disk: the engine writes through memory maps, and a page that finds no room on the disk
/// kills the process.
const RESERVE_BYTES: u64 = 192 << 20;

/// Vectors in a folder of this machine.
#[derive(Clone)]
pub struct EdgeStore(Arc<Edge>);

struct Edge {
    folder: PathBuf,
    dimension: usize,
    /// `None` after it was closed, or while it cannot be opened again.
    shard: RwLock<Option<EdgeShard>>,
    closed: AtomicBool,
    /// When opening it again failed last.
    failed: Mutex<Option<Instant>>,
    /// Held by a write; never held while waiting for `maintenance`.
    writing: Mutex<()>,
    /// Held by an optimisation or a flush.
    maintenance: Mutex<()>,
    /// Whether it is an optimisation that holds it, or is about to.
    optimising: AtomicBool,
}

impl std::fmt::Debug for EdgeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeStore").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl EdgeStore {
    pub(super) async fn create(folder: &Path, dimension: usize) -> Result<Self> {
        let folder = folder.to_owned();
        blocking(move || {
            fs::create_dir_all(&folder).map_err(|e| IndexError::io(&folder, e))?;
            let shard = caught(|| EdgeShard::new(&folder, config(dimension)))?;
            let store = Self::over(folder, dimension, shard);
            for (field, number) in FIELDS {
                let kind = if number { PayloadSchemaType::Integer } else { PayloadSchemaType::Keyword };
                store.0.write(UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(
                    CreateIndex {
                        field_name: path(field)?,
                        field_schema: Some(PayloadFieldSchema::FieldType(kind)),
                    },
                )))?;
            }
            store.0.flush()?;
            Ok(store)
        })
        .await
    }

    pub(super) async fn open(folder: &Path, dimension: usize) -> Result<Option<Self>> {
        let folder = folder.to_owned();
        blocking(move || {
            if !folder.is_dir() {
                return Ok(None);
            }
            wait_for_log(&folder)?;
            let load = || {
                shorten_log(&folder)?;
                caught(|| EdgeShard::load(&folder, Some(config(dimension))))
            };
            match load() {
                Ok(shard) => Ok(Some(Self::over(folder, dimension, shard))),
                Err(error) => {
                    tracing::warn!(%error, "the vector index cannot be opened and is built again");
                    Ok(None)
                }
            }
        })
        .await
    }

    fn over(folder: PathBuf, dimension: usize, shard: EdgeShard) -> Self {
        let shard = RwLock::new(Some(shard));
        Self(Arc::new(Edge {
            folder,
            dimension,
            shard,
            closed: AtomicBool::new(false),
            failed: Mutex::default(),
            writing: Mutex::default(),
            maintenance: Mutex::default(),
            optimising: AtomicBool::new(false),
        }))
    }

    /// Runs `work` off the async threads.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Edge) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let edge = Arc::clone(&self.0);
        blocking(move || work(&edge)).await
    }

    pub(super) async fn upsert(&self, points: Vec<Point>) -> Result<()> {
        self.run(move |edge| {
            edge.check_space()?;
            let mut points = points.into_iter().peekable();
            while points.peek().is_some() {
                let mut batch = Vec::with_capacity(WRITE_POINTS);
                for point in points.by_ref().take(WRITE_POINTS) {
                    edge.check_vector(&point.vector)?;
                    let payload = serde_json::to_value(&point.payload).map_err(|e| failed(&e))?;
                    batch.push(PointStruct::new(PointId::Uuid(point.id.0), point.vector, payload).into());
                }
                edge.write(UpdateOperation::PointOperation(PointOperations::UpsertPoints(
                    PointInsertOperations::PointsList(batch),
                )))?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn delete(&self, filter: Value) -> Result<()> {
        self.run(move |edge| {
            let filter = parse(filter)?;
            edge.write(UpdateOperation::PointOperation(PointOperations::DeletePointsByFilter(filter)))
        })
        .await
    }

    pub(super) async fn set_labels(&self, document: DocumentId, labels: Labels) -> Result<()> {
        self.run(move |edge| {
            let Value::Object(map) = serde_json::to_value(&labels).map_err(|e| failed(&e))? else {
                return Err(IndexError::Vector("labels are not an object".into()));
            };
            edge.write(UpdateOperation::PayloadOperation(PayloadOps::SetPayload(SetPayloadOp {
                payload: qdrant_edge::Payload(map),
                points: None,
                filter: Some(parse(of_document(document))?),
                key: None,
            })))
        })
        .await
    }

    pub(super) async fn search(
        &self,
        vector: Vec<f32>,
        conditions: &[Condition],
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let filter = if conditions.is_empty() { None } else { Some(parse(of_conditions(conditions))?) };
        self.run(move |edge| {
            edge.check_vector(&vector)?;
            let params = SearchParams { hnsw_ef: Some(SEARCH_BEAM.max(limit)), ..SearchParams::default() };
            let found = edge.read(|shard| {
                shard.search(SearchRequest {
                    query: QueryEnum::Nearest(NamedQuery::default_dense(vector)),
                    filter,
                    params: Some(params),
                    limit,
                    offset: 0,
                    with_payload: None,
                    with_vector: None,
                    score_threshold: None,
                })
            })?;
            Ok(found
                .into_iter()
                .filter_map(|point| Some(ScoredChunk { id: chunk(point.id)?, score: point.score }))
                .collect())
        })
        .await
    }

    pub(super) async fn vectors(&self, ids: Vec<ChunkId>) -> Result<HashMap<ChunkId, Vec<f32>>> {
        self.run(move |edge| {
            let ids: Vec<PointId> = ids.into_iter().map(|id| PointId::Uuid(id.0)).collect();
            let payload = Some(WithPayloadInterface::Bool(false));
            let found = edge.read(|shard| shard.retrieve(&ids, payload, Some(WithVector::Bool(true))))?;
            Ok(found
                .into_iter()
                .filter_map(|record| match record.vector {
                    Some(VectorStructInternal::Single(vector)) => Some((chunk(record.id)?, vector)),
                    _ => None,
                })
                .collect())
        })
        .await
    }

    pub(super) async fn page(&self, from: Option<ChunkId>, limit: usize) -> Result<PointPage> {
        self.run(move |edge| {
            let (records, next) = edge.read(|shard| {
                shard.scroll(ScrollRequest {
                    offset: from.map(|id| PointId::Uuid(id.0)),
                    limit: Some(limit),
                    ..ScrollRequest::default()
                })
            })?;
            let read = |payload: qdrant_edge::Payload| serde_json::from_value(Value::Object(payload.0)).ok();
            let points = records
                .into_iter()
                .filter_map(|record| Some((chunk(record.id)?, record.payload.and_then(read))))
                .collect::<Vec<(ChunkId, Option<Payload>)>>();
            Ok(PointPage { points, next: next.and_then(chunk) })
        })
        .await
    }

    pub(super) async fn count(&self, of: Option<(DocumentId, u32)>) -> Result<u64> {
        self.run(move |edge| {
            let filter = of.map(|(document, version)| parse(of_version(document, version))).transpose()?;
            Ok(edge.read(|shard| shard.count(CountRequest { filter, exact: true }))? as u64)
        })
        .await
    }

    pub(super) async fn flush(&self) -> Result<bool> {
        self.run(Edge::flush).await
    }

    pub(super) fn optimise(&self) -> Result<bool> {
        self.0.optimise()
    }

    /// Leaves the store as a failure to open it again does.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        drop(self.0.shard.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn close(&self) {
        if let Some(_maintenance) = self.0.unless_optimising() {
            let _writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut shard = self.0.shard.write().unwrap_or_else(PoisonError::into_inner);
            self.0.closed.store(true, Ordering::Release);
            let closed = caught(|| {
                drop(shard.take());
                Ok(())
            });
            if let Err(error) = closed {
                tracing::warn!(%error, "the vector index could not be closed; what it lacks is written again");
            }
        }
    }
}

impl Edge {
    fn read<T>(&self, work: impl FnOnce(&EdgeShard) -> qdrant_edge::OperationResult<T>) -> Result<T> {
        let mut shard = self.shard.read().unwrap_or_else(PoisonError::into_inner);
        if shard.is_none() {
            drop(shard);
            self.load_again()?;
            shard = self.shard.read().unwrap_or_else(PoisonError::into_inner);
        }
        let shard = shard.as_ref().ok_or_else(|| IndexError::Vector("it is closed".into()))?;
        work(shard).map_err(|e| failed(&e))
    }

    /// Opens the shard where opening it again failed before, now and then.
    fn load_again(&self) -> Result<()> {
        let mut shard = self.shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.is_some() || self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut last = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < LOAD_EVERY) {
            return Err(IndexError::Vector("it cannot be opened now and is tried again".into()));
        }
        match self.load() {
            Ok(loaded) => {
                *shard = Some(loaded);
                *last = None;
                tracing::info!("the vector index is open again");
                Ok(())
            }
            Err(error) => {
                *last = Some(Instant::now());
                Err(error)
            }
        }
    }

    fn load(&self) -> Result<EdgeShard> {
        self.check_space()?;
        caught(|| EdgeShard::load(&self.folder, Some(config(self.dimension))))
    }

    fn write(&self, operation: UpdateOperation) -> Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(|shard| shard.update(operation))
    }

    /// The lock of maintenance, after a flush that has it; `None` while the store is optimised.
    fn unless_optimising(&self) -> Option<MutexGuard<'_, ()>> {
        while !self.optimising.load(Ordering::Acquire) {
            match self.maintenance.try_lock() {
                Ok(guard) => return Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
        None
    }

    fn flush(&self) -> Result<bool> {
        let Some(_maintenance) = self.unless_optimising() else { return Ok(false) };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(|shard| {
            caught(|| {
                shard.flush();
                Ok(())
            })
            .map_err(|e| qdrant_edge::OperationError::service_error(e.to_string()))
        })?;
        // With little room left, the shard stays open and its log long.
        if log_files(&self.folder)?.len() > LOG_FILES && self.check_space().is_ok() {
            self.reopen()?;
        }
        Ok(true)
    }

    /// Closes the shard, shortens its log and opens it again; searches wait for some milliseconds. Where that fails, the
    /// next use tries to open it.
    fn reopen(&self) -> Result<()> {
        let mut shard = self.shard.write().unwrap_or_else(PoisonError::into_inner);
        // Everything was flushed, so a panic while closing loses nothing.
        let closed = caught(|| {
            drop(shard.take());
            Ok(())
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the vector index could not be closed; it is opened again");
        }
        shorten_log(&self.folder)?;
        match self.load() {
            Ok(loaded) => *shard = Some(loaded),
            Err(error) => {
                tracing::error!(%error, "the vector index cannot be opened again now; searches try it");
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn optimise(&self) -> Result<bool> {
        let _maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_space()?;
        self.optimising.store(true, Ordering::Release);
        let done = self.read(|shard| {
            caught(|| shard.optimize()).map_err(|e| qdrant_edge::OperationError::service_error(e.to_string()))
        });
        self.optimising.store(false, Ordering::Release);
        done
    }

    fn check_vector(&self, vector: &[f32]) -> Result<()> {
        if vector.len() == self.dimension && vector.iter().all(|x| x.is_finite()) {
            return Ok(());
        }
        let (length, wanted) = (vector.len(), self.dimension);
        Err(IndexError::Invalid(format!(
            "a vector of length {length} was given where {wanted} finite numbers are needed"
        )))
    }

    fn check_space(&self) -> Result<()> {
        let disk = rustix::fs::statvfs(&self.folder).map_err(|e| IndexError::io(&self.folder, e.into()))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < RESERVE_BYTES {
            return Err(IndexError::DiskFull { path: self.folder.clone() });
        }
        Ok(())
    }
}

fn config(dimension: usize) -> EdgeConfig {
    let vector = EdgeVectorParams {
        size: dimension,
        distance: Distance::Dot,
        on_disk: Some(true),
        multivector_config: None,
        datatype: None,
        quantization_config: None,
        hnsw_config: None,
    };
    let graph = HnswIndexConfig { full_scan_threshold: GRAPH_FROM_KB, ..HnswIndexConfig::default() };
    let optimizers = EdgeOptimizersConfig {
        default_segment_number: Some(SEGMENTS),
        indexing_threshold: Some(GRAPH_FROM_KB),
        ..EdgeOptimizersConfig::default()
    };
    EdgeConfig {
        on_disk_payload: true,
        vectors: HashMap::from([(String::new(), vector)]),
        hnsw_config: graph,
        optimizers,
        wal_options: Some(WalOptions { segment_capacity: LOG_BYTES, ..WalOptions::default() }),
        ..EdgeConfig::default()
    }
}

/// Closed files of the write-ahead log in `folder`, oldest first.
fn log_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let log = folder.join("wal");
    let entries = match fs::read_dir(&log) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(IndexError::io(&log, e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| IndexError::io(&log, e))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(first) = name.and_then(|n| n.strip_prefix("closed-")).and_then(|n| n.parse::<u64>().ok())
        {
            files.push((first, path));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Waits until nobody has the folder's log open: an operation of a store that was dropped may still be ending.
fn wait_for_log(folder: &Path) -> Result<()> {
    let path = folder.join("wal");
    let log = match fs::File::open(&path) {
        Ok(log) => log,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(IndexError::io(&path, e)),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match log.try_lock() {
            // Closing the file frees the lock again.
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(fs::TryLockError::WouldBlock) => {
                return Err(IndexError::Locked {
                    by: "another user of the vector index".into(),
                    next: "wait until it has ended".into(),
                });
            }
            Err(fs::TryLockError::Error(e)) => return Err(IndexError::io(&path, e)),
        }
    }
}

/// Removes the closed files of the log but the newest, which says at which number the log goes on.
///
/// Only for a shard that is closed: the engine never reads those entries again, its own segments hold them.
fn shorten_log(folder: &Path) -> Result<()> {
    let files = log_files(folder)?;
    for file in files.iter().take(files.len().saturating_sub(1)) {
        fs::remove_file(file).map_err(|e| IndexError::io(file, e))?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        if error.is_panic() {
            IndexError::Vector("it stopped in the middle of an operation".into())
        } else {
            IndexError::Cancelled
        }
    })?
}

/// Runs an operation of the engine that may panic.
fn caught<T>(work: impl FnOnce() -> qdrant_edge::OperationResult<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| failed(&e)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(IndexError::Vector(format!("the engine stopped: {}", text.unwrap_or("no reason given"))))
        }
    }
}

fn parse(filter: Value) -> Result<Filter> {
    serde_json::from_value(filter).map_err(|e| failed(&e))
}

fn path(field: &str) -> Result<JsonPath> {
    serde_json::from_value(json!(field)).map_err(|e| failed(&e))
}

fn chunk(id: PointId) -> Option<ChunkId> {
    match id {
        PointId::Uuid(id) => Some(ChunkId(id)),
        PointId::NumId(_) => None,
    }
}

fn failed(error: &dyn std::fmt::Display) -> IndexError {
    IndexError::Vector(error.to_string())
}
