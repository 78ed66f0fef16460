//! Evaluation of a classifier on a dataset.

use std::sync::Arc;

use engine::{Options, Plan, Session};
use image_data::{Batch, Dataset, Loader, LoaderOptions, Order, Preprocessing};
use ndarray::{ArrayView2, ArrayViewD, Ix2};
use nn_layers::{
    ClassTargets, ConfusionMatrix, CrossEntropy, Graph, Infer, Outputs, Params, RunningMean, Shape,
    top_k_correct,
};
use serde::Serialize;

use crate::architectures::Reason;

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Evaluation {
    pub(crate) pictures: u64,
    /// The fraction of pictures whose most probable class is the true one.
    pub(crate) top1: f64,
    /// The fraction whose true class is among the five most probable; `None` for five classes or
    /// fewer, for which it would always be 1.
    pub(crate) top5: Option<f64>,
    /// The mean cross-entropy.
    pub(crate) loss: f64,
    /// One row per true class, one column per predicted class.
    pub(crate) confusion: Vec<Vec<u64>>,
    /// The most certain mistakes, the most certain first.
    #[serde(skip)]
    pub(crate) mistakes: Vec<Mistake>,
}

/// A picture whose most probable class is not the true one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) index: usize,
    pub(crate) label: usize,
    pub(crate) predicted: usize,
    /// The probability of the predicted class.
    pub(crate) score: f64,
}

/// The reasons why an evaluation fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("there are no pictures")]
    NoPictures,
    #[error("the network has no output")]
    NoOutput,
    #[error("the network has {got} classes, the data has {expected}")]
    Classes { got: usize, expected: usize },
    #[error("{picture}: the network's output is not finite (class {class}: {got})")]
    NotFinite {
        picture: String,
        class: usize,
        got: f32,
    },
}

/// The most mistakes that are kept.
const MISTAKES: usize = 24;

/// The pictures per batch.
const BATCH: usize = 50;

/// Runs a network over all pictures of a dataset whose labels are indices of the network's classes.
/// `progress` is called with the number of pictures of each batch.
///
/// # Errors
///
/// A picture that cannot be read or has another size than the first, by name; an output that is not
/// finite; the network's errors.
pub(crate) fn evaluate(
    graph: &Graph,
    params: Params<f32>,
    dataset: &Arc<dyn Dataset>,
    preprocessing: &Preprocessing,
    options: &Options,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation, Reason> {
    let classes = dataset.classes().len();
    let plan = Plan::compile(graph, params, options)?;
    let loader = LoaderOptions {
        batch_size: BATCH,
        order: Order::AsStored,
        workers: rayon::current_num_threads(),
        ..LoaderOptions::default()
    };
    let loader = Loader::new(Arc::clone(dataset), preprocessing.clone(), loader)?;
    let mut session: Option<Session> = None;
    let mut outputs = Outputs::new();
    let mut tally: Option<Tally> = None;
    for batch in loader.epoch(0)? {
        let Batch {
            inputs,
            labels,
            samples,
            ..
        } = batch?;
        let shape = Shape::from(inputs.shape().to_vec());
        let fits = |session: &Session| session.input_shapes() == std::slice::from_ref(&shape);
        let session = match session.take().filter(fits) {
            Some(fitting) => session.insert(fitting),
            None => session.insert(plan.session(std::slice::from_ref(&shape))?),
        };
        session.run(&[inputs.view().into_dyn()], &mut outputs)?;
        let logits = outputs.tensors.first().ok_or(Fault::NoOutput)?;
        let rows = logits.view().into_dimensionality::<Ix2>()?;
        let got = rows.ncols();
        if got != classes {
            let expected = classes;
            return Err(Fault::Classes { got, expected }.into());
        }
        check_finite(rows, &samples, dataset)?;
        // Allocated only now that the network is known to have this many classes: the confusion matrix
        // takes their square.
        let tally = tally.get_or_insert_with(|| Tally::new(classes));
        tally.add(rows, &samples, &labels)?;
        progress(samples.len());
    }
    let evaluation = tally.and_then(Tally::finish);
    Ok(evaluation.ok_or(Fault::NoPictures)?)
}

/// Refuses an output that is not finite, naming the picture.
fn check_finite(
    rows: ArrayView2<'_, f32>,
    samples: &[usize],
    dataset: &Arc<dyn Dataset>,
) -> Result<(), Fault> {
    for (row, &sample) in rows.outer_iter().zip(samples) {
        if let Some((class, &got)) = row.indexed_iter().find(|(_, logit)| !logit.is_finite()) {
            let picture = dataset.name(sample);
            return Err(Fault::NotFinite {
                picture,
                class,
                got,
            });
        }
    }
    Ok(())
}

/// The counts over the batches so far.
struct Tally {
    confusion: ConfusionMatrix,
    loss: RunningMean,
    /// The number of pictures whose true class is among the five most probable; `None` for five
    /// classes or fewer.
    top5: Option<usize>,
    mistakes: Vec<Mistake>,
}

impl Tally {
    fn new(classes: usize) -> Self {
        Self {
            confusion: ConfusionMatrix::new(classes),
            loss: RunningMean::default(),
            top5: (classes > 5).then_some(0),
            mistakes: Vec::new(),
        }
    }

    /// Counts a batch of finite logits.
    fn add(
        &mut self,
        rows: ArrayView2<'_, f32>,
        samples: &[usize],
        labels: &[usize],
    ) -> Result<(), Reason> {
        self.confusion.add_logits(rows, labels)?;
        if let Some(top5) = &mut self.top5 {
            *top5 += top_k_correct(rows, labels, 5)?;
        }
        let loss = cross_entropy(rows.into_dyn(), labels)?;
        self.loss.add(loss, labels.len() as f64);
        collect(&mut self.mistakes, rows.outer_iter(), samples, labels);
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
        })
    }
}

fn cross_entropy(logits: ArrayViewD<'_, f32>, labels: &[usize]) -> Result<f64, Reason> {
    let mut grad = ndarray::ArrayD::zeros(logits.raw_dim());
    let targets = ClassTargets::Labels(labels);
    Ok(CrossEntropy::default().eval(logits, targets, 1.0, &mut grad)?)
}

/// Adds the mistakes of a batch, and keeps the most certain ones.
fn collect<'a>(
    mistakes: &mut Vec<Mistake>,
    rows: impl Iterator<Item = ndarray::ArrayView1<'a, f32>>,
    indices: &[usize],
    labels: &[usize],
) {
    for ((row, &index), &label) in rows.zip(indices).zip(labels) {
        // Of equal logits the first, as in the confusion matrix.
        let likeliest = row
            .indexed_iter()
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((predicted, &most)) = likeliest.filter(|&(predicted, _)| predicted != label)
        else {
            continue;
        };
        let sum: f64 = row.iter().map(|&x| f64::from(x - most).exp()).sum();
        mistakes.push(Mistake {
            index,
            label,
            predicted,
            score: 1.0 / sum,
        });
    }
    mistakes.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    mistakes.truncate(MISTAKES);
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn the_mistakes_are_those_of_the_confusion_matrix() {
        let mut tally = Tally::new(3);
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
        assert_eq!(Tally::new(3).finish(), None);
    }
}
