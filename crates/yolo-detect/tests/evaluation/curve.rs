//! Precision-recall curves and the best threshold, by hand.

use image_data::{ObjectBox, ObjectKind};
use proptest::prelude::*;
use yolo_detect::{ClassEvaluation, Detection, PrecisionRecall};

use super::{detection, evaluate, object, of_kind};

fn class(truth: Vec<ObjectBox>, detections: Vec<Detection>) -> ClassEvaluation {
    evaluate(1, &[(truth, detections)]).per_class.remove(0)
}

#[test]
fn a_curve_has_one_point_per_score() {
    let truth = vec![
        object(0, 0.0),
        object(0, 50.0),
        of_kind(ObjectKind::Difficult, object(0, 100.0)),
    ];
    let detections = vec![
        detection(0, 0.75, 0.0),
        detection(0, 0.5, 200.0),
        detection(0, 0.5, 50.0),
        detection(0, 0.375, 100.0), // Ignored: no point.
        detection(0, 0.25, 200.0),
    ];
    let got = class(truth, detections);
    let point = |score, precision, recall| PrecisionRecall {
        score,
        precision,
        recall,
    };
    let expected = [
        point(0.75, 1.0, 0.5),
        point(0.5, 2.0 / 3.0, 1.0),
        point(0.25, 0.5, 1.0),
    ];
    assert_eq!(got.curve, expected);
    assert_eq!(
        expected.map(|point| point.f1()),
        [2.0 / 3.0, 0.8, 2.0 / 3.0]
    );
    assert_eq!(point(0.5, 0.0, 0.0).f1(), 0.0);

    let best = got.best.unwrap();
    assert_eq!(
        (best.threshold, best.precision, best.recall),
        (0.375, 2.0 / 3.0, 1.0)
    );
    assert_eq!(best.f1(), 0.8);
}

#[test]
fn of_equal_f1_the_highest_threshold_is_the_best() {
    // F1 = 2 * 1 / (1 + 2) and 2 * 2 / (4 + 2).
    let truth = vec![object(0, 0.0), object(0, 50.0)];
    let detections = vec![
        detection(0, 0.875, 0.0),
        detection(0, 0.5, 200.0),
        detection(0, 0.5, 250.0),
        detection(0, 0.5, 50.0),
    ];
    let got = class(truth, detections);
    assert_eq!(got.curve[0].f1(), got.curve[1].f1());
    let best = got.best.unwrap();
    assert_eq!((best.threshold, best.recall), (0.6875, 0.5));
}

#[test]
fn without_a_find_there_is_no_best_threshold() {
    let got = class(vec![object(0, 0.0)], vec![detection(0, 0.5, 50.0)]);
    assert_eq!(got.best, None);
    assert_eq!(got.curve.len(), 1);
    assert_eq!(class(vec![object(0, 0.0)], vec![]).best, None);
}

#[test]
fn a_threshold_separates_neighbouring_scores() {
    for high in [
        0.5_f32,
        0.1,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        1.0,
        -0.25,
    ] {
        for low in [high.next_down(), high.next_down().next_down()] {
            let detections = vec![detection(0, high, 0.0), detection(0, low, 50.0)];
            let threshold = class(vec![object(0, 0.0)], detections)
                .best
                .unwrap()
                .threshold;
            assert!(
                high > threshold && low <= threshold,
                "{low} {threshold} {high}"
            );
        }
    }
}

proptest! {
    /// Evaluating the detections above the best threshold again gives the same precision and recall,
    /// and no threshold gives a higher F1.
    #[test]
    fn the_best_threshold_is_the_best(
        scores in prop::collection::vec((1u8..=12, 0u8..8), 1..30),
    ) {
        let truth: Vec<ObjectBox> = (0u8..5).map(|i| object(0, 50.0 * f32::from(i))).collect();
        // Those from the sixth place on find nothing, and neither does a second one at a place.
        let detections: Vec<Detection> = scores
            .iter()
            .map(|&(score, place)| detection(0, f32::from(score) / 12.0, 50.0 * f32::from(place)))
            .collect();
        let above = |threshold: f32| -> Vec<Detection> {
            let above = detections.iter().filter(|detection| detection.score > threshold);
            above.copied().collect()
        };
        let Some(best) = class(truth.clone(), detections.clone()).best else {
            return Ok(());
        };
        let last = *class(truth.clone(), above(best.threshold)).curve.last().unwrap();
        prop_assert_eq!((last.precision, last.recall), (best.precision, best.recall));
        for threshold in 0u8..12 {
            let threshold = (f32::from(threshold) + 0.5) / 12.0;
            if let Some(last) = class(truth.clone(), above(threshold)).curve.last() {
                prop_assert!(last.f1() <= best.f1());
            }
        }
    }
}
