//! `[fine_tune]` of a recipe: the head is trained first, then the whole network with lower rates at the
//! bottom.
//!
//! Reference: Howard and Gugger, "fastai: A Layered API for Deep Learning", 2020, section 2.1; the
//! values are those of its method `fine_tune`.

use image_classify::Architecture;
use nn_layers::{Freezing, OneCycle, ParamGroup, Phase, Policy, Select};
use serde::{Deserialize, Serialize};

use super::recipe::Mistake;
use crate::error::Reason;

/// The options of fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FineTune {
    /// The number of epochs at the start in which only the head is trained.
    pub(crate) freeze_epochs: usize,
    /// The largest rate of the head. It is halved when everything is trained.
    pub(crate) rate: f64,
    /// The rate of the head divided by that of the bottom; geometric between them.
    pub(crate) rate_ratio: f64,
    /// The share of the unfrozen steps in which the rate rises.
    pub(crate) rise: f64,
    /// The largest rate divided by the first, when everything is trained.
    pub(crate) div: f64,
}

impl Default for FineTune {
    fn default() -> Self {
        Self {
            freeze_epochs: 1,
            rate: 2e-3,
            rate_ratio: 100.0,
            rise: 0.3,
            div: 5.0,
        }
    }
}

/// The share of the frozen steps in which the rate rises.
const FROZEN_RISE: f64 = 0.99;

impl FineTune {
    /// The values out of range, in a run of `epochs` epochs.
    pub(super) fn mistakes(&self, epochs: usize) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if self.freeze_epochs >= epochs {
            let got = self.freeze_epochs;
            mistakes.push(Mistake::new(
                "fine_tune.freeze_epochs",
                format!("is {got}, expected fewer than the {epochs} epochs of the run"),
            ));
        }
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        for (key, got, is_good, expected) in [
            (
                "fine_tune.rate",
                self.rate,
                is_positive(self.rate),
                "above 0",
            ),
            (
                "fine_tune.rate_ratio",
                self.rate_ratio,
                self.rate_ratio.is_finite() && self.rate_ratio >= 1.0,
                "at least 1",
            ),
            (
                "fine_tune.rise",
                self.rise,
                (0.0..=1.0).contains(&self.rise),
                "from 0 to 1",
            ),
            ("fine_tune.div", self.div, is_positive(self.div), "above 0"),
        ] {
            if !is_good {
                mistakes.push(Mistake::new(key, format!("is {got}, expected {expected}")));
            }
        }
        mistakes
    }

    /// What is frozen from which epoch on, besides `frozen`.
    ///
    /// # Errors
    ///
    /// Those of the architecture's stages.
    pub(super) fn freezing(
        &self,
        architecture: &Architecture,
        frozen: &[String],
    ) -> Result<Vec<Freezing>, Reason> {
        let all = Freezing {
            epoch: self.freeze_epochs as u64,
            frozen: frozen.to_vec(),
        };
        if self.freeze_epochs == 0 {
            return Ok(vec![all]);
        }
        let mut stages = architecture.stages()?;
        stages.pop();
        let head = Freezing {
            epoch: 0,
            frozen: stages
                .into_iter()
                .flatten()
                .chain(frozen.to_vec())
                .collect(),
        };
        Ok(vec![head, all])
    }

    /// A group with its own rate for each stage but the head.
    ///
    /// # Errors
    ///
    /// Those of the architecture's stages.
    pub(super) fn groups(&self, architecture: &Architecture) -> Result<Vec<ParamGroup>, Reason> {
        let stages = architecture.stages()?;
        let below = stages.len().saturating_sub(1);
        let mut groups = Vec::new();
        for (index, stage) in stages.into_iter().take(below).enumerate() {
            let height = index as f64 / below as f64;
            groups.extend(stage.into_iter().map(|name| ParamGroup {
                rate_factor: self.rate_ratio.powf(height - 1.0),
                ..ParamGroup::new(Select::Prefix(name))
            }));
        }
        Ok(groups)
    }
}

/// The phases of a run of `steps` steps: the head alone, then everything.
pub(super) fn phases(options: &FineTune, steps_per_epoch: u64, steps: u64) -> Vec<Phase> {
    let frozen = (options.freeze_epochs as u64).saturating_mul(steps_per_epoch);
    let unfrozen = unfrozen(options, steps.saturating_sub(frozen).max(1));
    if frozen == 0 {
        return vec![unfrozen];
    }
    let head = Phase {
        steps: frozen,
        factor: 1.0,
        policy: Policy::OneCycle(OneCycle {
            pct_start: FROZEN_RISE,
            ..OneCycle::new(frozen)
        }),
    };
    vec![head, unfrozen]
}

/// A phase in which everything is trained.
pub(super) fn unfrozen(options: &FineTune, steps: u64) -> Phase {
    Phase {
        steps,
        factor: 0.5,
        policy: Policy::OneCycle(OneCycle {
            pct_start: options.rise,
            div_factor: options.div,
            ..OneCycle::new(steps)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::recipe::Recipe;

    #[test]
    fn the_head_is_trained_first_and_then_faster_than_the_bottom() {
        let options = FineTune::default();
        let network = Architecture::named("resnet18").unwrap();
        let freezing = options.freezing(&network, &["bn1".to_owned()]).unwrap();
        assert_eq!(
            freezing[0].frozen.concat(),
            "conv1bn1layer1layer2layer3layer4bn1"
        );
        assert_eq!(
            (freezing[1].epoch, &freezing[1].frozen[..]),
            (1, &["bn1".to_owned()][..])
        );

        let groups = options.groups(&network).unwrap();
        let factor = |name: &str| {
            let select = Select::Prefix(name.to_owned());
            let group = groups.iter().find(|group| group.select == select);
            group.map(|group| (group.rate_factor * 1e6).round() / 1e6)
        };
        assert_eq!(factor("conv1"), Some(0.01));
        assert_eq!(factor("bn1"), Some(0.01));
        // 100^(1/5 - 1) and 100^(4/5 - 1).
        assert_eq!(factor("layer1"), Some(0.025_119));
        assert_eq!(factor("layer4"), Some(0.398_107));
        assert_eq!(factor("fc"), None);
    }

    #[test]
    fn the_rates_are_those_of_fastai() {
        let text = "model = \"resnet18\"\nepochs = 5\n[fine_tune]\n";
        let schedule = Recipe::parse(text).unwrap().schedule(100).unwrap();
        schedule.check().unwrap();
        let rate = |step| schedule.at(step).rate;
        let is = |got: f64, expected: f64| (got - expected).abs() < 1e-5 * expected;
        assert!(is(rate(0), 2e-3 / 25.0), "{}", rate(0));
        // Half of the rate, and a fifth of that at the start.
        assert!(is(rate(100), 1e-3 / 5.0), "{}", rate(100));
        assert!(is(rate(100 + 119), 1e-3), "{}", rate(219));
        assert!(rate(499) < 1e-6);
    }

    #[test]
    fn values_out_of_range_are_named() {
        let text = "model = \"resnet18\"\nepochs = 1\n[fine_tune]\nrate = -1\nrise = 1.5\ndiv = 0\n\
                    rate_ratio = 0.5\n";
        let error = Recipe::parse(text).unwrap_err().to_string();
        for key in ["freeze_epochs", "rate", "rise", "div", "rate_ratio"] {
            assert!(error.contains(&format!("fine_tune.{key} is ")), "{error}");
        }
    }
}
