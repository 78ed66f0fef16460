//! What holds for the metrics of any pictures.

use image_data::{BBox, ObjectBox, ObjectKind};
use proptest::prelude::*;
use yolo_detect::{Detection, Evaluation};

use super::{Picture, evaluate};

const CLASSES: usize = 3;

fn bbox() -> impl Strategy<Value = BBox> {
    (0u8..40, 0u8..40, 1u8..120, 1u8..120)
        .prop_map(|(x, y, w, h)| BBox::from_xywh(x.into(), y.into(), w.into(), h.into()))
}

fn object() -> impl Strategy<Value = ObjectBox> {
    let kind = prop_oneof![
        6 => Just(ObjectKind::Plain),
        1 => Just(ObjectKind::Difficult),
        1 => Just(ObjectKind::Crowd),
    ];
    let area = prop::option::weighted(0.3, 0.0..20_000.0);
    (0..CLASSES, bbox(), kind, area).prop_map(|(class, bbox, kind, area)| ObjectBox {
        class,
        bbox,
        kind,
        area,
    })
}

/// Pictures whose detections have different scores from 0.1 to 1: the order decides nothing.
fn pictures() -> impl Strategy<Value = Vec<Picture>> {
    let detection = (
        0..CLASSES,
        bbox(),
        any::<u16>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    );
    let picture = (
        prop::collection::vec(object(), 0..8),
        prop::collection::vec(detection, 0..20),
    );
    prop::collection::vec(picture, 1..6).prop_map(|pictures| {
        let mut number = 0.0_f32;
        let pictures = pictures.into_iter().map(|(objects, detections)| {
            let detections = detections
                .into_iter()
                .map(|(class, bbox, score, at, is_near)| {
                    number += 1.0;
                    // Less than 1 / 65536 apart, but more than the rounding of a number below 2.
                    let score = 0.1 + 0.8 * f32::from(score) / 65536.0 + number / 1_048_576.0;
                    match is_near && !objects.is_empty() {
                        true => {
                            let object: &ObjectBox = at.get(&objects);
                            Detection {
                                class: object.class,
                                score,
                                bbox: object.bbox,
                            }
                        }
                        false => Detection { class, score, bbox },
                    }
                });
            let detections = detections.collect();
            (objects, detections)
        });
        pictures.collect()
    })
}

/// All average precisions.
fn precisions(evaluation: &Evaluation) -> Vec<Option<f64>> {
    let summary = &evaluation.coco.in_coco_order()[..6];
    let classes = evaluation.per_class.iter().flat_map(|class| {
        let voc = class.voc;
        [
            class.ap50,
            class.ap75,
            class.ap,
            voc.map(|ap| ap.eleven_point),
            voc.map(|ap| ap.all_point),
        ]
    });
    summary.iter().copied().chain(classes).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_order_of_pictures_and_detections_changes_nothing(
        pictures in pictures(),
        first in any::<prop::sample::Index>(),
    ) {
        let mut scores: Vec<f32> = pictures
            .iter()
            .flat_map(|(_, detections)| detections.iter().map(|detection| detection.score))
            .collect();
        scores.sort_by(f32::total_cmp);
        prop_assume!(scores.windows(2).all(|pair| pair[0] < pair[1]));
        let mut moved = pictures.clone();
        moved.rotate_left(first.index(pictures.len()));
        for (_, detections) in &mut moved {
            detections.reverse();
        }
        prop_assert_eq!(evaluate(CLASSES, &moved), evaluate(CLASSES, &pictures));
    }

    #[test]
    fn every_metric_is_a_share(pictures in pictures()) {
        let evaluation = evaluate(CLASSES, &pictures);
        let all = precisions(&evaluation).into_iter().chain(evaluation.coco.in_coco_order());
        for metric in all.flatten() {
            // Means of at most 1010 numbers up to 1.
            prop_assert!((0.0..=1.0 + 1e-12).contains(&metric), "{}", metric);
        }
        for class in &evaluation.per_class {
            prop_assert!(class.curve.is_sorted_by(|a, b| a.score > b.score && a.recall <= b.recall));
        }
    }

    /// Every object counts once in the confusion matrix, and every detection at most once.
    #[test]
    fn the_confusion_matrix_counts_every_object(pictures in pictures()) {
        let evaluation = evaluate(CLASSES, &pictures);
        let rows = evaluation.confusion.rows();
        for class in 0..CLASSES {
            let objects = pictures.iter().flat_map(|(truth, _)| truth);
            let objects = objects.filter(|object| object.class == class && object.kind.is_plain());
            prop_assert_eq!(rows[class].iter().sum::<u64>(), objects.count() as u64);
            let detections = pictures.iter().flat_map(|(_, detections)| detections);
            let detections = detections.filter(|d| d.class == class && d.score > 0.25);
            prop_assert!(rows.iter().map(|row| row[class]).sum::<u64>() <= detections.count() as u64);
        }
    }

    #[test]
    fn perfect_detections_have_a_precision_and_a_recall_of_one(
        truth in prop::collection::vec(prop::collection::vec(object(), 0..8), 1..6),
    ) {
        let pictures: Vec<Picture> = truth
            .into_iter()
            .map(|mut objects| {
                // Each object has another place, so that none is detected in the place of another.
                for (index, object) in objects.iter_mut().enumerate() {
                    let (x, width) = (200.0 * index as f32, object.bbox.width());
                    object.bbox = BBox { x1: x, x2: x + width, ..object.bbox };
                }
                let detections = objects.iter().map(|object| Detection {
                    class: object.class,
                    score: 0.5,
                    bbox: object.bbox,
                });
                let detections = detections.collect();
                (objects, detections)
            })
            .collect();
        let evaluation = evaluate(CLASSES, &pictures);
        let coco = &evaluation.coco;
        let recalls = [coco.ar_100, coco.ar_small, coco.ar_medium, coco.ar_large];
        for metric in precisions(&evaluation).into_iter().chain(recalls).flatten() {
            prop_assert!((metric - 1.0).abs() < 1e-12, "{}", metric);
        }
        for class in &evaluation.per_class {
            if let Some(best) = class.best {
                prop_assert_eq!((best.precision, best.recall), (1.0, 1.0));
            }
        }
    }

    #[test]
    fn a_false_positive_with_the_lowest_score_changes_no_precision(
        pictures in pictures(),
        class in 0..CLASSES,
        at in any::<prop::sample::Index>(),
    ) {
        let before = evaluate(CLASSES, &pictures);
        let mut more = pictures;
        let index = at.index(more.len());
        // Far from every object.
        let bbox = BBox::from_xywh(1000.0, 1000.0, 10.0, 10.0);
        more[index].1.push(Detection { class, score: 0.05, bbox });
        let after = evaluate(CLASSES, &more);
        prop_assert_eq!(precisions(&after), precisions(&before));
    }

    /// In the place of every rank, a false positive never raises an average precision.
    #[test]
    fn a_false_positive_raises_no_precision(
        pictures in pictures(),
        class in 0..CLASSES,
        score in 0.0f32..1.2,
        at in any::<prop::sample::Index>(),
    ) {
        let before = evaluate(CLASSES, &pictures);
        let mut more = pictures;
        let index = at.index(more.len());
        let bbox = BBox::from_xywh(1000.0, 1000.0, 10.0, 10.0);
        more[index].1.push(Detection { class, score, bbox });
        let after = evaluate(CLASSES, &more);
        for (after, before) in precisions(&after).into_iter().zip(precisions(&before)) {
            prop_assert!(after <= before, "{:?} {:?}", after, before);
        }
    }
}
