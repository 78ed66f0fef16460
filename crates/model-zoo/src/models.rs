//! A known model: what it is, what it was trained on, and how good it is.

use std::fmt;
use std::path::Path;

use crate::download::{Download, Licence, State};
use crate::error::Result;
use crate::fetch::{Event, Fetched, Options};
use crate::imagenet;

/// A model that can be fetched by name.
#[derive(Clone, Copy, Debug)]
pub struct KnownModel {
    /// The files, where they come from, and their licence.
    pub download: Download,
    /// What the model does.
    pub task: Task,
    /// The network: for a classifier, the name of the architecture.
    pub architecture: &'static str,
    /// What the model can tell apart.
    pub classes: Classes,
    /// How a picture becomes the network's input, in words.
    pub preprocessing: &'static str,
    /// The accuracy that the authors state.
    pub published: Accuracy,
    /// The accuracy that this project has measured, if it has.
    pub measured: Option<Accuracy>,
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It assigns a class to a picture.
    Classifier,
    /// It finds objects in a picture.
    Detector,
}

/// A set of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// The 1000 classes of ImageNet, [`imagenet::names`].
    ImageNet,
    /// The 80 classes of COCO. The model's files include their names.
    Coco,
}

/// An accuracy, and how it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// In percent.
    pub percent: f64,
    /// The measure and the data.
    pub measure: Measure,
}

/// A measure of accuracy, and the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The share of ImageNet's validation pictures whose most probable class is right.
    ImageNetTop1,
    /// The mean average precision at an intersection over union of 0.5, on COCO's test-dev.
    CocoAp50,
}

impl KnownModel {
    /// Returns the name for [`fetch`](crate::fetch).
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.download.name
    }

    /// Returns the licence of the weights.
    #[must_use]
    pub fn licence(&self) -> Licence {
        self.download.licence
    }

    /// Returns whether the full SHA-256 of every file is known.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.download.is_verified()
    }

    /// As [`Download::cached`].
    #[must_use]
    pub fn cached(&self, home: &Path) -> State {
        self.download.cached(home)
    }

    /// As [`Download::require`].
    ///
    /// # Errors
    ///
    /// Those of [`Download::require`].
    pub fn require(&self, home: &Path) -> Result<()> {
        self.download.require(home)
    }

    /// As [`Download::fetch`].
    ///
    /// # Errors
    ///
    /// Those of [`Download::fetch`].
    pub fn fetch(&self, options: &Options, observer: &mut dyn FnMut(Event<'_>)) -> Result<Fetched> {
        self.download.fetch(options, observer)
    }
}

impl Classes {
    /// Returns the number of classes.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::ImageNet => 1000,
            Self::Coco => 80,
        }
    }

    /// Returns the names in the order of the network's outputs, or `None` if they are a file of the
    /// model.
    #[must_use]
    pub fn names(self) -> Option<Vec<&'static str>> {
        match self {
            Self::ImageNet => Some(imagenet::names().collect()),
            Self::Coco => None,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Classifier => "classifier",
            Self::Detector => "detector",
        })
    }
}

impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ImageNet => "ImageNet",
            Self::Coco => "COCO",
        })
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ImageNetTop1 => "top-1 accuracy on ImageNet's validation set",
            Self::CocoAp50 => "AP at IoU 0.5 on COCO's test-dev",
        })
    }
}

/// As in `71.878 % (top-1 accuracy on ImageNet's validation set)`.
impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % ({})", self.percent, self.measure)
    }
}
