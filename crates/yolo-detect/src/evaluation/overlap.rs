//! How much boxes overlap, in f64, as COCO's evaluation computes it.

use image_data::{BBox, ObjectBox, ObjectKind};

use crate::detection::Detection;

/// The least overlap that any rule accepts.
pub(super) const LEAST: f64 = 0.5;

/// An object that a detection may match, because it overlaps it by at least [`LEAST`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Its index among the objects.
    pub(super) object: usize,
    /// The intersection over union; for a crowd, the intersection over the detection's area.
    pub(super) overlap: f64,
}

/// The candidates of each detection, in the order of the objects.
pub(super) fn candidates(objects: &[&ObjectBox], detections: &[&Detection]) -> Vec<Vec<Candidate>> {
    let of_one = |detection: &&Detection| {
        let all = objects.iter().enumerate().map(|(index, object)| Candidate {
            object: index,
            overlap: match object.kind {
                ObjectKind::Plain | ObjectKind::Difficult => iou(detection.bbox, object.bbox),
                ObjectKind::Crowd => share_inside(detection.bbox, object.bbox),
            },
        });
        all.filter(|candidate| candidate.overlap >= LEAST).collect()
    };
    detections.iter().map(of_one).collect()
}

/// `width * height`, or 0 for an empty box. [`BBox::area`] is the same in f32.
pub(super) fn area(bbox: BBox) -> f64 {
    if bbox.is_empty() {
        return 0.0;
    }
    (f64::from(bbox.x2) - f64::from(bbox.x1)) * (f64::from(bbox.y2) - f64::from(bbox.y1))
}

/// The intersection over union of a detection and an object.
fn iou(detection: BBox, object: BBox) -> f64 {
    match common_area(detection, object) {
        0.0 => 0.0,
        common => common / (area(detection) + area(object) - common),
    }
}

/// The share of a detection's box that is in a crowd's.
fn share_inside(detection: BBox, crowd: BBox) -> f64 {
    match common_area(detection, crowd) {
        0.0 => 0.0,
        common => common / area(detection),
    }
}

fn common_area(a: BBox, b: BBox) -> f64 {
    a.intersection(b).map_or(0.0, area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_by_hand() {
        let of = BBox::from_xyxy;
        let detection = of(0.0, 0.0, 4.0, 2.0);
        for (object, expected_iou, expected_share) in [
            (detection, 1.0, 1.0),
            // 2 x 2 in common.
            (of(2.0, 0.0, 6.0, 2.0), 4.0 / 12.0, 0.5),
            (of(-8.0, -8.0, 8.0, 8.0), 8.0 / 256.0, 1.0),
            (of(1.0, 0.5, 2.0, 1.5), 0.125, 0.125),
            (of(4.0, 0.0, 8.0, 2.0), 0.0, 0.0),
            (of(3.0, 1.0, 2.0, 0.0), 0.0, 0.0),
            (of(1.0, 1.0, 1.0, 2.0), 0.0, 0.0),
        ] {
            assert_eq!(iou(detection, object), expected_iou, "{object:?}");
            assert_eq!(
                share_inside(detection, object),
                expected_share,
                "{object:?}"
            );
        }
        let empty = of(1.0, 1.0, 1.0, 1.0);
        assert_eq!(
            (
                area(empty),
                iou(empty, empty),
                share_inside(empty, detection)
            ),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn the_largest_and_the_smallest_boxes_have_areas() {
        let (largest, smallest) = (f32::MAX, f32::from_bits(1));
        for side in [largest, smallest] {
            let bbox = BBox::from_xyxy(0.0, 0.0, side, side);
            assert_eq!(area(bbox), f64::from(side).powi(2));
            assert_eq!(iou(bbox, bbox), 1.0);
        }
        let whole = BBox::from_xyxy(-largest, -largest, largest, largest);
        assert_eq!(iou(whole, whole), 1.0);
    }

    #[test]
    fn candidates_overlap_by_half_or_more() {
        let detection = Detection {
            class: 0,
            score: 0.5,
            bbox: BBox::from_xyxy(0.0, 0.0, 4.0, 2.0),
        };
        let object = |x1, x2, kind| ObjectBox {
            kind,
            ..ObjectBox::new(0, BBox::from_xyxy(x1, 0.0, x2, 2.0))
        };
        let objects = [
            object(2.0, 6.0, ObjectKind::Plain),
            object(2.0, 6.0, ObjectKind::Crowd),
            object(0.0, 8.0, ObjectKind::Difficult),
            object(0.0, 8.5, ObjectKind::Plain),
        ];
        let found = candidates(&objects.each_ref(), &[&detection]);
        let expected = [1, 2].map(|object| Candidate {
            object,
            overlap: 0.5,
        });
        assert_eq!(found, [expected]);
    }
}
