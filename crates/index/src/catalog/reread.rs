//! What a kept answer shows of documents, read anew: only what its reader may read today (invariant 2).

use std::collections::BTreeMap;
use std::sync::Arc;

use lore_core::{Access, ConversationTurn, Document, DocumentId, Parsed, Span};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::conversations::{Stored, may_rest_on_all};
use super::{Catalog, access, documents, rows, text};
use crate::error::Result;

/// Versions whose texts are held at once.
const SEEN: usize = 64;

/// What the reader may see of a version of a document.
#[derive(Clone)]
enum View {
    /// Nothing: it was deleted, or is closed to the reader.
    Closed,
    /// That there is the document; the version is not kept any more.
    Name(Arc<Document>),
    /// Its text.
    Text(Arc<Document>, Arc<Parsed>),
}

/// Reads turns for one reader; looks at each version once.
pub(super) struct Reread<'a> {
    catalog: &'a Catalog,
    tx: &'a Transaction<'a>,
    access: &'a Access,
    seen: BTreeMap<(DocumentId, u32), View>,
    /// Whether an answer so far is not shown.
    withdrawn: bool,
}

impl<'a> Reread<'a> {
    pub(super) fn new(catalog: &'a Catalog, tx: &'a Transaction<'a>, access: &'a Access) -> Self {
        Self { catalog, tx, access, seen: BTreeMap::new(), withdrawn: false }
    }

    /// Whether the answer is still there and the reader may read every document that it cites or names, and, where it has
    /// statements or words without a source, every document that its writer saw.
    pub(super) fn may_show(&mut self, turn: &Stored) -> Result<bool> {
        let shown = self.shows(turn)?;
        self.withdrawn |= !shown;
        Ok(shown)
    }

    fn shows(&mut self, turn: &Stored) -> Result<bool> {
        let Some(answer) = &turn.answer else { return Ok(false) };
        for citation in &turn.summary.citations {
            if matches!(self.view(citation.document, citation.version)?, View::Closed) {
                return Ok(false);
            }
        }
        let unsure = may_rest_on_all(&turn.summary, answer);
        // Its writer saw the answers before it, too.
        if unsure && self.withdrawn {
            return Ok(false);
        }
        let seen = if unsure { &turn.sources[..] } else { &[] };
        for passage in seen {
            if matches!(self.view(passage.document, passage.version)?, View::Closed) {
                return Ok(false);
            }
        }
        for near in &turn.summary.nearest {
            if self.document(near.document)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The turn as the reader may see it.
    pub(super) fn turn(&mut self, turn: Stored) -> Result<ConversationTurn> {
        let shown = self.may_show(&turn)?;
        let Stored { question, at, answer, mut summary, mut sources } = turn;
        match answer.filter(|_| shown) {
            Some(answer) => summary.answer = answer,
            None => {
                // Where an answer is withdrawn, what is said of its statements goes with it.
                summary.citations.clear();
                summary.nearest.clear();
                summary.unsupported.clear();
            }
        }
        if self.withdrawn {
            // A question that was made whole with the answers before it may quote them.
            summary.rewritten = None;
        }
        for citation in &mut summary.citations {
            match self.view(citation.document, citation.version)? {
                View::Closed => {}
                View::Name(document) => name(&document, &mut citation.name, &mut citation.title),
                View::Text(document, parsed) => {
                    name(&document, &mut citation.name, &mut citation.title);
                    citation.headings = parsed.heading_path(citation.source_span.start);
                    citation.quote = slice(&parsed, citation.source_span);
                }
            }
        }
        for near in &mut summary.nearest {
            if let Some(document) = self.document(near.document)? {
                name(&document, &mut near.name, &mut near.title);
            }
        }
        let mut kept = Vec::with_capacity(sources.len());
        for mut passage in sources.drain(..) {
            // A passage without its text says nothing.
            if let View::Text(document, parsed) = self.view(passage.document, passage.version)? {
                name(&document, &mut passage.name, &mut passage.title);
                passage.headings = parsed.heading_path(passage.span.start);
                passage.text = slice(&parsed, passage.span);
                kept.push(passage);
            }
        }
        Ok(ConversationTurn { question, at: rows::time(at)?, withdrawn: !shown, summary, sources: kept })
    }

    /// The document, where the reader may read it as it is now.
    fn document(&self, id: DocumentId) -> Result<Option<Document>> {
        Ok(documents::by_id(self.tx, id)?.filter(|document| self.access.allows(&document.meta.acl)))
    }

    fn view(&mut self, id: DocumentId, version: u32) -> Result<View> {
        if let Some(view) = self.seen.get(&(id, version)) {
            return Ok(view.clone());
        }
        let view = self.look(id, version)?;
        if self.seen.len() >= SEEN {
            self.seen.clear();
        }
        self.seen.insert((id, version), view.clone());
        Ok(view)
    }

    fn look(&self, id: DocumentId, version: u32) -> Result<View> {
        let Some(document) = self.document(id)? else { return Ok(View::Closed) };
        let Some((pk, _)) = text::version_row(self.tx, id, version)? else {
            return Ok(View::Name(Arc::new(document)));
        };
        if version != document.version {
            let acl: Option<Option<String>> = self
                .tx
                .prepare_cached("SELECT acl FROM versions WHERE pk = ?1")?
                .query_row(params![pk], |row| row.get(0))
                .optional()?;
            if !access::allows_replaced(self.access, acl.flatten().as_deref())? {
                return Ok(View::Closed);
            }
        }
        let parsed = self.catalog.load(self.tx, id, version, pk)?;
        Ok(View::Text(Arc::new(document), parsed))
    }
}

fn name(document: &Document, name: &mut String, title: &mut String) {
    name.clone_from(&document.name);
    title.clone_from(&document.title);
}

fn slice(parsed: &Parsed, span: Span) -> String {
    span.slice(&parsed.text).unwrap_or_default().to_owned()
}
