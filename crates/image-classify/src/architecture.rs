//! The only table of the networks that are known by name.

use image_data::Preprocessing;
use inception::{CifarInception, GoogLeNet, InceptionV3};
use mobilenet::MobileNetV2;
use nn_layers::{Graph, ParamSpec, Params};
use resnet::{ResNet, Stem};
use serde_json::Value;

use crate::darknet::DarknetBackbone;
use crate::error::{Error, Result};

/// A network that classifies pictures, from one of the model crates.
///
/// Each variant holds the configuration of one family, and the methods are what all families have in
/// common. The names are torchvision's, and those of the CIFAR family.
///
/// ```
/// use image_classify::Architecture;
///
/// let network = Architecture::named("resnet18")?.with_classes(10);
/// assert_eq!((network.classes(), network.input()), (10, [3, 224, 224]));
/// assert_eq!(network.graph()?.outputs().len(), 1);
///
/// let error = Architecture::named("resnet19").unwrap_err().to_string();
/// assert!(error.contains("did you mean resnet1"), "{error}");
/// # Ok::<(), image_classify::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Architecture {
    /// Residual networks.
    ResNet(ResNet),
    /// GoogLeNet, also called Inception-v1.
    GoogLeNet(GoogLeNet),
    /// Inception-v3.
    InceptionV3(InceptionV3),
    /// The textbook's inception modules for small pictures.
    CifarInception(CifarInception),
    /// Inverted residuals with depthwise convolutions.
    MobileNetV2(MobileNetV2),
    /// The first layers of a darknet network.
    Darknet(DarknetBackbone),
}

/// The names of a family, and the network of each.
type Family = (&'static [&'static str], fn(&str) -> Option<Architecture>);

/// All families, in the order in which they are listed.
const FAMILIES: [Family; 6] = [
    (ResNet::NAMES, |name| {
        ResNet::named(name).map(Architecture::ResNet)
    }),
    (GoogLeNet::NAMES, |name| {
        GoogLeNet::named(name).map(Architecture::GoogLeNet)
    }),
    (InceptionV3::NAMES, |name| {
        InceptionV3::named(name).map(Architecture::InceptionV3)
    }),
    (CifarInception::NAMES, |name| {
        CifarInception::named(name).map(Architecture::CifarInception)
    }),
    (MobileNetV2::NAMES, |name| {
        MobileNetV2::named(name).map(Architecture::MobileNetV2)
    }),
    (DarknetBackbone::NAMES, |name| {
        DarknetBackbone::named(name).map(Architecture::Darknet)
    }),
];

/// Evaluates the same expression for the network of any family.
macro_rules! of_any {
    ($architecture:expr, $network:ident => $value:expr) => {
        match $architecture {
            Architecture::ResNet($network) => $value,
            Architecture::GoogLeNet($network) => $value,
            Architecture::InceptionV3($network) => $value,
            Architecture::CifarInception($network) => $value,
            Architecture::MobileNetV2($network) => $value,
            Architecture::Darknet($network) => $value,
        }
    };
}

impl Architecture {
    /// All names, family by family.
    ///
    /// ```
    /// use image_classify::Architecture;
    ///
    /// assert!(Architecture::names().any(|name| name == "inception_v3"));
    /// ```
    pub fn names() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().flat_map(|(names, _)| names.iter().copied())
    }

    /// The network of this name, as in its paper or in torchvision.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownArchitecture`] with the names of similar spelling.
    pub fn named(name: &str) -> Result<Self> {
        let mut families = FAMILIES.iter();
        families
            .find_map(|(_, named)| named(name))
            .ok_or_else(|| Error::UnknownArchitecture {
                name: name.to_owned(),
                near: files::nearest(name, Self::names()),
            })
    }

    /// The network of the same family with the configuration from a model file.
    ///
    /// ```
    /// use image_classify::Architecture;
    ///
    /// let network = Architecture::named("resnet20")?;
    /// let mut config = network.config()?;
    /// config["layers"] = vec![2, 2, 2].into();
    /// let smaller = network.configured(config)?;
    /// assert!(smaller.graph()?.nodes().len() < network.graph()?.nodes().len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A configuration that does not suit the family.
    pub fn configured(&self, config: Value) -> serde_json::Result<Self> {
        Ok(match self {
            Self::ResNet(_) => Self::ResNet(serde_json::from_value(config)?),
            Self::GoogLeNet(_) => Self::GoogLeNet(serde_json::from_value(config)?),
            Self::InceptionV3(_) => Self::InceptionV3(serde_json::from_value(config)?),
            Self::CifarInception(_) => Self::CifarInception(serde_json::from_value(config)?),
            Self::MobileNetV2(_) => Self::MobileNetV2(serde_json::from_value(config)?),
            Self::Darknet(_) => Self::Darknet(serde_json::from_value(config)?),
        })
    }

    /// The configuration that [`configured`](Self::configured) reads.
    ///
    /// # Errors
    ///
    /// Numbers that JSON cannot represent.
    pub fn config(&self) -> serde_json::Result<Value> {
        of_any!(self, network => serde_json::to_value(network))
    }

    /// The same network with another number of classes.
    #[must_use]
    pub fn with_classes(mut self, classes: usize) -> Self {
        of_any!(&mut self, network => network.classes = classes);
        self
    }

    /// The number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        of_any!(self, network => network.classes)
    }

    /// The number of classes of these parameters: the rows of the last layer's weight, or `None` if
    /// they have no such layer. It suits files of parameters without a description.
    #[must_use]
    pub fn classes_of(&self, params: &Params<f32>) -> Option<usize> {
        let weight = match self {
            Self::ResNet(_)
            | Self::GoogLeNet(_)
            | Self::InceptionV3(_)
            | Self::CifarInception(_)
            | Self::Darknet(_) => "fc.weight",
            Self::MobileNetV2(_) => "classifier.1.weight",
        };
        params.get(weight)?.value.shape().first().copied()
    }

    /// The usual input `[c, h, w]`.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        of_any!(self, network => {
            let [height, width] = network.input_size();
            [network.in_channels, height, width]
        })
    }

    /// The default preprocessing: the one that torchvision's weights of this family expect, CIFAR's
    /// own for its networks, and darknet's for its backbones.
    #[must_use]
    pub fn preprocessing(&self) -> Preprocessing {
        match self {
            Self::ResNet(network) if network.stem == Stem::Cifar => Preprocessing::cifar(),
            Self::CifarInception(_) => Preprocessing::cifar(),
            Self::ResNet(_) | Self::MobileNetV2(_) => Preprocessing::imagenet(),
            Self::GoogLeNet(_) => Preprocessing::googlenet(),
            Self::InceptionV3(_) => Preprocessing::inception_v3(),
            Self::Darknet(network) => network.preprocessing(),
        }
    }

    /// The graph for inference at the usual size. Its first output is the logits, `[n, classes]`.
    ///
    /// # Errors
    ///
    /// The family's error for a faulty configuration.
    pub fn graph(&self) -> Result<Graph> {
        Ok(of_any!(self, network => network.graph(network.input_size())?))
    }

    /// The graph for training on pictures of this size `[h, w]`: auxiliary heads, if
    /// any, are further outputs after the logits.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn training_graph(&self, size: [usize; 2]) -> Result<Graph> {
        Ok(match self {
            Self::ResNet(network) => network.graph(size)?,
            Self::CifarInception(network) => network.graph(size)?,
            Self::MobileNetV2(network) => network.graph(size)?,
            Self::Darknet(network) => network.graph(size)?,
            Self::GoogLeNet(network) => network.training_graph(size)?,
            Self::InceptionV3(network) => network.training_graph(size)?,
        })
    }

    /// The factor of the auxiliary heads' losses: 0.3 in GoogLeNet's paper (Szegedy et al., "Going
    /// Deeper with Convolutions", 2014, section 5), 0.4 in torchvision's recipe for Inception-v3, 0
    /// where there are none.
    #[must_use]
    pub fn aux_weight(&self) -> f64 {
        match self {
            Self::ResNet(_) | Self::CifarInception(_) | Self::MobileNetV2(_) | Self::Darknet(_) => {
                0.0
            }
            Self::GoogLeNet(_) => 0.3,
            Self::InceptionV3(_) => 0.4,
        }
    }

    /// The initial parameters for training, including those of auxiliary heads.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn init(&self, seed: u64) -> Result<Params<f32>> {
        Ok(of_any!(self, network => network.init(seed)?))
    }

    /// The additional parameters during training: those of auxiliary heads.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn aux_params(&self) -> Result<Vec<ParamSpec>> {
        Ok(match self {
            Self::ResNet(_) | Self::CifarInception(_) | Self::MobileNetV2(_) | Self::Darknet(_) => {
                Vec::new()
            }
            Self::GoogLeNet(network) => network.aux_params()?,
            Self::InceptionV3(network) => network.aux_params()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_and_its_configuration_describes_it() {
        for name in Architecture::names() {
            let network = Architecture::named(name).unwrap();
            let config = network.config().unwrap();
            assert_eq!(network.configured(config).unwrap(), network, "{name}");
            assert!(network.with_classes(7).graph().is_ok(), "{name}");
        }
    }

    #[test]
    fn the_preprocessing_produces_the_usual_input() {
        for name in Architecture::names() {
            let network = Architecture::named(name).unwrap();
            let [channels, height, width] = network.input();
            let preprocessing = network.preprocessing();
            assert_eq!(preprocessing.channels.count(), channels, "{name}");
            let size = preprocessing.fixed_size().unwrap_or([32, 32]);
            assert_eq!(size, [height, width], "{name}");
        }
    }

    #[test]
    fn the_parameters_tell_the_number_of_classes() {
        for name in [
            "resnet20",
            "googlenet",
            "inception_v3",
            "inception_cifar",
            "mobilenet_v2",
            "yolov3_tiny_backbone",
        ] {
            let network = Architecture::named(name).unwrap().with_classes(7);
            let params = nn_layers::random_params(&network.graph().unwrap(), 1).unwrap();
            assert_eq!(network.classes_of(&params), Some(7), "{name}");
            assert_eq!(network.classes_of(&Params::new()), None, "{name}");
        }
    }

    #[test]
    fn names_with_similar_spelling_are_found() {
        let nearest = |name| match Architecture::named(name) {
            Err(Error::UnknownArchitecture { near, .. }) => near,
            other => panic!("{other:?}"),
        };
        assert_eq!(nearest("resnet51")[0], "resnet50");
        assert_eq!(nearest("inception"), ["inception_v3"]);
        assert_eq!(nearest("GoogleNet"), ["googlenet"]);
        assert!(nearest("m.safetensors").is_empty());
        assert!(nearest("").is_empty());
    }
}
