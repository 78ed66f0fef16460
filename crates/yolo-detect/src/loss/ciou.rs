//! Complete IoU: how far a predicted box is from an object's, as one number.
//!
//! Z. Zheng, P. Wang, W. Liu, J. Li, R. Ye and D. Ren, "Distance-IoU Loss: Faster and Better Learning for
//! Bounding Box Regression", 2020, section 3.3. For a predicted box and an object's (`*`), in pixels:
//!
//! ```text
//! L = 1 - IoU + rho^2 / c^2 + alpha v
//! rho    the distance of the centres
//! c      the diagonal of the smallest box around both
//! v      4 / pi^2 (atan(w* / h*) - atan(w / h))^2
//! alpha  v / (1 - IoU + v)
//! ```
//!
//! `alpha` is held constant, as in the paper. The paper's code also replaces `1 / (w^2 + h^2)` in the
//! slopes of `v` with 1, because it grows without bound for small boxes. Here the network predicts
//! logarithms of sizes, for which the slope is at most a half, so it stays what it is.

use std::f64::consts::PI;

use super::centre_box::CentreBox;

/// A loss and its slopes by the predicted box's centre and size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ciou {
    pub(super) loss: f64,
    /// `[d/dcx, d/dcy, d/dw, d/dh]`
    pub(super) slopes: [f64; 4],
}

/// The weight of the aspect ratio.
pub(super) fn alpha(predicted: CentreBox, object: CentreBox) -> f64 {
    let v = aspect(predicted, object).0;
    let alpha = v / (1.0 - predicted.iou(object) + v);
    // Equal boxes: 0 / 0.
    if alpha.is_nan() { 0.0 } else { alpha }
}

/// The loss for a constant `alpha`.
pub(super) fn ciou(predicted: CentreBox, object: CentreBox, alpha: f64) -> Ciou {
    let x = Axis::new(predicted.cx, predicted.w, object.cx, object.w);
    let y = Axis::new(predicted.cy, predicted.h, object.cy, object.h);

    let common = x.common.value * y.common.value;
    let union = predicted.w * predicted.h + object.w * object.h - common;
    let diagonal = x.around.value.powi(2) + y.around.value.powi(2);
    let distance = x.distance.powi(2) + y.distance.powi(2);
    let (v, [v_by_w, v_by_h]) = aspect(predicted, object);

    // The slopes of IoU = common / union and of distance / diagonal, from those of their parts.
    let iou_slope = |common_slope: f64, area_slope: f64| {
        (common_slope * (union + common) - common * area_slope) / union.powi(2)
    };
    let far_slope = |distance_slope: f64, diagonal_slope: f64| {
        (distance_slope * diagonal - distance * diagonal_slope) / diagonal.powi(2)
    };
    let by_centre = |axis: &Axis, other: &Axis| {
        far_slope(
            2.0 * axis.distance,
            2.0 * axis.around.value * axis.around.by_centre,
        ) - iou_slope(axis.common.by_centre * other.common.value, 0.0)
    };
    let by_size = |axis: &Axis, other: &Axis, other_size: f64, v_slope: f64| {
        far_slope(0.0, 2.0 * axis.around.value * axis.around.by_size)
            - iou_slope(axis.common.by_size * other.common.value, other_size)
            + alpha * v_slope
    };
    Ciou {
        loss: 1.0 - common / union + distance / diagonal + alpha * v,
        slopes: [
            by_centre(&x, &y),
            by_centre(&y, &x),
            by_size(&x, &y, predicted.h, v_by_w),
            by_size(&y, &x, predicted.w, v_by_h),
        ],
    }
}

/// `v`, and its slopes by the predicted width and height.
fn aspect(predicted: CentreBox, object: CentreBox) -> (f64, [f64; 2]) {
    let CentreBox { w, h, .. } = predicted;
    let difference = object.w.atan2(object.h) - w.atan2(h);
    let factor = 8.0 / PI.powi(2) * difference / (w * w + h * h);
    let v = 4.0 / PI.powi(2) * difference.powi(2);
    (v, [-factor * h, factor * w])
}

/// The two boxes along one axis.
struct Axis {
    /// From the object's centre to the predicted one.
    distance: f64,
    /// The length in both boxes.
    common: Length,
    /// The length of the smallest box around both.
    around: Length,
}

/// A length, and its slopes by the predicted box's centre and size.
struct Length {
    value: f64,
    by_centre: f64,
    by_size: f64,
}

impl Axis {
    fn new(centre: f64, size: f64, object_centre: f64, object_size: f64) -> Self {
        let (start, end) = (centre - size / 2.0, centre + size / 2.0);
        let (object_start, object_end) = (
            object_centre - object_size / 2.0,
            object_centre + object_size / 2.0,
        );
        // Whether the predicted box's edges bound the common part; if not, they bound the other length.
        let (starts_later, ends_earlier) = (start > object_start, end < object_end);
        let length = |from: f64, to: f64, own_start: bool, own_end: bool| {
            let own = |is_own: bool| f64::from(u8::from(is_own));
            Length {
                value: to - from,
                by_centre: own(own_end) - own(own_start),
                by_size: (own(own_end) + own(own_start)) / 2.0,
            }
        };
        let common = length(
            start.max(object_start),
            end.min(object_end),
            starts_later,
            ends_earlier,
        );
        let nothing = Length {
            value: 0.0,
            by_centre: 0.0,
            by_size: 0.0,
        };
        Self {
            distance: centre - object_centre,
            common: if common.value > 0.0 { common } else { nothing },
            around: length(
                start.min(object_start),
                end.max(object_end),
                !starts_later,
                !ends_earlier,
            ),
        }
    }
}
