//! `lore chat`: a conversation with the documents.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use lore_core::{ConversationId, Filter, Passage};
use lore_index::Catalog;
use tokio::sync::mpsc;

use super::search::Restrictions;
use crate::asking::{self, Asked, Asker, Keep, Writer};
use crate::print::{self, AnswerPrinter};
use crate::settings::Settings;
use crate::{open, progress};

const HELP: &str = "\
write a question, or
  /new      begin another conversation
  /sources  show the passages behind the last answer
  /help     show this
  /quit     end, as Ctrl-D does; Ctrl-C stops an answer";

/// Ask questions one after another; each is understood from those before it
#[derive(Debug, Args)]
pub struct Chat {
    /// Go on with this conversation [default: a new one]
    #[arg(long, value_name = "ID", value_parser = conversation)]
    conversation: Option<ConversationId>,
    /// Leave out statements that no passage supports
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    writer: Writer,
    #[command(flatten)]
    restrictions: Restrictions,
}

/// Reads a conversation's id.
fn conversation(text: &str) -> Result<ConversationId, String> {
    text.parse().map_err(|_| "write a conversation's id, as `lore chat` prints it at its end".to_owned())
}

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Empty,
    Help,
    New,
    Sources,
    Quit,
    Unknown(String),
    Question(String),
}

impl Line {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        match text {
            "" => Self::Empty,
            "/help" | "/?" => Self::Help,
            "/new" => Self::New,
            "/sources" => Self::Sources,
            "/quit" | "/exit" => Self::Quit,
            _ if text.starts_with('/') => Self::Unknown(text.to_owned()),
            _ => Self::Question(text.to_owned()),
        }
    }
}

impl Chat {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails as `lore ask`, and where there is no such conversation; a question that fails ends nothing.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let settings = self.writer.apply(settings)?;
        let catalog = open::catalog(&settings).await?;
        let (caller, groups) = (self.restrictions.caller(), self.restrictions.groups.as_deref());
        let keep = match self.conversation {
            Some(id) => {
                greet(&catalog, &caller.id, id).await?;
                Keep::In(id)
            }
            None => Keep::New,
        };
        let filter = self.restrictions.filter(&catalog).await?;
        let asker = Asker::open(&settings, catalog, caller, groups, "lore chat").await?;
        self.writer.note(&asker);
        let strict = self.strict.then_some(true);
        let mut talk = Talk { asker, filter, strict, keep, json: settings.json, passages: Vec::new() };
        let outcome = talk.run(settings.quiet).await;
        if let Keep::In(id) = talk.keep {
            progress::say(&format!("kept; `lore chat --conversation {id}` goes on with it"));
        }
        talk.asker.close().await?;
        outcome.map(|()| ExitCode::SUCCESS)
    }
}

/// Says which conversation is gone on with.
async fn greet(catalog: &Catalog, owner: &str, id: ConversationId) -> anyhow::Result<()> {
    let (catalog, owner) = (catalog.clone(), owner.to_owned());
    let found = open::blocking(move || catalog.conversation(&owner, id)).await?;
    let found = found.ok_or_else(|| asking::missing(id))?;
    progress::say(&format!("{} ({} turns so far)", found.title, found.turns));
    Ok(())
}

/// A running conversation.
struct Talk {
    asker: Asker,
    filter: Filter,
    strict: Option<bool>,
    keep: Keep,
    json: bool,
    /// Those behind the last answer.
    passages: Vec<Passage>,
}

impl Talk {
    /// Reads and answers until the input ends.
    async fn run(&mut self, quiet: bool) -> anyhow::Result<()> {
        let prompted = std::io::stdin().is_terminal() && !quiet;
        let mut lines = lines();
        if prompted {
            progress::say("/help says what else can be done");
        }
        loop {
            if prompted {
                let mut out = std::io::stdout().lock();
                out.write_all(b"\n> ")?;
                out.flush()?;
            }
            let line = tokio::select! {
                line = lines.recv() => line,
                signal = tokio::signal::ctrl_c() => {
                    signal?;
                    // Behind the terminal's ^C.
                    progress::say("\nCtrl-D ends");
                    continue;
                }
            };
            let Some(line) = line else {
                if prompted {
                    print::line("")?;
                }
                return Ok(());
            };
            match Line::parse(&line?) {
                Line::Empty => {}
                Line::Help => print::line(HELP)?,
                Line::New => {
                    self.keep = Keep::New;
                    self.passages.clear();
                    progress::say("a new conversation begins with the next question");
                }
                Line::Sources => self.show_passages()?,
                Line::Quit => return Ok(()),
                Line::Unknown(word) => {
                    progress::say(&format!("{word} is no command; /help names those there are"))
                }
                Line::Question(text) => self.answer(text).await?,
            }
        }
    }

    async fn answer(&mut self, text: String) -> anyhow::Result<()> {
        let asked = Asked { text, filter: self.filter.clone(), strict: self.strict, keep: self.keep };
        let mut printer = (!self.json).then(AnswerPrinter::new);
        let asking = self.asker.ask(asked, |event| printer.iter_mut().try_for_each(|p| p.event(event)));
        let outcome = tokio::select! {
            outcome = asking => outcome,
            // What is dropped here is cancelled, in this process and in the server.
            signal = tokio::signal::ctrl_c() => {
                signal?;
                progress::say("\nstopped; the question is not kept");
                return Ok(());
            }
        };
        match outcome {
            Ok(answered) => {
                if let Some(id) = answered.conversation {
                    self.keep = Keep::In(id);
                }
                if self.json {
                    print::json(&answered)?;
                }
                self.passages = answered.sources;
            }
            Err(error) if print::is_broken_pipe(&error) => return Err(error),
            Err(error) => {
                printer.iter_mut().try_for_each(AnswerPrinter::cut)?;
                progress::stderr_line(&format!("error: {}", print::chain(&error)));
            }
        }
        Ok(())
    }

    fn show_passages(&self) -> anyhow::Result<()> {
        if self.passages.is_empty() {
            progress::say("there are none yet");
        }
        let width = print::terminal_width();
        for passage in &self.passages {
            let place = print::place(&passage.name, passage.pages.map(|p| p.first), &passage.headings);
            print::line(&format!("[{}] {place}", passage.marker))?;
            let flat = passage.text.split_whitespace().collect::<Vec<_>>().join(" ");
            print::line(&print::wrapped(&flat, width, 4))?;
        }
        Ok(())
    }
}

/// The lines of the input as they come, from a thread of their own, since reading a terminal cannot be cancelled.
fn lines() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn a_line_is_a_question_unless_it_starts_with_a_slash() {
        assert_eq!(Line::parse(" And in Shanghai? "), Line::Question("And in Shanghai?".into()));
        assert_eq!(Line::parse("  "), Line::Empty);
        assert_eq!(Line::parse("/quit\r"), Line::Quit);
        assert_eq!(Line::parse("/nwe"), Line::Unknown("/nwe".into()));
    }
}
