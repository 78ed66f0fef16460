//! Preprocessing compared with Pillow and torchvision's transforms, and properties of all pictures.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use image_data::{ChannelOrder, Error, Filter, Limits, Picture, Preprocessing, Resize, ResizeTo};
use proptest::prelude::*;
use serde::Deserialize;

/// The content of the file that `goldens/preprocessing.py` wrote.
#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
    jpegs: Vec<Jpeg>,
}

#[derive(Deserialize)]
struct Case {
    shows: String,
    picture: [usize; 2],
    preprocessing: Preprocessing,
    output: [usize; 3],
    bytes_fnv1a: u32,
    bytes_sum: u64,
    /// Index, byte, and bits of the normalised value.
    samples: Vec<(usize, u8, String)>,
    /// For Inception-v3: bits of the values that torchvision's `transform_input` computes.
    #[serde(default)]
    transform_input: Vec<String>,
}

#[derive(Deserialize)]
struct Jpeg {
    shows: String,
    size: [usize; 2],
    file: String,
    pixels: String,
}

fn goldens() -> Goldens {
    let goldens: Goldens =
        serde_json::from_str(include_str!("goldens/preprocessing.json")).unwrap();
    assert!(!goldens.cases.is_empty() && !goldens.jpegs.is_empty());
    goldens
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

/// Returns the same preprocessing without normalisation: values are bytes divided by 255.
fn plain(preprocessing: &Preprocessing) -> Preprocessing {
    let count = preprocessing.channels.count();
    Preprocessing {
        mean: vec![0.0; count],
        std: vec![1.0; count],
        ..preprocessing.clone()
    }
}

fn value(bits: &str) -> f32 {
    f32::from_bits(u32::from_str_radix(bits, 16).unwrap())
}

#[test]
fn every_byte_is_pillows_and_every_value_torchvisions() {
    for case in goldens().cases {
        let shows = &case.shows;
        let picture = drawn(case.picture);
        let bytes: Vec<u8> = plain(&case.preprocessing)
            .apply(&picture)
            .unwrap()
            .iter()
            .map(|value| (value * 255.0).round() as u8)
            .collect();
        let input = case.preprocessing.apply(&picture).unwrap();
        let (channels, height, width) = input.dim();
        assert_eq!([channels, height, width], case.output, "{shows}");

        let differ = case
            .samples
            .iter()
            .filter(|sample| bytes[sample.0] != sample.1);
        let largest = case
            .samples
            .iter()
            .map(|sample| bytes[sample.0].abs_diff(sample.1))
            .max();
        assert_eq!(
            differ.count(),
            0,
            "{shows}: of {} sampled bytes; the largest difference is {largest:?}",
            case.samples.len()
        );
        let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, case.bytes_sum, "{shows}");
        assert_eq!(fnv1a(&bytes), case.bytes_fnv1a, "{shows}");

        let flat = input.as_slice().unwrap();
        for (at, _, bits) in &case.samples {
            assert_eq!(
                format!("{:08x}", flat[*at].to_bits()),
                *bits,
                "{shows}: {at}"
            );
        }
        for ((at, ..), bits) in case.samples.iter().zip(&case.transform_input) {
            // The other order of operations rounds five times, with values of at most 2.7.
            let apart = (flat[*at] - value(bits)).abs();
            assert!(
                apart <= 5.0 * 2.7 * f32::EPSILON,
                "{shows}: {at} is {apart} off"
            );
        }
    }
}

/// Returns the 32-bit FNV-1a hash.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[test]
fn jpegs_are_close_to_pillows() {
    for jpeg in goldens().jpegs {
        let picture = Picture::decode(&unhex(&jpeg.file), &Limits::default()).unwrap();
        assert_eq!(picture.size(), jpeg.size);
        let pixels = unhex(&jpeg.pixels);
        assert_eq!(picture.rgb().len(), pixels.len());
        let apart = || {
            picture
                .rgb()
                .iter()
                .zip(&pixels)
                .map(|(a, b)| a.abs_diff(*b))
        };
        let largest = apart().max().unwrap();
        let mean = apart().map(f64::from).sum::<f64>() / pixels.len() as f64;
        println!("{}: largest {largest}, mean {mean:.4}", jpeg.shows);
        // Decoders may round each plane by 1, and subsampled colours once more when they enlarge
        // them; blue is computed with a factor of 1.772.
        let bound = if jpeg.shows == "grey" { 1 } else { 1 + 3 };
        assert!(
            largest <= bound && mean < 0.5,
            "{}: {largest}, {mean}",
            jpeg.shows
        );
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn a_wrong_field_is_named() {
    let with = |change: fn(&mut Preprocessing)| {
        let mut preprocessing = Preprocessing::imagenet();
        change(&mut preprocessing);
        preprocessing
    };
    let exact = |size| {
        Some(Resize {
            size: ResizeTo::Exact(size),
            filter: Filter::Bicubic,
        })
    };
    for (preprocessing, named) in [
        (with(|p| p.mean = vec![]), "mean"),
        (with(|p| p.mean = vec![0.5; 4]), "mean"),
        (with(|p| p.mean[1] = f64::NAN), "mean"),
        (with(|p| p.mean[2] = 1e39), "mean"),
        (with(|p| p.std = vec![0.5; 2]), "std"),
        (with(|p| p.std = vec![0.5; 4]), "std"),
        (with(|p| p.std[0] = 0.0), "std"),
        (with(|p| p.std[0] = f64::NAN), "std"),
        (with(|p| p.std[2] = -0.5), "std"),
        (with(|p| p.std[2] = f64::INFINITY), "std"),
        (with(|p| p.std[2] = 1e39), "std"),
        (with(|p| p.std[2] = 1e-60), "std"),
        (with(|p| p.std[2] = 1e-40), "std"),
        (with(|p| p.channels = ChannelOrder::Grey), "mean"),
        (with(|p| p.crop = Some([0, 224])), "crop"),
        (with(|p| p.crop = Some([224, usize::MAX])), "crop"),
        (with(|p| p.crop = Some([1 << 14, 1 << 14])), "crop"),
        (Preprocessing::imagenet_at(0, 224), "resize"),
        (Preprocessing::imagenet_at(usize::MAX, 224), "resize"),
        (
            Preprocessing {
                resize: exact([7, 0]),
                ..Preprocessing::cifar()
            },
            "resize",
        ),
        (
            Preprocessing {
                resize: exact([1 << 40, 7]),
                ..Preprocessing::cifar()
            },
            "resize",
        ),
    ] {
        let error = preprocessing.check().unwrap_err();
        let Error::Preprocessing { field, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*field, named, "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert_eq!(
            preprocessing.apply(&drawn([3, 4])).unwrap_err().to_string(),
            error.to_string()
        );
    }
}

#[test]
fn a_long_picture_meets_the_limit_unless_it_is_cropped() {
    let thin = drawn([1, 40_000]);
    let whole = Preprocessing {
        crop: None,
        ..Preprocessing::imagenet()
    };
    assert!(matches!(
        whole.apply(&thin).unwrap_err(),
        Error::OverLimit { got, .. } if got == 256 * 256 * 40_000
    ));
    // The resized picture would be just as large, but only its centre is computed.
    let input = Preprocessing::imagenet().apply(&thin).unwrap();
    assert_eq!(input.dim(), (3, 224, 224));

    assert!(matches!(
        whole.output_size([0, 3]).unwrap_err(),
        Error::Zero { size: [0, 3], .. }
    ));
}

#[test]
fn json_is_strict() {
    let good = serde_json::to_value(Preprocessing::imagenet()).unwrap();
    let parse = |value: &serde_json::Value| serde_json::from_value::<Preprocessing>(value.clone());
    assert_eq!(parse(&good).unwrap(), Preprocessing::imagenet());
    for (field, value) in [
        ("flip", serde_json::json!(true)),
        ("channels", serde_json::json!("rgba")),
        ("crop", serde_json::json!([224])),
        ("crop", serde_json::json!([-1, 224])),
        ("mean", serde_json::json!([null, 0.5, 0.5])),
        (
            "resize",
            serde_json::json!({"size": {"longer_side": 5}, "filter": "bilinear"}),
        ),
        (
            "resize",
            serde_json::json!({"size": {"shorter_side": 5}, "filter": "nearest"}),
        ),
    ] {
        let mut wrong = good.clone();
        wrong[field] = value;
        assert!(parse(&wrong).unwrap_err().is_data(), "{wrong}");
    }
}

#[test]
fn it_prints_in_two_lines() {
    assert_eq!(
        Preprocessing::imagenet().to_string(),
        "resize shorter side to 256 (bilinear), centre crop 224 x 224\n\
         RGB, mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225]"
    );
    assert_eq!(
        Preprocessing::cifar().to_string(),
        "no resize, no crop\nRGB, mean [0.4914, 0.4822, 0.4465], std [0.247, 0.2435, 0.2616]"
    );
    assert_eq!(Preprocessing::inception_v3().fixed_size(), Some([299, 299]));
    assert_eq!(Preprocessing::cifar().fixed_size(), None);
}

/// Generates multiples of a thousandth, which JSON preserves exactly.
fn thousandths(range: std::ops::Range<i32>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(range.prop_map(|number| f64::from(number) / 1000.0), 3)
}

fn any_preprocessing() -> impl Strategy<Value = Preprocessing> {
    let size = || [1usize..200, 1usize..200];
    let filter = || prop_oneof![Just(Filter::Bilinear), Just(Filter::Bicubic)];
    let to = prop_oneof![
        (1usize..200).prop_map(ResizeTo::ShorterSide),
        size().prop_map(ResizeTo::Exact)
    ];
    let channels = prop_oneof![
        Just(ChannelOrder::Rgb),
        Just(ChannelOrder::Bgr),
        Just(ChannelOrder::Grey)
    ];
    (
        prop::option::of((to, filter()).prop_map(|(size, filter)| Resize { size, filter })),
        prop::option::of(size()),
        channels,
        thousandths(-1000..2000),
        thousandths(10..2000),
    )
        .prop_map(|(resize, crop, channels, mut mean, mut std)| {
            mean.truncate(channels.count());
            std.truncate(channels.count());
            Preprocessing {
                resize,
                crop,
                channels,
                mean,
                std,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_picture_becomes_finite_values_of_the_announced_size(
        preprocessing in any_preprocessing(),
        picture in [1usize..200, 1usize..200],
    ) {
        let input = preprocessing.apply(&drawn(picture)).unwrap();
        let [height, width] = preprocessing.output_size(picture).unwrap();
        prop_assert_eq!(input.dim(), (preprocessing.channels.count(), height, width));
        prop_assert!(input.iter().all(|value| value.is_finite()));
        if let Some(size) = preprocessing.fixed_size() {
            prop_assert_eq!([height, width], size);
        }
        let json = serde_json::to_string(&preprocessing).unwrap();
        prop_assert_eq!(serde_json::from_str::<Preprocessing>(&json).unwrap(), preprocessing);
    }

    /// The weights sum to 1 within their 22 bits, so a byte keeps its value; outside the picture,
    /// the input is black.
    #[test]
    fn one_colour_stays_one_colour(
        preprocessing in any_preprocessing(),
        size in [1usize..200, 1usize..200],
        colour: [u8; 3],
    ) {
        let rgb = colour.repeat(size[0] * size[1]);
        let picture = Picture::from_rgb(size[1], size[0], 3 * size[1], &rgb).unwrap();
        let one = Picture::from_rgb(1, 1, 3, &colour).unwrap();
        let only = Preprocessing { resize: None, crop: None, ..plain(&preprocessing) };
        let expected = only.apply(&one).unwrap();

        let input = plain(&preprocessing).apply(&picture).unwrap();
        let uncropped = Preprocessing { crop: None, ..plain(&preprocessing) };
        let resized = uncropped.output_size(size).unwrap();
        let (channels, height, width) = input.dim();
        let shown = resized[0].min(height) * resized[1].min(width);
        for channel in 0..channels {
            let plane = input.index_axis(ndarray::Axis(0), channel);
            let same = plane.iter().filter(|&&value| value == expected[[channel, 0, 0]]).count();
            let black = plane.iter().filter(|&&value| value == 0.0).count();
            if expected[[channel, 0, 0]] == 0.0 {
                prop_assert_eq!(black, height * width);
            } else {
                prop_assert_eq!((same, black), (shown, height * width - shown));
            }
        }
    }
}
