//! Takes documents in: folders with progress, and the worker for uploads.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lore_core::Embedder;
use lore_index::{Catalog, FollowReport, Index};
use lore_ingest::worker::WorkerEvent;
use lore_ingest::{IngestEvent, IngestOptions, IngestReport, Ingester, Outcome};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::progress::{self, Progress, Unit};
use crate::settings::Settings;
use crate::{open, print, signals};

/// What takes documents into `catalog`, cut for `embedder`.
pub fn ingester(settings: &Settings, catalog: &Catalog, embedder: &Embedder) -> Ingester {
    Ingester::new(
        catalog.clone(),
        embedder.counter(),
        embedder.info().max_tokens,
        settings.config.chunk.clone(),
        settings.config.limits.clone(),
    )
}

/// Takes in all files under `paths`. With `json` each event is a line on stdout, else progress and what could not be
/// read go to stderr.
///
/// # Errors
/// Fails where a path does not exist, a manifest is wrong or the catalog fails; never because of one file.
pub async fn folders(
    ingester: &Ingester,
    paths: Vec<PathBuf>,
    options: IngestOptions,
    json: bool,
) -> anyhow::Result<IngestReport> {
    folders_heard(ingester, paths, options, json, |_| ()).await
}

/// As [`folders`]; `heard` hears each event, too.
///
/// # Errors
/// As [`folders`].
pub async fn folders_heard(
    ingester: &Ingester,
    paths: Vec<PathBuf>,
    options: IngestOptions,
    json: bool,
    mut heard: impl FnMut(&IngestEvent) + Send + 'static,
) -> anyhow::Result<IngestReport> {
    let ingester = ingester.clone();
    open::blocking(move || {
        let mut teller = Teller::new(json);
        let report = ingester.ingest_paths(&paths, &options, &mut |event| {
            heard(&event);
            teller.hear(&event);
        })?;
        teller.end()?;
        anyhow::Ok(report)
    })
    .await
}

/// A flag for work on other threads that is set when `stop` is.
pub fn stop_flag(stop: &watch::Receiver<bool>) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let (set, stop) = (flag.clone(), stop.clone());
    tokio::spawn(async move {
        signals::stopped(stop).await;
        set.store(true, Ordering::Relaxed);
    });
    flag
}

/// Brings the indexes up to the catalog, unless `stop` comes first; `None` then. Nothing is lost by stopping.
///
/// # Errors
/// Fails where an index or the embedder does.
pub async fn follow(index: &Index, stop: &watch::Receiver<bool>) -> anyhow::Result<Option<FollowReport>> {
    tokio::select! {
        report = open::follow(index) => report.map(Some),
        () = signals::stopped(stop.clone()) => Ok(None),
    }
}

/// Works on uploads until `stop`; looks at once when `wake` is notified, and nudges `index` after each. `trouble` hears
/// why no upload can be worked on for now, and of the end of that.
pub fn worker(
    ingester: Ingester,
    wake: Arc<Notify>,
    stop: watch::Receiver<bool>,
    index: Option<Index>,
    trouble: impl Fn(Option<&str>) + Send + Sync + 'static,
) -> JoinHandle<anyhow::Result<()>> {
    // Tells two workers on one folder apart, also after a restart under the same process id.
    let name = format!("{}-{:08x}", std::process::id(), rand::random::<u32>());
    tokio::spawn(async move {
        let tell = move |event| match event {
            WorkerEvent::Changed => index.iter().for_each(Index::nudge),
            WorkerEvent::Waiting(reason) => trouble(Some(&reason)),
            WorkerEvent::Working => trouble(None),
        };
        Ok(lore_ingest::worker::run(ingester, name, wake, stop, tell).await?)
    })
}

/// Tells what happens during a run.
pub struct Teller {
    json: bool,
    shown: Option<Progress>,
    done: u64,
    total: u64,
    failed: Option<anyhow::Error>,
}

impl Teller {
    /// Tells on stdout in JSON, or on stderr for a person.
    pub fn new(json: bool) -> Self {
        Self { json, shown: None, done: 0, total: 0, failed: None }
    }

    /// Tells of `event`.
    pub fn hear(&mut self, event: &IngestEvent) {
        if self.json {
            if self.failed.is_none() {
                self.failed = print::json(event).err();
            }
            return;
        }
        match event {
            IngestEvent::Discovered { total, .. } => {
                (self.done, self.total) = (0, *total);
                self.shown = (*total > 0).then(|| Progress::new("reading", Unit::Count("files")));
            }
            IngestEvent::Started { name, .. } => {
                if let Some(shown) = &self.shown {
                    shown.set_with(self.done, self.total, name);
                }
            }
            IngestEvent::Finished { name, outcome } => self.finished(name, outcome),
            // Told once, in the summary.
            IngestEvent::KeptAccess { .. } => {}
            IngestEvent::Warning { message } => progress::say(message),
            IngestEvent::Done(_) => self.shown = None,
        }
    }

    fn finished(&mut self, name: &str, outcome: &Outcome) {
        match outcome {
            Outcome::Failed { reason, .. } => progress::say(&format!("failed {name}: {reason}")),
            Outcome::Skipped { reason } => progress::say(&format!("skipped {name}: {reason}")),
            _ => {}
        }
        // What was skipped while walking, or removed, was not among the files to read.
        if !matches!(outcome, Outcome::Skipped { .. } | Outcome::Removed { .. }) {
            self.done += 1;
        }
        match &self.shown {
            Some(shown) => shown.set_with(self.done, self.total, name),
            None if matches!(
                outcome,
                Outcome::Added { .. } | Outcome::Updated { .. } | Outcome::Removed { .. }
            ) =>
            {
                // A followed folder: one file at a time.
                progress::say(&format!("took in {name}"));
            }
            None => {}
        }
    }

    /// The end; tells whether stdout went away meanwhile.
    ///
    /// # Errors
    /// The first failure of stdout.
    pub fn end(self) -> anyhow::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }
}

/// A run in words: only what happened.
pub fn summary(report: &IngestReport) -> String {
    let counts = [
        (report.added, "added"),
        (report.updated, "updated"),
        (report.meta_only, "with new tags or access"),
        (report.unchanged, "unchanged"),
        (report.removed, "removed"),
        (report.failed, "failed"),
        (report.skipped, "skipped"),
        (report.kept_access, "with the access that was set by hand"),
        (report.not_pruned, "not removed"),
    ];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let parts = if parts.is_empty() { "no files".to_owned() } else { parts.join(", ") };
    format!("{parts} ({} pages, {} chunks, {:.1} s)", report.pages, report.chunks, report.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_what_happened() {
        let report =
            IngestReport { added: 2, failed: 1, pages: 7, chunks: 9, seconds: 1.25, ..Default::default() };
        assert_eq!(summary(&report), "2 added, 1 failed (7 pages, 9 chunks, 1.2 s)");
        assert!(summary(&IngestReport::default()).starts_with("no files"));
    }
}
