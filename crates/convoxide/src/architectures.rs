//! The networks that the program knows by name: the only such table.

use inception::{GoogLeNet, InceptionV3};
use nn_layers::{Graph, ParamSpec};
use resnet::ResNet;
use serde_json::Value;

/// What ends a description that is none.
pub(crate) type Reason = Box<dyn std::error::Error + Send + Sync>;

/// A network that a model crate describes.
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

impl Architecture {
    /// The network of this name, as its paper or torchvision has it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let resnet = || ResNet::named(name).map(Self::ResNet);
        let googlenet = || GoogLeNet::named(name).map(Self::GoogLeNet);
        let inception_v3 = || InceptionV3::named(name).map(Self::InceptionV3);
        resnet().or_else(googlenet).or_else(inception_v3)
    }

    /// The network of this name's family that a model file's configuration describes.
    ///
    /// # Errors
    ///
    /// A configuration that the family does not have.
    pub(crate) fn configured(self, config: Value) -> serde_json::Result<Self> {
        Ok(match self {
            Self::ResNet(_) => Self::ResNet(serde_json::from_value(config)?),
            Self::GoogLeNet(_) => Self::GoogLeNet(serde_json::from_value(config)?),
            Self::InceptionV3(_) => Self::InceptionV3(serde_json::from_value(config)?),
        })
    }

    /// What [`configured`](Self::configured) reads.
    ///
    /// # Errors
    ///
    /// Numbers that JSON does not have.
    pub(crate) fn config(&self) -> serde_json::Result<Value> {
        match self {
            Self::ResNet(model) => serde_json::to_value(model),
            Self::GoogLeNet(model) => serde_json::to_value(model),
            Self::InceptionV3(model) => serde_json::to_value(model),
        }
    }

    /// The same for another number of classes.
    pub(crate) fn with_classes(mut self, classes: usize) -> Self {
        match &mut self {
            Self::ResNet(model) => model.classes = classes,
            Self::GoogLeNet(model) => model.classes = classes,
            Self::InceptionV3(model) => model.classes = classes,
        }
        self
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

    /// The graph for inference at the usual size.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration.
    pub(crate) fn graph(&self) -> Result<Graph, Reason> {
        Ok(match self {
            Self::ResNet(model) => model.graph(model.input_size())?,
            Self::GoogLeNet(model) => model.graph(model.input_size())?,
            Self::InceptionV3(model) => model.graph(model.input_size())?,
        })
    }

    /// The parameters that training has besides: those of auxiliary heads.
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
}
