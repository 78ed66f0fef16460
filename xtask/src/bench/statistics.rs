//! Medians, and the interval of a median by the bootstrap.

use serde::{Deserialize, Serialize};

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    /// The 2.5th percentile of the resampled medians.
    pub(crate) low: f64,
    /// The 97.5th percentile.
    pub(crate) high: f64,
}

/// The number of resamples.
const RESAMPLES: usize = 10_000;

/// The seed of the resampling, so that a record can be recomputed.
const SEED: u64 = 1;

/// The median; NaN if there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    of_sorted(&sorted)
}

fn of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => f64::NAN,
        (1, Some(&value)) => value,
        (_, Some(&value)) => f64::midpoint(sorted[middle - 1], value),
    }
}

/// The median of the values with its interval: the percentile bootstrap, Efron and Tibshirani, "An
/// Introduction to the Bootstrap", 1993, chapter 13.
pub(crate) fn estimate(values: &[f64]) -> Estimate {
    if values.is_empty() {
        return Estimate {
            median: f64::NAN,
            low: f64::NAN,
            high: f64::NAN,
        };
    }
    let mut random = SplitMix(SEED);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let resample: Vec<f64> = values
                .iter()
                .map(|_| values[random.below(values.len())])
                .collect();
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let percentile = |share: f64| medians[(share * (RESAMPLES - 1) as f64).round() as usize];
    Estimate {
        median: median(values),
        low: percentile(0.025),
        high: percentile(0.975),
    }
}

/// `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `bound`, by Lemire's multiplication; the bias is of order `bound / 2^64`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_generator_is_splitmix() {
        // The first numbers of the reference implementation from the seed 0.
        let mut random = SplitMix(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
        assert!((0..1000).all(|_| random.below(7) < 7));
    }

    #[test]
    fn equal_values_have_an_interval_of_one_point() {
        let expected = Estimate {
            median: 1.5,
            low: 1.5,
            high: 1.5,
        };
        assert_eq!(estimate(&[1.5; 9]), expected);
        assert!(estimate(&[]).low.is_nan());
    }

    #[test]
    fn the_interval_of_nine_values_is_that_of_the_binomial_law() {
        // The median of a resample of nine is at most the value of rank r if at least five of its draws
        // are: with probability 0.001 for r = 1 and 0.030 for r = 2. So the 2.5th percentile is the value
        // of rank 2, and by symmetry the 97.5th that of rank 8.
        let values: Vec<f64> = (1..=9).map(f64::from).collect();
        let expected = Estimate {
            median: 5.0,
            low: 2.0,
            high: 8.0,
        };
        assert_eq!(estimate(&values), expected);
        assert_eq!(estimate(&values), estimate(&values));
    }
}
