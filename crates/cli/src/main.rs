//! The binary `lore`: settings and wiring.
//!
//! `cli` holds the flags, `settings` lowers flags, environment and file into one value, `open` builds the parts from it,
//! and each command has its file under `commands`. What a command does is in the libraries; here it is put together.

mod asking;
mod cli;
mod client;
mod commands;
mod examples;
mod intake;
mod logging;
mod measured;
mod open;
mod print;
mod proc;
mod progress;
mod service;
mod settings;
mod signals;
mod trainings;
mod verdict;
mod writer;

use std::process::ExitCode;

use clap::Parser as _;

/// How far a process steps back that lets others go first.
const NICE: i32 = 10;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) if print::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            progress::stderr_line(&format!("error: {}", print::chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    let settings =
        settings::resolve(&cli.global, &|name| std::env::var(name).ok(), &std::env::current_dir()?)?;
    logging::init(&settings.config.log, cli.command.is_service())?;
    progress::init(settings.quiet);
    if cli.command.is_gentle() {
        // Before there are other threads, which take it over; where it cannot be had, it goes on as it is.
        let _ = rustix::process::nice(NICE);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(commands::run(cli.command, settings));
    // A parser that hangs in a blocking thread must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}
