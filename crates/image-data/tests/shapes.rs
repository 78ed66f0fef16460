//! Drawn shapes: they never change, lie within their boxes, and differ by class only in their
//! outline.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use image_data::{Dataset, Error, Shapes, ShapesOptions, Splits};

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn shapes_depend_on_seed_and_index_alone() {
    let options = ShapesOptions {
        len: 40,
        size: [24, 32],
        ..ShapesOptions::default()
    };
    let shapes = Shapes::new(options.clone()).unwrap();
    let part = Shapes::new(ShapesOptions {
        len: 7,
        first: 30,
        ..options.clone()
    })
    .unwrap();
    assert_eq!(part.picture(3).unwrap(), shapes.picture(33).unwrap());
    assert_eq!(part.boxes(3).unwrap(), shapes.boxes(33).unwrap());
    assert_eq!(
        (part.label(3), part.name(3)),
        (shapes.label(33), shapes.name(33))
    );
    assert_ne!(shapes.picture(1).unwrap(), shapes.picture(9).unwrap());
    let other = Shapes::new(ShapesOptions { seed: 1, ..options }).unwrap();
    assert_ne!(shapes.picture(1).unwrap(), other.picture(1).unwrap());

    let Splits { train, valid, .. } = Shapes::splits(ShapesOptions::default(), 8).unwrap();
    assert_eq!(
        (train.len(), valid.unwrap().name(0)),
        (1000, "shapes #1000".to_owned())
    );
}

/// The accuracy of the tutorial's first network depends on these pictures, so a change to them must
/// be deliberate.
#[test]
fn shapes_are_what_they_were() {
    let shapes = Shapes::new(ShapesOptions {
        len: 8,
        ..ShapesOptions::default()
    })
    .unwrap();
    let hashes = [0, 3, 7].map(|index| fnv1a(shapes.picture(index).unwrap().rgb()));
    let expected = [
        0x56ff_6930_10ff_d3e2,
        0xd149_48d6_d2a7_65ef,
        0x5580_8fd3_2f2e_6ec3,
    ];
    assert_eq!(hashes, expected, "{hashes:x?}");
}

#[test]
fn shapes_lie_within_their_boxes_and_share() {
    for size in [[64, 64], [20, 70], [90, 30]] {
        let options = ShapesOptions {
            len: 200,
            size,
            max_objects: 6,
            ..ShapesOptions::default()
        };
        let shapes = Shapes::new(options).unwrap();
        let area = (size[0] * size[1]) as f32;
        for index in 0..shapes.len() {
            let boxes = shapes.boxes(index).unwrap();
            assert_eq!(boxes[0].class, shapes.label(index));
            for object in &boxes {
                // Clipping may only undo the rounding to f32.
                let inside = object.bbox.clip(size);
                assert!(
                    (inside.area() - object.bbox.area()).abs() < 1e-3,
                    "{object:?}"
                );
                let share = object.bbox.area() / area;
                assert!((0.05 - 1e-5..=0.5 + 1e-5).contains(&share), "{object:?}");
            }
        }
    }
}

/// Classifies by the nearest mean colour of a class's training pictures. This should do no better
/// than chance, 1/8.
#[test]
fn colour_does_not_tell_the_class() {
    let shapes = Shapes::new(ShapesOptions {
        len: 2400,
        size: [32, 32],
        ..ShapesOptions::default()
    });
    let shapes = shapes.unwrap();
    // Only the object's box, since the background would dominate the mean.
    let colour = |index: usize| {
        let picture = shapes.picture(index).unwrap();
        let bbox = shapes.boxes(index).unwrap()[0].bbox;
        let [x, y] = [(bbox.x1 + bbox.x2) / 2.0, (bbox.y1 + bbox.y2) / 2.0].map(|c| c as usize);
        let at = 3 * (y * 32 + x);
        [0, 1, 2].map(|channel| f64::from(picture.rgb()[at + channel]))
    };
    let mut means = [[0.0; 3]; 8];
    for index in 0..1600 {
        let colour = colour(index);
        for channel in 0..3 {
            means[shapes.label(index)][channel] += colour[channel] / 200.0;
        }
    }
    let right = (1600..2400)
        .filter(|&index| {
            let colour = colour(index);
            let distance = |class: usize| -> f64 {
                (0..3).map(|c| (means[class][c] - colour[c]).powi(2)).sum()
            };
            let nearest = (0..8).min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            nearest == Some(shapes.label(index))
        })
        .count();
    // 100 by chance; five standard deviations are 5 * sqrt(800 / 8 * 7 / 8) = 47.
    assert!((53..=147).contains(&right), "{right}");
}

#[test]
fn shapes_refuse_options_out_of_range() {
    let field = |options: ShapesOptions| match Shapes::new(options) {
        Err(Error::Option {
            what: "shapes",
            field,
            ..
        }) => field,
        other => panic!("{other:?}"),
    };
    let default = ShapesOptions::default;
    assert_eq!(
        field(ShapesOptions {
            len: 0,
            ..default()
        }),
        "len"
    );
    assert_eq!(
        field(ShapesOptions {
            first: usize::MAX,
            ..default()
        }),
        "first"
    );
    for len in [Shapes::MOST + 1, 1 << 40, usize::MAX] {
        assert_eq!(field(ShapesOptions { len, ..default() }), "len");
    }
    for size in [[15, 20], [64, 1025], [16, 65], [0, 0]] {
        assert_eq!(field(ShapesOptions { size, ..default() }), "size");
    }
    for max_objects in [0, 9] {
        assert_eq!(
            field(ShapesOptions {
                max_objects,
                ..default()
            }),
            "max_objects"
        );
    }
    let past = Shapes::new(default()).unwrap();
    assert!(matches!(
        past.picture(1000),
        Err(Error::Index {
            index: 1000,
            len: 1000
        })
    ));
    assert!(matches!(past.boxes(1000), Err(Error::Index { .. })));
    assert_eq!(past.label(1000), 8);
}
