//! How good a classifier is.

use conv_core::Element;
use ndarray::{ArrayView, ArrayView2, Dimension, Ix2};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    graph::shape::Shape,
    train::{error::TrainError, loss::largest, optimiser::first_non_finite},
};

/// How many rows of the logits `[N, C]` have their label among the `k` classes of the largest
/// logits. Of equal logits the first class's counts as larger.
///
/// ```
/// use ndarray::arr2;
/// use nn_layers::top_k_correct;
///
/// let logits = arr2(&[[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]);
/// assert_eq!(top_k_correct(logits.view(), &[2, 0], 1)?, 1);
/// assert_eq!(top_k_correct(logits.view(), &[2, 0], 2)?, 2);
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// # Errors
///
/// [`TrainError::LossInput`] for logits of another rank and for another number of labels than rows,
/// [`TrainError::Label`] for a label that is no class, [`TrainError::NonFinite`] for logits that are NaN or
/// infinite, which tell no order.
pub fn top_k_correct<T: Element, D: Dimension>(
    logits: ArrayView<'_, T, D>,
    labels: &[usize],
    k: usize,
) -> Result<usize> {
    let logits = rows(logits)?;
    check(logits, labels)?;
    let rows = logits.outer_iter().zip(labels);
    let hits = rows.filter(|(row, label)| {
        let own = row[**label];
        let is_before = |(class, &x): (usize, &T)| match x == own {
            true => class < **label,
            false => x > own,
        };
        row.iter()
            .enumerate()
            .filter(|&other| is_before(other))
            .count()
            < k
    });
    Ok(hits.count())
}

/// The share of the rows of the logits `[N, C]` whose largest logit is their label's (the first of
/// several that are largest).
///
/// ```
/// use ndarray::arr2;
/// use nn_layers::accuracy;
///
/// let logits = arr2(&[[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]);
/// assert_eq!(accuracy(logits.view(), &[1, 2])?, 0.5);
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// # Errors
///
/// As [`top_k_correct`], and [`TrainError::LossInput`] for no rows, of which there is no share.
pub fn accuracy<T: Element, D: Dimension>(
    logits: ArrayView<'_, T, D>,
    labels: &[usize],
) -> Result<f64> {
    let correct = top_k_correct(logits, labels, 1)?;
    match labels.len() {
        0 => Err(TrainError::LossInput {
            loss: "metrics",
            what: "the number of labels is",
            got: "0".to_owned(),
            expected: "at least 1".to_owned(),
        }
        .into()),
        rows => Ok(correct as f64 / rows as f64),
    }
}

/// How often pictures of each class were taken for each class.
///
/// ```
/// use ndarray::arr2;
/// use nn_layers::ConfusionMatrix;
///
/// let mut confusion = ConfusionMatrix::new(2);
/// let logits = arr2(&[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]);
/// confusion.add_logits(logits.view(), &[0, 1, 1])?;
/// assert_eq!(confusion.rows(), [[1, 0], [1, 1]]);
/// assert_eq!(confusion.accuracy(), Some(2.0 / 3.0));
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfusionMatrix {
    rows: Vec<Vec<u64>>,
}

impl ConfusionMatrix {
    /// An empty matrix for `classes` classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            rows: vec![vec![0; classes]; classes],
        }
    }

    /// Counts one picture.
    ///
    /// # Errors
    ///
    /// [`TrainError::Label`] where either is no class.
    pub fn add(&mut self, label: usize, predicted: usize) -> Result<()> {
        let classes = self.rows.len();
        for (index, got) in [label, predicted].into_iter().enumerate() {
            if got >= classes {
                return Err(TrainError::Label {
                    index,
                    got,
                    classes,
                }
                .into());
            }
        }
        self.rows[label][predicted] += 1;
        Ok(())
    }

    /// Counts a picture for each row of the logits `[N, C]`, by its largest logit (the first of
    /// several).
    ///
    /// # Errors
    ///
    /// [`TrainError::LossInput`] for another rank, and where rows and labels, or columns and classes, are
    /// not as many; [`TrainError::Label`] for a label that is no class; [`TrainError::NonFinite`] for logits
    /// that are NaN or infinite. Nothing is counted then.
    pub fn add_logits<T: Element, D: Dimension>(
        &mut self,
        logits: ArrayView<'_, T, D>,
        labels: &[usize],
    ) -> Result<()> {
        let logits = rows(logits)?;
        let (_, classes) = logits.dim();
        if classes != self.rows.len() {
            return Err(mismatch(
                "the number of classes is",
                classes,
                self.rows.len(),
            ));
        }
        check(logits, labels)?;
        for (row, &label) in logits.outer_iter().zip(labels) {
            let predicted = largest(row).ok_or_else(|| Error::Internal {
                what: "a row of finite logits has no largest".to_owned(),
            })?;
            self.add(label, predicted)?;
        }
        Ok(())
    }

    /// The counts: a row for each true class, a column for each predicted one.
    #[must_use]
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.rows
    }

    /// How many pictures were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.rows.iter().flatten().sum()
    }

    /// The share of pictures that were taken for what they are; `None` where there were none.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let rows = self.rows.iter().enumerate();
        let correct: u64 = rows.map(|(class, row)| row[class]).sum();
        match self.total() {
            0 => None,
            total => Some(correct as f64 / total as f64),
        }
    }
}

/// A mean of numbers with weights, such as the losses of batches of several sizes.
///
/// ```
/// use nn_layers::RunningMean;
///
/// let mut loss = RunningMean::default();
/// loss.add(2.0, 128.0);
/// loss.add(1.0, 64.0);
/// assert_eq!(loss.mean(), Some((2.0 * 128.0 + 64.0) / 192.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningMean {
    sum: f64,
    weight: f64,
}

impl RunningMean {
    /// Adds a number with this weight.
    pub fn add(&mut self, number: f64, weight: f64) {
        self.sum += number * weight;
        self.weight += weight;
    }

    /// The mean; `None` where nothing with a weight was added.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.weight != 0.0).then(|| self.sum / self.weight)
    }
}

/// The logits of any type of rank, by rows.
fn rows<T, D: Dimension>(logits: ArrayView<'_, T, D>) -> Result<ArrayView2<'_, T>> {
    let shape = Shape::from(logits.shape());
    let rows = logits.into_dimensionality::<Ix2>();
    Ok(rows.map_err(|_| TrainError::LossInput {
        loss: "metrics",
        what: "the logits have shape",
        got: shape.to_string(),
        expected: "[N, C]".to_owned(),
    })?)
}

/// Checks that there is a label for each row of logits, and an order in each row.
fn check<T: Element>(logits: ArrayView2<'_, T>, labels: &[usize]) -> Result<()> {
    let (rows, classes) = logits.dim();
    if labels.len() != rows {
        return Err(mismatch("the number of labels is", labels.len(), rows));
    }
    if let Some(index) = labels.iter().position(|&label| label >= classes) {
        return Err(TrainError::Label {
            index,
            got: labels[index],
            classes,
        }
        .into());
    }
    match first_non_finite(logits) {
        None => Ok(()),
        Some((index, got)) => Err(TrainError::NonFinite {
            tensor: "the tensor of logits".to_owned(),
            index,
            got,
            node: None,
        }
        .into()),
    }
}

fn mismatch(what: &'static str, got: usize, expected: usize) -> Error {
    Error::Train(TrainError::LossInput {
        loss: "metrics",
        what,
        got: got.to_string(),
        expected: expected.to_string(),
    })
}
