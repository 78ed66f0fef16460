//! A picture in memory: RGB with 8 bits per channel, row by row.

use std::fmt;
use std::io::Write;
use std::path::Path;

use files::whole_file;
use image::ImageEncoder;
use image::codecs::png::PngEncoder;

use crate::decode;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// A picture: `height` rows of `width` pixels of red, green and blue, one byte each, without gaps.
///
/// Both sides are at least 1. Two pictures are equal if their sizes and pixels are.
#[derive(Clone, Debug)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    warning: Option<DecodeWarning>,
}

impl PartialEq for Picture {
    fn eq(&self, other: &Self) -> bool {
        self.size() == other.size() && self.rgb == other.rgb
    }
}

impl Eq for Picture {}

/// A fault of a file that nevertheless contains all of its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeWarning {
    /// The format's end mark is missing. Some cameras and panorama programs leave it out; otherwise
    /// the file was cut exactly after its pixels.
    NoEndMark {
        /// The format.
        format: &'static str,
    },
}

impl fmt::Display for DecodeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndMark { format } => write!(
                f,
                "the {format} has no end mark; all of its pixels are there"
            ),
        }
    }
}

impl Picture {
    /// Reads a PNG, JPEG, GIF, WebP, TIFF, BMP or PNM file. The format is detected from the
    /// content, not from the name.
    ///
    /// The pixels are converted to 8-bit RGB by these rules:
    ///
    /// - a grey value is copied to red, green and blue;
    /// - alpha is dropped, without blending with a background;
    /// - a 16-bit value keeps its high byte, `v >> 8`;
    /// - values of fewer than 8 bits, and those of PNM with a maximum other than 255 or 65535, are
    ///   scaled to 0..=255; palettes are looked up; CMYK is converted;
    /// - the EXIF orientation is applied, so that the picture is upright as in a viewer;
    /// - colour profiles and gamma are ignored;
    /// - only the first frame of an animation, or the first of several pages, is read.
    ///
    /// A file that lacks only its format's end mark is read, with a [`warning`](Self::warning).
    ///
    /// A panic in a decoder is caught if the program is built with unwinding. The panic hook runs
    /// first, and the default hook prints the message: see [`is_decoding`](crate::is_decoding).
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the path and one of these reasons: [`Error::Io`], [`Error::Empty`],
    /// [`Error::NotAPicture`], [`Error::OverLimit`] before the memory is allocated,
    /// [`Error::NoPixels`], [`Error::Truncated`], [`Error::Decode`], [`Error::DecoderPanicked`],
    /// [`Error::NoMemory`].
    ///
    /// ```
    /// # use image_data::{Limits, Picture};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("grey.png");
    /// Picture::from_rgb(2, 1, 6, &[128; 6])?.save_png(&path)?;
    /// let picture = Picture::open(&path, &Limits::default())?;
    /// assert_eq!(picture.size(), [1, 2]);
    ///
    /// let error = Picture::open("no-such-file.png", &Limits::default()).unwrap_err();
    /// assert!(error.to_string().starts_with("no-such-file.png: "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let path = path.as_ref();
        decode::read_file(path, limits)
            .and_then(|bytes| decode::decode(&bytes, limits))
            .map_err(|reason| reason.in_file(path))
    }

    /// Decodes a file that is already in memory, by the rules of [`open`](Self::open). The limit
    /// on the file's size does not apply.
    ///
    /// # Errors
    ///
    /// The reasons of [`open`](Self::open), without a path.
    ///
    /// ```
    /// # use image_data::{Limits, Picture};
    /// let pgm = b"P5 2 1 255\n\x00\xff";
    /// let picture = Picture::decode(pgm, &Limits::default())?;
    /// assert_eq!(picture.rgb(), [0, 0, 0, 255, 255, 255]);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self> {
        decode::decode(bytes, limits)
    }

    /// Copies a picture from memory in which row `y` starts at byte `y * stride`.
    ///
    /// The last row may be shorter than the stride.
    ///
    /// # Errors
    ///
    /// [`Error::NoPixels`] for a side of 0, [`Error::Stride`] if rows would overlap,
    /// [`Error::Length`] for too few bytes, [`Error::TooLarge`] on overflow.
    ///
    /// ```
    /// # use image_data::Picture;
    /// let padded = [1, 2, 3, 0, 4, 5, 6]; // two rows of one pixel, four bytes apart
    /// let picture = Picture::from_rgb(1, 2, 4, &padded)?;
    /// assert_eq!(picture.rgb(), [1, 2, 3, 4, 5, 6]);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    pub fn from_rgb(width: usize, height: usize, stride: usize, bytes: &[u8]) -> Result<Self> {
        if width == 0 || height == 0 {
            return Err(Error::NoPixels { width, height });
        }
        let too_large = Error::TooLarge {
            what: "a picture",
            size: [height, width],
        };
        let Some(row) = width.checked_mul(3) else {
            return Err(too_large);
        };
        if stride < row {
            return Err(Error::Stride {
                got: stride,
                expected: row,
            });
        }
        let Some(expected) = stride
            .checked_mul(height - 1)
            .and_then(|len| len.checked_add(row))
        else {
            return Err(too_large);
        };
        if bytes.len() < expected {
            return Err(Error::Length {
                what: "the pixels",
                got: bytes.len(),
                expected,
            });
        }
        let mut rgb = Vec::with_capacity(row * height);
        for chunk in bytes.chunks(stride).take(height) {
            rgb.extend_from_slice(&chunk[..row]);
        }
        Self::new(width, height, rgb)
    }

    /// Creates a picture from pixels without gaps.
    pub(crate) fn new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        if width == 0 || height == 0 {
            return Err(Error::NoPixels { width, height });
        }
        let expected = width
            .checked_mul(height)
            .and_then(|pixels| pixels.checked_mul(3));
        match expected {
            Some(expected) if rgb.len() == expected => Ok(Self {
                width,
                height,
                rgb,
                warning: None,
            }),
            Some(expected) => Err(Error::Length {
                what: "the pixels",
                got: rgb.len(),
                expected,
            }),
            None => Err(Error::TooLarge {
                what: "a picture",
                size: [height, width],
            }),
        }
    }

    pub(crate) fn with_warning(self, warning: DecodeWarning) -> Self {
        Self {
            warning: Some(warning),
            ..self
        }
    }

    /// Returns the fault, if any, of the file that the picture was read from.
    #[must_use]
    pub fn warning(&self) -> Option<DecodeWarning> {
        self.warning
    }

    /// Returns the width in pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the height in pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the size `[h, w]` in pixels.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Returns the pixels: red, green, blue, row by row.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    pub(crate) fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// Returns the pixels as [`rgb`](Self::rgb) does, as an owned vector.
    #[must_use]
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// Writes the picture as PNG, whole or not at all: into a new file in the same folder, which is
    /// then renamed to `path`. An existing regular file is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the path and [`Error::Io`], [`Error::Output`], [`Error::Encode`] or
    /// [`Error::TooLarge`]. An existing file is then unchanged.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        whole_file::replace(path, |file| self.encode_png(file))
            .map_err(|reason: Error| reason.in_file(path))
    }

    /// Returns the picture as the bytes of a PNG file.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], and [`Error::TooLarge`] for a side that does not fit into 32 bits.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.encode_png(&mut bytes)?;
        Ok(bytes)
    }

    fn encode_png(&self, to: impl Write) -> Result<()> {
        let side = |length: usize| {
            u32::try_from(length).map_err(|_| Error::TooLarge {
                what: "a PNG",
                size: self.size(),
            })
        };
        let (width, height) = (side(self.width)?, side(self.height)?);
        PngEncoder::new(to)
            .write_image(&self.rgb, width, height, image::ExtendedColorType::Rgb8)
            .map_err(|error| match error {
                image::ImageError::IoError(error) => Error::Io(error),
                error => Error::Encode {
                    reason: error.to_string(),
                },
            })
    }
}
