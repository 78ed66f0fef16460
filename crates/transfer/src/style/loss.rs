//! The losses of content and style.

use conv_core::Element;
use ndarray::{Array2, ArrayD, ArrayViewD};
use nn_layers::{Loss, Terms};

use super::Nodes;

/// The name of the content loss among the parts of the loss.
pub(super) const CONTENT: &str = "content";
/// The name of the style loss among the parts of the loss.
pub(super) const STYLE: &str = "style";

/// The loss of a picture: `content_weight · content + style_weight · style`.
#[derive(Debug)]
pub(super) struct StyleLoss<T> {
    pub(super) nodes: Nodes,
    /// The content picture's tensors, one for each content node.
    pub(super) content: Vec<ArrayD<T>>,
    /// The style picture's Gram matrices, one for each style node.
    pub(super) style: Vec<Array2<T>>,
    pub(super) content_weight: f64,
    pub(super) style_weight: f64,
}

impl<T: Element> Loss<T> for StyleLoss<T> {
    fn eval(
        &self,
        outputs: &[ArrayViewD<'_, T>],
        grads: &mut [ArrayD<T>],
    ) -> nn_layers::Result<Terms> {
        let (mut content, mut style) = (0.0, 0.0);
        let share = 1.0 / self.content.len() as f64;
        for (&at, target) in self.nodes.content.iter().zip(&self.content) {
            let factor = self.content_weight * share;
            content += share * content_loss(&outputs[at], target, factor, &mut grads[at]);
        }
        let share = 1.0 / self.style.len() as f64;
        for (&at, target) in self.nodes.style.iter().zip(&self.style) {
            let factor = self.style_weight * share;
            style += share * style_loss(&outputs[at], target, factor, &mut grads[at]);
        }
        Ok(Terms {
            total: self.content_weight * content + self.style_weight * style,
            parts: vec![(CONTENT.to_owned(), content), (STYLE.to_owned(), style)],
        })
    }
}

/// The mean over the content nodes of their losses.
pub(super) fn content_of<T: Element>(tensors: &[ArrayD<T>], targets: &[ArrayD<T>]) -> f64 {
    let share = 1.0 / targets.len() as f64;
    let losses = tensors.iter().zip(targets).map(|(tensor, target)| {
        let mut unused = ArrayD::zeros(tensor.raw_dim());
        content_loss(&tensor.view(), target, 1.0, &mut unused)
    });
    share * losses.sum::<f64>()
}

/// Returns `Σ (F - P)² / Σ P²`, and adds `factor` times its gradient, `2 (F - P) / Σ P²`.
fn content_loss<T: Element>(
    features: &ArrayViewD<'_, T>,
    target: &ArrayD<T>,
    factor: f64,
    grad: &mut ArrayD<T>,
) -> f64 {
    let scale = 1.0 / squares(target.iter()).max(SMALLEST);
    let difference = features - target;
    grad.scaled_add(T::from_f64(2.0 * factor * scale), &difference);
    scale * squares(difference.iter())
}

/// Returns `Σ (G - A)² / Σ A²` for the Gram matrix `G` of the features, and adds `factor` times its
/// gradient, `4 (G - A) F / (C·H·W · Σ A²)`.
fn style_loss<T: Element>(
    features: &ArrayViewD<'_, T>,
    target: &Array2<T>,
    factor: f64,
    grad: &mut ArrayD<T>,
) -> f64 {
    let matrix = matrix(features);
    let scale = 1.0 / squares(target.iter()).max(SMALLEST);
    let difference = gram_of(&matrix) - target;
    let slope = T::from_f64(4.0 * factor * scale / matrix.len().max(1) as f64);
    let gradient = difference.dot(&matrix);
    for (target, &part) in grad.iter_mut().zip(&gradient) {
        *target += slope * part;
    }
    scale * squares(difference.iter())
}

/// The smallest sum of squares that is divided by: a tensor of zeros has no relative error.
const SMALLEST: f64 = 1e-30;

/// Returns the Gram matrix `F Fᵀ / (C·H·W)` of a tensor `[1, C, H, W]`.
pub(super) fn gram<T: Element>(features: &ArrayViewD<'_, T>) -> Array2<T> {
    gram_of(&matrix(features))
}

fn gram_of<T: Element>(matrix: &Array2<T>) -> Array2<T> {
    let count = T::from_f64(matrix.len().max(1) as f64);
    matrix.dot(&matrix.t()).mapv(|sum| sum / count)
}

/// Copies a tensor `[1, C, H, W]` into the matrix `[C, H·W]`.
fn matrix<T: Element>(features: &ArrayViewD<'_, T>) -> Array2<T> {
    let channels = features.shape().get(1).copied().unwrap_or(1).max(1);
    let mut matrix = Array2::zeros((channels, features.len() / channels));
    for (target, &number) in matrix.iter_mut().zip(features) {
        *target = number;
    }
    matrix
}

/// The sum of the squares, in f64.
pub(super) fn squares<'a, T: Element>(numbers: impl Iterator<Item = &'a T>) -> f64 {
    // A float always converts.
    let wide = |x: &T| x.to_f64().unwrap_or(f64::NAN);
    numbers.map(|x| wide(x).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use ndarray::{IxDyn, arr2};
    use testkit::{GradientCheck, random_array};

    use super::*;

    #[test]
    fn a_gram_matrix_by_hand() {
        // Two channels of three pixels.
        let numbers = vec![1.0, 2.0, 3.0, 0.0, -1.0, 1.0];
        let features = ArrayD::from_shape_vec(IxDyn(&[1, 2, 1, 3]), numbers).unwrap();
        let expected = arr2(&[[14.0, 1.0], [1.0, 2.0]]) / 6.0;
        assert_eq!(gram(&features.view()), expected);
    }

    #[test]
    fn a_gram_matrix_does_not_depend_on_the_place_of_the_pixels() {
        let features = random_array(&[1, 3, 2, 4], 1);
        let mut moved = features.clone();
        for channel in 0..3 {
            for at in 0..8 {
                let to = (at + 3) % 8;
                moved[[0, channel, to / 4, to % 4]] = features[[0, channel, at / 4, at % 4]];
            }
        }
        let off = &gram(&features.view()) - &gram(&moved.view());
        // Sums of eight products in another order.
        assert!(off.iter().all(|x| x.abs() < 8.0 * f64::EPSILON), "{off}");
    }

    #[test]
    fn a_picture_at_its_targets_has_no_loss_and_one_without_features_no_infinity() {
        let features = random_array(&[1, 3, 4, 5], 1);
        let mut grad = ArrayD::zeros(features.raw_dim());
        let target = gram(&features.view());
        assert_eq!(
            content_loss(&features.view(), &features, 1.0, &mut grad),
            0.0
        );
        assert_eq!(style_loss(&features.view(), &target, 1.0, &mut grad), 0.0);
        assert!(grad.iter().all(|&x| x == 0.0));
        let nothing = ArrayD::<f64>::zeros(features.raw_dim());
        let loss = content_loss(&nothing.view(), &nothing, 1.0, &mut grad);
        assert_eq!(loss, 0.0);
        assert!(grad.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn the_gradients_agree_with_differences() {
        type Eval<'a> = &'a dyn Fn(&ArrayViewD<'_, f64>, &mut ArrayD<f64>) -> f64;
        let features = random_array(&[1, 3, 4, 5], 1);
        let content = random_array(&[1, 3, 4, 5], 2);
        let style = gram(&random_array(&[1, 3, 2, 7], 3).view());
        let losses: [Eval<'_>; 2] = [
            &|x, grad| content_loss(x, &content, 1.0, grad),
            &|x, grad| style_loss(x, &style, 1.0, grad),
        ];
        for loss in losses {
            let mut grad = ArrayD::zeros(features.raw_dim());
            let magnitude = loss(&features.view(), &mut grad);
            let check = GradientCheck {
                step: 1e-4,
                terms: 200,
                magnitude,
                seed: 0,
            };
            let value = |x: ArrayViewD<'_, f64>| loss(&x, &mut ArrayD::zeros(features.raw_dim()));
            check.assert(value, features.view(), grad.view());
        }
    }
}
