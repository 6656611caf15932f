//! The commands, one file each.

use std::process::ExitCode;

use crate::cli::Command;
use crate::settings::Settings;

pub mod ask;
pub mod bench;
pub mod chat;
pub mod check;
pub mod config;
pub mod documents;
pub mod eval;
pub mod examples;
pub mod health;
pub mod ingest;
pub mod keys;
pub mod merge;
pub mod models;
pub mod new_model;
pub mod reindex;
pub mod releases;
pub mod search;
pub mod serve;
pub mod train;
pub mod trainer;
pub mod up;
pub mod worker;

/// Runs `command`; the exit code is 1 where it found what it looks for to be wrong.
///
/// # Errors
/// Fails as the command says.
pub async fn run(command: Command, settings: Settings) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => args.run(settings).await,
        Command::Serve(args) => args.run(settings).await,
        Command::Worker(args) => args.run(settings).await,
        Command::Ingest(args) => args.run(settings).await,
        Command::Ask(args) => args.run(settings).await,
        Command::Chat(args) => args.run(settings).await,
        Command::Search(args) => args.run(settings).await,
        Command::Documents(args) => args.run(settings).await,
        Command::Reindex(args) => args.run(settings).await,
        Command::Check(args) => args.run(settings).await,
        Command::Models(args) => args.run(settings).await,
        Command::Merge(args) => args.run(settings).await,
        Command::Keys(args) => args.run(settings).await,
        Command::Releases(args) => args.run(settings).await,
        Command::Eval(args) => args.run(settings).await,
        Command::Examples(args) => args.run(settings).await,
        Command::Bench(args) => args.run(settings).await,
        Command::Train(args) => args.run(settings).await,
        Command::Trainer(args) => args.run(settings).await,
        Command::Health(args) => args.run(settings).await,
        Command::Config(args) => args.run(&settings),
    }
}
