//! Whether a decoder's numbers make sense, so that nothing later divides by zero or allocates without bound.

use std::path::Path;

use super::{DecoderConfig, RopeScaling};
use crate::error::ModelsError;

impl DecoderConfig {
    /// Gives the configuration back, or an error that names the number of `path` that cannot be.
    pub(crate) fn checked(self, path: &Path) -> Result<Self, ModelsError> {
        let fail = |message: String| Err(ModelsError::invalid(path, message));
        let sizes = [
            ("vocabulary", self.vocabulary, 1 << 24),
            ("hidden size", self.hidden, 1 << 20),
            ("intermediate size", self.intermediate, 1 << 22),
            ("number of layers", self.windows.len(), 1 << 12),
            ("number of attention heads", self.heads, 1 << 14),
            ("number of key-value heads", self.kv_heads, 1 << 14),
            ("head length", self.head_dim, 1 << 14),
            ("context length", self.context, 1 << 30),
        ];
        for (name, size, most) in sizes {
            if size == 0 || size > most {
                return fail(format!("its {name} is {size}, which is not in 1 to {most}"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return fail(format!(
                "{} key-value heads do not divide {} attention heads",
                self.kv_heads, self.heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return fail(format!("its head length {} is odd, which rope cannot rotate", self.head_dim));
        }
        if self.windows.contains(&Some(0)) {
            return fail("its sliding window is 0".into());
        }
        if !(self.norm_epsilon.is_finite() && (0.0..1.0).contains(&self.norm_epsilon)) {
            return fail(format!("its rms norm epsilon is {}", self.norm_epsilon));
        }
        if !(self.rope.theta.is_finite() && self.rope.theta > 1.0) {
            return fail(format!("its rope theta is {}", self.rope.theta));
        }
        match scaling_fault(&self.rope.scaling, self.head_dim) {
            Some(fault) => fail(format!("its rope scaling has {fault}")),
            None => Ok(self),
        }
    }
}

fn scaling_fault(scaling: &RopeScaling, head_dim: usize) -> Option<String> {
    let positive = |name: &str, value: f64| {
        (!(value.is_finite() && value > 0.0)).then(|| format!("the {name} {value}, which is not positive"))
    };
    match scaling {
        RopeScaling::Default => None,
        RopeScaling::Linear { factor } => positive("factor", *factor),
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context,
        } => positive("factor", *factor)
            .or_else(|| positive("low frequency factor", *low))
            .or_else(|| positive("high frequency factor", *high))
            .or_else(|| {
                (low >= high)
                    .then(|| format!("the low frequency factor {low}, not below the high one {high}"))
            })
            .or_else(|| (*original_context == 0).then(|| "the original context 0".to_owned())),
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, attention_factor, .. } => {
            positive("factor", *factor)
                .or_else(|| positive("beta_fast", *beta_fast))
                .or_else(|| positive("beta_slow", *beta_slow))
                .or_else(|| positive("attention factor", *attention_factor))
                .or_else(|| (*original_context == 0).then(|| "the original context 0".to_owned()))
        }
        RopeScaling::Divisors { divisors } => {
            if divisors.len() != head_dim / 2 {
                return Some(format!("{} divisors for heads of length {head_dim}", divisors.len()));
            }
            divisors.iter().find_map(|divisor| positive("divisor", f64::from(*divisor)))
        }
    }
}
