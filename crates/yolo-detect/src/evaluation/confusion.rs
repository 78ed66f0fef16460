//! Which classes a detector takes for which.

use std::collections::BTreeMap;

use image_data::{ObjectBox, ObjectKind};

use super::by_falling_score;
use super::overlap::{Candidate, candidates};
use crate::detection::Detection;

/// How many objects of each class were detected as each class, at a score threshold and an IoU of 0.5.
///
/// Objects that were not found have the background as their detected class, and detections without an
/// object have it as their true class.
///
/// In each picture, the detections whose score exceeds the threshold are matched by falling score. Each
/// takes the plain object that it overlaps most among those that are free, of any class; of equal
/// overlaps, one of its own class, then the first. A detection that can only take a difficult object, or
/// is in a crowd, does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectionConfusion {
    classes: usize,
    /// By true and detected class; the background is the number after the last class.
    counts: BTreeMap<(usize, usize), u64>,
}

impl DetectionConfusion {
    /// The number of classes, without the background.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of objects of the class `truth` that were detected as the class `detected`. `None` is
    /// the background. Zero for a class that does not exist, and for the background as the background.
    #[must_use]
    pub fn count(&self, truth: Option<usize>, detected: Option<usize>) -> u64 {
        let index = |class: Option<usize>| match class {
            Some(class) if class >= self.classes => None,
            Some(class) => Some(class),
            None => Some(self.classes),
        };
        let key = index(truth).zip(index(detected));
        key.and_then(|key| self.counts.get(&key))
            .copied()
            .unwrap_or_default()
    }

    /// All counts: one row per true class, one column per detected class, the background last. Their
    /// number is the square of that of the classes.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<u64>> {
        let side = self.classes + 1;
        let mut rows = vec![vec![0; side]; side];
        for (&(truth, detected), &count) in &self.counts {
            rows[truth][detected] = count;
        }
        rows
    }

    pub(super) fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: BTreeMap::new(),
        }
    }

    /// Adds a picture.
    pub(super) fn add(&mut self, truth: &[ObjectBox], detections: &[Detection], threshold: f32) {
        let objects: Vec<&ObjectBox> = truth.iter().collect();
        let mut detections: Vec<&Detection> = detections
            .iter()
            .filter(|detection| detection.score > threshold)
            .collect();
        detections.sort_by(|a, b| by_falling_score(a.score, b.score));
        let background = self.classes;
        let mut taken = vec![false; objects.len()];
        for (detection, candidates) in detections.iter().zip(candidates(&objects, &detections)) {
            let is_free = |candidate: &&Candidate| {
                objects[candidate.object].kind == ObjectKind::Crowd || !taken[candidate.object]
            };
            let is_own = |candidate: &Candidate| objects[candidate.object].class == detection.class;
            let best = |plain: bool| {
                // `max_by` takes the last of equals.
                let free = candidates.iter().rev().filter(is_free);
                free.filter(|candidate| objects[candidate.object].kind.is_plain() == plain)
                    .max_by(|a, b| {
                        let by_overlap = a.overlap.total_cmp(&b.overlap);
                        by_overlap.then(is_own(a).cmp(&is_own(b)))
                    })
            };
            if let Some(object) = best(true) {
                taken[object.object] = true;
                self.count_one(objects[object.object].class, detection.class);
            } else if let Some(object) = best(false) {
                taken[object.object] = true;
            } else {
                self.count_one(background, detection.class);
            }
        }
        for (object, taken) in objects.iter().zip(taken) {
            if object.kind.is_plain() && !taken {
                self.count_one(object.class, background);
            }
        }
    }

    fn count_one(&mut self, truth: usize, detected: usize) {
        *self.counts.entry((truth, detected)).or_default() += 1;
    }
}
