//! Batch normalisation with stored statistics.

use conv_core::Element;
use ndarray::{ArrayD, ArrayView1, ArrayViewD, Axis};

use crate::op::Epsilon;

/// `(x - mean[c]) * factor[c] + bias[c]`, where the factor is the weight over the deviation.
pub(super) fn eval<T: Element>(
    x: &ArrayViewD<'_, T>,
    weight: &ArrayView1<'_, T>,
    bias: &ArrayView1<'_, T>,
    mean: &ArrayView1<'_, T>,
    var: &ArrayView1<'_, T>,
    epsilon: Epsilon,
) -> ArrayD<T> {
    let deviation = |var: T| match epsilon {
        Epsilon::Inside(epsilon) => (var + T::from_f64(epsilon)).sqrt(),
        Epsilon::Outside(epsilon) => var.sqrt() + T::from_f64(epsilon),
    };
    let channels = weight.iter().zip(bias).zip(mean.iter().zip(var));
    let mut y = x.to_owned();
    for (mut channel, ((&weight, &bias), (&mean, &var))) in y.axis_iter_mut(Axis(1)).zip(channels) {
        let factor = weight / deviation(var);
        channel.mapv_inplace(|x| (x - mean) * factor + bias);
    }
    y
}
