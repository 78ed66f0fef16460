//! How large a picture may be, decided before memory is taken for it.

use crate::error::{Error, Result};

/// Bounds on what a file may make the decoder do.
///
/// A file of a hundred bytes can claim to hold sixty thousand pixels squared. Each bound is
/// compared with what the file's header claims, before any pixel is decoded or any memory taken.
///
/// ```
/// # use image_data::Limits;
/// // As usual, but pictures of up to 200 megapixels.
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
    /// The most bytes of memory for pixels while decoding: as the file stores them (up to 8 bytes
    /// each), and three bytes each beside those where grey becomes RGB. Default 192 MiB.
    ///
    /// What decoding takes beside them is held to the same number by itself: the coefficients of a
    /// progressive JPEG, the frame of a GIF or WebP. A picture that its EXIF orientation turns by 90
    /// degrees is copied once more.
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
    /// Compares a picture's claims with the limits.
    pub(crate) fn check(
        &self,
        width: u32,
        height: u32,
        pixel_bytes: u64,
        extra_bytes: u64,
    ) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        for (what, got, limit) in [
            ("a width in pixels", u64::from(width), self.max_width as u64),
            (
                "a height in pixels",
                u64::from(height),
                self.max_height as u64,
            ),
            ("a number of pixels", pixels, self.max_pixels),
            ("a need of bytes for pixels", pixel_bytes, self.max_bytes),
            (
                "a need of bytes beside the pixels",
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
