//! Losses: a single value that training minimises, and its gradient.

mod bce_with_logits;
mod class_weights;
mod classification;
mod cross_entropy;
mod mse;
mod objective;

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD};

pub(crate) use self::classification::largest;
pub use self::{
    bce_with_logits::BceWithLogits,
    class_weights::ClassWeights,
    classification::{Classification, SoftClassification},
    cross_entropy::{ClassTargets, CrossEntropy},
    mse::Mse,
    objective::{ClassificationObjective, Objective, Targets},
};
use crate::{
    error::{Error, Result},
    graph::shape::{Shape, join},
    train::error::TrainError,
};

/// A loss of a network's outputs.
pub trait Loss<T> {
    /// Computes the loss of a batch, and its gradient.
    ///
    /// `outputs` has one tensor per output of the graph, in its order. `grads` has to contain zeros
    /// of the same shapes; it is set to `d total / d output`.
    ///
    /// # Errors
    ///
    /// Outputs that the loss does not support.
    fn eval(&self, outputs: &[ArrayViewD<'_, T>], grads: &mut [ArrayD<T>]) -> Result<Terms>;
}

/// The values that a loss reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// The loss itself.
    pub total: f64,
    /// Further values of interest, such as `("correct", 17.0)`.
    pub parts: Vec<(String, f64)>,
}

/// Computes the mean over all values of all outputs of `term(output, target)`, which returns a
/// value's loss and its slope. Each output has the same weight, whatever its size.
fn mean_of_each<T: Element>(
    loss: &'static str,
    outputs: &[ArrayViewD<'_, T>],
    targets: &[ArrayViewD<'_, T>],
    grads: &mut [ArrayD<T>],
    term: impl Fn(f64, f64) -> (f64, f64),
) -> Result<Terms> {
    if targets.len() != outputs.len() || grads.len() != outputs.len() {
        return Err(TrainError::LossInput {
            loss,
            what: "the number of targets is",
            got: targets.len().to_string(),
            expected: format!("{}, one for each output", outputs.len()),
        }
        .into());
    }
    let mut total = 0.0;
    for ((output, target), grad) in outputs.iter().zip(targets).zip(grads) {
        if output.shape() != target.shape() {
            return Err(TrainError::LossInput {
                loss,
                what: "the target has shape",
                got: join(target.shape()),
                expected: format!("{}, the output's", join(output.shape())),
            }
            .into());
        }
        if output.is_empty() {
            return Err(empty(loss, output.shape()));
        }
        let count = output.len() as f64;
        let mut sum = 0.0;
        for ((&x, &t), grad) in output.iter().zip(target).zip(grad.iter_mut()) {
            let (number, slope) = term(wide(x), wide(t));
            sum += number;
            *grad = T::from_f64(slope / count);
        }
        total += sum / count;
    }
    Ok(Terms {
        total,
        parts: Vec::new(),
    })
}

/// Returns the error for an empty batch, which has no mean.
fn empty(loss: &'static str, shape: &[usize]) -> Error {
    Error::Train(TrainError::LossInput {
        loss,
        what: "the output has shape",
        got: Shape::from(shape).to_string(),
        expected: "at least one value".to_owned(),
    })
}

/// Converts a value to f64, which is exact.
fn wide<T: Element>(number: T) -> f64 {
    number.to_f64().unwrap_or(f64::NAN)
}
