//! SIGINT and SIGTERM ask a service to stop.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Signals within this time are one: a terminal or `timeout` may send it to the process and to its group.
const ONE: Duration = Duration::from_secs(1);

/// A value that becomes true at the first SIGINT or SIGTERM; a later one ends the process at once.
///
/// # Errors
/// Fails where the system gives no signal handler.
pub fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let mut first: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match first {
                None => {
                    first = Some(Instant::now());
                    stop.send_replace(true);
                    tracing::info!("stopping; another signal stops at once");
                }
                Some(at) if at.elapsed() < ONE => {}
                Some(_) => {
                    tracing::warn!("stopped at once by another signal");
                    std::process::exit(130);
                }
            }
        }
    });
    Ok(stopped)
}

/// Resolves when `stop` is set; never where nobody can set it any more.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
