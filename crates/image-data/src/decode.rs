//! Decodes a file's bytes to RGB, within limits.

use std::any::Any;
use std::cell::Cell;
use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use files::show;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use crate::complete::{self, End, scan_jpeg, scan_png};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::limits::Limits;
use crate::picture::{DecodeWarning, Picture};
use crate::pixel_layout::Layout;

/// The number of bytes that identify a format.
const HEAD: u64 = 64;

/// Reads a file. Reading stops as soon as the file is known not to be a picture or to be too large.
pub(crate) fn read_file(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    Format::of(&bytes)?;

    let what = "the file size in bytes";
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
    // A pipe reports no size, and a file may have grown.
    file.take(limit.saturating_add(1).saturating_sub(HEAD))
        .read_to_end(&mut bytes)?;
    let got = bytes.len() as u64;
    if got > limit {
        return Err(Error::OverLimit { what, got, limit });
    }
    Ok(bytes)
}

/// Decodes the bytes of a whole file.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Picture> {
    let format = Format::of(bytes)?;
    catch_panic(format, || match format {
        Format::Jpeg => decode_jpeg(bytes, limits),
        Format::Png => decode_png(bytes, limits),
        // Twice the pixels at 4 bytes each: the canvas with the frames composed so far, and the
        // planes or indices of the current frame.
        Format::Gif | Format::WebP => pixels(bytes, format, limits, |pixels| pixels * 8),
        Format::Tiff | Format::Bmp | Format::Pnm => pixels(bytes, format, limits, |_| 0),
    })
}

/// The part of a file's header that `lint` reports on.
pub(crate) struct Header {
    pub(crate) format: &'static str,
    pub(crate) alpha: bool,
}

/// Reads a file's header; returns `None` for an unknown format.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let format = Format::of(bytes).ok()?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.decoder());
    let mut metadata = image::Limits::no_limits();
    metadata.max_alloc = Some(Limits::default().max_bytes / 4);
    reader.limits(metadata);
    let alpha = guarded(|| {
        let decoder = reader.into_decoder().ok()?;
        Some(decoder.color_type().has_alpha())
    });
    Some(Header {
        format: format.name(),
        alpha: alpha.ok().flatten().unwrap_or(false),
    })
}

/// What a file's EXIF orientation does to its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing.
    None,
    /// It turns them by half a circle, or mirrors them: the sides stay what they are.
    SidesKept,
    /// It exchanges height and width.
    SidesExchanged,
}

impl Turn {
    fn of(orientation: Orientation) -> Self {
        match orientation {
            Orientation::NoTransforms => Self::None,
            Orientation::Rotate180 | Orientation::FlipHorizontal | Orientation::FlipVertical => {
                Self::SidesKept
            }
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => Self::SidesExchanged,
        }
    }
}

/// The `[h, w]` of the picture that [`decode`] returns, and how it is turned upright. The first bytes of
/// a file are often enough.
pub(crate) fn upright_size(bytes: &[u8]) -> Result<([usize; 2], Turn)> {
    let format = Format::of(bytes)?;
    let read = || {
        let (mut decoder, _) = claims(bytes, format, &Limits::default(), |_| 0)?;
        let (width, height) = decoder.dimensions();
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let [width, height] = [width as usize, height as usize];
        Ok(match Turn::of(orientation) {
            Turn::SidesExchanged => ([width, height], Turn::SidesExchanged),
            turn => ([height, width], turn),
        })
    };
    guarded(read).unwrap_or_else(|payload| {
        Err(Error::DecoderPanicked {
            format: format.name(),
            reason: message(&*payload),
        })
    })
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a picture decoder, whose panics are returned as
/// [`Error::DecoderPanicked`].
///
/// The program's panic hook runs before the panic is caught, and the default hook prints a report.
/// To print only the error for a damaged picture, skip the report of these panics:
///
/// ```
/// let report = std::panic::take_hook();
/// std::panic::set_hook(Box::new(move |panic| {
///     if !image_data::is_decoding() {
///         report(panic);
///     }
/// }));
/// ```
#[must_use]
pub fn is_decoding() -> bool {
    DECODING.get()
}

/// Runs `decode` and returns its panic as an error: decoders have panicked on real files.
fn catch_panic(format: Format, decode: impl FnOnce() -> Result<Picture>) -> Result<Picture> {
    guarded(decode).unwrap_or_else(|payload| {
        Err(Error::DecoderPanicked {
            format: format.name(),
            reason: message(&*payload),
        })
    })
}

/// Runs a decoder and catches its panic.
fn guarded<T>(decode: impl FnOnce() -> T) -> std::thread::Result<T> {
    DECODING.set(true);
    // Only the result outlives the closure, so broken state cannot be observed.
    let result = catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(false);
    result
}

/// Decodes a JPEG. All data is required, but not the end marker, since some cameras and panorama
/// programs leave it out.
fn decode_jpeg(bytes: &[u8], limits: &Limits) -> Result<Picture> {
    let scan = scan_jpeg(bytes);
    let decode = |bytes: &[u8]| pixels(bytes, Format::Jpeg, limits, |_| scan.coefficient_bytes);
    match scan.end {
        End::Marked => decode(bytes),
        End::Missing => {
            // A decoder that lacks data reads the bytes that follow. If the picture is the same
            // whatever these bytes are, no data is missing.
            let [first, others @ ..] = complete::jpeg_endings(bytes);
            let picture = decode(&first)?;
            for other in others {
                if decode(&other)? != picture {
                    return Err(truncated(Format::Jpeg));
                }
            }
            Ok(picture.with_warning(no_end_mark(Format::Jpeg)))
        }
        End::Cut => claims(bytes, Format::Jpeg, limits, |_| scan.coefficient_bytes)
            .and_then(|_| Err(truncated(Format::Jpeg))),
    }
}

/// Decodes a PNG. All data is required, but not the last chunk.
fn decode_png(bytes: &[u8], limits: &Limits) -> Result<Picture> {
    let scan = scan_png(bytes);
    if let Some(bytes) = scan.broken_palette {
        return Err(Error::Decode {
            format: Format::Png.name(),
            reason: format!("a palette of {bytes} bytes, expected a multiple of 3"),
        });
    }
    let decode = |bytes: &[u8]| pixels(bytes, Format::Png, limits, |_| 0);
    match scan.end {
        End::Marked => decode(bytes),
        End::Missing => {
            let whole = [&bytes[..scan.chunks], &complete::PNG_END].concat();
            Ok(decode(&whole)?.with_warning(no_end_mark(Format::Png)))
        }
        End::Cut => {
            claims(bytes, Format::Png, limits, |_| 0).and_then(|_| Err(truncated(Format::Png)))
        }
    }
}

fn truncated(format: Format) -> Error {
    Error::Truncated {
        format: format.name(),
    }
}

fn no_end_mark(format: Format) -> DecodeWarning {
    DecodeWarning::NoEndMark {
        format: format.name(),
    }
}

fn failed(format: Format) -> impl Fn(image::ImageError) -> Error {
    move |error| Error::Decode {
        format: format.name(),
        reason: one_line(&error.to_string()),
    }
}

/// Decodes a file's pixels and applies the EXIF orientation.
fn pixels(
    bytes: &[u8],
    format: Format,
    limits: &Limits,
    extra_bytes: impl Fn(u64) -> u64,
) -> Result<Picture> {
    let (mut decoder, layout) = claims(bytes, format, limits, extra_bytes)?;
    let (width, height) = decoder.dimensions();
    // A broken EXIF block does not make a picture unreadable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut buffer = zeros(decoder.total_bytes())?;
    decoder.read_image(&mut buffer).map_err(failed(format))?;
    let rgb = layout.into_rgb(buffer, u64::from(width) * u64::from(height))?;
    upright(width, height, rgb, orientation)
}

/// Reads the header and checks its claims against the limits. `extra_bytes` returns the memory that
/// decoding needs besides the pixels, in bytes, from the number of pixels.
fn claims<'a>(
    bytes: &'a [u8],
    format: Format,
    limits: &Limits,
    extra_bytes: impl Fn(u64) -> u64,
) -> Result<(impl ImageDecoder + 'a, Layout)> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.decoder());
    // This limits the inflated metadata and a TIFF's buffers. The pixels of the other formats are
    // checked below.
    let mut metadata = image::Limits::no_limits();
    metadata.max_alloc = Some(match format {
        Format::Tiff => limits.max_bytes,
        _ => (limits.max_bytes / 4).max(1 << 20),
    });
    reader.limits(metadata);
    let decoder = reader.into_decoder().map_err(failed(format))?;

    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::NoPixels {
            width: width as usize,
            height: height as usize,
        });
    }
    let layout = Layout::of(decoder.color_type()).ok_or_else(|| Error::Decode {
        format: format.name(),
        reason: format!("colours stored as {:?}", decoder.color_type()),
    })?;
    let pixels = u64::from(width) * u64::from(height);
    let converted = if layout.in_place() {
        0
    } else {
        pixels.saturating_mul(3)
    };
    // `into_decoder` does not check these against its limits. They are all claims of the file.
    limits.check(
        width,
        height,
        decoder.total_bytes().saturating_add(converted),
        extra_bytes(pixels),
    )?;
    Ok((decoder, layout))
}

/// Applies the file's EXIF orientation to the pixels.
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

/// Returns a panic's message on one line.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    one_line(text.unwrap_or("a panic without a message"))
}

/// Joins the lines of a decoder's message into one printable line.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    show::message(&words.join(" "))
}

/// Reserves `len` more bytes, with an error where `Vec` would abort the process.
fn reserve(bytes: &mut Vec<u8>, len: u64) -> Result<()> {
    usize::try_from(len)
        .ok()
        .and_then(|len| bytes.try_reserve_exact(len).ok())
        .ok_or(Error::NoMemory { bytes: len })
}

/// Allocates zeros. The system provides the memory only as it is written to, so a small file that
/// claims a large picture costs little.
pub(crate) fn zeros(len: u64) -> Result<Vec<u8>> {
    // `vec!` alone would abort the process if the system refused the memory.
    reserve(&mut Vec::new(), len)?;
    Ok(vec![0; len as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_on_one_line() {
        let caught = |panic: fn()| {
            let result = catch_panic(Format::Png, || {
                panic();
                Err(Error::Empty)
            });
            result.unwrap_err().to_string()
        };
        assert_eq!(
            caught(|| panic!("two\nlines")),
            "the PNG decoder panicked: two lines"
        );
        assert_eq!(
            caught(|| panic!("side {}", 7)),
            "the PNG decoder panicked: side 7"
        );
        assert!(caught(|| std::panic::panic_any(1)).ends_with("a panic without a message"));
    }

    /// A panic hook runs on the thread that panics, before the panic is caught.
    #[test]
    fn the_thread_knows_that_it_is_decoding_until_the_panic_is_caught() {
        let during = Cell::new(false);
        let result = catch_panic(Format::Png, || {
            during.set(is_decoding());
            panic!("damaged");
        });
        assert!(matches!(
            result,
            Err(Error::DecoderPanicked { format: "PNG", .. })
        ));
        assert!(during.get() && !is_decoding());
        // A decoder runs inside it, for a header alone, too.
        assert!(guarded(is_decoding).unwrap_or(false));
    }
}
