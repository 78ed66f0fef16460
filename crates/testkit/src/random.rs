//! Random values that depend only on a seed.

use ndarray::{Array, Array4, ArrayD, ArrayView, Dimension, Ix4, IxDyn};

/// Returns an array of values in `[-1, 1)`, the same on every machine for the same shape and seed.
///
/// Each is a multiple of `2^-23` and thus exact in f32: converting loses nothing. Element `i` is
/// hashed from seed and `i`, so no generator state is carried along.
///
/// ```
/// use testkit::random_array;
///
/// let numbers = random_array(&[2, 3], 7);
/// assert_eq!(numbers, random_array(&[2, 3], 7));
/// assert!(numbers.iter().all(|&x| (-1.0..1.0).contains(&x) && f64::from(x as f32) == x));
/// ```
#[must_use]
pub fn random_array(shape: &[usize], seed: u64) -> ArrayD<f64> {
    let mut index = 0_u64;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        index += 1;
        let bits = mix(mix(seed).wrapping_add(index)) >> 40;
        bits as f64 / f64::from(1 << 23) - 1.0
    })
}

/// Returns a batch of three-channel pictures of this size `[h, w]`: noise around a tint per picture
/// and channel, in `[-1, 1)`. `pictures` of `goldens/formula.py` generates the same.
#[must_use]
pub fn pictures(batch: usize, [h, w]: [usize; 2], seed: u64) -> ArrayD<f64> {
    let noise = random_array(&[batch, 3, h, w], seed);
    let tint = random_array(&[batch, 3, 1, 1], seed + 1);
    (noise + tint) / 2.0
}

/// Returns distinct values from `(-1, 1)` in an order that depends on the seed: any two are at
/// least `2 / n` apart, where `n` is their number, and each is at least `1 / (2 n)` away from 0.
///
/// For functions with kinks where two values are equal (a maximum) or one is 0 (ReLU): a step of
/// less than `1 / (2 n)` reaches none.
///
/// ```
/// use testkit::distinct_array;
///
/// let numbers = distinct_array(&[2, 2], 7);
/// let mut sorted: Vec<f64> = numbers.iter().copied().collect();
/// sorted.sort_by(f64::total_cmp);
/// assert_eq!(sorted, [-0.875, -0.375, 0.125, 0.625]);
/// ```
#[must_use]
pub fn distinct_array(shape: &[usize], seed: u64) -> ArrayD<f64> {
    let mut numbers = random_array(shape, seed);
    let len = numbers.len() as f64;
    let mut order: Vec<&mut f64> = numbers.iter_mut().collect();
    order.sort_by(|a, b| a.total_cmp(b));
    for (rank, number) in order.into_iter().enumerate() {
        *number = (rank as f64 + 0.25) * 2.0 / len - 1.0;
    }
    numbers
}

#[expect(clippy::expect_used, reason = "an array of four sizes has four axes")]
pub(crate) fn random4(shape: [usize; 4], seed: u64) -> Array4<f64> {
    random_array(&shape, seed)
        .into_dimensionality::<Ix4>()
        .expect("four axes")
}

#[expect(clippy::expect_used, reason = "an array of four sizes has four axes")]
pub(crate) fn distinct4(shape: [usize; 4], seed: u64) -> Array4<f64> {
    distinct_array(&shape, seed)
        .into_dimensionality::<Ix4>()
        .expect("four axes")
}

/// Converts the array to f32: exact for the values of [`random_array`].
#[must_use]
pub fn to_f32<D: Dimension>(array: ArrayView<'_, f64, D>) -> Array<f32, D> {
    array.mapv(|x| x as f32)
}

/// The output function of `SplitMix64` (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
/// number generators", figure 17) after one step: a bijection that spreads every input bit.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly() {
        let numbers = random_array(&[10_000], 1);
        let mean = numbers.mean().unwrap();
        let variance = numbers.mapv(|x| (x - mean).powi(2)).mean().unwrap();
        // Standard errors are 0.006 for the mean and 0.003 for the variance of 1/3.
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((variance - 1.0 / 3.0).abs() < 0.015, "variance {variance}");
    }

    #[test]
    fn seeds_give_other_numbers() {
        assert_ne!(random_array(&[4], 0), random_array(&[4], 1));
    }

    #[test]
    fn the_first_output_is_the_published_one() {
        // SplitMix64's first output for seed 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }
}
