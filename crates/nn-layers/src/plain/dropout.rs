//! Dropout: random elements to 0, in training.

use conv_core::Element;
use ndarray::ArrayD;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{params::random::hash, train::backend::StepKey};

/// Which elements of a dropout's tensor stay, without end, in the order n, c, h, w: each with
/// probability `1 - probability`.
///
/// It depends on the key and the node's name alone, so that every backend drops the same elements.
/// What stays is multiplied by [`dropout_scale`].
pub fn dropout_mask(key: StepKey, node: &str, probability: f64) -> impl Iterator<Item = bool> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&key.seed.to_le_bytes());
    seed[8..16].copy_from_slice(&hash(node).to_le_bytes());
    seed[16..24].copy_from_slice(&key.step.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(seed);
    // Of 2^32 numbers, so many drop: with probability 1 all, with 0 none.
    let dropping = probability * 2_f64.powi(32);
    std::iter::repeat_with(move || f64::from(rng.next_u32()) >= dropping)
}

/// `1 / (1 - probability)`, which keeps the expectation as it was; 0 where everything drops.
#[must_use]
pub fn dropout_scale(probability: f64) -> f64 {
    if probability < 1.0 {
        1.0 / (1.0 - probability)
    } else {
        0.0
    }
}

/// `y = x · scale` where the mask is true, else 0. The gradient is the same of the output's
/// gradient.
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
