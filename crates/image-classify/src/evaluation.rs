//! Evaluation of a classifier on a dataset.

use std::sync::Arc;

use image_data::{Batch, Dataset, Loader, LoaderOptions, Order, Preprocessing};
use ndarray::{ArrayView1, ArrayView2, ArrayViewD};
use nn_layers::{
    ClassTargets, ConfusionMatrix, CrossEntropy, Infer, Outputs, RunningMean, top_k_correct,
};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::probabilities::{check_finite, rows};

/// How a classifier did on a dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The number of pictures.
    pub pictures: u64,
    /// The fraction of pictures whose most probable class is the true one.
    pub top1: f64,
    /// The fraction whose true class is among the five most probable; `None` for five classes or
    /// fewer, for which it would always be 1.
    pub top5: Option<f64>,
    /// The mean cross-entropy.
    pub loss: f64,
    /// One row per true class, one column per predicted class.
    pub confusion: Vec<Vec<u64>>,
    /// The most certain mistakes, the most certain first; not serialised.
    #[serde(skip)]
    pub mistakes: Vec<Prediction>,
    /// One for each picture, in the dataset's order, if the options ask for them; not serialised.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

impl Evaluation {
    /// The balanced accuracy: the mean over the classes of the fraction of the class's pictures whose
    /// most probable class is the true one, `1/C Σ_c confusion[c][c] / Σ_k confusion[c][k]`. Each class
    /// counts the same, however many pictures it has; a class without pictures does not count.
    #[must_use]
    pub fn balanced_accuracy(&self) -> f64 {
        let (mut sum, mut classes) = (0.0, 0);
        for (class, row) in self.confusion.iter().enumerate() {
            let pictures: u64 = row.iter().sum();
            if pictures > 0 {
                sum += row[class] as f64 / pictures as f64;
                classes += 1;
            }
        }
        sum / f64::from(classes.max(1))
    }
}

/// The result for one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The picture's index in the dataset.
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// The most probable class.
    pub predicted: usize,
    /// The probability of the predicted class.
    pub score: f64,
}

/// How a dataset is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationOptions {
    /// The number of pictures that are classified together, from 1 to 65 536. Default 50.
    pub batch_size: usize,
    /// The most mistakes that are kept. Default 24.
    pub mistakes: usize,
    /// Whether the result of each picture is kept. Default `false`.
    pub predictions: bool,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self {
            batch_size: 50,
            mistakes: 24,
            predictions: false,
        }
    }
}

/// Runs a network over all pictures of a dataset whose labels are indices of the network's classes.
/// `progress` is called with the number of pictures of each batch.
///
/// The network is any executor that takes batches of several sizes, since the last may be smaller:
/// [`engine::Sessions`], or [`nn_layers::Plain`], which defines the results; an [`engine::Executor`] is either.
///
/// A dataset with the same classes in another order is a [`Relabelled`](crate::Relabelled) one;
/// [`Classifier::evaluate`](crate::Classifier::evaluate) matches them.
///
/// ```
/// use std::sync::Arc;
///
/// use engine::{Options, Plan, SessionsOptions};
/// use image_classify::{Architecture, EvaluationOptions, evaluate};
/// use image_data::{Dataset, Preprocessing, Shapes};
///
/// let network = Architecture::named("resnet20")?.with_classes(8);
/// let plan = Plan::compile(&network.graph()?, network.init(1)?, &Options::default())?;
/// let shapes: Arc<dyn Dataset> = Arc::new(Shapes::range(0..40, [32, 32])?);
/// let options = EvaluationOptions::default();
/// let mut sessions = plan.sessions(SessionsOptions::default());
/// let evaluation = evaluate(&mut sessions, &shapes, &Preprocessing::cifar(), &options, |_| ())?;
/// assert_eq!((evaluation.pictures, evaluation.confusion.len()), (40, 8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::Picture`] for a picture that cannot be read or has another size than the first, by name;
/// [`Error::NoPictures`]; [`Error::OutputShape`] for a network with another number of classes than the
/// dataset; [`Error::Sample`] around [`Error::OutputNotFinite`]; the network's errors.
pub fn evaluate<E: Infer>(
    network: &mut E,
    dataset: &Arc<dyn Dataset>,
    preprocessing: &Preprocessing,
    options: &EvaluationOptions,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation>
where
    Error: From<E::Error>,
{
    if dataset.is_empty() {
        return Err(Error::NoPictures);
    }
    let classes = dataset.classes().len();
    let loader = LoaderOptions {
        batch_size: options.batch_size,
        order: Order::AsStored,
        workers: rayon::current_num_threads(),
        ..LoaderOptions::default()
    };
    let loader = Loader::new(Arc::clone(dataset), preprocessing.clone(), loader)?;
    let mut outputs = Outputs::new();
    let mut tally: Option<Tally> = None;
    let mut batch = Batch::default();
    let mut batches = loader.epoch(0)?;
    while batches.next_into(&mut batch)? {
        network.run(&[batch.inputs.view().into_dyn()], &mut outputs)?;
        let logits = rows(&outputs, [batch.samples.len(), classes])?;
        for (row, &sample) in logits.outer_iter().zip(&batch.samples) {
            check_finite(row).map_err(|error| Error::Sample {
                name: dataset.name(sample),
                error: Box::new(error),
            })?;
        }
        // Allocated only now that the network is known to have this many classes: the confusion matrix
        // takes their square.
        let tally = tally.get_or_insert_with(|| Tally::new(classes, options));
        tally.add(logits, &batch.samples, &batch.labels)?;
        progress(batch.samples.len());
    }
    tally.and_then(Tally::finish).ok_or(Error::NoPictures)
}

/// The counts over the batches so far.
struct Tally {
    confusion: ConfusionMatrix,
    loss: RunningMean,
    /// The number of pictures whose true class is among the five most probable; `None` for five
    /// classes or fewer.
    top5: Option<usize>,
    mistakes: Vec<Prediction>,
    /// All predictions, if they are kept.
    predictions: Option<Vec<Prediction>>,
    /// The most mistakes that are kept.
    kept: usize,
}

impl Tally {
    fn new(classes: usize, options: &EvaluationOptions) -> Self {
        Self {
            confusion: ConfusionMatrix::new(classes),
            loss: RunningMean::default(),
            top5: (classes > 5).then_some(0),
            mistakes: Vec::new(),
            predictions: options.predictions.then(Vec::new),
            kept: options.mistakes,
        }
    }

    /// Counts a batch of finite logits.
    fn add(
        &mut self,
        rows: ArrayView2<'_, f32>,
        samples: &[usize],
        labels: &[usize],
    ) -> Result<()> {
        self.confusion.add_logits(rows, labels)?;
        if let Some(top5) = &mut self.top5 {
            *top5 += top_k_correct(rows, labels, 5)?;
        }
        let loss = cross_entropy(rows.into_dyn(), labels)?;
        self.loss.add(loss, labels.len() as f64);
        for ((row, &index), &label) in rows.outer_iter().zip(samples).zip(labels) {
            let Some(prediction) = predict(row, index, label) else {
                continue;
            };
            if prediction.predicted != label {
                self.mistakes.push(prediction);
            }
            if let Some(predictions) = &mut self.predictions {
                predictions.push(prediction);
            }
        }
        let by_certainty = |a: &Prediction, b: &Prediction| {
            b.score.total_cmp(&a.score).then(a.index.cmp(&b.index))
        };
        self.mistakes.sort_by(by_certainty);
        self.mistakes.truncate(self.kept);
        Ok(())
    }

    /// Returns the result, unless nothing was counted.
    fn finish(self) -> Option<Evaluation> {
        let pictures = self.confusion.total();
        Some(Evaluation {
            pictures,
            top1: self.confusion.accuracy()?,
            top5: self.top5.map(|correct| correct as f64 / pictures as f64),
            loss: self.loss.mean()?,
            confusion: self.confusion.rows().to_vec(),
            mistakes: self.mistakes,
            predictions: self.predictions.unwrap_or_default(),
        })
    }
}

fn cross_entropy(logits: ArrayViewD<'_, f32>, labels: &[usize]) -> Result<f64> {
    let mut grad = ndarray::ArrayD::zeros(logits.raw_dim());
    let targets = ClassTargets::Labels(labels);
    Ok(CrossEntropy::default().eval(logits, targets, 1.0, &mut grad)?)
}

/// The prediction of a row of logits; `None` without classes.
fn predict(row: ArrayView1<'_, f32>, index: usize, label: usize) -> Option<Prediction> {
    // Of equal logits the first, as in the confusion matrix.
    let logits = row.indexed_iter();
    let (predicted, &most) =
        logits.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    let sum: f64 = row.iter().map(|&x| f64::from(x - most).exp()).sum();
    Some(Prediction {
        index,
        label,
        predicted,
        score: 1.0 / sum,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn the_mistakes_are_those_of_the_confusion_matrix() {
        let mut tally = Tally::new(3, &EvaluationOptions::default());
        let rows = arr2(&[[0.5f32, 0.5, 0.1], [0.1, 0.7, 0.7], [0.0, 0.0, 0.0]]);
        tally.add(rows.view(), &[10, 11, 12], &[0, 2, 1]).unwrap();
        let evaluation = tally.finish().unwrap();
        assert_eq!(evaluation.confusion, [[1, 0, 0], [1, 0, 0], [0, 1, 0]]);
        let mistakes = evaluation.mistakes.iter();
        let mistakes: Vec<_> = mistakes.map(|m| (m.index, m.label, m.predicted)).collect();
        assert_eq!(mistakes, [(11, 2, 1), (12, 1, 0)]);
        assert_eq!(evaluation.top1, 1.0 / 3.0);
        assert_eq!(evaluation.top5, None);
    }

    #[test]
    fn nothing_counted_is_no_evaluation() {
        assert_eq!(Tally::new(3, &EvaluationOptions::default()).finish(), None);
    }

    #[test]
    fn only_the_most_certain_mistakes_are_kept() {
        let options = EvaluationOptions {
            mistakes: 2,
            predictions: true,
            ..EvaluationOptions::default()
        };
        let mut tally = Tally::new(2, &options);
        for (sample, margin) in [(0, 1.0f32), (1, 3.0), (2, 2.0), (3, -1.0)] {
            let row = arr2(&[[margin, 0.0]]);
            tally.add(row.view(), &[sample], &[1]).unwrap();
        }
        let evaluation = tally.finish().unwrap();
        let kept: Vec<usize> = evaluation.mistakes.iter().map(|m| m.index).collect();
        assert_eq!(kept, [1, 2]);
        let score = 1.0 / (1.0 + (-3f64).exp());
        assert!((evaluation.mistakes[0].score - score).abs() < 1e-12);
        // The predictions are complete and in the dataset's order.
        let all = evaluation.predictions.iter();
        let all: Vec<_> = all.map(|p| (p.index, p.label, p.predicted)).collect();
        assert_eq!(all, [(0, 1, 0), (1, 1, 0), (2, 1, 0), (3, 1, 1)]);
    }
}
