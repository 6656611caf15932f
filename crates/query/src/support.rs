//! The evidence that a sentence answers a question, and the two small linear models over it.
//!
//! One model orders sentences; the other says how likely the best one is an answer at all. Both are logistic regressions
//! whose weights `lore eval calibrate` computes from questions with known sources; [`SupportModel::default`] holds what
//! it computed on the training questions of `docs-corpus`.

use serde::{Deserialize, Serialize};

/// Names of the features, in the order of [`Evidence::features`].
pub const FEATURES: [&str; FEATURE_COUNT] = [
    "coverage",
    "own_coverage",
    "passage_coverage",
    "semantic",
    "passage_semantic",
    "retrieval",
    "lexical_top",
    "specific_missing",
    "rare_missing",
    "type_match",
    "type_miss",
    "length",
    "table_row",
    "foreign",
    "first_passage",
];

/// Number of features.
pub const FEATURE_COUNT: usize = 15;

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
    /// Cosine of question and the passage's best chunk.
    pub passage_semantic: f32,
    /// Fused score of the passage.
    pub retrieval: f32,
    /// BM25 of the passage's best chunk, divided by the weight of the question's terms.
    pub lexical_top: f32,
    /// Share of the question's names and codes that neither sentence nor headings nor title hold.
    pub specific_missing: f32,
    /// Weight of the rarest question term that the passage lacks, relative to the rarest term.
    pub rare_missing: f32,
    /// The question asks for a kind of thing (number, date, person, money) and the sentence has one.
    pub type_match: f32,
    /// ... and the sentence has none.
    pub type_miss: f32,
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
            self.own_coverage,
            self.passage_coverage,
            self.semantic,
            self.passage_semantic,
            self.retrieval,
            self.lexical_top,
            self.specific_missing,
            self.rare_missing,
            self.type_match,
            self.type_miss,
            self.length,
            self.table_row,
            self.foreign,
            self.first_passage,
        ]
    }
}

/// A logistic regression over [`Evidence`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Intercept.
    pub bias: f32,
    /// One weight per feature, in the order of [`FEATURES`]; missing ones are 0.
    pub weights: Vec<f32>,
}

impl Linear {
    /// The log-odds.
    pub fn logit(&self, evidence: &Evidence) -> f32 {
        self.bias + self.weights.iter().zip(evidence.features()).map(|(w, x)| w * x).sum::<f32>()
    }

    /// The probability.
    pub fn probability(&self, evidence: &Evidence) -> f32 {
        1.0 / (1.0 + (-self.logit(evidence)).exp())
    }

    /// Fits weights to examples by full-batch gradient descent with momentum on the logistic loss with an L2 penalty;
    /// the positive and the negative class weigh the same in sum.
    ///
    /// `l2` is the penalty on each weight (not the bias), relative to the mean loss.
    pub fn fit(examples: &[([f32; FEATURE_COUNT], bool)], l2: f32, steps: usize) -> Self {
        let positives = examples.iter().filter(|(_, y)| *y).count().max(1) as f64;
        let negatives = (examples.len() as f64 - positives).max(1.0);
        let mut weights = [0f64; FEATURE_COUNT];
        let mut bias = 0f64;
        let mut velocity = [0f64; FEATURE_COUNT + 1];
        for _ in 0..steps {
            let mut gradient = [0f64; FEATURE_COUNT + 1];
            for (x, y) in examples {
                let logit: f64 = bias + x.iter().zip(weights).map(|(x, w)| f64::from(*x) * w).sum::<f64>();
                let p = 1.0 / (1.0 + (-logit).exp());
                let class = if *y { positives } else { negatives };
                let error = (p - f64::from(u8::from(*y))) / (2.0 * class);
                for (g, x) in gradient.iter_mut().zip(x) {
                    *g += error * f64::from(*x);
                }
                gradient[FEATURE_COUNT] += error;
            }
            for (i, w) in weights.iter_mut().enumerate() {
                velocity[i] = 0.9 * velocity[i] - 0.5 * (gradient[i] + f64::from(l2) * *w);
                *w += velocity[i];
            }
            velocity[FEATURE_COUNT] = 0.9 * velocity[FEATURE_COUNT] - 0.5 * gradient[FEATURE_COUNT];
            bias += velocity[FEATURE_COUNT];
        }
        Self { bias: bias as f32, weights: weights.iter().map(|w| *w as f32).collect() }
    }
}

/// The two models of the extractive answerer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupportModel {
    /// Orders sentences.
    pub sentence: Linear,
    /// How likely the best sentence answers.
    pub answerable: Linear,
}

impl Default for SupportModel {
    fn default() -> Self {
        Self {
            sentence: Linear {
                bias: -6.0,
                weights: vec![4.0, 2.0, 1.0, 4.0, 1.0, 2.0, 1.0, -1.5, -0.5, 0.7, -0.7, -0.3, 0.0, 0.0, 0.3],
            },
            answerable: Linear {
                bias: -5.0,
                weights: vec![3.0, 1.0, 2.0, 4.0, 2.0, 0.0, 1.0, -2.0, -1.0, 0.5, -0.5, 0.0, 0.0, 1.5, 0.0],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fit_separates_what_can_be_separated() {
        let examples: Vec<_> = (0..40)
            .map(|i| {
                let mut x = [0.0; FEATURE_COUNT];
                x[0] = i as f32 / 40.0;
                (x, i >= 20)
            })
            .collect();
        let model = Linear::fit(&examples, 1e-4, 4000);
        let correct = examples
            .iter()
            .filter(|(x, y)| {
                let evidence = Evidence { coverage: x[0], ..Evidence::default() };
                (model.probability(&evidence) > 0.5) == *y
            })
            .count();
        assert!(correct >= 38, "{correct} of 40");
    }
}
