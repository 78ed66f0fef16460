//! The metrics of detectors: against COCO's own program, against values computed by hand, and properties.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

#[path = "evaluation/coco.rs"]
mod coco;
#[path = "evaluation/confusion.rs"]
mod confusion;
#[path = "evaluation/curve.rs"]
mod curve;
#[path = "evaluation/errors.rs"]
mod errors;
#[path = "evaluation/properties.rs"]
mod properties;
#[path = "evaluation/voc.rs"]
mod voc;

use image_data::{BBox, ObjectBox, ObjectKind};
use yolo_detect::{Detection, Evaluation, Evaluator, EvaluatorOptions};

/// The objects and the detections of a picture.
type Picture = (Vec<ObjectBox>, Vec<Detection>);

/// A box of 10 x 10 whose left edge is at `x`: two of them that are `d` apart have an IoU of
/// `(10 - d) / (10 + d)`.
fn square(x: f32) -> BBox {
    BBox::from_xywh(x, 0.0, 10.0, 10.0)
}

fn object(class: usize, x: f32) -> ObjectBox {
    ObjectBox::new(class, square(x))
}

fn of_kind(kind: ObjectKind, object: ObjectBox) -> ObjectBox {
    ObjectBox { kind, ..object }
}

fn detection(class: usize, score: f32, x: f32) -> Detection {
    Detection {
        class,
        score,
        bbox: square(x),
    }
}

/// Evaluates pictures with classes called "0", "1", ...
fn evaluate(classes: usize, pictures: &[Picture]) -> Evaluation {
    let names = (0..classes).map(|class| class.to_string());
    let mut evaluator = Evaluator::new(names, EvaluatorOptions::default()).unwrap();
    for (truth, detections) in pictures {
        evaluator.add(truth, detections).unwrap();
    }
    evaluator.finish()
}

#[test]
fn json_has_the_main_metrics_and_null_for_what_is_missing() {
    let truth = vec![object(1, 0.0), object(1, 50.0)];
    let detections = vec![detection(1, 0.75, 0.0), detection(0, 0.5, 0.0)];
    let evaluation = evaluate(2, &[(truth, detections), (vec![], vec![])]);
    let json: serde_json::Value = serde_json::to_value(&evaluation).unwrap();
    // One of two objects: precision 1 at 51 of 101 recalls, at every IoU threshold.
    let ap = evaluation.coco.map.unwrap();
    assert!((ap - 51.0 / 101.0).abs() < 1e-15);
    let expected = serde_json::json!({
        "pictures": 2,
        "map50": 51.0 / 101.0,
        "map75": 51.0 / 101.0,
        "map": ap,
        "per_class": [
            {"name": "0", "objects": 0, "ap50": null, "ap75": null, "ap": null, "best": null},
            {
                "name": "1",
                "objects": 2,
                "ap50": 51.0 / 101.0,
                "ap75": 51.0 / 101.0,
                "ap": ap,
                "best": {"threshold": 0.75_f32.next_down(), "precision": 1.0, "recall": 0.5},
            },
        ],
    });
    assert_eq!(json, expected);
}

#[test]
fn nothing_has_no_metrics() {
    for pictures in [vec![], vec![(vec![], vec![detection(0, 0.5, 0.0)])]] {
        let evaluation = evaluate(1, &pictures);
        assert_eq!(evaluation.pictures, pictures.len() as u64);
        assert_eq!(evaluation.coco.in_coco_order(), [None; 12]);
        assert_eq!(evaluation.voc_map(), None);
        let class = &evaluation.per_class[0];
        assert_eq!((class.objects, class.voc, class.best), (0, None, None));
        assert!(class.curve.is_empty());
    }
    assert_eq!(evaluate(0, &[(vec![], vec![])]).per_class, []);
}
