//! Losses whose targets are supplied with each batch.

use conv_core::Element;
use ndarray::{Array2, ArrayD, ArrayViewD};
use serde::{Deserialize, Serialize};

use super::{Classification, CrossEntropy, Loss, SoftClassification, Terms};
use crate::error::Result;

/// What a [`Trainer`](crate::Trainer) minimises: a [`Loss`] whose targets are supplied with each
/// batch.
pub trait Objective<T> {
    /// The targets of a batch.
    type Targets;

    /// Like [`Loss::eval`], with these targets.
    ///
    /// # Errors
    ///
    /// Outputs or targets that the loss does not support.
    fn eval(
        &self,
        targets: &Self::Targets,
        outputs: &[ArrayViewD<'_, T>],
        grads: &mut [ArrayD<T>],
    ) -> Result<Terms>;
}

/// The targets of a batch of pictures.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets<T> {
    /// The class of each picture.
    Labels(Vec<usize>),
    /// The probability of each class, `[N, C]`.
    Soft(Array2<T>),
}

/// [`Classification`], or [`SoftClassification`] for soft targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassificationObjective {
    /// Smoothing and class weights.
    pub cross_entropy: CrossEntropy,
    /// The factor of the auxiliary heads' losses.
    pub aux_weight: f64,
}

impl<T: Element> Objective<T> for ClassificationObjective {
    type Targets = Targets<T>;

    fn eval(
        &self,
        targets: &Targets<T>,
        outputs: &[ArrayViewD<'_, T>],
        grads: &mut [ArrayD<T>],
    ) -> Result<Terms> {
        let (options, aux_weight) = (&self.cross_entropy, self.aux_weight);
        match targets {
            Targets::Labels(labels) => Classification {
                labels,
                options,
                aux_weight,
            }
            .eval(outputs, grads),
            Targets::Soft(targets) => SoftClassification {
                targets: targets.view(),
                options,
                aux_weight,
            }
            .eval(outputs, grads),
        }
    }
}
