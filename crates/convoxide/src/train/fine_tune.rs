//! `[fine_tune]` of a recipe: the head is trained first, then the whole network with lower rates at the
//! bottom, as [`transfer::FineTune`] does it.

use nn_layers::OptimiserOptions;
use serde::{Deserialize, Serialize};

use super::recipe::Mistake;

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
        let usual = transfer::FineTune::default();
        Self {
            freeze_epochs: 1,
            rate: usual.rate,
            rate_ratio: usual.rate_ratio,
            rise: usual.rise,
            div: usual.div,
        }
    }
}

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

    /// The library's options for a run of `epochs` epochs.
    pub(super) fn in_run(&self, epochs: usize, optimiser: &OptimiserOptions) -> transfer::FineTune {
        let usual = transfer::FineTune::default();
        transfer::FineTune {
            epochs: epochs.saturating_sub(self.freeze_epochs) as u64,
            freeze_epochs: self.freeze_epochs as u64,
            rate: self.rate,
            rate_ratio: self.rate_ratio,
            rise: self.rise,
            div: self.div,
            momentum: usual.momentum.filter(|_| optimiser.method.has_momentum()),
            optimiser: optimiser.clone(),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::train::recipe::Recipe;

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
        assert!(is(rate(499), 1e-3 / 1e5), "{}", rate(499));
        assert_eq!(schedule.at(100).momentum, Some(0.95));
        assert_eq!(schedule.at(219).momentum, Some(0.85));
    }

    #[test]
    fn an_extension_trains_everything_once_more() {
        let text = "model = \"resnet18\"\nepochs = 8\nextended_from = [5]\n[fine_tune]\n";
        let schedule = Recipe::parse(text).unwrap().schedule(100).unwrap();
        schedule.check().unwrap();
        let shorter = "model = \"resnet18\"\nepochs = 5\n[fine_tune]\n";
        let shorter = Recipe::parse(shorter).unwrap().schedule(100).unwrap();
        assert!((0..500).all(|step| schedule.at(step) == shorter.at(step)));
        assert_eq!(schedule.at(500).rate, schedule.at(100).rate);
        assert!(schedule.at(799).rate < 1e-7);
    }

    #[test]
    fn the_optimiser_is_that_of_the_library_unless_one_is_named() {
        let recipe = |more: &str| {
            let text = format!("model = \"resnet18\"\n{more}[fine_tune]\n");
            Recipe::parse(&text).unwrap()
        };
        let usual = recipe("");
        assert_eq!(usual.optimiser, transfer::FineTune::default().optimiser);
        let saved = Recipe::parse(&usual.to_text().unwrap()).unwrap();
        assert_eq!(saved, usual);
        let named = recipe("method = \"rms_prop\"\n");
        assert_ne!(named.optimiser, usual.optimiser);
        // Without a momentum, none is scheduled.
        assert_eq!(named.schedule(10).unwrap().at(0).momentum, None);
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
