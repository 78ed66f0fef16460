//! The batches of an epoch with lookahead.

use std::cell::RefCell;

use super::signals::Stop;
use crate::error::Reason;

/// Batches with one batch of lookahead: if the next one cannot be loaded, the training is asked to
/// stop, so that its progress is saved.
pub(super) struct Ahead<'a, I: Iterator> {
    batches: I,
    next: Option<I::Item>,
    stop: &'a Stop,
    unread: &'a RefCell<Option<Reason>>,
}

impl<'a, I: Iterator> Ahead<'a, I> {
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

impl<B, E, I> Iterator for Ahead<'_, I>
where
    E: Into<Reason>,
    I: Iterator<Item = Result<B, E>>,
{
    type Item = Result<B, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.next.take()?;
        self.next = match self.batches.next() {
            Some(Err(error)) => {
                self.unread.replace(Some(error.into()));
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

    fn batch() -> Result<(), Reason> {
        Ok(())
    }

    fn damaged() -> Result<(), Reason> {
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
