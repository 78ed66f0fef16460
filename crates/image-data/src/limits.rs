//! Limits on a picture's size, checked before its memory is allocated.

use crate::error::{Error, Result};

/// Limits on the work and memory that a file can demand of the decoder.
///
/// A file of a hundred bytes can claim a picture of 60 000 x 60 000 pixels. Each limit is compared
/// with the claims of the file's header before any pixel is decoded and any memory allocated.
///
/// ```
/// # use image_data::Limits;
/// // The default limits, except for pictures of up to 200 megapixels.
/// let limits = Limits { max_pixels: 200_000_000, max_bytes: 1 << 30, ..Limits::default() };
/// # assert!(limits.max_width > 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The largest width in pixels. Default 32 768.
    pub max_width: usize,
    /// The largest height in pixels. Default 32 768.
    pub max_height: usize,
    /// The largest product of width and height. Default 2^26, 67 megapixels.
    pub max_pixels: u64,
    /// The most bytes of memory for pixels during decoding: the pixels as the file stores them (up
    /// to 8 bytes each), plus three bytes each where grey is converted to RGB. Default 192 MiB.
    ///
    /// The same limit applies separately to the decoder's other memory: the coefficients of a
    /// progressive JPEG, the frame of a GIF or WebP. A picture that its EXIF orientation rotates
    /// by 90 degrees is copied once more.
    pub max_bytes: u64,
    /// The largest file in bytes. Default 128 MiB.
    pub max_file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_width: 1 << 15,
            max_height: 1 << 15,
            max_pixels: 1 << 26,
            max_bytes: 192 << 20,
            max_file_bytes: 128 << 20,
        }
    }
}

impl Limits {
    /// Compares the claims of a picture's header with the limits.
    pub(crate) fn check(
        &self,
        width: u32,
        height: u32,
        pixel_bytes: u64,
        extra_bytes: u64,
    ) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        for (what, got, limit) in [
            (
                "the width in pixels",
                u64::from(width),
                self.max_width as u64,
            ),
            (
                "the height in pixels",
                u64::from(height),
                self.max_height as u64,
            ),
            ("the number of pixels", pixels, self.max_pixels),
            (
                "the memory for pixels in bytes",
                pixel_bytes,
                self.max_bytes,
            ),
            (
                "the decoder's other memory in bytes",
                extra_bytes,
                self.max_bytes,
            ),
        ] {
            if got > limit {
                return Err(Error::OverLimit { what, got, limit });
            }
        }
        Ok(())
    }
}
