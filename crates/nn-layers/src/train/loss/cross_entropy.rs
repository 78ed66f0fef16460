//! Cross-entropy, for mutually exclusive classes.

use conv_core::Element;
use ndarray::{ArrayD, ArrayView2, ArrayViewD};
use serde::{Deserialize, Serialize};

use super::{ClassWeights, bce_with_logits::check_probabilities, empty, wide};
use crate::{
    error::{Error, Result},
    graph::shape::join,
    train::{error::TrainError, option::from_0_to_1},
};

/// The options of a cross-entropy on logits.
///
/// For logits `x` of shape `[N, C]`, with `p` the softmax of a row, targets `t` of the same shape
/// (0 and 1 for labels), smoothing `ε` and weights `w` (1 if not given):
///
/// ```text
/// q[n, c] = w[c] · ((1 - ε) · t[n, c] + ε / C)
/// L       = 1/D · Σ -q[n, c] · ln p[n, c]          D = Σ w[label[n]], or N for soft targets
/// dL/dx[n, c] = 1/D · (p[n, c] · Σ q[n, ·] - q[n, c])
/// ```
///
/// Thus the mean over labels is weighted and the mean over soft targets is not, as in PyTorch.
/// Everything is computed in f64 and rounded once.
///
/// Smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015,
/// section 7.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrossEntropy {
    /// `ε`, the share of a target that is spread over all classes, from 0 to 1.
    pub label_smoothing: f64,
    /// `w`, one non-negative value per class.
    pub class_weights: Option<ClassWeights>,
}

/// The targets of a batch.
#[derive(Clone, Copy, Debug)]
pub enum ClassTargets<'a, T> {
    /// The class of each picture, `[N]`.
    Labels(&'a [usize]),
    /// The probability of each class, `[N, C]`, for example for mixed pictures (Zhang et al.,
    /// "mixup: Beyond Empirical Risk Minimization", 2017, section 2).
    Soft(ArrayView2<'a, T>),
}

/// The name used in messages.
const NAME: &str = "cross_entropy";

impl CrossEntropy {
    /// Returns the loss of `logits`, `[N, C]`, and writes `factor` times its gradient into `grad`.
    ///
    /// ```
    /// use ndarray::{ArrayD, arr2};
    /// use nn_layers::{ClassTargets, CrossEntropy};
    ///
    /// // Four classes with equal logits: each has probability 1/4.
    /// let logits = arr2(&[[1.0; 4], [3.0; 4]]).into_dyn();
    /// let mut grad = ArrayD::<f64>::zeros(vec![2, 4]);
    /// let targets = ClassTargets::Labels(&[0, 3]);
    /// let loss = CrossEntropy::default().eval(logits.view(), targets, 1.0, &mut grad)?;
    /// assert_eq!(loss, 4f64.ln());
    /// assert_eq!(grad, arr2(&[[-0.375, 0.125, 0.125, 0.125], [0.125, 0.125, 0.125, -0.375]]).into_dyn());
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrainError::Value`] for options out of range, [`TrainError::LossInput`] for shapes that do
    /// not fit each other, [`TrainError::Label`] and [`TrainError::Target`] for an invalid target.
    pub fn eval<T: Element>(
        &self,
        logits: ArrayViewD<'_, T>,
        targets: ClassTargets<'_, T>,
        factor: f64,
        grad: &mut ArrayD<T>,
    ) -> Result<f64> {
        let &[pictures, classes] = logits.shape() else {
            return Err(wrong("the logits have shape", logits.shape(), "[N, C]"));
        };
        if logits.is_empty() {
            return Err(empty(NAME, logits.shape()));
        }
        if grad.shape() != logits.shape() {
            let expected = join(logits.shape());
            return Err(wrong("the gradient has shape", grad.shape(), &expected));
        }
        self.check(classes)?;
        check_targets(targets, pictures, classes)?;

        let weight = |class: usize| match &self.class_weights {
            Some(weights) => weights.values()[class],
            None => 1.0,
        };
        let divisor = match targets {
            ClassTargets::Labels(labels) => labels.iter().map(|&label| weight(label)).sum(),
            ClassTargets::Soft(_) => pictures as f64,
        };
        if divisor == 0.0 {
            return Err(TrainError::Value {
                what: "the sum of the class weights of a batch's labels",
                got: 0.0,
                expected: "a number above 0",
            }
            .into());
        }

        let spread = self.label_smoothing / classes as f64;
        let (mut p, mut q) = (vec![0.0; classes], vec![0.0; classes]);
        let mut sum = 0.0;
        let rows = logits.outer_iter().zip(grad.outer_iter_mut());
        for (row, (logits, mut grad)) in rows.enumerate() {
            for (class, q) in q.iter_mut().enumerate() {
                let target = match targets {
                    ClassTargets::Labels(labels) => f64::from(labels[row] == class),
                    ClassTargets::Soft(targets) => wide(targets[[row, class]]),
                };
                *q = weight(class) * ((1.0 - self.label_smoothing) * target + spread);
            }
            let (largest, log_sum) = softmax(logits.iter().map(|&x| wide(x)), &mut p);
            for (&x, &q) in logits.iter().zip(&q) {
                // A class with logit -∞ costs nothing if its target is 0.
                if q != 0.0 {
                    sum += q * (log_sum - (wide(x) - largest));
                }
            }
            let all: f64 = q.iter().sum();
            for ((grad, p), q) in grad.iter_mut().zip(&p).zip(&q) {
                *grad = T::from_f64(factor * (p * all - q) / divisor);
            }
        }
        Ok(sum / divisor)
    }

    /// Checks the options for `classes` classes.
    fn check(&self, classes: usize) -> Result<()> {
        from_0_to_1("label_smoothing", self.label_smoothing)?;
        let Some(weights) = &self.class_weights else {
            return Ok(());
        };
        let got = weights.values().len();
        if got != classes {
            return Err(TrainError::LossInput {
                loss: NAME,
                what: "the number of class weights is",
                got: got.to_string(),
                expected: format!("{classes}, one per class"),
            }
            .into());
        }
        weights.check()
    }
}

/// Writes the softmax of `x`, and returns `m`, the largest of `x`, and `ln Σ exp(x - m)`.
fn softmax(x: impl Iterator<Item = f64> + Clone, p: &mut [f64]) -> (f64, f64) {
    let largest = x.clone().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for (p, x) in p.iter_mut().zip(x) {
        *p = (x - largest).exp();
        sum += *p;
    }
    for p in p.iter_mut() {
        *p /= sum;
    }
    (largest, sum.ln())
}

fn check_targets<T: Element>(
    targets: ClassTargets<'_, T>,
    pictures: usize,
    classes: usize,
) -> Result<()> {
    match targets {
        ClassTargets::Labels(labels) if labels.len() != pictures => Err(wrong(
            "the labels have shape",
            &[labels.len()],
            &format!("{pictures}, one per picture"),
        )),
        ClassTargets::Labels(labels) => match labels.iter().position(|&label| label >= classes) {
            None => Ok(()),
            Some(index) => Err(TrainError::Label {
                index,
                got: labels[index],
                classes,
            }
            .into()),
        },
        ClassTargets::Soft(targets) if targets.dim() != (pictures, classes) => Err(wrong(
            "the targets have shape",
            targets.shape(),
            &format!("{}, the logits'", join(&[pictures, classes])),
        )),
        ClassTargets::Soft(targets) => check_probabilities(NAME, targets.iter().map(|&t| wide(t))),
    }
}

fn wrong(what: &'static str, got: &[usize], expected: &str) -> Error {
    Error::Train(TrainError::LossInput {
        loss: NAME,
        what,
        got: join(got),
        expected: expected.to_owned(),
    })
}
