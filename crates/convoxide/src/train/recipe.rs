//! A recipe: everything that a training run depends on except the location of the data.

mod keys;
mod mistakes;
mod reference;
mod schedule;
#[cfg(test)]
mod tests;

use std::path::Path;

use files::show::count;
use image_classify::Architecture;
use image_data::{Augmentation, Preprocessing};
use nn_layers::{ClassWeights, CrossEntropy, Optimiser, OptimiserOptions, Params};
use serde::Serialize;
use serde_json::Value;

use super::fine_tune::FineTune;
use crate::error::Reason;
pub(crate) use keys::{DrawnShapes, Keys, PreprocessingKeys, ResizeKey};
pub(crate) use mistakes::{Draft, Mistake, Mistakes};
pub(crate) use reference::commented;
use schedule::InEpochs;

/// A recipe with all defaults. Times are in epochs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Recipe {
    /// The architecture's name.
    pub(crate) model: String,
    /// The fields of its configuration that differ from those of the named architecture. The number of
    /// classes comes from the data.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub(crate) config: toml::Table,
    /// The weights that training starts from: a file, a run's folder, or the name of a known model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<String>,
    /// The seed of all random numbers.
    pub(crate) seed: u64,
    pub(crate) epochs: usize,
    /// The batch size.
    pub(crate) batch: usize,
    /// Whether every class is drawn equally often.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) balanced: bool,
    /// The classes that are used, if not all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) classes: Vec<String>,
    /// The largest number of training pictures of each class: the first ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_class: Option<usize>,
    /// Nodes or scopes that are not trained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) frozen: Vec<String>,
    /// The run ends when the validation accuracy has not risen for this many epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patience: Option<usize>,
    /// The share of the pictures that is set aside for validation if the data has no part for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hold_out: Option<f64>,
    /// The numbers of epochs after which the run had ended before it was extended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) extended_from: Vec<usize>,
    /// A dataset that is drawn; any other is given by `--data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shapes: Option<DrawnShapes>,
    /// The preprocessing of every picture, if it differs from the architecture's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preprocessing: Option<Preprocessing>,
    /// Random changes to training pictures before the preprocessing.
    pub(crate) augmentation: Augmentation,
    pub(crate) loss: CrossEntropy,
    pub(crate) optimiser: OptimiserOptions,
    pub(crate) schedule: InEpochs,
    /// Training of the head first, instead of the schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fine_tune: Option<FineTune>,
}

impl Draft {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Those of reading the file. Its mistakes are told by [`recipe`](Self::recipe).
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
        Ok(Self::parse(&std::fs::read_to_string(path)?))
    }
}

impl Recipe {
    /// Parses and checks a recipe.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Result<Self, Mistakes> {
        Draft::parse(text).recipe()
    }

    /// The values that are out of range or do not fit each other.
    fn mistakes(&self) -> Vec<Mistake> {
        /// A larger number is a typing error.
        const MOST: usize = 1_000_000;
        let mut mistakes = Vec::new();
        let mut say = |key, text: String| mistakes.push(Mistake::new(key, text));
        let counts = [
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("patience", self.patience.unwrap_or(1)),
            ("per_class", self.per_class.unwrap_or(1)),
        ];
        for (key, got) in counts {
            if !(1..=MOST).contains(&got) {
                say(key, format!("is {got}, expected 1 to {MOST}"));
            }
        }
        if let Some(share) = self.hold_out
            && !(share > 0.0 && share < 1.0)
        {
            say("hold_out", format!("is {share}, expected between 0 and 1"));
        }
        let ends = self.extended_from.iter().chain([&self.epochs]);
        if !ends.is_sorted_by(|before, after| before < after) {
            say(
                "extended_from",
                "is not a list of rising numbers below epochs".to_owned(),
            );
        }
        let smoothing = self.loss.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            say(
                "loss.label_smoothing",
                format!("is {smoothing}, expected 0 to 1"),
            );
        }
        let weights = self.loss.class_weights.iter();
        let mut weights = weights.flat_map(ClassWeights::values);
        if let Some(weight) = weights.find(|&&w| !(w.is_finite() && w >= 0.0)) {
            say(
                "loss.class_weights",
                format!("has {weight}, expected at least 0"),
            );
        }
        let InEpochs { rate, warm_up, .. } = self.schedule;
        if !(rate.is_finite() && rate > 0.0) {
            say(
                "schedule.rate",
                format!("is {rate}, expected a number above 0"),
            );
        } else if !(warm_up.is_finite() && warm_up >= 0.0) {
            say(
                "schedule.warm_up",
                format!("is {warm_up}, expected at least 0"),
            );
        } else if self.fine_tune.is_none() {
            let schedule = self.schedule(1);
            if let Err(error) = schedule.and_then(|schedule| Ok(schedule.check()?)) {
                say("schedule.policy", format!(": {error}"));
            }
        }
        // The groups are checked with the network's parameters.
        let options = OptimiserOptions {
            groups: Vec::new(),
            ..self.optimiser.clone()
        };
        if let Err(error) = Optimiser::<f32>::new(options, &Params::new()) {
            say("optimiser", format!(": {error}"));
        }
        match Architecture::named(&self.model) {
            Err(_) if self.model.is_empty() => {
                say(
                    "",
                    "missing field `model`: the architecture's name".to_owned(),
                );
            }
            Err(error) => say("model", format!(": {error}")),
            Ok(_) => match self.architecture(2) {
                Err(error) => say("config", format!(": {error}")),
                Ok(architecture) => self.check_pictures(&architecture, &mut say),
            },
        }
        mistakes.extend(self.shapes.iter().flat_map(DrawnShapes::mistakes));
        if let Some(options) = &self.fine_tune {
            mistakes.extend(options.mistakes(self.epochs));
        }
        mistakes
    }

    /// Checks the preprocessing and the augmentation.
    fn check_pictures(
        &self,
        architecture: &Architecture,
        say: &mut dyn FnMut(&'static str, String),
    ) {
        let preprocessing = self.preprocessing(architecture);
        // Caffe and older Keras models use this range.
        if let Some(mean) = preprocessing.mean.iter().find(|&&mean| mean > 1.0) {
            return say(
                "preprocessing.mean",
                format!("has {mean}, but pixels range from 0 to 1: divide mean and std by 255"),
            );
        }
        if let Err(error) = preprocessing.check() {
            return say("preprocessing", format!(": {error}"));
        }
        let [channels, ..] = architecture.input();
        let made = preprocessing.channels.count();
        if made != channels {
            say(
                "preprocessing.channels",
                format!("produces {made} channels, but the network takes {channels}"),
            );
        }
        if let Err(error) = self.augmentation.check(&preprocessing) {
            say("augmentation", format!(": {error}"));
        }
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

    /// Continues the run of a checkpoint with this recipe: with more epochs, the run is extended. The
    /// weights at the start no longer matter.
    pub(crate) fn continue_from(&mut self, saved: &Value) {
        let number = |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
        let Some(epochs) = number(&saved["epochs"]) else {
            return;
        };
        let earlier = saved["extended_from"].as_array();
        let earlier = earlier.into_iter().flatten().filter_map(number);
        if self.epochs >= epochs {
            let ended = (self.epochs > epochs).then_some(epochs);
            self.extended_from = earlier.chain(ended).collect();
        }
        self.weights = saved["weights"].as_str().map(str::to_owned);
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
        let mut table = toml::Table::try_from(self)?;
        if self.fine_tune.is_some() {
            // Not in use, and not accepted beside it.
            table.remove("schedule");
        }
        if let (None, Some(preprocessing)) = (&self.shapes, &self.preprocessing)
            && preprocessing.resize.is_none()
            && preprocessing.crop.is_none()
        {
            // TOML has no null, and without a key it would be the architecture's.
            table.insert("resize".to_owned(), "none".into());
        }
        Ok(toml::to_string(&table)?)
    }
}
