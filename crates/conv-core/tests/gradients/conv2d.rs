//! `conv2d`'s gradients.

use conv_core::ndarray::{Array1, Array4, Axis, array, concatenate, s};
use conv_core::{Conv2dOptions, Padding, PaddingValue, plain};
use proptest::prelude::*;
use testkit::{
    Conv2dProblem, Conv2dSpace, GradientCheck, assert_close, conv2d_problems_in, dot_bound,
    on_threads, to_f32,
};

use crate::{F64_OVER_F32, dot, random_like, size};

fn problems() -> impl Strategy<Value = Conv2dProblem> {
    conv2d_problems_in(Conv2dSpace {
        max_multiply_adds: 50_000,
        ..Conv2dSpace::default()
    })
}

/// A problem's tensors, with a projection of its output.
struct Tensors {
    options: Conv2dOptions,
    input: Array4<f64>,
    weight: Array4<f64>,
    bias: Option<Array1<f64>>,
    grad_output: Array4<f64>,
}

impl Tensors {
    fn new(problem: &Conv2dProblem) -> Self {
        let (input, weight, bias) = (problem.input(), problem.weight(), problem.bias());
        let output = Array4::zeros(problem.shape().unwrap().output());
        Self {
            options: problem.options,
            input,
            weight,
            bias,
            grad_output: random_like(&output, problem.seed.wrapping_add(3)),
        }
    }

    /// The same with every value's absolute value: its gradients are the sums of absolute terms.
    fn absolute(&self) -> Self {
        let absolute = |array: &Array4<f64>| array.mapv(f64::abs);
        let padding_value = match self.options.padding_value {
            PaddingValue::Constant(value) => PaddingValue::Constant(value.abs()),
            other => other,
        };
        Self {
            options: Conv2dOptions {
                padding_value,
                ..self.options
            },
            input: absolute(&self.input),
            weight: absolute(&self.weight),
            bias: self.bias.as_ref().map(|bias| bias.mapv(f64::abs)),
            grad_output: absolute(&self.grad_output),
        }
    }

    fn output(&self, input: &Array4<f64>, weight: &Array4<f64>) -> Array4<f64> {
        let bias = self.bias.as_ref().map(|bias| bias.view());
        plain::conv2d(input.view(), weight.view(), bias, &self.options).unwrap()
    }

    fn grad_input(&self) -> Array4<f64> {
        let (grads, weight) = (self.grad_output.view(), self.weight.view());
        plain::conv2d_grad_input(grads, weight, size(&self.input), &self.options).unwrap()
    }

    fn grad_weight(&self) -> Array4<f64> {
        let (input, grads) = (self.input.view(), self.grad_output.view());
        plain::conv2d_grad_weight(input, grads, size(&self.weight), &self.options).unwrap()
    }

    /// The number of products in one output element, and in total.
    fn terms(&self) -> (usize, usize) {
        let terms = self.weight.len() / self.weight.dim().0 + 1;
        (terms, terms * self.grad_output.len())
    }

    /// The number of taps that may read one input pixel, counted as often as padding copies it.
    fn taps_of_a_pixel(&self, problem: &Conv2dProblem) -> usize {
        let sides = problem.shape().unwrap().placement.padding;
        let [height, width] = problem.input_size;
        let padded = (
            1,
            1,
            sides[0] + height + sides[2],
            sides[1] + width + sides[3],
        );
        let value = self.options.padding_value;
        let shown = plain::pad2d_grad(Array4::ones(padded).view(), sides, value).unwrap();
        let most = shown.fold(0.0_f64, |most, &count| most.max(count));
        most as usize * problem.kernel_size.iter().product::<usize>()
    }

    /// A check of the projected output: it is linear in each of its tensors.
    fn check(&self, seed: u64) -> GradientCheck {
        let absolute = self.absolute();
        // The values are below 1, so a step of 1 at most doubles them.
        let (input, weight) = (
            absolute.input.mapv(|x| x + 1.0),
            absolute.weight.mapv(|w| w + 1.0),
        );
        GradientCheck {
            step: 1.0,
            terms: self.terms().1,
            magnitude: dot(&absolute.output(&input, &weight), &absolute.grad_output),
            seed,
        }
    }
}

/// Padding that adds nothing of its own: the rest is linear.
fn without_constant(options: Conv2dOptions) -> Conv2dOptions {
    let padding_value = match options.padding_value {
        PaddingValue::Constant(_) => PaddingValue::Zeros,
        other => other,
    };
    Conv2dOptions {
        padding_value,
        ..options
    }
}

proptest! {
    #[test]
    fn quotients_confirm_the_input_s(problem in problems()) {
        let tensors = Tensors::new(&problem);
        tensors.check(problem.seed).assert(
            |input| dot(&tensors.output(&input.to_owned(), &tensors.weight), &tensors.grad_output),
            tensors.input.view(),
            tensors.grad_input().view(),
        );
    }

    #[test]
    fn quotients_confirm_the_weight_s(problem in problems()) {
        let tensors = Tensors::new(&problem);
        tensors.check(problem.seed).assert(
            |weight| dot(&tensors.output(&tensors.input, &weight.to_owned()), &tensors.grad_output),
            tensors.weight.view(),
            tensors.grad_weight().view(),
        );
    }

    #[test]
    fn quotients_confirm_the_bias_s(problem in problems()) {
        let problem = Conv2dProblem { bias: true, ..problem };
        let tensors = Tensors::new(&problem);
        let (input, weight) = (tensors.input.view(), tensors.weight.view());
        let mut check = tensors.check(problem.seed);
        check.magnitude += tensors.grad_output.mapv(f64::abs).sum();
        check.assert(
            |bias| {
                let output = plain::conv2d(input, weight, Some(bias), &tensors.options);
                dot(&output.unwrap(), &tensors.grad_output)
            },
            tensors.bias.as_ref().unwrap().view(),
            plain::conv2d_grad_bias(tensors.grad_output.view()).unwrap().view(),
        );
    }

    /// <conv(x, w), y> = <x, grad_input(y, w)> = <w, grad_weight(x, y)>
    #[test]
    fn gradients_are_adjoint(problem in problems()) {
        let options = without_constant(problem.options);
        let tensors = Tensors::new(&Conv2dProblem { options, bias: false, ..problem });
        let output = tensors.output(&tensors.input, &tensors.weight);
        let product = dot(&output, &tensors.grad_output);
        let absolute = tensors.absolute();
        let magnitude = dot(&absolute.output(&absolute.input, &absolute.weight), &absolute.grad_output);
        // Both sides are sums of the same products.
        let bound = 2.0 * dot_bound(tensors.terms().1, magnitude) * F64_OVER_F32;
        for other in [
            dot(&tensors.input, &tensors.grad_input()),
            dot(&tensors.weight, &tensors.grad_weight()),
        ] {
            prop_assert!((product - other).abs() <= bound, "{product} and {other}, bound {bound}");
        }
    }

    #[test]
    fn f32_is_f64_up_to_rounding(problem in problems()) {
        let tensors = Tensors::new(&problem);
        let absolute = tensors.absolute();
        let (input, weight) = (to_f32(tensors.input.view()), to_f32(tensors.weight.view()));
        let grads = to_f32(tensors.grad_output.view());
        let options = &tensors.options;
        let (batch, out_channels, height, width) = grads.dim();

        let got = plain::conv2d_grad_input(grads.view(), weight.view(), size(&input), options)?;
        let magnitude = absolute.grad_input();
        let magnitude = magnitude.as_slice().unwrap();
        let terms = problem.out_channels / options.groups * tensors.taps_of_a_pixel(&problem);
        assert_close(got.view(), tensors.grad_input().view(), |i| dot_bound(terms, magnitude[i]));

        let got = plain::conv2d_grad_weight(input.view(), grads.view(), size(&weight), options)?;
        let magnitude = absolute.grad_weight();
        let magnitude = magnitude.as_slice().unwrap();
        let terms = batch * height * width;
        assert_close(got.view(), tensors.grad_weight().view(), |i| dot_bound(terms, magnitude[i]));

        let got = plain::conv2d_grad_bias(grads.view()).unwrap();
        let expected = plain::conv2d_grad_bias(tensors.grad_output.view()).unwrap();
        let magnitude = plain::conv2d_grad_bias(absolute.grad_output.view()).unwrap();
        prop_assert_eq!(got.len(), out_channels);
        assert_close(got.view(), expected.view(), |i| dot_bound(terms, magnitude[i]));
    }

    #[test]
    fn groups_are_gradients_side_by_side(problem in problems()) {
        let tensors = Tensors::new(&problem);
        let groups = problem.options.groups;
        let (inputs, outputs) = (problem.in_channels / groups, problem.out_channels / groups);
        let (mut grad_inputs, mut grad_weights) = (vec![], vec![]);
        for group in 0..groups {
            let ours = group * outputs..(group + 1) * outputs;
            let theirs = group * inputs..(group + 1) * inputs;
            let alone = Tensors {
                options: Conv2dOptions { groups: 1, ..problem.options },
                input: tensors.input.slice(s![.., theirs, .., ..]).to_owned(),
                weight: tensors.weight.slice(s![ours.clone(), .., .., ..]).to_owned(),
                bias: None,
                grad_output: tensors.grad_output.slice(s![.., ours, .., ..]).to_owned(),
            };
            grad_inputs.push(alone.grad_input());
            grad_weights.push(alone.grad_weight());
        }
        let join = |axis, parts: &[Array4<f64>]| {
            let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
            concatenate(Axis(axis), &views).unwrap()
        };
        prop_assert_eq!(tensors.grad_input(), join(1, &grad_inputs));
        prop_assert_eq!(tensors.grad_weight(), join(0, &grad_weights));
    }

    #[test]
    fn padding_can_come_first(problem in problems()) {
        let tensors = Tensors::new(&problem);
        let (padding, value) = (problem.shape()?.placement.padding, problem.options.padding_value);
        let padded = Tensors {
            options: Conv2dOptions { padding: Padding::Valid, ..problem.options },
            input: plain::pad2d(tensors.input.view(), padding, value)?,
            ..Tensors::new(&problem)
        };
        let absolute = tensors.absolute();
        let close = |got: &Array4<f64>, expected: &Array4<f64>, magnitude: &Array4<f64>| {
            // Both sums have the same terms, at most as many as there are in total.
            let (terms, magnitude) = (tensors.terms().1, magnitude.as_slice().unwrap());
            assert_close(got.view(), expected.view(), |i| {
                2.0 * dot_bound(terms, magnitude[i]) * F64_OVER_F32
            });
        };
        close(&padded.grad_weight(), &tensors.grad_weight(), &absolute.grad_weight());
        let back = plain::pad2d_grad(padded.grad_input().view(), padding, value)?;
        close(&back, &tensors.grad_input(), &absolute.grad_input());
    }

    #[test]
    fn views_may_lie_in_memory_as_they_like(problem in problems()) {
        let tensors = Tensors::new(&problem);
        let turned = |array: &Array4<f64>| array.t().as_standard_layout().into_owned();
        let [input, weight, grads] =
            [&tensors.input, &tensors.weight, &tensors.grad_output].map(turned);
        let (options, input_size) = (&tensors.options, size(&tensors.input));
        prop_assert_eq!(
            plain::conv2d_grad_input(grads.t(), weight.t(), input_size, options)?,
            tensors.grad_input()
        );
        prop_assert_eq!(
            plain::conv2d_grad_weight(input.t(), grads.t(), problem.kernel_size, options)?,
            tensors.grad_weight()
        );
        prop_assert_eq!(
            plain::conv2d_grad_bias(grads.t()).unwrap(),
            plain::conv2d_grad_bias(tensors.grad_output.view()).unwrap()
        );
    }
}

proptest! {
    #![proptest_config(testkit::cases(32))]

    #[test]
    fn threads_do_not_change_a_bit(problem in problems()) {
        let tensors = Tensors::new(&problem);
        let (input, weight) = (to_f32(tensors.input.view()), to_f32(tensors.weight.view()));
        let grads = to_f32(tensors.grad_output.view());
        let options = &tensors.options;
        let on = |threads: usize| {
            on_threads(threads, || {
                let (x, w, grads) = (input.view(), weight.view(), grads.view());
                let grad_input = plain::conv2d_grad_input(grads, w, size(&input), options);
                let grad_weight = plain::conv2d_grad_weight(x, grads, size(&weight), options);
                let grad_bias = plain::conv2d_grad_bias(grads).unwrap();
                let all = grad_input.unwrap().into_iter().chain(grad_weight.unwrap()).chain(grad_bias);
                all.map(f32::to_bits).collect::<Vec<u32>>()
            })
        };
        let one = on(1);
        for threads in [2, 4] {
            prop_assert_eq!(&on(threads), &one);
        }
    }
}

#[test]
fn each_tap_s_gradient_by_hand() {
    // Outputs 1 2 3 4 with the weight a b: 1 a + 2 b, 2 a + 3 b, 3 a + 4 b.
    let input = array![[[[1.0, 2.0, 3.0, 4.0]]]];
    let weight = array![[[[10.0, 100.0]]]];
    let grads = array![[[[1.0, 0.0, -2.0]]]];
    let options = Conv2dOptions::default();
    assert_eq!(
        plain::conv2d_grad_input(grads.view(), weight.view(), [1, 4], &options).unwrap(),
        array![[[[10.0, 100.0, -20.0, -200.0]]]]
    );
    assert_eq!(
        plain::conv2d_grad_weight(input.view(), grads.view(), [1, 2], &options).unwrap(),
        array![[[[-5.0, -6.0]]]]
    );
    assert_eq!(plain::conv2d_grad_bias(grads.view()).unwrap(), array![-1.0]);
}

#[test]
fn padding_s_gradient_goes_to_what_it_shows() {
    // A 1x1 weight of 1 returns the padded input, and every output has its own power of ten.
    let weight = array![[[[1.0]]]];
    let grads = array![[[[1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]]]];
    let of = |padding_value| {
        let options = Conv2dOptions {
            padding: Padding::Explicit([0, 2, 0, 2]),
            padding_value,
            ..Default::default()
        };
        plain::conv2d_grad_input(grads.view(), weight.view(), [1, 3], &options).unwrap()
    };
    let none = array![[[[100.0, 1e3, 1e4]]]];
    assert_eq!(of(PaddingValue::Zeros), none);
    assert_eq!(of(PaddingValue::Constant(3.0)), none);
    // c b · a b c · b a
    assert_eq!(
        of(PaddingValue::Reflect),
        array![[[[1_000_100.0, 101_010.0, 10_001.0]]]]
    );
    // a a · a b c · c c
    assert_eq!(
        of(PaddingValue::Replicate),
        array![[[[111.0, 1e3, 1_110_000.0]]]]
    );
    // b c · a b c · a b
    assert_eq!(
        of(PaddingValue::Circular),
        array![[[[100_100.0, 1_001_001.0, 10_010.0]]]]
    );
}

#[test]
fn a_constant_in_the_padding_counts_for_the_weight() {
    let (input, grads) = (array![[[[5.0]]]], array![[[[1.0, 10.0]]]]);
    let options = Conv2dOptions {
        padding: Padding::Explicit([0, 1, 0, 1]),
        padding_value: PaddingValue::Constant(3.0),
        ..Default::default()
    };
    let grad_weight = plain::conv2d_grad_weight(input.view(), grads.view(), [1, 2], &options);
    assert_eq!(grad_weight.unwrap(), array![[[[53.0, 35.0]]]]);
}

#[test]
fn long_rows_are_summed_in_eight_parts() {
    // In f32, 2^24 + 1 is 2^24: a 1 survives only in a different part from the large values.
    let large = 16_777_216.0_f32;
    let sum = |place: usize| {
        let mut row = Array4::zeros((1, 1, 1, 17));
        row[[0, 0, 0, 0]] = large;
        row[[0, 0, 0, place]] = 1.0;
        row[[0, 0, 0, 16]] = -large;
        let ones = Array4::ones(row.dim());
        let options = Conv2dOptions::default();
        let grad = plain::conv2d_grad_weight(row.view(), ones.view(), [1, 1], &options);
        let bias = plain::conv2d_grad_bias(row.view()).unwrap();
        assert_eq!(grad.unwrap()[[0, 0, 0, 0]], bias[0]);
        bias[0]
    };
    assert_eq!(sum(8), 0.0);
    for place in (1..16).filter(|&place| place != 8) {
        assert_eq!(sum(place), 1.0, "place {place}");
    }
}

#[test]
fn an_empty_batch_gives_zeros() {
    let none = Array4::<f64>::zeros((0, 3, 5, 5));
    let grads = Array4::<f64>::zeros((0, 2, 3, 3));
    let weight = Array4::<f64>::ones((2, 3, 3, 3));
    let options = Conv2dOptions::default();
    let grad_input = plain::conv2d_grad_input(grads.view(), weight.view(), [5, 5], &options);
    assert_eq!(grad_input.unwrap(), none);
    let grad_weight = plain::conv2d_grad_weight(none.view(), grads.view(), [3, 3], &options);
    assert_eq!(grad_weight.unwrap(), Array4::<f64>::zeros((2, 3, 3, 3)));
    assert_eq!(
        plain::conv2d_grad_bias(grads.view()).unwrap(),
        array![0.0, 0.0]
    );
}
