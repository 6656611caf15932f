//! Fits the two linear models of [`crate::support`].
//!
//! Both fit on standardised features with an L2 penalty on the weights there, by full-batch gradient descent with
//! Nesterov's momentum, and give weights for the features as they are.

use crate::support::Linear;

/// Steps of gradient descent.
const STEPS: usize = 1_500;
/// Step length; features have unit variance.
const RATE: f64 = 0.2;
/// Momentum.
const MOMENTUM: f64 = 0.9;

/// Means and deviations of features.
struct Scale {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Scale {
    fn of<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone) -> Self {
        let width = rows.clone().next().map_or(0, <[f32]>::len);
        let count = rows.clone().count().max(1) as f64;
        let mut mean = vec![0.0; width];
        for row in rows.clone() {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x) / count);
        }
        let mut deviation = vec![0.0; width];
        for row in rows {
            for ((d, x), m) in deviation.iter_mut().zip(row).zip(&mean) {
                *d += (f64::from(*x) - m).powi(2) / count;
            }
        }
        deviation.iter_mut().for_each(|d| *d = d.sqrt());
        Self { mean, deviation }
    }

    fn apply(&self, row: &[f32]) -> Vec<f64> {
        let each = row.iter().zip(&self.mean).zip(&self.deviation);
        // A feature that is always the same says nothing.
        each.map(|((x, m), d)| if *d > 1e-9 { (f64::from(*x) - m) / d } else { 0.0 }).collect()
    }

    fn undo(&self, weights: &[f64], bias: f64) -> Linear {
        let raw: Vec<f64> =
            weights.iter().zip(&self.deviation).map(|(w, d)| if *d > 1e-9 { w / d } else { 0.0 }).collect();
        let shift: f64 = raw.iter().zip(&self.mean).map(|(w, m)| w * m).sum();
        Linear { bias: (bias - shift) as f32, weights: raw.into_iter().map(|w| w as f32).collect() }
    }
}

/// Descends along `gradient`, which writes the gradient at its first argument into its second.
fn descend(width: usize, mut gradient: impl FnMut(&[f64], &mut [f64])) -> Vec<f64> {
    let (mut at, mut velocity) = (vec![0.0; width], vec![0.0; width]);
    let (mut ahead, mut slope) = (vec![0.0; width], vec![0.0; width]);
    for _ in 0..STEPS {
        ahead.iter_mut().zip(at.iter().zip(&velocity)).for_each(|(a, (x, v))| *a = x + MOMENTUM * v);
        slope.fill(0.0);
        gradient(&ahead, &mut slope);
        for ((x, v), s) in at.iter_mut().zip(&mut velocity).zip(&slope) {
            *v = MOMENTUM * *v - RATE * s;
            *x += *v;
        }
    }
    at
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Sentences of a question with whether each is right; at least one is.
pub type Ranking = Vec<(Vec<f32>, bool)>;

/// Fits an order: the right sentences of each question against the others, by the listwise softmax loss
/// `-log(sum over right of exp(s) / sum over all of exp(s))` (Cao et al. 2007, "Learning to Rank", with top-one
/// probabilities), averaged over questions, plus `l2` times the squared weights.
pub fn ranking(questions: &[Ranking], l2: f64) -> Linear {
    let scale = Scale::of(questions.iter().flatten().map(|(row, _)| row.as_slice()));
    let width = scale.mean.len();
    let scaled: Vec<Vec<(Vec<f64>, bool)>> = questions
        .iter()
        .map(|rows| rows.iter().map(|(row, right)| (scale.apply(row), *right)).collect())
        .collect();
    let count = scaled.len().max(1) as f64;
    let weights = descend(width, |w, slope| {
        for rows in &scaled {
            let scores: Vec<f64> = rows.iter().map(|(x, _)| dot(w, x)).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exp: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
            let all: f64 = exp.iter().sum();
            let good: f64 = exp.iter().zip(rows).filter(|(_, (_, right))| *right).map(|(e, _)| e).sum();
            for (e, (x, right)) in exp.iter().zip(rows) {
                let target = if *right { e / good.max(f64::MIN_POSITIVE) } else { 0.0 };
                let error = (e / all - target) / count;
                slope.iter_mut().zip(x).for_each(|(g, x)| *g += error * x);
            }
        }
        slope.iter_mut().zip(w).for_each(|(g, w)| *g += 2.0 * l2 * w);
    });
    scale.undo(&weights, 0.0)
}

/// An example of a yes-or-no question.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its features.
    pub features: Vec<f32>,
    /// The answer.
    pub y: bool,
    /// How much it counts, relative to the others of the same answer.
    pub weight: f64,
}

/// Fits a logistic regression in which both answers weigh the same in sum; `l2` times the squared weights is added to
/// the mean loss.
pub fn logistic(examples: &[Example], l2: f64) -> Linear {
    let scale = Scale::of(examples.iter().map(|e| e.features.as_slice()));
    let width = scale.mean.len();
    let total = |y: bool| examples.iter().filter(|e| e.y == y).map(|e| e.weight).sum::<f64>().max(1e-9);
    let (yes, no) = (total(true), total(false));
    let scaled: Vec<(Vec<f64>, f64, f64)> = examples
        .iter()
        .map(|e| {
            let share = e.weight / (2.0 * if e.y { yes } else { no });
            (scale.apply(&e.features), f64::from(u8::from(e.y)), share)
        })
        .collect();
    let found = descend(width + 1, |w, slope| {
        for (x, y, share) in &scaled {
            let p = 1.0 / (1.0 + (-(dot(&w[..width], x) + w[width])).exp());
            let error = (p - y) * share;
            slope.iter_mut().zip(x).for_each(|(g, x)| *g += error * x);
            slope[width] += error;
        }
        slope.iter_mut().zip(w).take(width).for_each(|(g, w)| *g += 2.0 * l2 * w);
    });
    scale.undo(&found[..width], found[width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::sigmoid;

    #[test]
    fn logistic_separates_what_can_be_separated() {
        let features = |i: usize| vec![i as f32 / 40.0, 1.0, (i % 3) as f32];
        let examples: Vec<Example> =
            (0..40).map(|i| Example { features: features(i), y: i >= 20, weight: 1.0 }).collect();
        let model = logistic(&examples, 1e-4);
        let correct = examples.iter().filter(|e| (sigmoid(model.value(&e.features)) > 0.5) == e.y).count();
        assert!(correct >= 38, "{correct} of 40: {model:?}");
    }

    #[test]
    fn ranking_learns_which_feature_matters() {
        // The right one has the greatest first feature; the second is noise, the third the same for a whole question.
        let questions: Vec<Ranking> = (0..30)
            .map(|q| {
                (0..6)
                    .map(|i| {
                        (
                            vec![((i * 7 + q) % 6) as f32, ((i * 5 + q * 3) % 4) as f32, q as f32],
                            (i * 7 + q) % 6 == 5,
                        )
                    })
                    .collect()
            })
            .collect();
        let model = ranking(&questions, 1e-3);
        for rows in &questions {
            let best = rows.iter().max_by(|a, b| model.value(&a.0).total_cmp(&model.value(&b.0)));
            assert!(best.is_some_and(|(_, right)| *right), "{model:?}");
        }
        assert!(model.weights[2].abs() < 1e-3, "{model:?}");
    }
}
