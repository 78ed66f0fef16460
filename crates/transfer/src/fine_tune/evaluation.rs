//! The evaluation after each epoch.

use std::borrow::Borrow;

use ndarray::ArrayD;
use nn_layers::{
    BoxedError, ClassificationObjective, Error, Evaluation, Objective, RunningMean, Targets,
    TrainBatch,
};

use crate::error::Result;
use crate::extractor::FeatureExtractor;

/// Evaluates a network whose output is the logits: the accuracy, and the mean cross-entropy as the
/// part `loss`. `None` if there are no batches.
pub(super) fn evaluate<L, E>(
    network: &mut FeatureExtractor,
    batches: impl IntoIterator<Item = Result<L, E>>,
) -> Result<Option<Evaluation>>
where
    L: Borrow<TrainBatch<f32, Targets<f32>>>,
    E: Into<BoxedError>,
{
    let (mut loss, mut accuracy) = (RunningMean::default(), RunningMean::default());
    for batch in batches {
        let batch = batch.map_err(Error::other)?;
        let TrainBatch { inputs, targets } = batch.borrow();
        let inputs: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let logits = network.run(&inputs)?;
        let views: Vec<_> = logits.iter().map(|logits| logits.view()).collect();
        let mut grads: Vec<_> = views.iter().map(|x| ArrayD::zeros(x.raw_dim())).collect();
        let terms = ClassificationObjective::default().eval(targets, &views, &mut grads)?;
        let count = views.first().map_or(0, |logits| logits.shape()[0]) as f64;
        let correct = terms.parts.iter().find(|(name, _)| name == "correct");
        accuracy.add(correct.map_or(0.0, |(_, correct)| correct / count), count);
        loss.add(terms.total, count);
    }
    Ok(accuracy.mean().map(|score| Evaluation {
        score,
        parts: loss
            .mean()
            .map(|loss| ("loss".to_owned(), loss))
            .into_iter()
            .collect(),
    }))
}
