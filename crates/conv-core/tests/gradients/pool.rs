//! The gradients of pools.

use conv_core::ndarray::{Array4, array};
use conv_core::{AvgPool2dOptions, MaxPool2dOptions, Padding, plain};
use proptest::prelude::*;
use testkit::{
    GradientCheck, assert_close, avg_pool2d_problems, distinct_array, dot_bound,
    max_pool2d_problems, to_f32,
};

use crate::{F64_OVER_F32, dot, random_like, size};

/// A check of projected means or maxima of values below 1, where each output has `taps` of them.
fn check(step: f64, grad_output: &Array4<f64>, taps: usize, seed: u64) -> GradientCheck {
    GradientCheck {
        step,
        terms: grad_output.len() * (taps + 1),
        magnitude: (1.0 + step) * grad_output.mapv(f64::abs).sum(),
        seed,
    }
}

proptest! {
    #[test]
    fn quotients_confirm_max_pools(problem in max_pool2d_problems()) {
        let (options, input) = (problem.options, problem.input_without_ties());
        let output = plain::max_pool2d(input.view(), &options)?;
        let grad_output = random_like(&output, !problem.seed);
        check(problem.kink() / 2.0, &grad_output, 1, problem.seed).assert(
            |input| dot(&plain::max_pool2d(input, &options).unwrap(), &grad_output),
            input.view(),
            plain::max_pool2d_grad(input.view(), grad_output.view(), &options)?.view(),
        );
    }

    #[test]
    fn max_pools_give_the_gradient_to_the_argmax(problem in max_pool2d_problems()) {
        let (options, input) = (problem.options, problem.input_with_ties());
        let (output, argmax) = plain::max_pool2d_with_argmax(input.view(), &options)?;
        let grad_output = random_like(&output, !problem.seed);
        let mut expected = Array4::<f64>::zeros(input.dim());
        let width = problem.input_size[1];
        for ((n, c, y, x), &place) in argmax.indexed_iter() {
            expected[[n, c, place / width, place % width]] += grad_output[[n, c, y, x]];
        }
        let got = plain::max_pool2d_grad(input.view(), grad_output.view(), &options)?;
        prop_assert_eq!(&got, &expected);
        let turned = |array: &Array4<f64>| array.t().as_standard_layout().into_owned();
        let [input, grad_output] = [&input, &grad_output].map(turned);
        prop_assert_eq!(plain::max_pool2d_grad(input.t(), grad_output.t(), &options)?, got);
    }

    #[test]
    fn quotients_confirm_avg_pools(problem in avg_pool2d_problems()) {
        let (options, input) = (problem.options, problem.input());
        let output = plain::avg_pool2d(input.view(), &options)?;
        let grad_output = random_like(&output, !problem.seed);
        let grad = plain::avg_pool2d_grad(grad_output.view(), problem.input_size, &options)?;
        let taps = options.kernel_size.iter().product();
        check(1.0, &grad_output, taps, problem.seed).assert(
            |input| dot(&plain::avg_pool2d(input, &options).unwrap(), &grad_output),
            input.view(),
            grad.view(),
        );
        // In f32: a sum over at most as many windows as have the pixel under a tap.
        let single = to_f32(grad_output.view());
        let single = plain::avg_pool2d_grad(single.view(), problem.input_size, &options)?;
        let absolute = grad_output.mapv(f64::abs);
        let absolute = plain::avg_pool2d_grad(absolute.view(), problem.input_size, &options)?;
        let magnitude = absolute.as_slice().unwrap();
        assert_close(single.view(), grad.view(), |i| dot_bound(taps, magnitude[i]));
    }

    #[test]
    fn quotients_confirm_adaptive_pools(
        shape in (1_usize..=2, 1_usize..=3, 1_usize..=10, 1_usize..=10),
        bins in prop::array::uniform2(1_usize..=10),
        seed in any::<u64>(),
    ) {
        let (batch, channels, height, width) = shape;
        let sizes = [batch, channels, height, width];
        let input: Array4<f64> = distinct_array(&sizes, seed).into_dimensionality()?;
        let kink = 1.0 / input.len() as f64;

        let output = plain::adaptive_avg_pool2d(input.view(), bins)?;
        let grad_output = random_like(&output, !seed);
        check(1.0, &grad_output, height * width, seed).assert(
            |input| dot(&plain::adaptive_avg_pool2d(input, bins).unwrap(), &grad_output),
            input.view(),
            plain::adaptive_avg_pool2d_grad(grad_output.view(), [height, width])?.view(),
        );
        check(kink / 2.0, &grad_output, 1, seed).assert(
            |input| dot(&plain::adaptive_max_pool2d(input, bins).unwrap(), &grad_output),
            input.view(),
            plain::adaptive_max_pool2d_grad(input.view(), grad_output.view())?.view(),
        );

        let output = plain::global_avg_pool2d(input.view())?;
        let grad_output = random_like(&output, !seed);
        check(1.0, &grad_output, height * width, seed).assert(
            |input| dot(&plain::global_avg_pool2d(input).unwrap(), &grad_output),
            input.view(),
            plain::global_avg_pool2d_grad(grad_output.view(), [height, width])?.view(),
        );
    }

    #[test]
    fn an_avg_pool_s_gradient_keeps_what_it_is_given(problem in avg_pool2d_problems()) {
        // Without padding in the divisor, every share arrives.
        let options = AvgPool2dOptions { count_include_pad: false, ..problem.options };
        let output = plain::avg_pool2d(problem.input().view(), &options)?;
        let grad_output = random_like(&output, problem.seed);
        let grad = plain::avg_pool2d_grad(grad_output.view(), problem.input_size, &options)?;
        let shares = grad_output.len() * options.kernel_size.iter().product::<usize>();
        let magnitude = grad_output.mapv(f64::abs).sum();
        let bound = 2.0 * dot_bound(shares, magnitude) * F64_OVER_F32;
        prop_assert!((grad.sum() - grad_output.sum()).abs() <= bound);
    }
}

#[test]
fn max_pool_by_hand() {
    // 3x3 windows in steps of 1: the middle pixel wins all four.
    let mut input = Array4::<f64>::zeros((1, 1, 4, 4));
    input[[0, 0, 2, 2]] = 1.0;
    let options = MaxPool2dOptions {
        stride: [1, 1],
        ..MaxPool2dOptions::new([3, 3])
    };
    let grads = array![[[[1.0, 2.0], [4.0, 8.0]]]];
    let grad = plain::max_pool2d_grad(input.view(), grads.view(), &options).unwrap();
    assert_eq!(grad[[0, 0, 2, 2]], 15.0);
    assert_eq!(grad.sum(), 15.0);
    // Of equal pixels, the first of each window receives everything.
    let zeros = Array4::<f64>::zeros((1, 1, 4, 4));
    let grad = plain::max_pool2d_grad(zeros.view(), grads.view(), &options).unwrap();
    let mut expected = Array4::zeros((1, 1, 4, 4));
    for (y, x, value) in [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 4.0), (1, 1, 8.0)] {
        expected[[0, 0, y, x]] = value;
    }
    assert_eq!(grad, expected);
}

#[test]
fn adaptive_max_pool_gives_to_the_first_of_equal_and_the_last_nan() {
    let of = |row: [f64; 4]| {
        let input = Array4::from_shape_vec((1, 1, 1, 4), row.to_vec()).unwrap();
        let grads = array![[[[3.0]]]];
        let grad = plain::adaptive_max_pool2d_grad(input.view(), grads.view()).unwrap();
        grad.into_raw_vec_and_offset().0
    };
    assert_eq!(of([1.0, 2.0, 2.0, 0.0]), [0.0, 3.0, 0.0, 0.0]);
    assert_eq!(of([f64::NAN, 2.0, f64::NAN, 9.0]), [0.0, 0.0, 3.0, 0.0]);
    assert_eq!(of([f64::NEG_INFINITY; 4]), [3.0, 0.0, 0.0, 0.0]);
}

#[test]
fn avg_pool_s_shares_by_hand() {
    let grads = array![[[[12.0, 24.0]]]];
    let share = |padding, count_include_pad| {
        let options = AvgPool2dOptions {
            kernel_size: [1, 3],
            stride: [1, 2],
            padding: Padding::Explicit(padding),
            ceil_mode: false,
            count_include_pad,
        };
        plain::avg_pool2d_grad(grads.view(), [1, 5 - padding[1]], &options).unwrap()
    };
    assert_eq!(share([0; 4], true), array![[[[4.0, 4.0, 12.0, 8.0, 8.0]]]]);
    assert_eq!(share([0, 1, 0, 0], true), array![[[[4.0, 12.0, 8.0, 8.0]]]]);
    assert_eq!(
        share([0, 1, 0, 0], false),
        array![[[[6.0, 14.0, 8.0, 8.0]]]]
    );
}

#[test]
fn an_empty_batch_gives_an_empty_gradient() {
    let (input, grads) = (
        Array4::<f32>::zeros((0, 2, 4, 4)),
        Array4::zeros((0, 2, 2, 2)),
    );
    let max = MaxPool2dOptions::new([2, 2]);
    let got = [
        plain::max_pool2d_grad(input.view(), grads.view(), &max),
        plain::avg_pool2d_grad(grads.view(), size(&input), &AvgPool2dOptions::new([2, 2])),
        plain::adaptive_avg_pool2d_grad(grads.view(), size(&input)),
        plain::adaptive_max_pool2d_grad(input.view(), grads.view()),
    ];
    for grad in got {
        assert_eq!(grad.unwrap(), input);
    }
}

#[test]
fn sums_go_over_outputs_in_row_major_order() {
    // In f32, 2^24 + 1 is 2^24.
    let large = 16_777_216.0_f32;
    let input = array![[[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]];
    let options = MaxPool2dOptions {
        kernel_size: [2, 2],
        stride: [1, 1],
        padding: Padding::Explicit([1, 0, 0, 0]),
        ..MaxPool2dOptions::new([2, 2])
    };
    let of = |grads: [f32; 4]| {
        let grads = Array4::from_shape_vec((1, 1, 2, 2), grads.to_vec()).unwrap();
        let grad = plain::max_pool2d_grad(input.view(), grads.view(), &options).unwrap();
        grad[[0, 0, 0, 1]]
    };
    assert_eq!(of([large, 1.0, 0.0, -large]), 0.0);
    assert_eq!(of([large, -large, 1.0, 1.0]), 2.0);
}
