//! Sums over all axes but the channels.

use conv_core::Element;
use ndarray::{Array1, ArrayD, ArrayViewD, Axis};

/// Returns the sum of each channel, `[C]`.
pub(super) fn sum_channels<T: Element>(x: &ArrayD<T>) -> ArrayD<T> {
    let sums = x.axis_iter(Axis(1)).map(|channel| sum(&channel, |x| x));
    Array1::from_iter(sums.map(T::from_f64)).into_dyn()
}

/// Sums `term` over a channel's values in the order n, c, h, w, with each term rounded to `T` and
/// the sum in f64: over hundreds of thousands of pixels, f32 would lose digits.
pub(super) fn sum<T: Element>(channel: &ArrayViewD<'_, T>, term: impl Fn(T) -> T) -> f64 {
    // `to_f64` is exact and never `None` for f32 and f64.
    let number = |x: T| x.to_f64().unwrap_or(f64::NAN);
    channel.iter().fold(0.0, |sum, &x| sum + number(term(x)))
}
