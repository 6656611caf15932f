//! Retrieval: dense and lexical side by side, fused, looked up in the catalog, folded, reranked.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use lore_core::{Access, ChunkId, Filter, Reranker, SearchMode};
use lore_index::{Index, IndexError, LiveChunk};

use crate::config::{Fusion, RetrieveConfig};
use crate::error::{QueryError, Result};
use crate::fuse::{Fused, fuse};
use crate::text;

/// What to look for.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// The words.
    pub query: String,
    /// Which retrievers look.
    pub mode: SearchMode,
    /// Restrictions.
    pub filter: Filter,
    /// What the caller may read.
    pub access: Access,
    /// Most hits wanted.
    pub limit: usize,
}

/// A chunk that was found, looked up in the catalog.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The live chunk and its document.
    pub live: LiveChunk,
    /// The score that orders the hits.
    pub score: f32,
    /// Cosine similarity of question and chunk, where known.
    pub dense: Option<f32>,
    /// BM25 score, where words matched.
    pub lexical: Option<f32>,
    /// Fused score, before reranking and penalties.
    pub fused: f32,
    /// Cross-encoder score, where one is configured.
    pub rerank: Option<f32>,
    /// Chunks that say the same and were folded into this one.
    pub folded: Vec<ChunkId>,
}

/// The result of a search.
#[derive(Clone, Debug, Default)]
pub struct Retrieval {
    /// Best first.
    pub hits: Vec<Hit>,
    /// The question's unit vector, where the dense side looked.
    pub query_vector: Option<Vec<f32>>,
    /// Candidates before the catalog was asked.
    pub candidates: usize,
    /// Candidates that the catalog dropped: not live, or not readable.
    pub dropped: usize,
    /// Milliseconds for embedding the question.
    pub embed_ms: f64,
    /// Milliseconds for everything.
    pub total_ms: f64,
}

/// Finds chunks; clones share the indexes.
#[derive(Clone, Debug)]
pub struct Retriever {
    index: Index,
    reranker: Option<Reranker>,
    config: Arc<RetrieveConfig>,
}

/// Whether `error` is one of the vector store alone.
fn is_down(error: &IndexError) -> bool {
    matches!(error, IndexError::Vector(_) | IndexError::Unreachable { .. } | IndexError::DiskFull { .. })
}

impl Retriever {
    /// A retriever over `index`.
    pub fn new(index: Index, reranker: Option<Reranker>, config: RetrieveConfig) -> Self {
        Self { index, reranker, config: Arc::new(config) }
    }

    /// The indexes.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The settings.
    pub fn config(&self) -> &RetrieveConfig {
        &self.config
    }

    /// Whether the embedder understands the language of `text`.
    pub fn dense_understands(&self, text: &str) -> bool {
        let languages = &self.config.dense_languages;
        languages.is_empty() || languages.iter().any(|l| l == text::language(text))
    }

    /// Looks for `request.query`.
    ///
    /// # Errors
    /// Fails on an empty query, and where an index, the catalog or a model fails.
    pub async fn search(&self, request: &SearchRequest) -> Result<Retrieval> {
        let started = Instant::now();
        let query = request.query.trim();
        if query.is_empty() {
            return Err(QueryError::EmptyQuestion);
        }
        if request.limit == 0 {
            return Ok(Retrieval::default());
        }
        let depth = self.config.candidates.max(request.limit);
        let want_dense = request.mode != SearchMode::Lexical;
        let want_lexical = request.mode != SearchMode::Dense;
        let (filter, access) = (&request.filter, &request.access);

        let dense_side = async {
            if !want_dense {
                return Ok::<_, QueryError>((None, Vec::new(), 0.0));
            }
            let vector = self.index.embedder().embed_query(query).await?;
            let embedded = started.elapsed().as_secs_f64() * 1e3;
            let hits = match self.index.search_dense(&vector, filter, access, depth).await {
                // Words alone are better than nothing.
                Err(error) if want_lexical && is_down(&error) => {
                    tracing::warn!(%error, "the vectors cannot be searched; the words alone are");
                    Vec::new()
                }
                found => found?,
            };
            Ok((Some(vector), hits, embedded))
        };
        let lexical_side = async {
            if !want_lexical {
                return Ok::<_, QueryError>(Vec::new());
            }
            Ok(self.index.search_lexical(query, filter, access, depth).await?)
        };
        let ((vector, mut dense, embed_ms), lexical) = tokio::try_join!(dense_side, lexical_side)?;

        // A chunk that only its words found has a cosine all the same; without it the two sides could not be compared.
        if let (Some(vector), SearchMode::Hybrid) = (&vector, request.mode) {
            let known: HashSet<ChunkId> = dense.iter().map(|h| h.id).collect();
            let missing: Vec<ChunkId> =
                lexical.iter().map(|h| h.id).filter(|id| !known.contains(id)).collect();
            if !missing.is_empty() {
                let scores = match self.index.similarities(vector, &missing).await {
                    Err(error) if is_down(&error) => vec![None; missing.len()],
                    found => found?,
                };
                dense.extend(
                    missing
                        .into_iter()
                        .zip(scores)
                        .filter_map(|(id, score)| score.map(|score| lore_core::ScoredChunk { id, score })),
                );
            }
        }

        let fused = match request.mode {
            SearchMode::Hybrid => fuse(self.fusion_for(query), &dense, &lexical),
            SearchMode::Dense => fuse(Fusion::Convex { dense_weight: 1.0 }, &dense, &[]),
            SearchMode::Lexical => fuse(Fusion::Convex { dense_weight: 0.0 }, &[], &lexical),
        };
        let candidates = fused.len();
        let (mut hits, dropped) = self.look_up(fused, access, filter, request.limit).await?;
        self.prefer_current(query, &mut hits);
        hits = self.fold(hits);
        self.rerank(query, &mut hits).await?;
        hits.truncate(request.limit);
        let total_ms = started.elapsed().as_secs_f64() * 1e3;
        Ok(Retrieval { hits, query_vector: vector, candidates, dropped, embed_ms, total_ms })
    }

    fn fusion_for(&self, query: &str) -> Fusion {
        match self.config.fusion {
            Fusion::Convex { .. } if !self.dense_understands(query) => {
                Fusion::Convex { dense_weight: self.config.foreign_dense_weight }
            }
            fusion => fusion,
        }
    }

    /// Asks the catalog for the best candidates until enough are live and readable.
    async fn look_up(
        &self,
        fused: Vec<Fused>,
        access: &Access,
        filter: &Filter,
        limit: usize,
    ) -> Result<(Vec<Hit>, usize)> {
        // Folding and penalties need some hits beyond the limit.
        let wanted = limit.max(self.rerank_depth()) + limit / 4 + 8;
        let mut hits = Vec::with_capacity(wanted);
        let mut dropped = 0;
        for batch in fused.chunks(wanted.max(64)) {
            let ids: Vec<ChunkId> = batch.iter().map(|f| f.id).collect();
            let catalog = self.index.catalog().clone();
            let access = access.clone();
            let live = tokio::task::spawn_blocking(move || catalog.live_chunks(&ids, &access)).await??;
            let mut live = live.into_iter().peekable();
            for fused in batch {
                match live.next_if(|l| l.chunk.id == fused.id) {
                    Some(found)
                        if filter.is_empty()
                            || filter.matches(
                                found.document.id,
                                found.document.language.as_deref(),
                                &found.document.meta,
                            ) =>
                    {
                        hits.push(Hit {
                            live: found,
                            score: fused.score,
                            dense: fused.dense,
                            lexical: fused.lexical,
                            fused: fused.score,
                            rerank: None,
                            folded: Vec::new(),
                        });
                    }
                    _ => dropped += 1,
                }
            }
            if hits.len() >= wanted {
                break;
            }
        }
        Ok((hits, dropped))
    }

    fn rerank_depth(&self) -> usize {
        if self.reranker.is_some() { self.config.rerank_depth } else { 0 }
    }

    /// Puts superseded documents behind, unless the question asks for the past or for their year.
    fn prefer_current(&self, query: &str, hits: &mut [Hit]) {
        let years = text::years(query);
        let past = text::asks_for_the_past(query);
        for hit in hits.iter_mut() {
            let meta = &hit.live.document.meta;
            let old = meta.superseded_by.is_some();
            let year = meta.date.is_some_and(|d| years.contains(&d.year()))
                || years.iter().any(|y| hit.live.document.name.contains(&y.to_string()));
            let factor = match (old, year || (past && years.is_empty())) {
                (true, false) => self.config.superseded_factor,
                (true, true) => 1.0 / self.config.superseded_factor.max(0.1),
                (false, _) => 1.0,
            };
            hit.score *= factor;
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.live.chunk.id.cmp(&b.live.chunk.id)));
    }

    /// Folds hits that say the same as a better one: nearly the same words, and exactly the same numbers.
    fn fold(&self, hits: Vec<Hit>) -> Vec<Hit> {
        if self.config.fold_similarity > 1.0 {
            return hits;
        }
        let mut kept: Vec<(Hit, BTreeSet<String>, BTreeSet<String>)> = Vec::with_capacity(hits.len());
        for hit in hits {
            let words = text::word_set(&hit.live.chunk.text);
            let numbers = text::numbers(&hit.live.chunk.text);
            let twin = kept.iter_mut().find(|(_, w, n)| {
                let (small, large) = (w.len().min(words.len()) as f32, w.len().max(words.len()) as f32);
                small >= large * self.config.fold_similarity
                    && *n == numbers
                    && text::jaccard(w, &words) >= self.config.fold_similarity
            });
            match twin {
                Some((better, ..)) => better.folded.push(hit.live.chunk.id),
                None => kept.push((hit, words, numbers)),
            }
        }
        kept.into_iter().map(|(hit, ..)| hit).collect()
    }

    async fn rerank(&self, query: &str, hits: &mut [Hit]) -> Result<()> {
        let Some(reranker) = &self.reranker else { return Ok(()) };
        let depth = self.config.rerank_depth.min(hits.len());
        let Some(top) = hits.get_mut(..depth) else { return Ok(()) };
        let texts = top
            .iter()
            .map(|hit| hit.live.chunk.place.embed_text(&hit.live.document.title, &hit.live.chunk.text))
            .collect();
        let scores = reranker.score(query, texts).await?;
        for (hit, score) in top.iter_mut().zip(scores) {
            let penalty = if hit.fused > 0.0 { hit.score / hit.fused } else { 1.0 };
            hit.rerank = Some(score);
            // A logit becomes a probability, so that the penalty of a superseded document still applies; reranked
            // hits stay before those that were not.
            hit.score = 1.0 + penalty / (1.0 + (-score).exp());
        }
        top.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.live.chunk.id.cmp(&b.live.chunk.id)));
        Ok(())
    }
}
