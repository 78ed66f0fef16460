//! Long sums, in parts.

use crate::element::Element;

/// As many sums side by side as make a loop over a row compile to SIMD.
const PARTS: usize = 8;

/// A sum in eight parts: the `k`-th term of what is added at once goes into part `k` modulo 8.
///
/// Which term goes where depends on the sizes alone, so the sum is the same everywhere; and as no
/// part waits for another, the loops compute several terms at a time.
#[derive(Clone, Copy, Default)]
pub(super) struct PartialSums<T>([T; PARTS]);

impl<T: Element> PartialSums<T> {
    /// Adds the products of two rows.
    pub(super) fn add_products(&mut self, a: &[T], b: &[T]) {
        let (a, a_rest) = a.as_chunks::<PARTS>();
        let (b, b_rest) = b.as_chunks::<PARTS>();
        // A copy, so that the sums stay in registers.
        let mut sums = self.0;
        for (a, b) in a.iter().zip(b) {
            for part in 0..PARTS {
                sums[part] += a[part] * b[part];
            }
        }
        self.0 = sums;
        self.add_terms(a_rest.iter().zip(b_rest).map(|(&a, &b)| a * b));
    }

    /// Adds a row's terms.
    pub(super) fn add_terms(&mut self, terms: impl Iterator<Item = T>) {
        for (k, term) in terms.enumerate() {
            self.0[k % PARTS] += term;
        }
    }

    /// The parts' sum.
    pub(super) fn total(self) -> T {
        let mut total = T::zero();
        for part in self.0 {
            total += part;
        }
        total
    }
}
