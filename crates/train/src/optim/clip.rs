//! How much of a gradient is taken.

/// What gradients of this norm (over all of them) are multiplied with, so that they are no longer than `longest`; 1 where
/// that is 0.
///
/// The roundings are those of `torch.nn.utils.clip_grad_norm_`.
pub fn clipping(norm: f64, longest: f64) -> f32 {
    if longest <= 0.0 {
        return 1.0;
    }
    ((norm as f32 + 1e-6).recip() * longest as f32).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_shortened_and_short_ones_left() {
        assert_eq!(clipping(0.5, 1.0), 1.0);
        assert_eq!(clipping(1e9, 0.0), 1.0);
        let factor = f64::from(clipping(4.0, 1.0));
        assert!((factor - 1.0 / (4.0 + 1e-6)).abs() < 1e-7, "{factor}");
    }
}
