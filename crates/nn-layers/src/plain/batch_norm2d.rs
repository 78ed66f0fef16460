//! Batch normalisation with given statistics, a batch's statistics, and the gradients.

use conv_core::Element;
use ndarray::{Array1, ArrayD, ArrayView1, ArrayViewD, Axis, Zip};

use super::channels::sum;
use crate::graph::op::Epsilon;

/// Returns `(x - mean[c]) * factor[c] + bias[c]`, where the factor is the weight over the
/// deviation.
pub(super) fn eval<T: Element>(
    x: &ArrayViewD<'_, T>,
    weight: &ArrayView1<'_, T>,
    bias: &ArrayView1<'_, T>,
    mean: &ArrayView1<'_, T>,
    var: &ArrayView1<'_, T>,
    epsilon: Epsilon,
) -> ArrayD<T> {
    let channels = weight.iter().zip(bias).zip(mean.iter().zip(var));
    let mut y = x.to_owned();
    for (mut channel, ((&weight, &bias), (&mean, &var))) in y.axis_iter_mut(Axis(1)).zip(channels) {
        let factor = weight / deviation(var, epsilon);
        channel.mapv_inplace(|x| (x - mean) * factor + bias);
    }
    y
}

/// Returns the divisor of a normalisation.
fn deviation<T: Element>(var: T, epsilon: Epsilon) -> T {
    match epsilon {
        Epsilon::Inside(epsilon) => (var + T::from_f64(epsilon)).sqrt(),
        Epsilon::Outside(epsilon) => var.sqrt() + T::from_f64(epsilon),
    }
}

/// A batch's statistics, each `[C]`.
pub(super) struct Statistics<T> {
    /// `Σ x / m` over the `m` values of a channel.
    pub(super) mean: Array1<T>,
    /// `Σ (x - mean)² / m`: the biased variance, which the normalisation uses.
    pub(super) var: Array1<T>,
    /// `m`, at least 2.
    pub(super) count: usize,
}

impl<T: Element> Statistics<T> {
    /// Computes the statistics of `x`.
    pub(super) fn new(x: &ArrayViewD<'_, T>) -> Self {
        let channels = x.len_of(Axis(1));
        let count = x.len() / channels.max(1);
        let mean = |channel: ArrayViewD<'_, T>| sum(&channel, |x| x) / count as f64;
        let mean: Array1<T> = x.axis_iter(Axis(1)).map(|x| T::from_f64(mean(x))).collect();
        let var = x.axis_iter(Axis(1)).zip(&mean).map(|(channel, &mean)| {
            let squares = sum(&channel, |x| (x - mean) * (x - mean));
            T::from_f64(squares / count as f64)
        });
        let var = var.collect();
        Self { mean, var, count }
    }

    /// Updates the running statistics: `running = (1 - momentum) · running + momentum · batch`,
    /// with the batch's unbiased variance, `m / (m - 1)` times the biased one.
    pub(super) fn track(&self, mean: &mut ArrayD<T>, var: &mut ArrayD<T>, momentum: f64) {
        let unbiased = self.count as f64 / (self.count as f64 - 1.0);
        let (old, new) = (T::from_f64(1.0 - momentum), T::from_f64(momentum));
        let unbiased = T::from_f64(unbiased);
        for (running, &batch) in mean.iter_mut().zip(&self.mean) {
            *running = old * *running + new * batch;
        }
        for (running, &batch) in var.iter_mut().zip(&self.var) {
            *running = old * *running + new * (batch * unbiased);
        }
    }
}

/// The gradients of a normalisation with its batch's statistics.
pub(super) struct Gradients<T> {
    /// The gradient of the input.
    pub(super) input: ArrayD<T>,
    /// `Σ grad * x̂` per channel, with the normalised input `x̂`.
    pub(super) weight: Array1<T>,
    /// `Σ grad` per channel.
    pub(super) bias: Array1<T>,
}

/// Computes the gradients in training, where mean and deviation also depend on the input.
///
/// With `x̂ = (x - mean) / d` and the means over the `m` values of a channel,
///
/// ```text
/// d x = weight / d · (grad - mean(grad) - x̂ · k · mean(grad · x̂))
/// d = sqrt(var + ε),  k = 1              Epsilon::Inside
/// d = sqrt(var) + ε,  k = d / sqrt(var)  Epsilon::Outside
/// ```
///
/// Reference: Ioffe and Szegedy, "Batch Normalization", 2015, section 3, for ε inside the root.
pub(super) fn grad_training<T: Element>(
    grad: ArrayD<T>,
    x: &ArrayD<T>,
    weight: &ArrayView1<'_, T>,
    statistics: &Statistics<T>,
    epsilon: Epsilon,
) -> Gradients<T> {
    let count = T::from_f64(statistics.count as f64);
    let mut gradients = Gradients {
        input: grad,
        weight: Array1::zeros(weight.len()),
        bias: Array1::zeros(weight.len()),
    };
    for (c, mut channel) in gradients.input.axis_iter_mut(Axis(1)).enumerate() {
        let (mean, var) = (statistics.mean[c], statistics.var[c]);
        let deviation = deviation(var, epsilon);
        let x = x.index_axis(Axis(1), c);
        let normalised = |x: T| (x - mean) / deviation;

        let bias = T::from_f64(sum(&channel.view(), |grad| grad));
        let products = &channel * &x.mapv(normalised);
        let weight_grad = T::from_f64(sum(&products.view(), |product| product));
        let slope = match epsilon {
            Epsilon::Inside(_) => T::one(),
            // All values are equal: x̂ is 0 everywhere, and so is k's factor.
            Epsilon::Outside(_) if var == T::zero() => T::zero(),
            Epsilon::Outside(_) => deviation / var.sqrt(),
        };
        let factor = weight[c] / deviation;
        let (mean_grad, mean_product) = (bias / count, slope * weight_grad / count);
        Zip::from(&mut channel).and(&x).for_each(|grad, &x| {
            *grad = factor * (*grad - mean_grad - normalised(x) * mean_product);
        });
        gradients.weight[c] = weight_grad;
        gradients.bias[c] = bias;
    }
    gradients
}

/// Returns the gradient of the input with stored statistics, which do not depend on it:
/// `grad * weight[c] / d`.
pub(super) fn grad_input_evaluation<T: Element>(
    mut grad: ArrayD<T>,
    weight: &ArrayView1<'_, T>,
    var: &ArrayView1<'_, T>,
    epsilon: Epsilon,
) -> ArrayD<T> {
    let channels = weight.iter().zip(var);
    for (mut channel, (&weight, &var)) in grad.axis_iter_mut(Axis(1)).zip(channels) {
        let factor = weight / deviation(var, epsilon);
        channel.mapv_inplace(|grad| grad * factor);
    }
    grad
}
