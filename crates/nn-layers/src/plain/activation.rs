//! ReLU, ReLU6, leaky ReLU and the logistic function, elementwise, and their gradients.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD};

/// Returns `max(x, 0)`.
pub(super) fn relu<T: Element>(x: &ArrayViewD<'_, T>) -> ArrayD<T> {
    // Not a leaky ReLU with slope 0, which would turn minus infinity into NaN.
    x.mapv(|x| if x < T::zero() { T::zero() } else { x })
}

/// Returns `min(max(x, 0), 6)`.
pub(super) fn relu6<T: Element>(x: &ArrayViewD<'_, T>) -> ArrayD<T> {
    let six = T::from_f64(6.0);
    x.mapv(|x| match x {
        x if x < T::zero() => T::zero(),
        x if x > six => six,
        x => x,
    })
}

/// Returns `x` where it is at least 0, else `slope * x`.
pub(super) fn leaky_relu<T: Element>(x: &ArrayViewD<'_, T>, slope: T) -> ArrayD<T> {
    // With this comparison, NaN is not less than 0 and stays NaN.
    x.mapv(|x| if x < T::zero() { slope * x } else { x })
}

/// Returns `1 / (1 + exp(-x))`; for a very negative `x` that is `1 / inf`, which correctly is 0.
pub(super) fn sigmoid<T: Element>(x: &ArrayViewD<'_, T>) -> ArrayD<T> {
    x.mapv(|x| T::one() / (T::one() + (-x).exp()))
}

/// Returns `grad` where the output `y` is above 0, else 0: at the kink itself the slope is 0, as in
/// PyTorch.
pub(super) fn relu_grad<T: Element>(mut grad: ArrayD<T>, y: &ArrayD<T>) -> ArrayD<T> {
    // With this comparison, a NaN in the output lets the gradient through, as in PyTorch.
    grad.zip_mut_with(y, |grad, &y| {
        if y <= T::zero() {
            *grad = T::zero();
        }
    });
    grad
}

/// Returns `grad` where the output `y` is above 0 and below 6, else 0: at both kinks the slope is 0,
/// as in PyTorch.
pub(super) fn relu6_grad<T: Element>(mut grad: ArrayD<T>, y: &ArrayD<T>) -> ArrayD<T> {
    let six = T::from_f64(6.0);
    // With these comparisons, a NaN in the output lets the gradient through, as in PyTorch.
    grad.zip_mut_with(y, |grad, &y| {
        if y <= T::zero() || y >= six {
            *grad = T::zero();
        }
    });
    grad
}

/// Returns `grad` where the input is above 0, else `slope * grad`. `signs` is the input or, if the
/// slope is at least 0, the output, which is positive at the same positions.
pub(super) fn leaky_relu_grad<T: Element>(
    mut grad: ArrayD<T>,
    signs: &ArrayD<T>,
    slope: T,
) -> ArrayD<T> {
    grad.zip_mut_with(signs, |grad, &sign| {
        if sign <= T::zero() {
            *grad *= slope;
        }
    });
    grad
}

/// Returns `grad * y * (1 - y)` with the output `y`.
pub(super) fn sigmoid_grad<T: Element>(mut grad: ArrayD<T>, y: &ArrayD<T>) -> ArrayD<T> {
    grad.zip_mut_with(y, |grad, &y| *grad *= y * (T::one() - y));
    grad
}
