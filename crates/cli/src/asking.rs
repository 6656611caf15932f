//! Asks the server that owns the data folder, or this process, and keeps the answer in a conversation where that is wanted.

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use lore_core::{
    AnswerEvent, AnswerOptions, AnswerSummary, Caller, ConversationId, Filter, Limits, Passage, Question,
    Turn,
};
use lore_index::{Catalog, IndexError, NewTurn};
use serde::Serialize;
use serde_json::json;

use crate::client::Received;
use crate::open::{self, Engine};
use crate::progress;
use crate::settings::{Generator, Settings};

/// Who writes the answers, other than the settings say.
#[derive(Clone, Debug, Default, Args)]
pub struct Writer {
    /// Who writes answers: auto, none, or a model's name, folder or .gguf file [default: the live release, else that of the settings]
    #[arg(long, value_name = "MODEL")]
    pub generator: Option<String>,
}

impl Writer {
    /// The settings with this generator.
    ///
    /// # Errors
    /// Fails where it is no name of a model.
    pub fn apply(&self, mut settings: Settings) -> anyhow::Result<Settings> {
        if let Some(name) = &self.generator {
            let named = settings.config.generator.named(name).context("--generator")?;
            settings.config.generator = named.decided(&settings.data_dir);
            settings.own_writer = true;
        }
        Ok(settings)
    }

    /// Says where the flag changes nothing.
    pub fn note(&self, asker: &Asker) {
        if let (Some(_), Engine::Remote(client)) = (&self.generator, &asker.engine) {
            progress::say(&format!("--generator is not used: {} answers, as its settings say", client.owner));
        }
    }
}

/// Where an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nowhere.
    No,
    /// In a new conversation.
    New,
    /// In this one, whose turns are the history.
    In(ConversationId),
}

impl Keep {
    /// Reads `new`, or a conversation's id.
    ///
    /// # Errors
    /// Says so where it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "new" => Ok(Self::New),
            id => id.parse().map(Self::In).map_err(|_| "write new, or a conversation's id".to_owned()),
        }
    }
}

/// A question as the command line takes it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The question.
    pub text: String,
    /// Which documents may answer.
    pub filter: Filter,
    /// Whether statements without support are left out.
    pub strict: Option<bool>,
    /// Where the answer is kept.
    pub keep: Keep,
}

/// An answer as JSON, as the HTTP API gives it.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// The answer with its citations.
    #[serde(flatten)]
    pub summary: AnswerSummary,
    /// The passages that it could cite.
    pub sources: Vec<Passage>,
    /// The conversation that it was kept in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
}

/// Asks questions.
#[derive(Debug)]
pub struct Asker {
    engine: Engine,
    catalog: Catalog,
    caller: Caller,
    limits: Limits,
}

impl Asker {
    /// Over the server, or this process as `command`.
    ///
    /// # Errors
    /// As [`open::engine`], and where a generator is named that the server does not have.
    pub async fn open(
        settings: &Settings,
        catalog: Catalog,
        caller: Caller,
        groups: Option<&[String]>,
        command: &str,
    ) -> anyhow::Result<Self> {
        let engine = match open::engine(settings, &catalog, command).await? {
            Engine::Remote(client) => Engine::Remote(match groups {
                Some(groups) => client.with_groups(groups),
                None => client,
            }),
            local @ Engine::Local(_) => local,
        };
        Ok(Self { engine, catalog, caller, limits: settings.config.limits.clone() })
    }

    /// Asks, and hands each event to `each` as it comes.
    ///
    /// # Errors
    /// Fails where answering does, where `each` does, and where the conversation is not there or is full.
    pub async fn ask(
        &self,
        asked: Asked,
        mut each: impl FnMut(&AnswerEvent) -> anyhow::Result<()>,
    ) -> anyhow::Result<Answered> {
        let mut heard = Heard::default();
        let conversation = match &self.engine {
            Engine::Remote(client) => {
                let mut body = json!({"question": asked.text, "filter": asked.filter});
                if let Some(strict) = asked.strict {
                    body["strict"] = strict.into();
                }
                match asked.keep {
                    Keep::No => {}
                    Keep::New => body["conversation"] = "new".into(),
                    Keep::In(id) => body["conversation"] = id.to_string().into(),
                }
                let mut kept = None;
                let hear = |received: Received| {
                    kept = received.conversation;
                    each(&received.event)?;
                    heard.event(received.event)
                };
                client.ask(&body, hear).await?;
                kept
            }
            Engine::Local(parts) => {
                let history = self.history(asked.keep).await?;
                let options = AnswerOptions { strict: asked.strict, ..AnswerOptions::default() };
                let question = Question { text: asked.text.clone(), history, filter: asked.filter, options };
                let mut events = parts.answerer.ask(question, &self.caller);
                while let Some(event) = events.recv().await {
                    each(&event)?;
                    heard.event(event)?;
                }
                let turn = heard.turn(asked.text)?;
                self.record(asked.keep, turn).await?
            }
        };
        let summary = heard.end.context("the answer broke off")?;
        Ok(Answered { summary, sources: heard.sources, conversation })
    }

    /// The turns that the question goes on with.
    async fn history(&self, keep: Keep) -> anyhow::Result<Vec<Turn>> {
        let Keep::In(id) = keep else { return Ok(Vec::new()) };
        let (catalog, caller, limits) = (self.catalog.clone(), self.caller.clone(), self.limits.clone());
        open::blocking(move || {
            let found = catalog.conversation_history(&caller.id, id, &caller.access, limits.history_turns)?;
            let (turns, history) = found.ok_or_else(|| missing(id))?;
            let most = limits.conversation_turns;
            if turns >= most as u64 {
                bail!(IndexError::ConversationFull { most });
            }
            Ok(history)
        })
        .await
    }

    /// Keeps a turn; the conversation that it was kept in.
    async fn record(&self, keep: Keep, turn: NewTurn) -> anyhow::Result<Option<ConversationId>> {
        let (catalog, owner, limits) = (self.catalog.clone(), self.caller.id.clone(), self.limits.clone());
        open::blocking(move || match keep {
            Keep::No => anyhow::Ok(None),
            Keep::New => {
                let id = ConversationId::fresh();
                catalog.begin_conversation(&owner, id, &turn, &limits)?;
                Ok(Some(id))
            }
            Keep::In(id) => Ok(catalog.append_turn(&owner, id, &turn, &limits)?.then_some(id)),
        })
        .await
    }

    /// Closes what this process had open.
    ///
    /// # Errors
    /// Fails where the indexes cannot be written.
    pub async fn close(self) -> anyhow::Result<()> {
        match self.engine {
            Engine::Remote(_) => Ok(()),
            Engine::Local(parts) => parts.close().await,
        }
    }
}

/// Says that there is no conversation `id`.
pub fn missing(id: ConversationId) -> anyhow::Error {
    anyhow!("there is no conversation {id} of yours; `lore chat` begins one")
}

/// Without a generator, for commands that answer nothing.
pub fn without_generator(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.config.generator = Generator::None;
    settings.own_writer = true;
    settings
}

/// What was heard of an answer.
#[derive(Default)]
struct Heard {
    sources: Vec<Passage>,
    end: Option<AnswerSummary>,
}

impl Heard {
    fn event(&mut self, event: AnswerEvent) -> anyhow::Result<()> {
        match event {
            AnswerEvent::Sources { passages } => self.sources = passages,
            AnswerEvent::Done(summary) => self.end = Some(summary),
            AnswerEvent::Error { message, .. } => bail!("{message}"),
            AnswerEvent::Token { .. } | AnswerEvent::Citation { .. } => {}
        }
        Ok(())
    }

    fn turn(&self, question: String) -> anyhow::Result<NewTurn> {
        let summary = self.end.clone().context("the answer broke off")?;
        Ok(NewTurn { question, summary, sources: self.sources.clone() })
    }
}
