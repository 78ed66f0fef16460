//! The losses of classifiers, including auxiliary heads.

use conv_core::Element;
use ndarray::{ArrayD, ArrayView1, ArrayView2, ArrayViewD, Ix2};

use super::{ClassTargets, CrossEntropy, Loss, Terms};
use crate::{error::Result, train::error::TrainError};

/// The loss of a classifier whose first output is the logits, `[N, C]`, and whose further outputs,
/// if any, are the logits of auxiliary heads:
///
/// ```text
/// total = cross-entropy(output 0) + aux_weight · Σ cross-entropy(output i)
/// ```
///
/// The weight of GoogLeNet's auxiliary heads is 0.3 (Szegedy et al., "Going Deeper with
/// Convolutions", 2014, section 5), that of Inception-v3's is 0.4 in torchvision's recipe.
///
/// Parts: `correct`, the number of pictures whose largest logit of the first output is that of
/// their class (the first, if several are equal); with auxiliary heads also `main`, the first
/// output's cross-entropy, and `auxiliary`, the sum of the others'.
///
/// ```
/// use ndarray::{ArrayD, arr2};
/// use nn_layers::{Classification, Loss};
///
/// let logits = arr2(&[[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]]).into_dyn();
/// let loss = Classification::new(&[0, 2]);
/// let terms = loss.eval(&[logits.view()], &mut [ArrayD::zeros(vec![2, 3])])?;
/// assert_eq!(terms.parts, [("correct".to_owned(), 1.0)]);
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`CrossEntropy::eval`], and [`TrainError::LossInput`] for a network without an output.
#[derive(Clone, Copy, Debug)]
pub struct Classification<'a> {
    /// The class of each picture.
    pub labels: &'a [usize],
    /// Smoothing and class weights.
    pub options: &'a CrossEntropy,
    /// The factor of the auxiliary heads' losses.
    pub aux_weight: f64,
}

/// Neither smoothing nor class weights.
static PLAIN: CrossEntropy = CrossEntropy {
    label_smoothing: 0.0,
    class_weights: None,
};

impl<'a> Classification<'a> {
    /// The plain cross-entropy against the class of each picture, without auxiliary heads.
    #[must_use]
    pub fn new(labels: &'a [usize]) -> Self {
        Self {
            labels,
            options: &PLAIN,
            aux_weight: 0.0,
        }
    }
}

impl<T: Element> Loss<T> for Classification<'_> {
    fn eval(&self, outputs: &[ArrayViewD<'_, T>], grads: &mut [ArrayD<T>]) -> Result<Terms> {
        let targets = ClassTargets::Labels(self.labels);
        classify(targets, self.options, self.aux_weight, outputs, grads)
    }
}

/// [`Classification`] with class probabilities instead of labels.
///
/// A picture counts as correct if the largest logit belongs to the most probable class.
#[derive(Clone, Copy, Debug)]
pub struct SoftClassification<'a, T> {
    /// The probability of each class, `[N, C]`.
    pub targets: ArrayView2<'a, T>,
    /// Smoothing and class weights.
    pub options: &'a CrossEntropy,
    /// The factor of the auxiliary heads' losses.
    pub aux_weight: f64,
}

impl<T: Element> Loss<T> for SoftClassification<'_, T> {
    fn eval(&self, outputs: &[ArrayViewD<'_, T>], grads: &mut [ArrayD<T>]) -> Result<Terms> {
        let targets = ClassTargets::Soft(self.targets);
        classify(targets, self.options, self.aux_weight, outputs, grads)
    }
}

fn classify<T: Element>(
    targets: ClassTargets<'_, T>,
    options: &CrossEntropy,
    aux_weight: f64,
    outputs: &[ArrayViewD<'_, T>],
    grads: &mut [ArrayD<T>],
) -> Result<Terms> {
    let mut heads = outputs.iter().zip(grads);
    let (logits, grad) = heads.next().ok_or_else(|| TrainError::LossInput {
        loss: "classification",
        what: "the number of outputs is",
        got: "0".to_owned(),
        expected: "at least 1".to_owned(),
    })?;
    let main = options.eval(logits.view(), targets, 1.0, grad)?;
    let mut auxiliary = 0.0;
    for (logits, grad) in heads {
        auxiliary += options.eval(logits.view(), targets, aux_weight, grad)?;
    }
    let mut parts = vec![("correct".to_owned(), correct(logits, targets) as f64)];
    if outputs.len() > 1 {
        parts.push(("main".to_owned(), main));
        parts.push(("auxiliary".to_owned(), auxiliary));
    }
    Ok(Terms {
        total: main + aux_weight * auxiliary,
        parts,
    })
}

/// Counts the rows whose largest logit is at the position of their target.
fn correct<T: Element>(logits: &ArrayViewD<'_, T>, targets: ClassTargets<'_, T>) -> usize {
    // Of rank 2, as the cross-entropy has checked.
    let Ok(logits) = logits.view().into_dimensionality::<Ix2>() else {
        return 0;
    };
    let expected = |row: usize| match targets {
        ClassTargets::Labels(labels) => labels.get(row).copied(),
        ClassTargets::Soft(targets) => largest(targets.row(row)),
    };
    let rows = logits.outer_iter().enumerate();
    rows.filter(|&(row, logits)| largest(logits) == expected(row))
        .count()
}

/// Returns the index of the largest value, the first of equal ones; a NaN is never the largest.
pub(crate) fn largest<T: Element>(row: ArrayView1<'_, T>) -> Option<usize> {
    let mut best: Option<(usize, T)> = None;
    for (index, &x) in row.iter().enumerate() {
        if best.map_or(!x.is_nan(), |(_, largest)| x > largest) {
            best = Some((index, x));
        }
    }
    best.map(|(index, _)| index)
}
