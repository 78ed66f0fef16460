//! Decoding files by the documented rules, and pictures converted to and from memory and files.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use image_data::{Error, Limits, Picture};

fn decode(file: &[u8]) -> Picture {
    Picture::decode(file, &Limits::default()).unwrap()
}

fn png(width: u32, height: u32, samples: &[u8], color: ExtendedColorType) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(samples, width, height, color)
        .unwrap();
    file
}

#[test]
fn png_by_the_rules() {
    // The encoder expects 16-bit samples in the machine's byte order.
    let deep =
        |samples: &[u16]| -> Vec<u8> { samples.iter().flat_map(|v| v.to_ne_bytes()).collect() };
    for (color, samples, expected) in [
        (
            ExtendedColorType::L8,
            vec![9, 200],
            [9, 9, 9, 200, 200, 200],
        ),
        (
            ExtendedColorType::La8,
            vec![9, 0, 200, 255],
            [9, 9, 9, 200, 200, 200],
        ),
        (
            ExtendedColorType::Rgb8,
            vec![1, 2, 3, 4, 5, 6],
            [1, 2, 3, 4, 5, 6],
        ),
        (
            ExtendedColorType::Rgba8,
            vec![1, 2, 3, 0, 4, 5, 6, 128],
            [1, 2, 3, 4, 5, 6],
        ),
        (
            ExtendedColorType::L16,
            deep(&[0x01ff, 0xfe00]),
            [1, 1, 1, 254, 254, 254],
        ),
        (
            ExtendedColorType::La16,
            deep(&[0x01ff, 0, 0xfe00, 9]),
            [1, 1, 1, 254, 254, 254],
        ),
        (
            ExtendedColorType::Rgb16,
            deep(&[0x01ff, 0x0280, 0x0300, 0x0400, 0x05ff, 0x06ff]),
            [1, 2, 3, 4, 5, 6],
        ),
        (
            ExtendedColorType::Rgba16,
            deep(&[0x01ff, 0x0280, 0x0300, 0, 0x0400, 0x05ff, 0x06ff, 0x1234]),
            [1, 2, 3, 4, 5, 6],
        ),
    ] {
        let picture = decode(&png(2, 1, &samples, color));
        assert_eq!(picture.size(), [1, 2]);
        assert_eq!(picture.rgb(), expected, "{color:?}");
    }
}

#[test]
fn pnm_by_the_rules() {
    for (file, expected) in [
        (&b"P1\n2 1\n1 0"[..], [0, 0, 0, 255, 255, 255]),
        (b"P2\n# grey\n2 1\n15\n0 15", [0, 0, 0, 255, 255, 255]),
        (b"P3\n2 1\n255\n1 2 3 4 5 6", [1, 2, 3, 4, 5, 6]),
        (b"P5 2 1 65535\n\x01\xff\xfe\x00", [1, 1, 1, 254, 254, 254]),
        (b"P6 2 1 255\n\x01\x02\x03\x04\x05\x06", [1, 2, 3, 4, 5, 6]),
        (
            b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\
              \x01\x02\x03\x00\x04\x05\x06\x80",
            [1, 2, 3, 4, 5, 6],
        ),
    ] {
        let name = String::from_utf8_lossy(file);
        assert_eq!(decode(file).rgb(), expected, "{name}");
    }
}

#[test]
fn bmp_and_jpeg() {
    let rgb: Vec<u8> = (0..16 * 8)
        .flat_map(|i| [i as u8 * 2, 100, 255 - i as u8])
        .collect();
    let mut bmp = Vec::new();
    image::codecs::bmp::BmpEncoder::new(&mut bmp)
        .write_image(&rgb, 16, 8, ExtendedColorType::Rgb8)
        .unwrap();
    assert_eq!(decode(&bmp).rgb(), rgb);

    let flat = [[40, 90, 200]; 16 * 8].concat();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 95)
        .write_image(&flat, 16, 8, ExtendedColorType::Rgb8)
        .unwrap();
    let picture = decode(&jpeg);
    assert_eq!(picture.size(), [8, 16]);
    // A single colour survives the transform; only the rounding of YCbCr remains.
    assert!(
        picture
            .rgb()
            .iter()
            .zip(&flat)
            .all(|(&got, &want)| got.abs_diff(want) <= 3)
    );

    let mut grey = Vec::new();
    JpegEncoder::new_with_quality(&mut grey, 95)
        .write_image(&[77; 64], 8, 8, ExtendedColorType::L8)
        .unwrap();
    assert!(decode(&grey).rgb().iter().all(|&v| v.abs_diff(77) <= 1));
}

/// Returns an EXIF block with nothing but an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    exif
}

#[test]
fn exif_orientation_is_applied() {
    // a b c
    // d e f
    let letter = |c: char| [c as u8, 0, 255 - c as u8];
    let stored: Vec<u8> = "abcdef".chars().flat_map(letter).collect();
    for (orientation, width, expected) in [
        (1, 3, "abcdef"),
        (2, 3, "cbafed"),
        (3, 3, "fedcba"),
        (4, 3, "defabc"),
        (5, 2, "adbecf"),
        (6, 2, "daebfc"),
        (7, 2, "fcebda"),
        (8, 2, "cfbead"),
        (9, 3, "abcdef"), // not an orientation
    ] {
        let mut file = Vec::new();
        let mut encoder = PngEncoder::new(&mut file);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder
            .write_image(&stored, 3, 2, ExtendedColorType::Rgb8)
            .unwrap();
        let picture = decode(&file);
        assert_eq!(picture.width(), width, "orientation {orientation}");
        let expected: Vec<u8> = expected.chars().flat_map(letter).collect();
        assert_eq!(picture.rgb(), expected, "orientation {orientation}");
    }

    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new(&mut jpeg);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder
        .write_image(&[50; 16 * 8 * 3], 16, 8, ExtendedColorType::Rgb8)
        .unwrap();
    assert_eq!(decode(&jpeg).size(), [16, 8]);
}

#[test]
fn from_rgb_checks_its_sizes() {
    let rows = [1, 2, 3, 4, 5, 6, 99, 99, 7, 8, 9, 10, 11, 12];
    let picture = Picture::from_rgb(2, 2, 8, &rows).unwrap();
    assert_eq!(picture.rgb(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    // Surplus bytes are ignored.
    assert_eq!(
        Picture::from_rgb(2, 1, 6, &rows).unwrap().into_rgb(),
        [1, 2, 3, 4, 5, 6]
    );

    let error = |width, height, stride, bytes: &[u8]| {
        Picture::from_rgb(width, height, stride, bytes).unwrap_err()
    };
    assert!(matches!(
        error(2, 2, 5, &rows),
        Error::Stride {
            got: 5,
            expected: 6
        }
    ));
    assert!(matches!(
        error(2, 2, 9, &rows),
        Error::Length {
            got: 14,
            expected: 15,
            ..
        }
    ));
    assert!(matches!(
        error(0, 2, 9, &rows),
        Error::NoPixels {
            width: 0,
            height: 2
        }
    ));
    assert!(matches!(error(2, 0, 9, &rows), Error::NoPixels { .. }));
    assert!(matches!(
        error(usize::MAX, 2, 9, &rows),
        Error::TooLarge { .. }
    ));
    assert!(matches!(
        error(2, usize::MAX, usize::MAX, &rows),
        Error::TooLarge { .. }
    ));
    assert!(matches!(
        error(2, usize::MAX / 2, 6, &rows),
        Error::TooLarge { .. }
    ));
}

#[test]
fn saving_is_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let picture = Picture::from_rgb(3, 2, 9, &(0..18).collect::<Vec<u8>>()).unwrap();
    picture.save_png(&path).unwrap();
    assert_eq!(Picture::open(&path, &Limits::default()).unwrap(), picture);

    // Replaces an existing file.
    let other = Picture::from_rgb(1, 1, 3, &[5, 6, 7]).unwrap();
    other.save_png(&path).unwrap();
    assert_eq!(Picture::open(&path, &Limits::default()).unwrap(), other);
    assert_eq!(names(), 1);

    // A folder is not replaced, and no temporary file is left.
    let occupied = folder.path().join("folder");
    std::fs::create_dir(&occupied).unwrap();
    std::fs::write(occupied.join("file"), "").unwrap();
    let error = other.save_png(&occupied).unwrap_err();
    assert!(matches!(&error, Error::File { reason, .. } if matches!(**reason, Error::Output(_))));
    assert_eq!(names(), 2);

    let nowhere = folder.path().join("no").join("picture.png");
    let error = other.save_png(&nowhere).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: ", nowhere.display())),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_saved_picture_is_as_readable_as_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| {
        std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    std::fs::write(folder.path().join("plain"), "").unwrap();
    let picture = Picture::from_rgb(1, 1, 3, &[1, 2, 3]).unwrap();
    picture.save_png(folder.path().join("picture.png")).unwrap();
    assert_eq!(mode("picture.png"), mode("plain"));
}
