//! The only table of the networks that the program knows by name.

use image_data::Preprocessing;
use inception::{GoogLeNet, InceptionV3};
use nn_layers::{Graph, ParamSpec, Params};
use resnet::{ResNet, Stem};
use serde_json::Value;

use crate::error::Near;

/// The reason that a network is rejected.
pub(crate) type Reason = Box<dyn std::error::Error + Send + Sync>;

/// A network from one of the model crates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Architecture {
    ResNet(ResNet),
    GoogLeNet(GoogLeNet),
    InceptionV3(InceptionV3),
}

/// All names, family by family.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let families = [ResNet::NAMES, GoogLeNet::NAMES, InceptionV3::NAMES];
    families.into_iter().flatten().copied()
}

/// The `known` names with the spelling closest to `name`, at most three.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Near<'a> {
    Near(files::nearest(name, known))
}

impl Architecture {
    /// The network of this name, as in its paper or in torchvision.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let resnet = || ResNet::named(name).map(Self::ResNet);
        let googlenet = || GoogLeNet::named(name).map(Self::GoogLeNet);
        let inception_v3 = || InceptionV3::named(name).map(Self::InceptionV3);
        resnet().or_else(googlenet).or_else(inception_v3)
    }

    /// The network of the same family with the configuration from a model file.
    ///
    /// # Errors
    ///
    /// A configuration that does not suit the family.
    pub(crate) fn configured(self, config: Value) -> serde_json::Result<Self> {
        Ok(match self {
            Self::ResNet(_) => Self::ResNet(serde_json::from_value(config)?),
            Self::GoogLeNet(_) => Self::GoogLeNet(serde_json::from_value(config)?),
            Self::InceptionV3(_) => Self::InceptionV3(serde_json::from_value(config)?),
        })
    }

    /// The configuration that [`configured`](Self::configured) reads.
    ///
    /// # Errors
    ///
    /// Numbers that JSON cannot represent.
    pub(crate) fn config(&self) -> serde_json::Result<Value> {
        match self {
            Self::ResNet(model) => serde_json::to_value(model),
            Self::GoogLeNet(model) => serde_json::to_value(model),
            Self::InceptionV3(model) => serde_json::to_value(model),
        }
    }

    /// The same network with another number of classes.
    pub(crate) fn with_classes(mut self, classes: usize) -> Self {
        match &mut self {
            Self::ResNet(model) => model.classes = classes,
            Self::GoogLeNet(model) => model.classes = classes,
            Self::InceptionV3(model) => model.classes = classes,
        }
        self
    }

    /// The number of classes.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::ResNet(model) => model.classes,
            Self::GoogLeNet(model) => model.classes,
            Self::InceptionV3(model) => model.classes,
        }
    }

    /// The usual input `[c, h, w]`.
    pub(crate) fn input(&self) -> [usize; 3] {
        let (channels, [h, w]) = match self {
            Self::ResNet(model) => (model.in_channels, model.input_size()),
            Self::GoogLeNet(model) => (model.in_channels, model.input_size()),
            Self::InceptionV3(model) => (model.in_channels, model.input_size()),
        };
        [channels, h, w]
    }

    /// The default preprocessing: the one that torchvision's weights of this family expect, or CIFAR's
    /// own for its networks.
    pub(crate) fn preprocessing(&self) -> Preprocessing {
        match self {
            Self::ResNet(model) if model.stem == Stem::Cifar => Preprocessing::cifar(),
            Self::ResNet(_) => Preprocessing::imagenet(),
            Self::GoogLeNet(_) => Preprocessing::googlenet(),
            Self::InceptionV3(_) => Preprocessing::inception_v3(),
        }
    }

    /// The graph for inference at the usual size.
    ///
    /// # Errors
    ///
    /// A faulty configuration.
    pub(crate) fn graph(&self) -> Result<Graph, Reason> {
        Ok(match self {
            Self::ResNet(model) => model.graph(model.input_size())?,
            Self::GoogLeNet(model) => model.graph(model.input_size())?,
            Self::InceptionV3(model) => model.graph(model.input_size())?,
        })
    }

    /// The graph for training on pictures of this size `[h, w]`: auxiliary heads, if
    /// any, are further outputs after the logits.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub(crate) fn training_graph(&self, size: [usize; 2]) -> Result<Graph, Reason> {
        Ok(match self {
            Self::ResNet(model) => model.graph(size)?,
            Self::GoogLeNet(model) => model.training_graph(size)?,
            Self::InceptionV3(model) => model.training_graph(size)?,
        })
    }

    /// The factor of the auxiliary heads' losses: 0.3 in GoogLeNet's paper, 0.4 in torchvision's recipe
    /// for Inception-v3.
    pub(crate) fn aux_weight(&self) -> f64 {
        match self {
            Self::ResNet(_) => 0.0,
            Self::GoogLeNet(_) => 0.3,
            Self::InceptionV3(_) => 0.4,
        }
    }

    /// The initial parameters for training, including those of auxiliary heads.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub(crate) fn init(&self, seed: u64) -> Result<Params<f32>, Reason> {
        Ok(match self {
            Self::ResNet(model) => model.init(seed)?,
            Self::GoogLeNet(model) => model.init(seed)?,
            Self::InceptionV3(model) => model.init(seed)?,
        })
    }

    /// The additional parameters during training: those of auxiliary heads.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub(crate) fn aux_params(&self) -> Result<Vec<ParamSpec>, Reason> {
        Ok(match self {
            Self::ResNet(_) => Vec::new(),
            Self::GoogLeNet(model) => model.aux_params()?,
            Self::InceptionV3(model) => model.aux_params()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_and_its_configuration_describes_it() {
        for name in names() {
            let model = Architecture::named(name).unwrap();
            let config = model.config().unwrap();
            assert_eq!(model.clone().configured(config).unwrap(), model, "{name}");
            assert!(model.with_classes(7).graph().is_ok(), "{name}");
        }
        assert_eq!(Architecture::named("resnet19"), None);
    }

    #[test]
    fn the_preprocessing_produces_the_usual_input() {
        for name in names() {
            let model = Architecture::named(name).unwrap();
            let [channels, height, width] = model.input();
            let preprocessing = model.preprocessing();
            assert_eq!(preprocessing.channels.count(), channels, "{name}");
            let size = preprocessing.fixed_size().unwrap_or([32, 32]);
            assert_eq!(size, [height, width], "{name}");
        }
    }

    #[test]
    fn names_with_similar_spelling_are_found() {
        let nearest = |name| nearest(name, names()).0;
        assert_eq!(nearest("resnet51")[0], "resnet50");
        assert_eq!(nearest("inception"), ["inception_v3"]);
        assert_eq!(nearest("GoogleNet"), ["googlenet"]);
        assert!(nearest("m.safetensors").is_empty());
        assert!(nearest("").is_empty());
    }
}
