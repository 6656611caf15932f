//! Settings of retrieval for one search, within bounds.

use lore_index::Bm25;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Fusion, RetrieveConfig};
use crate::error::{QueryError, Result};

/// Most hits that a search may take from each index, where the settings do not take more.
const CANDIDATES: usize = 1000;
/// Most hits that the reranker may see, where the settings do not let it see more.
const RERANKED: usize = 100;

/// What one search wants otherwise than the settings say; what is left out stays. The keys are those of the sections
/// `retrieve` and `index` of the settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// How the lists become one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion: Option<Fusion>,
    /// Hits taken from each index before fusion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// Weight of the dense side for languages that the embedder does not understand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_dense_weight: Option<f32>,
    /// Factor on the score of a document that another one supersedes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_factor: Option<f32>,
    /// Hits whose words agree to this share are shown as one; above 1 never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold_similarity: Option<f32>,
    /// Fused hits that the reranker sees; 0 leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank_depth: Option<usize>,
    /// BM25 term saturation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bm25_k1: Option<f32>,
    /// BM25 length normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bm25_b: Option<f32>,
    /// Weight of a match in the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title_boost: Option<f32>,
    /// Weight of a match in the headings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headings_boost: Option<f32>,
}

/// Within what a weight may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bound {
    /// Least value.
    pub least: f32,
    /// Greatest value.
    pub most: f32,
    /// A sensible step between two values.
    pub step: f32,
}

impl Weights {
    /// All of them, as the settings have them.
    pub fn of(config: &RetrieveConfig, bm25: Bm25) -> Self {
        Self {
            fusion: Some(config.fusion),
            candidates: Some(config.candidates),
            foreign_dense_weight: Some(config.foreign_dense_weight),
            superseded_factor: Some(config.superseded_factor),
            fold_similarity: Some(config.fold_similarity),
            rerank_depth: Some(config.rerank_depth),
            bm25_k1: Some(bm25.bm25_k1),
            bm25_b: Some(bm25.bm25_b),
            title_boost: Some(bm25.title_boost),
            headings_boost: Some(bm25.headings_boost),
        }
    }

    /// Within what each may be; what the settings have is always within.
    pub fn bounds(config: &RetrieveConfig, bm25: Bm25) -> Vec<(&'static str, Bound)> {
        let ranges = Self::of(config, bm25).ranges();
        let widened = ranges.map(|(name, least, most, step, own)| {
            let own = own.unwrap_or(least);
            (name, Bound { least: least.min(own), most: most.max(own), step })
        });
        widened.to_vec()
    }

    /// Of each: its name, within what it is useful (least, most, step), and its value where it is given.
    fn ranges(&self) -> [(&'static str, f32, f32, f32, Option<f32>); 11] {
        let (dense_weight, k) = match self.fusion {
            Some(Fusion::Convex { dense_weight }) => (Some(dense_weight), None),
            Some(Fusion::Rrf { k }) => (None, Some(k)),
            None => (None, None),
        };
        let count = |count: Option<usize>| count.map(|n| n as f32);
        [
            ("dense_weight", 0.0, 1.0, 0.05, dense_weight),
            ("k", 1.0, 1000.0, 1.0, k),
            ("candidates", 1.0, CANDIDATES as f32, 10.0, count(self.candidates)),
            ("foreign_dense_weight", 0.0, 1.0, 0.05, self.foreign_dense_weight),
            ("superseded_factor", 0.1, 1.0, 0.05, self.superseded_factor),
            ("fold_similarity", 0.5, 1.05, 0.05, self.fold_similarity),
            ("rerank_depth", 0.0, RERANKED as f32, 5.0, count(self.rerank_depth)),
            ("bm25_k1", 0.0, 5.0, 0.1, self.bm25_k1),
            ("bm25_b", 0.0, 1.0, 0.05, self.bm25_b),
            ("title_boost", 0.0, 10.0, 0.25, self.title_boost),
            ("headings_boost", 0.0, 10.0, 0.25, self.headings_boost),
        ]
    }

    /// The settings with these in their place; nothing for the words' scores where those stay.
    ///
    /// # Errors
    /// [`QueryError::BadWeights`] names the one that is out of bounds.
    pub fn over(&self, config: &RetrieveConfig, bm25: Bm25) -> Result<(RetrieveConfig, Option<Bm25>)> {
        for ((name, Bound { least, most, .. }), (.., value)) in
            Self::bounds(config, bm25).into_iter().zip(self.ranges())
        {
            if let Some(value) = value
                && !(least..=most).contains(&value)
            {
                let message = format!("{name} is {value}; it must be {least} to {most}");
                return Err(QueryError::BadWeights(message));
            }
        }
        let words = Bm25 {
            bm25_k1: self.bm25_k1.unwrap_or(bm25.bm25_k1),
            bm25_b: self.bm25_b.unwrap_or(bm25.bm25_b),
            title_boost: self.title_boost.unwrap_or(bm25.title_boost),
            headings_boost: self.headings_boost.unwrap_or(bm25.headings_boost),
        };
        let config = RetrieveConfig {
            candidates: self.candidates.unwrap_or(config.candidates),
            fusion: self.fusion.unwrap_or(config.fusion),
            dense_languages: config.dense_languages.clone(),
            foreign_dense_weight: self.foreign_dense_weight.unwrap_or(config.foreign_dense_weight),
            superseded_factor: self.superseded_factor.unwrap_or(config.superseded_factor),
            fold_similarity: self.fold_similarity.unwrap_or(config.fold_similarity),
            rerank_depth: self.rerank_depth.unwrap_or(config.rerank_depth),
        };
        Ok((config, (words != bm25).then_some(words)))
    }
}

#[cfg(test)]
mod tests {
    use lore_index::IndexConfig;
    use serde_json::json;

    use super::*;

    fn over(weights: serde_json::Value) -> Result<(RetrieveConfig, Option<Bm25>), String> {
        let weights: Weights = serde_json::from_value(weights).map_err(|e| e.to_string())?;
        weights.over(&RetrieveConfig::default(), IndexConfig::default().bm25()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_left_out_stays() {
        assert_eq!(over(json!({})), Ok((RetrieveConfig::default(), None)));
        let (config, words) =
            over(json!({"fusion": {"rrf": {"k": 10}}, "title_boost": 2})).unwrap_or_default();
        assert_eq!(config, RetrieveConfig { fusion: Fusion::Rrf { k: 10.0 }, ..RetrieveConfig::default() });
        assert_eq!(words.map(|words| (words.title_boost, words.bm25_k1)), Some((2.0, 0.9)));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (weights, message) in [
            (json!({"fusion": {"convex": {"dense_weight": 1.5}}}), "dense_weight is 1.5; it must be 0 to 1"),
            (json!({"candidates": 100_000}), "candidates is 100000; it must be 1 to 1000"),
            (json!({"candidates": 0}), "candidates is 0; it must be 1 to 1000"),
            (json!({"superseded_factor": 0}), "superseded_factor is 0; it must be 0.1 to 1"),
            (json!({"bm25_b": -1}), "bm25_b is -1; it must be 0 to 1"),
        ] {
            assert_eq!(over(weights).map(|_| ()), Err(message.to_owned()));
        }
        assert!(over(json!({"dense": 1})).is_err_and(|e| e.contains("unknown field")));
    }

    #[test]
    fn what_the_settings_have_is_within_bounds() {
        let config = RetrieveConfig { candidates: 5000, fold_similarity: 2.0, ..RetrieveConfig::default() };
        let bm25 = IndexConfig { title_boost: 20.0, ..IndexConfig::default() }.bm25();
        assert_eq!(Weights::of(&config, bm25).over(&config, bm25).ok(), Some((config, None)));
    }
}
