//! A per-channel factor and bias, and their gradients.

use conv_core::Element;
use ndarray::{ArrayD, ArrayView1, ArrayViewD, Axis};

use super::channels::sum_channels;

/// Returns `x * weight[c] + bias[c]`.
pub(super) fn eval<T: Element>(
    x: &ArrayViewD<'_, T>,
    weight: &ArrayView1<'_, T>,
    bias: &ArrayView1<'_, T>,
) -> ArrayD<T> {
    let mut y = x.to_owned();
    for ((mut channel, &weight), &bias) in y.axis_iter_mut(Axis(1)).zip(weight).zip(bias) {
        channel.mapv_inplace(|x| x * weight + bias);
    }
    y
}

/// Returns the gradient of the input: `grad * weight[c]`.
pub(super) fn grad_input<T: Element>(mut grad: ArrayD<T>, weight: &ArrayView1<'_, T>) -> ArrayD<T> {
    for (mut channel, &weight) in grad.axis_iter_mut(Axis(1)).zip(weight) {
        channel.mapv_inplace(|grad| grad * weight);
    }
    grad
}

/// Returns the gradient of the weight: `Σ grad * x` over all axes but the channels.
pub(super) fn grad_weight<T: Element>(grad: &ArrayD<T>, x: &ArrayD<T>) -> ArrayD<T> {
    sum_channels(&(grad * x))
}

/// Returns the gradient of the bias: `Σ grad` over all axes but the channels.
pub(super) fn grad_bias<T: Element>(grad: &ArrayD<T>) -> ArrayD<T> {
    sum_channels(grad)
}
