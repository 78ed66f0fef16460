//! Test-time augmentation: several views of one picture.

use image_data::{CropPosition, Picture, Preprocessing};

use crate::error::{Error, Result};

/// The views of a picture whose probabilities are averaged: test-time augmentation.
///
/// A network's answers to slightly different views differ, and their mean is usually a little more
/// accurate than the answer to one view, for as many times the work. The views run as one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Views {
    /// The picture alone.
    #[default]
    One,
    /// The picture and its mirror image.
    Flip,
    /// Five crops, the centre and the corners, and the mirror image of each (Krizhevsky, Sutskever and
    /// Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 4.1).
    /// It requires a preprocessing with a crop.
    FlipAndFiveCrops,
}

impl Views {
    /// The number of views.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Flip => 2,
            Self::FlipAndFiveCrops => 2 * CropPosition::FIVE.len(),
        }
    }

    fn positions(self) -> &'static [CropPosition] {
        match self {
            Self::One | Self::Flip => &[CropPosition::Centre],
            Self::FlipAndFiveCrops => &CropPosition::FIVE,
        }
    }

    /// Refuses five crops of pictures that are not cropped.
    pub(crate) fn check(self, preprocessing: &Preprocessing) -> Result<()> {
        match (self, preprocessing.crop) {
            (Self::FlipAndFiveCrops, None) => Err(Error::NoCrop),
            (Self::One | Self::Flip, _) | (Self::FlipAndFiveCrops, Some(_)) => Ok(()),
        }
    }

    /// Writes the views one after the other, each with rows of `width` values.
    pub(crate) fn write(
        self,
        preprocessing: &Preprocessing,
        picture: &Picture,
        width: usize,
        inputs: &mut [f32],
    ) -> Result<()> {
        let mut views = inputs.chunks_exact_mut(inputs.len() / self.count());
        for &position in self.positions() {
            let Some(view) = views.next() else { break };
            preprocessing.apply_crop_into(picture, position, view)?;
            if let (Self::Flip | Self::FlipAndFiveCrops, Some(mirrored)) = (self, views.next()) {
                mirrored.copy_from_slice(view);
                mirrored.chunks_exact_mut(width).for_each(<[f32]>::reverse);
            }
        }
        Ok(())
    }
}
