//! The mean squared error.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD};

use super::{Loss, Terms, mean_of_each};
use crate::error::Result;

/// The mean squared error: `L = 1/K · Σ (x - t)²` over the `K` values of an output `x` with target
/// `t`; its gradient is `2 (x - t) / K`. With several outputs, their losses are added.
///
/// ```
/// use ndarray::{ArrayD, arr1};
/// use nn_layers::{Loss, Mse};
///
/// let (output, target) = (arr1(&[1.0, 3.0]).into_dyn(), arr1(&[1.0, 1.0]).into_dyn());
/// let mut grads = [ArrayD::zeros(vec![2])];
/// let terms = Mse { targets: &[target.view()] }.eval(&[output.view()], &mut grads)?;
/// assert_eq!(terms.total, 2.0);
/// assert_eq!(grads[0], arr1(&[0.0, 2.0]).into_dyn());
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// # Errors
///
/// [`TrainError::LossInput`](crate::TrainError::LossInput) for targets whose shapes are not those
/// of the outputs, and for empty outputs.
#[derive(Clone, Copy, Debug)]
pub struct Mse<'a, T> {
    /// One tensor per output, of the same shape.
    pub targets: &'a [ArrayViewD<'a, T>],
}

impl<T: Element> Loss<T> for Mse<'_, T> {
    fn eval(&self, outputs: &[ArrayViewD<'_, T>], grads: &mut [ArrayD<T>]) -> Result<Terms> {
        mean_of_each("mse", outputs, self.targets, grads, |x, t| {
            let difference = x - t;
            (difference * difference, 2.0 * difference)
        })
    }
}
