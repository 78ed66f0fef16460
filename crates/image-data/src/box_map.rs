//! Where a change of a picture moves its pixels, for the boxes in it.

use crate::bbox::BBox;

/// The geometric part of a change of a picture: a pixel at `(x, y)` moves to `(scale_x x + offset_x,
/// scale_y y + offset_y)`. Upright boxes stay upright, and a negative scale mirrors.
///
/// Coordinates are continuous, as those of [`BBox`].
///
/// ```
/// use image_data::{BBox, BoxMap};
///
/// // A picture of 40 x 20 pixels (width x height), resized to 20 x 20, then mirrored.
/// let map = BoxMap::resize([20, 40], [20, 20]).then(&BoxMap::mirror(20));
/// let bbox = BBox::from_xyxy(0.0, 5.0, 10.0, 15.0);
/// assert_eq!(map.apply(bbox), BBox::from_xyxy(15.0, 5.0, 20.0, 15.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxMap {
    /// Along `[y, x]`.
    scale: [f64; 2],
    offset: [f64; 2],
}

impl Default for BoxMap {
    fn default() -> Self {
        Self::IDENTITY
    }
}

impl BoxMap {
    /// Every pixel stays where it is.
    pub const IDENTITY: Self = Self {
        scale: [1.0; 2],
        offset: [0.0; 2],
    };

    /// A scale and an offset along `[y, x]`.
    #[must_use]
    pub fn new(scale: [f64; 2], offset: [f64; 2]) -> Self {
        Self { scale, offset }
    }

    /// A picture of size `from` becomes one of size `to`, both `[h, w]`.
    #[must_use]
    pub fn resize(from: [usize; 2], to: [usize; 2]) -> Self {
        let scale = [0, 1].map(|axis| to[axis] as f64 / from[axis] as f64);
        Self::new(scale, [0.0; 2])
    }

    /// The part of a picture whose first pixel is at `start` `[y, x]`; negative where it begins before the
    /// picture.
    #[must_use]
    pub fn window(start: [f64; 2]) -> Self {
        // Not -0.0 for a window at the start.
        Self::new([1.0; 2], start.map(|start| 0.0 - start))
    }

    /// A picture of this width is mirrored, left for right.
    #[must_use]
    pub fn mirror(width: usize) -> Self {
        Self::new([1.0, -1.0], [0.0, width as f64])
    }

    /// This map, then `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        Self {
            scale: [0, 1].map(|axis| self.scale[axis] * next.scale[axis]),
            offset: [0, 1].map(|axis| self.offset[axis] * next.scale[axis] + next.offset[axis]),
        }
    }

    /// Where a box moves. It is not clipped.
    #[must_use]
    pub fn apply(&self, bbox: BBox) -> BBox {
        let at = |axis: usize, place: f32| {
            (f64::from(place) * self.scale[axis] + self.offset[axis]) as f32
        };
        let edges = |axis: usize, low: f32, high: f32| match self.scale[axis] < 0.0 {
            false => [at(axis, low), at(axis, high)],
            true => [at(axis, high), at(axis, low)],
        };
        let [x1, x2] = edges(1, bbox.x1, bbox.x2);
        let [y1, y2] = edges(0, bbox.y1, bbox.y2);
        BBox { x1, y1, x2, y2 }
    }

    /// The place along an axis (0 for y, 1 for x) from which a pixel has moved to `place`.
    #[must_use]
    pub(crate) fn inverse(&self, axis: usize, place: f64) -> f64 {
        (place - self.offset[axis]) / self.scale[axis]
    }

    /// How many times its area a part of the picture takes afterwards.
    #[must_use]
    pub fn area_factor(&self) -> f64 {
        (self.scale[0] * self.scale[1]).abs()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// `then` is the maps one after the other, and a mirrored box is no less upright. The tolerance is
        /// that of one rounding to f32 in each map, of numbers up to 2e4.
        #[test]
        fn maps_follow_each_other(
            scale in [0.1..10.0f64, 0.1..10.0],
            offset in [-500.0..500.0f64, -500.0..500.0],
            start in [-50.0..50.0f64, -50.0..50.0],
            [x1, y1] in [0.0..100.0f32, 0.0..100.0],
            [w, h] in [0.0..100.0f32, 0.0..100.0],
            width in 1..1000usize,
        ) {
            let bbox = BBox::from_xywh(x1, y1, w, h);
            let maps = [BoxMap::new(scale, offset), BoxMap::window(start), BoxMap::mirror(width)];
            let at_once = maps[0].then(&maps[1]).then(&maps[2]).apply(bbox);
            let one_by_one = maps.iter().fold(bbox, |bbox, map| map.apply(bbox));
            let edges = |b: BBox| [b.x1, b.y1, b.x2, b.y2];
            for (a, b) in edges(at_once).into_iter().zip(edges(one_by_one)) {
                prop_assert!((a - b).abs() <= 3.0 * 2e4 * f32::EPSILON, "{a} {b}");
            }
            prop_assert!(at_once.width() >= 0.0 && at_once.height() >= 0.0);
            let area = f64::from(w) * f64::from(h) * maps[0].area_factor();
            // The difference of two rounded edges, times the other side.
            let rounding = 2.0 * 2e4 * f64::from(f32::EPSILON) * 2000.0;
            prop_assert!((f64::from(at_once.area()) - area).abs() <= rounding + 1e-3 * area);
        }
    }
}
