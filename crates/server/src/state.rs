//! What all handlers share.

use std::sync::{Arc, OnceLock};

use lore_core::{Limits, Opener, Seq, Serving};
use lore_index::{Catalog, Index, IndexError};
use lore_query::{Answerer, Retriever};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::HttpConfig;
use crate::error::ApiError;
use crate::lifecycle::Lifecycle;
use crate::limits::Gate;
use crate::metrics::Metrics;
use crate::trainings::TrainingDesk;

/// What [`Lifecycle::trouble`] calls the model that writes.
pub const WRITER: &str = "writer";
/// Versions that are compared at once: each takes a core for seconds at worst.
const COMPARISONS: usize = 2;

/// What answers questions; it may come later than the server.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Finds chunks.
    pub retriever: Retriever,
    /// Answers questions, and knows the language model that writes now.
    pub answerer: Answerer,
}

impl Engine {
    /// A lease on the language model, to be kept until what begins with it has ended; `None` where answers are extractive.
    pub fn writer(&self) -> Option<Arc<Serving>> {
        self.answerer.live().now()
    }
}

/// What a server is given at its start.
#[derive(Clone)]
pub struct Options {
    /// Bounds of requests.
    pub limits: Limits,
    /// Time-outs and bounds of connections.
    pub http: HttpConfig,
    /// Secret that makes its bearer the owner of the data folder (from `owner.json`).
    pub local_token: Option<String>,
    /// Whether every caller needs a key. Without, callers on this machine are the owner of the data folder; the server
    /// then listens on loopback addresses only.
    pub require_keys: bool,
    /// The last change that both indexes hold, where that is known.
    pub followed: Arc<dyn Fn() -> Option<Seq> + Send + Sync>,
    /// Called when a job was queued.
    pub nudge: Arc<dyn Fn() + Send + Sync>,
    /// Loads the model of a release, or that of the settings; without it the model that writes stays.
    pub opener: Option<Opener>,
    /// The settings in force as YAML, secrets masked, for administrators to read.
    pub configuration: Option<String>,
    /// Reads configurations of trainings; without it there are none.
    pub trainings: Option<TrainingDesk>,
    /// Lore's version.
    pub version: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            http: HttpConfig::default(),
            local_token: None,
            require_keys: true,
            followed: Arc::new(|| None),
            nudge: Arc::new(|| ()),
            opener: None,
            configuration: None,
            trainings: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The state behind the router; clones share it.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Catalog,
    engine: OnceLock<Engine>,
    options: Options,
    lifecycle: Lifecycle,
    metrics: Metrics,
    questions: Gate,
    uploads: Gate,
    comparisons: Gate,
    switching: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState").field("catalog", &self.inner.catalog).finish_non_exhaustive()
    }
}

impl AppState {
    /// A state that can manage documents at once, and answers questions from [`AppState::set_engine`] on.
    pub fn new(catalog: Catalog, options: Options) -> Self {
        let at_once = options.limits.concurrent_questions;
        let uploads = options.http.uploads;
        Self {
            inner: Arc::new(Inner {
                catalog,
                engine: OnceLock::new(),
                lifecycle: Lifecycle::default(),
                metrics: Metrics::install(&options.version),
                questions: Gate::new("questions", at_once, at_once),
                uploads: Gate::new("uploads", uploads, uploads.saturating_mul(4)),
                comparisons: Gate::new("comparisons of versions", COMPARISONS, 8 * COMPARISONS),
                switching: Arc::default(),
                options,
            }),
        }
    }

    /// Hands over what answers questions; the first one stays.
    pub fn set_engine(&self, engine: Engine) {
        let _ = self.inner.engine.set(engine);
    }

    /// What answers questions.
    ///
    /// # Errors
    /// 503 with the reasons for as long as it is not there, or its indexes are being made anew.
    pub fn engine(&self) -> Result<&Engine, ApiError> {
        let engine = self.inner.engine.get();
        engine.filter(|engine| engine.retriever.index().preparing().is_none()).ok_or_else(|| {
            ApiError::unavailable("not_ready", format!("not ready: {}", self.missing().join("; ")))
        })
    }

    /// The indexes, also while they are being made anew.
    ///
    /// # Errors
    /// 503 with the reasons for as long as they are not open.
    pub fn index(&self) -> Result<&Index, ApiError> {
        self.models().map(|engine| engine.retriever.index())
    }

    /// What answers questions, for what needs its models alone; also while the indexes are being made anew.
    ///
    /// # Errors
    /// 503 with the reasons for as long as it is not there.
    pub fn models(&self) -> Result<&Engine, ApiError> {
        self.inner.engine.get().ok_or_else(|| {
            ApiError::unavailable("not_ready", format!("not ready: {}", self.missing().join("; ")))
        })
    }

    /// What does not work for now, though questions are answered.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = self.inner.lifecycle.troubles();
        if let Some(engine) = self.inner.engine.get()
            && engine.retriever.index().trouble().is_some()
        {
            troubles.push("the indexes cannot follow the changes of documents; it is tried again".to_owned());
        }
        troubles
    }

    /// Why the service cannot answer questions; empty when it can.
    pub fn missing(&self) -> Vec<String> {
        let mut reasons = self.inner.lifecycle.reasons();
        match self.inner.engine.get() {
            None if reasons.is_empty() => reasons.push("the indexes are being opened".to_owned()),
            Some(engine) if !engine.retriever.index().embedder().is_running() => {
                reasons.push("the embedder has stopped".to_owned());
            }
            Some(engine) if engine.writer().is_some_and(|writer| !writer.generator.is_running()) => {
                reasons.push("the language model has stopped".to_owned());
            }
            Some(engine) => reasons.extend(engine.retriever.index().preparing()),
            None => {}
        }
        reasons
    }

    /// [`AppState::missing`], and whether the vector store answers, which may take a few seconds.
    pub async fn missing_now(&self) -> Vec<String> {
        let mut reasons = self.missing();
        if let (true, Some(engine)) = (reasons.is_empty(), self.inner.engine.get())
            && let Err(error) = engine.retriever.index().reach_vectors().await
        {
            tracing::debug!(%error, "the vector store does not answer");
            reasons.push("the vector store cannot be reached".to_owned());
        }
        reasons
    }

    /// The catalog's answer to `work`, which runs where blocking is allowed.
    ///
    /// # Errors
    /// As `work`, mapped to a status.
    pub async fn catalog<T, W>(&self, work: W) -> Result<T, ApiError>
    where
        T: Send + 'static,
        W: FnOnce(&Catalog) -> Result<T, IndexError> + Send + 'static,
    {
        let catalog = self.inner.catalog.clone();
        Ok(tokio::task::spawn_blocking(move || work(&catalog)).await??)
    }

    /// Removes documents that were deleted and whose time to undo it is over; in the background.
    pub(crate) fn remove_expired(&self) -> JoinHandle<()> {
        let catalog = self.inner.catalog.clone();
        tokio::task::spawn_blocking(move || match catalog.remove_expired() {
            Ok(0) => {}
            Ok(documents) => tracing::info!(documents, "deleted documents are gone for good"),
            Err(error) => {
                tracing::warn!(%error, "deleted documents could not be removed yet; it is tried again");
            }
        })
    }

    pub(crate) fn catalog_handle(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// What `work` gives, unless the deadline or the end of the server comes first.
    ///
    /// # Errors
    /// 504 at the deadline, 503 at the end of the shutdown's grace period.
    pub async fn until<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> Result<T, ApiError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.inner.lifecycle.cut() => Err(ApiError::shutting_down()),
            () = tokio::time::sleep_until(deadline) => Err(ApiError::timed_out()),
        }
    }

    /// Says that documents changed: to the worker, and to the indexes.
    pub fn documents_changed(&self) {
        (self.inner.options.nudge)();
        if let Some(engine) = self.inner.engine.get() {
            engine.retriever.index().nudge();
        }
    }

    /// What the server was given.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Whether every caller needs a key: because of the address, or because the settings say so.
    pub fn keys_required(&self) -> bool {
        self.inner.options.require_keys || self.inner.options.http.require_keys
    }

    /// Bounds of requests.
    pub fn limits(&self) -> &Limits {
        &self.inner.options.limits
    }

    /// Readiness and end.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.inner.lifecycle
    }

    /// The figures that `/metrics` shows.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Who may ask or search now.
    pub fn questions(&self) -> &Gate {
        &self.inner.questions
    }

    /// Held by whoever puts another model to work.
    pub(crate) fn switching(&self) -> Arc<tokio::sync::Mutex<()>> {
        self.inner.switching.clone()
    }

    /// Who may upload now.
    pub fn uploads(&self) -> &Gate {
        &self.inner.uploads
    }

    /// Who may have versions compared now.
    pub fn comparisons(&self) -> &Gate {
        &self.inner.comparisons
    }
}
