//! What a training reports while it runs.

use std::path::Path;

use crate::train::{checkpoint::Best, loss::Terms, schedule::Rates};

/// Receives the progress of a training. The library itself prints nothing.
///
/// `()` ignores everything.
pub trait Observer<T> {
    /// Parameters have moved.
    fn step(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// An epoch has been trained and evaluated.
    ///
    /// The checkpoint on the disk is then still that of the epoch before its evaluation, so after a
    /// crash, or an error from here, a resumed training evaluates and reports the epoch again.
    ///
    /// # Errors
    ///
    /// Any error that has to end the training, such as a log that cannot be written.
    fn epoch(&mut self, report: &EpochReport) -> Result<(), BoxedError> {
        let _ = report;
        Ok(())
    }

    /// An epoch was the best so far. This call precedes the epoch's report, and is repeated with it.
    ///
    /// # Errors
    ///
    /// Any error that has to end the training, such as a model file that cannot be written.
    fn best(&mut self, best: &Best<T>) -> Result<(), BoxedError> {
        let _ = best;
        Ok(())
    }

    /// A checkpoint is on the disk: one before each evaluation, one after it, and those that
    /// [`TrainerOptions::save_every`](super::TrainerOptions::save_every) asks for.
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
    /// How many batches of the epoch there have been.
    pub batch: u64,
    /// The update, counted from 0 through all epochs.
    pub step: u64,
    /// How many pictures it learnt from.
    pub pictures: u64,
    /// The loss, of several batches the mean over their pictures; the parts are their sums.
    pub terms: Terms,
    /// The rate that the parameters moved by, and the momentum.
    pub rates: Rates,
    /// The Euclidean norm of all gradients together, before they were clipped.
    pub gradient_norm: f64,
}

/// The report of one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochReport {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// How many updates there have been, through all epochs.
    pub step: u64,
    /// How many pictures were trained on.
    pub pictures: u64,
    /// How many were left out with a smaller last batch.
    pub dropped: u64,
    /// The rates of the epoch's last update.
    pub rates: Rates,
    /// The mean loss over the pictures, while the parameters were moving.
    pub loss: f64,
    /// What else the loss reported, such as `correct`, summed over the batches.
    pub parts: Vec<(String, f64)>,
    /// What the evaluation found.
    pub evaluation: Option<Evaluation>,
    /// Whether it is the best so far.
    pub is_best: bool,
}

/// How good a network is after an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The larger, the better: such as the accuracy on pictures that are not trained on.
    pub score: f64,
    /// Whatever else is worth reporting.
    pub parts: Vec<(String, f64)>,
}

/// An error of any type, as `?` makes it.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;
