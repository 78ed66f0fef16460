//! `conv2d`: slices of a padded copy instead of tap positions, and identities between problems.

use conv_core::ndarray::{Array4, ArrayView4, Axis, array, concatenate, s};
use conv_core::{Conv2dOptions, Padding, PaddingValue, plain};
use proptest::prelude::*;
use testkit::{
    Conv2dProblem, Conv2dSpace, assert_close, conv2d_problems, conv2d_problems_in, on_threads,
    random_array, to_f32,
};

/// The problem's own result in f64.
fn solve(problem: &Conv2dProblem) -> Array4<f64> {
    let bias = problem.bias();
    let bias = bias.as_ref().map(|bias| bias.view());
    plain::conv2d(
        problem.input().view(),
        problem.weight().view(),
        bias,
        &problem.options,
    )
    .unwrap()
}

/// The padding's four sides, with `Same` resolved.
fn sides(problem: &Conv2dProblem) -> [usize; 4] {
    problem.shape().unwrap().placement.padding
}

/// A padded copy, its pixels found by independent arithmetic.
fn padded(input: &Array4<f64>, sides: [usize; 4], value: PaddingValue) -> Array4<f64> {
    let (batch, channels, height, width) = input.dim();
    let [top, left, bottom, right] = sides;
    // The position in the padded input, in periods of what repeats.
    let source = |at: usize, before: usize, len: usize| -> Option<usize> {
        let (at, len) = (at as isize - before as isize, len as isize);
        let index = match value {
            _ if at >= 0 && at < len => at,
            PaddingValue::Zeros | PaddingValue::Constant(_) => return None,
            PaddingValue::Replicate => at.max(0).min(len - 1),
            PaddingValue::Circular => (at + len) % len,
            PaddingValue::Reflect => {
                let period = 2 * (len - 1);
                let folded = (at + period) % period;
                folded.min(period - folded)
            }
        };
        Some(index as usize)
    };
    let outside = if let PaddingValue::Constant(value) = value {
        value
    } else {
        0.0
    };
    let shape = (batch, channels, top + height + bottom, left + width + right);
    Array4::from_shape_fn(shape, |(n, c, y, x)| {
        match (source(y, top, height), source(x, left, width)) {
            (Some(y), Some(x)) => input[[n, c, y, x]],
            _ => outside,
        }
    })
}

/// The same convolution, tap by tap over whole planes: each tap reads every `stride`-th pixel of
/// the padded input, starting at its own corner.
fn by_slices(problem: &Conv2dProblem) -> Array4<f64> {
    let Conv2dOptions {
        stride,
        dilation,
        groups,
        padding_value,
        ..
    } = problem.options;
    let shape = problem.shape().unwrap();
    let [output_h, output_w] = shape.placement.output;
    let padded = padded(&problem.input(), sides(problem), padding_value);
    let weight = problem.weight();
    let mut output = Array4::zeros(shape.output());
    for j in (0..problem.kernel_size[1]).rev() {
        for i in (0..problem.kernel_size[0]).rev() {
            let (y, x) = (i * dilation[0], j * dilation[1]);
            let rows = s![
                ..,
                ..,
                y..=y + (output_h - 1) * stride[0]; stride[0],
                x..=x + (output_w - 1) * stride[1]; stride[1]
            ];
            let seen = padded.slice(rows);
            for o in 0..problem.out_channels {
                let group = o / (problem.out_channels / groups);
                let inputs = problem.in_channels / groups;
                for c in 0..inputs {
                    let seen = seen.index_axis(Axis(1), group * inputs + c);
                    let tap = weight[[o, c, i, j]];
                    output.index_axis_mut(Axis(1), o).scaled_add(tap, &seen);
                }
            }
        }
    }
    if let Some(bias) = problem.bias() {
        output += &bias.insert_axis(Axis(1)).insert_axis(Axis(2));
    }
    output
}

/// Converts the bound of a sum in f32 to that in f64.
const F64_OVER_F32: f64 = f64::EPSILON / f32::EPSILON as f64;

proptest! {
    #[test]
    fn it_is_what_slices_of_a_padded_copy_give(problem in conv2d_problems()) {
        let reference = problem.reference();
        let bound = reference.bound();
        assert_close(by_slices(&problem).view(), reference.expected.view(), |i| {
            bound(i) * F64_OVER_F32
        });
    }

    #[test]
    fn f32_is_f64_up_to_rounding(problem in conv2d_problems()) {
        let bias = problem.bias().map(|bias| to_f32(bias.view()));
        let got = plain::conv2d(
            to_f32(problem.input().view()).view(),
            to_f32(problem.weight().view()).view(),
            bias.as_ref().map(|bias| bias.view()),
            &problem.options,
        )?;
        let reference = problem.reference();
        assert_close(got.view(), reference.expected.view(), reference.bound());
    }

    #[test]
    fn groups_are_convolutions_side_by_side(problem in conv2d_problems()) {
        let groups = problem.options.groups;
        let (input, weight, bias) = (problem.input(), problem.weight(), problem.bias());
        let (inputs, outputs) = (problem.in_channels / groups, problem.out_channels / groups);
        let options = Conv2dOptions { groups: 1, ..problem.options };
        let parts: Vec<Array4<f64>> = (0..groups)
            .map(|group| {
                let (first, last) = (group * outputs, (group + 1) * outputs);
                plain::conv2d(
                    input.slice(s![.., group * inputs..(group + 1) * inputs, .., ..]),
                    weight.slice(s![first..last, .., .., ..]),
                    bias.as_ref().map(|bias| bias.slice(s![first..last])),
                    &options,
                )
            })
            .collect::<Result<_, _>>()?;
        let parts: Vec<ArrayView4<f64>> = parts.iter().map(|part| part.view()).collect();
        prop_assert_eq!(solve(&problem), concatenate(Axis(1), &parts)?);
    }

    #[test]
    fn dilation_is_a_weight_with_holes(problem in conv2d_problems()) {
        let [dilation_h, dilation_w] = problem.options.dilation;
        let weight = problem.weight();
        let (o, c, kernel_h, kernel_w) = weight.dim();
        let reach = ((kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1);
        let mut with_holes = Array4::zeros((o, c, reach.0, reach.1));
        with_holes.slice_mut(s![.., .., ..; dilation_h, ..; dilation_w]).assign(&weight);
        let options = Conv2dOptions { dilation: [1, 1], ..problem.options };
        let bias = problem.bias();
        let bias = bias.as_ref().map(|bias| bias.view());
        let got = plain::conv2d(problem.input().view(), with_holes.view(), bias, &options)?;
        prop_assert_eq!(got, solve(&problem));
    }

    #[test]
    fn a_stride_leaves_out_outputs(problem in conv2d_problems()) {
        // `Same` depends on the stride, so the sides are fixed first.
        let padding = Padding::Explicit(sides(&problem));
        let [stride_h, stride_w] = problem.options.stride;
        let options = Conv2dOptions { stride: [1, 1], padding, ..problem.options };
        let every = solve(&Conv2dProblem { options, ..problem.clone() });
        let some = every.slice(s![.., .., ..; stride_h, ..; stride_w]);
        // A `Same` output may cover less than its padding holds; then `every` has more windows.
        let got = solve(&problem);
        let (_, _, height, width) = got.dim();
        prop_assert_eq!(got, some.slice(s![.., .., ..height, ..width]));
    }

    #[test]
    fn padding_can_come_first(problem in conv2d_problems()) {
        let input = problem.input();
        let padded = plain::pad2d(input.view(), sides(&problem), problem.options.padding_value)?;
        let options = Conv2dOptions { padding: Padding::Valid, ..problem.options };
        let bias = problem.bias();
        let bias = bias.as_ref().map(|bias| bias.view());
        let got = plain::conv2d(padded.view(), problem.weight().view(), bias, &options)?;
        prop_assert_eq!(got, solve(&problem));
    }

    #[test]
    fn it_is_linear_in_the_input(problem in conv2d_problems(), factor in -4_i32..=4) {
        // A constant in the padding would add its own share to each term.
        let padding_value = match problem.options.padding_value {
            PaddingValue::Constant(_) => PaddingValue::Zeros,
            other => other,
        };
        let options = Conv2dOptions { padding_value, ..problem.options };
        let problem = Conv2dProblem { options, bias: false, ..problem };
        let (factor, weight) = (f64::from(factor), problem.weight());
        let (x, y) = (problem.input(), Conv2dProblem { seed: !problem.seed, ..problem.clone() }.input());
        let conv = |input: &Array4<f64>| {
            plain::conv2d(input.view(), weight.view(), None, &options).unwrap()
        };
        let got = conv(&(&x * factor + &y));
        // Terms are at most 1 + |factor| each.
        let terms = weight.len() / problem.out_channels;
        let bound = testkit::dot_bound(terms, 2.0 * (1.0 + factor.abs()) * terms as f64);
        let expected = conv(&x) * factor + conv(&y);
        assert_close(got.view(), expected.view(), |_| bound * F64_OVER_F32);
    }

    #[test]
    fn views_may_lie_in_memory_as_they_like(problem in conv2d_problems()) {
        let turned = |array: &Array4<f64>| {
            // The same elements with columns outermost and rows backwards.
            let mut turned = array.view().permuted_axes([3, 1, 2, 0]).as_standard_layout().into_owned();
            turned.invert_axis(Axis(2));
            turned.as_standard_layout().into_owned()
        };
        let (input, weight) = (turned(&problem.input()), turned(&problem.weight()));
        let back = |array: &Array4<f64>| -> Array4<f64> {
            array.slice(s![.., .., ..;-1, ..]).permuted_axes([3, 1, 2, 0]).to_owned()
        };
        prop_assert_eq!(back(&input), problem.input());
        let bias = problem.bias();
        let got = plain::conv2d(
            input.slice(s![.., .., ..;-1, ..]).permuted_axes([3, 1, 2, 0]),
            weight.slice(s![.., .., ..;-1, ..]).permuted_axes([3, 1, 2, 0]),
            bias.as_ref().map(|bias| bias.view()),
            &problem.options,
        )?;
        prop_assert_eq!(got, solve(&problem));
    }
}

proptest! {
    #![proptest_config(testkit::cases(32))]

    #[test]
    fn threads_do_not_change_a_bit(
        problem in conv2d_problems_in(Conv2dSpace { groups: false, ..Conv2dSpace::default() }),
    ) {
        let (input, weight) = (to_f32(problem.input().view()), to_f32(problem.weight().view()));
        let on = |threads: usize| {
            on_threads(threads, || plain::conv2d(input.view(), weight.view(), None, &problem.options))
        };
        let one = on(1)?.mapv(f32::to_bits);
        for threads in [2, 4] {
            prop_assert_eq!(&on(threads)?.mapv(f32::to_bits), &one);
        }
    }
}

#[test]
fn the_sum_starts_with_the_bias_and_goes_over_channels_rows_columns() {
    // In f32, 2^24 + 1 is 2^24: each 1 that follows a large value is lost.
    let large = 16_777_216.0_f32;
    let ones = Array4::from_elem((1, 2, 1, 2), 1.0_f32);
    let sum = |weight: [f32; 4], bias: f32| {
        let weight = Array4::from_shape_vec((1, 2, 1, 2), weight.to_vec()).unwrap();
        let bias = array![bias];
        let options = Conv2dOptions::default();
        plain::conv2d(ones.view(), weight.view(), Some(bias.view()), &options).unwrap()
            [[0, 0, 0, 0]]
    };
    assert_eq!(sum([1.0, large, -large, 1.0], 0.0), 1.0);
    assert_eq!(sum([large, 1.0, -large, 1.0], 0.0), 1.0);
    assert_eq!(sum([large, -large, 1.0, 1.0], 0.0), 2.0);
    assert_eq!(sum([1.0, 1.0, -large, 0.0], large), 0.0);
    assert_eq!(sum([1.0, 1.0, large, -large], 0.0), 2.0);
}

#[test]
fn every_tap_and_every_channel_counts() {
    let problem = Conv2dProblem {
        batch: 1,
        in_channels: 3,
        out_channels: 2,
        input_size: [6, 6],
        kernel_size: [3, 3],
        options: Conv2dOptions::default(),
        bias: false,
        seed: 9,
    };
    let reference = problem.reference();
    for index in 0..problem.weight().len() / 2 {
        let mut weight = problem.weight();
        weight.as_slice_mut().unwrap()[index] = 0.0;
        let got = plain::conv2d(
            to_f32(problem.input().view()).view(),
            to_f32(weight.view()).view(),
            None,
            &problem.options,
        )
        .unwrap();
        let difference = testkit::compare(got.view(), reference.expected.view(), reference.bound());
        assert!(
            difference.is_err(),
            "tap {index} dropped without a difference"
        );
    }
}

#[test]
fn the_textbook_s_layers_have_their_sizes() {
    let layer = |input: [usize; 4], out_channels: usize, kernel: usize, stride: usize, padding| {
        let input_array = Array4::<f32>::zeros(input);
        let weight = Array4::<f32>::zeros((out_channels, input[1], kernel, kernel));
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding,
            ..Default::default()
        };
        let output = plain::conv2d(input_array.view(), weight.view(), None, &options).unwrap();
        <[usize; 4]>::from(output.dim())
    };
    // 6x6x3 with two 3x3 filters.
    assert_eq!(layer([1, 3, 6, 6], 2, 3, 1, Padding::Valid), [1, 2, 4, 4]);
    assert_eq!(layer([1, 3, 6, 6], 2, 3, 1, Padding::Same), [1, 2, 6, 6]);
    // 39x39x3 to 1960 values, and one from them.
    let first = layer([1, 3, 39, 39], 10, 3, 1, Padding::Valid);
    assert_eq!(first, [1, 10, 37, 37]);
    let second = layer(first, 20, 5, 2, Padding::Valid);
    assert_eq!(second, [1, 20, 17, 17]);
    let third = layer(second, 40, 5, 2, Padding::Valid);
    assert_eq!(third, [1, 40, 7, 7]);
    let features: usize = third.iter().product();
    assert_eq!(features, 1960);
    let (input, weight) = (
        random_array(&[1, features], 0),
        random_array(&[1, features], 1),
    );
    let [input, weight] = [input, weight].map(|x| x.into_shape_with_order((1, features)).unwrap());
    assert_eq!(
        plain::linear(input.view(), weight.view(), None)
            .unwrap()
            .dim(),
        (1, 1)
    );
}

#[test]
fn infinite_weights_meet_the_zeros_of_the_padding() {
    let (input, weight) = (array![[[[1.0]]]], array![[[[f64::INFINITY, 1.0]]]]);
    let padding = Padding::Explicit([0, 1, 0, 0]);
    for padding_value in [PaddingValue::Zeros, PaddingValue::Constant(0.0)] {
        let options = Conv2dOptions {
            padding,
            padding_value,
            ..Default::default()
        };
        let output = plain::conv2d(input.view(), weight.view(), None, &options).unwrap();
        assert!(output[[0, 0, 0, 0]].is_nan());
    }
}
