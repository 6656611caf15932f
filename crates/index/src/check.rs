//! Compares what the indexes hold with what the catalog says that they should.

use std::collections::HashMap;
use std::sync::Arc;

use lore_core::{Chunk, ChunkId, ContentHash, Document, DocumentId, Seq};

use crate::apply::{blocking, entry, load};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::follow::call;
use crate::index::{CheckReport, Current, Inner};
use crate::payload::Payload;
use crate::vector::VectorStore;

/// Points read at once.
const PAGE: usize = 1_000;
/// Documents compared at once.
const BATCH: usize = 64;
/// Vectors compared with those in the catalog's cache, about.
const SAMPLES: u64 = 500;
/// Largest difference between the numbers of a stored and a cached vector.
const TOLERANCE: f32 = 1e-5;
/// Differences that are told one by one.
const MOST: usize = 10_000;
/// Tries to find a moment in which nobody changes the catalog.
const TRIES: u32 = 5;

/// What is kept of a point while comparing.
struct Held {
    document: DocumentId,
    version: u32,
    digest: u64,
}

/// Compares; following waits until it has ended.
pub(crate) async fn check(inner: &Inner) -> Result<CheckReport> {
    let position = inner.position.lock().await;
    let current = inner.current();
    let mut last = call(&inner.catalog, Catalog::last_seq).await?;
    for attempt in 1.. {
        let report = compare(inner, &current, (position.lexical, position.vectors, last)).await?;
        let after = call(&inner.catalog, Catalog::last_seq).await?;
        if after == last || attempt >= TRIES {
            return Ok(report);
        }
        last = after;
    }
    Ok(CheckReport::default())
}

async fn compare(
    inner: &Inner,
    current: &Current,
    (words_at, points_at, last): (Seq, Seq, Seq),
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    report.differences.extend(call(&inner.catalog, Catalog::integrity).await?);
    for (name, at) in [("lexical index", words_at), ("vector index", points_at)] {
        if at < last {
            report
                .differences
                .push(format!("the {name} holds changes up to {}, the catalog has {}", at.0, last.0));
        }
    }
    let mut points = points(&current.vectors.store).await?;
    let words = Arc::clone(&current.lexical.store);
    let mut words = blocking(move || words.fingerprints()).await?;
    let documents = call(&inner.catalog, Catalog::live_documents).await?;
    let every = (points.len() as u64 / SAMPLES).max(1);
    for batch in documents.chunks(BATCH) {
        let ids = batch.to_vec();
        let loaded = call(&inner.catalog, move |catalog| {
            ids.into_iter().map(|id| load(catalog, id)).collect::<Result<Vec<_>>>()
        });
        for (document, chunks) in loaded.await?.into_iter().flatten() {
            report.documents += 1;
            let mut samples = Vec::new();
            for chunk in &chunks {
                let payload = Payload::of(&document, chunk.ordinal);
                let place =
                    || format!("chunk {} of {} (version {})", chunk.ordinal, document.name, document.version);
                match words.remove(&chunk.id) {
                    None => report.say(format!("the lexical index lacks {}", place())),
                    Some(None) => report.say(format!("the lexical index has {} more than once", place())),
                    Some(Some(found)) if found != entry(&document, chunk, &payload).fingerprint() => {
                        report.say(format!("the lexical index has other text or labels for {}", place()));
                    }
                    Some(Some(_)) => {}
                }
                match points.remove(&chunk.id) {
                    None => report.say(format!("the vector index lacks {}", place())),
                    Some(held) if held.digest != digest(&payload) => {
                        report.say(format!("the vector index has other labels for {}", place()));
                    }
                    Some(_) if report.chunks.is_multiple_of(every) => samples.push(chunk),
                    Some(_) => {}
                }
                report.chunks += 1;
            }
            sample(inner, &current.vectors.store, &document, &samples, &mut report).await?;
        }
    }
    for id in words.into_keys() {
        report.say(format!("the lexical index has chunk {id}, which no live document has"));
    }
    for (id, held) in points {
        let name = call(&inner.catalog, move |catalog| catalog.document(held.document)).await?;
        let of = name.map_or_else(|| format!("document {}, which is gone", held.document), |d| d.name);
        report.say(format!(
            "the vector index has chunk {id} of version {} of {of}, which is not live",
            held.version
        ));
    }
    if report.differences.len() > MOST {
        let more = report.differences.len() - MOST;
        report.differences.truncate(MOST);
        report.differences.push(format!("and {more} more"));
    }
    Ok(report)
}

impl CheckReport {
    fn say(&mut self, difference: String) {
        self.differences.push(difference);
    }
}

/// What the store holds, without vectors.
async fn points(store: &VectorStore) -> Result<HashMap<ChunkId, Held>> {
    let mut all = HashMap::new();
    let mut from = None;
    loop {
        let page = store.page(from, PAGE).await?;
        for (id, payload) in page.points {
            let held = match payload {
                Some(payload) => {
                    Held { document: payload.document, version: payload.version, digest: digest(&payload) }
                }
                None => Held { document: DocumentId(uuid::Uuid::nil()), version: 0, digest: 0 },
            };
            all.insert(id, held);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(all),
        }
    }
}

fn digest(payload: &Payload) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut hash = std::hash::DefaultHasher::new();
    payload.hash(&mut hash);
    hash.finish()
}

/// Compares some chunks' vectors with those that were computed for their texts.
async fn sample(
    inner: &Inner,
    store: &VectorStore,
    document: &Document,
    chunks: &[&Chunk],
    report: &mut CheckReport,
) -> Result<()> {
    if chunks.is_empty() {
        return Ok(());
    }
    let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
    let hashes: Vec<ContentHash> = chunks.iter().map(|chunk| chunk.text_hash.clone()).collect();
    let embedder = inner.embedder.info().id.clone();
    let known = call(&inner.catalog, move |catalog| catalog.vectors(&embedder, &hashes)).await?;
    for (chunk, stored) in chunks.iter().zip(store.vectors(&ids).await?) {
        let Some(known) = known.get(&chunk.text_hash) else { continue };
        let same = stored.is_some_and(|stored| {
            stored.len() == known.len() && stored.iter().zip(known).all(|(a, b)| (a - b).abs() <= TOLERANCE)
        });
        if !same {
            report.say(format!(
                "the vector index has another vector for chunk {} of {} (version {})",
                chunk.ordinal, document.name, document.version
            ));
        }
    }
    Ok(())
}
