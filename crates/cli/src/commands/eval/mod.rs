//! `lore eval`: how good retrieval and answers are.
//!
//! Each command builds its indexes in a temporary folder and leaves the data folder alone. The metrics are defined, with
//! their sources, in `lore_query::eval`.

pub mod answers;
mod auto;
pub mod corpus;
mod gate;
mod reading;
mod retrieval;

use std::process::ExitCode;

use clap::Subcommand;

use crate::settings::Settings;

/// Measure how good retrieval and answers are
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Retrieval: nDCG@10, MRR@10, recall@10 and recall@100
    Retrieval(retrieval::Retrieval),
    /// Answers: F1, gold answer contained, citations, refusals
    Answers(answers::Answers),
    /// Grounding: right and wrong statements that are accepted as supported
    Grounding(answers::Grounding),
    /// Measure lore-nano and extraction on the same questions; `generator: auto` goes by the outcome from the next start on
    Auto(auto::Auto),
    /// Reading: the right sentence of given passages, refusals where there is none
    Reading(reading::Reading),
    /// Compute the weights of the extractive answerer from questions with known sources
    Calibrate(answers::Calibrate),
    /// Judge a candidate by two files of outcomes; exit code 1 where it fails
    Gate(gate::Gate),
}

impl Eval {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the data set cannot be read, and where a search or an answer fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        match self {
            Eval::Retrieval(args) => args.run(settings).await,
            Eval::Answers(args) => args.run(settings).await,
            Eval::Grounding(args) => args.run(settings).await,
            Eval::Auto(args) => args.run(settings).await,
            Eval::Reading(args) => args.run(settings).await,
            Eval::Calibrate(args) => args.run(settings).await,
            Eval::Gate(args) => args.run(&settings),
        }
    }
}
