//! Pictures that are damaged, truncated or of another kind: each causes a one-line error, never a
//! panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers may fail the test"
)]

#[path = "hostile/truncated.rs"]
mod truncated;

use std::io::Cursor;

use image::codecs::bmp::BmpEncoder;
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::pnm::{PnmEncoder, PnmSubtype, SampleEncoding};
use image::codecs::tiff::TiffEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use image_data::{DecodeWarning, Error, Limits, Picture};
use proptest::prelude::*;

fn error(file: &[u8]) -> Error {
    let error = Picture::decode(file, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    error
}

/// Returns one small file of each format, with its name.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let (width, height) = (19, 11);
    let rgb: Vec<u8> = (0..width * height * 3)
        .map(|i| (i * i * 31 / 7) as u8)
        .collect();
    let grey = &rgb[..(width * height) as usize];
    let write = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut file = Vec::new();
        encode(&mut file);
        file
    };
    let color = ExtendedColorType::Rgb8;
    vec![
        (
            "png",
            write(&|file| {
                PngEncoder::new(file)
                    .write_image(&rgb, width, height, color)
                    .unwrap();
            }),
        ),
        (
            "grey png",
            write(&|file| {
                PngEncoder::new(file)
                    .write_image(grey, width, height, ExtendedColorType::L8)
                    .unwrap();
            }),
        ),
        (
            "jpeg",
            write(&|file| {
                JpegEncoder::new(file)
                    .write_image(&rgb, width, height, color)
                    .unwrap();
            }),
        ),
        (
            "bmp",
            write(&|file| {
                BmpEncoder::new(file)
                    .write_image(&rgb, width, height, color)
                    .unwrap();
            }),
        ),
        (
            "ppm",
            write(&|file| {
                PnmEncoder::new(file)
                    .with_subtype(PnmSubtype::Pixmap(SampleEncoding::Binary))
                    .write_image(&rgb, width, height, color)
                    .unwrap();
            }),
        ),
        (
            "pgm",
            write(&|file| {
                PnmEncoder::new(file)
                    .with_subtype(PnmSubtype::Graymap(SampleEncoding::Ascii))
                    .write_image(grey, width, height, ExtendedColorType::L8)
                    .unwrap();
            }),
        ),
        (
            "gif",
            write(&|file| {
                GifEncoder::new(file)
                    .encode(&rgb, width, height, color)
                    .unwrap();
            }),
        ),
        (
            "lossless webp",
            write(&|file| {
                WebPEncoder::new_lossless(file)
                    .write_image(&rgb, width, height, color)
                    .unwrap();
            }),
        ),
        (
            "tiff",
            write(&|file| {
                TiffEncoder::new(Cursor::new(file))
                    .write_image(&rgb, width, height, color)
                    .unwrap();
            }),
        ),
        // Written by Pillow (`picture_seeds.py`), since the encoder above does not support them.
        ("lossy webp", include_bytes!("goldens/lossy.webp").to_vec()),
        (
            "webp animation",
            include_bytes!("goldens/animation.webp").to_vec(),
        ),
        (
            "deflated tiff",
            include_bytes!("goldens/deflated.tiff").to_vec(),
        ),
    ]
}

/// Returns the file of this name.
fn named(name: &str) -> Vec<u8> {
    let (_, file) = files()
        .into_iter()
        .find(|(known, _)| *known == name)
        .unwrap();
    file
}

/// Returns the checksum of a PNG chunk (PNG specification, annex D).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                0xedb8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            }
        })
    })
}

/// Corrects the checksums of a PNG's chunks, as far as its chunks can be parsed.
fn mend_png(file: &mut [u8]) {
    let mut at = 8;
    while let Some(&[a, b, c, d]) = file.get(at..at + 4) {
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(body) = file.get(at + 4..at + 8 + len) else {
            return;
        };
        let sum = crc(body).to_be_bytes();
        let Some(place) = file.get_mut(at + 8 + len..at + 12 + len) else {
            return;
        };
        place.copy_from_slice(&sum);
        at += 12 + len;
    }
}

/// Returns the PNG with another size in its header.
fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let mut file = named("png");
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    mend_png(&mut file);
    file
}

#[test]
fn the_small_files_are_good() {
    for (name, file) in files() {
        let picture = Picture::decode(&file, &Limits::default()).unwrap();
        assert_eq!(picture.size(), [11, 19], "{name}");
    }
    assert!(Picture::decode(&png_claiming(19, 11), &Limits::default()).is_ok());
}

#[test]
fn a_small_file_that_claims_a_large_picture() {
    assert!(matches!(
        error(&png_claiming(60_000, 60_000)),
        Error::OverLimit {
            got: 60_000,
            limit: 32_768,
            ..
        }
    ));
    assert!(matches!(
        error(&png_claiming(30_000, 30_000)),
        Error::OverLimit {
            got: 900_000_000,
            limit: 67_108_864,
            ..
        }
    ));
    // Within the limits, but the data is missing.
    assert!(matches!(
        error(&png_claiming(8_000, 8_000)),
        Error::Decode { format: "PNG", .. }
    ));

    let mut jpeg = named("jpeg");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    assert!(matches!(error(&jpeg), Error::OverLimit { got: 60_000, .. }));
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x1f, 0x40, 0x1f, 0x40]);
    assert!(matches!(error(&jpeg), Error::Truncated { format: "JPEG" }));

    let mut bmp = named("bmp");
    bmp[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    assert!(matches!(
        error(&bmp),
        Error::OverLimit { got: 60_000, .. } | Error::Decode { .. }
    ));

    assert!(matches!(
        error(b"P6 60000 60000 255\n"),
        Error::OverLimit { got: 60_000, .. }
    ));
    assert!(matches!(
        error(b"P6 8000 8000 255\n123"),
        Error::Decode { format: "PNM", .. }
    ));
    assert!(matches!(
        error(b"P6 99999999999999999999 1 255\n123"),
        Error::Decode { format: "PNM", .. }
    ));
}

/// Without limits, the system still refuses.
#[test]
fn a_picture_beyond_memory_is_an_error() {
    let limits = Limits {
        max_width: usize::MAX,
        max_height: usize::MAX,
        max_pixels: u64::MAX,
        max_bytes: u64::MAX,
        max_file_bytes: u64::MAX,
    };
    let error = Picture::decode(b"P6 1000000000 1000000 255\n", &limits).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NoMemory {
                bytes: 3_000_000_000_000_000
            }
        ),
        "{error}"
    );
}

#[test]
fn each_limit_is_kept() {
    let file = named("png");
    let usual = Limits::default();
    for (limits, quantity) in [
        (
            Limits {
                max_width: 18,
                ..usual.clone()
            },
            "the width in pixels is 19",
        ),
        (
            Limits {
                max_height: 10,
                ..usual.clone()
            },
            "the height in pixels is 11",
        ),
        (
            Limits {
                max_pixels: 208,
                ..usual.clone()
            },
            "the number of pixels is 209",
        ),
        (
            Limits {
                max_bytes: 626,
                ..usual.clone()
            },
            "the memory for pixels in bytes is 627",
        ),
    ] {
        let error = Picture::decode(&file, &limits).unwrap_err();
        assert!(error.to_string().starts_with(quantity), "{error}");
        assert!(matches!(error, Error::OverLimit { .. }));
    }
    let exact = Limits {
        max_width: 19,
        max_height: 11,
        max_pixels: 209,
        max_bytes: 627,
        ..usual.clone()
    };
    assert!(Picture::decode(&file, &exact).is_ok());
    // Grey needs its own byte and the three bytes of RGB.
    let grey = named("grey png");
    assert!(
        Picture::decode(
            &grey,
            &Limits {
                max_bytes: 4 * 209,
                ..usual.clone()
            }
        )
        .is_ok()
    );
    assert!(
        Picture::decode(
            &grey,
            &Limits {
                max_bytes: 4 * 209 - 1,
                ..usual
            }
        )
        .is_err()
    );
}

#[test]
fn no_pixels() {
    assert!(matches!(
        error(b"P6 0 5 255\n"),
        Error::NoPixels { .. } | Error::Decode { .. }
    ));
    assert!(matches!(
        error(&png_claiming(0, 5)),
        Error::NoPixels { .. } | Error::Decode { .. }
    ));
    let mut bmp = named("bmp");
    bmp[18..22].copy_from_slice(&[0; 4]);
    assert!(matches!(
        error(&bmp),
        Error::NoPixels { .. } | Error::Decode { .. }
    ));
}

#[test]
fn files_with_their_path_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let small = Limits {
        max_file_bytes: 300,
        ..Limits::default()
    };
    let mut long = b"P6 8 8 255\n".to_vec();
    long.resize(301, 0);
    for (path, reason) in [
        (
            file("page.jpg", b"\n<!DOCTYPE html>\n<html>"),
            "not a PNG, JPEG, GIF, WebP, TIFF, BMP or PNM picture: it is an HTML page",
        ),
        (
            file("phone.jpg", b"\0\0\0\x18ftypheic"),
            "not a PNG, JPEG, GIF, WebP, TIFF, BMP or PNM picture: it is a HEIF or AVIF picture",
        ),
        (
            file("zeros.png", &[0; 500]),
            "not a PNG, JPEG, GIF, WebP, TIFF, BMP or PNM picture: its content matches no known picture format",
        ),
        (file("empty.png", b""), "the file is empty"),
        (
            file("long.ppm", &long),
            "the file size in bytes is 301, over the limit of 300",
        ),
    ] {
        let error = Picture::open(&path, &small).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: {reason}", path.display()));
    }
    assert!(Picture::open(file("fits.ppm", &long[..300]), &small).is_ok());

    for path in [folder.path().join("missing.png"), folder.path().to_owned()] {
        let error = Picture::open(&path, &small).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("{}: ", path.display())),
            "{error}"
        );
        assert!(matches!(error, Error::File { reason, .. } if matches!(*reason, Error::Io(_))));
    }
}

/// The decoder expects complete colours and otherwise panics.
#[test]
fn a_palette_that_is_no_list_of_colours() {
    let palette = include_bytes!("goldens/palette.png");
    assert!(Picture::decode(palette, &Limits::default()).is_ok());
    let at = palette.windows(4).position(|kind| kind == b"PLTE").unwrap();
    let len = u32::from_be_bytes(palette[at - 4..at].try_into().unwrap()) as usize;
    for cut in [1, 2] {
        let mut file = palette.to_vec();
        file.drain(at + 4 + len - cut..at + 4 + len);
        let claimed = u32::try_from(len - cut).unwrap();
        file[at - 4..at].copy_from_slice(&claimed.to_be_bytes());
        mend_png(&mut file);
        let error = error(&file);
        assert!(
            matches!(error, Error::Decode { format: "PNG", .. }),
            "{error}"
        );
    }
}

/// Whatever a decoder does, the thread is afterwards no longer marked as decoding.
#[test]
fn decoding_is_over_when_it_is_over() {
    for (_, file) in files() {
        let _ = Picture::decode(&file[..file.len() / 2], &Limits::default());
        assert!(!image_data::is_decoding());
    }
}

#[test]
fn an_animation_gives_its_first_frame() {
    let first = Picture::decode(include_bytes!("goldens/animation.webp"), &Limits::default());
    let picture = first.unwrap();
    assert_eq!(picture.size(), [11, 19]);
    // Red, then blue.
    let [r, g, b] = [0, 1, 2].map(|channel| picture.rgb()[channel]);
    assert!(r > 200 && g < 60 && b < 60, "{r} {g} {b}");
}

/// A few edits: overwrite bytes, cut off the end, or repeat a part.
#[derive(Clone, Debug)]
enum Edit {
    Set(prop::sample::Index, u8),
    SetHeader(usize, u8),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let index = any::<prop::sample::Index>;
    let edit = prop_oneof![
        6 => (index(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        // Most numbers of a file are in its header.
        6 => (0usize..60, any::<u8>()).prop_map(|(at, byte)| Edit::SetHeader(at, byte)),
        1 => index().prop_map(Edit::Cut),
        1 => (index(), index()).prop_map(|(from, to)| Edit::Repeat(from, to)),
    ];
    prop::collection::vec(edit, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn damaged_files_never_panic(
        which in any::<prop::sample::Index>(),
        edits in edits(),
        mend in any::<bool>(),
    ) {
        let mut files = files();
        let mut file = files.swap_remove(which.index(files.len())).1;
        for edit in edits {
            let len = file.len();
            if len == 0 {
                break;
            }
            match edit {
                Edit::Set(at, byte) => file[at.index(len)] = byte,
                Edit::SetHeader(at, byte) => file[at % len] = byte,
                Edit::Cut(at) => file.truncate(at.index(len)),
                Edit::Repeat(from, to) => {
                    let (from, to) = (from.index(len), to.index(len));
                    let part = file[from.min(to)..from.max(to)].to_vec();
                    file.splice(to..to, part);
                }
            }
        }
        if mend {
            mend_png(&mut file);
        }
        // Small limits, so that false sizes in damaged headers cannot fill the memory.
        let limits = Limits { max_pixels: 1 << 16, max_bytes: 1 << 20, ..Limits::default() };
        match Picture::decode(&file, &limits) {
            Ok(picture) => prop_assert!(picture.width() * picture.height() <= 1 << 16),
            Err(error) => {
                prop_assert_eq!(error.to_string().lines().count(), 1, "{}", error);
            }
        }
    }
}
