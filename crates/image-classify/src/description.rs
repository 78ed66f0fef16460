//! What a model file says about a classifier besides its parameters.

use image_data::Preprocessing;
use nn_layers::{LoadReport, Metadata, Params};
use serde::Deserialize;

use crate::architecture::Architecture;
use crate::error::{Error, Result};
use crate::fit::Fit;

/// A classifier without its parameters: the typed form of a model file's [`Metadata`].
///
/// ```
/// use image_classify::Description;
///
/// let mut network = Description::named("resnet20")?;
/// network.architecture = network.architecture.with_classes(3);
/// network.classes = ["cat", "dog", "ship"].map(str::to_owned).to_vec();
///
/// let metadata = network.metadata()?; // as it is stored in a model file
/// assert_eq!(metadata.input_size, Some([32, 32]));
/// assert_eq!(Description::from_metadata(&metadata)?, network);
/// # Ok::<(), image_classify::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The architecture's name, such as `resnet50`.
    pub name: String,
    /// The network, whose configuration may differ from that of the name.
    pub architecture: Architecture,
    /// The names of the classes, in the order of the network's outputs; empty if they have none.
    pub classes: Vec<String>,
    /// The conversion of a picture into the network's input.
    pub preprocessing: Preprocessing,
    /// The size `[h, w]` of the inputs that the network was trained on, if it is known.
    pub input_size: Option<[usize; 2]>,
}

impl Description {
    /// The network of this name with its usual preprocessing and input size, and without class names.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownArchitecture`].
    pub fn named(name: &str) -> Result<Self> {
        Ok(Self::usual(name, Architecture::named(name)?))
    }

    /// A network with its usual preprocessing and input size, and without class names.
    fn usual(name: &str, architecture: Architecture) -> Self {
        let [_, height, width] = architecture.input();
        Self {
            name: name.to_owned(),
            classes: Vec::new(),
            preprocessing: architecture.preprocessing(),
            input_size: Some([height, width]),
            architecture,
        }
    }

    /// Interprets the metadata of a model file. Without a preprocessing it is the architecture's usual
    /// one, which implies the usual input size.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownArchitecture`], [`Error::Config`], [`Error::PreprocessingJson`] and
    /// [`Error::Preprocessing`] for what cannot be interpreted; [`Error::ClassNames`] for another
    /// number of names than classes.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        let name = &metadata.architecture;
        let architecture = Architecture::named(name)?;
        let architecture = architecture
            .configured(metadata.config.clone())
            .map_err(|error| Error::Config {
                name: name.clone(),
                error,
            })?;
        let usual = Self::usual(name, architecture);
        let (preprocessing, input_size) = if metadata.preprocessing.is_null() {
            let input_size = metadata.input_size.or(usual.input_size);
            (usual.preprocessing, input_size)
        } else {
            let preprocessing = Preprocessing::deserialize(&metadata.preprocessing)
                .map_err(Error::PreprocessingJson)?;
            (preprocessing, metadata.input_size)
        };
        let description = Self {
            classes: metadata.classes.clone(),
            preprocessing,
            input_size,
            ..usual
        };
        description.check()?;
        Ok(description)
    }

    /// The metadata of a model file.
    ///
    /// # Errors
    ///
    /// [`Error::Preprocessing`] and [`Error::ClassNames`] for a description that could not be read
    /// back, [`Error::Config`] and [`Error::PreprocessingJson`] for numbers that JSON cannot
    /// represent.
    pub fn metadata(&self) -> Result<Metadata> {
        self.check()?;
        let config = self.architecture.config();
        Ok(Metadata {
            architecture: self.name.clone(),
            config: config.map_err(|error| Error::Config {
                name: self.name.clone(),
                error,
            })?,
            classes: self.classes.clone(),
            preprocessing: serde_json::to_value(&self.preprocessing)
                .map_err(Error::PreprocessingJson)?,
            input_size: self.input_size,
        })
    }

    /// Checks the preprocessing and the number of names.
    fn check(&self) -> Result<()> {
        self.preprocessing
            .check()
            .map_err(|error| Error::Preprocessing(Box::new(error)))?;
        let (got, expected) = (self.classes.len(), self.architecture.classes());
        if got != 0 && got != expected {
            return Err(Error::ClassNames { got, expected });
        }
        Ok(())
    }

    /// Checks that the preprocessing produces as many channels as the network takes.
    ///
    /// # Errors
    ///
    /// [`Error::Channels`].
    pub fn check_channels(&self) -> Result<()> {
        let [expected, ..] = self.architecture.input();
        let got = self.preprocessing.channels;
        if got.count() != expected {
            return Err(Error::Channels { expected, got });
        }
        Ok(())
    }

    /// The input `[c, h, w]` that the preprocessing produces; where that depends on the picture, the
    /// size that the network was trained on, or the usual one.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        let [channels, height, width] = self.architecture.input();
        let size = self.preprocessing.fixed_size().or(self.input_size);
        let [height, width] = size.unwrap_or([height, width]);
        [channels, height, width]
    }

    /// The preprocessing, extended to pictures of an unexpected size.
    #[must_use]
    pub fn fit(&self) -> Fit {
        let [_, height, width] = self.input();
        Fit::new(self.preprocessing.clone(), self.input_size, [height, width])
    }

    /// Which of these parameters the network reads: all that it needs, and no others but those of
    /// auxiliary heads.
    ///
    /// # Errors
    ///
    /// [`Error::Layers`] for parameters that do not fit; the family's error for a faulty configuration.
    pub fn load_report(&self, params: &Params<f32>) -> Result<LoadReport> {
        let graph = self.architecture.graph()?;
        let known = self.architecture.aux_params()?;
        Ok(LoadReport::new(params, &graph, &known).strict()?)
    }
}
