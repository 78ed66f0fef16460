//! Long sums, split into partial sums.

use crate::element::Element;

/// Enough independent sums for a loop over a row to compile to SIMD.
const PARTS: usize = 8;

/// A sum in eight parts: in each call, the `k`-th term is added to part `k` modulo 8.
///
/// The assignment of terms to parts depends on the sizes alone, so the sum is the same everywhere;
/// and as no part waits for another, the loops compute several terms at a time.
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

    /// Adds the terms of a row.
    pub(super) fn add_terms(&mut self, terms: impl Iterator<Item = T>) {
        for (k, term) in terms.enumerate() {
            self.0[k % PARTS] += term;
        }
    }

    /// Returns the sum of the parts.
    pub(super) fn total(self) -> T {
        let mut total = T::zero();
        for part in self.0 {
            total += part;
        }
        total
    }
}
