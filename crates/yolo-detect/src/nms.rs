//! Non-maximum suppression: of boxes that overlap much, only the one with the highest score stays.

mod kept;

use crate::detection::Detection;
use kept::Kept;

/// Which boxes compete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NmsScope {
    /// Boxes of the same class: a rider and a horse may overlap. What darknet does.
    #[default]
    PerClass,
    /// All boxes: one object per place.
    AllClasses,
}

/// Returns the indices of the detections that stay, by falling score.
///
/// Detections are taken from the highest score to the lowest. One stays unless its box has an
/// intersection over union greater than `threshold` with the box of one that stayed before it,
/// within `scope`. Of equal scores, the lower class goes first, then the lower index. Detections
/// whose score is not greater than 0 are left out, those with NaN among them. A box overlaps nothing
/// where one of its numbers is NaN, and where its area is not a number from 1e-30 to `f32::MAX`.
///
/// The time grows about linearly with the number of detections: a box is compared only with boxes
/// of similar size and place, which changes no result. It approaches the square of the number only
/// where very many boxes overlap much and stay all the same, with a `threshold` near 1, or where
/// sizes differ by orders of magnitude and `threshold` is near 0.
///
/// ```
/// use image_data::BBox;
/// use yolo_detect::{Detection, NmsScope, non_max_suppression};
///
/// let detection = |class, score, x| Detection {
///     class,
///     score,
///     bbox: BBox::from_xywh(x, 0.0, 10.0, 10.0),
/// };
/// // Moved by 2 of 10: the intersection is 80, the union 120.
/// let found = [detection(0, 0.6, 0.0), detection(0, 0.9, 2.0), detection(1, 0.8, 2.0)];
/// assert_eq!(non_max_suppression(&found, 0.5, NmsScope::PerClass), [1, 2]);
/// assert_eq!(non_max_suppression(&found, 0.5, NmsScope::AllClasses), [1]);
/// assert_eq!(non_max_suppression(&found, 0.7, NmsScope::PerClass), [1, 2, 0]);
/// ```
#[must_use]
pub fn non_max_suppression(
    detections: &[Detection],
    threshold: f32,
    scope: NmsScope,
) -> Vec<usize> {
    let order = |&a: &usize, &b: &usize| {
        let (first, second) = (&detections[a], &detections[b]);
        let score = second.score.total_cmp(&first.score);
        score.then(first.class.cmp(&second.class)).then(a.cmp(&b))
    };
    let group = |&index: &usize| match scope {
        NmsScope::PerClass => detections[index].class,
        NmsScope::AllClasses => 0,
    };
    let mut candidates: Vec<usize> = (0..detections.len())
        .filter(|&index| detections[index].score > 0.0)
        .collect();
    candidates.sort_unstable_by(|a, b| group(a).cmp(&group(b)).then_with(|| order(a, b)));

    let mut stay: Vec<usize> = Vec::new();
    for competitors in candidates.chunk_by(|a, b| group(a) == group(b)) {
        let mut kept = Kept::new(threshold);
        for &index in competitors {
            if kept.add(detections[index].bbox) {
                stay.push(index);
            }
        }
    }
    stay.sort_unstable_by(order);
    stay
}
