//! Softmax over the channels.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, Axis};

/// `exp(x[c] - m) / sum of exp(x[c'] - m)` over axis 1. Subtracting the largest, `m`, changes
/// nothing in the quotient and keeps the exponential from overflowing.
pub(super) fn eval<T: Element>(x: &ArrayViewD<'_, T>) -> ArrayD<T> {
    let mut y = x.to_owned();
    for mut lane in y.lanes_mut(Axis(1)) {
        let largest = lane.iter().copied().fold(T::neg_infinity(), T::max);
        lane.mapv_inplace(|x| (x - largest).exp());
        let sum = lane.sum();
        lane.mapv_inplace(|x| x / sum);
    }
    y
}
