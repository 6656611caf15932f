//! Takes uploads from the catalog's queue: lease, parse, chunk, commit.

use std::sync::Arc;
use std::time::Duration;

use lore_index::{Catalog, IndexError, Job, NewDocument};
use tokio::sync::{Notify, watch};
use tokio::task::JoinError;

use crate::pipeline::{IngestError, Ingester};

/// How long a lease lasts; after that another worker may take the job.
const LEASE_SECONDS: u64 = 60;
/// How often a lease is prolonged while the work goes on.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How often an idle worker looks.
const IDLE: Duration = Duration::from_millis(500);
/// How long a worker waits after an error of the catalog; it doubles with each that follows.
const AFTER_ERROR: Duration = Duration::from_secs(2);
/// Longest such wait.
const AFTER_ERROR_MOST: Duration = Duration::from_secs(60);

/// What others are told of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerEvent {
    /// The catalog changed.
    Changed,
    /// No job can be worked on for now, for this reason; it is tried again.
    Waiting(String),
    /// Jobs are worked on again.
    Working,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// A version went live, or the document turned out to be unchanged.
    Done,
    /// The content could not be read; the job and the document say why.
    Failed,
    /// The lease was lost: the document was deleted, newer content came, or the work took too long.
    Lost,
}

/// Works on jobs until `stop` is set, one at a time; the job at hand is finished first.
///
/// Looks twice a second, and at once when `wake` is notified (an upload in the same process). `tell` hears when the
/// catalog changed, and when work cannot go on, such as on a full disk, and can again.
///
/// # Errors
/// `NewerSchema`, which waiting does not mend. Everything else is logged and tried again, at growing intervals; what is
/// wrong with one job fails that job alone.
pub async fn run(
    ingester: Ingester,
    worker: String,
    wake: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
    tell: impl Fn(WorkerEvent) + Send + Sync,
) -> Result<(), IngestError> {
    let mut failures = 0;
    while !*stop.borrow() {
        let ended = step(&ingester, &worker).await;
        if ended.is_ok() && std::mem::take(&mut failures) > 0 {
            tell(WorkerEvent::Working);
        }
        let pause = match ended {
            Ok(Some(ended)) => {
                if ended == Ended::Done {
                    tell(WorkerEvent::Changed);
                }
                continue;
            }
            Ok(None) => IDLE,
            Err(IngestError::Index(error @ IndexError::NewerSchema { .. })) => return Err(error.into()),
            Err(error) => {
                let pause = AFTER_ERROR.saturating_mul(1 << failures.min(8)).min(AFTER_ERROR_MOST);
                failures += 1;
                tracing::error!(%error, seconds = pause.as_secs(), "the worker cannot go on; it tries again");
                tell(WorkerEvent::Waiting(error.to_string()));
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // An upload does not mend what failed.
            () = wake.notified(), if failures == 0 => {}
            changed = stop.changed() => if changed.is_err() { return Ok(()) },
        }
    }
    Ok(())
}

/// Takes one job and ends it; `None` where none waits.
async fn step(ingester: &Ingester, worker: &str) -> Result<Option<Ended>, IngestError> {
    let catalog = ingester.catalog().clone();
    let name = worker.to_owned();
    let leased = blocking(move || Ok(catalog.lease_job(&name, LEASE_SECONDS)?)).await?;
    let Some((job, document)) = leased else { return Ok(None) };
    let span = tracing::info_span!("job", id = %job.id, document = %document.name);
    let (ingester, name) = (ingester.clone(), worker.to_owned());
    let heartbeat = Heartbeat::start(ingester.catalog().clone(), job.id.clone(), name.clone());
    let ended = blocking(move || {
        let ended = span.in_scope(|| work(&ingester, &name, &job, &document));
        if let Err(IngestError::Index(IndexError::DiskFull { .. })) = &ended {
            // No fault of the job: it is given back, and the try does not count.
            ingester.catalog().release_job(&job.id, &name)?;
        }
        ended
    })
    .await;
    heartbeat.stop();
    ended.map(Some)
}

fn work(ingester: &Ingester, worker: &str, job: &Job, document: &NewDocument) -> Result<Ended, IngestError> {
    let catalog = ingester.catalog();
    let fail = |reason: &str| -> Result<Ended, IngestError> {
        tracing::warn!(reason, "an upload could not be read");
        let held = catalog.fail_job(&job.id, worker, reason)?;
        Ok(if held { Ended::Failed } else { Ended::Lost })
    };
    let bytes = match catalog.original(&job.content_hash) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return fail("its content is no longer stored; upload it again"),
        Err(error @ IndexError::Damaged(_)) => {
            tracing::error!(%error, "the stored content of an upload is damaged");
            return fail("its stored content is damaged; upload it again");
        }
        Err(error) => return Err(error.into()),
    };
    let limit = ingester.limits().document_bytes;
    if bytes.len() as u64 > limit {
        return fail(&format!(
            "the file has {} bytes, the limit is {limit}; split it, or raise document_bytes in the limits",
            bytes.len()
        ));
    }
    let prepared = ingester.prepare(document, job.content_hash.clone(), &bytes)?;
    let (parsed, chunks) = match prepared.content {
        Ok(content) => content,
        Err(reason) => return fail(&reason),
    };
    let version = ingester.version(prepared.hash, prepared.size, parsed, chunks);
    let committed = catalog.commit_job(&job.id, worker, &prepared.document, &version)?;
    if committed.is_none() {
        tracing::info!("the lease was lost; the result was dropped");
    }
    Ok(if committed.is_some() { Ended::Done } else { Ended::Lost })
}

/// Prolongs a lease until it is stopped or dropped.
struct Heartbeat(tokio::task::JoinHandle<()>);

impl Heartbeat {
    fn start(catalog: Catalog, job: String, worker: String) -> Self {
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let (catalog, job, worker) = (catalog.clone(), job.clone(), worker.clone());
                let extended =
                    blocking(move || Ok(catalog.extend_lease(&job, &worker, LEASE_SECONDS)?)).await;
                match extended {
                    Ok(true) => {}
                    // The commit will find that the lease was lost.
                    Ok(false) => return,
                    Err(error) => tracing::warn!(%error, "the lease of a job could not be prolonged"),
                }
            }
        }))
    }

    fn stop(self) {
        self.0.abort();
    }
}

async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
) -> Result<T, IngestError> {
    tokio::task::spawn_blocking(f).await.unwrap_or_else(|error: JoinError| {
        tracing::error!(%error, "a task of the worker ended early");
        Err(IndexError::Cancelled.into())
    })
}
