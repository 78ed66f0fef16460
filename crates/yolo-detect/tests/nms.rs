//! Non-maximum suppression compared with a different implementation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

use image_data::BBox;
use proptest::prelude::*;
use yolo_detect::{Detection, NmsScope, non_max_suppression};

/// The definition step by step: take the best remaining detection, remove those that it suppresses,
/// repeat. Quadratic, without sorting; classes are only compared, never grouped.
fn take_the_best_that_is_left(
    detections: &[Detection],
    threshold: f32,
    scope: NmsScope,
) -> Vec<usize> {
    let mut left: Vec<bool> = detections
        .iter()
        .map(|detection| detection.score > 0.0)
        .collect();
    let mut kept = Vec::new();
    loop {
        let mut best: Option<usize> = None;
        for (index, candidate) in detections.iter().enumerate() {
            if !left[index] {
                continue;
            }
            let is_better = best.is_none_or(|best| {
                let best = &detections[best];
                candidate.score > best.score
                    || candidate.score == best.score && candidate.class < best.class
            });
            if is_better {
                best = Some(index);
            }
        }
        let Some(best) = best else { return kept };
        kept.push(best);
        left[best] = false;
        for (index, other) in detections.iter().enumerate() {
            let competes = scope == NmsScope::AllClasses || other.class == detections[best].class;
            if competes && detections[best].bbox.iou(other.bbox) > threshold {
                left[index] = false;
            }
        }
    }
}

/// Generates detections with few distinct scores, so that there are ties; some scores are not
/// positive, and some boxes are invalid.
fn detections() -> impl Strategy<Value = Vec<Detection>> {
    let score = prop_oneof![
        6 => (1u8..=8).prop_map(|eighths| f32::from(eighths) / 8.0),
        1 => prop_oneof![Just(0.0), Just(-0.5), Just(f32::NAN)],
    ];
    let side = || prop_oneof![8 => 0.0f32..12.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)];
    let bbox = (0.0f32..16.0, 0.0f32..16.0, side(), side())
        .prop_map(|(cx, cy, width, height)| BBox::from_cxcywh(cx, cy, width, height));
    let detection =
        (0usize..3, score, bbox).prop_map(|(class, score, bbox)| Detection { class, score, bbox });
    prop::collection::vec(detection, 0..40)
}

fn scope() -> impl Strategy<Value = NmsScope> {
    prop_oneof![Just(NmsScope::PerClass), Just(NmsScope::AllClasses)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_reference(
        detections in detections(),
        threshold in prop_oneof![0.0f32..1.0, Just(0.0), Just(1.0)],
        scope in scope(),
    ) {
        prop_assert_eq!(
            non_max_suppression(&detections, threshold, scope),
            take_the_best_that_is_left(&detections, threshold, scope)
        );
    }

    #[test]
    fn what_stays_stays_when_it_is_alone(detections in detections(), scope in scope()) {
        let kept: Vec<Detection> =
            non_max_suppression(&detections, 0.45, scope).iter().map(|&i| detections[i]).collect();
        let again = non_max_suppression(&kept, 0.45, scope);
        prop_assert_eq!(again, (0..kept.len()).collect::<Vec<_>>());
    }
}

/// Returns three boxes of 10 x 10 in a row, each shifted by 2: neighbours share 80 of 120, the
/// outer two 60 of 140.
fn chain(scores: [f32; 3]) -> Vec<Detection> {
    let boxes = [0.0, 2.0, 4.0].map(|x| BBox::from_xywh(x, 0.0, 10.0, 10.0));
    boxes
        .into_iter()
        .zip(scores)
        .map(|(bbox, score)| Detection {
            class: 0,
            score,
            bbox,
        })
        .collect()
}

#[test]
fn a_box_that_went_suppresses_nothing() {
    // The first one suppresses the middle one, so the last is kept although it overlaps with the
    // middle one.
    let kept = non_max_suppression(&chain([0.9, 0.8, 0.7]), 0.5, NmsScope::PerClass);
    assert_eq!(kept, [0, 2]);
    // The middle one is the best and suppresses the other two.
    let kept = non_max_suppression(&chain([0.7, 0.9, 0.8]), 0.5, NmsScope::PerClass);
    assert_eq!(kept, [1]);
}

#[test]
fn the_threshold_itself_does_not_suppress() {
    let two = [
        BBox::from_xywh(0.0, 0.0, 2.0, 1.0),
        BBox::from_xywh(0.0, 0.0, 1.0, 1.0),
    ]
    .map(|bbox| Detection {
        class: 0,
        score: 0.5,
        bbox,
    });
    assert_eq!(two[0].bbox.iou(two[1].bbox), 0.5);
    assert_eq!(non_max_suppression(&two, 0.5, NmsScope::PerClass), [0, 1]);
    assert_eq!(non_max_suppression(&two, 0.49, NmsScope::PerClass), [0]);
}

#[test]
fn ties_go_to_the_lower_class_then_to_the_lower_index() {
    let bbox = BBox::from_xywh(0.0, 0.0, 1.0, 1.0);
    let found = [2, 1, 1].map(|class| Detection {
        class,
        score: 0.5,
        bbox,
    });
    assert_eq!(non_max_suppression(&found, 0.5, NmsScope::AllClasses), [1]);
    assert_eq!(non_max_suppression(&found, 0.5, NmsScope::PerClass), [1, 0]);
}
