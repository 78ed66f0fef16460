//! From a loader's batches to those of a trainer.

use std::borrow::Borrow;

use image_data::{Batch, Loader};
use ndarray::Ix4;
use nn_layers::{Targets, TrainBatch};

use crate::error::{Error, Result};

/// A batch in the trainer's form, lent by its loader: when it is dropped, its memory goes back and
/// holds a later batch.
pub struct LoadedBatch {
    batch: TrainBatch<f32, Targets<f32>>,
    loader: Loader,
}

/// The batches of an epoch in the trainer's form, starting with the batch of index `first`.
///
/// The inputs are the loader's pictures, `[n, c, h, w]`; the targets are labels, or with mixup the
/// share of each class. Memory circulates: a batch that is dropped is filled again.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use engine::{Options, TrainingSession};
/// use image_classify::{Architecture, train_batches};
/// use image_data::{Loader, Preprocessing, Shapes};
/// use nn_layers::{
///     ClassificationObjective, Outcome, Schedule, TrainSpec, Trainer, TrainerOptions,
/// };
///
/// let network = Architecture::named("resnet20")?.with_classes(8);
/// let (graph, params) = (network.training_graph([16, 16])?, network.init(1)?);
/// let mut session = TrainingSession::new(&graph, params, TrainSpec::default(), &Options::default())?;
/// let loader = Loader::shuffled(Shapes::range(0..64, [16, 16])?, Preprocessing::cifar())?;
///
/// let mut trainer = Trainer::new(TrainerOptions::new(1, Schedule::constant(0.1)), &session)?;
/// let outcome = trainer.run(
///     &mut session,
///     &ClassificationObjective::default(),
///     |epoch, first| train_batches(&loader, epoch, first),
///     |_params, _epoch| Ok(None),
///     &mut (),
///     &AtomicBool::new(false),
/// )?;
/// assert_eq!((outcome, trainer.position().step), (Outcome::Finished, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The first item is [`Error::Picture`] if the system refuses the loader's threads; any item is, if a
/// picture cannot be read, and the iterator then ends.
pub fn train_batches(
    loader: &Loader,
    epoch: u64,
    first: u64,
) -> impl Iterator<Item = Result<LoadedBatch>> {
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let (batches, fault) = match loader.epoch_from(epoch, first) {
        Ok(batches) => (Some(batches), None),
        Err(error) => (None, Some(Err(Error::from(error)))),
    };
    let batches = batches.into_iter().flatten();
    let lent = batches.map(|batch| Ok(LoadedBatch::new(batch?, loader)));
    fault.into_iter().chain(lent)
}

impl LoadedBatch {
    fn new(batch: Batch, loader: &Loader) -> Self {
        Self {
            batch: TrainBatch {
                inputs: vec![batch.inputs.into_dyn()],
                targets: match batch.targets {
                    Some(soft) => Targets::Soft(soft),
                    None => Targets::Labels(batch.labels),
                },
            },
            loader: loader.clone(),
        }
    }
}

impl Borrow<TrainBatch<f32, Targets<f32>>> for LoadedBatch {
    fn borrow(&self) -> &TrainBatch<f32, Targets<f32>> {
        &self.batch
    }
}

impl Drop for LoadedBatch {
    fn drop(&mut self) {
        let inputs = self.batch.inputs.pop();
        if let Some(Ok(inputs)) = inputs.map(ndarray::ArrayBase::into_dimensionality::<Ix4>) {
            self.loader.recycle(Batch {
                inputs,
                ..Batch::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use image_data::{Augmentation, LoaderOptions, Mixup, Preprocessing, Shapes};
    use ndarray::ArrayD;

    use super::*;

    fn loader(augmentation: Augmentation) -> Loader {
        let shapes = Shapes::range(0..40, [16, 16]).unwrap();
        let options = LoaderOptions {
            batch_size: 8,
            workers: 0,
            queue: 1,
            augmentation,
            ..LoaderOptions::default()
        };
        Loader::new(Arc::new(shapes), Preprocessing::cifar(), options).unwrap()
    }

    /// A capacity that no batch has by itself identifies the memory.
    #[test]
    fn the_memory_of_a_batch_that_is_dropped_holds_the_next() {
        const CAPACITY: usize = 54_321;
        let loader = loader(Augmentation::default());
        let mut batches = train_batches(&loader, 0, 0);
        let mut first = batches.next().unwrap().unwrap();
        let mut memory = Vec::with_capacity(CAPACITY);
        memory.extend(first.batch.inputs[0].iter());
        let shape = first.batch.inputs[0].shape().to_vec();
        first.batch.inputs[0] = ArrayD::from_shape_vec(shape, memory).unwrap();
        drop(first);
        for batch in batches {
            let mut batch = batch.unwrap();
            let inputs = batch.batch.inputs.pop().unwrap();
            let shape = inputs.shape().to_vec();
            let (memory, _) = inputs.into_raw_vec_and_offset();
            assert_eq!(memory.capacity(), CAPACITY);
            let inputs = ArrayD::from_shape_vec(shape, memory).unwrap();
            batch.batch.inputs.push(inputs);
        }
    }

    #[test]
    fn the_batches_are_the_loaders_from_any_index_on() {
        let mixup = Augmentation {
            mixup: Some(Mixup::default()),
            ..Augmentation::default()
        };
        for augmentation in [Augmentation::default(), mixup] {
            let loader = loader(augmentation);
            let expected: Vec<Batch> = loader.epoch(3).unwrap().map(Result::unwrap).collect();
            for first in [0, 2, 5] {
                let batches = train_batches(&loader, 3, first);
                let mut count = 0;
                for (batch, expected) in batches.zip(&expected[first as usize..]) {
                    let batch = batch.unwrap();
                    assert_eq!(batch.batch.inputs, [expected.inputs.clone().into_dyn()]);
                    let targets = match &expected.targets {
                        Some(soft) => Targets::Soft(soft.clone()),
                        None => Targets::Labels(expected.labels.clone()),
                    };
                    assert_eq!(batch.batch.targets, targets);
                    count += 1;
                }
                assert_eq!(count, 5 - first);
            }
        }
    }
}
