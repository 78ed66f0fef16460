//! What can be wrong with a model, a picture or a dataset: one enum for the crate.

use std::path::PathBuf;

use files::show;
use image_data::ChannelOrder;

use crate::classes::Mismatch;

/// Why a model could not be loaded, or a picture or a dataset could not be classified.
///
/// Every variant prints as one line, with text from outside escaped. Errors about a file's contents
/// are wrapped in [`Error::File`], which adds the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is wrong with the file at `path`.
    #[error("{}: {error}", show::name(path.as_os_str()))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<Error>,
    },

    /// No architecture has this name.
    #[error(
        "the architecture \"{}\" is unknown{}",
        show::one_line(name),
        did_you_mean(near)
    )]
    UnknownArchitecture {
        /// The name.
        name: String,
        /// The names of similar spelling, at most three.
        near: Vec<&'static str>,
    },

    /// A file of parameters without a description of the network.
    #[error(
        "the file does not say which network its weights are for: name the architecture that they \
         belong to"
    )]
    NoArchitecture,

    /// A model file of another architecture than the one named.
    #[error("it is a model file of {}, not of {expected}", show::one_line(got))]
    OtherArchitecture {
        /// The file's architecture.
        got: String,
        /// The one named.
        expected: String,
    },

    /// A model file with another number of classes than the one asked for.
    #[error(
        "its network has {}, expected {expected} as asked for",
        show::count(*got, "class", "classes")
    )]
    OtherClassCount {
        /// The file's number of classes.
        got: usize,
        /// The number asked for.
        expected: usize,
    },

    /// A configuration that does not suit the architecture.
    #[error("the configuration of {name}: {error}")]
    Config {
        /// The architecture's name.
        name: String,
        /// What is wrong.
        error: serde_json::Error,
    },

    /// A configuration that describes no residual network that can be built.
    #[error(transparent)]
    ResNet(#[from] resnet::Error),

    /// A configuration that describes no inception network that can be built.
    #[error(transparent)]
    Inception(#[from] inception::Error),

    /// A configuration that describes no `MobileNetV2` that can be built.
    #[error(transparent)]
    MobileNet(#[from] mobilenet::Error),

    /// A backbone with a number of layers that its network does not have.
    #[error("layers is {got}, expected 1 to {expected}, the layers of {network}")]
    DarknetLayers {
        /// The network's name.
        network: &'static str,
        /// Its number of layers.
        expected: usize,
        /// The number of the configuration.
        got: usize,
    },

    /// A preprocessing that is no [`Preprocessing`](image_data::Preprocessing).
    #[error("the preprocessing: {0}")]
    PreprocessingJson(serde_json::Error),

    /// A preprocessing with a value out of range.
    #[error("the preprocessing: {0}")]
    Preprocessing(Box<image_data::Error>),

    /// A preprocessing that produces another number of channels than the network takes.
    #[error(
        "the network takes {}, its preprocessing produces {} ({got})",
        show::count(*expected, "channel", "channels"),
        got.count()
    )]
    Channels {
        /// The network's channels.
        expected: usize,
        /// Those of the preprocessing.
        got: ChannelOrder,
    },

    /// Five crops of pictures that the preprocessing does not crop.
    #[error("five crops need a preprocessing with a crop, and this model's has none")]
    NoCrop,

    /// Another number of class names than classes.
    #[error(
        "the file names {}, the network has {expected}",
        show::count(*got, "class", "classes")
    )]
    ClassNames {
        /// The number of names.
        got: usize,
        /// The network's number of classes.
        expected: usize,
    },

    /// Two lists of classes that do not match.
    #[error(transparent)]
    Classes(#[from] Box<Mismatch>),

    /// A model file that cannot be read or written, or parameters that do not fit the network.
    #[error(transparent)]
    Layers(#[from] Box<nn_layers::Error>),

    /// A network that cannot be compiled or run, or needs too much memory.
    #[error(transparent)]
    Engine(#[from] Box<engine::Error>),

    /// A picture that cannot be read or preprocessed.
    #[error(transparent)]
    Picture(#[from] Box<image_data::Error>),

    /// A dataset without pictures.
    #[error("there are no pictures")]
    NoPictures,

    /// A network whose first output is not one row of logits for each picture.
    #[error("the network's output has the shape {got:?}, expected {expected:?}, its logits")]
    OutputShape {
        /// The output's shape; empty if there is no output.
        got: Vec<usize>,
        /// `[n, classes]`.
        expected: [usize; 2],
    },

    /// The network computed NaN or an infinity.
    #[error("the network's output is not finite (class {class}: {got})")]
    OutputNotFinite {
        /// The index of the class.
        class: usize,
        /// Its logit.
        got: f32,
    },

    /// A name that is not a node's.
    #[error(
        "the network has no node \"{}\"{}",
        show::one_line(name),
        files::did_you_mean(near)
    )]
    UnknownNode {
        /// The name.
        name: String,
        /// The names of similar spelling, at most three.
        near: Vec<String>,
    },

    /// A node whose tensor is no map.
    #[error(
        "the tensor of node \"{}\" has the shape {got:?}, expected [1, channels, height, width]",
        show::one_line(name)
    )]
    NoPixels {
        /// The node.
        name: String,
        /// The shape of its tensor.
        got: Vec<usize>,
    },

    /// A node that the logits do not depend on.
    #[error("the classes do not depend on node \"{}\"", show::one_line(name))]
    NodeUnused {
        /// The node.
        name: String,
    },

    /// The index of a class that the network does not have.
    #[error("class {got} is out of range: the network has {}", show::count(*classes, "class", "classes"))]
    ClassIndex {
        /// The index.
        got: usize,
        /// The network's number of classes.
        classes: usize,
    },

    /// An error of one picture of a dataset.
    #[error("{}: {error}", show::one_line(name))]
    Sample {
        /// The picture's name.
        name: String,
        /// What is wrong.
        error: Box<Error>,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Adds the path of the file that the error is about, unless it has one.
    #[must_use]
    pub fn in_file(self, path: impl Into<PathBuf>) -> Self {
        match self {
            Self::File { .. } => self,
            Self::Layers(error) if matches!(*error, nn_layers::Error::InFile { .. }) => {
                Self::Layers(error)
            }
            error => Self::File {
                path: path.into(),
                error: Box::new(error),
            },
        }
    }
}

/// ` (did you mean a or b?)`, or nothing.
fn did_you_mean(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        near => format!(" (did you mean {}?)", near.join(" or ")),
    }
}

impl From<nn_layers::Error> for Error {
    fn from(error: nn_layers::Error) -> Self {
        Self::Layers(Box::new(error))
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<image_data::Error> for Error {
    fn from(error: image_data::Error) -> Self {
        Self::Picture(Box::new(error))
    }
}

impl From<Mismatch> for Error {
    fn from(error: Mismatch) -> Self {
        Self::Classes(Box::new(error))
    }
}
