//! Drawn shapes with their boxes.

use std::sync::Arc;

use super::{Shapes, ShapesOptions};
use crate::dataset::{Dataset, Splits};
use crate::error::Result;
use crate::label::Boxes;
use crate::picture::Picture;

/// The pictures of [`Shapes`], each labelled with the boxes of its shapes.
///
/// ```
/// use image_data::{Dataset, ShapeScenes, ShapesOptions};
///
/// let options = ShapesOptions { size: [128, 128], max_objects: 4, ..ShapesOptions::default() };
/// let scenes = ShapeScenes::new(options)?;
/// assert!((1..=4).contains(&scenes.label(0).len()));
/// assert_eq!(scenes.classes()[scenes.label(6)[0].class], "star");
/// # Ok::<(), image_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShapeScenes(Shapes);

impl ShapeScenes {
    /// The dataset with these options.
    ///
    /// # Errors
    ///
    /// Those of [`Shapes::new`].
    pub fn new(options: ShapesOptions) -> Result<Self> {
        Shapes::new(options).map(Self)
    }

    /// The pictures of `options` for training, and the `valid` following ones for validation.
    ///
    /// # Errors
    ///
    /// Those of [`Shapes::new`].
    pub fn splits(options: ShapesOptions, valid: usize) -> Result<Splits<Boxes>> {
        let after = Self::new(options.after(valid))?;
        Ok(Splits::new(
            Arc::new(Self::new(options)?),
            Some(Arc::new(after)),
        ))
    }
}

impl Dataset<Boxes> for ShapeScenes {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn label(&self, index: usize) -> Boxes {
        // There is none past the end.
        self.0.boxes(index).unwrap_or_default()
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        self.0.picture(index)
    }

    fn name(&self, index: usize) -> String {
        self.0.name(index)
    }
}
