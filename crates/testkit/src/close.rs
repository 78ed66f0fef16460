//! The comparison of two tensors up to rounding.

use ndarray::{ArrayView, Dimension};

/// Asserts `|got - expected| <= bound(i)` for every element, `i` counting in row-major order.
///
/// NaN equals NaN and nothing else; an infinity equals itself. The message states how many elements
/// differ and, for the worst (by its error relative to its bound), its index and both values.
///
/// ```
/// use ndarray::array;
/// use testkit::assert_close;
///
/// assert_close(array![0.1_f32, 0.2].view(), array![0.1, 0.2].view(), |_| 1e-8);
/// ```
///
/// # Panics
///
/// If an element is farther off, or the shapes differ.
#[track_caller]
#[expect(
    clippy::panic,
    reason = "a difference fails the test that asserts there is none"
)]
pub fn assert_close<T, D>(
    got: ArrayView<'_, T, D>,
    expected: ArrayView<'_, f64, D>,
    bound: impl Fn(usize) -> f64,
) where
    T: Copy + Into<f64>,
    D: Dimension,
{
    if let Err(difference) = compare(got, expected, bound) {
        panic!("{difference}");
    }
}

/// Checks what [`assert_close`] asserts, and returns a result: for tests that expect a difference.
///
/// ```
/// use ndarray::array;
/// use testkit::compare;
///
/// let message = compare(array![1.0_f32, 2.5].view(), array![1.0, 2.0].view(), |_| 0.25);
/// assert_eq!(message.unwrap_err(), "1 of 2 elements differ; worst at [1]: got 2.5, expected 2, bound 2.5e-1");
/// ```
///
/// # Errors
///
/// The message, if an element is farther off than its bound or the shapes differ.
pub fn compare<T, D>(
    got: ArrayView<'_, T, D>,
    expected: ArrayView<'_, f64, D>,
    bound: impl Fn(usize) -> f64,
) -> Result<(), String>
where
    T: Copy + Into<f64>,
    D: Dimension,
{
    if got.shape() != expected.shape() {
        return Err(format!(
            "shape {:?}, expected {:?}",
            got.shape(),
            expected.shape()
        ));
    }
    let mut differing = 0_usize;
    let mut worst = (f64::NEG_INFINITY, 0, 0.0, 0.0);
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let got: f64 = got.into();
        let error = (got - expected).abs();
        // Written so that a NaN on one side, in the error or in the bound, counts as a difference.
        if got == expected || (got.is_nan() && expected.is_nan()) || error <= bound(i) {
            continue;
        }
        differing += 1;
        let ratio = error / bound(i);
        let ratio = if ratio.is_nan() { f64::INFINITY } else { ratio };
        if ratio > worst.0 {
            worst = (ratio, i, got, expected);
        }
    }
    if differing == 0 {
        return Ok(());
    }
    let (_, at, got_there, expected_there) = worst;
    Err(format!(
        "{differing} of {} elements differ; worst at {:?}: got {got_there}, expected \
         {expected_there}, bound {:e}",
        got.len(),
        multi_index(at, got.shape()),
        bound(at),
    ))
}

/// Returns the indices of the row-major element `at`.
pub(crate) fn multi_index(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&len| {
            let index = at % len;
            at /= len;
            index
        })
        .collect();
    indices.reverse();
    indices
}

/// Bounds the error of an f32 sum of `terms` products: `4 * sqrt(K) * eps * sum |x| |w|` with
/// `eps = 2^-23`, where `magnitude` is that sum of absolute products.
///
/// Each of the K additions rounds by at most `eps / 2` of a partial sum, which is itself at most
/// `magnitude`. In the worst case these errors add up to `K`; as they have no common sign, they
/// grow like `sqrt(K)`, which leaves 4 standard deviations and more for the rounding of the
/// products.
#[must_use]
pub fn dot_bound(terms: usize, magnitude: f64) -> f64 {
    4.0 * (terms as f64).sqrt() * f64::from(f32::EPSILON) * magnitude
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_difference_is_told_with_its_place() {
        let got = array![[1.0_f32, 2.0], [3.0, 4.0]];
        let expected = array![[1.0, 2.0], [3.5, 4.125]];
        assert_eq!(
            compare(got.view(), expected.view(), |i| if i == 3 {
                0.0625
            } else {
                0.375
            }),
            Err(
                "2 of 4 elements differ; worst at [1, 1]: got 4, expected 4.125, bound 6.25e-2"
                    .to_owned()
            )
        );
        assert_eq!(compare(got.view(), expected.view(), |_| 0.5), Ok(()));
    }

    #[test]
    fn nan_equals_only_nan() {
        let (number, nan) = (array![1.0], array![f64::NAN]);
        assert!(compare(nan.view(), nan.view(), |_| 0.0).is_ok());
        assert!(compare(nan.view(), number.view(), |_| f64::INFINITY).is_err());
        assert!(compare(number.view(), nan.view(), |_| f64::INFINITY).is_err());
    }

    #[test]
    fn a_bound_of_nan_allows_nothing() {
        assert!(compare(array![1.0].view(), array![2.0].view(), |_| f64::NAN).is_err());
    }

    #[test]
    fn infinity_equals_itself_and_no_number() {
        let infinity = array![f64::INFINITY];
        assert!(compare(infinity.view(), infinity.view(), |_| 0.0).is_ok());
        assert!(compare(infinity.view(), array![f64::MAX].view(), |_| f64::MAX).is_err());
        assert!(compare((-&infinity).view(), infinity.view(), |_| f64::MAX).is_err());
    }

    #[test]
    fn other_shapes_are_different() {
        let message = compare(
            array![[1.0], [2.0]].view(),
            array![[1.0, 2.0]].view(),
            |_| 1.0,
        );
        assert_eq!(message, Err("shape [2, 1], expected [1, 2]".to_owned()));
    }
}
