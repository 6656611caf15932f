//! `lore ask`: answers a question from the documents, with citations.

use std::process::ExitCode;

use clap::Args;

use super::search::Restrictions;
use crate::asking::{Asked, Asker, Keep, Writer};
use crate::print::{self, AnswerPrinter};
use crate::settings::Settings;
use crate::{open, progress};

/// Answer a question from the documents, with citations
#[derive(Debug, Args)]
pub struct Ask {
    /// What you want to know
    #[arg(required = true, value_name = "QUESTION")]
    question: Vec<String>,
    /// Keep question and answer: new, or the id of a conversation, whose turns are the history
    #[arg(long, value_name = "ID", value_parser = Keep::parse)]
    conversation: Option<Keep>,
    /// Leave out statements that no passage supports
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    writer: Writer,
    #[command(flatten)]
    restrictions: Restrictions,
}

impl Ask {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where another process that serves nothing has the indexes, and where answering does.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let settings = self.writer.apply(settings)?;
        let catalog = open::catalog(&settings).await?;
        let asked = Asked {
            text: self.question.join(" "),
            filter: self.restrictions.filter(&catalog).await?,
            strict: self.strict.then_some(true),
            keep: self.conversation.unwrap_or(Keep::No),
        };
        let (caller, groups) = (self.restrictions.caller(), self.restrictions.groups.as_deref());
        let asker = Asker::open(&settings, catalog, caller, groups, "lore ask").await?;
        self.writer.note(&asker);
        let mut printer = (!settings.json).then(AnswerPrinter::new);
        let outcome = asker.ask(asked, |event| printer.iter_mut().try_for_each(|p| p.event(event))).await;
        if outcome.is_err() {
            printer.iter_mut().try_for_each(AnswerPrinter::cut)?;
        }
        let answered = outcome?;
        asker.close().await?;
        if settings.json {
            print::json(&answered)?;
        } else if let Some(id) = answered.conversation {
            progress::say(&format!("kept; `lore ask --conversation {id}` goes on with it"));
        }
        Ok(ExitCode::SUCCESS)
    }
}
