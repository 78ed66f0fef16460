//! Boxes around objects, and the overlap of two boxes.

use serde::{Deserialize, Serialize};

/// A box with sides parallel to the axes: its left, top, right and bottom edge.
///
/// Coordinates are continuous: `x` runs from 0 at the left edge of the leftmost pixel to the
/// picture's width at the right edge of the rightmost pixel, and `y` likewise downwards. So the box
/// `(0, 0, 1, 1)` is exactly the first pixel, and the width is `x2 - x1`, without a `+ 1`.
///
/// Any four numbers are a valid box. If an edge is NaN, `x1 >= x2` or `y1 >= y2`, the box is
/// [empty](Self::is_empty): its area is 0, and so is its overlap with any other box.
///
/// As JSON: `{"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BBox {
    /// Left edge.
    pub x1: f32,
    /// Top edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Bottom edge.
    pub y2: f32,
}

impl BBox {
    /// Creates a box from its left, top, right and bottom edge.
    #[must_use]
    pub fn from_xyxy(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Self { x1, y1, x2, y2 }
    }

    /// Creates a box from its top left corner and its size, as COCO stores boxes.
    #[must_use]
    pub fn from_xywh(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self::from_xyxy(x, y, x + width, y + height)
    }

    /// Creates a box from its centre and its size, as YOLO predicts and stores boxes.
    ///
    /// ```
    /// # use image_data::BBox;
    /// let bbox = BBox::from_cxcywh(5.0, 4.0, 4.0, 2.0);
    /// assert_eq!(bbox, BBox::from_xyxy(3.0, 3.0, 7.0, 5.0));
    /// assert_eq!(bbox, BBox::from_xywh(3.0, 3.0, 4.0, 2.0));
    /// assert_eq!(bbox.to_cxcywh(), [5.0, 4.0, 4.0, 2.0]);
    /// ```
    #[must_use]
    pub fn from_cxcywh(cx: f32, cy: f32, width: f32, height: f32) -> Self {
        Self::from_xyxy(
            cx - width / 2.0,
            cy - height / 2.0,
            cx + width / 2.0,
            cy + height / 2.0,
        )
    }

    /// Returns the centre and the size: `[cx, cy, width, height]`.
    #[must_use]
    pub fn to_cxcywh(self) -> [f32; 4] {
        let middle = |low: f32, high: f32| low + (high - low) / 2.0;
        [
            middle(self.x1, self.x2),
            middle(self.y1, self.y2),
            self.width(),
            self.height(),
        ]
    }

    /// Returns `x2 - x1`, which is negative if the edges are swapped.
    #[must_use]
    pub fn width(self) -> f32 {
        self.x2 - self.x1
    }

    /// Returns `y2 - y1`, which is negative if the edges are swapped.
    #[must_use]
    pub fn height(self) -> f32 {
        self.y2 - self.y1
    }

    /// Whether the box encloses nothing: true unless `x1 < x2` and `y1 < y2`.
    #[must_use]
    pub fn is_empty(self) -> bool {
        // The comparisons are false for NaN.
        !(self.x1 < self.x2 && self.y1 < self.y2)
    }

    /// Returns `width * height`, or 0 for an empty box.
    #[must_use]
    pub fn area(self) -> f32 {
        if self.is_empty() {
            0.0
        } else {
            self.width() * self.height()
        }
    }

    /// Returns the intersection of the two boxes, or `None` if it is empty.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        if self.is_empty() || other.is_empty() {
            return None;
        }
        let common = Self {
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            x2: self.x2.min(other.x2),
            y2: self.y2.min(other.y2),
        };
        (!common.is_empty()).then_some(common)
    }

    /// Returns the intersection over union: the area in both boxes, divided by the area in either.
    ///
    /// The value runs from 0 for disjoint boxes to 1 for equal ones. It is 0 if either box is empty
    /// or the areas are too large or too small for `f32`.
    ///
    /// ```
    /// # use image_data::BBox;
    /// let a = BBox::from_xyxy(0.0, 0.0, 20.0, 20.0);
    /// let b = BBox::from_xyxy(2.0, 2.0, 22.0, 22.0);
    /// assert_eq!(a.iou(b), 324.0 / 476.0); // 18 * 18 of 400 + 400 - 324
    /// ```
    #[must_use]
    pub fn iou(self, other: Self) -> f32 {
        let common = self.intersection(other).map_or(0.0, Self::area);
        let iou = common / (self.area() + other.area() - common);
        if iou.is_finite() { iou } else { 0.0 }
    }

    /// Returns the box with each edge clamped to a picture of size `[h, w]`. A box outside the
    /// picture ends up without width or height on its edge; an edge that is NaN remains NaN.
    ///
    /// ```
    /// # use image_data::BBox;
    /// let bbox = BBox::from_xyxy(-3.0, 5.0, 20.0, 30.0);
    /// assert_eq!(bbox.clip([20, 10]), BBox::from_xyxy(0.0, 5.0, 10.0, 20.0));
    /// ```
    #[must_use]
    pub fn clip(self, size: [usize; 2]) -> Self {
        let [height, width] = size.map(|side| side as f32);
        Self {
            x1: self.x1.clamp(0.0, width),
            y1: self.y1.clamp(0.0, height),
            x2: self.x2.clamp(0.0, width),
            y2: self.y2.clamp(0.0, height),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn xyxy(x1: f32, y1: f32, x2: f32, y2: f32) -> BBox {
        BBox::from_xyxy(x1, y1, x2, y2)
    }

    #[test]
    fn iou_by_hand() {
        let unit = xyxy(0.0, 0.0, 1.0, 1.0);
        for (a, b, expected) in [
            (unit, unit, 1.0),
            (unit, xyxy(1.0, 0.0, 2.0, 1.0), 0.0), // adjacent
            (unit, xyxy(0.5, 0.0, 1.5, 1.0), 0.5 / 1.5), // half overlapping
            (unit, xyxy(0.25, 0.25, 0.75, 0.75), 0.25), // inside
            (unit, xyxy(5.0, 5.0, 6.0, 6.0), 0.0), // disjoint
            (
                xyxy(-4.0, -4.0, 0.0, 0.0),
                xyxy(-2.0, -2.0, 2.0, 2.0),
                4.0 / 28.0,
            ),
            (
                xyxy(2.0, 1.0, 4.0, 3.0),
                xyxy(1.0, 2.0, 3.0, 4.0),
                1.0 / 7.0,
            ),
        ] {
            assert_eq!(a.iou(b), expected, "{a:?} {b:?}");
            assert_eq!(b.iou(a), expected, "{b:?} {a:?}");
        }
    }

    #[test]
    fn empty_swapped_and_nan_boxes_overlap_nothing() {
        let whole = xyxy(-9.0, -9.0, 9.0, 9.0);
        for bbox in [
            xyxy(1.0, 1.0, 1.0, 5.0),
            xyxy(5.0, 5.0, 1.0, 1.0),
            xyxy(f32::NAN, 0.0, 1.0, 1.0),
            xyxy(0.0, 0.0, 1.0, f32::NAN),
            BBox::from_cxcywh(0.0, 0.0, -2.0, -2.0),
        ] {
            assert!(bbox.is_empty(), "{bbox:?}");
            assert_eq!(bbox.area(), 0.0);
            assert_eq!(bbox.intersection(whole), None);
            assert_eq!(bbox.iou(whole), 0.0);
            assert_eq!(whole.iou(bbox), 0.0);
            assert_eq!(bbox.iou(bbox), 0.0);
        }
        let endless = xyxy(
            f32::NEG_INFINITY,
            f32::NEG_INFINITY,
            f32::INFINITY,
            f32::INFINITY,
        );
        assert_eq!(endless.iou(endless), 0.0);
        assert_eq!(endless.iou(whole), 0.0);
    }

    #[test]
    fn json_is_flat() {
        let bbox = xyxy(1.0, 2.0, 3.5, 4.0);
        let json = serde_json::to_string(&bbox).unwrap();
        assert_eq!(json, r#"{"x1":1.0,"y1":2.0,"x2":3.5,"y2":4.0}"#);
        assert_eq!(serde_json::from_str::<BBox>(&json).unwrap(), bbox);
    }

    fn any_box() -> impl Strategy<Value = BBox> {
        use proptest::num::f32::{ANY, NORMAL};
        prop_oneof![
            [ANY, ANY, ANY, ANY].prop_map(|[x1, y1, x2, y2]| xyxy(x1, y1, x2, y2)),
            [NORMAL, NORMAL, NORMAL, NORMAL]
                .prop_map(|v| v.map(|c| c % 50.0))
                .prop_map(|[x1, y1, x2, y2]| xyxy(x1.min(x2), y1.min(y2), x1.max(x2), y1.max(y2))),
            (0i8..9, 0i8..9, 0i8..9, 0i8..9).prop_map(|(x, y, w, h)| BBox::from_xywh(
                x.into(),
                y.into(),
                w.into(),
                h.into()
            )),
        ]
    }

    proptest! {
        #[test]
        fn iou_is_a_symmetric_share(a in any_box(), b in any_box()) {
            let iou = a.iou(b);
            // The union is a sum of three rounded numbers, so the value can exceed 1 by a few ulps.
            prop_assert!((0.0..=1.0 + 4.0 * f32::EPSILON).contains(&iou), "{}", iou);
            prop_assert_eq!(iou, b.iou(a));
        }

        #[test]
        fn clipping_moves_a_box_inside_and_is_idempotent(
            a in any_box(),
            h in 1usize..50,
            w in 1usize..50,
        ) {
            let clipped = a.clip([h, w]);
            let edges = [(clipped.x1, w), (clipped.x2, w), (clipped.y1, h), (clipped.y2, h)];
            for (edge, side) in edges {
                prop_assert!(edge.is_nan() || (0.0..=side as f32).contains(&edge));
            }
            let broken = edges.iter().any(|(edge, _)| edge.is_nan());
            prop_assert!(broken || clipped.clip([h, w]) == clipped);
        }
    }
}
