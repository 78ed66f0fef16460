//! From a file's bytes to RGB, within limits.

use std::any::Any;
use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use crate::complete::{png_is_complete, scan_jpeg};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::picture::Picture;

/// As many bytes as tell a format.
const HEAD: u64 = 64;

/// Reads a file, but not more of it than tells that it is no picture, or that it is too large.
pub(crate) fn read_file(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    guess_format(&bytes)?;

    let what = "a file size in bytes";
    let limit = limits.max_file_bytes;
    let claimed = file.metadata()?.len();
    if claimed > limit {
        return Err(Error::OverLimit {
            what,
            got: claimed,
            limit,
        });
    }
    reserve(&mut bytes, claimed)?;
    // A pipe claims nothing, and a file may have grown.
    file.take(limit.saturating_add(1).saturating_sub(HEAD))
        .read_to_end(&mut bytes)?;
    let got = bytes.len() as u64;
    if got > limit {
        return Err(Error::OverLimit { what, got, limit });
    }
    Ok(bytes)
}

/// Decodes a whole file's bytes.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Picture> {
    let format = guess_format(bytes)?;
    catch_panic(name(format), || decode_format(bytes, format, limits))
}

/// What a file says of itself before its pixels.
pub(crate) struct Header {
    pub(crate) format: &'static str,
    pub(crate) alpha: bool,
}

/// A file's header, where it has one.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let format = guess_format(bytes).ok()?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut metadata = image::Limits::no_limits();
    metadata.max_alloc = Some(Limits::default().max_bytes / 4);
    reader.limits(metadata);
    let alpha = catch_unwind(AssertUnwindSafe(|| {
        let decoder = reader.into_decoder().ok()?;
        Some(decoder.color_type().has_alpha())
    }));
    Some(Header {
        format: name(format),
        alpha: alpha.ok().flatten().unwrap_or(false),
    })
}

/// What `decode` gives, or its panic as an error: decoders have panicked on real files.
fn catch_panic(format: &'static str, decode: impl FnOnce() -> Result<Picture>) -> Result<Picture> {
    // Nothing outlives the closure but its result, so no broken state can be seen.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|payload| {
        Err(Error::DecoderPanicked {
            format,
            reason: message(&*payload),
        })
    })
}

fn decode_format(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<Picture> {
    let failed = |error: image::ImageError| Error::Decode {
        format: name(format),
        reason: one_line(&error.to_string()),
    };
    let mut coefficient_bytes = 0;
    let complete = match format {
        ImageFormat::Jpeg => {
            let scan = scan_jpeg(bytes);
            coefficient_bytes = scan.coefficient_bytes;
            scan.complete
        }
        ImageFormat::Png => png_is_complete(bytes),
        _ => true,
    };

    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // This bounds what metadata is inflated to. The pixels are not counted here, but below.
    let mut metadata = image::Limits::no_limits();
    metadata.max_alloc = Some((limits.max_bytes / 4).max(1 << 20));
    reader.limits(metadata);
    let mut decoder = reader.into_decoder().map_err(failed)?;

    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::NoPixels {
            width: width as usize,
            height: height as usize,
        });
    }
    let layout = Layout::of(decoder.color_type()).ok_or_else(|| Error::Decode {
        format: name(format),
        reason: format!("colours stored as {:?}", decoder.color_type()),
    })?;
    let pixels = u64::from(width) * u64::from(height);
    let stored = decoder.total_bytes();
    let converted = if layout.in_place() {
        0
    } else {
        pixels.saturating_mul(3)
    };
    // `into_decoder` does not compare this with its limits; all numbers here are the file's claims.
    limits.check(
        width,
        height,
        stored.saturating_add(converted),
        coefficient_bytes,
    )?;
    // The header is worth reading even then: its limits are the better reason.
    if !complete {
        return Err(Error::Truncated {
            format: name(format),
        });
    }

    // A broken EXIF block does not make a picture unreadable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut buffer = zeros(stored)?;
    decoder.read_image(&mut buffer).map_err(failed)?;
    let rgb = layout.into_rgb(buffer, pixels)?;
    upright(width, height, rgb, orientation)
}

/// How a decoder lays out one pixel.
#[derive(Clone, Copy)]
struct Layout {
    channels: usize,
    sample_bytes: usize,
}

impl Layout {
    fn of(color: ColorType) -> Option<Self> {
        let (channels, sample_bytes) = match color {
            ColorType::L8 => (1, 1),
            ColorType::La8 => (2, 1),
            ColorType::Rgb8 => (3, 1),
            ColorType::Rgba8 => (4, 1),
            ColorType::L16 => (1, 2),
            ColorType::La16 => (2, 2),
            ColorType::Rgb16 => (3, 2),
            ColorType::Rgba16 => (4, 2),
            _ => return None,
        };
        Some(Self {
            channels,
            sample_bytes,
        })
    }

    fn pixel_bytes(self) -> usize {
        self.channels * self.sample_bytes
    }

    /// Whether three bytes fit where the pixel was.
    fn in_place(self) -> bool {
        self.pixel_bytes() >= 3
    }

    /// The red, green and blue of one stored pixel.
    fn rgb(self, pixel: &[u8]) -> [u8; 3] {
        // Samples are in the machine's own order.
        let high = if cfg!(target_endian = "little") {
            self.sample_bytes - 1
        } else {
            0
        };
        let sample = |channel: usize| pixel[channel * self.sample_bytes + high];
        if self.channels < 3 {
            [sample(0); 3]
        } else {
            [sample(0), sample(1), sample(2)]
        }
    }

    fn into_rgb(self, mut stored: Vec<u8>, pixels: u64) -> Result<Vec<u8>> {
        if self.pixel_bytes() == 3 {
            return Ok(stored);
        }
        if !self.in_place() {
            let mut rgb = zeros(pixels.saturating_mul(3))?;
            for (to, from) in rgb
                .chunks_exact_mut(3)
                .zip(stored.chunks_exact(self.pixel_bytes()))
            {
                to.copy_from_slice(&self.rgb(from));
            }
            return Ok(rgb);
        }
        let size = self.pixel_bytes();
        let count = stored.len() / size;
        for i in 0..count {
            let rgb = self.rgb(&stored[i * size..][..size]);
            stored[i * 3..][..3].copy_from_slice(&rgb);
        }
        stored.truncate(count * 3);
        stored.shrink_to_fit();
        Ok(stored)
    }
}

/// Turns the pixels as the file's EXIF orientation says.
fn upright(width: u32, height: u32, rgb: Vec<u8>, orientation: Orientation) -> Result<Picture> {
    if orientation == Orientation::NoTransforms {
        return Picture::new(width as usize, height as usize, rgb);
    }
    let got = rgb.len();
    let image = RgbImage::from_raw(width, height, rgb).ok_or(Error::Length {
        what: "the decoded picture",
        got,
        expected: width as usize * height as usize * 3,
    })?;
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    Picture::new(
        image.width() as usize,
        image.height() as usize,
        image.into_raw(),
    )
}

/// The format by its first bytes; the file's name is not asked.
fn guess_format(bytes: &[u8]) -> Result<ImageFormat> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    let found = match image::guess_format(bytes) {
        Ok(
            format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Bmp | ImageFormat::Pnm),
        ) => return Ok(format),
        Ok(ImageFormat::Gif) => "it is a GIF",
        Ok(ImageFormat::WebP) => "it is a WebP",
        Ok(ImageFormat::Tiff) => "it is a TIFF",
        Ok(ImageFormat::Avif) => "it is an AVIF",
        Ok(_) => "it is another picture format",
        Err(_) if looks_like_html(bytes) => "it looks like a web page",
        Err(_) => "its content is of no known picture format",
    };
    Err(Error::NotAPicture { found })
}

fn looks_like_html(bytes: &[u8]) -> bool {
    let text = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    ["<!doctype", "<html", "<head", "<?xml"]
        .iter()
        .any(|start| {
            text.get(..start.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
        })
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Bmp => "BMP",
        _ => "PNM",
    }
}

/// What a panic said, on one line.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    one_line(text.unwrap_or("a panic without a message"))
}

/// The text on one line, however the decoder broke it.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Room for `len` more bytes, or an error where `Vec` would end the process.
fn reserve(bytes: &mut Vec<u8>, len: u64) -> Result<()> {
    usize::try_from(len)
        .ok()
        .and_then(|len| bytes.try_reserve_exact(len).ok())
        .ok_or(Error::NoMemory { bytes: len })
}

/// Memory that the system need not provide before it is written to, so that a file which claims
/// much and holds little costs little.
fn zeros(len: u64) -> Result<Vec<u8>> {
    // `vec!` alone would end the process where there is no room.
    reserve(&mut Vec::new(), len)?;
    Ok(vec![0; len as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_on_one_line() {
        let caught = |panic: fn()| {
            let result = catch_panic("PNG", || {
                panic();
                Err(Error::Empty)
            });
            result.unwrap_err().to_string()
        };
        assert_eq!(
            caught(|| panic!("two\nlines")),
            "the PNG decoder gave up: two lines"
        );
        assert_eq!(
            caught(|| panic!("side {}", 7)),
            "the PNG decoder gave up: side 7"
        );
        assert!(caught(|| std::panic::panic_any(1)).ends_with("a panic without a message"));
    }

    #[test]
    fn sixteen_bits_keep_the_high_byte_and_alpha_goes() {
        let bytes = |samples: &[u16]| samples.iter().flat_map(|v| v.to_ne_bytes()).collect();
        for (color, stored, expected) in [
            (ColorType::L8, vec![7, 200], vec![7, 7, 7, 200, 200, 200]),
            (
                ColorType::La8,
                vec![7, 0, 200, 9],
                vec![7, 7, 7, 200, 200, 200],
            ),
            (
                ColorType::Rgb8,
                vec![1, 2, 3, 4, 5, 6],
                vec![1, 2, 3, 4, 5, 6],
            ),
            (
                ColorType::Rgba8,
                vec![1, 2, 3, 0, 4, 5, 6, 9],
                vec![1, 2, 3, 4, 5, 6],
            ),
            (
                ColorType::L16,
                bytes(&[0x12ff, 0xff00]),
                vec![0x12, 0x12, 0x12, 0xff, 0xff, 0xff],
            ),
            (
                ColorType::La16,
                bytes(&[0x12ff, 0, 0x80, 1]),
                vec![0x12, 0x12, 0x12, 0, 0, 0],
            ),
            (
                ColorType::Rgb16,
                bytes(&[0x1ff, 0x200, 0x3aa]),
                vec![1, 2, 3],
            ),
            (
                ColorType::Rgba16,
                bytes(&[0x1ff, 0x200, 0x3aa, 0, 0x400, 0x5ff, 0x600, 7]),
                vec![1, 2, 3, 4, 5, 6],
            ),
        ] {
            let layout = Layout::of(color).unwrap();
            let pixels = expected.len() as u64 / 3;
            assert_eq!(
                layout.into_rgb(stored, pixels).unwrap(),
                expected,
                "{color:?}"
            );
        }
        assert!(Layout::of(ColorType::Rgb32F).is_none());
    }
}
