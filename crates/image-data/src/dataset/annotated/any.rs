//! Datasets whose labels are classes or boxes.

use std::path::Path;
use std::sync::Arc;

use super::{AnnotationOptions, label_files, open, read};
use crate::dataset::splits::Splits;
use crate::error::{Error, Result};
use crate::label::Boxes;

/// A dataset whose labels are of either kind.
pub enum AnySplits {
    /// Each picture has a class.
    Classes(Splits),
    /// Each picture has boxes.
    Boxes(Splits<Boxes>),
}

impl AnySplits {
    /// Opens a dataset: with [`Splits::annotated`] if it has labels of boxes, or else with
    /// [`Splits::open`].
    ///
    /// # Errors
    ///
    /// Those of the two.
    pub fn open(path: impl AsRef<Path>, options: &AnnotationOptions) -> Result<Self> {
        let path = path.as_ref();
        Ok(match Self::survey(path, options)? {
            Self::Boxes(splits) => Self::Boxes(splits.checked(path, options.faulty)?),
            Self::Classes(splits) => match splits.contents.faults.first() {
                None => Self::Classes(splits),
                Some(fault) => return Err(Error::Layout(fault.clone()).in_file(path)),
            },
        })
    }

    /// As [`open`](Self::open), but with the faults in the contents: [`Splits::survey_annotated`] and
    /// [`Splits::survey`].
    ///
    /// # Errors
    ///
    /// Those of the two.
    ///
    /// ```
    /// use image_data::{AnnotationOptions, AnySplits, Picture};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path();
    /// # Picture::from_rgb(40, 20, 120, &[9; 40 * 20 * 3])?.save_png(path.join("1.png"))?;
    /// std::fs::write(path.join("1.txt"), "0 0.5 0.5 0.25 0.5\n0 0.5 0.5 0 0.5\n")?;
    /// let splits = AnySplits::survey(path, &AnnotationOptions::default())?;
    /// let AnySplits::Boxes(splits) = splits else { unreachable!("there are labels of boxes") };
    /// assert_eq!(splits.train.label(0).len(), 1);
    /// assert_eq!(splits.contents.labels[0].line, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn survey(path: impl AsRef<Path>, options: &AnnotationOptions) -> Result<Self> {
        let path = path.as_ref();
        let (tree, only) = open(path, &options.limits)?;
        let tree = Arc::new(tree);
        let has_boxes =
            options.format.is_some() || !label_files(&tree, only.as_deref()).formats().is_empty();
        if has_boxes {
            let splits = read(&tree, only, options);
            let splits = splits.map_err(|reason| reason.in_file_unless_named(path))?;
            return Ok(Self::Boxes(splits));
        }
        match only {
            None => Splits::survey_tree(&tree, path).map(Self::Classes),
            // A file that describes something else.
            Some(_) => Splits::survey(path, &options.limits).map(Self::Classes),
        }
    }
}
