//! Retrieval: dense and lexical side by side, fused, looked up in the catalog, folded, reranked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use lore_core::{Access, ChunkId, Filter, Reranker, ScoredChunk, SearchMode};
use lore_index::{Bm25, Index, IndexError, LiveChunk};

use crate::config::{Fusion, RetrieveConfig};
use crate::error::{QueryError, Result};
use crate::fuse::{Fused, fuse};
use crate::text;
use crate::weights::Weights;

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
    /// What the dense side gave to the fused score.
    pub dense_part: f32,
    /// What the lexical side gave to it.
    pub lexical_part: f32,
    /// The score's factor for a document that another one supersedes; 1 for others.
    pub factor: f32,
    /// Cross-encoder score, where one is configured.
    pub rerank: Option<f32>,
    /// Chunks that say the same and were folded into this one.
    pub folded: Vec<ChunkId>,
}

impl Hit {
    /// A candidate as it was looked up, before penalties, folding and reranking.
    pub fn new(live: LiveChunk, fused: &Fused) -> Self {
        Self {
            live,
            score: fused.score,
            dense: fused.dense,
            lexical: fused.lexical,
            fused: fused.score,
            dense_part: fused.dense_part,
            lexical_part: fused.lexical_part,
            factor: 1.0,
            rerank: None,
            folded: Vec::new(),
        }
    }
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

/// A search with what became of its candidates.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    pub found: Retrieval,
    /// What the dense side found.
    pub dense: Vec<ScoredChunk>,
    /// What the lexical side found.
    pub lexical: Vec<ScoredChunk>,
    /// All candidates, best first.
    pub fused: Vec<Fused>,
    /// How many of them were looked up.
    pub examined: usize,
    /// Those of them that the catalog dropped.
    pub gone: Vec<Fused>,
    /// Those that say the same as a better one, and which.
    pub folded: Vec<(Hit, ChunkId)>,
    /// Those beyond the limit, best first.
    pub below: Vec<Hit>,
}

/// What the indexes gave.
pub(crate) struct Gathered {
    vector: Option<Vec<f32>>,
    /// What the dense side found, and behind it the cosines of what the words alone found.
    dense: Vec<ScoredChunk>,
    /// How many of `dense` the dense side found.
    found: usize,
    lexical: Vec<ScoredChunk>,
    embed_ms: f64,
}

/// Finds chunks; clones share the indexes.
#[derive(Clone, Debug)]
pub struct Retriever {
    index: Index,
    reranker: Option<Reranker>,
    config: Arc<RetrieveConfig>,
    /// How words are scored, where that is not as the index has it.
    bm25: Option<Bm25>,
}

/// Whether `error` is one of the vector store alone.
fn is_down(error: &IndexError) -> bool {
    matches!(error, IndexError::Vector(_) | IndexError::Unreachable { .. } | IndexError::DiskFull { .. })
}

impl Retriever {
    /// A retriever over `index`.
    pub fn new(index: Index, reranker: Option<Reranker>, config: RetrieveConfig) -> Self {
        Self { index, reranker, config: Arc::new(config), bm25: None }
    }

    /// The same over the same indexes, with other weights.
    ///
    /// # Errors
    /// [`QueryError::BadWeights`] where one is out of bounds.
    pub fn weighted(&self, weights: &Weights) -> Result<Self> {
        let (config, bm25) = weights.over(&self.config, self.index.bm25())?;
        let (index, reranker) = (self.index.clone(), self.reranker.clone());
        Ok(Self { index, reranker, config: Arc::new(config), bm25 })
    }

    /// The indexes.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The cross-encoder, if there is one.
    pub fn reranker(&self) -> Option<&Reranker> {
        self.reranker.as_ref()
    }

    /// The settings.
    pub fn config(&self) -> &RetrieveConfig {
        &self.config
    }

    /// How words are scored.
    pub fn bm25(&self) -> Bm25 {
        self.bm25.unwrap_or_else(|| self.index.bm25())
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
        Ok(self.stages(request).await?.found)
    }

    /// [`Retriever::search`], with what became of all candidates.
    pub(crate) async fn stages(&self, request: &SearchRequest) -> Result<Stages> {
        let started = Instant::now();
        let query = request.query.trim();
        if query.is_empty() {
            return Err(QueryError::EmptyQuestion);
        }
        if request.limit == 0 {
            return Ok(Stages::default());
        }
        let gathered = self.gather(request, &request.filter, &request.access, None).await?;
        let fused = self.fused(request, &gathered);
        let looked = self.look_up(&fused, &request.access, &request.filter, request.limit).await?;
        let mut hits = looked.hits;
        self.prefer_current(query, &mut hits);
        let (mut hits, folded) = self.fold(hits);
        self.rerank(query, &mut hits).await?;
        let below = hits.split_off(request.limit.min(hits.len()));
        let Gathered { vector, mut dense, found, lexical, embed_ms } = gathered;
        dense.truncate(found);
        let found = Stages {
            dense,
            lexical,
            found: Retrieval {
                hits,
                query_vector: vector,
                candidates: fused.len(),
                dropped: looked.gone.len(),
                embed_ms,
                total_ms: started.elapsed().as_secs_f64() * 1e3,
            },
            fused,
            examined: looked.examined,
            gone: looked.gone,
            folded,
            below,
        };
        Ok(found)
    }

    /// Asks the indexes, within `filter` and `access`; `known` is the question's vector, where it is known.
    pub(crate) async fn gather(
        &self,
        request: &SearchRequest,
        filter: &Filter,
        access: &Access,
        known: Option<Vec<f32>>,
    ) -> Result<Gathered> {
        let started = Instant::now();
        let query = request.query.trim();
        let depth = self.config.candidates.max(request.limit);
        let want_dense = request.mode != SearchMode::Lexical;
        let want_lexical = request.mode != SearchMode::Dense;

        let dense_side = async {
            if !want_dense {
                return Ok::<_, QueryError>((None, Vec::new(), 0.0));
            }
            let vector = match known {
                Some(vector) => vector,
                None => self.index.embedder().embed_query(query).await?,
            };
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
            Ok(self.index.search_lexical_weighted(query, filter, access, depth, self.bm25).await?)
        };
        let ((vector, mut dense, embed_ms), lexical) = tokio::try_join!(dense_side, lexical_side)?;
        let found = dense.len();

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
                let scored = missing.into_iter().zip(scores);
                dense.extend(scored.filter_map(|(id, score)| score.map(|score| ScoredChunk { id, score })));
            }
        }
        Ok(Gathered { vector, dense, found, lexical, embed_ms })
    }

    /// What the indexes gave as one list.
    pub(crate) fn fused(&self, request: &SearchRequest, gathered: &Gathered) -> Vec<Fused> {
        let (dense, lexical) = (gathered.dense.as_slice(), gathered.lexical.as_slice());
        match request.mode {
            SearchMode::Hybrid => fuse(self.fusion_for(request.query.trim()), dense, lexical),
            SearchMode::Dense => fuse(Fusion::Convex { dense_weight: 1.0 }, dense, &[]),
            SearchMode::Lexical => fuse(Fusion::Convex { dense_weight: 0.0 }, &[], lexical),
        }
    }

    /// How the lists become one for `query`.
    pub(crate) fn fusion_for(&self, query: &str) -> Fusion {
        match self.config.fusion {
            Fusion::Convex { .. } if !self.dense_understands(query) => {
                Fusion::Convex { dense_weight: self.config.foreign_dense_weight }
            }
            fusion => fusion,
        }
    }
}
