//! SIGINT and SIGTERM ask a service to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A value that becomes true at the first SIGINT or SIGTERM; a second one ends the process at once.
///
/// # Errors
/// Fails where the system gives no signal handler.
pub fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.send_replace(true) {
                tracing::warn!("stopped by a second signal");
                std::process::exit(130);
            }
            tracing::info!("stopping; a second signal stops at once");
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
