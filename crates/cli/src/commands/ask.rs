//! `lore ask`: answers a question from the documents, with citations.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use lore_core::{AnswerEvent, AnswerSummary, Passage, Question};
use serde::Serialize;
use serde_json::json;

use super::search::Restrictions;
use crate::open::{self, Engine};
use crate::print::{self, AnswerPrinter};
use crate::settings::Settings;

/// Answer a question from the documents, with citations
#[derive(Debug, Args)]
pub struct Ask {
    /// What you want to know
    #[arg(required = true, value_name = "QUESTION")]
    question: Vec<String>,
    #[command(flatten)]
    restrictions: Restrictions,
}

/// An answer as JSON, as the HTTP API gives it.
#[derive(Serialize)]
struct Answered {
    #[serde(flatten)]
    summary: AnswerSummary,
    sources: Vec<Passage>,
}

/// Takes the events of an answer: prints them as they come, or keeps them for JSON.
struct Listener {
    printer: Option<AnswerPrinter>,
    sources: Vec<Passage>,
    end: Option<AnswerSummary>,
}

impl Listener {
    fn event(&mut self, event: AnswerEvent) -> anyhow::Result<()> {
        if let Some(printer) = &mut self.printer {
            printer.event(&event)?;
        }
        match event {
            AnswerEvent::Sources { passages } => self.sources = passages,
            AnswerEvent::Done(summary) => self.end = Some(summary),
            AnswerEvent::Error { message, .. } => bail!("{message}"),
            AnswerEvent::Token { .. } | AnswerEvent::Citation { .. } => {}
        }
        Ok(())
    }
}

impl Ask {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where another process that serves nothing has the indexes, and where answering does.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let catalog = open::catalog(&settings).await?;
        let filter = self.restrictions.filter(&catalog).await?;
        let text = self.question.join(" ");
        let printer = (!settings.json).then(AnswerPrinter::new);
        let mut listener = Listener { printer, sources: Vec::new(), end: None };
        match open::engine(&settings, &catalog, "lore ask").await? {
            Engine::Remote(client) => {
                let client = self.restrictions.apply_to(client);
                let body = json!({"question": text, "filter": filter});
                client.ask(&body, |event| listener.event(event)).await?;
            }
            Engine::Local(parts) => {
                let question = Question { text, filter, ..Question::default() };
                let mut events = parts.answerer.ask(question, &self.restrictions.caller());
                while let Some(event) = events.recv().await {
                    listener.event(event)?;
                }
                drop(events);
                parts.close().await?;
            }
        }
        let summary = listener.end.context("the answer broke off")?;
        if settings.json {
            print::json(&Answered { summary, sources: listener.sources })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
