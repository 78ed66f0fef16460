//! Labelled pictures, from any source.

mod annotated;
mod archive;
mod cached;
mod cifar;
mod class_folders;
mod contents;
mod disk;
mod fault;
mod hidden;
mod idx;
mod layout;
mod of_classes;
mod shapes;
mod splits;
mod subset;
mod tar_file;
mod tree;
mod zip_file;

use std::borrow::Cow;
use std::sync::Arc;

pub use annotated::{
    Annotated, AnnotationFormat, AnnotationOptions, AnySplits, Faulty, LabelFault, LabelProblem,
    Written,
};
pub use cached::Cached;
pub use cifar::{Cifar, CifarLabels};
pub use class_folders::ClassFolders;
pub use contents::{Contents, LeftOut, LeftOutFor, Part, Reason, Role};
pub use fault::Fault;
pub use idx::{FASHION_MNIST_CLASSES, Idx};
pub use of_classes::OfClasses;
pub use shapes::{ShapeScenes, Shapes, ShapesOptions};
pub use splits::Splits;
pub use subset::Subset;

use crate::error::{Error, Result};
use crate::label::Label;
use crate::limits::Limits;
use crate::picture::Picture;

/// Labelled pictures: with the index of a class each, a `usize`, or with [`Boxes`](crate::Boxes).
///
/// Samples have a fixed order and are counted from 0. A dataset is shared between threads, and
/// what it returns for a sample depends only on that sample's index.
///
/// ```
/// use image_data::{Dataset, Picture, Result, class_counts};
///
/// /// Ten grey pictures, a dark one and a bright one in turn.
/// struct Greys([String; 2]);
///
/// impl Dataset for Greys {
///     fn len(&self) -> usize {
///         10
///     }
///
///     fn classes(&self) -> &[String] {
///         &self.0
///     }
///
///     fn label(&self, index: usize) -> usize {
///         if index < self.len() { index % 2 } else { 2 }
///     }
///
///     fn picture(&self, index: usize) -> Result<Picture> {
///         let grey = if self.label(index) == 0 { 40 } else { 200 };
///         Picture::from_rgb(6, 4, 18, &[grey; 72])
///     }
///
///     fn name(&self, index: usize) -> String {
///         format!("grey #{index}")
///     }
/// }
///
/// let greys = Greys(["dark", "bright"].map(String::from));
/// assert_eq!(class_counts(&greys)?, [5, 5]);
/// assert_eq!(greys.picture(1)?.size(), [4, 6]);
/// # Ok::<(), image_data::Error>(())
/// ```
pub trait Dataset<L: Label = usize>: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether the dataset has no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes' names. A class in a label is an index into this slice.
    fn classes(&self) -> &[String];

    /// The label of a sample. Past the end, the number of classes, which is not a valid class, or no
    /// boxes.
    fn label(&self, index: usize) -> L;

    /// The picture of a sample.
    ///
    /// # Errors
    ///
    /// Those of [`Picture::open`], and [`Error::Index`] past the end.
    fn picture(&self, index: usize) -> Result<Picture>;

    /// The size `[h, w]` of a sample's picture. A dataset that knows it need not decode the picture.
    ///
    /// # Errors
    ///
    /// Those of [`picture`](Self::picture).
    fn size(&self, index: usize) -> Result<[usize; 2]> {
        Ok(self.picture(index)?.size())
    }

    /// The name of a sample in messages: its file, or a name such as `train-images #17`.
    fn name(&self, index: usize) -> String;

    /// The bytes of a sample's file, if the sample has a file of its own.
    ///
    /// # Errors
    ///
    /// Those of reading the file.
    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let _ = index;
        Ok(None)
    }
}

impl<L: Label, D: Dataset<L> + ?Sized> Dataset<L> for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn classes(&self) -> &[String] {
        (**self).classes()
    }

    fn label(&self, index: usize) -> L {
        (**self).label(index)
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        (**self).picture(index)
    }

    fn size(&self, index: usize) -> Result<[usize; 2]> {
        (**self).size(index)
    }

    fn name(&self, index: usize) -> String {
        (**self).name(index)
    }

    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        (**self).file(index)
    }
}

/// Limits on what the files of a dataset may make the reader do.
///
/// ```
/// # use image_data::DatasetLimits;
/// // The defaults, but with archives of up to 16 GiB.
/// let limits = DatasetLimits { max_archive_bytes: 16 << 30, ..DatasetLimits::default() };
/// # assert!(limits.pictures.max_width > 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatasetLimits {
    /// The limits for a single picture.
    pub pictures: Limits,
    /// The most bytes that come out of one `.tar`, `.gz`, `.zip` or binary file, unpacked. The
    /// used part stays in memory, so this bounds the memory, too. Default 4 GiB; unpack larger
    /// archives into a folder.
    pub max_archive_bytes: u64,
    /// The greatest depth of nested folders. Default 32.
    pub max_depth: usize,
}

impl Default for DatasetLimits {
    fn default() -> Self {
        Self {
            pictures: Limits::default(),
            max_archive_bytes: 4 << 30,
            max_depth: 32,
        }
    }
}

/// The number of samples of each class; of boxes, the number of objects.
///
/// # Errors
///
/// [`Error::Label`] if a label's class is not the index of a class.
pub fn class_counts<L: Label>(dataset: &(impl Dataset<L> + ?Sized)) -> Result<Vec<usize>> {
    let classes = dataset.classes().len();
    let mut counts = vec![0; classes];
    for index in 0..dataset.len() {
        let label = dataset.label(index);
        if let Some(class) = label.invalid_class(classes) {
            return Err(Error::Label {
                index,
                label: class,
                classes,
            });
        }
        label.for_each_class(|class| counts[class] += 1);
    }
    Ok(counts)
}
