//! A recipe: everything that a training run depends on except the location of the data.

mod keys;
mod mistakes;
mod reference;
mod schedule;

use std::path::Path;

use files::show::count;
use image_classify::Architecture;
use image_data::{Augmentation, Preprocessing};
use nn_layers::{CrossEntropy, Optimiser, OptimiserOptions, Params};
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
        let weights = self.loss.class_weights.iter().flatten();
        if let Some(weight) = weights.into_iter().find(|&&w| !(w.is_finite() && w >= 0.0)) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    fn preprocessing(text: &str) -> Preprocessing {
        let recipe = Recipe::parse(text).unwrap();
        recipe.preprocessing(&recipe.architecture(2).unwrap())
    }

    #[test]
    fn numbers_out_of_range_are_named_with_their_limits() {
        assert!(Recipe::parse(RECIPE).is_ok());
        for length in ["0", "1000000000000", "4611686018427387904"] {
            let expected = format!("line 8: shapes.train is {length}, expected 1 to 10000000");
            assert_eq!(error("train = 100", &format!("train = {length}")), expected);
            let expected = format!("line 9: shapes.valid is {length}, expected 1 to 10000000");
            assert_eq!(error("valid = 20", &format!("valid = {length}")), expected);
        }
        for share in ["0.0", "1.0", "-0.5", "nan"] {
            let error = error("hold_out = 0.1", &format!("hold_out = {share}"));
            assert!(error.starts_with("line 5: hold_out is "), "{error}");
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

    /// The recipes of the repository mean what they meant before keys had defaults: checkpoints of
    /// older versions contain these values.
    #[test]
    fn recipes_have_kept_their_meaning() {
        let cifar = |model: &str, shortcut: Option<&str>, epochs: usize, rate: f64| {
            let mut recipe = json!({
                "model": model,
                "seed": 1,
                "epochs": epochs,
                "batch": 128,
                "preprocessing": {
                    "resize": null,
                    "crop": null,
                    "channels": "rgb",
                    "mean": [0.4914, 0.4822, 0.4465],
                    "std": [0.2470, 0.2435, 0.2616],
                },
                "augmentation": { "steps": [
                    { "pad_and_crop": { "padding": 4 } },
                    { "horizontal_flip": { "probability": 0.5 } },
                ] },
                "loss": { "label_smoothing": 0.0, "class_weights": null },
                "optimiser": {
                    "method": { "sgd": { "momentum": 0.9, "nesterov": true } },
                    "weight_decay": { "l2": 5e-4 },
                    "groups": [],
                    "clip": null,
                },
                "schedule": {
                    "rate": rate,
                    "policy": { "one_cycle": { "rise": 0.3 } },
                    "warm_up": 0.0,
                },
            });
            if let Some(shortcut) = shortcut {
                recipe["config"] = json!({ "shortcut": shortcut });
            }
            recipe
        };
        let mut fashion = cifar("resnet20", None, 12, 0.2);
        fashion["config"] = json!({ "in_channels": 1, "layers": [1, 1, 1], "width": 32 });
        fashion["preprocessing"] = json!({
            "resize": null, "crop": null, "channels": "grey", "mean": [0.2860], "std": [0.3530],
        });
        fashion["augmentation"]["steps"][0]["pad_and_crop"]["padding"] = json!(2);
        let mut shapes = cifar("resnet20", None, 9, 5e-3);
        shapes["config"] = json!({
            "stem": "imagenet", "output_stride": 16, "layers": [1, 1, 1], "width": 16,
        });
        shapes["batch"] = json!(32);
        shapes["shapes"] = json!({ "train": 12000, "valid": 1000, "size": [64, 64], "seed": 0 });
        shapes.as_object_mut().unwrap().remove("preprocessing");
        let flip = shapes["augmentation"]["steps"][1].clone();
        shapes["augmentation"]["steps"] = json!([flip]);
        shapes["optimiser"]["method"] = json!({
            "adam": { "betas": [0.9, 0.999], "epsilon": 1e-8 },
        });
        shapes["optimiser"]["weight_decay"] = json!({ "decoupled": 1e-2 });
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
        let mut known = vec![
            (
                "cifar10-depth",
                cifar("resnet20", Some("projection"), 5, 0.1),
            ),
            (
                "cifar10-depth-plain",
                cifar("resnet20", Some("none"), 5, 0.1),
            ),
            ("cifar10-inception", cifar("inception_cifar", None, 15, 0.2)),
            (
                "cifar10-inception-3x3",
                cifar("inception_cifar_3x3", None, 15, 0.2),
            ),
            (
                "cifar10-resnet20",
                cifar("resnet20", Some("projection"), 15, 0.2),
            ),
            (
                "cifar10-resnet20-long",
                cifar("resnet20", Some("projection"), 60, 0.2),
            ),
            ("fashion-mnist", fashion),
            ("shapes", shapes),
        ];
        for (name, meaning) in known.drain(..) {
            let draft = Draft::open(&folder.join(format!("{name}.toml"))).unwrap();
            let recipe = serde_json::to_value(draft.recipe().unwrap()).unwrap();
            assert_eq!(recipe, meaning, "{name}");
        }
        // Newer ones, too, can be used.
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|suffix| suffix == "toml") {
                Draft::open(&path).unwrap().recipe().unwrap();
            }
        }
    }

    #[test]
    fn the_model_is_enough() {
        let recipe = Recipe::parse("model = \"resnet18\"").unwrap();
        assert_eq!((recipe.epochs, recipe.batch, recipe.seed), (10, 32, 1));
        assert_eq!(recipe.schedule.rate, 2e-3);
        let text = "model = \"resnet18\"\nmethod = \"sgd\"";
        let recipe = Recipe::parse(text).unwrap();
        assert_eq!(recipe.schedule.rate, 0.1);
        assert_eq!(
            serde_json::to_value(&recipe.optimiser).unwrap()["method"],
            json!({ "sgd": { "momentum": 0.9, "nesterov": true } })
        );
    }

    #[test]
    fn a_key_of_the_preprocessing_keeps_the_others() {
        let usual = Preprocessing::imagenet();
        let one = preprocessing("model = \"resnet18\"\npreprocessing.mean = [0.1, 0.2, 0.3]");
        let expected = Preprocessing {
            mean: vec![0.1, 0.2, 0.3],
            ..usual
        };
        assert_eq!(one, expected);
    }

    #[test]
    fn a_resize_sets_the_size_of_training_and_validation() {
        let sized = |resize: &str| {
            preprocessing(&format!("model = \"resnet20\"\nresize = {resize}")).fixed_size()
        };
        assert_eq!(sized("64"), Some([64, 64]));
        assert_eq!(sized("[48, 96]"), Some([48, 96]));
        assert_eq!(sized("\"none\""), None);
        let recipe = Recipe::parse("model = \"resnet18\"\nresize = \"none\"").unwrap();
        assert_eq!(Recipe::parse(&recipe.to_text().unwrap()).unwrap(), recipe);
        for resize in ["0", "[0, 3]", "-5", "[1, 2, 3]", "\"big\"", "1.5"] {
            let text = format!("model = \"resnet20\"\nresize = {resize}");
            let error = Recipe::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with("line 2: "), "{resize}: {error}");
        }
    }

    #[test]
    fn an_extension_follows_the_policy_once_more() {
        let text = "model = \"resnet20\"\nepochs = 10\n[schedule]\nrate = 1.0\n\
                    policy = { cosine = {} }\nwarm_up = 1\n";
        let mut recipe = Recipe::parse(text).unwrap();
        let before = recipe.schedule(10).unwrap();
        recipe.epochs = 14;
        recipe.continue_from(&json!({ "epochs": 10 }));
        assert_eq!(recipe.extended_from, [10]);
        let schedule = recipe.schedule(10).unwrap();
        schedule.check().unwrap();
        for step in 0..100 {
            assert_eq!(schedule.at(step), before.at(step), "{step}");
        }
        assert_eq!(schedule.at(100).rate, 1.0);
        assert_eq!(schedule.at(120).rate, 0.5);
        assert!(schedule.at(139).rate < 0.01);
        // Once more, and the same when it is resumed.
        recipe.epochs = 20;
        recipe.continue_from(&json!({ "epochs": 14, "extended_from": [10] }));
        assert_eq!(recipe.extended_from, [10, 14]);
        let again = recipe.clone();
        recipe.continue_from(&serde_json::to_value(&again).unwrap());
        assert_eq!(recipe, again);
        assert_eq!(Recipe::parse(&recipe.to_text().unwrap()).unwrap(), recipe);
    }
}
