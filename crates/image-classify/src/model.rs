//! A classifier with its parameters, as a model file stores it.

use std::path::Path;

use nn_layers::{ModelFile, Params};

use crate::classes::{ClassList, check_order};
use crate::description::Description;
use crate::error::{Error, Result};

/// A classifier: the description of its network, and the parameters.
///
/// ```
/// use image_classify::{Description, Model};
///
/// let mut description = Description::named("resnet20")?;
/// description.architecture = description.architecture.with_classes(2);
/// description.classes = vec!["cat".to_owned(), "dog".to_owned()];
/// let params = description.architecture.init(1)?;
/// let model = Model { description, params };
///
/// let path = std::env::temp_dir().join("image-classify-model.safetensors");
/// model.clone().into_file()?.save(&path)?;
/// assert_eq!(Model::open(&path)?, model);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The network, its classes and its preprocessing.
    pub description: Description,
    /// The parameters, including those that only training uses.
    pub params: Params<f32>,
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    ///
    /// [`Error::Layers`] for a file that cannot be read; [`Error::File`] around the errors of
    /// [`from_file`](Self::from_file).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = files::show::name(path.as_os_str());
        let _span = tracing::info_span!("load", file).entered();
        Self::from_file(ModelFile::open(path)?).map_err(|error| error.in_file(path))
    }

    /// The model of a model file that has been read.
    ///
    /// # Errors
    ///
    /// [`Error::NoArchitecture`] for a file without metadata, and the errors of
    /// [`Description::from_metadata`] and [`Description::load_report`].
    pub fn from_file(file: ModelFile) -> Result<Self> {
        let metadata = file.metadata.ok_or(Error::NoArchitecture)?;
        Self::checked(Description::from_metadata(&metadata)?, file.params)
    }

    /// The network of this name with a file's weights. If that is a model file, its metadata describe
    /// the network. Otherwise the network is the usual one, with `classes` classes; if that is `None`,
    /// with as many as the weights have.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownArchitecture`]; [`Error::OtherArchitecture`] and [`Error::OtherClassCount`] for a
    /// model file of another network; the errors of [`from_file`](Self::from_file).
    pub fn with_weights(name: &str, file: ModelFile, classes: Option<usize>) -> Result<Self> {
        let ModelFile { metadata, params } = file;
        let usual = Description::named(name)?;
        let Some(metadata) = metadata else {
            let architecture = usual.architecture;
            let classes = classes
                .or_else(|| architecture.classes_of(&params))
                .unwrap_or(architecture.classes());
            let architecture = architecture.with_classes(classes);
            let description = Description {
                architecture,
                ..usual
            };
            return Self::checked(description, params);
        };
        if metadata.architecture != name {
            return Err(Error::OtherArchitecture {
                got: metadata.architecture,
                expected: name.to_owned(),
            });
        }
        let description = Description::from_metadata(&metadata)?;
        let got = description.architecture.classes();
        if let Some(expected) = classes.filter(|&asked| asked != got) {
            return Err(Error::OtherClassCount { got, expected });
        }
        Self::checked(description, params)
    }

    /// The same network with another file's weights. If that is a model file with class names, they have
    /// to be this model's, in the same order.
    ///
    /// # Errors
    ///
    /// [`Error::Classes`], and [`Error::Layers`] for weights that do not fit.
    pub fn replace_weights(self, file: ModelFile) -> Result<Self> {
        let ModelFile { metadata, params } = file;
        let names = metadata.map(|metadata| metadata.classes);
        if let Some(names) = names.filter(|names| !names.is_empty()) {
            let owner = "these weights";
            check_order(&self.description.classes, &ClassList { owner, names })?;
        }
        Self::checked(self.description, params)
    }

    /// The content of a model file.
    ///
    /// # Errors
    ///
    /// Those of [`Description::metadata`].
    pub fn into_file(self) -> Result<ModelFile> {
        Ok(ModelFile {
            metadata: Some(self.description.metadata()?),
            params: self.params,
        })
    }

    fn checked(description: Description, params: Params<f32>) -> Result<Self> {
        let report = description.load_report(&params)?;
        for line in report.to_string().lines() {
            tracing::info!("{line}");
        }
        Ok(Self {
            description,
            params,
        })
    }
}
