//! Batches of a dataset, prepared on worker threads.

mod batch;
mod epoch;
mod multi_scale;
mod order;
mod queue;
mod sample;

use std::iter;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::batch::Batch;
pub(crate) use self::batch::resize;
pub use self::epoch::Epoch;
pub(crate) use self::epoch::caught;
pub use self::multi_scale::MultiScale;
use crate::augmentation::Augmentation;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::label::Label;
use crate::preprocessing::Preprocessing;

/// Delivers a dataset's batches, epoch by epoch.
///
/// Unless it is [balanced](Order::Balanced), an epoch visits each sample once, in an order that depends on the seed and the epoch alone.
/// Worker threads read, augment and normalise pictures while the caller computes. The batches and
/// their order are the same for any number of workers, byte for byte.
///
/// ```
/// use std::sync::Arc;
///
/// use image_data::{
///     Augmentation, Batch, Loader, LoaderOptions, Preprocessing, Shapes, ShapesOptions,
/// };
///
/// let shapes = Shapes::new(ShapesOptions { len: 100, ..ShapesOptions::default() })?;
/// let options = LoaderOptions {
///     batch_size: 32,
///     augmentation: Augmentation::cifar(),
///     ..LoaderOptions::default()
/// };
/// let loader = Loader::new(Arc::new(shapes), Preprocessing::cifar(), options)?;
/// assert_eq!(loader.batches(), 4);
///
/// let mut batch = Batch::default();
/// for epoch in 0..2 {
///     let mut batches = loader.epoch(epoch)?;
///     while batches.next_into(&mut batch)? {
///         assert_eq!(batch.inputs.dim().0, batch.labels.len());
///     }
///     assert_eq!(batch.inputs.dim(), (4, 3, 64, 64)); // the last batch
/// }
/// # Ok::<(), image_data::Error>(())
/// ```
pub struct Loader<L: Label = usize> {
    shared: Arc<Shared<L>>,
}

/// How a [`Loader`] prepares batches.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// The number of samples in a batch, from 1 to 65 536. Default 32.
    pub batch_size: usize,
    /// The order of the samples. Default shuffled.
    pub order: Order,
    /// Whether a short last batch is delivered. Default kept.
    pub last_batch: LastBatch,
    /// The seed of the order and the augmentation. Default 0.
    pub seed: u64,
    /// The random changes to the pictures. Default none.
    pub augmentation: Augmentation,
    /// Changes of the input's size from batch to batch. Default none.
    pub multi_scale: Option<MultiScale>,
    /// The number of worker threads, from 0 to 1024; with 0, the caller's thread does the work.
    /// Default 2.
    pub workers: usize,
    /// The most batches in preparation or ready at once, from 1 to 1024. Each needs its own memory,
    /// and at most this many workers are busy. Default 4.
    pub queue: usize,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            batch_size: 32,
            order: Order::Shuffled,
            last_batch: LastBatch::Keep,
            seed: 0,
            augmentation: Augmentation::default(),
            multi_scale: None,
            workers: 2,
            queue: 4,
        }
    }
}

/// The order of the samples in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// A different order in each epoch; all orders are equally likely.
    Shuffled,
    /// Every class equally often, so that rare classes are not neglected: an epoch has as many samples
    /// as the dataset, and of each class the same number, or one more. A rare class' samples are
    /// repeated, each time with another augmentation; of a frequent one, different samples are left out
    /// in each epoch. Classes without samples are ignored.
    Balanced,
    /// The dataset's order, for validation.
    AsStored,
}

/// Whether a short last batch is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LastBatch {
    /// It is delivered.
    Keep,
    /// Its samples are left out of this epoch, since batch normalisation may need more of them.
    Drop,
}

impl<L: Label> Clone for Loader<L> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<L: Label> Loader<L> {
    /// Creates a loader that turns a dataset's pictures into batches of network inputs.
    ///
    /// # Errors
    ///
    /// [`Error::NoPictures`], those of [`Augmentation::check`], and [`Error::Option`] for an option
    /// outside its range, if the only batch would be dropped, or for a balanced order or mixup of pictures
    /// that have boxes instead of a class.
    pub fn new(
        dataset: Arc<dyn Dataset<L>>,
        preprocessing: Preprocessing,
        options: LoaderOptions,
    ) -> Result<Self> {
        if dataset.is_empty() {
            return Err(Error::NoPictures);
        }
        options.augmentation.check(&preprocessing)?;
        if let Some(multi_scale) = &options.multi_scale {
            multi_scale.check(&preprocessing)?;
        }
        if dataset.label(0).class().is_none() {
            for (field, is_asked) in [
                ("order", options.order == Order::Balanced),
                ("mixup", options.augmentation.mixup.is_some()),
            ] {
                if is_asked {
                    return Err(Error::Option {
                        what: "loader",
                        field,
                        got: "for pictures with boxes".to_owned(),
                        expected: "pictures with one class each",
                    });
                }
            }
        }
        for (field, got, range, expected) in [
            ("batch_size", options.batch_size, 1..=1 << 16, "1 to 65536"),
            ("workers", options.workers, 0..=1024, "0 to 1024"),
            ("queue", options.queue, 1..=1024, "1 to 1024"),
        ] {
            if !range.contains(&got) {
                return Err(wrong(field, got, expected));
            }
        }
        if options.last_batch == LastBatch::Drop && options.batch_size > dataset.len() {
            let expected = "at most the number of samples, since a smaller batch is dropped";
            return Err(wrong("batch_size", options.batch_size, expected));
        }
        let memory = Mutex::default();
        Ok(Self {
            shared: Arc::new(Shared {
                dataset,
                preprocessing,
                options,
                memory,
            }),
        })
    }

    /// Creates a loader of shuffled batches of 32: [`new`](Self::new) with default options.
    ///
    /// ```
    /// use image_data::{Loader, Preprocessing, Shapes};
    ///
    /// let loader = Loader::shuffled(Shapes::range(0..100, [32, 32])?, Preprocessing::cifar())?;
    /// let mut pictures = 0;
    /// for batch in loader.epochs(0..2) {
    ///     pictures += batch?.labels.len();
    /// }
    /// assert_eq!(pictures, 200);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn shuffled(
        dataset: impl Dataset<L> + 'static,
        preprocessing: Preprocessing,
    ) -> Result<Self> {
        Self::new(Arc::new(dataset), preprocessing, LoaderOptions::default())
    }

    /// Returns the dataset.
    #[must_use]
    pub fn dataset(&self) -> &Arc<dyn Dataset<L>> {
        &self.shared.dataset
    }

    /// Returns the options.
    #[must_use]
    pub fn options(&self) -> &LoaderOptions {
        &self.shared.options
    }

    /// Returns the number of batches in an epoch.
    #[must_use]
    pub fn batches(&self) -> usize {
        let LoaderOptions {
            batch_size,
            last_batch,
            ..
        } = self.shared.options;
        let samples = self.shared.dataset.len();
        match last_batch {
            LastBatch::Keep => samples.div_ceil(batch_size),
            LastBatch::Drop => samples / batch_size,
        }
    }

    /// Starts an epoch, counted from 0, and returns its batches.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses a thread.
    pub fn epoch(&self, epoch: u64) -> Result<Epoch<L>> {
        self.epoch_from(epoch, 0)
    }

    /// Returns the batches of several epochs, one epoch after the other, up to the first error.
    pub fn epochs(&self, epochs: Range<u64>) -> impl Iterator<Item = Result<Batch<L>>> {
        let mut epochs = epochs.map(|epoch| self.epoch(epoch)).fuse();
        let mut batches: Option<Epoch<L>> = None;
        let mut failed = false;
        iter::from_fn(move || {
            while !failed {
                match batches.as_mut().and_then(Iterator::next) {
                    Some(batch) => {
                        failed = batch.is_err();
                        return Some(batch);
                    }
                    None => match epochs.next()? {
                        Ok(next) => batches = Some(next),
                        Err(error) => {
                            failed = true;
                            return Some(Err(error));
                        }
                    },
                }
            }
            None
        })
    }

    /// Takes a batch back whose contents are no longer needed: its memory holds a later batch, of any
    /// epoch. [`Epoch::next_into`] does this by itself; this function is for batches that an
    /// [`Epoch`] returned as an iterator.
    ///
    /// ```
    /// use image_data::{Loader, Preprocessing, Shapes};
    ///
    /// let loader = Loader::shuffled(Shapes::range(0..100, [32, 32])?, Preprocessing::cifar())?;
    /// for batch in loader.epoch(0)? {
    ///     let batch = batch?;
    ///     assert_eq!(batch.inputs.dim().0, batch.labels.len());
    ///     loader.recycle(batch);
    /// }
    /// # Ok::<(), image_data::Error>(())
    /// ```
    pub fn recycle(&self, batch: Batch<L>) {
        self.shared.recycle(batch);
    }

    /// Starts an epoch at batch `first_batch`, to resume a run. Earlier batches are not read.
    ///
    /// # Errors
    ///
    /// Those of [`epoch`](Self::epoch).
    pub fn epoch_from(&self, epoch: u64, first_batch: usize) -> Result<Epoch<L>> {
        Epoch::start(&self.shared, epoch, first_batch..self.batches())
    }
}

fn wrong(field: &'static str, got: usize, expected: &'static str) -> Error {
    Error::Option {
        what: "loader",
        field,
        got: got.to_string(),
        expected,
    }
}

/// The state that the workers of all epochs share.
struct Shared<L: Label> {
    dataset: Arc<dyn Dataset<L>>,
    preprocessing: Preprocessing,
    options: LoaderOptions,
    /// The memory of batches that the caller has handed back.
    memory: Mutex<Vec<Vec<f32>>>,
}

impl<L: Label> Shared<L> {
    fn memory(&self) -> std::sync::MutexGuard<'_, Vec<Vec<f32>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a batch's memory for reuse, up to one more than the queue's length.
    fn recycle(&self, batch: Batch<L>) {
        let mut memory = self.memory();
        if memory.len() <= self.options.queue {
            let (numbers, offset) = batch.inputs.into_raw_vec_and_offset();
            if offset == Some(0) && !numbers.is_empty() {
                memory.push(numbers);
            }
        }
    }
}
