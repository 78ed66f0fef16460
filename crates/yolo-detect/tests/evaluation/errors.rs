//! Input that cannot be evaluated.

use image_data::{BBox, ObjectBox};
use yolo_detect::{Detection, Error, Evaluator, EvaluatorOptions};

use super::{detection, object};

fn evaluator() -> Evaluator {
    let mut evaluator = Evaluator::new(["a", "b"], EvaluatorOptions::default()).unwrap();
    evaluator.add(&[], &[]).unwrap();
    evaluator
}

/// The error for a picture, which leaves no trace.
#[track_caller]
fn error(truth: &[ObjectBox], detections: &[Detection]) -> Error {
    let mut evaluator = evaluator();
    let error = evaluator.add(truth, detections).unwrap_err();
    assert_eq!(evaluator.finish(), self::evaluator().finish());
    error
}

#[test]
fn numbers_that_are_not_finite() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let detections = [detection(0, 0.5, 0.0), detection(0, value, 0.0)];
        let got = error(&[object(0, 0.0)], &detections);
        let Error::EvaluatedNumber {
            picture: 1,
            what: "detection",
            index: 1,
            field: "score",
            ..
        } = got
        else {
            panic!("{got:?}");
        };
        for (edge, expected) in ["x1", "y1", "x2", "y2"].into_iter().enumerate() {
            let mut edges = [0.0, 0.0, 1.0, 1.0];
            edges[edge] = value;
            let [x1, y1, x2, y2] = edges;
            let bbox = BBox::from_xyxy(x1, y1, x2, y2);
            let wrong = [
                (
                    error(
                        &[],
                        &[Detection {
                            bbox,
                            ..detection(0, 0.5, 0.0)
                        }],
                    ),
                    "detection",
                ),
                (error(&[ObjectBox::new(0, bbox)], &[]), "object"),
            ];
            for (got, kind) in wrong {
                assert!(
                    matches!(
                        got,
                        Error::EvaluatedNumber { picture: 1, what, index: 0, field, .. }
                            if what == kind && field == expected
                    ),
                    "{got:?}"
                );
            }
        }
    }
}

#[test]
fn areas_that_are_none() {
    for area in [f64::NAN, f64::INFINITY, -1.0] {
        let got = error(
            &[ObjectBox {
                area: Some(area),
                ..object(0, 0.0)
            }],
            &[],
        );
        assert!(
            matches!(
                got,
                Error::EvaluatedNumber {
                    what: "object",
                    index: 0,
                    field: "area",
                    ..
                }
            ),
            "{got:?}"
        );
        let expected =
            format!("picture 1, object 0: area is {area}, expected a finite number of at least 0");
        assert_eq!(got.to_string(), expected);
    }
}

#[test]
fn unknown_classes() {
    for class in [2, usize::MAX] {
        for (got, kind) in [
            (error(&[object(class, 0.0)], &[]), "object"),
            (error(&[], &[detection(class, 0.5, 0.0)]), "detection"),
        ] {
            assert!(
                matches!(
                    got,
                    Error::EvaluatedClass { picture: 1, what, index: 0, class: c, classes: 2 }
                        if what == kind && c == class
                ),
                "{got:?}"
            );
            let expected =
                format!("picture 1, {kind} 0: the class is {class}, expected one of the 2 classes");
            assert_eq!(got.to_string(), expected);
        }
    }
}

#[test]
fn thresholds_outside_their_range() {
    for confusion_threshold in [f32::NAN, -0.1, 1.1] {
        let got = Evaluator::new(
            ["a"],
            EvaluatorOptions {
                confusion_threshold,
            },
        );
        assert!(matches!(
            got,
            Err(Error::Option {
                option: "confusion_threshold",
                ..
            })
        ));
    }
}

#[test]
fn boxes_without_area_are_no_error() {
    let mut evaluator = evaluator();
    for [x1, y1, x2, y2] in [
        [1.0, 1.0, 1.0, 1.0],
        [5.0, 5.0, 1.0, 1.0],
        [0.0, 0.0, f32::MAX, f32::MAX],
    ] {
        let bbox = BBox::from_xyxy(x1, y1, x2, y2);
        evaluator
            .add(
                &[ObjectBox::new(0, bbox)],
                &[Detection {
                    class: 0,
                    score: 0.5,
                    bbox,
                }],
            )
            .unwrap();
    }
    // Two objects that cannot be found, and one beyond COCO's largest area.
    let class = &evaluator.finish().per_class[0];
    assert_eq!((class.objects, class.ap50), (2, Some(0.0)));
}
