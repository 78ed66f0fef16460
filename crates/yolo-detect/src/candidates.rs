//! The best of any number of detections, in bounded memory.

use crate::detection::Detection;

/// Collects detections, and keeps those with the highest scores where there are more than a limit.
/// Of equal scores, those that came first stay.
#[derive(Debug)]
pub(crate) struct Candidates {
    limit: usize,
    best: Vec<Detection>,
    /// A detection is not among the best unless its score is greater than this.
    cutoff: f32,
    seen: u64,
}

impl Candidates {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            best: Vec::new(),
            cutoff: f32::NEG_INFINITY,
            seen: 0,
        }
    }

    pub(crate) fn push(&mut self, detection: Detection) {
        self.seen += 1;
        if detection.score <= self.cutoff {
            return;
        }
        self.best.push(detection);
        // Sorting only then costs little for each.
        if self.best.len() >= self.limit.saturating_mul(2) {
            self.prune();
        }
    }

    fn prune(&mut self) {
        // Stable, so of equal scores the first stay first.
        self.best.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.best.truncate(self.limit);
        if let Some(last) = self.best.last() {
            self.cutoff = last.score;
        }
    }

    /// Returns the best detections and the number of the others. Without others, the best are in the
    /// order in which they came, else by falling score.
    pub(crate) fn finish(mut self) -> (Vec<Detection>, u64) {
        if self.best.len() > self.limit {
            self.prune();
        }
        let left_out = self.seen - self.best.len() as u64;
        (self.best, left_out)
    }
}

#[cfg(test)]
mod tests {
    use image_data::BBox;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_stay_and_of_equals_the_first(
            eighths in prop::collection::vec(0u8..=8, 0..200),
            limit in 1usize..50,
        ) {
            // The class tells when it came.
            let all: Vec<Detection> = eighths
                .iter()
                .enumerate()
                .map(|(class, &eighths)| Detection {
                    class,
                    score: f32::from(eighths) / 8.0,
                    bbox: BBox::default(),
                })
                .collect();
            let mut candidates = Candidates::new(limit);
            all.iter().for_each(|&detection| candidates.push(detection));
            let (best, left_out) = candidates.finish();
            let mut expected = all.clone();
            if all.len() > limit {
                expected.sort_by(|a, b| b.score.total_cmp(&a.score));
                expected.truncate(limit);
            }
            prop_assert_eq!(left_out as usize, all.len() - expected.len());
            let mut best = best;
            if left_out > 0 {
                best.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.class.cmp(&b.class)));
            }
            prop_assert_eq!(best, expected);
        }
    }
}
