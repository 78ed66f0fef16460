//! The totals of the batches since the last update.

use crate::{
    error::{Error, Result},
    train::metrics::RunningMean,
};

/// The totals of the batches whose gradients have been added since the last update.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) batches: u64,
    pub(super) pictures: u64,
    pub(super) loss: RunningMean,
    pub(super) parts: Vec<(String, f64)>,
}

/// The mean of losses that have been added; without any, an internal error.
pub(super) fn mean(losses: RunningMean) -> Result<f64> {
    losses.mean().ok_or_else(|| Error::Internal {
        what: "a mean over no pictures".to_owned(),
    })
}

/// Adds values to those of the same names.
pub(super) fn add_parts(sums: &mut Vec<(String, f64)>, parts: &[(String, f64)]) {
    for (name, part) in parts {
        match sums.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += part,
            None => sums.push((name.clone(), *part)),
        }
    }
}
