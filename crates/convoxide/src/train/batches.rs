//! The batches of an epoch, in the trainer's form and with lookahead.

use std::cell::RefCell;

use image_data::Loader;
use nn_layers::{Targets, TrainBatch};

use super::signals::Stop;
use crate::architectures::Reason;

/// A batch in the trainer's form, or why it could not be loaded.
pub(super) type Loaded = Result<TrainBatch<f32, Targets<f32>>, Reason>;

/// Returns the batches of an epoch, starting with the batch of index `first`, in the trainer's form.
pub(super) fn batches(loader: &Loader, epoch: u64, first: u64) -> impl Iterator<Item = Loaded> {
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let (given, fault) = match loader.epoch_from(epoch, first) {
        Ok(batches) => (Some(batches), None),
        Err(error) => (None, Some(Err(error.into()))),
    };
    let given = given.into_iter().flatten().map(|batch| {
        let batch = batch?;
        Ok(TrainBatch {
            inputs: vec![batch.inputs.into_dyn()],
            targets: match batch.targets {
                Some(soft) => Targets::Soft(soft),
                None => Targets::Labels(batch.labels),
            },
        })
    });
    fault.into_iter().chain(given)
}

/// Batches with one batch of lookahead: if the next one cannot be loaded, the training is asked to
/// stop, so that its progress is saved.
pub(super) struct Ahead<'a, I> {
    batches: I,
    next: Option<Loaded>,
    stop: &'a Stop,
    unread: &'a RefCell<Option<Reason>>,
}

impl<'a, I: Iterator<Item = Loaded>> Ahead<'a, I> {
    pub(super) fn new(mut batches: I, stop: &'a Stop, unread: &'a RefCell<Option<Reason>>) -> Self {
        // An error here needs no stop: at the start of an epoch, everything is saved.
        let next = batches.next();
        Self {
            batches,
            next,
            stop,
            unread,
        }
    }
}

impl<I: Iterator<Item = Loaded>> Iterator for Ahead<'_, I> {
    type Item = Loaded;

    fn next(&mut self) -> Option<Loaded> {
        let batch = self.next.take()?;
        self.next = match self.batches.next() {
            Some(Err(error)) => {
                self.unread.replace(Some(error));
                self.stop.request();
                None
            }
            next => next,
        };
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn batch() -> Loaded {
        Ok(TrainBatch {
            inputs: Vec::new(),
            targets: Targets::Labels(Vec::new()),
        })
    }

    fn damaged() -> Loaded {
        Err("a.png: damaged".into())
    }

    /// The trainer saves what it has learnt when it is asked to stop, but not when a batch fails.
    #[test]
    fn a_batch_that_fails_is_a_request_to_stop_one_batch_before() {
        let (stop, unread) = (Stop::default(), RefCell::new(None));
        let is_stopping = || stop.flag().load(Ordering::Relaxed);
        let batches = [batch(), batch(), damaged(), batch()];
        let mut ahead = Ahead::new(batches.into_iter(), &stop, &unread);
        assert!(ahead.next().is_some_and(|batch| batch.is_ok()) && !is_stopping());
        assert!(ahead.next().is_some_and(|batch| batch.is_ok()) && is_stopping());
        assert!(ahead.next().is_none());
        let error = unread.take().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("a.png: damaged"));
    }

    #[test]
    fn the_first_batch_of_an_epoch_fails_as_it_is() {
        let (stop, unread) = (Stop::default(), RefCell::new(None));
        let mut ahead = Ahead::new([damaged()].into_iter(), &stop, &unread);
        assert!(ahead.next().is_some_and(|batch| batch.is_err()));
        assert!(unread.borrow().is_none() && !stop.flag().load(Ordering::Relaxed));
    }
}
