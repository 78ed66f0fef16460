//! From a head's tensor to boxes, step by step.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

use image_data::BBox;
use ndarray::{Array3, Array4};
use proptest::prelude::*;
use yolo_detect::cfg::{Cfg, Layer};
use yolo_detect::{
    Anchor, ClassActivation, Head, NmsScope, Prediction, ScoreRule, non_max_suppression, score,
};

/// The inverse of the logistic function.
fn logit(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

/// Sets one anchor's values in the textbook's order `P, x, y, h, w, classes`: `P`, `x`, `y` and the
/// classes are from 0 to 1, `h` and `w` multiples of the anchor.
fn object(textbook: &mut Array4<f64>, at: [usize; 3], numbers: [f64; 5], class: (usize, f64)) {
    let [row, column, anchor] = at;
    for (index, number) in numbers.into_iter().enumerate() {
        textbook[[row, column, anchor, index]] = number;
    }
    textbook[[row, column, anchor, 5 + class.0]] = class.1;
}

/// Converts the textbook's `[h, w, anchors, 85]` to darknet's `[anchors * 85, h, w]` before the
/// activation functions: the axes differ, and the order is `x, y, w, h, P` instead of `P, x, y, h,
/// w`.
fn darknet_order(textbook: &Array4<f64>) -> Array3<f32> {
    const TEXTBOOK_ENTRY: [usize; 5] = [1, 2, 4, 3, 0];
    let (height, width, anchors, entries) = textbook.dim();
    Array3::from_shape_fn(
        (anchors * entries, height, width),
        |(channel, row, column)| {
            let (anchor, entry) = (channel / entries, channel % entries);
            let from = TEXTBOOK_ENTRY.get(entry).copied().unwrap_or(entry);
            let value = textbook[[row, column, anchor, from]];
            (if matches!(entry, 2 | 3) {
                value.ln()
            } else {
                logit(value)
            }) as f32
        },
    )
}

/// The textbook's example: 19 x 19 cells, 5 anchors, 80 classes, a score threshold of 0.6 and an
/// overlap threshold of 0.5. Four boxes have a high objectness: a car seen by two cells, a weak
/// dog, and a person in the car.
#[test]
fn a_19x19x5x85_tensor_step_by_step() {
    const PERSON: usize = 0;
    const CAR: usize = 2;
    const DOG: usize = 16;
    let head = Head {
        layer: 0,
        // In grid cells: 2 x 1 cells are 64 x 32 pixels of 608.
        anchors: vec![Anchor::grid_cells(2.0, 1.0); 5],
        classes: 80,
        class_activation: ClassActivation::Logistic,
        grid: [19, 19],
        network: [608, 608],
    };

    // Nothing anywhere (0.001 instead of 0, whose logit is not finite), then the four.
    let mut textbook = Array4::from_elem((19, 19, 5, 85), 0.001);
    textbook.slice_mut(ndarray::s![.., .., .., 3..5]).fill(1.0);
    object(
        &mut textbook,
        [9, 4, 2],
        [0.9, 0.5, 0.5, 2.0, 2.0],
        (CAR, 0.8),
    );
    object(
        &mut textbook,
        [9, 5, 0],
        [0.9, 0.25, 0.5, 2.0, 2.0],
        (CAR, 0.9),
    );
    object(
        &mut textbook,
        [9, 4, 3],
        [0.8, 0.5, 0.5, 2.0, 0.5],
        (PERSON, 0.95),
    );
    object(
        &mut textbook,
        [2, 2, 0],
        [0.7, 0.5, 0.5, 1.0, 1.0],
        (DOG, 0.8),
    );

    // 1. Objectness: four of 1805 anchors are likely to contain an object.
    let predictions = head.decode(darknet_order(&textbook).view(), 0.5).unwrap();
    assert_eq!(predictions.len(), 4);

    // 2. Boxes in pixels of the network's input, by row, column and anchor. A cell is 32 pixels.
    let expected = [
        [80.0, 80.0, 64.0, 32.0], // the dog: the anchor's own size around (2.5, 2.5) cells
        [144.0, 304.0, 128.0, 64.0], // the car: twice the anchor around (4.5, 9.5) cells
        [144.0, 304.0, 32.0, 64.0], // the person: half as wide, twice as high
        [168.0, 304.0, 128.0, 64.0], // the car from the next cell: (5.25, 9.5)
    ];
    for (prediction, expected) in predictions.iter().zip(expected) {
        for (got, expected) in prediction.bbox.to_cxcywh().into_iter().zip(expected) {
            // A few roundings to f32 of values up to 304, and of the logits: 2^-24 each.
            assert!(
                (got - expected).abs() < 304.0 * 8.0 * f32::EPSILON,
                "{got} {expected}"
            );
        }
    }

    // 3. Scores P * c, the best class of each box, over 0.6: the dog's 0.7 * 0.8 is below it.
    let scored = score(&predictions, ScoreRule::BestClass, 0.6);
    let expected = [(CAR, 0.9 * 0.8), (PERSON, 0.8 * 0.95), (CAR, 0.9 * 0.9)];
    assert_eq!(scored.len(), expected.len());
    for (detection, (class, score)) in scored.iter().zip(expected) {
        assert_eq!(detection.class, class);
        assert!((f64::from(detection.score) - score).abs() < 1e-6);
    }

    // 4. IoU: the cars are 128 x 64, shifted by 24; the person fills a quarter of the first car.
    let iou = |a: usize, b: usize| scored[a].bbox.iou(scored[b].bbox);
    assert!((iou(0, 2) - 104.0 / 152.0).abs() < 1e-5);
    assert!((iou(0, 1) - 0.25).abs() < 1e-5);

    // 5. Non-maximum suppression: the better car is kept, and so is the person, of another class.
    let kept = non_max_suppression(&scored, 0.5, NmsScope::PerClass);
    assert_eq!(kept, [2, 1]);
}

/// Returns the box of all-zero logits: in the middle of its cell, as large as its anchor.
fn box_of_zeros(head: &Head) -> Prediction {
    let mut output = Array3::from_elem(head.shape(), -50.0);
    for channel in 0..head.shape()[0] {
        output[[channel, 2, 3]] = 0.0;
    }
    head.decode(output.view(), 0.25).unwrap().remove(0)
}

#[test]
fn region_anchors_count_cells_and_yolo_anchors_count_pixels() {
    let head = |section: &str, anchors: &str| {
        let cfg = format!(
            "[net]\nwidth=416\nheight=416\nchannels=6\n[{section}]\nclasses=1\nanchors={anchors}"
        );
        match &Cfg::parse(&cfg).unwrap().layers[0].layer {
            Layer::Region(region) => region.head(0, [13, 13], [416, 416]),
            Layer::Yolo(yolo) => yolo.head(0, [13, 13], [416, 416]),
            other => panic!("{other:?}"),
        }
    };
    let assert_is = |prediction: Prediction, expected: [f32; 4]| {
        for (got, expected) in prediction.bbox.to_cxcywh().into_iter().zip(expected) {
            // Fractions of 416, rounded to f32.
            assert!(
                (got - expected).abs() < 416.0 * f32::EPSILON,
                "{got} {expected}"
            );
        }
    };
    // 2 x 3 of 13 cells are 64 x 96 of 416 pixels.
    let centre = [3.5 * 32.0, 2.5 * 32.0];
    let region = head("region", "2,3");
    assert_is(box_of_zeros(&region), [centre[0], centre[1], 64.0, 96.0]);
    let yolo = head("yolo", "64,96");
    assert_is(box_of_zeros(&yolo), [centre[0], centre[1], 64.0, 96.0]);
    // If the units were confused, boxes would be 32 times too small.
    assert_is(
        box_of_zeros(&head("yolo", "2,3")),
        [centre[0], centre[1], 2.0, 3.0],
    );
}

#[test]
fn the_mask_picks_a_yolo_heads_anchors_in_its_order() {
    let cfg = Cfg::parse(
        "[net]\nwidth=32\nheight=32\nchannels=12\n\
         [yolo]\nclasses=1\nnum=3\nmask=2,0\nanchors=1,2, 3,4, 5,6\n",
    );
    let Layer::Yolo(yolo) = &cfg.unwrap().layers[0].layer else {
        panic!("no yolo layer")
    };
    let anchors = yolo.head(0, [1, 1], [32, 32]).anchors;
    assert_eq!(
        anchors,
        [
            Anchor::network_pixels(5.0, 6.0),
            Anchor::network_pixels(1.0, 2.0)
        ]
    );
}

#[test]
fn softmax_classes_compete_and_logistic_classes_do_not() {
    let head = |class_activation| Head {
        layer: 7,
        anchors: vec![Anchor::grid_cells(1.0, 1.0)],
        classes: 3,
        class_activation,
        grid: [1, 1],
        network: [32, 32],
    };
    let logits = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2f32.ln(), 1000.0];
    let output = |last: f32| {
        let mut logits = logits;
        logits[7] = last;
        Array3::from_shape_vec((8, 1, 1), logits.to_vec()).unwrap()
    };
    let classes = |activation, last| {
        head(activation)
            .decode(output(last).view(), 0.0)
            .unwrap()
            .remove(0)
            .class_probabilities
    };
    let close = |got: Vec<f32>, expected: [f32; 3]| {
        assert!(
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{got:?}"
        );
    };
    close(
        classes(ClassActivation::Softmax, 5f32.ln()),
        [1.0 / 8.0, 2.0 / 8.0, 5.0 / 8.0],
    );
    close(
        classes(ClassActivation::Logistic, 5f32.ln()),
        [1.0 / 2.0, 2.0 / 3.0, 5.0 / 6.0],
    );
    // Large logits do not overflow.
    close(classes(ClassActivation::Softmax, 1000.0), [0.0, 0.0, 1.0]);
    close(
        classes(ClassActivation::Logistic, -1000.0),
        [1.0 / 2.0, 2.0 / 3.0, 0.0],
    );
}

#[test]
fn another_shape_and_nan_are_errors() {
    let head = Head {
        layer: 7,
        anchors: vec![Anchor::grid_cells(1.0, 1.0)],
        classes: 3,
        class_activation: ClassActivation::Softmax,
        grid: [2, 3],
        network: [64, 96],
    };
    assert_eq!((head.shape(), head.stride()), ([8, 2, 3], [32, 32]));
    let error = head
        .decode(Array3::zeros((8, 3, 2)).view(), 0.5)
        .unwrap_err();
    assert!(matches!(
        error,
        yolo_detect::Error::HeadShape { layer: 7, expected: [8, 2, 3], got } if got == [8, 3, 2]
    ));
    let mut output = Array3::zeros(head.shape());
    output[[1, 0, 0]] = f32::NAN;
    let error = head.decode(output.view(), 0.5).unwrap_err();
    assert!(matches!(
        error,
        yolo_detect::Error::OutputNotFinite { layer: 7, .. }
    ));
}

#[test]
fn an_infinite_logit_gives_no_nan() {
    let head = Head {
        layer: 0,
        anchors: vec![Anchor::network_pixels(1.0, 1.0)],
        classes: 1,
        class_activation: ClassActivation::Logistic,
        grid: [1, 1],
        network: [32, 32],
    };
    let logits = [
        f32::INFINITY,
        f32::NEG_INFINITY,
        1000.0,
        -1000.0,
        f32::INFINITY,
        0.0,
    ];
    let output = Array3::from_shape_vec((6, 1, 1), logits.to_vec()).unwrap();
    let prediction = head.decode(output.view(), 0.5).unwrap().remove(0);
    assert_eq!(prediction.objectness, 1.0);
    let BBox { x1, x2, y1, y2 } = prediction.bbox;
    assert_eq!(
        [x1, x2, y1, y2],
        [f32::NEG_INFINITY, f32::INFINITY, 0.0, 0.0]
    );
}

/// Generates heads of every small kind, each with logits.
fn heads() -> impl Strategy<Value = (Head, Vec<f32>)> {
    let anchor = (0.5f32..8.0, 0.5f32..8.0, any::<bool>()).prop_map(|(width, height, in_cells)| {
        if in_cells {
            Anchor::grid_cells(width, height)
        } else {
            Anchor::network_pixels(16.0 * width, 16.0 * height)
        }
    });
    let activation = prop_oneof![
        Just(ClassActivation::Softmax),
        Just(ClassActivation::Logistic)
    ];
    let grid = [1usize..5, 1usize..5];
    (
        prop::collection::vec(anchor, 1..4),
        1usize..6,
        activation,
        grid,
    )
        .prop_flat_map(|(anchors, classes, class_activation, grid)| {
            let network = grid.map(|cells| 32 * cells);
            let head = Head {
                layer: 0,
                anchors,
                classes,
                class_activation,
                grid,
                network,
            };
            let count = head.shape().iter().product::<usize>();
            (Just(head), prop::collection::vec(-4.0f32..4.0, count))
        })
}

proptest! {
    #[test]
    fn decoding_agrees_with_the_formulas_in_f64((head, logits) in heads(), threshold in 0.0f32..0.9) {
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let at = |channel: usize, row: usize, column: usize| {
            f64::from(logits[(channel * head.grid[0] + row) * head.grid[1] + column])
        };
        let mut expected = Vec::new();
        for row in 0..head.grid[0] {
            for column in 0..head.grid[1] {
                for (index, anchor) in head.anchors.iter().enumerate() {
                    let number = |entry| at(index * (5 + head.classes) + entry, row, column);
                    let [share_h, share_w] = anchor.share(head.grid, head.network);
                    let [h, w] = head.network.map(|size| size as f64);
                    let classes: Vec<f64> = (0..head.classes).map(|c| number(5 + c)).collect();
                    let sum: f64 = classes.iter().map(|t| t.exp()).sum();
                    expected.push((
                        [
                            32.0 * (column as f64 + logistic(number(0))),
                            32.0 * (row as f64 + logistic(number(1))),
                            w * share_w * number(2).exp(),
                            h * share_h * number(3).exp(),
                        ],
                        logistic(number(4)),
                        classes
                            .iter()
                            .map(|&t| match head.class_activation {
                                ClassActivation::Softmax => t.exp() / sum,
                                ClassActivation::Logistic => logistic(t),
                            })
                            .collect::<Vec<f64>>(),
                    ));
                }
            }
        }
        let threshold64 = f64::from(threshold);
        // A logit so near the threshold that rounding decides shows nothing.
        prop_assume!(expected.iter().all(|(_, p, _)| (p - threshold64).abs() > 1e-6));
        expected.retain(|(_, p, _)| *p > threshold64);

        let output = Array3::from_shape_vec(head.shape(), logits.clone()).unwrap();
        let predictions = head.decode(output.view(), threshold).unwrap();
        prop_assert_eq!(predictions.len(), expected.len());
        for (prediction, (bbox, objectness, classes)) in predictions.iter().zip(expected) {
            // Each edge is the centre plus or minus half the size, each rounded a few times.
            let scale = bbox.iter().fold(0.0f64, |most, side| most.max(side.abs()));
            let close = |got: f32, expected: f64, scale: f64| {
                (f64::from(got) - expected).abs() <= 8.0 * f64::from(f32::EPSILON) * scale
            };
            for (got, expected) in prediction.bbox.to_cxcywh().into_iter().zip(bbox) {
                prop_assert!(close(got, expected, scale), "{got} {expected}");
            }
            prop_assert!(close(prediction.objectness, objectness, 1.0));
            for (&got, expected) in prediction.class_probabilities.iter().zip(classes) {
                prop_assert!(close(got, expected, 1.0), "{got} {expected}");
            }
        }
    }
}
