//! Non-maximum suppression: of boxes that overlap much, the one with the highest score stays.

use crate::detection::Detection;

/// Which boxes compete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NmsScope {
    /// Boxes of one class: a rider and a horse may share a place. What darknet does.
    #[default]
    PerClass,
    /// All boxes: one object a place.
    AllClasses,
}

/// The detections that stay, as indices by falling score.
///
/// From the highest score down, a detection stays unless its box has an intersection over union
/// greater than `threshold` with one that stayed before it, within `scope`. Of equal scores, the
/// lower class goes first, then the lower index, so the result depends on nothing else. Detections
/// whose score is not over 0 (NaN too) are left out; a box with NaN overlaps nothing.
///
/// `O(n^2)` comparisons in the worst case, within a class for [`NmsScope::PerClass`].
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

    let mut kept: Vec<usize> = Vec::new();
    for competitors in candidates.chunk_by(|a, b| group(a) == group(b)) {
        let before = kept.len();
        for &index in competitors {
            let bbox = detections[index].bbox;
            let covered = |&other: &usize| detections[other].bbox.iou(bbox) > threshold;
            if !kept[before..].iter().any(covered) {
                kept.push(index);
            }
        }
    }
    kept.sort_unstable_by(order);
    kept
}
