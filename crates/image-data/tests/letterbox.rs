//! The letterbox compared with darknet's library and with a plain transcription, and its inverse.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use image_data::{BBox, Error, Letterbox, Picture};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

/// A case that `goldens/generate.py` wrote.
#[derive(Deserialize)]
struct Case {
    shows: String,
    picture: [usize; 2],
    network: [usize; 2],
    rows: Vec<String>,
    boxes: Vec<BoxCase>,
}

/// `[cx, cy, w, h]`, relative to the network's input and in the picture's pixels.
#[derive(Deserialize)]
struct BoxCase {
    network: [f32; 4],
    picture: [f32; 4],
}

fn goldens() -> Vec<Case> {
    let goldens: Goldens = serde_json::from_str(include_str!("goldens/letterbox.json")).unwrap();
    assert!(!goldens.cases.is_empty());
    goldens.cases
}

/// Returns the picture that the script draws.
fn drawn([height, width]: [usize; 2]) -> Picture {
    let byte = |y: usize, x: usize, channel: usize| {
        ((3 * x * x + 5 * y * y + 7 * x * y + 11 * x + 29 * y + 85 * channel) % 256) as u8
    };
    let rgb: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| byte(y, x, c))))
        .collect();
    Picture::from_rgb(width, height, 3 * width, &rgb).unwrap()
}

#[test]
fn pixels_are_darknets_bit_for_bit() {
    for case in goldens() {
        let letterbox = Letterbox::new(case.picture, case.network).unwrap();
        let input = letterbox.apply(&drawn(case.picture)).unwrap();
        let rows: Vec<String> = input
            .chunks(case.network[1])
            .map(|row| {
                row.iter()
                    .map(|value| format!("{:08x}", value.to_bits()))
                    .collect()
            })
            .collect();
        assert_eq!(rows.len(), case.rows.len());
        for (i, (got, expected)) in rows.iter().zip(&case.rows).enumerate() {
            assert_eq!(got, expected, "{}: row {i}", case.shows);
        }
    }
}

#[test]
fn boxes_are_darknets() {
    for case in goldens() {
        let letterbox = Letterbox::new(case.picture, case.network).unwrap();
        let [net_h, net_w] = case.network.map(|side| side as f32);
        for BoxCase {
            network: [cx, cy, w, h],
            picture,
        } in case.boxes
        {
            let found = BBox::from_cxcywh(cx * net_w, cy * net_h, w * net_w, h * net_h);
            let got = letterbox.to_picture(found).to_cxcywh();
            let relative_scale = |axis: usize| {
                case.network[axis] as f32 / letterbox.resized()[axis] as f32
                    * case.picture[axis] as f32
            };
            let scales = [
                relative_scale(1),
                relative_scale(0),
                relative_scale(1),
                relative_scale(0),
            ];
            for ((got, expected), scale) in got.into_iter().zip(picture).zip(scales) {
                // Both sides round relative coordinates of up to 1.5 a few times, then scale.
                let bound = 8.0 * f32::EPSILON * scale;
                assert!(
                    (got - expected).abs() <= bound,
                    "{}: {got} {expected}",
                    case.shows
                );
            }
        }
    }
}

#[test]
fn the_last_row_is_as_dark_as_in_darknet() {
    let white = Picture::from_rgb(9, 14, 27, &[255; 9 * 14 * 3]).unwrap();
    let letterbox = Letterbox::new(white.size(), [12, 12]).unwrap();
    assert_eq!(letterbox.resized(), [12, 7]);
    let input = letterbox.apply(&white).unwrap();
    let column = letterbox.offset()[1] + 3;
    // The last row but one adds up to 1, apart from its own rounding.
    assert!((input[10 * 12 + column] - 1.0).abs() <= f32::EPSILON);
    assert!(input[11 * 12 + column] < 1e-5);
}

#[test]
fn sizes() {
    for (picture, network, resized) in [
        ([576, 768], [416, 416], [312, 416]),
        ([768, 576], [416, 416], [416, 312]),
        ([416, 416], [416, 416], [416, 416]),
        ([100, 100], [320, 640], [320, 320]),
        ([333, 500], [608, 608], [404, 608]), // 404.9 rounded down
        ([1, 4096], [416, 416], [1, 416]),    // 0.1 rounded up to 1
        ([4096, 1], [416, 416], [416, 1]),
        ([1, 1], [1, 1], [1, 1]),
        ([1_000_000, 3_000_000], [608, 608], [202, 608]), // darknet's `int` overflows here
        ([usize::MAX, 1], [608, 608], [608, 1]),
        ([usize::MAX, usize::MAX], [32, 608], [32, 32]),
    ] {
        let letterbox = Letterbox::new(picture, network).unwrap();
        assert_eq!(letterbox.resized(), resized, "{picture:?} in {network:?}");
        assert_eq!(letterbox.picture(), picture);
        assert_eq!(letterbox.network(), network);
    }
}

#[test]
fn errors() {
    let new = |picture, network| Letterbox::new(picture, network).unwrap_err();
    assert!(matches!(
        new([0, 5], [4, 4]),
        Error::Zero {
            what: "the picture",
            size: [0, 5]
        }
    ));
    assert!(matches!(
        new([5, 5], [4, 0]),
        Error::Zero { size: [4, 0], .. }
    ));
    assert!(matches!(
        new([5, 5], [usize::MAX, 2]),
        Error::TooLarge { .. }
    ));
    assert!(matches!(
        new([5, 5], [1 << 31, 1 << 31]),
        Error::TooLarge { .. }
    ));

    // It fits the addresses, but not the memory.
    let letterbox = Letterbox::new([3, 2], [1 << 26, 1 << 26]).unwrap();
    assert!(matches!(
        letterbox.apply(&drawn([3, 2])),
        Err(Error::NoMemory { bytes }) if bytes == 3 << 54
    ));

    let letterbox = Letterbox::new([2, 3], [4, 4]).unwrap();
    let other = drawn([3, 2]);
    assert!(matches!(
        letterbox.apply(&other),
        Err(Error::PictureSize {
            got: [3, 2],
            expected: [2, 3]
        })
    ));
    assert!(matches!(
        letterbox.apply_into(&drawn([2, 3]), &mut [0.0; 47]),
        Err(Error::Length {
            got: 47,
            expected: 48,
            ..
        })
    ));
}

/// Returns one value of the input by the definition, with no state kept between values.
fn plain(letterbox: &Letterbox, picture: &Picture, channel: usize, at: [usize; 2]) -> f32 {
    let [rows, columns] = letterbox.resized();
    let [height, width] = picture.size();
    let offset = letterbox.offset();
    let (Some(r), Some(c)) = (at[0].checked_sub(offset[0]), at[1].checked_sub(offset[1])) else {
        return 0.5;
    };
    if r >= rows || c >= columns {
        return 0.5;
    }
    let value =
        |y: usize, x: usize| f32::from(picture.rgb()[(y * width + x) * 3 + channel]) / 255.0;
    let along_row = |y: usize| {
        if c == columns - 1 || width == 1 {
            return value(y, width - 1);
        }
        let x = c as f32 * ((width - 1) as f32 / (columns - 1) as f32);
        let dx = x - x.floor();
        (1.0 - dx) * value(y, x as usize) + dx * value(y, x as usize + 1)
    };
    if rows == 1 {
        return along_row(height - 1);
    }
    let y = r as f32 * ((height - 1) as f32 / (rows - 1) as f32);
    let dy = y - y.floor();
    let above = (1.0 - dy) * along_row(y as usize);
    if r == rows - 1 || height == 1 {
        above
    } else {
        above + dy * along_row(y as usize + 1)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn apply_is_the_plain_transcription(
        picture in [1usize..50, 1usize..50],
        network in [1usize..40, 1usize..40],
    ) {
        let letterbox = Letterbox::new(picture, network).unwrap();
        let picture = drawn(picture);
        let input = letterbox.apply(&picture).unwrap();
        for (i, &got) in input.iter().enumerate() {
            let (channel, at) = (i / (network[0] * network[1]), i % (network[0] * network[1]));
            let at = [at / network[1], at % network[1]];
            let expected = plain(&letterbox, &picture, channel, at);
            prop_assert_eq!(got.to_bits(), expected.to_bits(), "{:?} at {:?}", letterbox, at);
        }
        // Reused memory is overwritten completely.
        let mut again = vec![f32::NAN; input.len()];
        letterbox.apply_into(&picture, &mut again).unwrap();
        prop_assert_eq!(input, again);
    }

    #[test]
    fn boxes_come_back(
        picture in [1usize..=4096, 1usize..=4096],
        network in [32usize..=608, 32usize..=608],
        edges in [0.0f32..=1.0, 0.0f32..=1.0, 0.0f32..=1.0, 0.0f32..=1.0],
    ) {
        let [h, w] = picture.map(|side| side as f32);
        let bbox = BBox::from_xyxy(edges[0] * w, edges[1] * h, edges[2] * w, edges[3] * h);
        let letterbox = Letterbox::new(picture, network).unwrap();
        check_round_trip(&letterbox, bbox);
    }
}

/// A box that is mapped there and back is off by less than half a pixel, and in fact by no more
/// than two roundings to `f32`.
#[track_caller]
fn check_round_trip(letterbox: &Letterbox, bbox: BBox) {
    let back = letterbox.to_picture(letterbox.to_network(bbox));
    for (axis, got, expected) in [
        (1, back.x1, bbox.x1),
        (0, back.y1, bbox.y1),
        (1, back.x2, bbox.x2),
        (0, back.y2, bbox.y2),
    ] {
        let picture = letterbox.picture()[axis] as f32;
        let scale = picture / letterbox.resized()[axis] as f32;
        let bound = f32::EPSILON * (letterbox.network()[axis] as f32 * scale + picture);
        assert!(bound < 0.5);
        assert!(
            (got - expected).abs() <= bound,
            "{letterbox:?}: {expected} came back as {got}"
        );
    }
}

#[test]
fn the_edges_of_every_size_come_back() {
    for network in 32..=608 {
        for side in 1..=4096 {
            // The other side covers all ratios, from 1 pixel to 4096.
            let other = 1 + (side * 40503 + network * 10007) % 4096;
            let letterbox = Letterbox::new([side, other], [network, 640 - network]).unwrap();
            check_round_trip(
                &letterbox,
                BBox::from_xyxy(0.0, 0.0, other as f32, side as f32),
            );
            // The whole picture is mapped to the resized rectangle.
            let whole = letterbox.to_network(BBox::from_xyxy(0.0, 0.0, other as f32, side as f32));
            assert_eq!(whole.height(), letterbox.resized()[0] as f32);
            assert_eq!(whole.width(), letterbox.resized()[1] as f32);
        }
    }
}

#[test]
fn extreme_shapes_come_back() {
    for picture in [[1, 4096], [4096, 1], [1, 1], [2, 4096], [4095, 3]] {
        for network in [[32, 32], [608, 608], [32, 608], [608, 33]] {
            let letterbox = Letterbox::new(picture, network).unwrap();
            let [h, w] = picture.map(|side| side as f32);
            check_round_trip(&letterbox, BBox::from_xyxy(0.0, 0.0, w, h));
            check_round_trip(
                &letterbox,
                BBox::from_xyxy(w * 0.3, h * 0.1, w * 0.31, h * 0.9),
            );
            let input = letterbox.apply(&drawn(picture)).unwrap();
            assert!(input.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
}
