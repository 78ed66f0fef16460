//! What each augmentation does to a picture, what its random numbers depend on, and what is
//! refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "augmentation/mixup.rs"]
mod mixup;

#[path = "augmentation/out_of_range.rs"]
mod out_of_range;

use std::collections::HashSet;

use image_data::{
    Augmentation, ChannelOrder, ColorJitter, Cutout, Error, Filter, HorizontalFlip, Mixup,
    PadAndCrop, Picture, Preprocessing, RandomResizedCrop, SampleKey, Transform,
};
use ndarray::Array4;
use proptest::prelude::*;

/// Returns a picture whose pixels are all different and never black.
fn numbered([height, width]: [usize; 2]) -> Picture {
    let rgb: Vec<u8> = (0..height * width)
        .flat_map(|at| [1 + (at / 200) as u8, 1 + (at % 200) as u8, 7])
        .collect();
    Picture::from_rgb(width, height, 3 * width, &rgb).unwrap()
}

fn pixel(picture: &Picture, y: usize, x: usize) -> [u8; 3] {
    let at = 3 * (y * picture.width() + x);
    picture.rgb()[at..at + 3].try_into().unwrap()
}

/// The stored size, with means that are whole byte values.
fn plain() -> Preprocessing {
    Preprocessing {
        mean: vec![0.2, 0.4, 0.6],
        std: vec![1.0; 3],
        ..Preprocessing::cifar()
    }
}

fn key(sample: u64) -> SampleKey {
    SampleKey {
        seed: 7,
        epoch: 2,
        sample,
    }
}

fn augmentation(step: Transform) -> Augmentation {
    Augmentation {
        steps: vec![step],
        mosaic: None,
        mixup: None,
    }
}

fn change(step: Transform, picture: &Picture, sample: u64) -> Picture {
    augmentation(step)
        .picture(picture, &plain(), key(sample))
        .unwrap()
}

/// The definition: a crop from the picture placed in a larger black one.
#[test]
fn pad_and_crop_shows_every_offset() {
    let picture = numbered([5, 7]);
    let padding = 2isize;
    let mut offsets = HashSet::new();
    for sample in 0..400 {
        let step = Transform::PadAndCrop(PadAndCrop { padding: 2 });
        let moved = change(step, &picture, sample);
        assert_eq!(moved.size(), picture.size());
        let shows = |dy: isize, dx: isize| {
            (0..5).all(|y| {
                (0..7).all(|x| {
                    let [from_y, from_x] = [y as isize + dy, x as isize + dx];
                    let inside = (0..5).contains(&from_y) && (0..7).contains(&from_x);
                    let expected = if inside {
                        pixel(&picture, from_y as usize, from_x as usize)
                    } else {
                        [0; 3]
                    };
                    pixel(&moved, y, x) == expected
                })
            })
        };
        let found = (-padding..=padding)
            .flat_map(|dy| (-padding..=padding).map(move |dx| (dy, dx)))
            .find(|&(dy, dx)| shows(dy, dx));
        offsets.insert(found.unwrap());
    }
    assert_eq!(offsets.len(), 25);
}

#[test]
fn flip_mirrors_as_often_as_it_should() {
    let picture = numbered([3, 4]);
    let flipped = |sample, probability| {
        let changed = change(
            Transform::HorizontalFlip(HorizontalFlip { probability }),
            &picture,
            sample,
        );
        let mirrored =
            (0..3).all(|y| (0..4).all(|x| pixel(&changed, y, x) == pixel(&picture, y, 3 - x)));
        assert!(mirrored || changed == picture);
        mirrored
    };
    let often = (0..1000).filter(|&sample| flipped(sample, 0.3)).count();
    // Five deviations: 5 * sqrt(1000 * 0.3 * 0.7).
    assert!((228..=372).contains(&often), "{often}");
    assert!(!flipped(0, 0.0) && flipped(0, 1.0));
}

#[test]
fn cutout_covers_a_square_with_what_normalises_to_zero() {
    let picture = numbered([9, 12]);
    let step = Transform::Cutout(Cutout {
        side: 4,
        probability: 1.0,
    });
    let mut corners = HashSet::new();
    for sample in 0..800 {
        let changed = change(step.clone(), &picture, sample);
        let covered: Vec<[usize; 2]> = (0..9 * 12)
            .map(|at| [at / 12, at % 12])
            .filter(|&[y, x]| pixel(&changed, y, x) != pixel(&picture, y, x))
            .collect();
        assert!(
            covered
                .iter()
                .all(|&[y, x]| pixel(&changed, y, x) == [51, 102, 153])
        );
        let [top, left] = covered[0];
        let [bottom, right] = *covered.last().unwrap();
        let [height, width] = [bottom - top + 1, right - left + 1];
        assert_eq!(covered.len(), height * width, "a rectangle");
        // The square is shorter only at an edge.
        assert!(height == 4 || (height >= 2 && (top == 0 || bottom == 8)));
        assert!(width == 4 || (width >= 2 && (left == 0 || right == 11)));
        corners.insert([top, left, bottom, right]);

        let input = augmentation(step.clone())
            .apply(&picture, &plain(), key(sample))
            .unwrap();
        assert!((0..3).all(|channel| input[[channel, top, left]].abs() < 1e-7));
    }
    // One for each possible centre.
    assert_eq!(corners.len(), 9 * 12);
}

#[test]
fn cutouts_colour_follows_the_channel_order() {
    let picture = numbered([2, 2]);
    let step = Transform::Cutout(Cutout {
        side: 9,
        probability: 1.0,
    });
    for (channels, mean, expected) in [
        (ChannelOrder::Bgr, vec![0.2, 0.4, 0.6], [153, 102, 51]),
        (ChannelOrder::Grey, vec![0.2], [51; 3]),
    ] {
        let std = vec![1.0; mean.len()];
        let preprocessing = Preprocessing {
            channels,
            mean,
            std,
            ..plain()
        };
        let changed = augmentation(step.clone())
            .picture(&picture, &preprocessing, key(0))
            .unwrap();
        assert_eq!(changed.rgb(), expected.repeat(4));
    }
}

#[test]
fn random_resized_crop_gives_the_networks_size() {
    let picture = numbered([40, 60]);
    let preprocessing = Preprocessing {
        crop: Some([13, 17]),
        ..plain()
    };
    let crop = augmentation(Transform::RandomResizedCrop(RandomResizedCrop::default()));
    let changed: HashSet<Vec<u8>> = (0..20)
        .map(|sample| {
            let changed = crop.picture(&picture, &preprocessing, key(sample)).unwrap();
            assert_eq!(changed.size(), [13, 17]);
            changed.into_rgb()
        })
        .collect();
    assert_eq!(changed.len(), 20);
    // Green still increases to the right, and blue downwards.
    let ramp: Vec<u8> = (0..30 * 50)
        .flat_map(|at| [0, (at % 50 * 5) as u8, (at / 50 * 8) as u8])
        .collect();
    let ramp = Picture::from_rgb(50, 30, 150, &ramp).unwrap();
    let changed = crop.picture(&ramp, &preprocessing, key(0)).unwrap();
    assert!(
        (0..13).all(|y| (1..17).all(|x| pixel(&changed, y, x)[1] >= pixel(&changed, y, x - 1)[1]))
    );
    assert!(
        (1..13).all(|y| (0..17).all(|x| pixel(&changed, y, x)[2] >= pixel(&changed, y - 1, x)[2]))
    );
}

#[test]
fn jitter_of_nothing_changes_nothing() {
    let picture = numbered([20, 30]);
    let none = Transform::ColorJitter(ColorJitter::default());
    assert_eq!(change(none, &picture, 0), picture);
    let some = ColorJitter {
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
        hue: 0.1,
    };
    assert_ne!(change(Transform::ColorJitter(some), &picture, 0), picture);
}

#[test]
fn without_steps_it_is_the_preprocessing() {
    let picture = numbered([50, 40]);
    for preprocessing in [Preprocessing::imagenet_at(20, 16), Preprocessing::cifar()] {
        let none = Augmentation::default();
        let input = none.apply(&picture, &preprocessing, key(3)).unwrap();
        assert_eq!(input, preprocessing.apply(&picture).unwrap());
        // A step that does nothing still comes after resize and crop.
        let idle = augmentation(Transform::HorizontalFlip(HorizontalFlip {
            probability: 0.0,
        }));
        assert_eq!(idle.apply(&picture, &preprocessing, key(3)).unwrap(), input);
    }
}

#[test]
fn what_is_drawn_depends_on_every_part_of_the_key_and_on_nothing_else() {
    let picture = numbered([8, 8]);
    let all = Augmentation {
        steps: vec![
            Transform::PadAndCrop(PadAndCrop { padding: 8 }),
            Transform::ColorJitter(ColorJitter {
                brightness: 0.9,
                ..ColorJitter::default()
            }),
        ],
        mosaic: None,
        mixup: None,
    };
    let changed = |key| all.picture(&picture, &plain(), key).unwrap().into_rgb();
    let first = changed(key(0));
    assert_eq!(first, changed(key(0)));
    for other in [
        SampleKey { seed: 8, ..key(0) },
        SampleKey { epoch: 3, ..key(0) },
        SampleKey {
            sample: 1,
            ..key(0)
        },
    ] {
        assert_ne!(first, changed(other), "{other:?}");
    }
}

#[test]
fn a_line_says_what_is_done() {
    let all = Augmentation {
        steps: vec![
            Transform::RandomResizedCrop(RandomResizedCrop::default()),
            Transform::ColorJitter(ColorJitter {
                brightness: 0.4,
                hue: 0.1,
                ..ColorJitter::default()
            }),
            Transform::Cutout(Cutout {
                side: 8,
                probability: 0.5,
            }),
        ],
        mosaic: None,
        mixup: Some(Mixup::default()),
    };
    assert_eq!(
        all.to_string(),
        "random resized crop (area 0.08 to 1, ratio 0.750 to 1.333, bilinear), colour jitter \
         (brightness 0.4, contrast 0, saturation 0, hue 0.1), cutout 8 (0.5), mixup 0.2"
    );
    assert_eq!(Augmentation::default().to_string(), "none");
}

#[test]
fn json_refuses_what_it_does_not_know() {
    let all = Augmentation {
        mosaic: None,
        mixup: Some(Mixup::default()),
        ..Augmentation::imagenet()
    };
    let json = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<Augmentation>(&json).unwrap(), all);
    for text in [
        r#"{ "step": [] }"#,
        r#"{ "steps": [{ "flip": {} }] }"#,
        r#"{ "steps": [{ "cutout": { "size": 3 } }] }"#,
        r#"{ "mixup": { "beta": 1.0 } }"#,
    ] {
        assert!(
            serde_json::from_str::<Augmentation>(text).is_err(),
            "{text}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every augmentation that `check` accepts works on pictures of any size.
    #[test]
    fn any_checked_augmentation_works_on_any_picture(
        size in [1usize..40, 1usize..40],
        crop in proptest::option::of([1usize..20, 1usize..20]),
        padding in 1usize..50,
        side in 1usize..50,
        scale in [1e-6f64..1.0, 1e-6f64..1.0],
        ratio in [0.01f64..100.0, 0.01f64..100.0],
        jitter in [0f64..10.0, 0f64..10.0, 0f64..10.0, 0f64..0.5],
        seed: u64,
    ) {
        let sorted = |[a, b]: [f64; 2]| [a.min(b), a.max(b)];
        let [brightness, contrast, saturation, hue] = jitter;
        let mut steps = vec![
            Transform::ColorJitter(ColorJitter { brightness, contrast, saturation, hue }),
            Transform::PadAndCrop(PadAndCrop { padding }),
            Transform::HorizontalFlip(HorizontalFlip::default()),
            Transform::Cutout(Cutout { side, probability: 0.5 }),
        ];
        if crop.is_some() {
            steps.insert(0, Transform::RandomResizedCrop(RandomResizedCrop {
                scale: sorted(scale),
                ratio: sorted(ratio),
                filter: Filter::Bicubic,
            }));
        }
        let augmentation = Augmentation { steps, ..Augmentation::default() };
        let preprocessing = Preprocessing { crop, ..plain() };
        let input = augmentation.apply(&numbered(size), &preprocessing, SampleKey { seed, ..key(0) });
        let [height, width] = crop.unwrap_or(size);
        prop_assert_eq!(input.unwrap().dim(), (3, height, width));
    }
}
