//! The batches of one epoch, and the workers that prepare them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ndarray::Array4;

use super::order::{Visit, visits};
use super::queue::{Place, Queue};
use super::{Batch, LoaderOptions, Shared, resize};
use crate::augmentation::SampleKey;
use crate::decode::message;
use crate::error::{Error, Result};

/// The batches of one epoch, in order. Dropping it ends its workers.
///
/// It ends after an error: the first one in the order of the batches, whichever worker fails first.
pub struct Epoch {
    plan: Arc<EpochPlan>,
    workers: Vec<JoinHandle<()>>,
}

impl Epoch {
    /// Starts workers that prepare the given batches of an epoch.
    pub(super) fn start(shared: &Arc<Shared>, epoch: u64, batches: Range<usize>) -> Result<Self> {
        let LoaderOptions { order, seed, .. } = shared.options;
        let dataset = &*shared.dataset;
        let labels: Vec<usize> = (0..dataset.len())
            .map(|sample| dataset.label(sample))
            .collect();
        let order = visits(&labels, order, seed, epoch);
        let plan = Arc::new(EpochPlan {
            shared: Arc::clone(shared),
            epoch,
            order,
            queue: Queue::new(batches.start, batches.end, shared.options.queue),
        });
        // Created before the first thread: if a thread fails to start, its drop ends the others.
        let mut this = Self {
            plan: Arc::clone(&plan),
            workers: Vec::with_capacity(shared.options.workers),
        };
        for worker in 0..shared.options.workers {
            let plan = Arc::clone(&plan);
            let thread = thread::Builder::new()
                .name(format!("loader {worker}"))
                .spawn(move || plan.work())?;
            this.workers.push(thread);
        }
        Ok(this)
    }

    /// Replaces `batch`, whose memory is reused, with the next batch; returns false at the end.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the sample's name and its fault: an error of
    /// [`Dataset::picture`](crate::Dataset::picture), [`Error::Label`], [`Error::BatchSize`], or
    /// [`Error::LoaderPanicked`]. [`Error::NoMemory`].
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
            // A worker's errors are in the queue; the result of the join adds nothing.
            let _ = worker.join();
        }
    }
}

/// The state that an epoch's workers share.
struct EpochPlan {
    shared: Arc<Shared>,
    epoch: u64,
    order: Vec<Visit>,
    queue: Queue<Result<Batch>>,
}

impl EpochPlan {
    /// Prepares batches until none is left: the main function of a worker.
    fn work(&self) {
        while let Some(place) = self.queue.begin() {
            match self.load(&place) {
                Some(batch) => self.queue.put(&place, batch),
                None => return,
            }
        }
    }

    /// Prepares a batch, or returns `None` if the epoch has been stopped.
    fn load(&self, place: &Place) -> Option<Result<Batch>> {
        caught(|| self.make(place)).transpose()
    }

    fn make(&self, place: &Place) -> Result<Option<Batch>> {
        let options = &self.shared.options;
        let start = place.batch() * options.batch_size;
        let end = (start + options.batch_size).min(self.order.len());
        let visits = self.order.get(start..end).unwrap_or_default();
        let samples: Vec<usize> = visits.iter().map(|visit| visit.sample).collect();

        let mut memory = self.shared.memory().pop().unwrap_or_default();
        let mut size = None;
        for (at, &visit) in visits.iter().enumerate() {
            if self.queue.is_stopped() {
                return Ok(None);
            }
            caught(|| self.add(visit, at, samples.len(), &mut size, &mut memory))
                .map_err(|error| self.name(visit.sample, error))?;
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
        let key = self.key(place.batch() as u64);
        let classes = dataset.classes().len();
        let targets = match &options.augmentation.mixup {
            Some(mixup) => Some(mixup.apply(&mut inputs, &labels, classes, key)?),
            None => None,
        };
        Ok(Some(Batch {
            inputs,
            labels,
            targets,
            samples,
        }))
    }

    /// Writes a sample's input to position `at` of `count` in the batch. The first sample sets the
    /// `size` of them all.
    fn add(
        &self,
        Visit { sample, key }: Visit,
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
                .before_normalising(&picture, preprocessing, self.key(key))?;
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

    /// Returns the key of a visit or of a batch.
    fn key(&self, sample: u64) -> SampleKey {
        SampleKey {
            seed: self.shared.options.seed,
            epoch: self.epoch,
            sample,
        }
    }

    /// Adds the sample's name to an error that has no file name yet.
    fn name(&self, sample: usize, error: Error) -> Error {
        match error {
            Error::File { .. } => error,
            _ => error.in_file(self.shared.dataset.name(sample)),
        }
    }
}

/// Runs `load` and returns its panic as an error.
pub(crate) fn caught<T>(load: impl FnOnce() -> Result<T>) -> Result<T> {
    // After an error the batch is discarded, so broken state cannot be observed.
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|payload| {
        Err(Error::LoaderPanicked {
            reason: message(&*payload),
        })
    })
}
