//! How well a classifier does on a dataset.

use std::sync::Arc;

use engine::{Options, Plan, Session};
use image_data::{Batch, Dataset, Loader, LoaderOptions, Order, Preprocessing};
use ndarray::{ArrayViewD, Ix2};
use nn_layers::{
    ClassTargets, ConfusionMatrix, CrossEntropy, Graph, Infer, Outputs, Params, RunningMean, Shape,
    top_k_correct,
};
use serde::Serialize;

use crate::architectures::Reason;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Evaluation {
    pub(crate) pictures: u64,
    /// The share of pictures whose likeliest class is theirs.
    pub(crate) top1: f64,
    /// The share whose class is among the five likeliest.
    pub(crate) top5: f64,
    /// The mean cross-entropy.
    pub(crate) loss: f64,
    /// A row for each true class, a column for each predicted one.
    pub(crate) confusion: Vec<Vec<u64>>,
    /// The pictures that were taken for something else with the greatest certainty.
    #[serde(skip)]
    pub(crate) mistakes: Vec<Mistake>,
}

/// A picture that was taken for something else.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) index: usize,
    pub(crate) label: usize,
    pub(crate) predicted: usize,
    /// The probability of the predicted class.
    pub(crate) score: f64,
}

/// Mistakes that are kept.
const MISTAKES: usize = 24;

/// Pictures of a step.
const BATCH: usize = 50;

/// Runs a network over all pictures of a dataset.
///
/// # Errors
///
/// A picture that cannot be read or has another size than the first, by name; the network's errors.
pub(crate) fn evaluate(
    graph: &Graph,
    params: Params<f32>,
    dataset: &Arc<dyn Dataset>,
    preprocessing: &Preprocessing,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation, Reason> {
    let classes = dataset.classes().len();
    let plan = Plan::compile(graph, params, &Options::default())?;
    let options = LoaderOptions {
        batch_size: BATCH,
        order: Order::AsStored,
        workers: rayon::current_num_threads(),
        ..LoaderOptions::default()
    };
    let loader = Loader::new(Arc::clone(dataset), preprocessing.clone(), options)?;
    let mut session: Option<Session> = None;
    let mut outputs = Outputs::new();
    let mut confusion = ConfusionMatrix::new(classes);
    let (mut loss, mut top5) = (RunningMean::default(), 0);
    let mut mistakes: Vec<Mistake> = Vec::new();
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
        let Some(logits) = outputs.tensors.first() else {
            return Err("the network has no output".into());
        };
        let rows = logits.view().into_dimensionality::<Ix2>()?;
        if rows.ncols() != classes {
            let got = rows.ncols();
            return Err(format!("the network has {got} classes, the data has {classes}").into());
        }
        confusion.add_logits(rows, &labels)?;
        top5 += top_k_correct(rows, &labels, 5.min(classes))?;
        loss.add(cross_entropy(logits.view(), &labels)?, labels.len() as f64);
        collect(&mut mistakes, rows.outer_iter(), &samples, &labels);
        progress(samples.len());
    }
    let pictures = confusion.total();
    Ok(Evaluation {
        pictures,
        top1: confusion.accuracy().unwrap_or_default(),
        top5: top5 as f64 / pictures.max(1) as f64,
        loss: loss.mean().unwrap_or_default(),
        confusion: confusion.rows().to_vec(),
        mistakes,
    })
}

fn cross_entropy(logits: ArrayViewD<'_, f32>, labels: &[usize]) -> Result<f64, Reason> {
    let mut grad = ndarray::ArrayD::zeros(logits.raw_dim());
    let targets = ClassTargets::Labels(labels);
    Ok(CrossEntropy::default().eval(logits, targets, 1.0, &mut grad)?)
}

/// Keeps the most certain mistakes.
fn collect<'a>(
    mistakes: &mut Vec<Mistake>,
    rows: impl Iterator<Item = ndarray::ArrayView1<'a, f32>>,
    indices: &[usize],
    labels: &[usize],
) {
    for ((row, &index), &label) in rows.zip(indices).zip(labels) {
        let Some((predicted, &most)) = row
            .indexed_iter()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .filter(|&(predicted, _)| predicted != label)
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
