//! Metrics of classifiers.

use conv_core::Element;
use ndarray::{ArrayView, ArrayView2, Dimension, Ix2};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    graph::shape::Shape,
    train::{error::TrainError, loss::largest, optimiser::first_non_finite},
};

/// The number of rows of the logits `[N, C]` whose label is among the `k` classes with the largest
/// logits. Among equal logits, that of the lower class index counts as larger.
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
/// [`TrainError::LossInput`] for logits of another rank and for a number of labels that is not the
/// number of rows, [`TrainError::Label`] for a label that is not a class, [`TrainError::NonFinite`]
/// for logits that are NaN or infinite, which have no meaningful order.
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

/// The share of the rows of the logits `[N, C]` whose largest logit is that of their label. If
/// several logits are the largest, the first counts.
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
/// Those of [`top_k_correct`], and [`TrainError::LossInput`] if there are no rows.
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

/// The number of pictures of each true class that were assigned to each class.
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
    /// [`TrainError::Label`] if `label` or `predicted` is not a class.
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

    /// Counts one picture for each row of the logits `[N, C]`, as assigned to the class of its
    /// largest logit, the first of several.
    ///
    /// # Errors
    ///
    /// [`TrainError::LossInput`] for logits of another rank, or if the numbers of rows and labels,
    /// or of columns and classes, differ; [`TrainError::Label`] for a label that is not a class;
    /// [`TrainError::NonFinite`] for logits that are NaN or infinite. Nothing is counted then.
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

    /// The counts, with a row for each true class and a column for each assigned class.
    #[must_use]
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.rows
    }

    /// The number of pictures counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.rows.iter().flatten().sum()
    }

    /// The share of pictures that were assigned to their true class; `None` if no pictures were
    /// counted.
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

/// A weighted mean, such as that of the losses of batches of different sizes.
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
    /// Adds a value with this weight.
    pub fn add(&mut self, number: f64, weight: f64) {
        self.sum += number * weight;
        self.weight += weight;
    }

    /// The mean; `None` if the sum of the weights is 0.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.weight != 0.0).then(|| self.sum / self.weight)
    }
}

/// The logits as a matrix, whatever the type of their dimension.
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

/// Checks that there is a valid label for each row of logits, and that all logits are finite.
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
