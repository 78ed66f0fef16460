//! Pictures with one class each, wherever they come from.

mod archive;
mod cached;
mod cifar;
mod class_folders;
mod contents;
mod fault;
mod idx;
mod shapes;
mod splits;
mod subset;
mod tree;

use std::borrow::Cow;
use std::sync::Arc;

pub use cached::Cached;
pub use cifar::{Cifar, CifarLabels};
pub use class_folders::ClassFolders;
pub use contents::{Contents, LeftOut, LeftOutFor, Part, Reason, Role};
pub use fault::Fault;
pub use idx::{FASHION_MNIST_CLASSES, Idx};
use serde::{Deserialize, Serialize};
pub use shapes::{ObjectBox, Shapes, ShapesOptions};
pub use splits::Splits;
pub use subset::Subset;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::picture::Picture;

/// Pictures with one class each.
///
/// Samples have a fixed order and are counted from 0. A dataset is shared between threads, and what
/// it says of a sample depends on the sample alone.
pub trait Dataset: Send + Sync {
    /// How many samples there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes' names. A label is an index of this.
    fn classes(&self) -> &[String];

    /// The class of a sample; of one past the end, the number of classes, which is no label.
    fn label(&self, index: usize) -> usize;

    /// The picture of a sample.
    ///
    /// # Errors
    ///
    /// Those of [`Picture::open`], and [`Error::Index`] past the end.
    fn picture(&self, index: usize) -> Result<Picture>;

    /// What a sample is called in messages: its file, or a name such as `train-images #17`.
    fn name(&self, index: usize) -> String;

    /// The bytes of a sample's file, where it has one to itself.
    ///
    /// # Errors
    ///
    /// Those of reading the file.
    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let _ = index;
        Ok(None)
    }

    /// What lay between the pictures and was left out.
    fn skipped(&self) -> &[Skipped] {
        &[]
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn classes(&self) -> &[String] {
        (**self).classes()
    }

    fn label(&self, index: usize) -> usize {
        (**self).label(index)
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        (**self).picture(index)
    }

    fn name(&self, index: usize) -> String {
        (**self).name(index)
    }

    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        (**self).file(index)
    }

    fn skipped(&self) -> &[Skipped] {
        (**self).skipped()
    }
}

/// A file or a part of an archive that a dataset does not use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name, as samples are named.
    pub name: String,
    /// Why it was left out.
    pub reason: String,
}

/// Bounds on what a dataset's files may make the reader do.
///
/// ```
/// # use image_data::DatasetLimits;
/// // As usual, but archives of up to 16 GiB.
/// let limits = DatasetLimits { max_archive_bytes: 16 << 30, ..DatasetLimits::default() };
/// # assert!(limits.pictures.max_width > 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatasetLimits {
    /// What a single picture may be.
    pub pictures: Limits,
    /// The most bytes that come out of one `.tar`, `.gz` or binary file, unpacked. What is used of
    /// them stays in memory, so this bounds the memory, too. Default 4 GiB; larger archives are to
    /// be unpacked into a folder.
    pub max_archive_bytes: u64,
}

impl Default for DatasetLimits {
    fn default() -> Self {
        Self {
            pictures: Limits::default(),
            max_archive_bytes: 4 << 30,
        }
    }
}

/// How many samples each class has.
///
/// # Errors
///
/// [`Error::Label`] where a label is no class.
pub fn class_counts(dataset: &(impl Dataset + ?Sized)) -> Result<Vec<usize>> {
    let classes = dataset.classes().len();
    let mut counts = vec![0; classes];
    for index in 0..dataset.len() {
        let label = dataset.label(index);
        *counts.get_mut(label).ok_or(Error::Label {
            index,
            label,
            classes,
        })? += 1;
    }
    Ok(counts)
}

/// Whether a name ends like a picture's that is read here.
fn is_picture_name(name: &str) -> bool {
    const EXTENSIONS: [&str; 8] = ["bmp", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm"];
    name.rsplit_once('.').is_some_and(|(_, extension)| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}
