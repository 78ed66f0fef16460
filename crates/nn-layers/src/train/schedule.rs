//! Learning rate schedules.

mod one_cycle;

use serde::{Deserialize, Serialize};

pub use self::one_cycle::{Anneal, OneCycle};
use crate::{
    error::Result,
    train::option::{at_least_0, at_least_1, from_0_to_1, positive},
};

/// The learning rate as a function of the step's number alone.
///
/// ```
/// use nn_layers::{Policy, Schedule, WarmUp};
///
/// let schedule = Schedule {
///     rate: 0.1,
///     policy: Policy::Cosine { steps: 100, last: 0.0 },
///     warm_up: WarmUp { steps: 10, start_factor: 0.5 },
/// };
/// assert_eq!(schedule.at(0).rate, 0.05);
/// assert_eq!(schedule.at(10).rate, 0.1);
/// assert_eq!(schedule.at(60).rate, 0.05);
/// assert_eq!(schedule.at(110).rate, 0.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The rate that the policy starts from; for a one-cycle policy, the largest.
    pub rate: f64,
    /// How the rate changes.
    #[serde(default)]
    pub policy: Policy,
    /// The steps before the policy.
    #[serde(default)]
    pub warm_up: WarmUp,
}

/// How a rate `γ` changes with the step `s`, counted from 0 at the start of the policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Policy {
    /// `γ`.
    #[default]
    Constant,
    /// `γ · factor^floor(s / every)`.
    Step {
        /// The number of steps between two changes, at least 1.
        every: u64,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// `γ · factor^k`, where `k` is the number of values in `at` that are ≤ `s`.
    MultiStep {
        /// The steps from which the rate is multiplied once more.
        at: Vec<u64>,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// `last + (γ - last) · (1 + cos(π s / steps)) / 2`, and `last` from `steps` on (Loshchilov and
    /// Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016, section 3, without
    /// restarts).
    Cosine {
        /// The number of steps, at least 1.
        steps: u64,
        /// The rate at the end.
        #[serde(default)]
        last: f64,
    },
    /// `γ · (1 - s / steps)^power`, and 0 from `steps` on.
    Polynomial {
        /// The number of steps, at least 1.
        steps: u64,
        /// The exponent; 1 is a straight line.
        power: f64,
    },
    /// Up to `γ` and down again: see [`OneCycle`].
    OneCycle(OneCycle),
    /// Policies one after another, as for a training in phases. The last one goes on after its end.
    Sequence(Vec<Phase>),
}

/// A part of a [`Policy::Sequence`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The number of steps, at least 1.
    pub steps: u64,
    /// What the rate `γ` is multiplied by.
    #[serde(default = "one")]
    pub factor: f64,
    /// How the rate changes; it counts its steps from the start of the phase.
    #[serde(default)]
    pub policy: Policy,
}

fn one() -> f64 {
    1.0
}

/// A linear warm-up before the policy, from `start_factor` times the policy's first rate up to that
/// rate, so that large first steps do not ruin the parameters (Goyal et al., "Accurate, Large
/// Minibatch SGD", 2017, section 2.2). The policy counts its steps from the end of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmUp {
    /// The number of steps; 0 for no warm-up.
    pub steps: u64,
    /// The first step's share of the rate, from 0 to 1.
    pub start_factor: f64,
}

/// No warm-up. If only `steps` is set, it starts at a hundredth of the rate.
impl Default for WarmUp {
    fn default() -> Self {
        Self {
            steps: 0,
            start_factor: 0.01,
        }
    }
}

/// The values that a schedule sets in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The learning rate.
    pub rate: f64,
    /// The momentum (Adam's `β₁`), if the schedule sets it instead of the optimiser.
    pub momentum: Option<f64>,
}

impl Rates {
    /// A rate alone.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self {
            rate,
            momentum: None,
        }
    }
}

/// A rate alone.
impl From<f64> for Rates {
    fn from(rate: f64) -> Self {
        Self::new(rate)
    }
}

impl Schedule {
    /// The same rate in every step.
    #[must_use]
    pub fn constant(rate: f64) -> Self {
        Self {
            rate,
            policy: Policy::Constant,
            warm_up: WarmUp::default(),
        }
    }

    /// The rate and momentum of step `step`, counted from 0.
    #[must_use]
    pub fn at(&self, step: u64) -> Rates {
        let WarmUp {
            steps,
            start_factor,
        } = self.warm_up;
        match step.checked_sub(steps) {
            Some(step) => self.policy.at(self.rate, step),
            None => {
                let first = self.policy.at(self.rate, 0);
                let share = step as f64 / steps as f64;
                let factor = start_factor + (1.0 - start_factor) * share;
                Rates {
                    rate: first.rate * factor,
                    ..first
                }
            }
        }
    }

    /// Checks all values.
    ///
    /// # Errors
    ///
    /// [`TrainError::Value`](crate::TrainError::Value) for the first value out of range.
    pub fn check(&self) -> Result<()> {
        positive("the rate", self.rate)?;
        from_0_to_1("the warm-up's start_factor", self.warm_up.start_factor)?;
        self.policy.check()
    }
}

impl Policy {
    fn at(&self, rate: f64, step: u64) -> Rates {
        let share = |steps: u64| step.min(steps) as f64 / steps as f64;
        Rates::new(match self {
            Self::Constant => rate,
            Self::Step { every, factor } => rate * power(*factor, step / every.max(&1)),
            Self::MultiStep { at, factor } => {
                let passed = at.iter().filter(|&&at| at <= step).count();
                rate * power(*factor, passed as u64)
            }
            Self::Cosine { steps, last } => {
                let turn = std::f64::consts::PI * share(*steps);
                last + (rate - last) * (1.0 + turn.cos()) / 2.0
            }
            Self::Polynomial { steps, power } => rate * (1.0 - share(*steps)).powf(*power),
            Self::OneCycle(one_cycle) => return one_cycle.at(rate, step),
            Self::Sequence(phases) => {
                let mut start = 0;
                let mut phases = phases.iter().peekable();
                while let Some(Phase {
                    steps,
                    factor,
                    policy,
                }) = phases.next()
                {
                    if step - start < *steps || phases.peek().is_none() {
                        return policy.at(rate * factor, step - start);
                    }
                    start += steps;
                }
                rate
            }
        })
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Constant => Ok(()),
            Self::Step { every, factor } => {
                at_least_1("the steps between two changes of the rate", *every)?;
                positive("the rate's factor", *factor)
            }
            Self::MultiStep { factor, .. } => positive("the rate's factor", *factor),
            Self::Cosine { steps, last } => {
                at_least_1("the schedule's steps", *steps)?;
                at_least_0("the last rate", *last)
            }
            Self::Polynomial { steps, power } => {
                at_least_1("the schedule's steps", *steps)?;
                positive("the schedule's power", *power)
            }
            Self::OneCycle(one_cycle) => one_cycle.check(),
            Self::Sequence(phases) => {
                at_least_1("the phases of a schedule", phases.len() as u64)?;
                for phase in phases {
                    at_least_1("the steps of a phase", phase.steps)?;
                    positive("the rate's factor of a phase", phase.factor)?;
                    phase.policy.check()?;
                }
                Ok(())
            }
        }
    }
}

fn power(factor: f64, times: u64) -> f64 {
    factor.powf(times as f64)
}
