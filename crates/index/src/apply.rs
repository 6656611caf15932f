//! Brings one document, or a few, to their live state in an index.
//!
//! What is written is always the state that the catalog has now, not the one that a change had: applying a change twice,
//! or late, does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lore_core::{Chunk, ContentHash, Document, DocumentId, EmbedKind, Embedder, ModelError};

use crate::catalog::Catalog;
use crate::error::{IndexError, Result};
use crate::lexical::{Entry, LexicalIndex};
use crate::payload::{Labels, Payload};
use crate::vector::{Point, VectorStore};

/// Texts in one request to the embedder.
const EMBED_BATCH: usize = 64;
/// Chunks whose vectors are held at once.
const SLICE: usize = 512;
/// Chunks loaded at once, unless a single document has more.
const GROUP_CHUNKS: usize = 2_048;
/// Tries of a request that the embedder has no room for.
const OVERLOADED_TRIES: u32 = 8;

/// A document to bring up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// The document.
    pub document: DocumentId,
    /// Whether only its labels changed since the index was up to date, so that its points may be there already.
    pub labels_only: bool,
}

/// A document as the catalog has it now: `None` where no version is live.
pub(crate) type Live = Option<(Document, Vec<Chunk>)>;

/// What applying did.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Chunks written.
    pub chunks: u64,
    /// Chunks embedded.
    pub embedded: u64,
    /// Documents whose text the embedder cannot take, with its reason.
    pub failed: BTreeMap<DocumentId, ModelError>,
}

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(IndexError::Cancelled),
    }
}

/// Reads a document's live state: document and chunks of the same version.
pub(crate) fn load(catalog: &Catalog, id: DocumentId) -> Result<Live> {
    // The two reads are not one transaction; a version that goes live between them is seen by its chunks.
    for _ in 0..16 {
        let Some(document) = catalog.document(id)?.filter(|d| d.version > 0) else { return Ok(None) };
        let chunks = catalog.chunks(id)?;
        let same = chunks.iter().all(|chunk| chunk.version == document.version);
        if same && chunks.len() == document.chunks as usize {
            return Ok(Some((document, chunks)));
        }
    }
    Err(IndexError::Damaged(format!("document {id} has other chunks than its live version says")))
}

/// Brings documents up to date in the lexical index, without committing. Blocks. Gives the chunks written.
pub(crate) fn apply_lexical(
    catalog: &Catalog,
    index: &LexicalIndex,
    documents: &[DocumentId],
) -> Result<u64> {
    let mut written = 0;
    for &id in documents {
        let Some((document, chunks)) = load(catalog, id)? else {
            index.replace(id, [])?;
            continue;
        };
        let payloads: Vec<Payload> = chunks.iter().map(|c| Payload::of(&document, c.ordinal)).collect();
        index.replace(
            id,
            chunks.iter().zip(&payloads).map(|(chunk, payload)| entry(&document, chunk, payload)),
        )?;
        written += chunks.len() as u64;
    }
    Ok(written)
}

/// What the lexical index is given of a chunk.
pub(crate) fn entry<'a>(document: &'a Document, chunk: &'a Chunk, payload: &'a Payload) -> Entry<'a> {
    Entry { id: chunk.id, payload, title: &document.title, place: &chunk.place, text: &chunk.text }
}

/// Brings documents up to date in a vector store.
///
/// New points are written before old ones go, so that a search meanwhile finds the document. A document whose text the
/// embedder refuses is reported and the others go on.
pub(crate) async fn apply_vectors(
    catalog: &Catalog,
    embedder: &Embedder,
    store: &VectorStore,
    tasks: &[Task],
) -> Result<Applied> {
    let mut applied = Applied::default();
    let mut rest = tasks;
    while !rest.is_empty() {
        let (group, taken) = load_group(catalog, rest).await?;
        rest = &rest[taken..];
        let mut write = Vec::with_capacity(group.len());
        for (task, live) in group {
            let Some((document, chunks)) = live else {
                store.delete_document(task.document).await?;
                continue;
            };
            let there = Some((document.id, document.version));
            if task.labels_only && store.count(there).await? == chunks.len() as u64 {
                store.set_labels(document.id, &Labels::of(&document)).await?;
                applied.chunks += chunks.len() as u64;
            } else {
                write.push((document, chunks));
            }
        }
        write_group(catalog, embedder, store, &write, &mut applied).await?;
    }
    Ok(applied)
}

/// Loads the first tasks' documents, up to [`GROUP_CHUNKS`] chunks; says how many.
async fn load_group(catalog: &Catalog, tasks: &[Task]) -> Result<(Vec<(Task, Live)>, usize)> {
    let catalog = catalog.clone();
    let tasks = tasks.to_vec();
    blocking(move || {
        let mut group = Vec::new();
        let mut chunks = 0;
        for task in tasks {
            let live = load(&catalog, task.document)?;
            chunks += live.as_ref().map_or(0, |(_, chunks)| chunks.len());
            group.push((task, live));
            if chunks >= GROUP_CHUNKS {
                break;
            }
        }
        let taken = group.len();
        Ok((group, taken))
    })
    .await
}

async fn write_group(
    catalog: &Catalog,
    embedder: &Embedder,
    store: &VectorStore,
    group: &[(Document, Vec<Chunk>)],
    applied: &mut Applied,
) -> Result<()> {
    let all: Vec<(&Document, &Chunk)> = group
        .iter()
        .flat_map(|(document, chunks)| chunks.iter().map(move |chunk| (document, chunk)))
        .collect();
    for slice in all.chunks(SLICE) {
        let (vectors, refused) = vectors_of(catalog, embedder, slice, &mut applied.embedded).await?;
        let mut points = Vec::with_capacity(slice.len());
        for (document, chunk) in slice {
            match vectors.get(&chunk.text_hash) {
                Some(vector) => points.push(Point {
                    id: chunk.id,
                    vector: vector.clone(),
                    payload: Payload::of(document, chunk.ordinal),
                }),
                None => {
                    if let Some(error) = refused.get(&chunk.text_hash) {
                        applied.failed.insert(document.id, error.clone());
                    }
                }
            }
        }
        applied.chunks += points.len() as u64;
        store.upsert(points).await?;
    }
    for (document, chunks) in group {
        if !applied.failed.contains_key(&document.id) {
            store.delete_stale(document.id, document.version, chunks.len() as u32).await?;
        }
    }
    Ok(())
}

type Vectors = BTreeMap<ContentHash, Vec<f32>>;
type Refused = BTreeMap<ContentHash, ModelError>;

/// Vectors of the chunks' texts, from the catalog where they are known, else computed and stored there.
async fn vectors_of(
    catalog: &Catalog,
    embedder: &Embedder,
    slice: &[(&Document, &Chunk)],
    embedded: &mut u64,
) -> Result<(Vectors, Refused)> {
    let id = embedder.info().id.clone();
    let hashes: BTreeSet<ContentHash> = slice.iter().map(|(_, chunk)| chunk.text_hash.clone()).collect();
    let mut vectors = {
        let (catalog, id) = (catalog.clone(), id.clone());
        blocking(move || catalog.vectors(&id, &hashes.into_iter().collect::<Vec<_>>())).await?
    };
    // A vector of another length was stored by a model that wrongly had this name.
    let dimension = embedder.info().dimension;
    vectors.retain(|_, vector| vector.len() == dimension && vector.iter().all(|x| x.is_finite()));
    let mut missing: BTreeMap<ContentHash, String> = BTreeMap::new();
    for (document, chunk) in slice {
        if !vectors.contains_key(&chunk.text_hash) {
            let text = || chunk.place.embed_text(&document.title, &chunk.text);
            missing.entry(chunk.text_hash.clone()).or_insert_with(text);
        }
    }
    let mut refused = Refused::new();
    let missing: Vec<(ContentHash, String)> = missing.into_iter().collect();
    for batch in missing.chunks(EMBED_BATCH) {
        let mut known = Vec::with_capacity(batch.len());
        for ((hash, _), result) in batch.iter().zip(embed(embedder, batch).await?) {
            match result {
                Ok(vector) => known.push((hash.clone(), vector)),
                Err(error) => drop(refused.insert(hash.clone(), error)),
            }
        }
        *embedded += known.len() as u64;
        vectors.extend(known.iter().cloned());
        let (catalog, id) = (catalog.clone(), id.clone());
        blocking(move || catalog.put_vectors(&id, &known)).await?;
    }
    Ok((vectors, refused))
}

/// Embeds a batch. Where the model fails, halves are tried, so that one text that it cannot take does not stop the others.
async fn embed(
    embedder: &Embedder,
    batch: &[(ContentHash, String)],
) -> Result<Vec<std::result::Result<Vec<f32>, ModelError>>> {
    let mut out = Vec::with_capacity(batch.len());
    let mut waiting = vec![batch];
    while let Some(part) = waiting.pop() {
        match embed_once(embedder, part).await {
            Ok(vectors) => out.extend(vectors.into_iter().map(Ok)),
            Err(error @ (ModelError::Stopped { .. } | ModelError::Overloaded { .. })) => {
                return Err(error.into());
            }
            Err(error) if part.len() == 1 => out.push(Err(error)),
            Err(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                waiting.extend([second, first]);
            }
        }
    }
    Ok(out)
}

async fn embed_once(
    embedder: &Embedder,
    batch: &[(ContentHash, String)],
) -> std::result::Result<Vec<Vec<f32>>, ModelError> {
    let mut wait = Duration::from_millis(100);
    for attempt in 1.. {
        let texts = batch.iter().map(|(_, text)| text.clone()).collect();
        match embedder.embed(texts, EmbedKind::Passage).await {
            Err(ModelError::Overloaded { .. }) if attempt < OVERLOADED_TRIES => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            Err(error) => return Err(error),
            Ok(vectors) => {
                let wanted = (batch.len(), embedder.info().dimension);
                let fit =
                    |vector: &Vec<f32>| vector.len() == wanted.1 && vector.iter().all(|x| x.is_finite());
                if vectors.len() == wanted.0 && vectors.iter().all(fit) {
                    return Ok(vectors);
                }
                return Err(ModelError::Failed {
                    model: embedder.info().id.clone(),
                    message: format!("it did not give {} vectors of {} finite numbers", wanted.0, wanted.1),
                });
            }
        }
    }
    Ok(Vec::new())
}
