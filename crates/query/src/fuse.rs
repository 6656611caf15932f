//! Fusion of two result lists.

use std::collections::HashMap;

use lore_core::{ChunkId, ScoredChunk};

use crate::config::Fusion;

/// A candidate with the scores that its lists gave it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused {
    /// The chunk.
    pub id: ChunkId,
    /// Fused score; 0 to 1 for a convex combination.
    pub score: f32,
    /// Cosine similarity, where known.
    pub dense: Option<f32>,
    /// BM25 score, where the words matched.
    pub lexical: Option<f32>,
    /// What the dense side gives to the fused score.
    pub dense_part: f32,
    /// What the lexical side gives to it.
    pub lexical_part: f32,
}

/// Fuses the two lists (each best first); the result is best first, ties by id, so that it is always the same.
///
/// In a convex combination each side is scaled to `[0, 1]`: cosines between their least and greatest, BM25 scores
/// between 0 (what a chunk without any of the words has) and their greatest. A chunk without a score on a side has that
/// side's least. `dense` may hold further scores for chunks that only the lexical list found; they need not be sorted.
pub fn fuse(fusion: Fusion, dense: &[ScoredChunk], lexical: &[ScoredChunk]) -> Vec<Fused> {
    let mut all: HashMap<ChunkId, Fused> = HashMap::with_capacity(dense.len() + lexical.len());
    let entry = |id| Fused { id, score: 0.0, dense: None, lexical: None, dense_part: 0.0, lexical_part: 0.0 };
    for hit in dense {
        all.entry(hit.id).or_insert_with(|| entry(hit.id)).dense = Some(hit.score);
    }
    for hit in lexical {
        all.entry(hit.id).or_insert_with(|| entry(hit.id)).lexical = Some(hit.score);
    }
    match fusion {
        Fusion::Convex { dense_weight } => {
            let weight = dense_weight.clamp(0.0, 1.0);
            let (low, high) = bounds(dense);
            let (_, top) = bounds(lexical);
            for fused in all.values_mut() {
                let d = fused.dense.map_or(0.0, |s| scale(s, low, high));
                let l = fused.lexical.map_or(0.0, |s| scale(s, 0.0, top));
                (fused.dense_part, fused.lexical_part) = (weight * d, (1.0 - weight) * l);
            }
        }
        Fusion::Rrf { k } => {
            for (list, is_dense) in [(dense, true), (lexical, false)] {
                let mut order: Vec<&ScoredChunk> = list.iter().collect();
                order.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
                for (rank, hit) in order.into_iter().enumerate() {
                    if let Some(fused) = all.get_mut(&hit.id) {
                        let part = if is_dense { &mut fused.dense_part } else { &mut fused.lexical_part };
                        *part = 1.0 / (k + rank as f32 + 1.0);
                    }
                }
            }
        }
    }
    let mut out: Vec<Fused> = all.into_values().collect();
    out.iter_mut().for_each(|fused| fused.score = fused.dense_part + fused.lexical_part);
    out.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    out
}

fn bounds(list: &[ScoredChunk]) -> (f32, f32) {
    list.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), hit| {
        (low.min(hit.score), high.max(hit.score))
    })
}

fn scale(score: f32, low: f32, high: f32) -> f32 {
    if high > low { ((score - low) / (high - low)).clamp(0.0, 1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lore_core::DocumentId;
    use proptest::prelude::*;

    fn list(scores: &[f32], offset: u32) -> Vec<ScoredChunk> {
        let document = DocumentId::from_source("test");
        let mut list: Vec<ScoredChunk> = scores
            .iter()
            .enumerate()
            .map(|(i, &score)| ScoredChunk { id: ChunkId::new(document, 1, i as u32 + offset), score })
            .collect();
        list.sort_by(|a, b| b.score.total_cmp(&a.score));
        list
    }

    proptest! {
        #[test]
        fn every_candidate_once_sorted_and_bounded(
            dense in prop::collection::vec(-1f32..1.0, 0..40),
            lexical in prop::collection::vec(0f32..30.0, 0..40),
            offset in 0u32..40,
            weight in 0f32..=1.0,
            rrf in any::<bool>(),
        ) {
            let (dense, lexical) = (list(&dense, 0), list(&lexical, offset));
            let fusion = if rrf { Fusion::Rrf { k: 60.0 } } else { Fusion::Convex { dense_weight: weight } };
            let fused = fuse(fusion, &dense, &lexical);
            let mut ids: Vec<ChunkId> = dense.iter().chain(&lexical).map(|h| h.id).collect();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(fused.len(), ids.len());
            prop_assert!(fused.windows(2).all(|w| w[0].score >= w[1].score));
            prop_assert!(fused.iter().all(|f| (0.0..=1.0 + 1e-6).contains(&f.score)));
        }

        #[test]
        fn one_sided_weights_keep_that_sides_order(scores in prop::collection::vec(0.1f32..30.0, 1..40)) {
            let lexical = list(&scores, 0);
            let fused = fuse(Fusion::Convex { dense_weight: 0.0 }, &[], &lexical);
            prop_assert!(fused.windows(2).all(|w| w[0].lexical >= w[1].lexical));
        }
    }

    #[test]
    fn agreement_beats_one_side() {
        let a = list(&[0.9, 0.8, 0.1], 0);
        let b = list(&[9.0, 8.0], 1);
        for fusion in [Fusion::default(), Fusion::Rrf { k: 60.0 }] {
            let fused = fuse(fusion, &a, &b);
            assert_eq!(fused[0].id, a[1].id, "{fusion:?}");
        }
    }
}
