//! Small copies of pictures, for pages with many of them.

use image::ImageEncoder;
use image::codecs::jpeg::JpegEncoder;

use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::preprocessing::{ChannelOrder, Preprocessing, Resize, ResizeTo};
use crate::resize::Filter;

impl Picture {
    /// Returns a copy whose longer side is at most `longest`, at least 1, with the proportions kept. A
    /// picture that is small enough is copied as it is.
    ///
    /// ```
    /// use image_data::Picture;
    ///
    /// let picture = Picture::from_rgb(80, 60, 240, &[7; 14_400])?;
    /// assert_eq!(picture.thumbnail(40)?.size(), [30, 40]);
    /// assert_eq!(picture.thumbnail(100)?, picture);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoMemory`].
    pub fn thumbnail(&self, longest: usize) -> Result<Self> {
        let longest = longest.max(1);
        let side = self.width().max(self.height());
        if side <= longest {
            return Ok(self.clone());
        }
        let scale = longest as f64 / side as f64;
        let scaled = |length: usize| ((length as f64 * scale).round() as usize).max(1);
        let small = Preprocessing {
            resize: Some(Resize {
                size: ResizeTo::Exact(self.size().map(scaled)),
                filter: Filter::Bilinear,
            }),
            crop: None,
            channels: ChannelOrder::Rgb,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        };
        let (thumbnail, _) = small.resize_and_crop(self)?;
        Ok(thumbnail)
    }

    /// Returns the picture as the bytes of a JPEG file with a `quality` from 1 to 100.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], and [`Error::TooLarge`] for a side over 65 535.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>> {
        let side = |length: usize| {
            let narrow = u16::try_from(length).map(u32::from);
            narrow.map_err(|_| Error::TooLarge {
                what: "a JPEG",
                size: self.size(),
            })
        };
        let (width, height) = (side(self.width())?, side(self.height())?);
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
            .write_image(self.rgb(), width, height, image::ExtendedColorType::Rgb8)
            .map_err(|error| Error::Encode {
                reason: error.to_string(),
            })?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn extreme_proportions_keep_a_pixel() {
        let line = Picture::from_rgb(500, 1, 1500, &[9; 1500]).unwrap();
        assert_eq!(line.thumbnail(10).unwrap().size(), [1, 10]);
        assert_eq!(line.thumbnail(0).unwrap().size(), [1, 1]);
    }

    #[test]
    fn a_jpeg_can_be_read_again() {
        let picture = Picture::from_rgb(31, 17, 93, &[[200, 40, 90]; 527].concat()).unwrap();
        let bytes = picture.to_jpeg(90).unwrap();
        let again = Picture::decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(again.size(), [17, 31]);
        for (got, expected) in again.rgb().iter().zip(picture.rgb()) {
            assert!(got.abs_diff(*expected) < 6, "{got} {expected}");
        }
    }
}
