//! `lore releases`: models that were taught, from candidate to live and back.
//!
//! What is written into the catalog works beside a running server; what changes the model that writes goes through it.

pub mod create;
pub mod evaluate;
mod promote;
mod prune;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::settings::Settings;

/// Add, prove, promote and roll back language models that were taught
#[derive(Debug, Subcommand)]
pub enum Releases {
    /// Take in a merged model as a candidate
    Add(create::Add),
    /// List releases, newest first
    List,
    /// Show a release: where it comes from, what was found of it, when it was live
    Show(Named),
    /// Prove a release: it and what is live answer the same questions; exit code 1 where it does not pass
    Evaluate(evaluate::Evaluate),
    /// Make a release write the answers; a running server loads it beside the one before
    Promote(promote::Promote),
    /// Go back to what was live before
    Rollback(promote::Rollback),
    /// Remove the files of retired, rejected and failed releases
    Prune(prune::Prune),
}

/// Which release.
#[derive(Clone, Debug, Args)]
pub struct Named {
    /// Id, a beginning of it, a name that only one has, or `live`
    #[arg(value_name = "RELEASE")]
    release: String,
}

impl Releases {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails on a release that is not there, and as the command says.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(args) => args.run(settings).await,
            Self::List => show::list(&settings).await,
            Self::Show(named) => show::show(&settings, named.release).await,
            Self::Evaluate(args) => args.run(settings).await,
            Self::Promote(args) => args.run(settings).await,
            Self::Rollback(args) => args.run(settings).await,
            Self::Prune(args) => args.run(settings).await,
        }
    }
}
