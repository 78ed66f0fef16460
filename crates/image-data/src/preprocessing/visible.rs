//! The part of a picture that a network sees.

use super::Preprocessing;
use crate::bbox::BBox;
use crate::crop_position::CropPosition;
use crate::error::Result;

impl Preprocessing {
    /// Returns the part of a picture of size `[h, w]` that the input shows, in the picture's pixels. It
    /// extends past the picture's edges where the crop pads.
    ///
    /// ```
    /// use image_data::{BBox, Preprocessing};
    ///
    /// // The shorter side of 512 is resized to 256, so a crop of 224 is 448 wide.
    /// let visible = Preprocessing::imagenet().visible([512, 1024])?;
    /// assert_eq!(visible, BBox::from_xyxy(288.0, 32.0, 736.0, 480.0));
    /// # Ok::<(), image_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`output_size`](Self::output_size).
    pub fn visible(&self, picture: [usize; 2]) -> Result<BBox> {
        let size = self.output_size(picture)?;
        let [[y1, y2], [x1, x2]] =
            self.windows(picture, size, CropPosition::Centre)
                .map(|window| {
                    let scale = window.input as f64 / window.output.max(1) as f64;
                    let ends = [window.start as f64, window.start as f64 + window.len as f64];
                    ends.map(|end| (end * scale) as f32)
                });
        Ok(BBox::from_xyxy(x1, y1, x2, y2))
    }
}
