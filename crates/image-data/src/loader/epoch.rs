//! The batches of one epoch, and the workers that prepare them.

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ndarray::Array4;

use super::order::{Visit, visits};
use super::queue::{Place, Queue};
use super::sample::{Sample, sample};
use super::{Batch, LoaderOptions, Shared, resize};
use crate::augmentation::SampleKey;
use crate::decode::message;
use crate::error::{Error, Result};
use crate::label::Label;
use crate::preprocessing::Preprocessing;

/// The batches of one epoch, in order. Dropping it ends its workers.
///
/// It ends after an error: the first one in the order of the batches, whichever worker fails first.
pub struct Epoch<L: Label = usize> {
    plan: Arc<EpochPlan<L>>,
    workers: Vec<JoinHandle<()>>,
}

impl<L: Label> Epoch<L> {
    /// Starts workers that prepare the given batches of an epoch.
    pub(super) fn start(
        shared: &Arc<Shared<L>>,
        epoch: u64,
        batches: Range<usize>,
    ) -> Result<Self> {
        let LoaderOptions { order, seed, .. } = shared.options;
        let dataset = &*shared.dataset;
        // Without a class of its own, each picture counts alike.
        let classes: Vec<usize> = (0..dataset.len())
            .map(|sample| dataset.label(sample).class().unwrap_or(0))
            .collect();
        let order = visits(&classes, order, seed, epoch);
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
    pub fn next_into(&mut self, batch: &mut Batch<L>) -> Result<bool> {
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

impl<L: Label> Iterator for Epoch<L> {
    type Item = Result<Batch<L>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = Batch::default();
        match self.next_into(&mut batch) {
            Ok(true) => Some(Ok(batch)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl<L: Label> Drop for Epoch<L> {
    fn drop(&mut self) {
        self.plan.queue.stop();
        for worker in self.workers.drain(..) {
            // A worker's errors are in the queue; the result of the join adds nothing.
            let _ = worker.join();
        }
    }
}

/// The state that an epoch's workers share.
struct EpochPlan<L: Label> {
    shared: Arc<Shared<L>>,
    epoch: u64,
    order: Vec<Visit>,
    queue: Queue<Result<Batch<L>>>,
}

impl<L: Label> EpochPlan<L> {
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
    fn load(&self, place: &Place) -> Option<Result<Batch<L>>> {
        caught(|| self.make(place)).transpose()
    }

    fn make(&self, place: &Place) -> Result<Option<Batch<L>>> {
        let options = &self.shared.options;
        let start = place.batch() * options.batch_size;
        let end = (start + options.batch_size).min(self.order.len());
        let visits = self.order.get(start..end).unwrap_or_default();
        let samples: Vec<usize> = visits.iter().map(|visit| visit.sample).collect();

        let shared = &self.shared;
        let scaled = match (&options.multi_scale, shared.preprocessing.fixed_size()) {
            (Some(multi_scale), Some(size)) => {
                let run = place.batch() / multi_scale.every;
                let size = multi_scale.size(size, self.key(run as u64));
                Cow::Owned(shared.preprocessing.with_size(size))
            }
            _ => Cow::Borrowed(&shared.preprocessing),
        };
        let mut memory = shared.memory().pop().unwrap_or_default();
        let mut size = None;
        let mut labels = Vec::with_capacity(samples.len());
        for &visit in visits {
            if self.queue.is_stopped() {
                return Ok(None);
            }
            let place = [labels.len(), samples.len()];
            let label = caught(|| self.add(visit, place, &scaled, &mut size, &mut memory))
                .map_err(|error| self.name(visit.sample, error))?;
            labels.push(label);
        }
        let [height, width] = size.ok_or(Error::NoPictures)?;
        let shape = (samples.len(), scaled.channels.count(), height, width);
        let got = memory.len();
        let mut inputs = Array4::from_shape_vec(shape, memory).map_err(|_| Error::Length {
            what: "the batch",
            got,
            expected: shape.0 * shape.1 * shape.2 * shape.3,
        })?;
        let key = self.key(place.batch() as u64);
        let count = shared.dataset.classes().len();
        let targets = match &options.augmentation.mixup {
            Some(mixup) => {
                // `Loader::new` has checked that pictures have a class.
                let classes: Vec<usize> = labels.iter().filter_map(Label::class).collect();
                Some(mixup.apply(&mut inputs, &classes, count, key)?)
            }
            None => None,
        };
        Ok(Some(Batch {
            inputs,
            labels,
            targets,
            samples,
        }))
    }

    /// Writes a sample's input to position `at` of `count` in the batch, and returns its label. The first
    /// sample sets the `size` of them all.
    fn add(
        &self,
        visit: Visit,
        [at, count]: [usize; 2],
        preprocessing: &Preprocessing,
        size: &mut Option<[usize; 2]>,
        memory: &mut Vec<f32>,
    ) -> Result<L> {
        let Sample {
            picture,
            label,
            preprocessing,
        } = sample(&self.shared, visit, preprocessing, |key| self.key(key))?;
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
        let input = memory.chunks_exact_mut(len).nth(at);
        let input = input.ok_or(Error::Length {
            what: "the batch",
            got: have,
            expected: count * len,
        })?;
        preprocessing.apply_into(&picture, input)?;
        Ok(label)
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
        error.in_file_unless_named(self.shared.dataset.name(sample))
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
