//! Dropout: sets random elements to 0 in training.

use conv_core::Element;
use ndarray::ArrayD;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{params::random::hash, train::backend::StepKey};

/// Returns which elements of a dropout's tensor are kept, as an infinite iterator in the order n,
/// c, h, w: each is kept with probability `1 - probability`.
///
/// The mask depends only on the key and the node's name, so that every backend drops the same
/// elements. The kept elements are multiplied by [`dropout_scale`].
pub fn dropout_mask(key: StepKey, node: &str, probability: f64) -> impl Iterator<Item = bool> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&key.seed.to_le_bytes());
    seed[8..16].copy_from_slice(&hash(node).to_le_bytes());
    seed[16..24].copy_from_slice(&key.step.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(seed);
    // The number of draws that drop an element, out of 2^32: all at probability 1, none at 0.
    let dropping = probability * 2_f64.powi(32);
    std::iter::repeat_with(move || f64::from(rng.next_u32()) >= dropping)
}

/// Returns `1 / (1 - probability)`, which preserves the expectation; 0 if everything is dropped.
#[must_use]
pub fn dropout_scale(probability: f64) -> f64 {
    if probability < 1.0 {
        1.0 / (1.0 - probability)
    } else {
        0.0
    }
}

/// Returns `y = x · scale` where the mask is true, else 0. The gradient is the same function of the
/// output's gradient.
///
/// Reference: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
/// Overfitting", 2014, section 10 for the scaling in training.
pub(super) fn eval<T: Element>(
    mut x: ArrayD<T>,
    key: StepKey,
    node: &str,
    probability: f64,
) -> ArrayD<T> {
    let scale = T::from_f64(dropout_scale(probability));
    for (x, stays) in x.iter_mut().zip(dropout_mask(key, node, probability)) {
        *x = if stays { *x * scale } else { T::zero() };
    }
    x
}
