//! The evidence that a sentence answers a question, and the two small linear models over it.
//!
//! One model orders the sentences of a question; the other says how likely the best one is an answer at all. `lore eval
//! calibrate` computes the weights of both from questions with known sources; [`SupportModel::default`] holds what it
//! computed on the training questions of `docs-corpus`.

use serde::{Deserialize, Serialize};

/// Number of features of a sentence.
pub const FEATURE_COUNT: usize = FEATURES.len();

/// Names of the features of a sentence, in the order of [`Evidence::features`].
pub const FEATURES: [&str; 32] = [
    "coverage",
    "coverage_squared",
    "own_coverage",
    "passage_coverage",
    "foreign_coverage",
    "semantic",
    "semantic_gap",
    "passage_semantic",
    "retrieval",
    "retrieval_share",
    "lexical_top",
    "specific_missing",
    "passage_specific_missing",
    "code_missing",
    "passage_code_missing",
    "code_unknown",
    "name_missing",
    "passage_name_missing",
    "name_unknown",
    "number_missing",
    "word_missing",
    "passage_word_missing",
    "rare_missing",
    "passage_rare_missing",
    "kind",
    "no_kind",
    "noun",
    "number",
    "length",
    "table_row",
    "foreign",
    "first_passage",
];

/// Names of what the second model sees besides the best sentence's features, in the order of [`Standing::features`].
pub const STANDING: [&str; 4] = ["score", "gap", "passage_gap", "share"];

/// What speaks for and against a sentence; all between -1 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Share of the question's term weight (idf) in the sentence, its headings, its table header (discounted) and title.
    pub coverage: f32,
    /// Share of the question's term weight in the sentence alone.
    pub own_coverage: f32,
    /// Share of the question's term weight in the passage with its headings and title.
    pub passage_coverage: f32,
    /// Cosine of question and sentence; 0 where the embedder does not understand the language.
    pub semantic: f32,
    /// How much nearer than this the nearest sentence is.
    pub semantic_gap: f32,
    /// Cosine of question and the passage's best chunk.
    pub passage_semantic: f32,
    /// Fused score of the passage.
    pub retrieval: f32,
    /// The same, relative to the best passage.
    pub retrieval_share: f32,
    /// BM25 of the passage's best chunk, divided by the weight of the question's terms.
    pub lexical_top: f32,
    /// What the sentence with its headings and title lacks.
    pub lacks: crate::asked::Lacks,
    /// What the passage with its headings and title lacks.
    pub passage_lacks: crate::asked::Lacks,
    /// Whether a code of the question is in none of the passages.
    pub code_unknown: f32,
    /// Whether a name of the question is in none of the passages.
    pub name_unknown: f32,
    /// Weight of the rarest question term that sentence and headings lack, relative to the rarest term.
    pub rare_missing: f32,
    /// Weight of the rarest question term that the passage lacks, relative to the rarest term.
    pub passage_rare_missing: f32,
    /// Whether it has the kind of thing that is asked for.
    pub meets: crate::kind::Meets,
    /// Length of the sentence: 1 at 60 words or more.
    pub length: f32,
    /// Whether it is a table row.
    pub table_row: f32,
    /// Whether the embedder does not understand the language.
    pub foreign: f32,
    /// Whether it stands in the best passage.
    pub first_passage: f32,
}

impl Evidence {
    /// The features as a vector, in the order of [`FEATURES`].
    pub fn features(&self) -> [f32; FEATURE_COUNT] {
        [
            self.coverage,
            self.coverage * self.coverage,
            self.own_coverage,
            self.passage_coverage,
            self.coverage * self.foreign,
            self.semantic,
            self.semantic_gap,
            self.passage_semantic,
            self.retrieval,
            self.retrieval_share,
            self.lexical_top,
            self.lacks.specific,
            self.passage_lacks.specific,
            self.lacks.code,
            self.passage_lacks.code,
            self.code_unknown,
            self.lacks.name,
            self.passage_lacks.name,
            self.name_unknown,
            self.lacks.number,
            self.lacks.word,
            self.passage_lacks.word,
            self.rare_missing,
            self.passage_rare_missing,
            self.meets.kind,
            self.meets.no_kind,
            self.meets.noun,
            self.meets.number,
            self.length,
            self.table_row,
            self.foreign,
            self.first_passage,
        ]
    }
}

/// Where the best sentence stands among the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Its score.
    pub score: f32,
    /// How far the second is behind; at most [`Standing::MOST`].
    pub gap: f32,
    /// How far the best of another passage is behind; at most [`Standing::MOST`].
    pub passage_gap: f32,
    /// Its share of the probability, by the softmax of all scores.
    pub share: f32,
}

impl Standing {
    /// Largest gap that is told apart.
    pub const MOST: f32 = 3.0;

    /// Standing of the first of `ranked`: (passage, score), best first.
    pub fn of(ranked: &[(usize, f32)]) -> Self {
        let Some(&(passage, score)) = ranked.first() else { return Self::default() };
        let behind =
            |other: Option<&(usize, f32)>| other.map_or(Self::MOST, |o| (score - o.1).min(Self::MOST));
        let total: f32 = ranked.iter().map(|(_, s)| (s - score).exp()).sum();
        Self {
            score,
            gap: behind(ranked.get(1)),
            passage_gap: behind(ranked.iter().find(|(p, _)| *p != passage)),
            share: 1.0 / total,
        }
    }

    /// The features as a vector, in the order of [`STANDING`].
    pub fn features(&self) -> [f32; STANDING.len()] {
        [self.score, self.gap, self.passage_gap, self.share]
    }
}

/// A linear model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Intercept.
    pub bias: f32,
    /// One weight per feature; missing ones are 0.
    pub weights: Vec<f32>,
}

impl Linear {
    /// Weighted sum of the features and the intercept.
    pub fn value(&self, features: &[f32]) -> f32 {
        self.bias + self.weights.iter().zip(features).map(|(w, x)| w * x).sum::<f32>()
    }
}

/// The two models of the extractive answerer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupportModel {
    /// Orders sentences, over [`FEATURES`].
    pub sentence: Linear,
    /// Log-odds that the best sentence answers, over [`FEATURES`] and then [`STANDING`].
    pub answerable: Linear,
}

impl SupportModel {
    /// Probability that the best of `ranked` (passage, score; best first) answers, whose evidence is `best`.
    pub fn confidence(&self, best: &Evidence, ranked: &[(usize, f32)]) -> f32 {
        sigmoid(self.answerable.value(&answerable_features(best, &Standing::of(ranked))))
    }
}

/// What the second model sees.
pub fn answerable_features(best: &Evidence, standing: &Standing) -> Vec<f32> {
    let mut features = best.features().to_vec();
    features.extend(standing.features());
    features
}

/// The logistic function.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Default for SupportModel {
    #[allow(clippy::expect_used, reason = "the file is part of the binary, and a test reads it")]
    fn default() -> Self {
        serde_json::from_str(include_str!("support.json")).expect("the weights that come with the binary")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fits_the_features() {
        let model = SupportModel::default();
        assert_eq!(model.sentence.weights.len(), FEATURES.len());
        assert_eq!(model.answerable.weights.len(), FEATURES.len() + STANDING.len());
    }

    #[test]
    fn standing_by_hand() {
        let standing = Standing::of(&[(0, 2.0), (0, 1.0), (1, 0.0)]);
        assert_eq!((standing.gap, standing.passage_gap), (1.0, 2.0));
        let total = 1.0 + (-1f32).exp() + (-2f32).exp();
        assert!((standing.share - 1.0 / total).abs() < 1e-6);
        assert_eq!(Standing::of(&[]), Standing::default());
    }
}
