//! A box by centre and size, in f64.

/// A box by its centre and size. Both axes may have any unit; here they are shares of the network's
/// input, or its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CentreBox {
    pub(super) cx: f64,
    pub(super) cy: f64,
    pub(super) w: f64,
    pub(super) h: f64,
}

impl CentreBox {
    /// The box in units of which the old one has `[h, w]`.
    pub(super) fn scaled(self, [h, w]: [f64; 2]) -> Self {
        Self {
            cx: self.cx * w,
            cy: self.cy * h,
            w: self.w * w,
            h: self.h * h,
        }
    }

    fn area(self) -> f64 {
        self.w * self.h
    }

    fn intersection(self, other: Self) -> f64 {
        let common = |c: f64, size: f64, other_c: f64, other_size: f64| {
            let end = (c + size / 2.0).min(other_c + other_size / 2.0);
            let start = (c - size / 2.0).max(other_c - other_size / 2.0);
            (end - start).max(0.0)
        };
        common(self.cx, self.w, other.cx, other.w) * common(self.cy, self.h, other.cy, other.h)
    }

    /// Intersection over union, from 0 to 1. Rounding never takes it beyond 1, which a threshold of 1
    /// relies on.
    pub(super) fn iou(self, other: Self) -> f64 {
        let common = self.intersection(other);
        share(common, self.area() + other.area() - common)
    }

    /// The share of this box that is in the other one.
    pub(super) fn share_inside(self, other: Self) -> f64 {
        share(self.intersection(other), self.area())
    }
}

/// The number of the shape `[h, w]` with the highest centred IoU, the first of equal ones.
pub(super) fn most_similar(shapes: impl Iterator<Item = [f64; 2]>, object: CentreBox) -> usize {
    let (mut best, mut best_iou) = (0, 0.0);
    for (index, shape) in shapes.enumerate() {
        let iou = centred_iou(shape, [object.h, object.w]);
        if iou > best_iou {
            (best, best_iou) = (index, iou);
        }
    }
    best
}

/// The IoU of two boxes of these sizes `[h, w]` with the same centre.
fn centred_iou(a: [f64; 2], b: [f64; 2]) -> f64 {
    let common = a[0].min(b[0]) * a[1].min(b[1]);
    share(common, a[0] * a[1] + b[0] * b[1] - common)
}

/// `part / whole`, and 0 for boxes without an area or with an infinite one.
fn share(part: f64, whole: f64) -> f64 {
    let share = part / whole;
    if share.is_finite() {
        share.min(1.0)
    } else {
        0.0
    }
}
