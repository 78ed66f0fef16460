//! Batches of a dataset, made on threads of their own.

mod queue;

use std::iter;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use ndarray::{Array2, Array4};

use self::queue::{Place, Queue};
use crate::augmentation::{Augmentation, SampleKey};
use crate::dataset::Dataset;
use crate::decode::message;
use crate::error::{Error, Result};
use crate::preprocessing::Preprocessing;
use crate::random::{Purpose, keyed};

/// Delivers a dataset's batches, epoch by epoch.
///
/// An epoch goes through the samples once, in an order that depends on seed and epoch alone.
/// Worker threads read, augment and normalise while the caller computes; what they make, and the
/// order in which it arrives, is the same for any number of them, byte for byte.
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
///     assert_eq!(batch.inputs.dim(), (4, 3, 64, 64)); // the last one
/// }
/// # Ok::<(), image_data::Error>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    shared: Arc<Shared>,
}

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// Samples in a batch, from 1 to 65 536. Default 32.
    pub batch_size: usize,
    /// Default shuffled.
    pub order: Order,
    /// Default kept.
    pub last_batch: LastBatch,
    /// What order and augmentation depend on. Default 0.
    pub seed: u64,
    /// Default none.
    pub augmentation: Augmentation,
    /// Threads, from 0 to 1024; without one, the caller's thread does the work. Default 2.
    pub workers: usize,
    /// How many batches may be under way or ready at once, from 1 to 1024. Each takes its memory, and
    /// no more workers are busy than there are batches. Default 4.
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
            workers: 2,
            queue: 4,
        }
    }
}

/// The order of the samples in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Another one in each epoch, every order as likely as any other.
    Shuffled,
    /// The dataset's own, for validation.
    AsStored,
}

/// What happens where the samples do not fill the last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LastBatch {
    /// It is smaller.
    Keep,
    /// Its samples are left out of this epoch: a batch normalisation may need more of them.
    Drop,
}

/// Some samples, as a network takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The network's input, `[n, c, h, w]`.
    pub inputs: Array4<f32>,
    /// The classes, `[n]`; with mixup, those of the first of the two pictures that are mixed.
    pub labels: Vec<usize>,
    /// With mixup, how much of each class there is, `[n, classes]`.
    pub targets: Option<Array2<f32>>,
    /// The samples' indices in the dataset, `[n]`.
    pub samples: Vec<usize>,
}

impl Batch {
    /// A whole dataset as one batch, in its own order: for a few hundred pictures, such as those that
    /// a small network is measured with.
    ///
    /// ```
    /// use image_data::{Batch, Preprocessing, Shapes};
    ///
    /// let shapes = Shapes::range(0..20, [32, 48])?;
    /// let batch = Batch::whole(shapes, Preprocessing::cifar())?;
    /// assert_eq!(batch.inputs.dim(), (20, 3, 32, 48));
    /// assert_eq!(batch.labels[7], 7);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Loader::new`], for a batch of as many samples as there are, and as [`Epoch::next_into`].
    pub fn whole(dataset: impl Dataset + 'static, preprocessing: Preprocessing) -> Result<Self> {
        let options = LoaderOptions {
            batch_size: dataset.len(),
            order: Order::AsStored,
            workers: 0,
            ..LoaderOptions::default()
        };
        let loader = Loader::new(Arc::new(dataset), preprocessing, options)?;
        let mut batch = Self::default();
        loader.epoch(0)?.next_into(&mut batch)?;
        Ok(batch)
    }
}

/// What the workers of all epochs share.
struct Shared {
    dataset: Arc<dyn Dataset>,
    preprocessing: Preprocessing,
    options: LoaderOptions,
    /// Memory of batches that were handed back.
    memory: Mutex<Vec<Vec<f32>>>,
}

impl Loader {
    /// A loader for a dataset, and what turns its pictures into a network's input.
    ///
    /// # Errors
    ///
    /// [`Error::NoPictures`], those of [`Augmentation::check`], and [`Error::Option`] for an option
    /// out of its range, or where the only batch would be dropped.
    pub fn new(
        dataset: Arc<dyn Dataset>,
        preprocessing: Preprocessing,
        options: LoaderOptions,
    ) -> Result<Self> {
        if dataset.is_empty() {
            return Err(Error::NoPictures);
        }
        options.augmentation.check(&preprocessing)?;
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
            let expected = "at most the number of samples, as a smaller batch is dropped";
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

    /// A loader of shuffled batches of 32: [`new`](Self::new) with default options.
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
    pub fn shuffled(dataset: impl Dataset + 'static, preprocessing: Preprocessing) -> Result<Self> {
        Self::new(Arc::new(dataset), preprocessing, LoaderOptions::default())
    }

    /// What the batches are made of.
    #[must_use]
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.shared.dataset
    }

    /// How they are made.
    #[must_use]
    pub fn options(&self) -> &LoaderOptions {
        &self.shared.options
    }

    /// How many batches an epoch has.
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

    /// The batches of an epoch, counted from 0.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the system gives no thread.
    pub fn epoch(&self, epoch: u64) -> Result<Epoch> {
        self.epoch_from(epoch, 0)
    }

    /// The batches of several epochs, one epoch after the other. After an error there are no more.
    pub fn epochs(&self, epochs: Range<u64>) -> impl Iterator<Item = Result<Batch>> {
        let mut epochs = epochs.map(|epoch| self.epoch(epoch)).fuse();
        let mut batches: Option<Epoch> = None;
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

    /// The batches of an epoch without the first ones, which are not even read: for a run that goes
    /// on where another one ended.
    ///
    /// # Errors
    ///
    /// Those of [`epoch`](Self::epoch).
    pub fn epoch_from(&self, epoch: u64, first_batch: usize) -> Result<Epoch> {
        let shared = &self.shared;
        let mut order: Vec<usize> = (0..shared.dataset.len()).collect();
        if shared.options.order == Order::Shuffled {
            keyed(Purpose::Order, [shared.options.seed, epoch, 0]).shuffle(&mut order);
        }
        let plan = Arc::new(EpochPlan {
            shared: Arc::clone(shared),
            epoch,
            order,
            queue: Queue::new(first_batch, self.batches(), shared.options.queue),
        });
        let mut batches = Epoch {
            plan: Arc::clone(&plan),
            workers: Vec::with_capacity(shared.options.workers),
        };
        for worker in 0..shared.options.workers {
            let plan = Arc::clone(&plan);
            let thread = thread::Builder::new()
                .name(format!("loader {worker}"))
                .spawn(move || plan.work())?;
            batches.workers.push(thread);
        }
        Ok(batches)
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

/// The batches of one epoch, in order. Its workers end with it.
///
/// After an error there are no more: the first one in the order of the batches, whichever worker
/// met it when.
pub struct Epoch {
    plan: Arc<EpochPlan>,
    workers: Vec<JoinHandle<()>>,
}

impl Epoch {
    /// Puts the next batch in place of `batch`, whose memory is used again; false at the end.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the sample's name and what was wrong with it: an error of
    /// [`Dataset::picture`], [`Error::Label`], [`Error::BatchSize`], or [`Error::LoaderPanicked`].
    /// [`Error::NoMemory`].
    pub fn next_into(&mut self, batch: &mut Batch) -> Result<bool> {
        if self.workers.is_empty()
            && let Some(place) = self.plan.queue.begin()
            && let Some(next) = self.plan.load(&place)
        {
            self.plan.queue.put(&place, next);
        }
        match self.plan.queue.take() {
            None => Ok(false),
            Some(Ok(next)) => {
                let old = std::mem::replace(batch, next);
                self.plan.shared.recycle(old);
                Ok(true)
            }
            Some(Err(error)) => {
                self.plan.queue.stop();
                Err(error)
            }
        }
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = Batch::default();
        match self.next_into(&mut batch) {
            Ok(true) => Some(Ok(batch)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.plan.queue.stop();
        for worker in self.workers.drain(..) {
            // A worker has nothing to say that is not in the queue.
            let _ = worker.join();
        }
    }
}

/// What an epoch's workers share.
struct EpochPlan {
    shared: Arc<Shared>,
    epoch: u64,
    order: Vec<usize>,
    queue: Queue<Result<Batch>>,
}

impl EpochPlan {
    /// A worker's life.
    fn work(&self) {
        while let Some(place) = self.queue.begin() {
            match self.load(&place) {
                Some(batch) => self.queue.put(&place, batch),
                None => return,
            }
        }
    }

    /// Makes a batch, or nothing where the epoch has been stopped.
    fn load(&self, place: &Place) -> Option<Result<Batch>> {
        caught(|| self.make(place)).transpose()
    }

    fn make(&self, place: &Place) -> Result<Option<Batch>> {
        let options = &self.shared.options;
        let start = place.batch() * options.batch_size;
        let end = (start + options.batch_size).min(self.order.len());
        let samples = self.order.get(start..end).unwrap_or_default();

        let mut memory = self.shared.memory().pop().unwrap_or_default();
        let mut size = None;
        for (at, &sample) in samples.iter().enumerate() {
            if self.queue.is_stopped() {
                return Ok(None);
            }
            caught(|| self.add(sample, at, samples.len(), &mut size, &mut memory))
                .map_err(|error| self.name(sample, error))?;
        }
        let [height, width] = size.ok_or(Error::NoPictures)?;
        let shape = (
            samples.len(),
            self.shared.preprocessing.channels.count(),
            height,
            width,
        );
        let got = memory.len();
        let mut inputs = Array4::from_shape_vec(shape, memory).map_err(|_| Error::Length {
            what: "the batch",
            got,
            expected: shape.0 * shape.1 * shape.2 * shape.3,
        })?;
        let dataset = &self.shared.dataset;
        let labels: Vec<usize> = samples
            .iter()
            .map(|&sample| dataset.label(sample))
            .collect();
        let key = self.key(place.batch());
        let classes = dataset.classes().len();
        let targets = match &options.augmentation.mixup {
            Some(mixup) => Some(mixup.apply(&mut inputs, &labels, classes, key)?),
            None => None,
        };
        Ok(Some(Batch {
            inputs,
            labels,
            targets,
            samples: samples.to_vec(),
        }))
    }

    /// Writes a sample's input to its place `at` of `count` in the batch; the first one says how
    /// large each is.
    fn add(
        &self,
        sample: usize,
        at: usize,
        count: usize,
        size: &mut Option<[usize; 2]>,
        memory: &mut Vec<f32>,
    ) -> Result<()> {
        let Shared {
            dataset,
            preprocessing,
            options,
            ..
        } = &*self.shared;
        let (label, classes) = (dataset.label(sample), dataset.classes().len());
        if label >= classes {
            return Err(Error::Label {
                index: sample,
                label,
                classes,
            });
        }
        let picture = dataset.picture(sample)?;
        let (picture, preprocessing) =
            options
                .augmentation
                .before_normalising(&picture, preprocessing, self.key(sample))?;
        let got @ [height, width] = preprocessing.output_size(picture.size())?;
        let len = preprocessing.channels.count() * height * width;
        let expected = match size {
            Some(size) => *size,
            None => {
                resize(memory, count.saturating_mul(len))?;
                *size.insert(got)
            }
        };
        if got != expected {
            return Err(Error::BatchSize { got, expected });
        }
        let have = memory.len();
        let input = memory.chunks_exact_mut(len).nth(at).ok_or(Error::Length {
            what: "the batch",
            got: have,
            expected: count * len,
        })?;
        preprocessing.apply_into(&picture, input)
    }

    /// The key of a sample, or of a batch.
    fn key(&self, sample: usize) -> SampleKey {
        SampleKey {
            seed: self.shared.options.seed,
            epoch: self.epoch,
            sample: sample as u64,
        }
    }

    /// The error with the sample's name, unless it has a file's already.
    fn name(&self, sample: usize, error: Error) -> Error {
        match error {
            Error::File { .. } => error,
            _ => error.in_file(self.shared.dataset.name(sample)),
        }
    }
}

impl Shared {
    fn memory(&self) -> std::sync::MutexGuard<'_, Vec<Vec<f32>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a batch's memory, but not more of it than can be under way.
    fn recycle(&self, batch: Batch) {
        let mut memory = self.memory();
        if memory.len() <= self.options.queue {
            let (numbers, offset) = batch.inputs.into_raw_vec_and_offset();
            if offset == Some(0) && !numbers.is_empty() {
                memory.push(numbers);
            }
        }
    }
}

/// Makes room for `len` numbers, whatever they are.
pub(crate) fn resize(memory: &mut Vec<f32>, len: usize) -> Result<()> {
    let more = len.saturating_sub(memory.len());
    memory
        .try_reserve_exact(more)
        .map_err(|_| Error::NoMemory {
            bytes: (len as u64).saturating_mul(size_of::<f32>() as u64),
        })?;
    memory.resize(len, 0.0);
    Ok(())
}

/// A panic as an error.
pub(crate) fn caught<T>(load: impl FnOnce() -> Result<T>) -> Result<T> {
    // After an error the batch is thrown away, so no broken state can be seen.
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|payload| {
        Err(Error::LoaderPanicked {
            reason: message(&*payload),
        })
    })
}
