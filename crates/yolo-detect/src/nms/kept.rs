//! The boxes that a suppression has kept, found again by size and place.
//!
//! Let two boxes have widths `a` and `b` and an intersection over union greater than `t`. The
//! intersection is at most as high as either box, so its width is greater than `t * a` and than
//! `t * b`. Hence each width is greater than `t` times the other, and the centres are less than
//! `(a + b) / 2 - t * max(a, b)` apart; likewise for heights. Kept boxes are therefore sorted by the
//! magnitude of width and height, and within each magnitude by the cell of a grid in which their
//! centre lies. A new box is compared with those in the cells that these bounds leave. Boxes of one
//! magnitude in one cell overlap a good deal, so few of them stay.

use std::collections::HashMap;

use image_data::BBox;

/// Up to this number, comparing all boxes is faster than searching for near ones.
const COMPARED_ONE_BY_ONE: usize = 128;

/// The least area of a box that counts. Smaller ones are products that `f32` rounds away.
const LEAST_AREA: f32 = 1e-30;

/// By how much the threshold is lowered in the bounds, which hold for exact numbers: more than the
/// roundings of `BBox::iou`, some 2^-20.
const SLACK: f64 = 1e-5;

/// Below this threshold, bounds on sizes leave too many magnitudes to look each of them up.
const LEAST_BOUNDED: f64 = 0.05;

/// Boxes that do not overlap by more than a threshold.
#[derive(Debug)]
pub(super) struct Kept {
    threshold: f32,
    one_by_one: Vec<BBox>,
    most_one_by_one: usize,
    magnitudes: HashMap<[i32; 2], Magnitude>,
}

/// The boxes of one magnitude of height and width.
#[derive(Debug, Default)]
struct Magnitude {
    cells: HashMap<[i64; 2], Vec<BBox>>,
}

/// A box's centre and size along one axis.
#[derive(Clone, Copy, Debug)]
struct Extent {
    centre: f64,
    size: f64,
}

impl Kept {
    pub(super) fn new(threshold: f32) -> Self {
        Self {
            threshold,
            one_by_one: Vec::new(),
            most_one_by_one: COMPARED_ONE_BY_ONE,
            magnitudes: HashMap::new(),
        }
    }

    /// Keeps the box unless it overlaps a kept one by more than the threshold. Says whether it did.
    pub(super) fn add(&mut self, bbox: BBox) -> bool {
        // Every overlap is greater than a negative threshold, also that of an empty box.
        if self.threshold < 0.0 {
            let is_first = self.one_by_one.is_empty();
            if is_first {
                self.one_by_one.push(bbox);
            }
            return is_first;
        }
        // Overlaps nothing.
        if !(LEAST_AREA..=f32::MAX).contains(&bbox.area()) {
            return true;
        }
        let covers = |kept: &BBox| kept.iou(bbox) > self.threshold;
        if self.one_by_one.iter().any(covers) || self.near(bbox).any(|kept| covers(&kept)) {
            return false;
        }
        if self.one_by_one.len() < self.most_one_by_one {
            self.one_by_one.push(bbox);
        } else {
            let extents = extents(bbox);
            let magnitude = extents.map(|extent| magnitude(extent.size));
            let cell = [0, 1].map(|axis| cell(extents[axis].centre, magnitude[axis]));
            let magnitude = self.magnitudes.entry(magnitude).or_default();
            magnitude.cells.entry(cell).or_default().push(bbox);
        }
        true
    }

    /// The threshold that the bounds are made with.
    fn bound(&self) -> f64 {
        (f64::from(self.threshold) - SLACK).clamp(0.0, 1.0)
    }

    /// The kept boxes, beyond those that are compared one by one, that may overlap `bbox` by more
    /// than the threshold.
    fn near(&self, bbox: BBox) -> impl Iterator<Item = BBox> {
        let (extents, threshold) = (extents(bbox), self.bound());
        self.near_magnitudes(extents)
            .flat_map(move |(sizes, magnitude)| {
                let reach = [0, 1].map(|axis| reach(extents[axis].size, sizes[axis], threshold));
                let cells = [0, 1].map(|axis| {
                    let Extent { centre, .. } = extents[axis];
                    let cell = |at| cell(at, sizes[axis]);
                    [cell(centre - reach[axis]), cell(centre + reach[axis])]
                });
                magnitude.within(cells)
            })
    }

    /// The magnitudes of boxes that may overlap one of these extents by more than the threshold.
    fn near_magnitudes(
        &self,
        extents: [Extent; 2],
    ) -> Box<dyn Iterator<Item = ([i32; 2], &Magnitude)> + '_> {
        let threshold = self.bound();
        if self.magnitudes.is_empty() {
            return Box::new(std::iter::empty());
        }
        if threshold < LEAST_BOUNDED {
            return Box::new(self.magnitudes.iter().map(|(&sizes, of)| (sizes, of)));
        }
        let [rows, columns] = extents
            .map(|Extent { size, .. }| magnitude(threshold * size)..=magnitude(size / threshold));
        let pairs = rows.flat_map(move |row| columns.clone().map(move |column| [row, column]));
        Box::new(pairs.filter_map(|sizes| Some((sizes, self.magnitudes.get(&sizes)?))))
    }
}

impl Magnitude {
    /// The boxes in the cells from the first to the last of each axis.
    fn within(&self, [rows, columns]: [[i64; 2]; 2]) -> Box<dyn Iterator<Item = BBox> + '_> {
        let count = |[first, last]: [i64; 2]| i128::from(last) - i128::from(first) + 1;
        // Whichever is fewer: the cells asked for, or those that hold boxes.
        if count(rows).saturating_mul(count(columns)) > self.cells.len() as i128 {
            let is_within = |[first, last]: [i64; 2], at| first <= at && at <= last;
            let cells = self.cells.iter();
            let cells = cells.filter(move |&(&[row, column], _)| {
                is_within(rows, row) && is_within(columns, column)
            });
            return Box::new(cells.flat_map(|(_, of)| of.iter().copied()));
        }
        let cells = (rows[0]..=rows[1])
            .flat_map(move |row| (columns[0]..=columns[1]).map(move |column| [row, column]));
        let boxes = cells.filter_map(|cell| self.cells.get(&cell));
        Box::new(boxes.flat_map(|of| of.iter().copied()))
    }
}

/// The `[y, x]` extents of a box.
fn extents(bbox: BBox) -> [Extent; 2] {
    let BBox { x1, y1, x2, y2 } = bbox;
    [[y1, y2], [x1, x2]].map(|ends| {
        let [low, high] = ends.map(f64::from);
        Extent {
            centre: low + (high - low) / 2.0,
            size: high - low,
        }
    })
}

/// The logarithm of a size to the base 4, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a positive f64 has a logarithm from -537 to 512"
)]
fn magnitude(size: f64) -> i32 {
    size.log(4.0).floor() as i32
}

/// The cell of a coordinate in the grid of a magnitude, whose cells are half as long as its longest
/// boxes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is far outside stays in the outermost cell"
)]
fn cell(at: f64, magnitude: i32) -> i64 {
    (at / longest(magnitude) * 2.0).floor() as i64
}

/// The length that all boxes of a magnitude are shorter than.
fn longest(magnitude: i32) -> f64 {
    4.0_f64.powi(magnitude.saturating_add(1))
}

/// How far the centre of a box of a magnitude may be from that of a box of this size.
fn reach(size: f64, magnitude: i32, threshold: f64) -> f64 {
    let longest = longest(magnitude);
    let distance = |other: f64| f64::midpoint(size, other) - threshold * size.max(other);
    // Piecewise linear in the other's size, with a corner where the sizes are equal.
    let corner = size.clamp(longest / 4.0, longest);
    distance(longest / 4.0)
        .max(distance(longest))
        .max(distance(corner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn overlap(kept: &[BBox], bbox: BBox, threshold: f32) -> bool {
        kept.iter().any(|kept| kept.iou(bbox) > threshold)
    }

    /// Boxes of many sizes around few places, so that many overlap.
    fn boxes() -> impl Strategy<Value = Vec<BBox>> {
        let side =
            || (0u8..=12, 0.9f32..1.1).prop_map(|(step, share)| 1.5f32.powi(step.into()) * share);
        let place = || (0u8..4, -6.0f32..6.0).prop_map(|(at, by)| 40.0 * f32::from(at) - 60.0 + by);
        let odd = prop_oneof![
            Just(0.0),
            Just(-1.0),
            Just(f32::NAN),
            Just(f32::INFINITY),
            Just(1e-20),
            Just(1e25)
        ];
        let side = || prop_oneof![30 => side(), 1 => odd.clone()];
        let bbox = (place(), place(), side(), side())
            .prop_map(|(x, y, w, h)| BBox::from_cxcywh(x, y, w, h));
        prop::collection::vec(bbox, 0..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn boxes_are_kept_as_if_all_were_compared(
            boxes in boxes(),
            threshold in prop_oneof![
                -0.1f32..1.1, Just(0.0), Just(1e-6), Just(0.45), Just(0.99), Just(1.0), Just(f32::NAN),
            ],
            most_one_by_one in 0usize..8,
        ) {
            let mut kept = Kept { most_one_by_one, ..Kept::new(threshold) };
            let mut all = Vec::new();
            for bbox in boxes {
                let stays = !overlap(&all, bbox, threshold);
                prop_assert_eq!(kept.add(bbox), stays, "{:?}", bbox);
                if stays {
                    all.push(bbox);
                }
            }
        }
    }

    /// The square of 40,000 is 1,600,000,000.
    #[test]
    fn a_box_is_compared_with_few_others() {
        for (threshold, near) in [(0.45, 40), (0.7, 30), (0.1, 150)] {
            let most = COMPARED_ONE_BY_ONE + near;
            let mut kept = Kept::new(threshold);
            let mut compared = 0;
            for i in 0..40_000_u16 {
                let [x, y] = [i % 200, i / 200].map(f32::from);
                // A grid of boxes that touch, each fourth one twice as large.
                let size = if i % 4 == 0 { 20.0 } else { 10.0 };
                let bbox = BBox::from_xywh(10.0 * x, 10.0 * y, size, 10.0);
                compared += kept.one_by_one.len() + kept.near(bbox).count();
                let _ = kept.add(bbox);
            }
            assert!(compared < most * 40_000, "{threshold}: {compared}");
        }
    }
}
