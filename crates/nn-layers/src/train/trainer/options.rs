//! How long and how a network is trained.

use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    train::{
        error::TrainError,
        optimiser::OptimiserOptions,
        option::{at_least_0, at_least_1},
        schedule::Schedule,
    },
};

/// How long and how a network is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerOptions {
    /// The number of passes over the data.
    pub epochs: u64,
    /// The rate of each update.
    pub schedule: Schedule,
    /// How updates are computed from gradients.
    pub optimiser: OptimiserOptions,
    /// The seed of the run's randomness.
    pub seed: u64,
    /// The number of batches per update, at least 1. Their gradients are averaged. The last update
    /// of an epoch may have fewer.
    pub accumulate: u64,
    /// Whether to train on a last batch that is smaller than the others.
    pub short_batch: ShortBatch,
    /// What is frozen, from which epoch on, by rising epoch: gradual unfreezing. Before the first
    /// entry, and without any, what the backend was created with stays frozen.
    pub freezing: Vec<Freezing>,
    /// When to stop before the last epoch, if at all.
    pub early_stopping: Option<EarlyStopping>,
    /// The number of updates after which a checkpoint is saved, in addition to those at the ends of
    /// epochs; at least 1.
    pub save_every: Option<u64>,
    /// The settings of the run, for checkpoints, which store them without interpreting them.
    pub recipe: serde_json::Value,
    /// A description of the data, such as a fingerprint of classes and names. Checkpoints store it
    /// without interpreting it. Compare it with [`Checkpoint::data`](crate::Checkpoint::data)
    /// before resuming, since a run cannot resume exactly with other data.
    pub data: serde_json::Value,
}

impl TrainerOptions {
    /// `epochs` epochs with this schedule, the optimiser's defaults, seed 0, one update per batch,
    /// small last batches kept, and no early stopping.
    #[must_use]
    pub fn new(epochs: u64, schedule: Schedule) -> Self {
        Self {
            epochs,
            schedule,
            optimiser: OptimiserOptions::default(),
            seed: 0,
            accumulate: 1,
            short_batch: ShortBatch::Keep,
            freezing: Vec::new(),
            early_stopping: None,
            save_every: None,
            recipe: serde_json::Value::Null,
            data: serde_json::Value::Null,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        self.schedule.check()?;
        at_least_1("accumulate", self.accumulate)?;
        at_least_1("save_every", self.save_every.unwrap_or(1))?;
        let epochs: Vec<u64> = self
            .freezing
            .iter()
            .map(|freezing| freezing.epoch)
            .collect();
        if !epochs.is_sorted_by(|before, after| before < after) {
            return Err(TrainError::FreezingOrder { epochs }.into());
        }
        match self.early_stopping {
            None => Ok(()),
            Some(EarlyStopping { patience, min_gain }) => {
                at_least_1("the patience of early stopping", patience)?;
                at_least_0("min_gain", min_gain)
            }
        }
    }
}

/// What is frozen from an epoch on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freezing {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// The names of nodes or scopes, as in [`TrainSpec::frozen`](crate::TrainSpec::frozen); none to
    /// train everything.
    pub frozen: Vec<String>,
}

/// Whether to train on a batch that is smaller than its epoch's first, as the last one often is.
///
/// If a feature map is a single pixel, a batch of one picture gives its batch normalisation only
/// one value per channel. With [`Keep`](Self::Keep) that is an error, which names the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortBatch {
    /// Train on it like on the others; each of its pictures then has more weight.
    #[default]
    Keep,
    /// Leave it out; [`EpochReport::dropped`](super::EpochReport::dropped) counts its pictures.
    /// With a loader that shuffles, they are different ones in each epoch.
    Drop,
}

/// Stops a run that no longer improves, and restores the best parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// The number of consecutive epochs without a better score after which the run stops, at least
    /// 1.
    pub patience: u64,
    /// The margin by which a score has to exceed the best one to be better.
    #[serde(default)]
    pub min_gain: f64,
}
