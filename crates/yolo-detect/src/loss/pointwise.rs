//! The error of a single number, and its slope.

/// The error of one of the network's numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pointwise {
    pub(super) value: f64,
    /// The derivative by that number.
    pub(super) slope: f64,
}

/// `1/2 (x - t)^2`; the slope is `x - t`.
pub(super) fn half_square(x: f64, t: f64) -> Pointwise {
    Pointwise {
        value: (x - t) * (x - t) / 2.0,
        slope: x - t,
    }
}
