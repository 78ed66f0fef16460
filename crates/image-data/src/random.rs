//! Random numbers that depend on a key alone, such as the seed, the epoch and the sample, and not
//! on the numbers drawn before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The purpose of random numbers; each has a separate stream.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// The pictures of [`Shapes`](crate::Shapes): seed, sample, aspect of the sample.
    Shapes = 1,
    /// Changes to a picture: seed, epoch, sample.
    Augmentation = 2,
    /// The share of the next picture in each mixed picture: seed, epoch, batch.
    Mixup = 3,
    /// The order of the samples: seed, epoch.
    Order = 4,
    /// The selection of samples to hold out: seed, class.
    HoldOut = 5,
    /// The parts of a mosaic: seed, epoch, sample.
    Mosaic = 6,
    /// The size of the network's input: seed, epoch, run of batches.
    Scale = 7,
}

/// Returns the stream of one key: `ChaCha8` whose 256-bit key is the purpose and three numbers.
pub(crate) fn keyed(purpose: Purpose, [a, b, c]: [u64; 3]) -> Random {
    let mut key = [0; 32];
    for (bytes, number) in key.chunks_exact_mut(8).zip([purpose as u64, a, b, c]) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    Random(ChaCha8Rng::from_seed(key))
}

/// A stream of random numbers that is the same on every machine and with every version of the
/// random-number crates, because only the generator's bits come from them.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// Returns a number uniform in `0.0..1.0`, with 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a number uniform in `low..high`.
    pub(crate) fn uniform(&mut self, [low, high]: [f64; 2]) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Returns a number uniform in `0..count`, or 0 for a count of 0. The probabilities of two
    /// numbers differ by at most `2^-64`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.0.next_u64()) * count as u128) >> 64) as usize
    }

    /// Shuffles the items (Fisher and Yates; Knuth, "The Art of Computer Programming" 2, algorithm
    /// 3.4.2 P).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Returns the generator, for a distribution.
    pub(crate) fn generator(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }

    /// Returns true with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_every_part_of_the_key() {
        let first = |key| keyed(Purpose::Shapes, key).0.next_u64();
        assert_eq!(first([1, 2, 3]), first([1, 2, 3]));
        let keys = [[1, 2, 3], [2, 2, 3], [1, 3, 3], [1, 2, 4], [2, 1, 3]];
        let numbers: std::collections::HashSet<u64> = keys.into_iter().map(first).collect();
        assert_eq!(numbers.len(), keys.len());
    }

    #[test]
    fn all_orders_are_equally_likely() {
        let mut random = keyed(Purpose::Shapes, [5; 3]);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..12_000 {
            let mut items = [0, 1, 2, 3];
            random.shuffle(&mut items);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        // 500 each, within five standard deviations: 5 * sqrt(500 * 23/24).
        assert!(
            counts.values().all(|count| (391..=609).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn numbers_are_uniform_and_in_range() {
        let mut random = keyed(Purpose::Shapes, [0; 3]);
        let mut counts = [0; 7];
        for _ in 0..7000 {
            counts[random.below(7)] += 1;
        }
        // Five standard deviations of a binomial count: 5 * sqrt(7000 * 1/7 * 6/7) = 146.
        assert!(
            counts.iter().all(|count| (854..=1146).contains(count)),
            "{counts:?}"
        );
        assert_eq!([random.below(0), random.below(1)], [0, 0]);

        let mean = (0..10_000).map(|_| random.uniform([2.0, 4.0])).sum::<f64>() / 1e4;
        // Five standard deviations of the mean: 5 * 2 / sqrt(12 * 10000).
        assert!((mean - 3.0).abs() < 0.029, "{mean}");
        assert!(!random.chance(0.0) && random.chance(1.0));
    }
}
