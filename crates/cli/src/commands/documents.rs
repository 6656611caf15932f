//! `lore documents`: what the catalog holds.
//!
//! Works beside a running server: the catalog may be used by several processes, and the indexes follow it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use lore_core::{Document, DocumentId, DocumentState};
use lore_index::{Catalog, DocumentQuery};
use serde::Serialize;

use crate::settings::Settings;
use crate::{open, print, progress};

/// Documents read at once.
const PAGE: usize = 500;

/// List, show or delete documents
#[derive(Debug, Subcommand)]
pub enum Documents {
    /// List documents by name
    List(List),
    /// Show a document
    Show(Show),
    /// Delete documents; from then on nothing answers from them
    Delete(Delete),
}

/// List documents by name
#[derive(Debug, Args)]
pub struct List {
    /// Only those whose name or title has these words
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// Only names that start so
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Only those in this state
    #[arg(long)]
    state: Option<State>,
    /// At most so many
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
}

/// Where a document stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Live,
    Pending,
    Failed,
}

/// Show a document
#[derive(Debug, Args)]
pub struct Show {
    /// Id or name
    document: String,
    /// Print its parsed text
    #[arg(long)]
    text: bool,
    /// Print its chunks, one JSON object a line
    #[arg(long, conflicts_with = "text")]
    chunks: bool,
}

/// Delete documents
#[derive(Debug, Args)]
pub struct Delete {
    /// Ids or names
    #[arg(required = true, value_name = "DOCUMENT")]
    documents: Vec<String>,
}

#[derive(Serialize)]
struct ShownChunk<'a> {
    id: lore_core::ChunkId,
    ordinal: u32,
    #[serde(flatten)]
    place: &'a lore_core::NewChunk,
    text: &'a str,
}

impl Documents {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the catalog does, and on a document that is not there.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let catalog = open::catalog(&settings).await?;
        let json = settings.json;
        // One thread may block for all of it: nothing else runs in this process.
        open::blocking(move || match self {
            Documents::List(list) => list.run(&catalog, json),
            Documents::Show(show) => show.run(&catalog, json),
            Documents::Delete(delete) => delete.run(&catalog, json),
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self, catalog: &Catalog, json: bool) -> anyhow::Result<()> {
        let state = self.state.map(|state| match state {
            State::Live => "live".to_owned(),
            State::Pending => "pending".to_owned(),
            State::Failed => "failed".to_owned(),
        });
        let mut query = DocumentQuery {
            text: self.text,
            name_prefix: self.prefix,
            state,
            limit: PAGE.min(self.limit),
            ..DocumentQuery::default()
        };
        let mut rows = Vec::new();
        let mut left = self.limit;
        loop {
            let page = catalog.documents(&query)?;
            for document in page.documents.iter().take(left) {
                if json {
                    print::json(document)?;
                } else {
                    rows.push(row(document));
                }
            }
            left = left.saturating_sub(page.documents.len());
            query.after = page.next;
            if query.after.is_none() || left == 0 {
                break;
            }
        }
        if !json {
            print::table(&["name", "version", "chunks", "groups", "state"], &rows)?;
            let plural = if rows.len() == 1 { "" } else { "s" };
            progress::say(&format!("{} document{plural}", rows.len()));
        }
        Ok(())
    }
}

impl Show {
    fn run(self, catalog: &Catalog, json: bool) -> anyhow::Result<()> {
        let document = find(catalog, &self.document)?;
        if self.text {
            let parsed = catalog.parsed(document.id, document.version)?.with_context(|| {
                format!("{} has no text yet; `lore documents show` says why", document.name)
            })?;
            return print::line(&parsed.text);
        }
        if self.chunks {
            for chunk in catalog.chunks(document.id)? {
                print::json(&ShownChunk {
                    id: chunk.id,
                    ordinal: chunk.ordinal,
                    place: &chunk.place,
                    text: &chunk.text,
                })?;
            }
            return Ok(());
        }
        if json {
            return print::json(&document);
        }
        print::fields(&document)
    }
}

impl Delete {
    fn run(self, catalog: &Catalog, json: bool) -> anyhow::Result<()> {
        // All names are looked up before the first document goes.
        let found: Vec<Document> =
            self.documents.iter().map(|name| find(catalog, name)).collect::<anyhow::Result<_>>()?;
        for document in found {
            let seq = catalog.delete(document.id)?;
            if json {
                print::json(
                    &serde_json::json!({"id": document.id, "name": document.name, "deleted": seq.is_some()}),
                )?;
            } else {
                progress::say(&format!("deleted {}", document.name));
                if let Some(path) = document.source.strip_prefix("file://").filter(|p| Path::new(p).exists())
                {
                    progress::say(&format!(
                        "its file is still there and comes back when its folder is ingested again: {path}"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn row(document: &Document) -> Vec<String> {
    vec![
        document.name.clone(),
        document.version.to_string(),
        document.chunks.to_string(),
        document.meta.acl.0.iter().cloned().collect::<Vec<_>>().join(","),
        match &document.state {
            DocumentState::Live => "live".into(),
            DocumentState::Pending => "pending".into(),
            DocumentState::Failed { reason } => format!("failed: {reason}"),
        },
    ]
}

/// The document with this id or name.
///
/// # Errors
/// Fails where there is none, and where several have the name.
pub fn find(catalog: &Catalog, wanted: &str) -> anyhow::Result<Document> {
    if let Ok(id) = wanted.parse::<DocumentId>() {
        return catalog
            .document(id)?
            .with_context(|| format!("there is no document {id}; `lore documents list` shows them"));
    }
    let mut query =
        DocumentQuery { name_prefix: Some(wanted.to_owned()), limit: PAGE, ..DocumentQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = catalog.documents(&query)?;
        // Names come in order, so that equal ones stand before the longer ones.
        let longer = page.documents.last().is_some_and(|d| d.name != wanted);
        found.extend(page.documents.into_iter().filter(|d| d.name == wanted));
        query.after = page.next;
        if longer || query.after.is_none() {
            break;
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => bail!("there is no document named {wanted:?}; `lore documents list` shows them"),
        _ => {
            let ids: Vec<String> = found.iter().map(|d| format!("{} ({})", d.id, d.source)).collect();
            bail!("{} documents are named {wanted:?}; name one by its id: {}", ids.len(), ids.join(", "))
        }
    }
}
