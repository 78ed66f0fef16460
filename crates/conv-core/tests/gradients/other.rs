//! The gradients of the dense layer, of padding and of upsampling.

use conv_core::ndarray::{Array1, Array2, Array4, s};
use conv_core::{PaddingValue, plain};
use proptest::prelude::*;
use testkit::{GradientCheck, assert_close, dot_bound, random_array, to_f32};

use crate::{F64_OVER_F32, dot, random_like};

fn matrix(shape: [usize; 2], seed: u64) -> Array2<f64> {
    random_array(&shape, seed).into_dimensionality().unwrap()
}

/// A check of the projection of `outputs` values, each a sum of `terms` products of values below 1;
/// the step of 1 doubles them.
fn check(outputs: usize, terms: usize, seed: u64) -> GradientCheck {
    let terms = outputs * terms;
    GradientCheck {
        step: 1.0,
        terms,
        magnitude: 2.0 * terms as f64,
        seed,
    }
}

proptest! {
    #[test]
    fn quotients_confirm_the_dense_layer(
        sizes in prop::array::uniform3(1_usize..=30),
        seed in any::<u64>(),
    ) {
        let [batch, inputs, outputs] = sizes;
        let (input, weight) = (matrix([batch, inputs], seed), matrix([outputs, inputs], !seed));
        let bias: Array1<f64> = random_array(&[outputs], seed ^ 1).into_dimensionality()?;
        let grad_output = matrix([batch, outputs], seed ^ 2);
        let grads = grad_output.view();
        let check = check(grad_output.len(), inputs + 1, seed);
        check.assert(
            |x| dot(&plain::linear(x, weight.view(), Some(bias.view())).unwrap(), &grad_output),
            input.view(),
            plain::linear_grad_input(grads, weight.view())?.view(),
        );
        check.assert(
            |w| dot(&plain::linear(input.view(), w, Some(bias.view())).unwrap(), &grad_output),
            weight.view(),
            plain::linear_grad_weight(input.view(), grads)?.view(),
        );
        check.assert(
            |b| dot(&plain::linear(input.view(), weight.view(), Some(b)).unwrap(), &grad_output),
            bias.view(),
            plain::linear_grad_bias(grads).unwrap().view(),
        );
    }

    #[test]
    fn the_dense_layer_s_are_matrix_products(
        sizes in prop::array::uniform3(1_usize..=30),
        seed in any::<u64>(),
    ) {
        let [batch, inputs, outputs] = sizes;
        let (input, weight) = (matrix([batch, inputs], seed), matrix([outputs, inputs], !seed));
        let grads = matrix([batch, outputs], seed ^ 2);
        let absolute = |matrix: &Array2<f64>| matrix.mapv(f64::abs);
        let close = |got: &Array2<f64>, single: &Array2<f32>, a: &Array2<f64>, b: &Array2<f64>| {
            let (expected, terms) = (a.dot(b), a.ncols());
            let magnitude = absolute(a).dot(&absolute(b));
            let magnitude = magnitude.as_slice().unwrap();
            let bound = |i: usize| dot_bound(terms, magnitude[i]);
            assert_close(got.view(), expected.view(), |i| bound(i) * F64_OVER_F32);
            assert_close(single.view(), expected.view(), bound);
        };
        let single = [&input, &weight, &grads].map(|matrix| to_f32(matrix.view()));
        let [x, w, g] = [&single[0], &single[1], &single[2]].map(|matrix| matrix.view());
        close(
            &plain::linear_grad_input(grads.view(), weight.view())?,
            &plain::linear_grad_input(g, w)?,
            &grads,
            &weight,
        );
        close(
            &plain::linear_grad_weight(input.view(), grads.view())?,
            &plain::linear_grad_weight(x, g)?,
            &grads.t().to_owned(),
            &input,
        );
        // Views that are reversed in memory.
        let turned = |matrix: &Array2<f64>| matrix.t().as_standard_layout().into_owned();
        let [tx, tw, tg] = [&input, &weight, &grads].map(turned);
        prop_assert_eq!(
            plain::linear_grad_input(tg.t(), tw.t())?,
            plain::linear_grad_input(grads.view(), weight.view())?
        );
        prop_assert_eq!(
            plain::linear_grad_weight(tx.t(), tg.t())?,
            plain::linear_grad_weight(input.view(), grads.view())?
        );
        prop_assert_eq!(plain::linear_grad_bias(tg.t()).unwrap(), plain::linear_grad_bias(grads.view()).unwrap());
    }

    #[test]
    fn quotients_confirm_padding(
        shape in prop::array::uniform4(1_usize..=5),
        padding in prop::array::uniform4(0_usize..=4),
        seed in any::<u64>(),
    ) {
        let input: Array4<f64> = random_array(&shape, seed).into_dimensionality()?;
        for value in [
            PaddingValue::Zeros,
            PaddingValue::Constant(0.75),
            PaddingValue::Reflect,
            PaddingValue::Replicate,
            PaddingValue::Circular,
        ] {
            let most = match value {
                PaddingValue::Reflect => 1,
                PaddingValue::Circular => 0,
                _ => -4_isize,
            };
            let mut padding = padding;
            for (side, pixels) in padding.iter_mut().enumerate() {
                *pixels = (*pixels).min(shape[2 + side % 2].saturating_add_signed(-most));
            }
            let output = plain::pad2d(input.view(), padding, value)?;
            let grad_output = random_like(&output, !seed);
            check(output.len(), 1, seed).assert(
                |input| dot(&plain::pad2d(input, padding, value).unwrap(), &grad_output),
                input.view(),
                plain::pad2d_grad(grad_output.view(), padding, value)?.view(),
            );
        }
    }

    #[test]
    fn quotients_confirm_upsampling(
        shape in prop::array::uniform4(1_usize..=5),
        scale in prop::array::uniform2(1_usize..=4),
        seed in any::<u64>(),
    ) {
        let input: Array4<f64> = random_array(&shape, seed).into_dimensionality()?;
        let output = plain::upsample_nearest2d(input.view(), scale)?;
        let grad_output = random_like(&output, !seed);
        let grad = plain::upsample_nearest2d_grad(grad_output.view(), scale)?;
        check(output.len(), 1, seed).assert(
            |input| dot(&plain::upsample_nearest2d(input, scale).unwrap(), &grad_output),
            input.view(),
            grad.view(),
        );
        // The sum of the pictures formed by every `scale`-th row and column.
        let mut sum = Array4::zeros(input.dim());
        for y in 0..scale[0] {
            for x in 0..scale[1] {
                sum += &grad_output.slice(s![.., .., y..; scale[0], x..; scale[1]]);
            }
        }
        prop_assert_eq!(grad, sum);
    }
}

#[test]
fn an_empty_batch_gives_zeros() {
    let (input, grads) = (Array2::<f32>::zeros((0, 3)), Array2::zeros((0, 2)));
    let weight = Array2::ones((2, 3));
    assert_eq!(
        plain::linear_grad_input(grads.view(), weight.view()),
        Ok(input.clone())
    );
    assert_eq!(
        plain::linear_grad_weight(input.view(), grads.view()),
        Ok(Array2::zeros((2, 3)))
    );
    assert_eq!(
        plain::linear_grad_bias(grads.view()).unwrap(),
        Array1::<f32>::zeros(2)
    );
    let none = Array4::<f32>::zeros((0, 2, 4, 4));
    let half = Array4::<f32>::zeros((0, 2, 2, 2));
    assert_eq!(
        plain::upsample_nearest2d_grad(none.view(), [2, 2]),
        Ok(half.clone())
    );
    assert_eq!(
        plain::pad2d_grad(none.view(), [1; 4], PaddingValue::Zeros),
        Ok(half)
    );
}
