//! Binary cross-entropy, for classes that are not mutually exclusive.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD};

use super::{Loss, Terms, mean_of_each, wide};
use crate::{error::Result, train::error::TrainError};

/// Binary cross-entropy on logits: with `p = 1 / (1 + exp(-x))` for each value `x` of an output,
///
/// ```text
/// L = -1/K · Σ t ln(p) + (1 - t) ln(1 - p) = 1/K · Σ max(x, 0) - x t + ln(1 + exp(-|x|))
/// ```
///
/// over its `K` values; the right-hand side neither overflows nor loses digits. The gradient is
/// `(p - t) / K`. Targets are probabilities from 0 to 1. With several outputs, their losses are
/// added.
///
/// ```
/// use ndarray::{ArrayD, arr1};
/// use nn_layers::{BceWithLogits, Loss};
///
/// let (logits, targets) = (arr1(&[0.0, 800.0]).into_dyn(), arr1(&[1.0, 1.0]).into_dyn());
/// let mut grads = [ArrayD::zeros(vec![2])];
/// let terms = BceWithLogits { targets: &[targets.view()] }.eval(&[logits.view()], &mut grads)?;
/// assert_eq!(terms.total, 2f64.ln() / 2.0);
/// assert_eq!(grads[0], arr1(&[-0.25, 0.0]).into_dyn());
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// # Errors
///
/// [`TrainError::LossInput`] for targets whose shapes are not those of the outputs and for empty
/// outputs, [`TrainError::Target`] for a target that is not a probability.
#[derive(Clone, Copy, Debug)]
pub struct BceWithLogits<'a, T> {
    /// One tensor per output, of the same shape.
    pub targets: &'a [ArrayViewD<'a, T>],
}

/// The name used in messages.
const NAME: &str = "bce_with_logits";

impl<T: Element> Loss<T> for BceWithLogits<'_, T> {
    fn eval(&self, outputs: &[ArrayViewD<'_, T>], grads: &mut [ArrayD<T>]) -> Result<Terms> {
        for target in self.targets {
            check_probabilities(NAME, target.iter().map(|&t| wide(t)))?;
        }
        mean_of_each(NAME, outputs, self.targets, grads, |x, t| {
            let small = (-x.abs()).exp();
            let p = if x >= 0.0 { 1.0 } else { small } / (1.0 + small);
            (x.max(0.0) - x * t + small.ln_1p(), p - t)
        })
    }
}

/// Rejects values outside 0 to 1.
pub(super) fn check_probabilities(
    loss: &'static str,
    mut numbers: impl Iterator<Item = f64>,
) -> Result<()> {
    let wrong = |number: &f64| !(0.0..=1.0).contains(number);
    let found = numbers.by_ref().enumerate().find(|(_, t)| wrong(t));
    match found {
        None => Ok(()),
        Some((index, got)) => Err(TrainError::Target {
            loss,
            index,
            got,
            expected: "a probability from 0 to 1",
        }
        .into()),
    }
}
