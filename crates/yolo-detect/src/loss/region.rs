//! What is YOLOv2's own: squared errors of probabilities, and one class per box.

use ndarray::ArrayView3;
use nn_layers::Element;

use super::centre_box::{CentreBox, most_similar};
use super::grid::{Grid, Place, logistic};
use super::options::Matching;
use super::pointwise::Pointwise;

/// The anchor of `cell` whose shape is most similar to the object's: the first of equal ones.
pub(super) fn best_anchor<T: Element>(
    matching: Matching,
    grid: &Grid,
    object: CentreBox,
    cell: [usize; 2],
    output: &ArrayView3<'_, T>,
) -> usize {
    let [row, column] = cell;
    let shape = |anchor: usize| match matching {
        Matching::Anchors => grid.anchors[anchor],
        Matching::Predictions => {
            let place = Place {
                anchor,
                row,
                column,
            };
            let predicted = grid.predicted(output, place);
            [predicted.h, predicted.w]
        }
    };
    let shapes = (0..grid.anchors.len()).map(shape);
    most_similar(shapes, object)
}

/// `1/2 (t - p)^2` with `p = logistic(x)`; the slope is `(p - t) p (1 - p)`.
pub(super) fn squared_error(x: f64, t: f64) -> Pointwise {
    let p = logistic(x);
    Pointwise {
        value: (t - p) * (t - p) / 2.0,
        slope: (p - t) * p * (1.0 - p),
    }
}

/// The cross-entropy of `softmax(logits)` for `class`: `ln(sum_c exp(x_c)) - x_class`. Replaces the logits
/// with the slopes `p_c - [c = class]`.
pub(super) fn softmax_cross_entropy(logits: &mut [f64], class: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let own = logits.get(class).map_or(0.0, |&x| x - largest);
    let mut sum = 0.0;
    for x in logits.iter_mut() {
        *x = (*x - largest).exp();
        sum += *x;
    }
    for (index, x) in logits.iter_mut().enumerate() {
        *x = *x / sum - f64::from(u8::from(index == class));
    }
    sum.ln() - own
}
