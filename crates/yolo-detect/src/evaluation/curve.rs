//! Precision and recall at every score threshold, and the best of these thresholds.

use serde::Serialize;

/// A point of a precision-recall curve: what is true of the detections whose score is at least `score`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// The lowest score of these detections.
    pub score: f32,
    /// The share of the detections that found an object.
    pub precision: f64,
    /// The share of the objects that were found.
    pub recall: f64,
}

impl PrecisionRecall {
    /// The harmonic mean of precision and recall, `2 p r / (p + r)`; 0 if both are 0.
    #[must_use]
    pub fn f1(&self) -> f64 {
        f1(self.precision, self.recall)
    }
}

/// The score threshold of a class at which the F1 is highest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestThreshold {
    /// The threshold that scores must exceed: the middle between the lowest score above it and the next
    /// score below. If there is none below, the greatest number below the lowest score.
    pub threshold: f32,
    /// The precision with this threshold.
    pub precision: f64,
    /// The recall with this threshold.
    pub recall: f64,
}

impl BestThreshold {
    /// The harmonic mean of precision and recall.
    #[must_use]
    pub fn f1(&self) -> f64 {
        f1(self.precision, self.recall)
    }
}

fn f1(precision: f64, recall: f64) -> f64 {
    match precision + recall {
        0.0 => 0.0,
        sum => 2.0 * precision * recall / sum,
    }
}

/// The curve of detections by falling score, each of which is a true positive (`true`) or a false one:
/// one point per score. Empty without objects.
pub(super) fn precision_recall(
    ranked: impl Iterator<Item = (f32, bool)>,
    objects: u64,
) -> Vec<PrecisionRecall> {
    let mut curve: Vec<PrecisionRecall> = Vec::new();
    if objects == 0 {
        return curve;
    }
    let mut found = 0_u64;
    for (counted, (score, hit)) in (1_u64..).zip(ranked) {
        found += u64::from(hit);
        let point = PrecisionRecall {
            score,
            precision: found as f64 / counted as f64,
            recall: found as f64 / objects as f64,
        };
        match curve.last_mut() {
            Some(last) if last.score == score => *last = point,
            _ => curve.push(point),
        }
    }
    curve
}

/// The threshold of the point with the highest F1; of equals, the one with the highest score. `None` if
/// no object was found.
pub(super) fn best_threshold(curve: &[PrecisionRecall]) -> Option<BestThreshold> {
    let best = (0..curve.len())
        .rev()
        .max_by(|&a, &b| curve[a].f1().total_cmp(&curve[b].f1()))?;
    let point = curve[best];
    (point.recall > 0.0).then(|| BestThreshold {
        threshold: curve.get(best + 1).map_or(point.score.next_down(), |next| {
            between(next.score, point.score)
        }),
        precision: point.precision,
        recall: point.recall,
    })
}

/// The middle of two scores, as a threshold that `high` exceeds and `low` does not.
fn between(low: f32, high: f32) -> f32 {
    let middle = f64::midpoint(low.into(), high.into()) as f32;
    // Where the two are neighbours, the middle is rounded to either.
    if middle < high { middle } else { low }
}
