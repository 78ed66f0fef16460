//! Relu, leaky relu and the logistic function, element by element, and their gradients.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD};

/// `max(x, 0)`.
pub(super) fn relu<T: Element>(x: &ArrayViewD<'_, T>) -> ArrayD<T> {
    // Not a leaky one with slope 0: that makes NaN of minus infinity.
    x.mapv(|x| if x < T::zero() { T::zero() } else { x })
}

/// `x` where it is at least 0, else `slope * x`.
pub(super) fn leaky_relu<T: Element>(x: &ArrayViewD<'_, T>, slope: T) -> ArrayD<T> {
    // Asked this way round, NaN is not less than 0 and stays NaN.
    x.mapv(|x| if x < T::zero() { slope * x } else { x })
}

/// `1 / (1 + exp(-x))`; a far negative `x` gives `1 / inf`, which is 0 as it should be.
pub(super) fn sigmoid<T: Element>(x: &ArrayViewD<'_, T>) -> ArrayD<T> {
    x.mapv(|x| T::one() / (T::one() + (-x).exp()))
}

/// `grad` where the output `y` is above 0, else 0: at the kink itself the slope is 0, as in
/// PyTorch.
pub(super) fn relu_grad<T: Element>(mut grad: ArrayD<T>, y: &ArrayD<T>) -> ArrayD<T> {
    // Asked this way round, a NaN in the output lets the gradient through, as in PyTorch.
    grad.zip_mut_with(y, |grad, &y| {
        if y <= T::zero() {
            *grad = T::zero();
        }
    });
    grad
}

/// `grad` where the input is above 0, else `slope * grad`. `signs` is the input, or with a slope of
/// at least 0 the output, which is above 0 in the same places.
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

/// `grad * y * (1 - y)` with the output `y`.
pub(super) fn sigmoid_grad<T: Element>(mut grad: ArrayD<T>, y: &ArrayD<T>) -> ArrayD<T> {
    grad.zip_mut_with(y, |grad, &y| *grad *= y * (T::one() - y));
    grad
}
