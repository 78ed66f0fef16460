//! What a loss is: one number that training makes small, and its gradient.

use ndarray::{ArrayD, ArrayViewD};

use crate::error::Result;

/// A loss of a network's outputs.
pub trait Loss<T> {
    /// The loss of a batch, and its gradient.
    ///
    /// `outputs` has one tensor for each output of the graph, in its order. `grads` comes in as
    /// zeros of the same shapes, and goes out as `d total / d output`.
    ///
    /// # Errors
    ///
    /// Outputs that the loss is not made for.
    fn eval(&self, outputs: &[ArrayViewD<'_, T>], grads: &mut [ArrayD<T>]) -> Result<Terms>;
}

/// What a loss has to report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// The loss itself.
    pub total: f64,
    /// Whatever else is worth knowing, such as `("correct", 17.0)`.
    pub parts: Vec<(String, f64)>,
}
