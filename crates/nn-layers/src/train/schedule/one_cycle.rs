//! The one-cycle policy: up to a large rate, then down to a tiny one.

use serde::{Deserialize, Serialize};

use super::Rates;
use crate::{
    error::Result,
    train::option::{at_least_1, below_1, from_0_to_1, positive},
};

/// From `γ / div_factor` up to `γ` in the first part of the steps, then down to
/// `γ / (div_factor · final_div_factor)` at the last step, where the rate stays. The momentum, if
/// it is cycled, changes in the opposite direction.
///
/// Reference: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
/// Large Learning Rates", 2017, section 3; the values are those of PyTorch's `OneCycleLR`, whose
/// two parts may meet between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// The number of steps, at least 1.
    pub steps: u64,
    /// The share of the steps in which the rate rises, from 0 to 1.
    #[serde(default = "pct_start")]
    pub pct_start: f64,
    /// The curve between two corners.
    #[serde(default)]
    pub anneal: Anneal,
    /// The largest rate divided by the first.
    #[serde(default = "div_factor")]
    pub div_factor: f64,
    /// The first rate divided by the last.
    #[serde(default = "final_div_factor")]
    pub final_div_factor: f64,
    /// The smallest momentum, used at the largest rate, and the largest, used at both ends; `None`
    /// leaves the momentum to the optimiser. PyTorch's defaults are `[0.85, 0.95]`.
    #[serde(default)]
    pub momentum: Option<[f64; 2]>,
}

fn pct_start() -> f64 {
    0.3
}

fn div_factor() -> f64 {
    25.0
}

fn final_div_factor() -> f64 {
    1e4
}

/// The curve between two corners of a [`OneCycle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anneal {
    /// Half a period of a cosine.
    #[default]
    Cos,
    /// A straight line.
    Linear,
}

impl Anneal {
    fn between(self, start: f64, end: f64, share: f64) -> f64 {
        match self {
            Self::Cos => end + (start - end) / 2.0 * ((std::f64::consts::PI * share).cos() + 1.0),
            Self::Linear => (end - start) * share + start,
        }
    }
}

impl OneCycle {
    /// A cycle of `steps` steps with the default options: `pct_start` 0.3, a cosine, `div_factor`
    /// 25, `final_div_factor` 1e4, no momentum.
    #[must_use]
    pub fn new(steps: u64) -> Self {
        Self {
            steps,
            pct_start: pct_start(),
            anneal: Anneal::Cos,
            div_factor: div_factor(),
            final_div_factor: final_div_factor(),
            momentum: None,
        }
    }

    pub(super) fn at(&self, rate: f64, step: u64) -> Rates {
        let first = rate / self.div_factor;
        let last = first / self.final_div_factor;
        let end = self.steps.saturating_sub(1) as f64;
        let top = self.pct_start * self.steps as f64 - 1.0;
        let step = (step as f64).min(end);

        let is_up = step <= top;
        let [from, to] = if is_up { [0.0, top] } else { [top, end] };
        // A part of length 0 is at its end.
        let share = if to > from {
            (step - from) / (to - from)
        } else {
            1.0
        };
        let between = |bottom, top, after| match is_up {
            true => self.anneal.between(bottom, top, share),
            false => self.anneal.between(top, after, share),
        };
        Rates {
            rate: between(first, rate, last),
            momentum: self.momentum.map(|[base, max]| between(max, base, max)),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        at_least_1("the schedule's steps", self.steps)?;
        from_0_to_1("pct_start", self.pct_start)?;
        positive("div_factor", self.div_factor)?;
        positive("final_div_factor", self.final_div_factor)?;
        for momentum in self.momentum.into_iter().flatten() {
            below_1("a cycled momentum", momentum)?;
        }
        Ok(())
    }
}
