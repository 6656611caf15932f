//! The command line: flags common to all commands, and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    ask, bench, chat, check, config, documents, eval, examples, health, ingest, keys, merge, models, reindex,
    releases, search, serve, train, trainer, up, worker,
};

/// Answers questions from your documents and shows where each answer stands.
#[derive(Debug, Parser)]
#[command(name = "lore", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalFlags,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct GlobalFlags {
    /// Settings file [default: $LORE_CONFIG, else ./lore.yaml if there is one]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Data folder [default: $LORE_DATA_DIR, else lore in the user's data folder]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    pub data_dir: Option<PathBuf>,
    /// Connect to nothing but the configured stores
    #[arg(long, global = true, help_heading = "Settings")]
    pub offline: bool,
    /// What is logged to stderr: error, warn, info, debug, trace, or a tracing filter
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Settings")]
    pub log: Option<String>,
    /// Print JSON on stdout
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// No progress, no summaries: only results and errors
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch the models, take in ./docs-corpus, serve
    Up(up::Up),
    /// Serve the HTTP API and keep the indexes up to date
    Serve(serve::Serve),
    /// Take in documents that were uploaded to a server
    Worker(worker::Worker),
    /// Take in files and folders
    Ingest(ingest::Ingest),
    /// Answer a question from the documents, with citations
    Ask(ask::Ask),
    /// Ask questions one after another; each is understood from those before it
    Chat(chat::Chat),
    /// Find passages
    Search(search::Search),
    /// List, show or delete documents
    #[command(subcommand)]
    Documents(documents::Documents),
    /// Build both indexes again, and cut documents again where the settings changed
    Reindex(reindex::Reindex),
    /// Check the catalog and compare it with both indexes; exit code 1 where anything differs
    Check(check::Check),
    /// Merge an adapter into its base
    Merge(merge::Merge),
    /// Fetch, list and make models
    #[command(subcommand)]
    Models(models::Models),
    /// Create, list and revoke API keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Add, prove, promote and roll back language models that were taught
    #[command(subcommand)]
    Releases(releases::Releases),
    /// Measure how good retrieval and answers are
    #[command(subcommand)]
    Eval(eval::Eval),
    /// Write the training examples made of questions: prompts as in serving, answers with their markers
    Examples(examples::Examples),
    /// Measure how fast embedding, search, ingestion and a server are
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Teach a language model by examples
    Train(train::Train),
    /// Do the trainings that were queued on the web page or over HTTP, one at a time
    Trainer(trainer::Trainer),
    /// Ask a server whether it is up; exit code 1 where it is not
    Health(health::Health),
    /// Print the settings in force
    Config(config::Config),
}

impl Command {
    /// Whether it runs until it is stopped, so that its log is what a person sees of it.
    pub fn is_service(&self) -> bool {
        matches!(self, Command::Up(_) | Command::Serve(_) | Command::Worker(_) | Command::Trainer(_))
    }

    /// Whether it lets other processes go first.
    pub fn is_gentle(&self) -> bool {
        match self {
            Command::Trainer(_) => true,
            Command::Train(train) => train.gently,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
