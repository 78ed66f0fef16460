//! A checkpoint's JSON text, and the names of its tensors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Best, Checkpoint, EpochTotals, Position};
use crate::{
    error::{Error, Result},
    file::{error::FileError, purpose},
    params::Params,
    train::optimiser::OptimiserState,
};

/// The version of the format.
const VERSION: u32 = 1;

/// The largest valid count. No training run reaches it, and counting on from it does not overflow.
const LARGEST_COUNT: u64 = 1 << 53;

/// The JSON text. Its only key distinguishes it from a model's.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    checkpoint: Text,
}

/// The contents of the metadata.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    version: u32,
    seed: u64,
    position: Position,
    epoch: EpochTotals,
    optimiser: OptimiserText,
    best: Option<BestText>,
    recipe: serde_json::Value,
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OptimiserText {
    method: String,
    /// The key is that of the format's first version.
    #[serde(rename = "slots")]
    moments: Vec<String>,
    steps: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BestText {
    epoch: u64,
    step: u64,
    score: f64,
}

/// The part of a checkpoint that a tensor belongs to.
pub(super) enum Part<'a> {
    Params,
    Optimiser(&'a str),
    Best,
}

impl Text {
    pub(super) fn new<T>(checkpoint: &Checkpoint<T>) -> Self {
        let OptimiserState {
            method,
            steps,
            moments,
        } = &checkpoint.optimiser;
        Self {
            version: VERSION,
            seed: checkpoint.seed,
            position: checkpoint.position,
            epoch: checkpoint.epoch.clone(),
            optimiser: OptimiserText {
                method: method.clone(),
                moments: moments.keys().cloned().collect(),
                steps: steps.clone(),
            },
            best: checkpoint.best.as_ref().map(|best| BestText {
                epoch: best.epoch,
                step: best.step,
                score: best.score,
            }),
            recipe: checkpoint.recipe.clone(),
            data: checkpoint.data.clone(),
        }
    }

    /// A checkpoint that is complete except for its tensors.
    pub(super) fn checkpoint<T>(&self) -> Checkpoint<T> {
        Checkpoint {
            params: Params::new(),
            optimiser: OptimiserState {
                method: self.optimiser.method.clone(),
                steps: self.optimiser.steps.clone(),
                moments: (self.optimiser.moments.iter())
                    .map(|moment| (moment.clone(), Params::new()))
                    .collect(),
            },
            best: self.best.as_ref().map(|best| Best {
                epoch: best.epoch,
                step: best.step,
                score: best.score,
                params: Params::new(),
            }),
            position: self.position,
            epoch: self.epoch.clone(),
            seed: self.seed,
            recipe: self.recipe.clone(),
            data: self.data.clone(),
        }
    }

    /// The part that the tensor of this name belongs to, and its parameter's name.
    pub(super) fn part<'a>(&'a self, name: &'a str) -> Result<(Part<'a>, &'a str)> {
        let part = match name.split_once('/') {
            Some(("params", own)) => Some((Part::Params, own)),
            Some(("best", own)) if self.best.is_some() => Some((Part::Best, own)),
            Some(("optimiser", rest)) => rest
                .split_once('/')
                .filter(|(moment, _)| self.optimiser.moments.iter().any(|known| known == moment))
                .map(|(moment, own)| (Part::Optimiser(moment), own)),
            _ => None,
        };
        part.ok_or_else(|| {
            Error::File(FileError::TensorName {
                tensor: name.chars().take(64).collect(),
                what: "is not one that a checkpoint contains",
            })
        })
    }

    pub(super) fn from_json(text: Option<&str>) -> Result<Self> {
        let other = |got| {
            Error::File(FileError::OtherFile {
                got,
                expected: "a checkpoint of a training run",
                advice: "a checkpoint's name ends in .ckpt",
            })
        };
        let text = text.ok_or_else(|| other("a file of weights"))?;
        if purpose::is_model(text) {
            return Err(other("a model file"));
        }
        let Envelope { checkpoint } = serde_json::from_str(text).map_err(FileError::metadata)?;
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// The text for the file. A text that could not be read back is refused.
    pub(super) fn into_json(self) -> Result<String> {
        let text = serde_json::to_string(&Envelope { checkpoint: self });
        let text = text.map_err(FileError::metadata)?;
        Self::from_json(Some(&text))?;
        Ok(text)
    }

    fn check(&self) -> Result<()> {
        if self.version != VERSION {
            return Err(FileError::Metadata {
                reason: format!("version {}, expected {VERSION}", self.version),
            }
            .into());
        }
        let Position {
            epoch,
            batch,
            step,
            batches,
        } = self.position;
        // At its end, an epoch's totals are divided by its number of pictures.
        let has_loss = self.epoch.loss.mean().is_some_and(f64::is_finite);
        if has_loss != (self.epoch.pictures > 0) || self.epoch.trained && !has_loss {
            return Err(FileError::Metadata {
                reason: "the epoch's totals contradict each other".to_owned(),
            }
            .into());
        }
        let best = self.best.iter().flat_map(|best| [best.epoch, best.step]);
        let counts = [epoch, batch, step, batches].into_iter().chain(best);
        let totals = [self.epoch.pictures, self.epoch.dropped];
        let mut counts = counts
            .chain(totals)
            .chain(self.optimiser.steps.values().copied());
        match counts.find(|&count| count > LARGEST_COUNT) {
            None => Ok(()),
            Some(count) => Err(FileError::Metadata {
                reason: format!("a count of {count}, expected at most {LARGEST_COUNT}"),
            }
            .into()),
        }
    }
}
