//! `lore search`: finds passages.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use lore_core::{Caller, DocumentId, Filter, PageRange, SearchMode};
use lore_index::Catalog;
use lore_query::SearchRequest;
use lore_server::routes::search::SearchHit;
use serde::Deserialize;
use serde_json::{Value, json};

use super::documents;
use crate::asking::without_generator;
use crate::client::Client;
use crate::open::{self, Engine};
use crate::settings::Settings;
use crate::{print, progress};

/// Characters of a hit that are shown.
const SHOWN: usize = 300;

/// Restrictions that `ask` and `search` take.
#[derive(Clone, Debug, Default, Args)]
pub struct Restrictions {
    /// As a member of these groups; everything is read without
    #[arg(long, alias = "group", value_name = "GROUP", value_delimiter = ',')]
    pub groups: Option<Vec<String>>,
    /// Only documents with this tag; several values of one key are alternatives
    #[arg(long = "filter-tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub tags: Vec<(String, String)>,
    /// Only this document, by id or name
    #[arg(long = "document", value_name = "DOCUMENT")]
    pub documents: Vec<String>,
    /// Only documents in this language (ISO 639-1)
    #[arg(long = "language", value_name = "CODE")]
    pub languages: Vec<String>,
    /// Only documents dated on or after this day
    #[arg(long, value_name = "DATE")]
    pub from: Option<Date>,
    /// Only documents dated on or before this day
    #[arg(long, value_name = "DATE")]
    pub to: Option<Date>,
}

/// Parses `KEY=VALUE`.
///
/// # Errors
/// Says so where there is no `=` or nothing before it.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write KEY=VALUE, such as department=finance".to_owned()),
    }
}

impl Restrictions {
    /// The filter, documents looked up by name.
    ///
    /// # Errors
    /// Fails on a document that is not there.
    pub async fn filter(&self, catalog: &Catalog) -> anyhow::Result<Filter> {
        let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in &self.tags {
            tags.entry(key.clone()).or_default().push(value.clone());
        }
        let (names, catalog) = (self.documents.clone(), catalog.clone());
        let documents: Vec<DocumentId> = open::blocking(move || {
            names.iter().map(|name| Ok(documents::find(&catalog, name)?.id)).collect::<anyhow::Result<_>>()
        })
        .await?;
        Ok(Filter {
            tags,
            documents,
            languages: self.languages.clone(),
            date_from: self.from,
            date_to: self.to,
        })
    }

    /// The client that asks with these groups.
    pub fn apply_to(&self, client: Client) -> Client {
        match &self.groups {
            None => client,
            Some(groups) => client.with_groups(groups),
        }
    }

    /// Who asks: the owner of the data folder, or a member of the groups given.
    pub fn caller(&self) -> Caller {
        match &self.groups {
            None => Caller::local(),
            Some(groups) => {
                let named = groups.iter().map(|g| g.trim().to_owned()).filter(|g| !g.is_empty());
                Caller::with_groups("local", named)
            }
        }
    }
}

/// What is shown of a hit.
#[derive(Deserialize)]
struct Shown {
    name: String,
    pages: Option<PageRange>,
    headings: Vec<String>,
    text: String,
    score: f32,
}

/// Find passages
#[derive(Debug, Args)]
pub struct Search {
    /// What to look for
    #[arg(required = true, value_name = "QUERY")]
    query: Vec<String>,
    /// Which retrievers look
    #[arg(long, default_value = "hybrid")]
    mode: Mode,
    /// Most hits
    #[arg(long, default_value_t = 10)]
    limit: usize,
    #[command(flatten)]
    restrictions: Restrictions,
}

/// Which retrievers look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    /// Dense and lexical together
    Hybrid,
    /// Vectors only
    Dense,
    /// Words only
    Lexical,
}

impl From<Mode> for SearchMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Hybrid => SearchMode::Hybrid,
            Mode::Dense => SearchMode::Dense,
            Mode::Lexical => SearchMode::Lexical,
        }
    }
}

impl Search {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where another process that serves nothing has the indexes, and where search does.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let most = settings.config.limits.search_hits;
        if !(1..=most).contains(&self.limit) {
            bail!("--limit is {}; it must be 1 to {most} (limits.search_hits in the settings)", self.limit);
        }
        let catalog = open::catalog(&settings).await?;
        let filter = self.restrictions.filter(&catalog).await?;
        let request = SearchRequest {
            query: self.query.join(" "),
            mode: self.mode.into(),
            filter,
            access: self.restrictions.caller().access,
            limit: self.limit,
        };
        let response = match open::engine(&without_generator(&settings), &catalog, "lore search").await? {
            Engine::Remote(client) => {
                let client = self.restrictions.apply_to(client);
                let body = json!({
                    "query": request.query, "mode": request.mode, "filter": request.filter, "limit": request.limit,
                });
                client.post("/v1/search", &body).await?
            }
            Engine::Local(parts) => {
                let found = parts.retriever.search(&request).await?;
                parts.close().await?;
                let hits: Vec<SearchHit> = found.hits.into_iter().map(SearchHit::from).collect();
                json!({"hits": hits, "embed_ms": found.embed_ms, "total_ms": found.total_ms})
            }
        };
        if settings.json {
            print::json(&response)?;
        } else {
            show(response)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the hits of a response, as the HTTP API gives it, for a person.
fn show(mut response: Value) -> anyhow::Result<()> {
    let hits: Vec<Shown> = serde_json::from_value(response["hits"].take())
        .context("the hits are none that this lore can read")?;
    let width = print::terminal_width();
    for (number, hit) in (1..).zip(&hits) {
        let place = print::place(&hit.name, hit.pages.map(|p| p.first), &hit.headings);
        print::line(&format!("{number}. {place} ({:.3})", hit.score))?;
        let flat = hit.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut text: String = flat.chars().take(SHOWN).collect();
        if text.len() < flat.len() {
            text.push('…');
        }
        print::line(&print::wrapped(&text, width, 3))?;
    }
    if hits.is_empty() {
        progress::say("nothing found");
    }
    Ok(())
}
