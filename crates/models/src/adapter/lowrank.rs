//! A low-rank difference's values, and what they make of a weight.

use rayon::prelude::*;

/// `scale B A` over a weight, with DoRA's magnitudes where there are some.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// Rows of `A`.
    pub rank: usize,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// `[rank, columns]`.
    pub a: Vec<f32>,
    /// `[rows, rank]`.
    pub b: Vec<f32>,
    /// `[rows]`.
    pub magnitude: Option<Vec<f32>>,
    /// What `B A` is multiplied by.
    pub scale: f64,
}

impl LowRank {
    /// Turns `W` `[rows, columns]` into `W + scale B A`, or with magnitudes into `m / |W + scale B A| (W + scale B A)`, the
    /// norm row by row (Liu et al. 2024, "DoRA", equation 5); summed in f64, rounded once.
    ///
    /// # Panics
    /// When `weight` has another length.
    pub fn merge_into(&self, weight: &mut [f32]) {
        assert_eq!(weight.len(), self.rows * self.columns, "a weight of the difference's shape");
        weight.par_chunks_mut(self.columns).enumerate().for_each_init(
            || vec![0f64; self.columns],
            |sum, (row, weight)| {
                self.row(row, weight, sum);
                let factor =
                    self.magnitude.as_ref().map_or(1.0, |magnitude| f64::from(magnitude[row]) / length(sum));
                for (weight, sum) in weight.iter_mut().zip(sum) {
                    *weight = (*sum * factor) as f32;
                }
            },
        );
    }

    /// DoRA's factor of each output over `W`: `m / |W + scale B A|`.
    ///
    /// # Panics
    /// When `weight` has another length.
    pub fn factors(&self, weight: &[f32]) -> Option<Vec<f32>> {
        let magnitude = self.magnitude.as_ref()?;
        assert_eq!(weight.len(), self.rows * self.columns, "a weight of the difference's shape");
        let factor = |sum: &mut Vec<f64>, (row, weight): (usize, &[f32])| {
            self.row(row, weight, sum);
            (f64::from(magnitude[row]) / length(sum)) as f32
        };
        let rows = weight.par_chunks(self.columns).enumerate();
        Some(rows.map_init(|| vec![0f64; self.columns], factor).collect())
    }

    /// Row `row` of `W + scale B A`.
    fn row(&self, row: usize, weight: &[f32], sum: &mut [f64]) {
        for (sum, weight) in sum.iter_mut().zip(weight) {
            *sum = f64::from(*weight);
        }
        let b = &self.b[row * self.rank..(row + 1) * self.rank];
        for (b, a) in b.iter().zip(self.a.chunks_exact(self.columns)) {
            let b = f64::from(*b) * self.scale;
            for (sum, a) in sum.iter_mut().zip(a) {
                *sum += b * f64::from(*a);
            }
        }
    }
}

fn length(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE)
}
