//! A factor and a bias for each channel.

use conv_core::Element;
use ndarray::{ArrayD, ArrayView1, ArrayViewD, Axis};

/// `x * weight[c] + bias[c]`.
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
