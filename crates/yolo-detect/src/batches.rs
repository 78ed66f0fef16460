//! From a loader's batches to those of a trainer.

use std::borrow::Borrow;

use image_data::{Batch, Boxes, Loader};
use ndarray::Ix4;
use nn_layers::TrainBatch;

use crate::error::Result;
use crate::loss::DetectionTargets;

/// A batch in the trainer's form, lent by its loader: when it is dropped, its memory goes back and
/// holds a later batch.
pub struct LoadedBatch {
    batch: TrainBatch<f32, DetectionTargets>,
    loader: Loader<Boxes>,
}

/// The batches of an epoch in the trainer's form, starting with the batch of index `first`.
///
/// The inputs are the loader's pictures, `[n, c, h, w]`, of one size in each batch; the targets are their
/// boxes.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use engine::{Options, TrainingSession};
/// use image_data::{Loader, Preprocessing, ResizeTo, ShapeScenes, ShapesOptions};
/// use nn_layers::{Outcome, Schedule, TrainSpec, Trainer, TrainerOptions};
/// use yolo_detect::networks::Nano;
/// use yolo_detect::{DetectionLoss, Network, train_batches};
///
/// let cfg = Nano { classes: 8, width: 0.25, ..Nano::default() }.cfg()?;
/// let network = Network::new(&cfg)?;
/// let (params, options) = (network.init(1)?, Options::default());
/// let mut session =
///     TrainingSession::new(network.graph(), params, TrainSpec::default(), &options)?;
/// let scenes = ShapeScenes::new(ShapesOptions { len: 64, ..ShapesOptions::default() })?;
/// let preprocessing = Preprocessing::detection(ResizeTo::Letterbox([64, 64]));
/// let loader = Loader::shuffled(scenes, preprocessing)?;
///
/// let mut trainer = Trainer::new(TrainerOptions::new(1, Schedule::constant(0.001)), &session)?;
/// let outcome = trainer.run(
///     &mut session,
///     &DetectionLoss::new(&cfg, &network)?,
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
/// The first item is [`Error::Picture`](crate::Error::Picture) if the system refuses the loader's threads. Any item is, if a
/// picture cannot be read, or an error of [`DetectionTargets::new`].
pub fn train_batches(
    loader: &Loader<Boxes>,
    epoch: u64,
    first: u64,
) -> impl Iterator<Item = Result<LoadedBatch>> {
    let start = usize::try_from(first).unwrap_or(usize::MAX);
    let (batches, fault) = match loader.epoch_from(epoch, start) {
        Ok(batches) => (Some(batches), None),
        Err(error) => (None, Some(Err(Box::new(error).into()))),
    };
    let batch_size = loader.options().batch_size as u64;
    let pictures = loader.dataset().len() as u64;
    let seen = move |number: u64| epoch * pictures + (first + number) * batch_size;
    let batches = (0..).zip(batches.into_iter().flatten());
    let lent = batches.map(move |(number, batch)| {
        let batch = batch.map_err(Box::new)?;
        LoadedBatch::new(batch, seen(number), loader)
    });
    fault.into_iter().chain(lent)
}

impl LoadedBatch {
    fn new(batch: Batch<Boxes>, seen: u64, loader: &Loader<Boxes>) -> Result<Self> {
        let (_, _, height, width) = batch.inputs.dim();
        let targets = DetectionTargets::new(&batch.labels, [height, width], seen)?;
        Ok(Self {
            batch: TrainBatch {
                inputs: vec![batch.inputs.into_dyn()],
                targets,
            },
            loader: loader.clone(),
        })
    }
}

impl Borrow<TrainBatch<f32, DetectionTargets>> for LoadedBatch {
    fn borrow(&self) -> &TrainBatch<f32, DetectionTargets> {
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
