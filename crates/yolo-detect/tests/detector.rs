//! From pictures to detections.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use common::{NAMES, RandomWeights, network, noise, small_network};
use image_data::{BBox, Picture};
use ndarray::ArrayD;
use nn_layers::{Params, Slot};
use proptest::prelude::*;
use yolo_detect::{ClassNames, Detection, Detector, DetectorOptions, Error, NmsScope, ScoreRule};

/// The values of a box of [`red_detector`]: `tx ty tw th`, and one class score.
const CELL: [f32; 5] = [0.0, 0.0, 0.0, 0.0, 10.0];

/// Returns a hand-made detector of red cells: a 64 x 64 input in cells of 8 pixels. Objectness is
/// high where the cell is red; `numbers` determines the boxes.
///
/// Objectness is `20 * (red - green - blue) - 10` of the cell's mean colour: 10 where it is red,
/// -10 where it is black, -20 where it is grey.
fn red_detector(head: &str, numbers: &[[f32; 5]], options: DetectorOptions) -> Detector {
    let filters = 6 * numbers.len();
    let network = network(&common::net(
        64,
        64,
        &format!("[conv]\nfilters={filters}\nsize=8\nstride=8\nactivation=linear\n{head}"),
    ));
    let mut weight = ArrayD::zeros(vec![filters, 3, 8, 8]);
    let mut bias = ArrayD::zeros(vec![filters]);
    for (anchor, [tx, ty, tw, th, class]) in numbers.iter().enumerate() {
        for (entry, number) in [tx, ty, tw, th, &-10.0, class].into_iter().enumerate() {
            bias[[6 * anchor + entry]] = *number;
        }
        for (channel, sign) in [1.0, -1.0, -1.0].into_iter().enumerate() {
            let mut taps = weight.view_mut();
            taps.index_axis_inplace(ndarray::Axis(0), 6 * anchor + 4);
            taps.index_axis_inplace(ndarray::Axis(0), channel);
            taps.fill(sign * 20.0 / 64.0);
        }
    }
    let mut params = Params::new();
    params.insert("0.conv.weight", Slot::Weight, weight);
    params.insert("0.conv.bias", Slot::Weight, bias);
    Detector::new(network, params, None, options).unwrap()
}

const YOLO: &str = "[yolo]\nclasses=1\nanchors=8,8";

/// Returns a black picture with a red rectangle `[x1, y1, x2, y2]`, whose rows are padded to a
/// stride.
fn picture_with_red(width: usize, height: usize, [x1, y1, x2, y2]: [usize; 4]) -> Picture {
    let stride = 3 * width + 5;
    let mut bytes = vec![0; stride * height];
    for y in y1..y2 {
        for x in x1..x2 {
            bytes[y * stride + 3 * x] = 255;
        }
    }
    Picture::from_rgb(width, height, stride, &bytes).unwrap()
}

fn boxes(detections: &[Detection]) -> Vec<BBox> {
    detections.iter().map(|detection| detection.bbox).collect()
}

fn assert_close(got: BBox, expected: [f32; 4]) {
    let got = [got.x1, got.y1, got.x2, got.y2];
    for (got, expected) in got.into_iter().zip(expected) {
        // A few roundings of values up to 128.
        assert!(
            (got - expected).abs() < 128.0 * 4.0 * f32::EPSILON,
            "{got} {expected}"
        );
    }
}

#[test]
fn a_box_lies_where_the_object_is_whatever_the_pictures_shape() {
    let mut detector = red_detector(YOLO, &[CELL], DetectorOptions::default());
    // As wide as the input: bars of 16 pixels above and below, no scaling. A stretched picture
    // would have the box at twice the height.
    let found = detector
        .detect(&picture_with_red(64, 32, [24, 8, 32, 16]))
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_close(found[0].bbox, [24.0, 8.0, 32.0, 16.0]);
    assert_eq!(found[0].class, 0);
    // logistic(10), squared.
    assert!((found[0].score - 0.999_909).abs() < 1e-6);
    // Bars left and right.
    let found = detector
        .detect(&picture_with_red(32, 64, [8, 24, 16, 32]))
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_close(found[0].bbox, [8.0, 24.0, 16.0, 32.0]);
    // Halved: cells are 16 pixels of the picture.
    let found = detector
        .detect(&picture_with_red(128, 64, [48, 16, 64, 32]))
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_close(found[0].bbox, [48.0, 16.0, 64.0, 32.0]);
    // No red at all.
    assert_eq!(
        detector.detect(&picture_with_red(64, 32, [0; 4])).unwrap(),
        []
    );
}

#[test]
fn both_heads_find_the_same_box() {
    let picture = picture_with_red(64, 32, [24, 8, 32, 16]);
    let mut yolo = red_detector(YOLO, &[CELL], DetectorOptions::default());
    let region = "[region]\nclasses=1\nanchors=1,1\nsoftmax=0";
    let mut region = red_detector(region, &[CELL], DetectorOptions::default());
    assert_eq!(
        region.detect(&picture).unwrap(),
        yolo.detect(&picture).unwrap()
    );
    // A softmax over one class is 1.
    let softmax = "[region]\nclasses=1\nanchors=1,1\nsoftmax=1";
    let found = red_detector(softmax, &[CELL], DetectorOptions::default())
        .detect(&picture)
        .unwrap();
    assert!((found[0].score - 0.999_954).abs() < 1e-6);
}

#[test]
fn suppression_comes_before_the_cut_to_the_picture() {
    // In the corner: a box of 8 x 8, and one of 24 x 24 around it that extends beyond the picture.
    // Their IoU is 64 / 576, and 64 / 256 after clipping.
    let numbers = [CELL, [0.0, 0.0, 3f32.ln(), 3f32.ln(), 9.0]];
    let head = "[yolo]\nclasses=1\nnum=2\nanchors=8,8,8,8";
    let found = |nms| {
        let options = DetectorOptions {
            nms,
            ..Default::default()
        };
        let picture = picture_with_red(64, 64, [0, 0, 8, 8]);
        red_detector(head, &numbers, options)
            .detect(&picture)
            .unwrap()
    };
    let both = found(0.2);
    assert_eq!(both.len(), 2);
    assert_close(both[0].bbox, [0.0, 0.0, 8.0, 8.0]);
    assert_close(both[1].bbox, [0.0, 0.0, 16.0, 16.0]);
    assert_eq!(found(0.1), both[..1]);
}

#[test]
fn a_box_beside_the_picture_is_dropped() {
    // Centred on the left edge of each red cell: logistic(-100) is 0.
    let left = [-100.0, 0.0, 0.0, 0.0, 10.0];
    let mut detector = red_detector(
        "[yolo]\nclasses=1\nanchors=1,8",
        &[left],
        Default::default(),
    );
    let in_the_corner = picture_with_red(64, 64, [0, 0, 8, 8]);
    // Half of its width of 1 is inside.
    assert_close(
        detector.detect(&in_the_corner).unwrap()[0].bbox,
        [0.0, 0.0, 0.5, 8.0],
    );
    // All bars have detections, but their boxes are outside the picture.
    let mut params = Params::new();
    let network = detector.network().clone();
    params.insert(
        "0.conv.weight",
        Slot::Weight,
        ArrayD::zeros(vec![6, 3, 8, 8]),
    );
    params.insert("0.conv.bias", Slot::Weight, ArrayD::from_elem(vec![6], 0.0));
    let options = DetectorOptions {
        threshold: 0.2,
        ..Default::default()
    };
    let mut everywhere = Detector::new(network, params, None, options).unwrap();
    let found = everywhere
        .detect(&picture_with_red(64, 32, [0; 4]))
        .unwrap();
    assert_eq!(found.len(), 8 * 4);
    assert!(
        boxes(&found)
            .iter()
            .all(|bbox| bbox.y1 >= 0.0 && bbox.y2 <= 32.0)
    );
}

#[test]
fn nan_and_infinity_in_the_network_are_errors() {
    let network = network(&common::net(
        8,
        8,
        "[conv]\nfilters=6\nactivation=linear\n[yolo]\nclasses=1",
    ));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut params = nn_layers::random_params(network.graph(), 1).unwrap();
        params.get_mut("0.conv.bias").unwrap().value[[3]] = bad;
        let mut detector =
            Detector::new(network.clone(), params, None, Default::default()).unwrap();
        let error = detector
            .detect(&picture_with_red(8, 8, [0; 4]))
            .unwrap_err();
        let Error::OutputNotFinite { layer: 1, value } = error else {
            panic!("{error}")
        };
        assert_eq!(value.to_bits() & 0x7fff_ffff, bad.to_bits() & 0x7fff_ffff);
    }
}

fn small_detector(options: DetectorOptions) -> Result<Detector, Error> {
    let network = small_network();
    let weights = RandomWeights {
        scale_score: 6.0,
        ..Default::default()
    }
    .make(&network);
    Detector::new(
        network,
        weights.params,
        Some(ClassNames::parse(NAMES)?),
        options,
    )
}

#[test]
fn a_class_filter_only_leaves_out() {
    for nms_scope in [NmsScope::PerClass, NmsScope::AllClasses] {
        for score_rule in [ScoreRule::BestClass, ScoreRule::EveryClass] {
            let detect = |classes: &[&str]| {
                let classes = classes.iter().map(|&name| name.to_owned()).collect();
                let options = DetectorOptions {
                    nms_scope,
                    score_rule,
                    classes,
                    ..Default::default()
                };
                small_detector(options)
                    .unwrap()
                    .detect(&noise(37, 21, 1))
                    .unwrap()
            };
            let all = detect(&[]);
            let of = |classes: &[usize]| -> Vec<Detection> {
                all.iter()
                    .filter(|found| classes.contains(&found.class))
                    .copied()
                    .collect()
            };
            assert!((0..3).all(|class| !of(&[class]).is_empty()), "{all:?}");
            assert_eq!(detect(&["dog"]), of(&[1]));
            assert_eq!(detect(&["cat", "bird"]), of(&[0, 2]));
        }
    }
}

/// Layers of one channel take the memory of sixteen, and the limit is on their sum.
#[test]
fn a_network_over_the_memory_limit_is_refused_with_the_sum() {
    let layers = "[conv]\nfilters=1\n".repeat(3);
    let head = "[conv]\nfilters=6\nactivation=linear\n[yolo]\nclasses=1";
    let network = network(&common::net(64, 64, &format!("{layers}{head}")));
    let detector = |memory_limit| {
        let params = nn_layers::random_params(network.graph(), 1).unwrap();
        let options = DetectorOptions {
            engine: engine::Options {
                memory_limit,
                ..Default::default()
            },
            ..Default::default()
        };
        Detector::new(network.clone(), params, None, options)
    };
    let needed = |limit| match detector(limit) {
        Err(Error::Engine(error)) => match *error {
            engine::Error::MemoryLimit { needed, limit: got } => {
                assert_eq!(got, limit);
                needed.total()
            }
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    };
    let total = needed(1 << 18);
    // Two tensors of one block of 16 channels at a time.
    assert!(total > 2 * 16 * 64 * 64 * 4, "{total}");
    assert_eq!(needed(total - 1), total);
    assert!(detector(total).is_ok());
}

#[test]
fn only_so_many_of_the_best_candidates_compete_and_the_rest_is_counted() {
    let detect = |max_candidates| {
        let options = DetectorOptions {
            nms: 1.0,
            max_candidates,
            ..Default::default()
        };
        let mut detector = small_detector(options).unwrap();
        let found = detector.detect(&noise(37, 21, 1)).unwrap();
        (found, detector.left_out())
    };
    let (all, none) = detect(DetectorOptions::default().max_candidates);
    assert_eq!(none, 0);
    // Nothing is suppressed, so the best candidates come first. Boxes outside the picture are
    // dropped later, so `all` lacks some of the candidates.
    let (best, left_out) = detect(20);
    assert!(left_out > 0 && !best.is_empty() && best.len() <= 20);
    assert_eq!(best, all[..best.len()]);
    let (found, left_out) = detect(20 + left_out as usize);
    assert_eq!((found, left_out), (all, 0));
}

#[test]
fn clones_find_the_same_in_threads_and_a_detector_finds_the_same_again() {
    let mut detector = small_detector(DetectorOptions::default()).unwrap();
    let pictures = [noise(37, 21, 1), noise(5, 64, 2), noise(1, 1, 3)];
    let expected: Vec<_> = pictures
        .iter()
        .map(|picture| detector.detect(picture).unwrap())
        .collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let mut detector = detector.clone();
                let pictures = &pictures;
                scope.spawn(move || -> Vec<_> {
                    pictures
                        .iter()
                        .map(|picture| detector.detect(picture).unwrap())
                        .collect()
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
    let again: Vec<_> = pictures
        .iter()
        .rev()
        .map(|p| detector.detect(p).unwrap())
        .collect();
    assert_eq!(again.into_iter().rev().collect::<Vec<_>>(), expected);
}

#[test]
fn a_detector_can_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<Detector>();
    check::<Error>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn detections_are_sorted_over_the_threshold_and_inside_the_picture(
        (width, height) in (1usize..70, 1usize..70),
        seed in any::<u64>(),
        threshold in 0.0f32..0.9,
        nms in 0.0f32..1.0,
    ) {
        let options = DetectorOptions { threshold, nms, ..Default::default() };
        let found = small_detector(options).unwrap().detect(&noise(width, height, seed)).unwrap();
        for pair in found.windows(2) {
            prop_assert!(pair[0].score >= pair[1].score);
        }
        for Detection { class, score, bbox } in found {
            prop_assert!(class < 3);
            prop_assert!(score > threshold && score <= 1.0);
            prop_assert!(0.0 <= bbox.x1 && bbox.x1 < bbox.x2 && bbox.x2 <= width as f32);
            prop_assert!(0.0 <= bbox.y1 && bbox.y1 < bbox.y2 && bbox.y2 <= height as f32);
        }
    }
}

#[test]
fn options_and_names_that_do_not_fit_are_errors() {
    for (threshold, nms) in [
        (-0.1, 0.5),
        (1.1, 0.5),
        (f32::NAN, 0.5),
        (0.5, -1.0),
        (0.5, f32::NAN),
    ] {
        let options = DetectorOptions {
            threshold,
            nms,
            ..Default::default()
        };
        assert!(matches!(small_detector(options), Err(Error::Option { .. })));
    }
    let options = DetectorOptions {
        max_candidates: 0,
        ..Default::default()
    };
    assert!(matches!(
        small_detector(options),
        Err(Error::Option {
            option: "max_candidates",
            ..
        })
    ));
    let options = DetectorOptions {
        classes: vec!["dogs".to_owned()],
        ..Default::default()
    };
    let error = small_detector(options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no class is called \"dogs\"; did you mean dog?"
    );
    // Without class names, every name is unknown.
    let options = DetectorOptions {
        classes: vec!["dog".to_owned()],
        ..Default::default()
    };
    let params = nn_layers::random_params(small_network().graph(), 1).unwrap();
    let error = Detector::new(small_network(), params, None, options).unwrap_err();
    assert!(matches!(error, Error::UnknownClass { near, .. } if near.is_empty()));
}

#[test]
fn networks_that_are_no_detectors_are_errors() {
    let new = |cfg: &str| {
        let network = network(cfg);
        let params = nn_layers::random_params(network.graph(), 1).unwrap();
        Detector::new(network, params, None, Default::default()).unwrap_err()
    };
    assert!(matches!(new(&common::net(8, 8, "[conv]")), Error::NoHead));
    let grey = "[net]\nwidth=8\nheight=8\nchannels=1\n[conv]\nfilters=6\n[yolo]\nclasses=1";
    assert!(matches!(new(grey), Error::NotColour { got: 1 }));
    let two = "[conv]\nfilters=6\n[yolo]\nclasses=1\n[route]\nlayers=0\n[conv]\nfilters=7\n[yolo]\nclasses=2";
    let error = new(&common::net(8, 8, two));
    assert!(matches!(
        error,
        Error::HeadClasses {
            layer: 4,
            expected: 1,
            got: 2
        }
    ));
}

#[test]
fn parameters_that_are_missing_are_an_error() {
    let error =
        Detector::new(small_network(), Params::new(), None, Default::default()).unwrap_err();
    assert!(
        error.to_string().contains("0.conv.weight is missing"),
        "{error}"
    );
}
