//! How long and how a network is trained.

use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    train::{
        optimiser::OptimiserOptions,
        option::{at_least_0, at_least_1},
        schedule::Schedule,
    },
};

/// How long and how a network is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerOptions {
    /// How often the training goes through the data.
    pub epochs: u64,
    /// The rate of each update.
    pub schedule: Schedule,
    /// What makes updates of gradients.
    pub optimiser: OptimiserOptions,
    /// The seed of all randomness.
    pub seed: u64,
    /// How many batches make one update, at least 1. Their gradients are averaged; at the end of
    /// an epoch there may be fewer.
    pub accumulate: u64,
    /// What becomes of a last batch that is smaller than the others.
    pub short_batch: ShortBatch,
    /// Whether to stop before the last epoch.
    pub early_stopping: Option<EarlyStopping>,
    /// After how many updates to save, besides the ends of epochs; at least 1.
    pub save_every: Option<u64>,
    /// What the training was told to do. Checkpoints carry it without interpreting it.
    pub recipe: serde_json::Value,
    /// What the training learns from, such as a fingerprint of classes and names. Checkpoints
    /// carry it without interpreting it: compare it with [`Checkpoint::data`](crate::Checkpoint)
    /// before resuming, since a training cannot go on with other data.
    pub data: serde_json::Value,
}

impl TrainerOptions {
    /// `epochs` epochs by this schedule, with the optimiser's defaults, seed 0, an update for each
    /// batch, small last batches kept, and no early stopping.
    #[must_use]
    pub fn new(epochs: u64, schedule: Schedule) -> Self {
        Self {
            epochs,
            schedule,
            optimiser: OptimiserOptions::default(),
            seed: 0,
            accumulate: 1,
            short_batch: ShortBatch::Keep,
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
        match self.early_stopping {
            None => Ok(()),
            Some(EarlyStopping { patience, min_gain }) => {
                at_least_1("the patience of early stopping", patience)?;
                at_least_0("min_gain", min_gain)
            }
        }
    }
}

/// What becomes of a batch that is smaller than its epoch's first, as the last one often is.
///
/// A batch of one picture has no deviation that a batch normalisation could use where the feature map
/// is a single pixel: with [`Keep`](Self::Keep) that is an error, which names the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortBatch {
    /// It is trained on as the others are, so each of its pictures has more weight.
    #[default]
    Keep,
    /// It is left out; [`EpochReport::dropped`](super::EpochReport::dropped) says how many pictures
    /// that were. A loader that shuffles leaves out others in each epoch.
    Drop,
}

/// Stops a training that no longer improves, and gives back the best parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// How many epochs in a row may be no better than the best, at least 1.
    pub patience: u64,
    /// How much larger than the best a score has to be to be better.
    #[serde(default)]
    pub min_gain: f64,
}
