//! `lore bench`: how fast embedding, search, ingestion, writing and a whole server are.
//!
//! Each command works in a temporary folder and leaves the data folder alone; `ask` speaks to a server.

mod ask;
mod embed;
mod generate;
mod ingest;
mod search;
mod switch;
mod train;

use std::process::ExitCode;

use clap::Subcommand;

use crate::proc;
use crate::settings::Settings;

/// Measure how fast embedding, search, ingestion, writing and a server are
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Embedding: tokens per second for texts of one length
    Embed(embed::Embed),
    /// Hybrid search over a synthetic corpus, the embedding left out
    Search(search::Search),
    /// Ingestion: pages per second, indexing and embedding included
    Ingest(ingest::Ingest),
    /// Writing: how fast a model reads prompts and writes, on raw token ids
    Generate(generate::Generate),
    /// Training: how fast steps are and how much memory they take
    Train(train::Train),
    /// A server: many people who ask one question after another
    Ask(ask::Ask),
}

impl Bench {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a model, an index or the folder does.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        match self {
            Bench::Embed(args) => args.run(settings).await,
            Bench::Search(args) => args.run(settings).await,
            Bench::Ingest(args) => args.run(settings).await,
            Bench::Generate(args) => args.run(settings).await,
            Bench::Train(args) => args.run(settings).await,
            Bench::Ask(args) => args.run(settings).await,
        }
    }
}

/// The most memory that this process ever had, in megabytes (`VmHWM` of proc(5)); `None` where the system does not say.
pub fn peak_rss_mb() -> Option<f64> {
    Some(proc::bytes("/proc/self/status", "VmHWM")? as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_is_known() {
        assert!(super::peak_rss_mb().is_some_and(|mb| mb > 1.0));
    }
}
