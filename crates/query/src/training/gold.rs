//! Where the sources of a question stand in the catalog.

use std::sync::Arc;

use lore_core::{Access, ChunkId, DocumentId, Parsed, Span};
use lore_index::{Catalog, DocumentQuery, LiveChunk};

use crate::error::Result;
use crate::eval::EvalQuestion;
use crate::passages::FoundPassage;

/// Documents that are listed at once.
const PAGE: usize = 1_000;

/// A source of a question, found in the live version of its document.
#[derive(Clone, Debug)]
pub(super) struct Gold {
    pub document: DocumentId,
    pub version: u32,
    /// The supporting text.
    pub quote: String,
    /// Everywhere in the parsed text where it stands; never empty.
    pub places: Vec<Span>,
    pub parsed: Arc<Parsed>,
    /// The chunks that hold its first place.
    pub chunks: Vec<LiveChunk>,
}

impl Gold {
    /// Whether a passage holds all of it.
    pub fn is_in(&self, found: &FoundPassage) -> bool {
        let passage = &found.passage;
        self.is_of(passage.document, passage.version)
            && self.places.iter().any(|place| passage.span.contains(place))
    }

    /// The title of its document.
    pub fn title(&self) -> &str {
        self.chunks.first().map_or("", |live| live.document.title.as_str())
    }

    /// Whether a chunk holds some of it.
    pub fn touches(&self, live: &LiveChunk) -> bool {
        let (chunk, span) = (&live.chunk, live.chunk.place.span);
        self.is_of(chunk.document, chunk.version) && self.places.iter().any(|place| place.overlaps(&span))
    }

    /// Whether a passage is of the version that it stands in.
    pub fn is_of_passage(&self, found: &FoundPassage) -> bool {
        self.is_of(found.passage.document, found.passage.version)
    }

    fn is_of(&self, document: DocumentId, version: u32) -> bool {
        (self.document, self.version) == (document, version)
    }
}

/// The live documents by name.
#[derive(Debug)]
pub(super) struct Library {
    catalog: Catalog,
    names: Vec<(String, DocumentId)>,
}

impl Library {
    /// Reads the names of all live documents.
    pub async fn read(catalog: &Catalog) -> Result<Self> {
        let catalog = catalog.clone();
        let reading = move || {
            let mut names = Vec::new();
            let mut query =
                DocumentQuery { state: Some("live".to_owned()), limit: PAGE, ..DocumentQuery::default() };
            loop {
                let page = catalog.documents(&query)?;
                names.extend(page.documents.into_iter().map(|document| (document.name, document.id)));
                query.after = page.next;
                if query.after.is_none() {
                    return Ok(Self { catalog, names });
                }
            }
        };
        tokio::task::spawn_blocking(reading).await?
    }

    /// The sources of `question`, each with its chunks, or why they cannot be had.
    pub async fn locate(
        &self,
        question: &EvalQuestion,
        access: &Access,
    ) -> Result<Result<Vec<Gold>, String>> {
        let mut golds = Vec::new();
        for source in &question.sources {
            if source.quote.trim().is_empty() {
                return Ok(Err(format!("its source in {} has no quote", source.document)));
            }
            let id = match self.document(&source.document) {
                Ok(id) => id,
                Err(reason) => return Ok(Err(reason)),
            };
            let (catalog, access, quote) =
                (self.catalog.clone(), access.clone(), source.quote.trim().to_owned());
            let looking = move || find(&catalog, id, &quote, &access);
            match tokio::task::spawn_blocking(looking).await?? {
                Ok(gold) => golds.push(gold),
                Err(reason) => return Ok(Err(format!("{} {reason}", source.document))),
            }
        }
        match golds.is_empty() {
            true => Ok(Err("it is answerable and names no source".to_owned())),
            false => Ok(Ok(golds)),
        }
    }

    /// Whether a name is that of a document.
    pub fn has(&self, name: &str) -> bool {
        self.document(name).is_ok()
    }

    /// The document of this name; where none has it, the only one whose path ends with it, or that it ends with.
    fn document(&self, name: &str) -> Result<DocumentId, String> {
        if let Some((_, id)) = self.names.iter().find(|(known, _)| known == name) {
            return Ok(*id);
        }
        let below =
            |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('/'));
        let mut like = self.names.iter().filter(|(known, _)| below(known, name) || below(name, known));
        match (like.next(), like.next()) {
            (Some((_, id)), None) => Ok(*id),
            (None, _) => Err(format!("there is no document {name}")),
            (Some((a, _)), Some((b, _))) => Err(format!("{name} may be {a} or {b}")),
        }
    }
}

/// The quote in the live version of a document, or why it is not there.
fn find(
    catalog: &Catalog,
    id: DocumentId,
    quote: &str,
    access: &Access,
) -> Result<Result<Gold, &'static str>> {
    const GONE: &str = "has no live version any more";
    let chunks = catalog.chunks(id)?;
    let Some(version) = chunks.first().map(|chunk| chunk.version) else { return Ok(Err(GONE)) };
    let Some(parsed) = catalog.parsed(id, version)? else { return Ok(Err(GONE)) };
    let places: Vec<Span> = parsed
        .text
        .match_indices(quote)
        .filter_map(|(at, found)| Span::from_bytes(&parsed.text, at, at + found.len()))
        .collect();
    let Some(first) = places.first() else { return Ok(Err("does not hold the quote")) };
    let holding: Vec<ChunkId> =
        chunks.iter().filter(|chunk| chunk.place.span.overlaps(first)).map(|chunk| chunk.id).collect();
    let live = catalog.live_chunks(&holding, access)?;
    if live.is_empty() || live.len() < holding.len() {
        return Ok(Err("may not be read by who asks"));
    }
    let quote = quote.to_owned();
    Ok(Ok(Gold { document: id, version, quote, places, parsed, chunks: live }))
}
