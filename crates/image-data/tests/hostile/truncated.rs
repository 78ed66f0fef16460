//! Truncated pictures: an error, or a warning if no pixel is missing.

use super::*;

/// A truncated file is an error, unless only these bytes at its end are missing, without which
/// every pixel can still be decoded.
#[test]
fn every_truncation_is_an_error() {
    for (name, file) in files() {
        let whole = Picture::decode(&file, &Limits::default()).unwrap();
        let spare = match name {
            // The end mark: a chunk or a marker.
            "png" | "grey png" => 12,
            "jpeg" => 2,
            // The end code, an empty block and the end mark.
            "gif" => 3,
            // Padding: of the last bits, and of a chunk to an even length.
            "lossless webp" => 1,
            "lossy webp" => 4,
            // The second frame.
            "webp animation" => 100,
            // In a text file, a cut within the last number (255 to 2) cannot be detected.
            "pgm" => 4,
            _ => 0,
        };
        for len in 0..file.len() {
            match Picture::decode(&file[..len], &Limits::default()) {
                Err(error) => {
                    assert_eq!(error.to_string().lines().count(), 1, "{error}");
                }
                Ok(picture) => {
                    let missing = file.len() - len;
                    assert!(missing <= spare, "{name}: {missing} bytes are missing");
                    assert!(picture == whole || name == "pgm", "{name}: {missing}");
                }
            }
        }
    }
}

/// Returns a JPEG of noise, `side` x `side`, whose end no decoder can guess.
fn noise_jpeg(side: u32, quality: u8) -> Vec<u8> {
    let mut state = 7_u32;
    let rgb: Vec<u8> = (0..side * side * 3)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .write_image(&rgb, side, side, ExtendedColorType::Rgb8)
        .unwrap();
    file
}

#[test]
fn a_jpeg_without_its_end_marker_is_read_with_a_warning() {
    for (whole, name) in [
        (noise_jpeg(40, 90), "noise"),
        (noise_jpeg(64, 20), "coarse noise"),
        (
            include_bytes!("../goldens/progressive.jpg").to_vec(),
            "progressive",
        ),
        (
            include_bytes!("../goldens/restarts.jpg").to_vec(),
            "restarts",
        ),
    ] {
        let expected = Picture::decode(&whole, &Limits::default()).unwrap();
        assert_eq!(expected.warning(), None);
        assert!(whole.ends_with(&[0xff, 0xd9]));
        let data = &whole[..whole.len() - 2];
        let trailer = [data, b"\0\0SEFT trailer", &[0; 5000]].concat();
        for cut in [data, &whole[..whole.len() - 1], &trailer] {
            let picture = Picture::decode(cut, &Limits::default()).unwrap();
            assert_eq!(picture, expected, "{name}");
            let warning = picture.warning();
            assert_eq!(warning, Some(DecodeWarning::NoEndMark { format: "JPEG" }));
        }
        // With one more byte missing, a pixel depends on missing data. The last byte may contain
        // nothing but padding.
        for missing in [4, 5, 9, 60, 300] {
            let cut = &whole[..whole.len() - missing];
            assert!(
                matches!(error(cut), Error::Truncated { format: "JPEG" }),
                "{name}: {missing}"
            );
        }
    }
}

#[test]
fn a_png_without_its_last_chunk_is_read_with_a_warning() {
    let whole = named("png");
    let expected = Picture::decode(&whole, &Limits::default()).unwrap();
    for missing in 1..=12 {
        let picture = Picture::decode(&whole[..whole.len() - missing], &Limits::default()).unwrap();
        assert_eq!(picture, expected);
        assert_eq!(
            picture.warning(),
            Some(DecodeWarning::NoEndMark { format: "PNG" })
        );
    }
    assert!(matches!(
        error(&whole[..whole.len() - 13]),
        Error::Truncated { format: "PNG" }
    ));

    // The data in several chunks, with the last one missing.
    let data = whole.windows(4).position(|kind| kind == b"IDAT").unwrap() - 4;
    let len = u32::from_be_bytes(whole[data..data + 4].try_into().unwrap()) as usize;
    let chunk = |content: &[u8]| {
        let body = [b"IDAT", content].concat();
        let len = u32::try_from(content.len()).unwrap();
        [&len.to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
    };
    let (first, last) = whole[data + 8..data + 8 + len].split_at(len / 2);
    let header = &whole[..data];
    let both = [header, &chunk(first), &chunk(last)].concat();
    assert_eq!(
        Picture::decode(&both, &Limits::default()).unwrap(),
        expected
    );
    let one = [header, &chunk(first)].concat();
    assert!(matches!(
        error(&one),
        Error::Decode { format: "PNG", .. } | Error::Truncated { .. }
    ));
}
