//! `conv_transpose2d` and its gradients.

use conv_core::ndarray::{Array1, Array4, Axis, array, s};
use conv_core::{Conv2dOptions, ConvTranspose2dOptions, Error, Padding, plain};
use proptest::prelude::*;
use testkit::{
    Conv2dProblem, GradientCheck, assert_close, conv2d_problems_in, dot_bound, random_array,
};

use crate::{F64_OVER_F32, dot, random_like, size};

/// A transposed convolution with its values.
#[derive(Clone, Debug)]
struct Problem {
    options: ConvTranspose2dOptions,
    input: Array4<f64>,
    weight: Array4<f64>,
    bias: Array1<f64>,
    /// A projection of the output.
    grad_output: Array4<f64>,
}

impl Problem {
    fn output_of(&self, input: &Array4<f64>, weight: &Array4<f64>) -> Array4<f64> {
        let bias = Some(self.bias.view());
        plain::conv_transpose2d(input.view(), weight.view(), bias, &self.options).unwrap()
    }

    fn output(&self) -> Array4<f64> {
        self.output_of(&self.input, &self.weight)
    }

    fn grad_input(&self) -> Array4<f64> {
        let (grads, weight) = (self.grad_output.view(), self.weight.view());
        plain::conv_transpose2d_grad_input(grads, weight, &self.options).unwrap()
    }

    fn grad_weight(&self) -> Array4<f64> {
        let (input, grads) = (self.input.view(), self.grad_output.view());
        let kernel_size = size(&self.weight);
        plain::conv_transpose2d_grad_weight(input, grads, kernel_size, &self.options).unwrap()
    }

    /// The total number of products: every input pixel with every tap, and every output's bias.
    fn terms(&self) -> usize {
        let (_, group_outputs, kernel_h, kernel_w) = self.weight.dim();
        self.input.len() * group_outputs * kernel_h * kernel_w + self.grad_output.len()
    }

    /// Bounds the difference of two sums over all products, with every value at most `largest`.
    fn bound(&self, largest: f64) -> f64 {
        let magnitude = largest * largest * self.terms() as f64;
        2.0 * dot_bound(self.terms(), magnitude) * F64_OVER_F32
    }

    /// A check of the projected output, which is linear in each tensor, with a step of 1: values
    /// are then at most 2.
    fn check(&self, seed: u64) -> GradientCheck {
        GradientCheck {
            step: 1.0,
            terms: self.terms(),
            magnitude: 4.0 * self.terms() as f64,
            seed,
        }
    }
}

/// Transposed convolutions of every kind, including output paddings over the stride.
fn problems() -> impl Strategy<Value = Problem> {
    let channels = prop::array::uniform3(1_usize..=3);
    let sizes = (
        prop::array::uniform2(1_usize..=6),
        prop::array::uniform2(1_usize..=4),
    );
    let steps = (
        prop::array::uniform2(1_usize..=3),
        prop::array::uniform2(1_usize..=3),
    );
    let paddings = (
        prop::array::uniform4(0_usize..=4),
        prop::array::uniform2(0_usize..=2),
    );
    (1_usize..=2, channels, sizes, steps, paddings, any::<u64>()).prop_map(
        |(batch, channels, (input_size, kernel_size), (stride, dilation), paddings, seed)| {
            let [groups, group_inputs, group_outputs] = channels;
            let (mut padding, mut output_padding) = paddings;
            for axis in 0..2 {
                output_padding[axis] =
                    output_padding[axis].min(stride[axis].max(dilation[axis]) - 1);
                let reach = (kernel_size[axis] - 1) * dilation[axis] + 1;
                let mut rest = (input_size[axis] - 1) * stride[axis] + reach + output_padding[axis];
                for side in [axis, axis + 2] {
                    padding[side] = padding[side].min(rest - 1);
                    rest -= padding[side];
                }
            }
            let options = ConvTranspose2dOptions {
                stride,
                dilation,
                groups,
                padding,
                output_padding,
            };
            let [height, width] = input_size;
            let random4 = |shape: [usize; 4], number: u64| -> Array4<f64> {
                let random = random_array(&shape, seed.wrapping_add(number));
                random.into_dimensionality().unwrap()
            };
            let input = random4([batch, groups * group_inputs, height, width], 0);
            let [kernel_h, kernel_w] = kernel_size;
            let weight = random4(
                [groups * group_inputs, group_outputs, kernel_h, kernel_w],
                1,
            );
            let bias = random_array(&[groups * group_outputs], seed.wrapping_add(2));
            let bias = bias.into_dimensionality().unwrap();
            let [output_h, output_w] = options
                .output_size("test", input_size, kernel_size)
                .unwrap();
            let grad_output = random4([batch, groups * group_outputs, output_h, output_w], 3);
            Problem {
                options,
                input,
                weight,
                bias,
                grad_output,
            }
        },
    )
}

/// The input with zeros inserted between its pixels, correlated with the flipped weight: every
/// pixel's window, cropped to what the padding leaves.
fn by_correlation(problem: &Problem) -> Array4<f64> {
    let ConvTranspose2dOptions {
        stride,
        dilation,
        groups,
        padding,
        output_padding,
    } = problem.options;
    let (batch, channels, height, width) = problem.input.dim();
    let [kernel_h, kernel_w] = size(&problem.weight);
    let (group_inputs, group_outputs) = (channels / groups, problem.weight.dim().1);
    let outputs = groups * group_outputs;

    let between = ((height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1);
    let mut with_zeros = Array4::zeros((batch, channels, between.0, between.1));
    with_zeros
        .slice_mut(s![.., .., ..; stride[0], ..; stride[1]])
        .assign(&problem.input);
    let shape = (outputs, group_inputs, kernel_h, kernel_w);
    let turned = Array4::from_shape_fn(shape, |(o, c, i, j)| {
        let input = o / group_outputs * group_inputs + c;
        problem.weight[[input, o % group_outputs, kernel_h - 1 - i, kernel_w - 1 - j]]
    });
    let around = [0, 1].map(|axis| ([kernel_h, kernel_w][axis] - 1) * dilation[axis]);
    let options = Conv2dOptions {
        dilation,
        groups,
        padding: Padding::Explicit([around[0], around[1], around[0], around[1]]),
        ..Default::default()
    };
    let full = plain::conv2d(with_zeros.view(), turned.view(), None, &options).unwrap();

    let [full_h, full_w] = size(&full);
    let size = (full_h + output_padding[0], full_w + output_padding[1]);
    let mut output = Array4::zeros((batch, outputs, size.0, size.1));
    output += &problem
        .bias
        .view()
        .insert_axis(Axis(1))
        .insert_axis(Axis(2));
    output
        .slice_mut(s![.., .., ..full_h, ..full_w])
        .scaled_add(1.0, &full);
    let [top, left, bottom, right] = padding;
    output
        .slice(s![.., .., top..size.0 - bottom, left..size.1 - right])
        .to_owned()
}

proptest! {
    #[test]
    fn it_is_a_correlation_with_zeros_between_pixels(problem in problems()) {
        let expected = by_correlation(&problem);
        assert_close(problem.output().view(), expected.view(), |_| problem.bound(1.0));
    }

    #[test]
    fn gradients_are_adjoint(problem in problems()) {
        let problem = Problem { bias: Array1::zeros(problem.bias.len()), ..problem };
        let product = dot(&problem.output(), &problem.grad_output);
        let bound = problem.bound(1.0);
        for other in [
            dot(&problem.input, &problem.grad_input()),
            dot(&problem.weight, &problem.grad_weight()),
        ] {
            prop_assert!((product - other).abs() <= bound, "{product} and {other}, bound {bound}");
        }
    }

    #[test]
    fn quotients_confirm_every_gradient(problem in problems(), seed in any::<u64>()) {
        let Problem { input, weight, bias, grad_output, .. } = &problem;
        let check = problem.check(seed);
        check.assert(
            |input| dot(&problem.output_of(&input.to_owned(), weight), grad_output),
            input.view(),
            problem.grad_input().view(),
        );
        check.assert(
            |weight| dot(&problem.output_of(input, &weight.to_owned()), grad_output),
            weight.view(),
            problem.grad_weight().view(),
        );
        check.assert(
            |bias| {
                let problem = Problem { bias: bias.to_owned(), ..problem.clone() };
                dot(&problem.output(), grad_output)
            },
            bias.view(),
            plain::conv_transpose2d_grad_bias(grad_output.view()).unwrap().view(),
        );
    }

    /// <conv(x, w), y> = <x, conv_transpose(y, w)>, and the shapes are restored.
    #[test]
    fn it_is_the_transpose_of_a_convolution(problem in conv2d_problems_in(testkit::Conv2dSpace {
        max_multiply_adds: 50_000,
        ..Default::default()
    })) {
        let Conv2dOptions { stride, dilation, groups, .. } = problem.options;
        let placement = problem.shape()?.placement;
        let padding = placement.padding;
        let output_padding = [0, 1].map(|axis| {
            let reach = (problem.kernel_size[axis] - 1) * dilation[axis] + 1;
            let least = (placement.output[axis] - 1) * stride[axis] + reach;
            problem.input_size[axis] + padding[axis] + padding[axis + 2] - least
        });
        let options = Conv2dOptions {
            padding: Padding::Explicit(padding),
            padding_value: Default::default(),
            ..problem.options
        };
        let problem = Conv2dProblem { options, bias: false, ..problem };
        let (x, w) = (problem.input(), problem.weight());
        let output = plain::conv2d(x.view(), w.view(), None, &options)?;
        let y = random_like(&output, !problem.seed);
        let options = ConvTranspose2dOptions { stride, dilation, groups, padding, output_padding };
        let back = plain::conv_transpose2d(y.view(), w.view(), None, &options)?;
        prop_assert_eq!(back.dim(), x.dim());
        let terms = output.len() * w.len() / problem.out_channels;
        let bound = 2.0 * dot_bound(terms, terms as f64) * F64_OVER_F32;
        prop_assert!((dot(&output, &y) - dot(&x, &back)).abs() <= bound);
    }
}

#[test]
fn an_output_padding_may_reach_past_the_window() {
    // Two more columns than the window of 1 + 2 pixels needs: the bias alone.
    let (input, weight, bias) = (array![[[[2.0]]]], array![[[[1.0, 10.0]]]], array![0.5]);
    let options = ConvTranspose2dOptions {
        dilation: [1, 3],
        output_padding: [0, 2],
        ..Default::default()
    };
    let output = plain::conv_transpose2d(input.view(), weight.view(), Some(bias.view()), &options);
    assert_eq!(output.unwrap(), array![[[[2.5, 0.5, 0.5, 20.5, 0.5, 0.5]]]]);
    let grads = array![[[[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]]]];
    let grad_input = plain::conv_transpose2d_grad_input(grads.view(), weight.view(), &options);
    // Three steps of one pixel fit into the output padding: the first input is the only one.
    assert_eq!(grad_input.unwrap(), array![[[[81.0]]]]);
}

#[test]
fn sizes_of_networks() {
    // A decoder's doubling layers, as written for PyTorch.
    let double = |kernel: usize, padding: usize, output_padding: usize| {
        let options = ConvTranspose2dOptions {
            stride: [2, 2],
            padding: [padding; 4],
            output_padding: [output_padding; 2],
            ..Default::default()
        };
        options.output_size("test", [7, 13], [kernel; 2]).unwrap()
    };
    assert_eq!(double(4, 1, 0), [14, 26]);
    assert_eq!(double(3, 1, 1), [14, 26]);
    assert_eq!(double(2, 0, 0), [14, 26]);
}

#[test]
fn an_empty_batch_gives_no_output() {
    let (input, weight) = (
        Array4::<f64>::zeros((0, 2, 3, 3)),
        Array4::ones((2, 1, 2, 2)),
    );
    let options = ConvTranspose2dOptions::default();
    let output = plain::conv_transpose2d(input.view(), weight.view(), None, &options).unwrap();
    assert_eq!(output.dim(), (0, 1, 4, 4));
    let grad_input =
        plain::conv_transpose2d_grad_input(output.view(), weight.view(), &options).unwrap();
    assert_eq!(grad_input, input);
    let grad_weight =
        plain::conv_transpose2d_grad_weight(input.view(), output.view(), [2, 2], &options);
    assert_eq!(grad_weight.unwrap(), Array4::<f64>::zeros((2, 1, 2, 2)));
}

#[test]
fn conv_transpose2d_refuses_what_does_not_fit() {
    let op = "conv_transpose2d";
    let run = |channels: usize, weight: [usize; 4], bias: Option<usize>, options| {
        let bias = bias.map(Array1::zeros);
        let bias = bias.as_ref().map(|bias| bias.view());
        let (input, weight) = (
            Array4::<f32>::zeros([1, channels, 3, 4]),
            Array4::<f32>::zeros(weight),
        );
        plain::conv_transpose2d(input.view(), weight.view(), bias, &options).unwrap_err()
    };
    let options = ConvTranspose2dOptions::default();
    let zero = |what| Error::Zero { op, what };
    let no_groups = ConvTranspose2dOptions {
        groups: 0,
        ..options
    };
    assert_eq!(run(4, [4, 2, 1, 1], None, no_groups), zero("groups"));
    assert_eq!(
        run(0, [0, 2, 1, 1], None, options),
        zero("input channels (input axis 1)")
    );
    let what = "output channels per group (weight axis 1)";
    assert_eq!(run(4, [4, 0, 1, 1], None, options), zero(what));
    assert_eq!(run(4, [4, 2, 0, 1], None, options), zero("kernel size"));
    let no_stride = ConvTranspose2dOptions {
        stride: [1, 0],
        ..options
    };
    assert_eq!(run(4, [4, 2, 1, 1], None, no_stride), zero("stride"));
    let no_dilation = ConvTranspose2dOptions {
        dilation: [0, 1],
        ..options
    };
    assert_eq!(run(4, [4, 2, 1, 1], None, no_dilation), zero("dilation"));

    let what = "input channels (weight axis 0)";
    assert_eq!(
        run(4, [3, 2, 1, 1], None, options),
        Error::Mismatch {
            op,
            what,
            expected: 4,
            got: 3
        }
    );
    let grouped = ConvTranspose2dOptions {
        groups: 3,
        ..options
    };
    let what = "input channels (input axis 1)";
    assert_eq!(
        run(4, [4, 2, 1, 1], None, grouped),
        Error::Groups {
            op,
            what,
            got: 4,
            groups: 3
        }
    );
    let grouped = ConvTranspose2dOptions {
        groups: 2,
        ..options
    };
    let what = "bias length";
    assert_eq!(
        run(4, [4, 3, 1, 1], Some(3), grouped),
        Error::Mismatch {
            op,
            what,
            expected: 6,
            got: 3
        }
    );

    let (axis, most) = ("w", 2);
    let large = ConvTranspose2dOptions {
        stride: [1, 2],
        dilation: [1, 3],
        output_padding: [0, 3],
        ..options
    };
    let error = run(4, [4, 2, 1, 1], None, large);
    assert_eq!(
        error,
        Error::OutputPaddingTooLarge {
            op,
            axis,
            got: 3,
            most
        }
    );
    assert_eq!(
        error.to_string(),
        "conv_transpose2d: output padding 3 along w, expected at most 2 (less than the stride or \
         the dilation)"
    );
    // Three rows through 2x2 produce four, of which one must remain.
    let padded = |padding| ConvTranspose2dOptions { padding, ..options };
    let why = "it leaves nothing of the output";
    assert_eq!(
        run(4, [4, 2, 2, 2], None, padded([2, 0, 2, 0])),
        Error::PaddingTooLarge {
            op,
            side: "bottom",
            got: 2,
            most: 1,
            why
        }
    );
    assert_eq!(
        run(4, [4, 2, 2, 2], None, padded([0, 9, 0, 0])),
        Error::PaddingTooLarge {
            op,
            side: "left",
            got: 9,
            most: 4,
            why
        }
    );
}

#[test]
fn conv_transpose2d_s_gradients_refuse_groups_that_do_not_divide() {
    let (input, grads) = (
        Array4::<f32>::zeros([1, 4, 3, 3]),
        Array4::<f32>::zeros([1, 3, 3, 3]),
    );
    let options = ConvTranspose2dOptions {
        groups: 2,
        ..Default::default()
    };
    let grad = plain::conv_transpose2d_grad_weight(input.view(), grads.view(), [1, 1], &options);
    let (op, what) = (
        "conv_transpose2d_grad_weight",
        "output channels (grad_output axis 1)",
    );
    assert_eq!(
        grad,
        Err(Error::Groups {
            op,
            what,
            got: 3,
            groups: 2
        })
    );
    let options = ConvTranspose2dOptions {
        groups: 0,
        ..Default::default()
    };
    let grad = plain::conv_transpose2d_grad_weight(input.view(), grads.view(), [1, 1], &options);
    assert_eq!(grad, Err(Error::Zero { op, what: "groups" }));
    // A stride of 0 or a window that is too large for any output.
    let weight = Array4::<f32>::zeros([4, 3, 5, 1]);
    let op = "conv_transpose2d_grad_input";
    let of = |options| plain::conv_transpose2d_grad_input(grads.view(), weight.view(), &options);
    let no_stride = ConvTranspose2dOptions {
        stride: [0, 1],
        ..Default::default()
    };
    assert_eq!(of(no_stride), Err(Error::Zero { op, what: "stride" }));
    assert_eq!(
        of(ConvTranspose2dOptions::default()),
        Err(Error::Mismatch {
            op,
            what: "height (grad_output axis 2)",
            expected: 5,
            got: 3
        })
    );
}
