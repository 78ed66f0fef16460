//! The smoothness of a picture: its squared total variation.

use conv_core::Element;
use ndarray::{ArrayD, Axis};

/// Returns the sum of the squared differences of vertical and of horizontal neighbours, divided by the
/// number of values, and adds `factor` times its gradient.
pub(super) fn smoothness<T: Element>(input: &ArrayD<T>, factor: f64, grad: &mut ArrayD<T>) -> f64 {
    let count = input.len().max(1) as f64;
    let scale = T::from_f64(2.0 * factor / count);
    let mut sum = 0.0;
    for axis in [Axis(2), Axis(3)] {
        for at in 1..input.len_of(axis) {
            let difference = &input.index_axis(axis, at) - &input.index_axis(axis, at - 1);
            sum += super::loss::squares(difference.iter());
            grad.index_axis_mut(axis, at).scaled_add(scale, &difference);
            grad.index_axis_mut(axis, at - 1)
                .scaled_add(-scale, &difference);
        }
    }
    sum / count
}

#[cfg(test)]
mod tests {
    use ndarray::IxDyn;
    use testkit::{GradientCheck, random_array};

    use super::*;

    #[test]
    fn a_picture_by_hand() {
        let numbers = vec![1.0, 3.0, 4.0, 1.0, 1.0, 9.0];
        let input = ArrayD::from_shape_vec(IxDyn(&[1, 1, 2, 3]), numbers).unwrap();
        let mut grad = ArrayD::zeros(input.raw_dim());
        let got = smoothness(&input, 6.0, &mut grad);
        let expected: f64 = (0.0 + 4.0 + 25.0) + (4.0 + 1.0 + 0.0 + 64.0);
        assert_eq!(got, expected / 6.0);
        // Twice the difference from each neighbour.
        assert_eq!(grad[[0, 0, 0, 1]], 2.0 * (2.0 + 2.0 - 1.0));
    }

    #[test]
    fn the_gradient_agrees_with_differences() {
        let input = random_array(&[1, 2, 4, 5], 1);
        let mut grad = ArrayD::zeros(input.raw_dim());
        smoothness(&input, 1.0, &mut grad);
        let check = GradientCheck {
            step: 1e-4,
            terms: 40,
            magnitude: 8.0,
            seed: 0,
        };
        let value = |x: ndarray::ArrayViewD<f64>| smoothness(&x.to_owned(), 1.0, &mut x.to_owned());
        check.assert(value, input.view(), grad.view());
    }
}
