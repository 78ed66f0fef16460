//! The schedule of a recipe, whose times are epochs.

use nn_layers::{OneCycle, Phase, Policy, Schedule, WarmUp};
use serde::{Deserialize, Serialize};

use super::Recipe;
use crate::error::Reason;
use crate::train::fine_tune::FineTune;

/// A [`Schedule`] whose times are epochs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct InEpochs {
    pub(crate) rate: f64,
    pub(crate) policy: PolicyInEpochs,
    /// The number of epochs in which the rate rises to its first value.
    pub(crate) warm_up: f64,
}

/// The course of the rate after the warm-up.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PolicyInEpochs {
    Constant,
    /// Multiplied by the factor at each of these epochs.
    MultiStep {
        at: Vec<f64>,
        factor: f64,
    },
    /// Half a cosine, down to `last` at the end of the run.
    Cosine {
        #[serde(default)]
        last: f64,
    },
    /// A polynomial, down to 0 at the end of the run.
    Polynomial {
        power: f64,
    },
    /// Up to the rate during the share `rise` of the run, then down again.
    OneCycle {
        #[serde(default = "three_tenths")]
        rise: f64,
    },
}

impl Default for PolicyInEpochs {
    fn default() -> Self {
        Self::OneCycle {
            rise: three_tenths(),
        }
    }
}

fn three_tenths() -> f64 {
    0.3
}

impl Recipe {
    /// Returns the schedule in steps.
    ///
    /// A run that was extended follows its policy once more in each extension, as far as the policy
    /// depends on the length of the run: a warm restart (Loshchilov and Hutter, "SGDR: Stochastic
    /// Gradient Descent with Warm Restarts", 2016, section 3).
    ///
    /// # Errors
    ///
    /// A time that is negative or not finite.
    pub(crate) fn schedule(&self, steps_per_epoch: u64) -> Result<Schedule, Reason> {
        if let Some(options) = &self.fine_tune {
            return Ok(self.fine_tuning(options, steps_per_epoch));
        }
        let warm_up = in_steps(self.schedule.warm_up, steps_per_epoch)?;
        let ends = self.extended_from.iter().chain([&self.epochs]);
        let ends = ends.map(|&epochs| (epochs as u64).saturating_mul(steps_per_epoch));
        let mut before = warm_up;
        let mut phases = Vec::new();
        for end in ends {
            let steps = end.saturating_sub(before).max(1);
            before = before.max(end);
            phases.push(Phase {
                steps,
                factor: 1.0,
                policy: self.schedule.policy.in_steps(steps, steps_per_epoch)?,
            });
        }
        let is_one = phases.len() == 1;
        let policy = match (&self.schedule.policy, phases.pop()) {
            (_, Some(phase)) if is_one => phase.policy,
            // The times of these do not depend on the length of the run.
            (PolicyInEpochs::Constant | PolicyInEpochs::MultiStep { .. }, Some(phase)) => {
                phase.policy
            }
            (_, last) => Policy::Sequence(phases.into_iter().chain(last).collect()),
        };
        Ok(Schedule {
            rate: self.schedule.rate,
            policy,
            warm_up: WarmUp {
                steps: warm_up,
                ..WarmUp::default()
            },
        })
    }

    /// The schedule of fine-tuning. An extension trains everything once more.
    fn fine_tuning(&self, options: &FineTune, steps_per_epoch: u64) -> Schedule {
        let mut phases = Vec::new();
        let mut before = 0;
        for &end in self.extended_from.iter().chain([&self.epochs]) {
            let head_first = options.in_run(end, &self.optimiser);
            let part = match before {
                0 => head_first,
                _ => transfer::FineTune {
                    freeze_epochs: 0,
                    epochs: end.saturating_sub(before) as u64,
                    ..head_first
                },
            };
            phases.extend(part.phases(steps_per_epoch));
            before = end;
        }
        Schedule {
            policy: Policy::Sequence(phases),
            ..Schedule::constant(options.rate)
        }
    }
}

impl PolicyInEpochs {
    /// The policy for a run of `steps` steps.
    fn in_steps(&self, steps: u64, steps_per_epoch: u64) -> Result<Policy, Reason> {
        Ok(match self {
            Self::Constant => Policy::Constant,
            Self::MultiStep { at, factor } => Policy::MultiStep {
                at: at
                    .iter()
                    .map(|&at| in_steps(at, steps_per_epoch))
                    .collect::<Result<_, _>>()?,
                factor: *factor,
            },
            Self::Cosine { last } => Policy::Cosine { steps, last: *last },
            Self::Polynomial { power } => Policy::Polynomial {
                steps,
                power: *power,
            },
            Self::OneCycle { rise } => Policy::OneCycle(OneCycle {
                pct_start: *rise,
                ..OneCycle::new(steps)
            }),
        })
    }
}

fn in_steps(epochs: f64, steps_per_epoch: u64) -> Result<u64, Reason> {
    if !epochs.is_finite() || epochs < 0.0 {
        return Err(format!("has a time of {epochs} epochs, expected at least 0").into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above, and saturating"
    )]
    let steps = (epochs * steps_per_epoch as f64).round() as u64;
    Ok(steps)
}
