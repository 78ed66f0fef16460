//! What is YOLOv3's own: cross-entropies, and anchors that are divided among the heads.

use super::centre_box::{CentreBox, most_similar};
use super::grid::logistic;
use super::pointwise::Pointwise;

/// The head's own number of the anchor that is responsible for the object; `None` if it is another
/// head's. `anchors` has the `[h, w]` of all heads' anchors, `mask` the numbers of this one's.
pub(super) fn own_anchor(anchors: &[[f64; 2]], mask: &[usize], object: CentreBox) -> Option<usize> {
    let best = most_similar(anchors.iter().copied(), object);
    mask.iter().position(|&anchor| anchor == best)
}

/// The cross-entropy of `p = logistic(x)` and the target `t`, less that of the best `p`, which is `t`:
///
/// ```text
/// -t ln(p) - (1 - t) ln(1 - p)  +  t ln(t) + (1 - t) ln(1 - t)
/// ```
///
/// So it is 0 where `p = t`. Its slope is `p - t`. A target outside 0 to 1, which has no best `p`, is
/// compared with 0 instead; there is one only for a [`truth_threshold`] below 1.
///
/// [`truth_threshold`]: crate::YoloLossOptions::truth_threshold
pub(super) fn cross_entropy(x: f64, t: f64) -> Pointwise {
    let least = if 0.0 < t && t < 1.0 {
        -t * t.ln() - (1.0 - t) * (-t).ln_1p()
    } else {
        0.0
    };
    Pointwise {
        // -ln(p) = ln(1 + exp(-x)); this form neither overflows nor loses digits.
        value: x.max(0.0) - x * t + (-x.abs()).exp().ln_1p() - least,
        slope: logistic(x) - t,
    }
}
