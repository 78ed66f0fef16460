//! A recipe: everything that a training run depends on except the location of the data.

use std::path::Path;

use files::show::count;
use image_classify::Architecture;
use image_data::{Augmentation, Preprocessing, Shapes, ShapesOptions};
use nn_layers::{CrossEntropy, OneCycle, OptimiserOptions, Policy, Schedule, WarmUp};
use serde::{Deserialize, Serialize};

use crate::error::Reason;

/// The content of a `.toml` file. Times are in epochs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// The architecture's name.
    pub(crate) model: String,
    /// The fields of its configuration that differ from those of the named architecture. The number of
    /// classes comes from the data.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub(crate) config: toml::Table,
    /// The seed of all random numbers.
    #[serde(default = "one")]
    pub(crate) seed: u64,
    pub(crate) epochs: usize,
    /// The batch size.
    pub(crate) batch: usize,
    /// Nodes or scopes that are not trained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) frozen: Vec<String>,
    /// The run ends when the validation accuracy has not risen for this many epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) patience: Option<usize>,
    /// The share of the pictures that is set aside for validation if the data has no part for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hold_out: Option<f64>,
    /// A dataset that is drawn; any other is given by `--data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shapes: Option<DrawnShapes>,
    /// The preprocessing of every picture, if it differs from the architecture's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) preprocessing: Option<Preprocessing>,
    /// Random changes to training pictures before the preprocessing.
    #[serde(default)]
    pub(crate) augmentation: Augmentation,
    #[serde(default)]
    pub(crate) loss: CrossEntropy,
    #[serde(default)]
    pub(crate) optimiser: OptimiserOptions,
    pub(crate) schedule: InEpochs,
}

/// The built-in dataset, with the numbers of training and validation pictures.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrawnShapes {
    pub(crate) train: usize,
    pub(crate) valid: usize,
    pub(crate) size: [usize; 2],
    #[serde(default)]
    pub(crate) seed: u64,
}

/// A [`Schedule`] whose times are epochs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InEpochs {
    pub(crate) rate: f64,
    #[serde(default)]
    pub(crate) policy: PolicyInEpochs,
    /// The number of epochs in which the rate rises to its first value.
    #[serde(default)]
    pub(crate) warm_up: f64,
}

/// The course of the rate after the warm-up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PolicyInEpochs {
    #[default]
    Constant,
    /// Multiplied by the factor at each of these epochs.
    MultiStep { at: Vec<f64>, factor: f64 },
    /// Half a cosine, down to `last` at the end of the run.
    Cosine {
        #[serde(default)]
        last: f64,
    },
    /// A polynomial, down to 0 at the end of the run.
    Polynomial { power: f64 },
    /// Up to the rate during the share `rise` of the run, then down again.
    OneCycle {
        #[serde(default = "three_tenths")]
        rise: f64,
    },
}

fn one() -> u64 {
    1
}

fn three_tenths() -> f64 {
    0.3
}

impl Recipe {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// Those of reading the file, and as [`parse`](Self::parse).
    pub(crate) fn open(path: &Path) -> Result<Self, Reason> {
        /// Far larger than any recipe, so that a wrong file is not read into memory.
        const MOST: u64 = 1 << 20;
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err("not a file".into());
        }
        if metadata.len() > MOST {
            let len = metadata.len();
            return Err(format!("the recipe has {len} bytes, expected at most {MOST}").into());
        }
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Parses and checks a recipe.
    ///
    /// # Errors
    ///
    /// A syntax error with its line, an unknown field, and as [`check`](Self::check), each in one line.
    pub(crate) fn parse(text: &str) -> Result<Self, Reason> {
        let recipe: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| {
                let before = text.get(..span.start).unwrap_or_default();
                format!("line {}: ", before.matches('\n').count() + 1)
            });
            format!("{}{}", line.unwrap_or_default(), error.message())
        })?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Checks that every value is in its range.
    ///
    /// # Errors
    ///
    /// The first value that is not, with its range, in one line.
    pub(crate) fn check(&self) -> Result<(), Reason> {
        /// A larger number is a typing error.
        const MOST: usize = 1_000_000;
        let drawn = self.shapes.iter().flat_map(|shapes| {
            [
                ("shapes.train", shapes.train),
                ("shapes.valid", shapes.valid),
            ]
            .map(|(key, got)| (key, got, Shapes::MOST))
        });
        let counts = [("epochs", self.epochs, MOST), ("batch", self.batch, MOST)];
        for (key, got, most) in counts.into_iter().chain(drawn) {
            if !(1..=most).contains(&got) {
                return Err(format!("{key} is {got}, expected 1 to {most}").into());
            }
        }
        if let Some(share) = self.hold_out
            && !(share > 0.0 && share < 1.0)
        {
            return Err(format!("hold_out is {share}, expected between 0 and 1").into());
        }
        self.architecture(2)?;
        self.schedule(1)?.check()?;
        if let Some(preprocessing) = &self.preprocessing {
            preprocessing.check()?;
            // Caffe and older Keras models use this range.
            if let Some(mean) = preprocessing.mean.iter().find(|&&mean| mean > 1.0) {
                return Err(format!(
                    "preprocessing.mean has {mean}, but pixels range from 0 to 1: divide mean and std \
                     by 255"
                )
                .into());
            }
        }
        Ok(())
    }

    /// Settings that are valid but probably a mistake, one sentence each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let (warm_up, epochs) = (self.schedule.warm_up, self.epochs);
        let mut warnings = Vec::new();
        if warm_up >= epochs as f64 {
            let epochs = count(epochs, "epoch", "epochs");
            warnings.push(format!(
                "schedule.warm_up is {warm_up} epochs, but the run has {epochs}: the rate never \
                 reaches {}",
                self.schedule.rate
            ));
        }
        warnings
    }

    /// Returns the network for `classes` classes.
    ///
    /// # Errors
    ///
    /// An unknown name, and a configuration that does not fit the architecture.
    pub(crate) fn architecture(&self, classes: usize) -> Result<Architecture, Reason> {
        let architecture = Architecture::named(&self.model)?;
        let mut config = architecture.config()?;
        if let Some(fields) = config.as_object_mut() {
            for (name, value) in &self.config {
                fields.insert(name.clone(), serde_json::to_value(value)?);
            }
        }
        let architecture = architecture
            .configured(config)
            .map_err(|error| format!("the configuration of {}: {error}", self.model))?;
        Ok(architecture.with_classes(classes))
    }

    /// Returns the schedule in steps.
    ///
    /// # Errors
    ///
    /// A time that is negative or not finite.
    pub(crate) fn schedule(&self, steps_per_epoch: u64) -> Result<Schedule, Reason> {
        let in_steps = |epochs: f64| {
            if !epochs.is_finite() || epochs < 0.0 {
                return Err(Reason::from(format!(
                    "the schedule has a time of {epochs} epochs, expected at least 0"
                )));
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked above, and saturating"
            )]
            let steps = (epochs * steps_per_epoch as f64).round() as u64;
            Ok(steps)
        };
        let warm_up = in_steps(self.schedule.warm_up)?;
        let all = in_steps(self.epochs as f64)?.saturating_sub(warm_up).max(1);
        let policy = match &self.schedule.policy {
            PolicyInEpochs::Constant => Policy::Constant,
            PolicyInEpochs::MultiStep { at, factor } => Policy::MultiStep {
                at: at
                    .iter()
                    .map(|&at| in_steps(at))
                    .collect::<Result<_, _>>()?,
                factor: *factor,
            },
            PolicyInEpochs::Cosine { last } => Policy::Cosine {
                steps: all,
                last: *last,
            },
            PolicyInEpochs::Polynomial { power } => Policy::Polynomial {
                steps: all,
                power: *power,
            },
            PolicyInEpochs::OneCycle { rise } => Policy::OneCycle(OneCycle {
                pct_start: *rise,
                ..OneCycle::new(all)
            }),
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

    /// Returns the preprocessing. Drawn pictures already have the right size.
    pub(crate) fn preprocessing(&self, architecture: &Architecture) -> Preprocessing {
        let usual = || match &self.shapes {
            None => architecture.preprocessing(),
            Some(_) => Preprocessing {
                resize: None,
                crop: None,
                ..architecture.preprocessing()
            },
        };
        self.preprocessing.clone().unwrap_or_else(usual)
    }

    /// Returns the recipe as TOML.
    ///
    /// # Errors
    ///
    /// Numbers that TOML cannot express.
    pub(crate) fn to_text(&self) -> Result<String, Reason> {
        Ok(toml::to_string(self)?)
    }
}

impl DrawnShapes {
    pub(crate) fn options(&self) -> ShapesOptions {
        ShapesOptions {
            seed: self.seed,
            len: self.train,
            size: self.size,
            ..ShapesOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = r#"
model = "resnet20"
epochs = 4
batch = 16
hold_out = 0.1

[shapes]
train = 100
valid = 20
size = [16, 16]

[preprocessing]
channels = "rgb"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]

[schedule]
rate = 0.05
warm_up = 1
"#;

    fn error(from: &str, to: &str) -> String {
        assert!(RECIPE.contains(from), "{from}");
        Recipe::parse(&RECIPE.replace(from, to))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn numbers_out_of_range_are_named_with_their_limits() {
        assert!(Recipe::parse(RECIPE).is_ok());
        for length in ["0", "1000000000000", "4611686018427387904"] {
            let expected = format!("shapes.train is {length}, expected 1 to 10000000");
            assert_eq!(error("train = 100", &format!("train = {length}")), expected);
            let expected = format!("shapes.valid is {length}, expected 1 to 10000000");
            assert_eq!(error("valid = 20", &format!("valid = {length}")), expected);
        }
        for share in ["0.0", "1.0", "-0.5", "nan"] {
            let error = error("hold_out = 0.1", &format!("hold_out = {share}"));
            assert!(error.starts_with("hold_out is "), "{error}");
        }
    }

    #[test]
    fn a_mean_for_pixels_up_to_255_is_an_error_that_says_what_to_do() {
        let error = error("mean = [0.5, 0.5, 0.5]", "mean = [127.5, 127.5, 127.5]");
        assert!(error.contains("preprocessing.mean has 127.5"), "{error}");
        assert!(error.contains("by 255"), "{error}");
    }

    #[test]
    fn a_warm_up_longer_than_the_run_causes_a_warning() {
        assert_eq!(Recipe::parse(RECIPE).unwrap().warnings(), [""; 0]);
        let long = RECIPE.replace("warm_up = 1", "warm_up = 100");
        assert_eq!(
            Recipe::parse(&long).unwrap().warnings(),
            [
                "schedule.warm_up is 100 epochs, but the run has 4 epochs: the rate never reaches 0.05"
            ]
        );
    }
}
