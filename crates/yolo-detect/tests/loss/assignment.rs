//! Which anchor is trained for what, and the boxes that losses decode: cases computed by hand.

use image_data::{BBox, ObjectBox, ObjectKind};
use ndarray::{Array4, ArrayD};
use nn_layers::Objective;
use yolo_detect::cfg::{Cfg, Layer};
use yolo_detect::{Assignment, BoxLoss, DetectionLoss, DetectionTargets, Matching, Network};
use yolo_detect::{Place, RegionLossOptions, Role, YoloLossOptions};

use crate::problem::{Problem, Rule, views, zeros};

fn place(anchor: usize, row: usize, column: usize) -> Place {
    Place {
        anchor,
        row,
        column,
    }
}

fn object(class: usize, x1: f32, y1: f32, x2: f32, y2: f32) -> ObjectBox {
    ObjectBox::new(class, BBox::from_xyxy(x1, y1, x2, y2))
}

fn of_kind(kind: ObjectKind, object: ObjectBox) -> ObjectBox {
    ObjectBox { kind, ..object }
}

/// One picture of 32 x 64 pixels: 2 x 4 cells of 16 x 16 pixels. Anchors of 1 x 1 cell, 2 cells wide, and 2
/// cells high.
fn region(objects: Vec<ObjectBox>, options: RegionLossOptions, softmax: bool) -> Problem {
    Problem {
        rule: Rule::Region { options, softmax },
        cells: [2, 4],
        classes: 3,
        anchors: vec![[1.0, 1.0], [2.0, 1.0], [1.0, 2.0]],
        boxes: vec![objects],
        seen: 1 << 20,
        seed: 0,
    }
}

fn by_anchors() -> RegionLossOptions {
    RegionLossOptions {
        matching: Matching::Anchors,
        ignore_threshold: 0.6,
        ..RegionLossOptions::default()
    }
}

/// The same picture for two yolo heads: 4 x 8 cells of 8 x 8 pixels with the two smaller anchors, and 2 x 4
/// cells with the large one.
fn yolo(objects: Vec<ObjectBox>, options: YoloLossOptions) -> Problem {
    Problem {
        rule: Rule::Yolo {
            options,
            masks: [vec![0, 1], vec![2]],
        },
        anchors: vec![[8.0, 8.0], [16.0, 8.0], [30.0, 30.0]],
        ..region(objects, RegionLossOptions::default(), false)
    }
}

/// Outputs of zeros: every predicted box is the anchor's size at its cell's centre.
fn zero_outputs(problem: &Problem) -> Vec<ArrayD<f64>> {
    zeros(&problem.outputs())
}

fn assign(problem: &Problem, outputs: &[ArrayD<f64>]) -> Assignment {
    let targets = problem.targets();
    problem.loss().assign(&targets, &views(outputs)).unwrap()
}

/// The places of a role of head 0 for picture 0.
fn places(problem: &Problem, assignment: &Assignment, head: usize, role: Role) -> Vec<Place> {
    let [rows, columns] = problem.grids()[head];
    let mut found = Vec::new();
    for anchor in 0..problem.masks()[head].len() {
        for row in 0..rows {
            for column in 0..columns {
                let place = place(anchor, row, column);
                if assignment.role(head, 0, place) == Some(role) {
                    found.push(place);
                }
            }
        }
    }
    found
}

#[test]
fn region_objects_go_to_the_cell_of_their_centre_and_the_most_similar_anchor() {
    for (bbox, expected, target) in [
        // Centre (24, 8), 16 x 16: exactly anchor 0 at cell 1 of row 0, in its middle.
        (
            [16.0, 0.0, 32.0, 16.0],
            place(0, 0, 1),
            [0.5, 0.5, 0.0, 0.0],
        ),
        // Centre (36, 20), 32 x 16: a quarter of a cell from the corner (32, 16).
        (
            [20.0, 12.0, 52.0, 28.0],
            place(1, 1, 2),
            [0.25, 0.25, 0.0, 0.0],
        ),
        // 16 wide and 32 high, centre (8, 16), which is on the border between the rows: the lower one's.
        ([0.0, 0.0, 16.0, 32.0], place(2, 1, 0), [0.5, 0.0, 0.0, 0.0]),
        // 24 x 16: the IoU with 16 x 16 is 2/3, with 32 x 16 3/4, with 16 x 32 it is 256/640.
        (
            [36.0, 8.0, 60.0, 24.0],
            place(1, 1, 3),
            [0.0, 0.0, 0.75f64.ln(), 0.0],
        ),
        // 4 x 4, centre (62, 30): small boxes have the smallest anchor.
        (
            [60.0, 28.0, 64.0, 32.0],
            place(0, 1, 3),
            [0.875, 0.875, 0.25f64.ln(), 0.25f64.ln()],
        ),
        // The whole picture: 2 x 4 cells. 1/8, 2/8, 2/8: the first of equal ones.
        (
            [0.0, 0.0, 64.0, 32.0],
            place(1, 1, 2),
            [0.0, 0.0, 2f64.ln(), 2f64.ln()],
        ),
    ] {
        let [x1, y1, x2, y2] = bbox;
        let problem = region(vec![object(2, x1, y1, x2, y2)], by_anchors(), true);
        let assignment = assign(&problem, &zero_outputs(&problem));
        let [responsible] = assignment.responsible(0, 0) else {
            panic!("{bbox:?}: {assignment:?}");
        };
        assert_eq!(responsible.place, expected, "{bbox:?}");
        assert_eq!(assignment.role(0, 0, expected), Some(Role::Responsible));
        for (got, expected) in responsible.target.into_iter().zip(target) {
            assert!((got - expected).abs() < 1e-15, "{bbox:?}: {got} {expected}");
        }
        assert_eq!((responsible.object, responsible.objectness), (0, 1.0));
        assert_eq!(responsible.classes, [2]);
        let area = f64::from((x2 - x1) * (y2 - y1));
        assert_eq!(responsible.scale, 2.0 - area / (32.0 * 64.0), "{bbox:?}");
    }
}

#[test]
fn with_predictions_as_shapes_the_most_similar_predicted_box_is_responsible() {
    let options = RegionLossOptions {
        matching: Matching::Predictions,
        rescore: true,
        ..by_anchors()
    };
    // 16 x 16, as anchor 0; but at its cell, anchor 1 predicts half its width.
    let problem = region(vec![object(0, 16.0, 0.0, 32.0, 16.0)], options, true);
    let mut outputs = zero_outputs(&problem);
    // Anchor 0 predicts four times its width and height there.
    outputs[0][[0, 2, 0, 1]] = 4f64.ln();
    outputs[0][[0, 3, 0, 1]] = 4f64.ln();
    outputs[0][[0, 8 + 2, 0, 1]] = 0.5f64.ln();
    let assignment = assign(&problem, &outputs);
    let responsible = &assignment.responsible(0, 0)[0];
    assert_eq!(responsible.place, place(1, 0, 1));
    // Its box is then the object's.
    assert!((responsible.iou - 1.0).abs() < 1e-15);
    assert_eq!(responsible.objectness, responsible.iou);
}

#[test]
fn yolo_objects_go_to_the_head_that_has_the_best_of_all_anchors() {
    for (bbox, head, expected) in [
        // 8 x 8, centre (12, 4).
        ([8.0, 0.0, 16.0, 8.0], 0, place(0, 0, 1)),
        // 16 x 8, centre (40, 28).
        ([32.0, 24.0, 48.0, 32.0], 0, place(1, 3, 5)),
        // 32 x 32, centre (32, 16): the large anchor, number 0 of head 1, in cells of 16 pixels.
        ([16.0, 0.0, 48.0, 32.0], 1, place(0, 1, 2)),
    ] {
        let [x1, y1, x2, y2] = bbox;
        let problem = yolo(vec![object(1, x1, y1, x2, y2)], YoloLossOptions::default());
        let assignment = assign(&problem, &zero_outputs(&problem));
        assert_eq!(assignment.responsible(1 - head, 0), [], "{bbox:?}");
        let responsible = &assignment.responsible(head, 0)[0];
        assert_eq!(responsible.place, expected, "{bbox:?}");
    }
}

#[test]
fn predictions_above_the_ignore_threshold_are_no_background() {
    // 24 x 16 from (16, 0): the responsible anchor is 1 (IoU 3/4), in cell 1 (centre 28, 8), where its box
    // runs from 8 to 40. The 16 x 16 boxes of cells 1 and 2 have IoUs of 16/24 and 8/32 with the object;
    // the 32 x 16 boxes of cells 1 and 2, from 8 and 24, have 24/32 and 16/40; the 16 x 32 box of cell 1
    // has 256/640.
    let object = object(0, 16.0, 0.0, 40.0, 16.0);
    for (ignore_threshold, expected) in [
        (0.7, vec![]),
        (0.6, vec![place(0, 0, 1)]),
        (0.399, vec![place(0, 0, 1), place(1, 0, 2), place(2, 0, 1)]),
        (
            0.249,
            vec![
                place(0, 0, 1),
                place(0, 0, 2),
                place(1, 0, 2),
                place(2, 0, 1),
            ],
        ),
    ] {
        let options = RegionLossOptions {
            ignore_threshold,
            ..by_anchors()
        };
        let problem = region(vec![object], options, true);
        let assignment = assign(&problem, &zero_outputs(&problem));
        let ignored = places(&problem, &assignment, 0, Role::Ignored);
        assert_eq!(ignored, expected, "{ignore_threshold}");
        let background = places(&problem, &assignment, 0, Role::Background);
        assert_eq!(background.len(), 24 - 1 - expected.len());
    }
}

#[test]
fn predictions_above_the_truth_threshold_are_trained_too() {
    // 12 x 8 from (8, 0): an IoU of 2/3 with both small anchors' boxes, of which the first counts.
    let options = YoloLossOptions {
        truth_threshold: 0.6,
        ..YoloLossOptions::default()
    };
    let problem = yolo(vec![object(0, 8.0, 0.0, 20.0, 8.0)], options);
    let assignment = assign(&problem, &zero_outputs(&problem));
    let found: Vec<Place> = (assignment.responsible(0, 0).iter())
        .map(|responsible| responsible.place)
        .collect();
    // The centre is (14, 4), in cell 1. The 16 x 8 box of cell 1 runs from 4 to 20: an IoU of 3/4.
    assert_eq!(found, [place(0, 0, 1), place(1, 0, 1)]);
    // An equal box has an IoU of 1, which is not above the default.
    let problem = yolo(
        vec![object(0, 8.0, 0.0, 16.0, 8.0)],
        YoloLossOptions::default(),
    );
    let assignment = assign(&problem, &zero_outputs(&problem));
    assert_eq!(assignment.responsible(0, 0).len(), 1);
}

#[test]
fn of_objects_with_the_same_anchor_the_last_one_counts() {
    let objects = vec![
        object(2, 16.0, 0.0, 32.0, 16.0),
        object(0, 17.0, 0.0, 33.0, 16.0),
    ];
    for (softmax, classes) in [(true, vec![0]), (false, vec![0, 2])] {
        let problem = region(objects.clone(), by_anchors(), softmax);
        let assignment = assign(&problem, &zero_outputs(&problem));
        let [responsible] = assignment.responsible(0, 0) else {
            panic!("{assignment:?}");
        };
        assert_eq!((responsible.place, responsible.object), (place(0, 0, 1), 1));
        assert_eq!(responsible.classes, classes);
    }
}

#[test]
fn difficult_objects_and_crowds_are_neither_trained_on_nor_background() {
    let plain = object(0, 16.0, 0.0, 32.0, 16.0);
    // From (20, 0), 16 x 16: an IoU of 12/20 with the box of anchor 0 in cell 1.
    let beside = object(1, 20.0, 0.0, 36.0, 16.0);
    let crowd = object(1, 0.0, 0.0, 64.0, 16.0);
    let at = place(0, 0, 1);
    for (objects, responsible, ignored) in [
        (vec![plain], vec![0], vec![]),
        // Its own anchor, although no threshold is reached.
        (
            vec![of_kind(ObjectKind::Difficult, plain)],
            vec![],
            vec![at],
        ),
        (
            vec![of_kind(ObjectKind::Difficult, beside)],
            vec![],
            vec![at],
        ),
        // The centre (32, 8) is in cell 2. The boxes of 1 x 1 and 2 x 1 cells in row 0 are inside, but for
        // a quarter of the wide ones at the ends; the high ones are to a half or more outside.
        (
            vec![of_kind(ObjectKind::Crowd, crowd)],
            vec![],
            (0..2)
                .flat_map(|anchor| (0..4).map(move |column| place(anchor, 0, column)))
                .collect(),
        ),
        // A plain object makes the same anchor responsible, before or after it.
        (
            vec![plain, of_kind(ObjectKind::Difficult, beside)],
            vec![0],
            vec![],
        ),
        (
            vec![of_kind(ObjectKind::Difficult, beside), plain],
            vec![1],
            vec![],
        ),
    ] {
        let problem = region(
            objects.clone(),
            RegionLossOptions {
                ignore_threshold: 0.62,
                ..by_anchors()
            },
            true,
        );
        let assignment = assign(&problem, &zero_outputs(&problem));
        let found: Vec<usize> = (assignment.responsible(0, 0).iter())
            .map(|responsible| responsible.object)
            .collect();
        assert_eq!(found, responsible, "{objects:?}");
        let found = places(&problem, &assignment, 0, Role::Ignored);
        assert_eq!(found, ignored, "{objects:?}");
        assert_eq!(problem.targets().objects(), responsible.len());
    }
}

#[test]
fn terms_of_one_object_by_hand() {
    // A box of 24 x 16 at (20, 4): centre (32, 12), cell (0, 2), anchor 1 (32 x 16), x = 0, y = 0.75.
    let objects = vec![object(1, 20.0, 4.0, 44.0, 20.0)];
    let options = RegionLossOptions {
        object_scale: 5.0,
        rescore: true,
        ..by_anchors()
    };
    let problem = region(objects, options, true);
    let outputs = zero_outputs(&problem);
    let terms = problem
        .loss()
        .eval(&problem.targets(), &views(&outputs), &mut zeros(&outputs))
        .unwrap();
    // The predicted box is 32 x 16 with its centre at (40, 8): from (24, 0) to (56, 16). The boxes have 20 x
    // 12 in common; each of the background's 23 boxes costs 1/8.
    let scale = 2.0 - 24.0 * 16.0 / (32.0 * 64.0);
    let iou = 240.0 / (512.0 + 384.0 - 240.0);
    let expected = [
        ("centre", scale * (0.25 + 0.0625) / 2.0),
        ("size", scale * 0.75f64.ln().powi(2) / 2.0),
        ("objectness", 5.0 * (iou - 0.5) * (iou - 0.5) / 2.0),
        ("no_object", 23.0 / 8.0),
        ("class", 3f64.ln()),
        ("prior", 0.0),
        ("objects", 1.0),
        ("iou", iou),
    ];
    assert_eq!(terms.parts.len(), expected.len());
    for ((name, got), (expected_name, expected)) in terms.parts.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert!((got - expected).abs() < 1e-14, "{name}: {got} {expected}");
    }
    let sum: f64 = expected[..6].iter().map(|(_, value)| value).sum();
    assert!((terms.total - sum).abs() < 1e-14);
}

#[test]
fn complete_iou_by_hand() {
    // Cells of 16 pixels, anchor 0: predicted from (16, 0) to (32, 16). The object is 8 pixels wide and 16
    // high, from (16, 0): an IoU of 1/2; the centres are 4 apart, the smallest box around both is 16 x 16.
    let options = RegionLossOptions {
        box_loss: BoxLoss::Ciou,
        ciou_scale: 3.0,
        ..by_anchors()
    };
    let objects = vec![object(1, 16.0, 0.0, 24.0, 16.0)];
    let problem = region(objects, options, true);
    let outputs = zero_outputs(&problem);
    let terms = problem
        .loss()
        .eval(&problem.targets(), &views(&outputs), &mut zeros(&outputs))
        .unwrap();
    let pi = std::f64::consts::PI;
    let v = 4.0 / pi.powi(2) * (0.5f64.atan() - pi / 4.0).powi(2);
    let expected = 0.5 + 16.0 / 512.0 + v / (0.5 + v) * v;
    let (name, got) = &terms.parts[0];
    assert_eq!(name, "ciou");
    assert!((got - 3.0 * expected).abs() < 1e-14, "{got} {expected}");
    assert!(!terms.parts.iter().any(|(name, _)| name == "size"));
}

/// The loss sees the boxes that the detector finds.
#[test]
fn losses_decode_as_heads_do() {
    let problem = yolo(
        vec![object(0, 8.0, 0.0, 20.0, 8.0)],
        YoloLossOptions::default(),
    );
    let loss = problem.loss();
    let outputs = problem.outputs();
    let assignment = loss.assign(&problem.targets(), &views(&outputs)).unwrap();
    let responsible = &assignment.responsible(0, 0)[0];
    let Place {
        anchor,
        row,
        column,
    } = responsible.place;

    let head = yolo_detect::Head {
        layer: 0,
        anchors: (problem.anchors[..2].iter())
            .map(|&[w, h]| yolo_detect::Anchor::network_pixels(w, h))
            .collect(),
        classes: 3,
        class_activation: yolo_detect::ClassActivation::Logistic,
        grid: [4, 8],
        network: [32, 64],
    };
    let output = outputs[0].index_axis(ndarray::Axis(0), 0);
    let output = output.mapv(|x| x as f32).into_dimensionality().unwrap();
    // Ordered by row, column and anchor.
    let predictions = head.decode(output.view(), 0.0).unwrap();
    let bbox = predictions[(row * 8 + column) * 2 + anchor].bbox;
    let iou = bbox.iou(problem.boxes[0][0].bbox);
    // Edges of up to 64 pixels, rounded to f32, over lengths of about 8.
    assert!((f64::from(iou) - responsible.iou).abs() < 1e-5);
}

/// Multi-scale training: the grid follows the picture, and region anchors with it.
#[test]
fn pictures_of_another_size_have_another_grid() {
    let cfg = "[net]\nheight=64\nwidth=96\nchannels=1\n\
        [conv]\nfilters=12\nsize=1\nstride=32\nactivation=linear\n\
        [region]\nclasses=1\nnum=2\nanchors=1,1,2,2\nbias_match=1\n";
    let cfg = Cfg::parse(cfg).unwrap();
    let loss = DetectionLoss::new(&cfg, &Network::new(&cfg).unwrap()).unwrap();
    let boxes = [[object(0, 96.0, 64.0, 160.0, 128.0)]];
    let targets = DetectionTargets::new(&boxes, [160, 192], 0).unwrap();
    let output = Array4::<f64>::zeros((1, 12, 5, 6)).into_dyn();
    let assignment = loss.assign(&targets, &[output.view()]).unwrap();
    // Centre (128, 96) on the corner of cell (3, 4), twice a cell's size.
    let responsible = &assignment.responsible(0, 0)[0];
    assert_eq!(responsible.place, place(1, 3, 4));
    assert_eq!(responsible.target, [0.0; 4]);
}

#[test]
fn the_keys_of_a_cfg_are_options_and_malformed_ones_warnings() {
    let parse = |section: &str| {
        let text = format!("[net]\nheight=32\nwidth=32\nchannels=3\n[conv]\nfilters=30\n{section}");
        let cfg = Cfg::parse(&text).unwrap();
        let warnings: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
        (cfg.layers[1].layer.clone(), warnings)
    };
    let region = "[region]\nanchors=1,1\nclasses=25\nobject_scale=5\nnoobject_scale=0.5\nclass_scale=2\n\
        coord_scale=3.5\nthresh=.6\nrescore=1\nbias_match=1";
    let (Layer::Region(got), warnings) = parse(region) else {
        panic!("no region layer");
    };
    let expected = RegionLossOptions {
        object_scale: 5.0,
        noobject_scale: 0.5,
        class_scale: 2.0,
        coord_scale: 3.5,
        ignore_threshold: 0.6,
        rescore: true,
        matching: Matching::Anchors,
        ..RegionLossOptions::default()
    };
    assert_eq!((got.loss, warnings), (expected, vec![]));

    let (Layer::Yolo(got), warnings) =
        parse("[yolo]\nanchors=1,1\nclasses=25\nignore_thresh=.7\ntruth_thresh=0.9")
    else {
        panic!("no yolo layer");
    };
    let expected = YoloLossOptions {
        ignore_threshold: 0.7,
        truth_threshold: 0.9,
        ..YoloLossOptions::default()
    };
    assert_eq!((got.loss, warnings), (expected, vec![]));

    let region = "[region]\nanchors=1,1\nclasses=25\nobject_scale=five\nthresh=-1\nrescore=yes\n\
        bias_match=\ncoord_scale=inf";
    let (Layer::Region(got), warnings) = parse(region) else {
        panic!("no region layer");
    };
    assert_eq!(got.loss, RegionLossOptions::default());
    let what = "not a number that training can use, the default counts";
    let expected = [
        format!("line 10, [region], object_scale: {what}"),
        format!("line 11, [region], thresh: {what}"),
        format!("line 12, [region], rescore: {what}"),
        "line 13, [region], bias_match: no value, ignored".to_owned(),
        format!("line 14, [region], coord_scale: {what}"),
    ];
    assert_eq!(warnings, expected);
}
