//! The server: connections with bounds and time-outs, and a graceful end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use lore_index::IndexError;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::app::app;
use crate::lifecycle::Phase;
use crate::patient::Patient;
use crate::state::AppState;

/// Most bytes of a request's headers.
const HEADER_BYTES: usize = 64 << 10;
/// How long streams get to say that the server ends, after the grace period.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often the collected figures are folded, and what was deleted for good is removed.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why a server did not start or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Callers without a key would be let in from other machines.
    #[error(
        "{address} can be reached from other machines, and no API key is required; listen on 127.0.0.1, or require keys"
    )]
    Open {
        /// Where it should have listened.
        address: SocketAddr,
    },
    /// Nobody could get in.
    #[error(
        "{address} can be reached from other machines, and there is no API key; make one with `lore keys create`"
    )]
    NoKeys {
        /// Where it should have listened.
        address: SocketAddr,
    },
    /// The listener failed.
    #[error("the listener failed: {0}")]
    Listener(#[from] std::io::Error),
    /// The keys could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The look at the keys was cancelled.
    #[error("the start was cancelled")]
    Cancelled,
}

/// Serves until `shutdown` resolves; then takes no more connections, lets what runs end within the grace period, tells
/// streams that are left with an `error` event, and returns.
///
/// # Errors
/// Refuses to listen beyond loopback where no key is required or none exists.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    check(address, &state).await?;
    let config = state.options().http.clone();
    let service = TowerToHyperService::new(app(state.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.header_timeout()).max_buf_size(HEADER_BYTES);

    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(config.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut upkeep = tokio::time::interval(UPKEEP);
    let (mut looking, mut removing): (Option<JoinHandle<()>>, Option<JoinHandle<()>>) = (None, None);
    let mut shutdown = std::pin::pin!(shutdown);
    tracing::info!(%address, "listening");
    loop {
        let accept = async {
            let permit = room.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            _ = upkeep.tick() => {
                state.metrics().upkeep();
                // Each once at a time, however long the catalog takes.
                if is_over(removing.as_ref()) {
                    removing = Some(state.remove_expired());
                }
                if is_over(looking.as_ref()) {
                    let state = state.clone();
                    looking = Some(tokio::spawn(async move { state.metrics().look(&state).await }));
                }
                continue;
            }
            accepted = accept => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Such as too many open files; connections that end make room again.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Events are small and should leave at once; without this only their delay differs.
        let _ = stream.set_nodelay(true);
        let connection = http
            .serve_connection(TokioIo::new(Patient::new(stream, config.write_timeout())), service.clone());
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }

    drop(listener);
    looking.iter().for_each(JoinHandle::abort);
    state.lifecycle().enter(Phase::Draining);
    tracing::info!(connections = connections.len(), grace_s = config.grace_seconds, "shutting down");
    let mut closing = std::pin::pin!(graceful.shutdown());
    if tokio::time::timeout(config.grace(), &mut closing).await.is_err() {
        state.lifecycle().enter(Phase::Cut);
        let _ = tokio::time::timeout(FAREWELL, &mut closing).await;
    }
    state.lifecycle().enter(Phase::Cut);
    connections.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// Whether a task has ended, or never began.
fn is_over(task: Option<&JoinHandle<()>>) -> bool {
    task.is_none_or(JoinHandle::is_finished)
}

/// Beyond loopback a key is required, and there must be one.
async fn check(address: SocketAddr, state: &AppState) -> Result<(), ServeError> {
    let loopback = address.ip().is_loopback();
    if !state.keys_required() {
        return if loopback { Ok(()) } else { Err(ServeError::Open { address }) };
    }
    let catalog = state.catalog_handle().clone();
    let keys =
        tokio::task::spawn_blocking(move || catalog.keys()).await.map_err(|_| ServeError::Cancelled)??;
    if keys.iter().any(|key| key.revoked_at.is_none()) {
        return Ok(());
    }
    if loopback {
        tracing::warn!("a key is required and there is none; make one with `lore keys create`");
        return Ok(());
    }
    Err(ServeError::NoKeys { address })
}
