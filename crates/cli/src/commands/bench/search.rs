//! `lore bench search`: a synthetic corpus, and a synthetic embedder in place of the model.
//!
//! Words follow Zipf's law, as those of a language do; chunks belong to topics, and the vectors of a topic lie together.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use lore_core::model::{EmbedRequest, Embedder, EmbedderInfo};
use lore_core::random::{Random, fnv};
use lore_core::{Access, Block, BlockKind, DocumentMeta, Filter, Format, NewChunk, Parsed, SearchMode, Span};
use lore_index::{Catalog, Index, NewDocument, NewVersion, Owner, VectorBackend};
use lore_query::eval::metrics::percentile;
use lore_query::{Retriever, SearchRequest};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::peak_rss_mb;
use crate::progress::{Progress, Unit};
use crate::settings::Settings;
use crate::{open, print};

/// Length of a vector: that of the default embedder.
const DIMENSION: usize = 384;
/// Different words.
const WORDS: u64 = 50_000;
/// Words of a chunk: about as many as fill the default embedder's window.
const CHUNK_WORDS: usize = 120;
/// Chunks of a document.
const DOCUMENT_CHUNKS: usize = 20;
/// Topics.
const TOPICS: usize = 500;
/// Words of a query.
const QUERY_WORDS: usize = 7;

/// Hybrid search over a synthetic corpus, the embedding left out
#[derive(Debug, Args)]
pub struct Search {
    /// Chunks in the corpus
    #[arg(long, default_value_t = 10_000)]
    chunks: usize,
    /// Queries timed, one after the other
    #[arg(long, default_value_t = 300)]
    queries: usize,
    /// Hits wanted of each
    #[arg(long, default_value_t = 10)]
    limit: usize,
}

impl Search {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the temporary folder or an index does.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let folder = tempfile::Builder::new().prefix("lore-bench-").tempdir()?;
        let started = Instant::now();
        let path = folder.path().to_owned();
        let owner = Owner::take(&path, "lore bench search")?;
        let chunks = self.chunks;
        let catalog = open::blocking(move || {
            let catalog = Catalog::open(&path)?;
            fill(&catalog, chunks)?;
            anyhow::Ok(catalog)
        })
        .await?;
        let mut config = settings.config.index.clone();
        config.vectors = VectorBackend::Edge;
        let index = Index::open(catalog, config, embedder(), owner).await?;
        open::follow(&index).await?;
        let build_seconds = started.elapsed().as_secs_f64();

        let retriever = Retriever::new(index.clone(), None, settings.config.retrieve.clone());
        let mut random = Random::new(7);
        let mut times = Vec::with_capacity(self.queries);
        // The first ones read what the others find in memory.
        let warm_up = self.queries.min(20);
        for number in 0..warm_up + self.queries {
            let request = SearchRequest {
                query: query(&mut random),
                mode: SearchMode::Hybrid,
                filter: Filter::default(),
                access: Access::All,
                limit: self.limit,
            };
            let found = retriever.search(&request).await?;
            if number >= warm_up {
                times.push(found.total_ms - found.embed_ms);
            }
        }
        drop(retriever);
        index.close().await?;
        times.sort_by(f64::total_cmp);
        let report = json!({
            "chunks": self.chunks,
            "queries": self.queries,
            "mode": SearchMode::Hybrid,
            "p50_ms": percentile(&times, 0.5),
            "p95_ms": percentile(&times, 0.95),
            "p99_ms": percentile(&times, 0.99),
            "peak_rss_mb": peak_rss_mb(),
            "build_seconds": build_seconds,
        });
        print::report(settings.json, &report)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Commits documents of [`DOCUMENT_CHUNKS`] chunks until there are `chunks`.
fn fill(catalog: &Catalog, chunks: usize) -> anyhow::Result<()> {
    let shown = Progress::new("writing", Unit::Count("chunks"));
    let mut random = Random::new(1);
    let mut made = 0;
    while made < chunks {
        let count = DOCUMENT_CHUNKS.min(chunks - made);
        let parsed = document(&mut random, count);
        let hash = catalog.store_original(parsed.text.as_bytes())?;
        let name = format!("synthetic/{made:08}.txt");
        let document = NewDocument {
            source: format!("bench:{name}"),
            name,
            format: Format::Txt,
            meta: DocumentMeta::default(),
            acl: lore_index::AclChoice::Keep,
        };
        let places = parsed
            .blocks
            .iter()
            .map(|block| NewChunk { span: block.span, pages: None, headings: Vec::new(), context: None })
            .collect();
        let version = NewVersion {
            content_hash: hash,
            size: parsed.text.len() as u64,
            pipeline: 1,
            recipe: String::new(),
            parsed,
            chunks: places,
        };
        catalog.commit_version(&document, &version)?;
        made += count;
        shown.set(made as u64, chunks as u64);
    }
    shown.finish("");
    Ok(())
}

/// A document of `count` paragraphs about one topic.
fn document(random: &mut Random, count: usize) -> Parsed {
    let topic = random.below(TOPICS);
    let mut parsed = Parsed { language: Some("en".into()), ..Parsed::default() };
    for _ in 0..count {
        if !parsed.text.is_empty() {
            parsed.text.push_str("\n\n");
        }
        // Words are ASCII: bytes are code points.
        let start = parsed.text.len();
        parsed.text.push_str(&topic_word(topic));
        for _ in 0..CHUNK_WORDS {
            parsed.text.push(' ');
            parsed.text.push_str(&word(zipf(random)));
        }
        parsed.text.push('.');
        parsed.blocks.push(Block { kind: BlockKind::Paragraph, span: Span::new(start, parsed.text.len()) });
    }
    parsed
}

fn query(random: &mut Random) -> String {
    let mut out = topic_word(random.below(TOPICS));
    for _ in 0..QUERY_WORDS {
        out.push(' ');
        out.push_str(&word(zipf(random)));
    }
    out
}

fn topic_word(topic: usize) -> String {
    format!("topic{topic}")
}

/// A word that can be spoken, of two or more syllables, the same for the same number.
fn word(mut number: u64) -> String {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 5] = b"aeiou";
    let mut out = String::new();
    number += 80;
    while number > 0 {
        let syllable = (number % 80) as usize;
        out.push(char::from(CONSONANTS[syllable / 5]));
        out.push(char::from(VOWELS[syllable % 5]));
        number /= 80;
    }
    out
}

/// An embedder that makes vectors up: a text's lies near those of its topic.
fn embedder() -> Embedder {
    let info = EmbedderInfo { id: "synthetic".into(), dimension: DIMENSION, max_tokens: 256 };
    let (embedder, mut requests): (Embedder, mpsc::Receiver<EmbedRequest>) =
        Embedder::channel(info, Arc::new(|text: &str| text.split_whitespace().count()), 256);
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let vectors = request.texts.iter().map(|text| vector(text)).collect();
            // A caller that has gone needs no answer.
            let _ = request.reply.send(Ok(vectors));
        }
    });
    embedder
}

fn vector(text: &str) -> Vec<f32> {
    let topic = text.split_whitespace().find(|word| word.starts_with("topic")).unwrap_or_default();
    let (mut near, mut own) = (Random::new(fnv(topic)), Random::new(fnv(text)));
    let mut out: Vec<f32> = (0..DIMENSION).map(|_| signed(&mut near) + signed(&mut own)).collect();
    let length = out.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    out.iter_mut().for_each(|x| *x /= length);
    out
}

/// -1 to 1.
fn signed(random: &mut Random) -> f32 {
    (random.unit() * 2.0 - 1.0) as f32
}

/// A rank with a probability of about its reciprocal.
fn zipf(random: &mut Random) -> u64 {
    (WORDS as f64).powf(random.unit()) as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn chunks_lie_where_the_text_is() {
        let parsed = document(&mut Random::new(3), 4);
        assert_eq!(parsed.blocks.len(), 4);
        for block in &parsed.blocks {
            let text = block.span.slice(&parsed.text).unwrap();
            assert!(text.starts_with("topic") && text.ends_with('.'));
        }
    }

    #[test]
    fn a_topics_vectors_lie_together() {
        let cosine = |a: &str, b: &str| vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum::<f32>();
        assert!(cosine("topic1 bada", "topic1 zuzu") > 0.3);
        assert!(cosine("topic1 bada", "topic2 bada").abs() < 0.3);
        assert!((cosine("x", "x") - 1.0).abs() < 1e-5);
    }
}
