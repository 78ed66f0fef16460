//! COCO's matching of detections to objects in one picture.

use image_data::{ObjectBox, ObjectKind};

use super::{IOU_THRESHOLDS, iou_threshold};
use crate::detection::Detection;
use crate::evaluation::overlap::{Candidate, area};

/// What a detection is under each of the IoU thresholds, a bit for each: where neither is set, it is a
/// false positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// It found an object: a true positive.
    pub(super) found: u16,
    /// It does not count.
    pub(super) ignored: u16,
}

/// Whether an object does not count for objects whose area is in this range, bounds included.
pub(super) fn is_ignored(object: &ObjectBox, range: [f64; 2]) -> bool {
    match object.kind {
        ObjectKind::Plain => is_outside(object.area.unwrap_or_else(|| area(object.bbox)), range),
        ObjectKind::Difficult | ObjectKind::Crowd => true,
    }
}

fn is_outside(area: f64, [least, most]: [f64; 2]) -> bool {
    area < least || area > most
}

/// Matches the detections of one class in one picture, given by falling score with their candidates.
///
/// Each detection takes the object that it overlaps most among those that count and are still free; of
/// equal overlaps, the last. If there is none, it takes an ignored object in the same way, and is then
/// ignored itself. A crowd remains free. A detection without a match is ignored if its own area is
/// outside the range.
pub(super) fn match_picture(
    objects: &[&ObjectBox],
    detections: &[&Detection],
    candidates: &[Vec<Candidate>],
    range: [f64; 2],
) -> Vec<Outcome> {
    let ignored: Vec<bool> = objects
        .iter()
        .map(|object| is_ignored(object, range))
        .collect();
    // A bit for each threshold.
    let mut taken = vec![0_u16; objects.len()];
    let pairs = detections.iter().zip(candidates);
    let outcomes = pairs.map(|(detection, candidates)| {
        let is_outside = is_outside(area(detection.bbox), range);
        let mut outcome = Outcome::default();
        for threshold in 0..IOU_THRESHOLDS {
            let bit = 1 << threshold;
            let least = iou_threshold(threshold);
            let is_free = |candidate: &&Candidate| {
                candidate.overlap >= least
                    && (objects[candidate.object].kind == ObjectKind::Crowd
                        || taken[candidate.object] & bit == 0)
            };
            let best = |among_ignored: bool| {
                let free = candidates.iter().filter(is_free);
                free.filter(|candidate| ignored[candidate.object] == among_ignored)
                    .max_by(|a, b| a.overlap.total_cmp(&b.overlap))
            };
            if let Some(object) = best(false) {
                taken[object.object] |= bit;
                outcome.found |= bit;
            } else if let Some(object) = best(true) {
                taken[object.object] |= bit;
                outcome.ignored |= bit;
            } else if is_outside {
                outcome.ignored |= bit;
            }
        }
        outcome
    });
    outcomes.collect()
}
