//! PASCAL VOC's average precision, by hand and against the definition.

use image_data::{BBox, ObjectBox, ObjectKind};
use proptest::prelude::*;
use yolo_detect::{Detection, VocAp};

use super::{detection, evaluate, object, of_kind};

fn voc(truth: Vec<ObjectBox>, detections: Vec<Detection>) -> VocAp {
    evaluate(1, &[(truth, detections)]).voc_map().unwrap()
}

#[track_caller]
fn assert_ap(got: VocAp, eleven_point: f64, all_point: f64) {
    // A few roundings of numbers up to 1.
    let is_close = |a: f64, b: f64| (a - b).abs() < 1e-14;
    assert!(
        is_close(got.eleven_point, eleven_point),
        "{got:?}, expected {eleven_point}"
    );
    assert!(
        is_close(got.all_point, all_point),
        "{got:?}, expected {all_point}"
    );
}

#[test]
fn both_interpolations_by_hand() {
    // Found, false, found; one of three objects is missed.
    let truth = vec![object(0, 0.0), object(0, 50.0), object(0, 100.0)];
    let detections = vec![
        detection(0, 0.7, 50.0),
        detection(0, 0.9, 0.0),
        detection(0, 0.8, 200.0),
    ];
    // Precision 1 up to recall 1/3 (0, 0.1, 0.2, 0.3), 2/3 up to 2/3 (0.4, 0.5, 0.6), then 0.
    let ap = voc(truth, detections);
    assert_ap(ap, (4.0 + 3.0 * 2.0 / 3.0) / 11.0, (1.0 + 2.0 / 3.0) / 3.0);
}

#[test]
fn a_recall_of_three_tenths_reaches_the_fourth_point() {
    // In floating point, 3 * 0.1 is greater than 3 / 10.
    let truth = (0..10).map(|i| object(0, 50.0 * i as f32)).collect();
    let detections = (0..3).map(|i| detection(0, 0.9, 50.0 * i as f32)).collect();
    assert_ap(voc(truth, detections), 4.0 / 11.0, 0.3);
}

#[test]
fn nothing_found_and_everything_found() {
    assert_ap(voc(vec![object(0, 0.0)], vec![]), 0.0, 0.0);
    assert_ap(
        voc(vec![object(0, 0.0)], vec![detection(0, 0.9, 9.0)]),
        0.0,
        0.0,
    );
    assert_ap(
        voc(vec![object(0, 0.0)], vec![detection(0, 0.9, 0.0)]),
        1.0,
        1.0,
    );
}

#[test]
fn an_iou_of_one_half_is_enough() {
    // 10 wide in 20 wide.
    let truth = |width| vec![ObjectBox::new(0, BBox::from_xywh(0.0, 0.0, width, 10.0))];
    assert_ap(voc(truth(20.0), vec![detection(0, 0.9, 0.0)]), 1.0, 1.0);
    assert_ap(voc(truth(20.1), vec![detection(0, 0.9, 0.0)]), 0.0, 0.0);
}

#[test]
fn the_second_detection_of_an_object_is_false_even_if_it_overlaps_another() {
    // The second one overlaps the first object by 9 / 11, the second by 8 / 12.
    let truth = vec![object(0, 0.0), object(0, 3.0)];
    let detections = vec![detection(0, 0.9, 0.0), detection(0, 0.8, 1.0)];
    assert_ap(voc(truth.clone(), detections), 6.0 / 11.0, 0.5);
    // Nearer to the second object, it finds that.
    let detections = vec![detection(0, 0.9, 0.0), detection(0, 0.8, 2.0)];
    assert_ap(voc(truth, detections), 1.0, 1.0);
}

#[test]
fn of_equal_overlaps_the_first_object_is_taken() {
    let detections = || vec![detection(0, 0.9, 1.0), detection(0, 0.8, 2.0)];
    // The first detection overlaps both alike; the second one overlaps the object at 2 most.
    assert_ap(
        voc(vec![object(0, 0.0), object(0, 2.0)], detections()),
        1.0,
        1.0,
    );
    assert_ap(
        voc(vec![object(0, 2.0), object(0, 0.0)], detections()),
        6.0 / 11.0,
        0.5,
    );
}

#[test]
fn difficult_objects_count_neither_way() {
    let truth = vec![
        object(0, 0.0),
        of_kind(ObjectKind::Difficult, object(0, 50.0)),
    ];
    let detections = vec![
        detection(0, 0.9, 50.0),
        detection(0, 0.8, 50.0),
        detection(0, 0.7, 0.0),
    ];
    assert_ap(voc(truth, detections), 1.0, 1.0);
    let only = vec![of_kind(ObjectKind::Difficult, object(0, 0.0))];
    let evaluation = evaluate(1, &[(only, vec![detection(0, 0.9, 0.0)])]);
    assert_eq!(evaluation.voc_map(), None);
}

#[test]
fn a_detection_in_a_crowd_is_not_false_unless_it_repeats_an_object() {
    let crowd = ObjectBox {
        kind: ObjectKind::Crowd,
        ..ObjectBox::new(0, BBox::from_xywh(0.0, 0.0, 100.0, 10.0))
    };
    let truth = vec![crowd, object(0, 0.0)];
    let inside = [detection(0, 0.9, 50.0), detection(0, 0.8, 60.0)];
    let found = [detection(0, 0.7, 0.0)];
    let all = inside.iter().chain(&found).copied().collect();
    assert_ap(voc(truth.clone(), all), 1.0, 1.0);
    // The crowd overlaps a detection of the object more than the object itself, and is not taken.
    assert_ap(voc(truth.clone(), vec![detection(0, 0.7, 1.0)]), 1.0, 1.0);
    let repeated = vec![detection(0, 0.9, 0.0), detection(0, 0.8, 1.0)];
    assert_ap(
        voc(vec![object(0, 200.0), truth[0], truth[1]], repeated),
        6.0 / 11.0,
        0.5,
    );
}

#[test]
fn more_than_a_hundred_detections_count() {
    let others = std::iter::repeat_n(detection(0, 0.9, 50.0), 150);
    let detections = others.chain([detection(0, 0.8, 0.0)]).collect();
    let precision = 1.0 / 151.0;
    assert_ap(voc(vec![object(0, 0.0)], detections), precision, precision);
}

#[test]
fn the_mean_is_over_the_classes_with_objects() {
    let truth = vec![object(0, 0.0), object(2, 50.0)];
    let detections = vec![detection(0, 0.9, 0.0), detection(1, 0.9, 0.0)];
    let evaluation = evaluate(3, &[(truth, detections)]);
    assert_ap(evaluation.voc_map().unwrap(), 0.5, 0.5);
    assert_eq!(evaluation.per_class[1].voc, None);
    assert_ap(evaluation.per_class[2].voc.unwrap(), 0.0, 0.0);
}

/// The definition: at each recall, search the greatest precision at that recall or a higher one.
fn by_definition(hits: &[bool], objects: usize) -> VocAp {
    let found = |count: usize| hits[..count].iter().filter(|hit| **hit).count();
    let precision = |reached: &dyn Fn(usize) -> bool| {
        let counts = (1..=hits.len()).filter(|&count| reached(found(count)));
        counts
            .map(|count| found(count) as f64 / count as f64)
            .fold(0.0, f64::max)
    };
    let tenths = (0..=10).map(|tenths| precision(&|found| 10 * found >= tenths * objects));
    let each = (1..=objects).map(|wanted| precision(&|found| found >= wanted));
    VocAp {
        eleven_point: tenths.sum::<f64>() / 11.0,
        all_point: each.sum::<f64>() / objects as f64,
    }
}

proptest! {
    #[test]
    fn agrees_with_the_definition(
        hits in prop::collection::vec(any::<bool>(), 0..40),
        missed in 0usize..8,
    ) {
        let found = hits.iter().filter(|hit| **hit).count();
        prop_assume!(found + missed > 0);
        // Far from each other, so that each detection finds its own object or none.
        let x = |index: usize| 50.0 * index as f32;
        let detections = hits.iter().enumerate().map(|(i, _)| detection(0, 1.0 / (i + 2) as f32, x(i)));
        let objects = hits.iter().enumerate().filter(|(_, hit)| **hit).map(|(i, _)| object(0, x(i)));
        let others = (0..missed).map(|i| object(0, x(100 + i)));
        let got = voc(objects.chain(others).collect(), detections.collect());
        let expected = by_definition(&hits, found + missed);
        assert_ap(got, expected.eleven_point, expected.all_point);
    }
}
