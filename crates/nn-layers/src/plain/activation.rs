//! Relu, leaky relu and the logistic function, element by element.

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
