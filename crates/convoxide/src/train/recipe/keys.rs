//! The keys of a recipe as they are written in the file, and what they mean together.

use image_data::{
    Augmentation, ChannelOrder, Filter, Preprocessing, Resize, ResizeTo, Shapes, ShapesOptions,
};
use nn_layers::{
    Adam, Clip, CrossEntropy, Method, OptimiserOptions, ParamGroup, RmsProp, Sgd, WeightDecay,
};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::mistakes::Mistake;
use super::schedule::{InEpochs, PolicyInEpochs};
use super::{FineTune, Recipe};

/// A `.toml` file. Every key but `model` has a default; see `docs/recipes.md`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) model: Option<String>,
    pub(crate) config: toml::Table,
    pub(crate) weights: Option<String>,
    pub(crate) seed: Option<u64>,
    pub(crate) epochs: Option<usize>,
    pub(crate) batch: Option<usize>,
    pub(crate) resize: Option<ResizeKey>,
    pub(crate) method: Option<MethodName>,
    pub(crate) balanced: bool,
    pub(crate) classes: Vec<String>,
    pub(crate) per_class: Option<usize>,
    pub(crate) hold_out: Option<f64>,
    pub(crate) patience: Option<usize>,
    pub(crate) frozen: Vec<String>,
    pub(crate) extended_from: Vec<usize>,
    pub(crate) shapes: Option<DrawnShapes>,
    pub(crate) preprocessing: PreprocessingKeys,
    pub(crate) augmentation: Augmentation,
    pub(crate) loss: CrossEntropy,
    pub(crate) optimiser: OptimiserKeys,
    pub(crate) schedule: ScheduleKeys,
    pub(crate) fine_tune: Option<FineTune>,
}

/// The built-in dataset, with the numbers of training and validation pictures.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DrawnShapes {
    pub(crate) train: usize,
    pub(crate) valid: usize,
    pub(crate) size: [usize; 2],
    pub(crate) seed: u64,
}

impl Default for DrawnShapes {
    fn default() -> Self {
        Self {
            train: 12_000,
            valid: 1000,
            size: [64, 64],
            seed: 0,
        }
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

    pub(super) fn mistakes(&self) -> impl Iterator<Item = Mistake> {
        [("shapes.train", self.train), ("shapes.valid", self.valid)]
            .into_iter()
            .filter(|&(_, got)| !(1..=Shapes::MOST).contains(&got))
            .map(|(key, got)| {
                Mistake::new(key, format!("is {got}, expected 1 to {}", Shapes::MOST))
            })
    }
}

/// The size that all pictures are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResizeKey {
    /// The shorter side is resized to this length, and the centre is cropped to a square.
    Square(usize),
    /// The size `[h, w]`, without keeping the aspect ratio.
    Exact([usize; 2]),
    /// Every picture keeps its size.
    None,
}

impl<'de> Deserialize<'de> for ResizeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ResizeKey;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a length such as 64, a size [h, w], or \"none\"")
            }

            fn visit_i64<E: de::Error>(self, length: i64) -> Result<ResizeKey, E> {
                match usize::try_from(length) {
                    Ok(length) => Ok(ResizeKey::Square(length)),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(length), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<ResizeKey, E> {
                match word {
                    "none" => Ok(ResizeKey::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<ResizeKey, A::Error> {
                let mut size = Vec::new();
                while let Some(length) = seq.next_element()? {
                    size.push(length);
                }
                match *size {
                    [height, width] => Ok(ResizeKey::Exact([height, width])),
                    _ => Err(de::Error::invalid_length(size.len(), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl ResizeKey {
    /// Sets the resize and the crop of a preprocessing, and keeps its filter.
    fn set(self, preprocessing: &mut Preprocessing) {
        let filter = match &preprocessing.resize {
            Some(resize) => resize.filter,
            None => Filter::Bilinear,
        };
        let resize = |size| Some(Resize { size, filter });
        (preprocessing.resize, preprocessing.crop) = match self {
            Self::Square(side) => (resize(ResizeTo::ShorterSide(side)), Some([side; 2])),
            Self::Exact(size) => (resize(ResizeTo::Exact(size)), None),
            Self::None => (None, None),
        };
    }
}

/// An optimiser with its usual options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MethodName {
    Sgd,
    Adam,
    Adamw,
    #[serde(rename = "rms_prop")]
    RmsProp,
}

/// The optimiser of a recipe that names none.
const DEFAULT_METHOD: MethodName = MethodName::Adamw;

impl MethodName {
    fn options(self) -> (Method, WeightDecay) {
        match self {
            Self::Sgd => {
                let sgd = Sgd {
                    momentum: 0.9,
                    nesterov: true,
                };
                (sgd.into(), WeightDecay::L2(5e-4))
            }
            Self::Adam => (Adam::default().into(), WeightDecay::None),
            Self::Adamw => (Adam::default().into(), WeightDecay::Decoupled(1e-2)),
            Self::RmsProp => (RmsProp::default().into(), WeightDecay::None),
        }
    }
}

/// The largest rate of a recipe that sets none.
fn usual_rate(method: &Method) -> f64 {
    match method {
        Method::Sgd(_) => 0.1,
        Method::Adam(_) => 2e-3,
        Method::RmsProp(_) => 1e-3,
    }
}

/// The keys of [`Preprocessing`]. Those that are not set are the architecture's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PreprocessingKeys {
    pub(crate) resize: Option<Resize>,
    pub(crate) crop: Option<[usize; 2]>,
    pub(crate) channels: Option<ChannelOrder>,
    pub(crate) mean: Option<Vec<f64>>,
    pub(crate) std: Option<Vec<f64>>,
}

/// The keys of [`OptimiserOptions`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OptimiserKeys {
    pub(crate) method: Option<Method>,
    pub(crate) weight_decay: Option<WeightDecay>,
    pub(crate) groups: Vec<ParamGroup>,
    pub(crate) clip: Option<Clip>,
}

impl OptimiserKeys {
    /// The options, with the named method where the section has none.
    fn options(&self, name: Option<MethodName>) -> OptimiserOptions {
        let (method, weight_decay) = match self.method {
            Some(method) => (method, WeightDecay::None),
            None => name.unwrap_or(DEFAULT_METHOD).options(),
        };
        OptimiserOptions {
            method,
            weight_decay: self.weight_decay.unwrap_or(weight_decay),
            groups: self.groups.clone(),
            clip: self.clip,
        }
    }
}

/// The keys of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScheduleKeys {
    pub(crate) rate: Option<f64>,
    pub(crate) policy: Option<PolicyInEpochs>,
    pub(crate) warm_up: f64,
}

impl Keys {
    /// A recipe with the defaults of this model.
    #[cfg(test)]
    pub(crate) fn of_model(model: &str) -> Self {
        Self {
            model: Some(model.to_owned()),
            ..Self::default()
        }
    }

    /// The recipe with all defaults, and the keys that contradict each other.
    pub(super) fn resolve(&self) -> (Recipe, Vec<Mistake>) {
        let is_default = self.method.is_none() && self.optimiser == OptimiserKeys::default();
        let optimiser = match is_default && self.fine_tune.is_some() {
            true => transfer::FineTune::default().optimiser,
            false => self.optimiser.options(self.method),
        };
        let rate = self.schedule.rate;
        let schedule = InEpochs {
            rate: rate.unwrap_or_else(|| usual_rate(&optimiser.method)),
            policy: self.schedule.policy.clone().unwrap_or_default(),
            warm_up: self.schedule.warm_up,
        };
        let recipe = Recipe {
            model: self.model.clone().unwrap_or_default(),
            config: self.config.clone(),
            weights: self.weights.clone(),
            seed: self.seed.unwrap_or(1),
            epochs: self.epochs.unwrap_or(10),
            batch: self.batch.unwrap_or(32),
            balanced: self.balanced,
            classes: self.classes.clone(),
            per_class: self.per_class,
            frozen: self.frozen.clone(),
            patience: self.patience,
            hold_out: self.hold_out,
            extended_from: self.extended_from.clone(),
            shapes: self.shapes.clone(),
            preprocessing: None,
            augmentation: self.augmentation.clone(),
            loss: self.loss.clone(),
            optimiser,
            schedule,
            fine_tune: self.fine_tune.clone(),
        };
        let preprocessing = self.preprocessing(&recipe);
        let recipe = Recipe {
            preprocessing,
            ..recipe
        };
        (recipe, self.contradictions())
    }

    /// The preprocessing, if any key changes it and the architecture is known.
    fn preprocessing(&self, recipe: &Recipe) -> Option<Preprocessing> {
        let keys = &self.preprocessing;
        if *keys == PreprocessingKeys::default() && self.resize.is_none() {
            return None;
        }
        let architecture = recipe.architecture(2).ok()?;
        let mut preprocessing = recipe.preprocessing(&architecture);
        if let Some(resize) = &keys.resize {
            // Without a crop of its own, the architecture's could be larger than the picture.
            preprocessing.resize = Some(resize.clone());
            preprocessing.crop = None;
        }
        if let Some(crop) = keys.crop {
            preprocessing.crop = Some(crop);
        }
        preprocessing.channels = keys.channels.unwrap_or(preprocessing.channels);
        let values = [
            (&keys.mean, &mut preprocessing.mean),
            (&keys.std, &mut preprocessing.std),
        ];
        for (key, value) in values {
            if let Some(key) = key {
                value.clone_from(key);
            }
        }
        if let Some(resize) = self.resize {
            resize.set(&mut preprocessing);
        }
        Some(preprocessing)
    }

    fn contradictions(&self) -> Vec<Mistake> {
        let is_resized = self.resize.is_some();
        let is_fine_tuned = self.fine_tune.is_some();
        let both = [
            (
                is_resized && self.preprocessing.resize.is_some(),
                "preprocessing.resize",
                "resize",
            ),
            (
                is_resized && self.preprocessing.crop.is_some(),
                "preprocessing.crop",
                "resize",
            ),
            (
                self.method.is_some() && self.optimiser.method.is_some(),
                "optimiser.method",
                "method",
            ),
            (
                is_fine_tuned && self.schedule.rate.is_some(),
                "schedule.rate",
                "fine_tune",
            ),
            (
                is_fine_tuned && self.schedule.policy.is_some(),
                "schedule.policy",
                "fine_tune",
            ),
            (
                is_fine_tuned && self.schedule.warm_up != 0.0,
                "schedule.warm_up",
                "fine_tune",
            ),
        ];
        let both = both.into_iter().filter(|&(is_both, ..)| is_both);
        both.map(|(_, key, other)| {
            Mistake::new(
                key,
                format!("cannot be set together with {other}: leave one out"),
            )
        })
        .collect()
    }
}
