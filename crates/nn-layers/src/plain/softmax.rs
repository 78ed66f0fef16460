//! Softmax over the channels, and its gradient.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, Axis, Zip};

/// Returns `exp(x[c] - m) / sum of exp(x[c'] - m)` over axis 1. Subtracting the largest value, `m`,
/// does not change the quotient and prevents the exponential from overflowing.
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

/// Returns `y[c] * (grad[c] - Σ grad[c'] * y[c'])` with the output `y`.
pub(super) fn grad<T: Element>(mut grad: ArrayD<T>, y: &ArrayD<T>) -> ArrayD<T> {
    Zip::from(grad.lanes_mut(Axis(1)))
        .and(y.lanes(Axis(1)))
        .for_each(|mut grad, y| {
            let products = grad.iter().zip(y).map(|(&grad, &y)| grad * y);
            let mean = products.fold(T::zero(), |sum, product| sum + product);
            grad.zip_mut_with(&y, |grad, &y| *grad = y * (*grad - mean));
        });
    grad
}
