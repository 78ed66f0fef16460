//! PASCAL VOC's metrics: average precision at an IoU of 0.5, by two interpolations.

use image_data::{ObjectBox, ObjectKind};

use super::by_falling_score;
use super::envelope::{Step, envelope};
use super::overlap::Candidate;
use crate::detection::Detection;

/// The average precision of a class by PASCAL VOC's rules, or its mean over the classes.
///
/// Both interpolate the precision: at a recall r, it is the greatest at a recall of at least r, or 0
/// where r is not reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VocAp {
    /// The mean at the recalls 0, 0.1, ..., 1: the rule up to VOC 2009.
    pub eleven_point: f64,
    /// The area under the curve: the rule since VOC 2010.
    pub all_point: f64,
}

/// What the pictures so far hold of one class.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// The plain objects.
    objects: u64,
    /// The detections that count: the score, and whether an object was found.
    detections: Vec<(f32, bool)>,
}

impl Tally {
    /// Adds a picture: its objects and detections of the class, these by falling score, with their
    /// candidates.
    ///
    /// A detection belongs to the object that it overlaps most; of equal overlaps, the first. If another
    /// has found that object already, it is a false positive. It does not count if the object is
    /// difficult, or if it belongs to no object but is in a crowd.
    pub(super) fn add(
        &mut self,
        objects: &[&ObjectBox],
        detections: &[&Detection],
        candidates: &[Vec<Candidate>],
    ) {
        let plain = objects.iter().filter(|object| object.kind.is_plain());
        self.objects += plain.count() as u64;
        let kind = |candidate: &Candidate| objects[candidate.object].kind;
        let mut taken = vec![false; objects.len()];
        for (detection, candidates) in detections.iter().zip(candidates) {
            // `max_by` takes the last of equals.
            let best = candidates
                .iter()
                .rev()
                .filter(|candidate| kind(candidate) != ObjectKind::Crowd)
                .max_by(|a, b| a.overlap.total_cmp(&b.overlap));
            let hit = match best.map(|best| (best.object, kind(best))) {
                Some((object, ObjectKind::Plain)) => !std::mem::replace(&mut taken[object], true),
                Some((_, ObjectKind::Difficult | ObjectKind::Crowd)) => continue,
                // Only crowds are left.
                None if !candidates.is_empty() => continue,
                None => false,
            };
            self.detections.push((detection.score, hit));
        }
    }

    /// The average precision; `None` without objects.
    pub(super) fn finish(mut self) -> Option<VocAp> {
        if self.objects == 0 {
            return None;
        }
        self.detections
            .sort_by(|(a, _), (b, _)| by_falling_score(*a, *b));
        let steps = envelope(self.detections.iter().map(|(_, hit)| *hit));
        Some(VocAp {
            eleven_point: eleven_point(&steps, self.objects),
            all_point: all_point(&steps, self.objects),
        })
    }
}

/// The mean of the interpolated precision at the recalls 0, 0.1, ..., 1.
fn eleven_point(steps: &[Step], objects: u64) -> f64 {
    let precision = |tenths: u64| {
        // `found / objects >= tenths / 10`, without rounding.
        let step = steps.partition_point(|step| 10 * step.found < tenths * objects);
        steps.get(step).map_or(0.0, |step| step.precision)
    };
    (0..=10).map(precision).sum::<f64>() / 11.0
}

/// The integral of the interpolated precision over the recall. Each object that is found adds `1 /
/// objects` to the recall.
fn all_point(steps: &[Step], objects: u64) -> f64 {
    let mut found = 0;
    let mut sum = 0.0;
    for step in steps {
        if step.found > found {
            sum += step.precision;
            found = step.found;
        }
    }
    sum / objects as f64
}
