//! What loading found, for people and for the lineage.

use std::fmt;
use std::path::PathBuf;

use super::{Example, Format};

/// Most lines that are told one by one.
const TOLD: usize = 50;

/// A line that could not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

/// Lines that could not be used; the first are kept, all are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first of them.
    pub first: Vec<Problem>,
    /// All of them.
    pub count: usize,
}

impl Problems {
    pub(super) fn push(&mut self, path: &std::path::Path, line: usize, message: impl Into<String>) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(Problem { path: path.to_owned(), line, message: message.into() });
        }
    }
}

impl fmt::Display for Problems {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.first.iter().enumerate() {
            let line_break = if at > 0 { "\n" } else { "" };
            write!(f, "{line_break}{problem}")?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// What a data set gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetReport {
    /// Its name.
    pub name: String,
    /// Its file or folder.
    pub path: PathBuf,
    /// How it was read; `None` where it had no line.
    pub format: Option<Format>,
    /// Whether it is evaluated on.
    pub eval: bool,
    /// Lines or documents that can be learned from.
    pub records: usize,
}

/// Sums over examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Examples.
    pub examples: usize,
    /// Tokens.
    pub tokens: usize,
    /// Tokens that are learned.
    pub labels: usize,
    /// Tokens of the longest example.
    pub longest: usize,
}

impl Totals {
    pub(super) fn of(examples: &[Example]) -> Self {
        let mut totals = Self { examples: examples.len(), ..Self::default() };
        for example in examples {
            totals.tokens += example.tokens.len();
            totals.labels += example.labels();
            totals.longest = totals.longest.max(example.tokens.len());
        }
        totals
    }
}

/// What loading found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// By data set, in their order.
    pub sets: Vec<SetReport>,
    /// What is trained on.
    pub train: Totals,
    /// What is evaluated on.
    pub eval: Totals,
    /// Lines that are not valid; the run starts with them only under `skip_bad_lines`.
    pub bad: Problems,
    /// Valid lines of which nothing would be learned under `cutoff_len`.
    pub dropped: Problems,
    /// Lines that lost text to `cutoff_len`.
    pub truncated: usize,
    /// Conversations that became several examples: longer than `cutoff_len`, or under a template that writes earlier
    /// answers otherwise than the last.
    pub split: usize,
    /// What a person should know.
    pub notes: Vec<String>,
    /// SHA-256 of the texts that are learned from and evaluated on, in order, before any tokenizer: the same whatever the
    /// model, and wherever and in whatever format they stand. The lineage has that of tokens, [`crate::run::DataRecord::hash`].
    pub hash: String,
}

impl fmt::Display for LoadReport {
    /// A few lines without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, totals: &Totals| {
            let Totals { examples, tokens, labels, longest } = totals;
            write!(
                f,
                "{name}: {examples} examples, {tokens} tokens, {labels} of them learned, longest {longest}"
            )
        };
        line(f, "train", &self.train)?;
        if self.eval.examples > 0 {
            line(f, "\neval", &self.eval)?;
        }
        if self.truncated > 0 {
            write!(f, "\n{} shortened to cutoff_len", self.truncated)?;
        }
        if self.split > 0 {
            write!(f, "\n{} conversations became several examples", self.split)?;
        }
        for (what, problems) in [("bad lines skipped", &self.bad), ("left out", &self.dropped)] {
            if problems.count > 0 {
                write!(f, "\n{} {what}:\n{problems}", problems.count)?;
            }
        }
        for note in &self.notes {
            write!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}
