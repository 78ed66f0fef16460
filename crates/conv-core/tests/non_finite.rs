//! How infinities and NaN propagate: to the sums that contain them by definition, and to no others,
//! on every instruction set. Channels and groups that the fast path computes side by side, and the
//! zeros between and around them, must not spread them further.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{
    Algorithm, Buffer, Conv2dGradInput, Conv2dSpec, Denormals, Layout, PackedConv2d, Store,
    TurnedWeights, View, ViewMut,
};
use conv_core::{Activation, Conv2dOptions, Isa, PaddingValue, conv2d_on, plain};
use ndarray::{Array1, Array4};
use proptest::prelude::*;
use testkit::{Conv2dProblem, conv2d_problems, random_array, to_f32};

/// Values to plant: `(where, which)`, with the position as a share of the total.
type Plants = Vec<(f64, f32)>;

fn plants() -> impl Strategy<Value = Plants> {
    let number = prop::sample::select(vec![f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
    prop::collection::vec((0.0..1.0, number), 0..3)
}

fn plant(numbers: &mut [f32], plants: &Plants) {
    let len = numbers.len() as f64;
    for &(share, number) in plants {
        numbers[(share * len) as usize] = number;
    }
}

/// An ordinary value, or the chosen non-finite one.
fn kind(x: f32) -> &'static str {
    if x.is_nan() {
        "NaN"
    } else if x == f32::INFINITY {
        "inf"
    } else if x == f32::NEG_INFINITY {
        "-inf"
    } else {
        "finite"
    }
}

/// Checks that the same elements are infinite and NaN.
#[track_caller]
fn same_kinds(got: &Array4<f32>, expected: &Array4<f32>, what: &str) {
    assert_eq!(got.dim(), expected.dim());
    for ((at, &got), &expected) in got.indexed_iter().zip(expected) {
        assert_eq!(
            kind(got),
            kind(expected),
            "{what} at {at:?}: {got}, expected {expected}"
        );
    }
}

fn random4(shape: [usize; 4], seed: u64) -> Array4<f32> {
    let array = to_f32(random_array(&shape, seed).view());
    array.into_dimensionality().unwrap()
}

/// A problem in f32 with the planted values.
struct Planted {
    options: Conv2dOptions,
    input: Array4<f32>,
    weight: Array4<f32>,
    bias: Option<Array1<f32>>,
}

impl Planted {
    fn new(problem: &Conv2dProblem, input: &Plants, weight: &Plants, bias: &Plants) -> Self {
        let mut planted = Self {
            options: problem.options,
            input: to_f32(problem.input().view()),
            weight: to_f32(problem.weight().view()),
            bias: problem.bias().map(|bias| to_f32(bias.view())),
        };
        plant(planted.input.as_slice_mut().unwrap(), input);
        plant(planted.weight.as_slice_mut().unwrap(), weight);
        if let Some(numbers) = &mut planted.bias {
            plant(numbers.as_slice_mut().unwrap(), bias);
        }
        planted
    }

    fn spec(&self, isa: Isa) -> Conv2dSpec {
        Conv2dSpec::new(self.weight.dim().into(), &self.options, isa).unwrap()
    }

    fn conv(&self, isa: Isa, activation: Activation) -> PackedConv2d {
        let (weight, bias) = (
            self.weight.view(),
            self.bias.as_ref().map(|bias| bias.view()),
        );
        PackedConv2d::new(Algorithm::Direct, self.spec(isa), weight, bias, activation).unwrap()
    }

    fn plain(&self) -> Array4<f32> {
        let bias = self.bias.as_ref().map(|bias| bias.view());
        plain::conv2d(self.input.view(), self.weight.view(), bias, &self.options).unwrap()
    }
}

struct Tensor {
    layout: Layout,
    data: Buffer,
}

impl Tensor {
    fn new(array: &Array4<f32>, layout: Layout, halo: PaddingValue) -> Self {
        let mut data = Buffer::zeroed(layout.len()).unwrap();
        layout.import(array.view(), halo, &mut data).unwrap();
        Self { layout, data }
    }

    fn blocked(array: &Array4<f32>, halo: [usize; 4]) -> Self {
        let (n, c, h, w) = array.dim();
        let layout = Layout::blocked(n, c, [h, w]).with_halo(halo);
        Self::new(array, layout, PaddingValue::Zeros)
    }

    fn view(&self) -> View<'_> {
        View::new(self.layout, &self.data).unwrap()
    }

    fn view_mut(&mut self) -> ViewMut<'_> {
        ViewMut::new(self.layout, &mut self.data).unwrap()
    }

    fn array(&self) -> Array4<f32> {
        let [h, w] = self.layout.size;
        let mut array = Array4::zeros((self.layout.batch, self.layout.channels, h, w));
        self.layout.export(&self.data, array.view_mut()).unwrap();
        array
    }

    /// Returns whether the lanes past the last channel are zeros.
    fn tail_is_zero(&self) -> bool {
        let (tail, layout) = (self.layout.channels % 16, self.layout);
        tail == 0
            || self
                .data
                .chunks_exact(layout.block_step())
                .skip(layout.blocks() - 1)
                .step_by(layout.blocks())
                .flat_map(|plane| plane.chunks_exact(16))
                .all(|pixel| pixel[tail..].iter().all(|&x| x == 0.0))
    }
}

/// Runs the forward pass on blocked tensors, with a residual.
fn forward(
    planted: &Planted,
    conv: &PackedConv2d,
    residual: Option<&Array4<f32>>,
    output: [usize; 4],
) -> Tensor {
    let (n, _, h, w) = planted.input.dim();
    let halo = conv.halo([h, w]).unwrap();
    let layout = conv.spec().input_layout(n, [h, w]).with_halo(halo);
    let input = Tensor::new(&planted.input, layout, planted.options.padding_value);
    let mut output = Tensor::blocked(&Array4::ones(output), [0, 1, 0, 2]);
    let residual = residual.map(|residual| Tensor::blocked(residual, [1, 0, 2, 0]));
    let residual = residual.as_ref().map(Tensor::view);
    conv.run(input.view(), residual, output.view_mut(), &mut [])
        .unwrap();
    output
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn forward_they_go_where_the_plain_loops_send_them(
        problem in conv2d_problems(),
        (input, weight, bias) in (plants(), plants(), plants()),
        slope in 0.1_f32..1.5,
    ) {
        let planted = Planted::new(&problem, &input, &weight, &bias);
        let expected = planted.plain();
        let bias = planted.bias.as_ref().map(|bias| bias.view());
        let mut residual = random4(problem.shape().unwrap().output(), 5);
        plant(residual.as_slice_mut().unwrap(), &input);
        for isa in Isa::available() {
            let got = conv2d_on(isa, planted.input.view(), planted.weight.view(), bias, &planted.options);
            same_kinds(&got.unwrap(), &expected, &format!("{isa}"));
            let output = problem.shape().unwrap().output();
            for activation in [
                Activation::Relu,
                Activation::Relu6,
                Activation::LeakyRelu(slope),
            ] {
                let conv = planted.conv(isa, activation);
                let got = forward(&planted, &conv, None, output);
                prop_assert!(got.tail_is_zero(), "{isa}");
                same_kinds(&got.array(), &expected.mapv(|x| activation.apply(x)), &format!("{isa}"));
                let got = forward(&planted, &conv, Some(&residual), output);
                prop_assert!(got.tail_is_zero(), "{isa}");
                let sum = (&expected + &residual).mapv(|x| activation.apply(x));
                same_kinds(&got.array(), &sum, &format!("{isa}, with a residual"));
            }
        }
    }

    /// Only the sums that contain them change, and no other bit.
    #[test]
    fn other_sums_keep_their_numbers(problem in conv2d_problems(), input in plants()) {
        let whole = Planted::new(&problem, &Vec::new(), &Vec::new(), &Vec::new());
        let planted = Planted::new(&problem, &input, &Vec::new(), &Vec::new());
        let expected = planted.plain();
        for isa in Isa::available() {
            let output = problem.shape().unwrap().output();
            let conv = planted.conv(isa, Activation::Identity);
            let got = forward(&planted, &conv, None, output).array();
            let before = forward(&whole, &conv, None, output).array();
            for ((&got, &before), &expected) in got.iter().zip(&before).zip(&expected) {
                prop_assert!(got == before || !expected.is_finite(), "{isa}: {got} {before}");
            }
        }
    }

    #[test]
    fn gradients_of_the_input_go_where_the_plain_loops_send_them(
        problem in conv2d_problems(),
        (grad, weight) in (plants(), plants()),
    ) {
        let options = Conv2dOptions { padding_value: PaddingValue::Zeros, ..problem.options };
        let problem = Conv2dProblem { options, ..problem };
        let planted = Planted::new(&problem, &Vec::new(), &weight, &Vec::new());
        let mut grad_output = random4(problem.shape().unwrap().output(), 5);
        plant(grad_output.as_slice_mut().unwrap(), &grad);
        let expected = plain::conv2d_grad_input(
            grad_output.view(), planted.weight.view(), problem.input_size, &options,
        ).unwrap();
        for isa in Isa::available() {
            let spec = planted.spec(isa);
            let gradient = Conv2dGradInput::new(&spec, problem.input_size).unwrap();
            let weight = spec.pack(planted.weight.view(), Denormals::Flushed).unwrap();
            let mut turned = TurnedWeights::default();
            turned.turn(&spec, &weight).unwrap();
            let grads = Tensor::blocked(&grad_output, gradient.halo());
            for store in [Store::Replace, Store::Add] {
                let before = random4(expected.dim().into(), 6);
                let mut got = Tensor::blocked(&before, [1, 0, 0, 1]);
                gradient.run(&turned, grads.view(), got.view_mut(), store).unwrap();
                prop_assert!(got.tail_is_zero(), "{isa}");
                same_kinds(&got.array(), &expected, &format!("{isa}, {store:?}"));
                // What was recomputed is correct, too.
                let sum = match store { Store::Replace => expected.clone(), Store::Add => &expected + &before };
                let terms = problem.out_channels * problem.kernel_size.iter().product::<usize>();
                // Weights and gradients are below 1, and so is every product.
                let bound = testkit::dot_bound(terms + 1, (terms + 1) as f64);
                for (&got, &sum) in got.array().iter().zip(&sum) {
                    prop_assert!(!sum.is_finite() || f64::from((got - sum).abs()) <= bound);
                }
            }
        }
    }

    #[test]
    fn gradients_of_the_weight_go_where_the_plain_loops_send_them(
        problem in conv2d_problems(),
        (input, grad) in (plants(), plants()),
    ) {
        let planted = Planted::new(&problem, &input, &Vec::new(), &Vec::new());
        let mut grad_output = random4(problem.shape().unwrap().output(), 5);
        plant(grad_output.as_slice_mut().unwrap(), &grad);
        let expected = plain::conv2d_grad_weight(
            planted.input.view(), grad_output.view(), problem.kernel_size, &problem.options,
        ).unwrap();
        let expected_bias = plain::conv2d_grad_bias(grad_output.view()).unwrap();
        for isa in Isa::available() {
            let conv = planted.spec(isa);
            let halo = conv.halo(problem.input_size).unwrap();
            let layout = conv.input_layout(problem.batch, problem.input_size).with_halo(halo);
            let input = Tensor::new(&planted.input, layout, problem.options.padding_value);
            let grads = Tensor::blocked(&grad_output, [0; 4]);
            let mut scratch = vec![f32::NAN; conv.grad_weight_scratch(problem.batch, problem.input_size).unwrap()];
            let mut grad_weight = vec![0.0; conv.weight_len()];
            let mut grad_bias = vec![0.0; conv.bias_len()];
            conv.add_grad_weight(
                input.view(), grads.view(), &mut grad_weight, Some(&mut grad_bias), &mut scratch,
            ).unwrap();
            let got = conv.unpack(&grad_weight).unwrap();
            same_kinds(&got, &expected, &format!("{isa}"));
            // Elements that represent no weight stay zero.
            let packed = conv.pack(got.view(), Denormals::Kept).unwrap();
            prop_assert!(packed.iter().zip(&grad_weight).all(|(a, b)| a.to_bits() == b.to_bits()), "{isa}");
            let (own, tail) = grad_bias.split_at(problem.out_channels);
            for (&got, &expected) in own.iter().zip(&expected_bias) {
                prop_assert_eq!(kind(got), kind(expected), "{}", isa);
            }
            prop_assert!(tail.iter().all(|&x| x == 0.0), "{isa}");
        }
    }
}

/// Sixteen groups of one channel in one block: the infinity reaches only its own channel.
#[test]
fn an_infinity_stays_in_its_group() {
    let problem = Conv2dProblem::layer(1, [16, 16], [6, 7], 3, 1, 16);
    let mut planted = Planted::new(&problem, &Vec::new(), &Vec::new(), &Vec::new());
    planted.input[[0, 4, 2, 3]] = f32::INFINITY;
    let bias = planted.bias.as_ref().map(|bias| bias.view());
    for isa in Isa::available() {
        let got = conv2d_on(
            isa,
            planted.input.view(),
            planted.weight.view(),
            bias,
            &problem.options,
        )
        .unwrap();
        for ((_, c, y, x), number) in got.indexed_iter() {
            let reached = c == 4 && y.abs_diff(2) <= 1 && x.abs_diff(3) <= 1;
            assert_eq!(number.is_finite(), !reached, "{isa}: {c} {y} {x}");
        }
    }
}

/// Twelve channels fill three quarters of a block. ReLU turns minus infinity into 0, and the unused
/// lanes must not pass it to the next layer as NaN.
#[test]
fn lanes_past_the_last_channel_carry_nothing_to_the_next_layer() {
    let mut input = Array4::<f32>::ones((1, 16, 3, 3));
    input[[0, 0, 1, 1]] = f32::NEG_INFINITY;
    let first = Planted {
        options: Conv2dOptions::default(),
        input,
        weight: Array4::from_elem((12, 16, 1, 1), 0.5),
        bias: None,
    };
    for isa in Isa::available() {
        let conv = first.conv(isa, Activation::Relu);
        let hidden = forward(&first, &conv, None, [1, 12, 3, 3]);
        assert!(hidden.tail_is_zero(), "{isa}");
        let weight = Array4::<f32>::ones((16, 12, 1, 1));
        let options = Conv2dOptions::default();
        let spec = Conv2dSpec::new(weight.dim().into(), &options, isa).unwrap();
        let (weight, identity) = (weight.view(), Activation::Identity);
        let next = PackedConv2d::new(Algorithm::Direct, spec, weight, None, identity).unwrap();
        let mut output = Tensor::blocked(&Array4::ones((1, 16, 3, 3)), [0; 4]);
        next.run(hidden.view(), None, output.view_mut(), &mut [])
            .unwrap();
        assert!(output.array().iter().all(|x| x.is_finite()), "{isa}");
    }
}
