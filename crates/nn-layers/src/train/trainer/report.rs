//! The reports of a training run in progress.

use std::path::Path;

use crate::train::{checkpoint::Best, loss::Terms, schedule::Rates};

/// Receives the progress of a training run. The library itself prints nothing.
///
/// `()` ignores everything.
pub trait Observer<T> {
    /// The parameters have been updated.
    fn step(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// An epoch has been trained and evaluated.
    ///
    /// The checkpoint on the disk is then still the one from before the evaluation. So after a
    /// crash, or an error from this method, a resumed run evaluates and reports the epoch again.
    ///
    /// # Errors
    ///
    /// Any error that should end the run, such as a log that cannot be written.
    fn epoch(&mut self, report: &EpochReport) -> Result<(), BoxedError> {
        let _ = report;
        Ok(())
    }

    /// An epoch is the best so far. This call precedes that of [`epoch`](Self::epoch), and is
    /// repeated with it.
    ///
    /// # Errors
    ///
    /// Any error that should end the run, such as a model file that cannot be written.
    fn best(&mut self, best: &Best<T>) -> Result<(), BoxedError> {
        let _ = best;
        Ok(())
    }

    /// A checkpoint is on the disk. One is saved before each evaluation, one after it, and further
    /// ones by [`TrainerOptions::save_every`](super::TrainerOptions::save_every).
    fn saved(&mut self, path: &Path) {
        let _ = path;
    }
}

impl<T> Observer<T> for () {}

/// The report of one update.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// The number of the epoch's batches so far.
    pub batch: u64,
    /// The update, counted from 0 across all epochs.
    pub step: u64,
    /// The number of pictures in the update.
    pub pictures: u64,
    /// The loss; for several batches, the mean over their pictures. The parts are summed over the
    /// batches.
    pub terms: Terms,
    /// The rate of the update, and the schedule's momentum, if any.
    pub rates: Rates,
    /// The Euclidean norm of all gradients together, before they were clipped.
    pub gradient_norm: f64,
}

/// The report of one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochReport {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// The number of updates so far, counted across all epochs.
    pub step: u64,
    /// The number of pictures trained on.
    pub pictures: u64,
    /// The number of pictures left out with a smaller last batch.
    pub dropped: u64,
    /// The rates of the epoch's last update.
    pub rates: Rates,
    /// The mean loss over the pictures, computed during training, while the parameters changed.
    pub loss: f64,
    /// The loss's further values, such as `correct`, summed over the batches.
    pub parts: Vec<(String, f64)>,
    /// The result of the evaluation, if there was one.
    pub evaluation: Option<Evaluation>,
    /// Whether the epoch is the best so far.
    pub is_best: bool,
}

/// The evaluation of a network after an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The larger, the better: for example the accuracy on pictures that are not trained on.
    pub score: f64,
    /// Further values to report.
    pub parts: Vec<(String, f64)>,
}

/// An error of any type, boxed as `?` does it.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;
