//! Handles to models: cloneable, over bounded queues; the engine owns the other end.
//!
//! A test's fake is a small task that answers the queue; a remote endpoint is another owner. A caller that goes away
//! drops its reply channel, and the engine then skips the work.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

/// Why a model gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The queue is full.
    #[error("the {model} queue is full; try again in a moment")]
    Overloaded {
        /// Which model.
        model: String,
    },
    /// The engine has stopped.
    #[error("the {model} has stopped")]
    Stopped {
        /// Which model.
        model: String,
    },
    /// What is asked cannot be done by this model; asking again does not help.
    #[error("{message}")]
    Refused {
        /// Which model.
        model: String,
        /// What is wrong with the request, for whoever asked.
        message: String,
    },
    /// The forward pass failed.
    #[error("the {model} failed: {message}")]
    Failed {
        /// Which model.
        model: String,
        /// The cause.
        message: String,
    },
}

/// What a text is to the model: e5 and bge models prefix the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmbedKind {
    /// Something asked.
    Query,
    /// Something that may answer.
    Passage,
}

/// Work for an embedder.
#[derive(Debug)]
pub struct EmbedRequest {
    /// The texts.
    pub texts: Vec<String>,
    /// What they are.
    pub kind: EmbedKind,
    /// Where the unit vectors go, one per text, each of the model's dimension.
    pub reply: oneshot::Sender<Result<Vec<Vec<f32>>, ModelError>>,
}

/// Counts the tokens of a text as the model sees it, without special tokens.
pub type TokenCounter = Arc<dyn Fn(&str) -> usize + Send + Sync>;

/// A handle to a text embedder.
#[derive(Clone)]
pub struct Embedder {
    queue: mpsc::Sender<EmbedRequest>,
    info: Arc<EmbedderInfo>,
    count: TokenCounter,
}

/// What an embedder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedderInfo {
    /// Name and weights hash, such as `sentence-transformers/all-MiniLM-L6-v2@53aa51172d14`; vectors of different ids do not mix.
    pub id: String,
    /// Length of its vectors.
    pub dimension: usize,
    /// Most tokens of a text that it reads, special tokens included.
    pub max_tokens: usize,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Embedder {
    /// A handle, and the end of its queue that the engine reads; at most `bound` requests wait.
    pub fn channel(
        info: EmbedderInfo,
        count: TokenCounter,
        bound: usize,
    ) -> (Self, mpsc::Receiver<EmbedRequest>) {
        let (queue, requests) = mpsc::channel(bound.max(1));
        (Self { queue, info: Arc::new(info), count }, requests)
    }

    /// What it is.
    pub fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    /// Number of tokens of `text`, without special tokens.
    pub fn count_tokens(&self, text: &str) -> usize {
        (self.count)(text)
    }

    /// The counter itself, for a chunker.
    pub fn counter(&self) -> TokenCounter {
        self.count.clone()
    }

    /// Unit vectors of `texts`, waiting for room in the queue.
    ///
    /// # Errors
    /// [`ModelError::Stopped`] when the engine has gone, [`ModelError::Failed`] when the forward pass failed.
    pub async fn embed(&self, texts: Vec<String>, kind: EmbedKind) -> Result<Vec<Vec<f32>>, ModelError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.queue.send(EmbedRequest { texts, kind, reply }).await.map_err(|_| self.stopped())?;
        answer.await.map_err(|_| self.stopped())?
    }

    /// The unit vector of one query; refuses rather than waits when the queue is full.
    ///
    /// # Errors
    /// [`ModelError::Overloaded`] when the queue is full, and as [`Embedder::embed`].
    pub async fn embed_query(&self, text: &str) -> Result<Vec<f32>, ModelError> {
        let (reply, answer) = oneshot::channel();
        let request = EmbedRequest { texts: vec![text.to_owned()], kind: EmbedKind::Query, reply };
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ModelError::Overloaded { model: self.info.id.clone() },
            mpsc::error::TrySendError::Closed(_) => self.stopped(),
        })?;
        answer.await.map_err(|_| self.stopped())??.pop().ok_or_else(|| self.stopped())
    }

    /// Requests waiting now.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the engine still takes requests.
    pub fn is_running(&self) -> bool {
        !self.queue.is_closed()
    }

    fn stopped(&self) -> ModelError {
        ModelError::Stopped { model: self.info.id.clone() }
    }
}

/// Work for a reranker.
#[derive(Debug)]
pub struct RerankRequest {
    /// The question.
    pub query: String,
    /// The texts to score.
    pub passages: Vec<String>,
    /// Where the scores go, one per passage; higher is better.
    pub reply: oneshot::Sender<Result<Vec<f32>, ModelError>>,
}

/// A handle to a cross-encoder.
#[derive(Clone, Debug)]
pub struct Reranker {
    queue: mpsc::Sender<RerankRequest>,
    id: Arc<str>,
}

impl Reranker {
    /// A handle, and the end of its queue that the engine reads; at most `bound` requests wait.
    pub fn channel(id: &str, bound: usize) -> (Self, mpsc::Receiver<RerankRequest>) {
        let (queue, requests) = mpsc::channel(bound.max(1));
        (Self { queue, id: id.into() }, requests)
    }

    /// The model's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Scores of `passages` for `query`, in their order.
    ///
    /// # Errors
    /// [`ModelError::Overloaded`], [`ModelError::Stopped`] or [`ModelError::Failed`].
    pub async fn score(&self, query: &str, passages: Vec<String>) -> Result<Vec<f32>, ModelError> {
        let stopped = || ModelError::Stopped { model: self.id.to_string() };
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(RerankRequest { query: query.to_owned(), passages, reply }).map_err(|error| {
            match error {
                mpsc::error::TrySendError::Full(_) => ModelError::Overloaded { model: self.id.to_string() },
                mpsc::error::TrySendError::Closed(_) => stopped(),
            }
        })?;
        answer.await.map_err(|_| stopped())?
    }
}
