//! What becomes of fused candidates: looked up in the catalog, ordered, folded, reranked.

use std::collections::BTreeSet;

use lore_core::{Access, ChunkId, Filter};

use crate::error::Result;
use crate::fuse::Fused;
use crate::retrieve::{Hit, Retriever};
use crate::text;

/// Candidates that were looked up.
#[derive(Debug, Default)]
pub(crate) struct LookedUp {
    /// Those that are live, readable and pass the filter.
    pub hits: Vec<Hit>,
    /// The others.
    pub gone: Vec<Fused>,
    /// How many were looked at, best first; of the rest nothing is known.
    pub examined: usize,
}

impl Retriever {
    /// Asks the catalog for the best candidates until enough are live and readable.
    pub(crate) async fn look_up(
        &self,
        fused: &[Fused],
        access: &Access,
        filter: &Filter,
        limit: usize,
    ) -> Result<LookedUp> {
        // Folding and penalties need some hits beyond the limit.
        let wanted = limit.max(self.rerank_depth()) + limit / 4 + 8;
        let mut out = LookedUp { hits: Vec::with_capacity(wanted), ..LookedUp::default() };
        for batch in fused.chunks(wanted.max(64)) {
            let ids: Vec<ChunkId> = batch.iter().map(|f| f.id).collect();
            let catalog = self.index().catalog().clone();
            let access = access.clone();
            let live = tokio::task::spawn_blocking(move || catalog.live_chunks(&ids, &access)).await??;
            let mut live = live.into_iter().peekable();
            out.examined += batch.len();
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
                        out.hits.push(Hit::new(found, fused));
                    }
                    _ => out.gone.push(*fused),
                }
            }
            if out.hits.len() >= wanted {
                break;
            }
        }
        Ok(out)
    }

    fn rerank_depth(&self) -> usize {
        if self.reranker().is_some() { self.config().rerank_depth } else { 0 }
    }

    /// Puts superseded documents behind, unless the question asks for the past or for their year.
    pub(crate) fn prefer_current(&self, query: &str, hits: &mut [Hit]) {
        let years = text::years(query);
        let past = text::asks_for_the_past(query);
        for hit in hits.iter_mut() {
            let meta = &hit.live.document.meta;
            let old = meta.superseded_by.is_some();
            let year = meta.date.is_some_and(|d| years.contains(&d.year()))
                || years.iter().any(|y| hit.live.document.name.contains(&y.to_string()));
            hit.factor = match (old, year || (past && years.is_empty())) {
                (true, false) => self.config().superseded_factor,
                (true, true) => 1.0 / self.config().superseded_factor.max(0.1),
                (false, _) => 1.0,
            };
            hit.score *= hit.factor;
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.live.chunk.id.cmp(&b.live.chunk.id)));
    }

    /// Folds hits that say the same as a better one: nearly the same words, and exactly the same numbers. Gives those that
    /// stay, and the others, each with the one that it was folded into.
    pub(crate) fn fold(&self, hits: Vec<Hit>) -> (Vec<Hit>, Vec<(Hit, ChunkId)>) {
        let least = self.config().fold_similarity;
        let mut folded = Vec::new();
        if least > 1.0 {
            return (hits, folded);
        }
        let mut kept: Vec<(Hit, BTreeSet<String>, BTreeSet<String>)> = Vec::with_capacity(hits.len());
        for hit in hits {
            let words = text::word_set(&hit.live.chunk.text);
            let numbers = text::numbers(&hit.live.chunk.text);
            let twin = kept.iter_mut().find(|(_, w, n)| {
                let (small, large) = (w.len().min(words.len()) as f32, w.len().max(words.len()) as f32);
                small >= large * least && *n == numbers && text::jaccard(w, &words) >= least
            });
            match twin {
                Some((better, ..)) => {
                    better.folded.push(hit.live.chunk.id);
                    folded.push((hit, better.live.chunk.id));
                }
                None => kept.push((hit, words, numbers)),
            }
        }
        (kept.into_iter().map(|(hit, ..)| hit).collect(), folded)
    }

    pub(crate) async fn rerank(&self, query: &str, hits: &mut [Hit]) -> Result<()> {
        let Some(reranker) = self.reranker() else { return Ok(()) };
        let depth = self.config().rerank_depth.min(hits.len());
        let Some(top) = hits.get_mut(..depth).filter(|top| !top.is_empty()) else { return Ok(()) };
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
