//! The confusion matrix, by hand.

use image_data::{BBox, ObjectBox, ObjectKind};
use yolo_detect::{Detection, Evaluator, EvaluatorOptions};

use super::{detection, evaluate, object, of_kind};

/// The rows for two classes and the background.
fn rows(truth: Vec<ObjectBox>, detections: Vec<Detection>) -> Vec<Vec<u64>> {
    evaluate(2, &[(truth, detections)]).confusion.rows()
}

#[test]
fn found_confused_missed_and_imagined() {
    let truth = vec![
        object(0, 0.0),
        object(1, 50.0),
        object(1, 100.0),
        object(0, 150.0),
    ];
    let detections = vec![
        detection(0, 0.9, 1.0),    // found
        detection(0, 0.8, 51.0),   // an object of class 1
        detection(1, 0.7, 200.0),  // background
        detection(1, 0.25, 100.0), // does not exceed the threshold
        detection(1, 0.6, 101.0),  // found
    ];
    let picture = (truth, detections);
    let confusion = evaluate(2, &[picture.clone(), (vec![], vec![]), picture]).confusion;
    assert_eq!(confusion.rows(), [[2, 0, 2], [2, 2, 0], [0, 2, 0]]);
    assert_eq!(confusion.classes(), 2);
    for (truth, detected, expected) in [
        (Some(0), Some(0), 2),
        (Some(0), None, 2),
        (Some(1), Some(0), 2),
        (None, Some(1), 2),
        (Some(0), Some(1), 0),
        (None, None, 0),
        // Not the background, which follows the last class in the rows.
        (Some(0), Some(2), 0),
        (Some(2), Some(1), 0),
        (Some(usize::MAX), None, 0),
    ] {
        assert_eq!(
            confusion.count(truth, detected),
            expected,
            "{truth:?} {detected:?}"
        );
    }
}

#[test]
fn the_highest_score_takes_the_object() {
    let truth = || vec![object(0, 0.0)];
    let detections =
        |scores: [f32; 2]| vec![detection(0, scores[0], 0.0), detection(1, scores[1], 0.0)];
    assert_eq!(
        rows(truth(), detections([0.9, 0.8])),
        [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    );
    assert_eq!(
        rows(truth(), detections([0.8, 0.9])),
        [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    );
    // Of equal scores, the first.
    assert_eq!(
        rows(truth(), detections([0.8, 0.8])),
        [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    );
}

#[test]
fn of_equal_overlaps_the_own_class_is_taken_and_else_the_greatest() {
    let same_place = vec![object(0, 0.0), object(1, 0.0), object(0, 0.0)];
    let got = rows(same_place, vec![detection(1, 0.9, 0.0)]);
    assert_eq!(got, [[0, 0, 2], [0, 1, 0], [0, 0, 0]]);
    let apart = vec![object(0, 1.0), object(1, 2.0)];
    let got = rows(apart, vec![detection(1, 0.9, 1.0)]);
    assert_eq!(got, [[0, 1, 0], [0, 0, 1], [0, 0, 0]]);
}

#[test]
fn of_equal_overlaps_in_no_class_of_its_own_the_first_object_is_taken() {
    let mut evaluator = Evaluator::new(["a", "b", "c"], EvaluatorOptions::default()).unwrap();
    evaluator
        .add(&[object(1, 0.0), object(0, 0.0)], &[detection(2, 0.9, 0.0)])
        .unwrap();
    let confusion = evaluator.finish().confusion;
    assert_eq!(confusion.count(Some(1), Some(2)), 1);
}

#[test]
fn a_taken_object_leaves_the_next() {
    let truth = vec![object(0, 0.0), object(1, 2.0)];
    let detections = vec![detection(0, 0.9, 0.0), detection(0, 0.8, 0.0)];
    assert_eq!(rows(truth, detections), [[1, 0, 0], [1, 0, 0], [0, 0, 0]]);
}

#[test]
fn ignored_objects_count_neither_way() {
    let crowd = of_kind(
        ObjectKind::Crowd,
        ObjectBox::new(1, BBox::from_xywh(50.0, 0.0, 100.0, 10.0)),
    );
    let truth = vec![
        of_kind(ObjectKind::Difficult, object(0, 0.0)),
        crowd,
        object(1, 52.0),
    ];
    let detections = vec![
        detection(1, 0.9, 0.0),  // difficult
        detection(1, 0.8, 0.0),  // difficult, and taken
        detection(0, 0.7, 60.0), // in the crowd
        detection(0, 0.6, 70.0), // in the crowd
        detection(1, 0.5, 53.0), // the object in the crowd
    ];
    assert_eq!(rows(truth, detections), [[0, 0, 0], [0, 1, 0], [0, 1, 0]]);
}

#[test]
fn the_threshold_is_an_option() {
    let found = |confusion_threshold| {
        let options = EvaluatorOptions {
            confusion_threshold,
        };
        let mut evaluator = Evaluator::new(["a"], options).unwrap();
        evaluator
            .add(&[object(0, 0.0)], &[detection(0, 0.5, 0.0)])
            .unwrap();
        evaluator.finish().confusion.count(Some(0), Some(0))
    };
    assert_eq!((found(0.499), found(0.5)), (1, 0));
}
