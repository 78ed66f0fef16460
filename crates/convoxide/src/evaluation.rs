//! How well a classifier does on a dataset.

use engine::{Options, Plan, Session};
use image_data::{Dataset, Picture, Preprocessing};
use ndarray::{Array4, ArrayViewD, Axis, Ix2};
use nn_layers::{
    ClassTargets, ConfusionMatrix, CrossEntropy, Graph, Infer, Outputs, Params, RunningMean, Shape,
    top_k_correct,
};
use rayon::prelude::*;
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

/// Pictures of a step where nobody says otherwise.
pub(crate) const BATCH: usize = 50;

/// Runs a network over all pictures of a dataset, `batch` at a time.
///
/// # Errors
///
/// A picture that cannot be read or has another size than the first, by name; the network's errors.
pub(crate) fn evaluate(
    graph: &Graph,
    params: Params<f32>,
    dataset: &dyn Dataset,
    preprocessing: &Preprocessing,
    batch: usize,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation, Reason> {
    let classes = dataset.classes().len();
    let plan = Plan::compile(graph, params, &Options::default())?;
    let mut session: Option<Session> = None;
    let mut outputs = Outputs::new();
    let mut confusion = ConfusionMatrix::new(classes);
    let (mut loss, mut top1, mut top5) = (RunningMean::default(), 0, 0);
    let mut mistakes: Vec<Mistake> = Vec::new();
    for first in (0..dataset.len()).step_by(batch.max(1)) {
        let indices: Vec<usize> = (first..dataset.len().min(first + batch)).collect();
        let input = load(dataset, &indices, preprocessing)?;
        let labels: Vec<usize> = indices.iter().map(|&index| dataset.label(index)).collect();
        let shape = Shape::from(input.shape().to_vec());
        let fits = |session: &Session| session.input_shapes() == std::slice::from_ref(&shape);
        let session = match session.take().filter(fits) {
            Some(fitting) => session.insert(fitting),
            None => session.insert(plan.session(std::slice::from_ref(&shape))?),
        };
        session.run(&[input.view().into_dyn()], &mut outputs)?;
        let Some(logits) = outputs.tensors.first() else {
            return Err("the network has no output".into());
        };
        let rows = logits.view().into_dimensionality::<Ix2>()?;
        if rows.ncols() != classes {
            let got = rows.ncols();
            return Err(format!("the network has {got} classes, the data has {classes}").into());
        }
        confusion.add_logits(rows, &labels)?;
        top1 += top_k_correct(rows, &labels, 1)?;
        top5 += top_k_correct(rows, &labels, 5.min(classes))?;
        loss.add(cross_entropy(logits.view(), &labels)?, labels.len() as f64);
        collect(&mut mistakes, rows.outer_iter(), &indices, &labels);
        progress(indices.len());
    }
    let pictures = confusion.total();
    let share = |count: usize| count as f64 / pictures.max(1) as f64;
    Ok(Evaluation {
        pictures,
        top1: share(top1),
        top5: share(top5),
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

/// Pictures of a dataset as one tensor.
///
/// # Errors
///
/// A picture that cannot be read or has another size than the first, by name.
pub(crate) fn load(
    dataset: &dyn Dataset,
    indices: &[usize],
    preprocessing: &Preprocessing,
) -> Result<Array4<f32>, Reason> {
    let prepare = |&index: &usize| {
        let picture: image_data::Result<Picture> = dataset.picture(index);
        picture
            .and_then(|picture| preprocessing.apply(&picture))
            .map_err(|error| format!("{}: {error}", dataset.name(index)))
    };
    let pictures: Vec<_> = indices.par_iter().map(prepare).collect::<Result<_, _>>()?;
    let Some(first) = pictures.first() else {
        return Err("the dataset has no pictures".into());
    };
    let (channels, height, width) = first.dim();
    let mut input = Array4::zeros((pictures.len(), channels, height, width));
    for (number, (picture, &index)) in pictures.iter().zip(indices).enumerate() {
        if picture.dim() != first.dim() {
            let (_, h, w) = picture.dim();
            let name = dataset.name(index);
            return Err(format!(
                "{name}: {h}x{w} pixels after the preprocessing, others have {height}x{width}: \
                 give the preprocessing a size"
            )
            .into());
        }
        input.index_axis_mut(Axis(0), number).assign(picture);
    }
    Ok(input)
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
