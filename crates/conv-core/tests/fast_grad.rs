//! Gradients on the fast path against the plain loops: every instruction set of this machine, over
//! whole problems. (`fast.rs` prints the sets that the machine lacks.)

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{
    self, BatchNormGrad, Buffer, Conv2dGradInput, Conv2dSpec, Denormals, Layout, Store,
    TurnedWeights, View, ViewMut,
};
use conv_core::{Conv2dOptions, Isa, PaddingValue, plain};
use ndarray::{Array4, Axis, Ix4};
use proptest::prelude::*;
use testkit::{
    Conv2dProblem, assert_close, avg_pool2d_problems, conv2d_problems, dot_bound,
    max_pool2d_problems, on_threads, random_array, to_f32,
};

fn random4(shape: [usize; 4], seed: u64) -> Array4<f64> {
    random_array(&shape, seed)
        .into_dimensionality::<Ix4>()
        .unwrap()
}

/// A tensor on the blocked layout.
struct Blocked {
    layout: Layout,
    data: Buffer,
}

impl Blocked {
    fn new(array: &Array4<f64>, layout: Layout, halo: PaddingValue) -> Self {
        let mut data = Buffer::zeroed(layout.len()).unwrap();
        layout
            .import(to_f32(array.view()).view(), halo, &mut data)
            .unwrap();
        Self { layout, data }
    }

    /// With a halo that must not be read.
    fn walled(array: &Array4<f64>) -> Self {
        let (n, c, h, w) = array.dim();
        let layout = Layout::blocked(n, c, [h, w]).with_halo([1, 2, 0, 1]);
        Self::new(array, layout, PaddingValue::Constant(1e30))
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
}

fn spec(isa: Isa, problem: &Conv2dProblem) -> Conv2dSpec {
    let (o, i, h, w) = problem.weight().dim();
    Conv2dSpec::new([o, i, h, w], &problem.options, isa).unwrap()
}

fn grad_output(problem: &Conv2dProblem) -> Array4<f64> {
    random4(problem.shape().unwrap().output(), problem.seed ^ 3)
}

/// Within 4 sqrt(K) eps sum|g||w| of the f64 loops; K is at most the taps of all output channels.
fn check_grad_input(isa: Isa, problem: &Conv2dProblem) -> Array4<f32> {
    let conv = spec(isa, problem);
    let weight = to_f32(problem.weight().view());
    let packed = conv.pack(weight.view(), Denormals::Flushed).unwrap();
    assert_eq!(packed.len(), conv.weight_len());
    let grad = grad_output(problem);
    let gradient = Conv2dGradInput::new(&conv, problem.input_size).unwrap();
    let mut turned = TurnedWeights::default();
    turned.turn(&conv, &packed).unwrap();
    assert_eq!(turned.len(), gradient.turned_len());
    let (n, o, h, w) = grad.dim();
    let layout = Layout::blocked(n, o, [h, w]).with_halo(gradient.halo());
    let output = Blocked::new(&grad, layout, PaddingValue::Zeros);

    let before = random4(
        [
            n,
            problem.in_channels,
            problem.input_size[0],
            problem.input_size[1],
        ],
        problem.seed ^ 4,
    );
    let mut input = Blocked::walled(&before);
    let never = TurnedWeights::default();
    let refused = gradient.run(&never, output.view(), input.view_mut(), Store::Replace);
    assert!(matches!(refused, Err(conv_core::Error::Mismatch { .. })));
    gradient
        .run(&turned, output.view(), input.view_mut(), Store::Replace)
        .unwrap();
    let got = input.array();

    let exact = |grad: &Array4<f64>, weight: &Array4<f64>| {
        plain::conv2d_grad_input(
            grad.view(),
            weight.view(),
            problem.input_size,
            &problem.options,
        )
        .unwrap()
    };
    let weight = problem.weight();
    let expected = exact(&grad, &weight);
    let magnitude = exact(&grad.mapv(f64::abs), &weight.mapv(f64::abs));
    let terms = problem.out_channels / problem.options.groups
        * problem.kernel_size.iter().product::<usize>();
    let bounds: Vec<f64> = magnitude.iter().map(|&m| dot_bound(terms, m)).collect();
    assert_close(got.view(), expected.view(), |at| bounds[at]);

    // Added to existing values: one more rounding.
    let mut input = Blocked::walled(&before);
    gradient
        .run(&turned, output.view(), input.view_mut(), Store::Add)
        .unwrap();
    let sum = &expected + &before;
    let bounds: Vec<f64> = bounds
        .iter()
        .zip(&before)
        .map(|(bound, x)| 2.0 * bound + x.abs() * f64::from(f32::EPSILON))
        .collect();
    assert_close(input.array().view(), sum.view(), |at| bounds[at]);
    got
}

/// Within 4 sqrt(K) eps sum|x||g| of the f64 loops, where K is the number of pixels of a batch.
fn check_grad_weight(isa: Isa, problem: &Conv2dProblem) -> Vec<u32> {
    let conv = spec(isa, problem);
    let grad = grad_output(problem);
    let (n, o, h, w) = grad.dim();
    let output = Blocked::new(
        &grad,
        Layout::blocked(n, o, [h, w]).with_halo([0, 1, 1, 0]),
        PaddingValue::Constant(1e30),
    );
    let halo = conv.halo(problem.input_size).unwrap();
    let layout = conv.input_layout(n, problem.input_size).with_halo(halo);
    let input = Blocked::new(&problem.input(), layout, problem.options.padding_value);

    let mut scratch = vec![f32::NAN; conv.grad_weight_scratch(n, problem.input_size).unwrap()];
    let mut grad_weight = vec![0.0; conv.weight_len()];
    let mut grad_bias = vec![0.0; conv.bias_len()];
    for _ in 0..2 {
        conv.add_grad_weight(
            input.view(),
            output.view(),
            &mut grad_weight,
            Some(&mut grad_bias),
            &mut scratch,
        )
        .unwrap();
    }
    let got = conv.unpack(&grad_weight).unwrap();
    // Elements that represent no weight stay zero.
    let again = conv.pack(got.view(), Denormals::Kept).unwrap();
    assert_eq!(again[..], grad_weight[..]);

    let exact = |input: &Array4<f64>, grad: &Array4<f64>| {
        plain::conv2d_grad_weight(
            input.view(),
            grad.view(),
            problem.kernel_size,
            &problem.options,
        )
        .unwrap()
    };
    // Twice, because it was added twice.
    let expected = 2.0 * exact(&problem.input(), &grad);
    // The padding's constant is not a variable of the test: its magnitude is below the input's.
    let magnitude = 2.0 * exact(&problem.input().mapv(f64::abs), &grad.mapv(f64::abs));
    let constant = problem.options.padding_value != PaddingValue::Zeros;
    let all: f64 = grad.iter().map(|g| g.abs()).sum();
    let bounds: Vec<f64> = magnitude
        .iter()
        .map(|&m| dot_bound(n * h * w, if constant { m.max(4.0 * all) } else { m }))
        .collect();
    assert_close(got.view(), expected.view(), |at| bounds[at]);

    let expected = 2.0 * plain::conv2d_grad_bias(grad.view()).unwrap();
    let magnitude = 2.0 * plain::conv2d_grad_bias(grad.mapv(f64::abs).view()).unwrap();
    let got = ndarray::Array1::from(grad_bias[..o].to_vec());
    assert_close(got.view(), expected.view(), |at| {
        dot_bound(n * h * w, magnitude[at])
    });
    grad_weight.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(testkit::cases(300))]

    #[test]
    fn gradients_of_convolutions_agree_on_every_instruction_set(problem in conv2d_problems()) {
        for isa in Isa::available() {
            check_grad_weight(isa, &problem);
            // The engine pads separately if the padding is not zeros.
            let problem = Conv2dProblem {
                options: Conv2dOptions { padding_value: PaddingValue::Zeros, ..problem.options },
                ..problem.clone()
            };
            check_grad_input(isa, &problem);
        }
    }

    /// The same values are added in the same order, so the result is equal bit for bit.
    #[test]
    fn max_pool_gives_the_plain_bits(problem in max_pool2d_problems(), store in stores()) {
        let input = problem.input_with_ties();
        let size = problem.options.place("max_pool2d", problem.input_size).unwrap().output;
        let (n, c) = (input.dim().0, input.dim().1);
        let grad = random4([n, c, size[0], size[1]], 5);
        let expected = plain::max_pool2d_grad(to_f32(input.view()).view(), to_f32(grad.view()).view(), &problem.options).unwrap();
        check_store(&input, store, &expected, |isa, out, store| {
            blocked::max_pool2d_grad(isa, Blocked::walled(&input).view(), &problem.options, Blocked::walled(&grad).view(), out, store)
        });
        for isa in Isa::available() {
            let mut got = Blocked::walled(&input);
            blocked::max_pool2d_grad(isa, Blocked::walled(&input).view(), &problem.options, Blocked::walled(&grad).view(), got.view_mut(), Store::Replace).unwrap();
            prop_assert_eq!(&got.array(), &expected, "{}", isa);
        }
    }

    /// Within a rounding for each window that contains the pixel, and for its division.
    #[test]
    fn average_pools_agree(problem in avg_pool2d_problems(), bins in [1_usize..9, 1..9], store in stores()) {
        let input = problem.input();
        let (n, c, h, w) = input.dim();
        let size = problem.options.place("avg_pool2d", problem.input_size).unwrap().output;
        let grad = random4([n, c, size[0], size[1]], 5);
        let expected = plain::avg_pool2d_grad(to_f32(grad.view()).view(), [h, w], &problem.options).unwrap();
        check_store(&input, store, &expected, |isa, out, store| {
            blocked::avg_pool2d_grad(isa, &problem.options, Blocked::walled(&grad).view(), out, store)
        });
        let grad = random4([n, c, bins[0], bins[1]], 6);
        let expected = plain::adaptive_avg_pool2d_grad(to_f32(grad.view()).view(), [h, w]).unwrap();
        check_store(&input, store, &expected, |isa, out, store| {
            blocked::adaptive_avg_pool2d_grad(isa, Blocked::walled(&grad).view(), out, store)
        });
    }

    #[test]
    fn upsampling_agrees(shape in [1_usize..3, 1..20, 1..6, 1..6], scale in [1_usize..4, 1..4], store in stores()) {
        let [n, c, h, w] = shape;
        let input = random4(shape, 1);
        let grad = random4([n, c, h * scale[0], w * scale[1]], 5);
        let expected = plain::upsample_nearest2d_grad(to_f32(grad.view()).view(), scale).unwrap();
        check_store(&input, store, &expected, |isa, out, store| {
            blocked::upsample_nearest2d_grad(isa, scale, Blocked::walled(&grad).view(), out, store)
        });
    }

    #[test]
    fn batch_normalisation_agrees(shape in [1_usize..4, 1..40, 1..9, 1..9], offset in -100.0..100.0) {
        check_batch_norm(shape, offset);
    }
}

fn stores() -> impl Strategy<Value = Store> {
    prop_oneof![Just(Store::Replace), Just(Store::Add)]
}

/// Runs on every instruction set into a tensor with existing values, and compares with the expected
/// gradient, alone or added; each pixel has fewer than 300 windows.
fn check_store(
    before: &Array4<f64>,
    store: Store,
    expected: &Array4<f32>,
    run: impl Fn(Isa, ViewMut<'_>, Store) -> conv_core::Result<()>,
) {
    for isa in Isa::available() {
        let mut grad_input = Blocked::walled(before);
        run(isa, grad_input.view_mut(), store).unwrap();
        let wide = expected.mapv(f64::from);
        let expected = if store == Store::Add {
            &wide + before
        } else {
            wide.clone()
        };
        assert_close(grad_input.array().view(), expected.view(), |_| {
            300.0 * f64::from(f32::EPSILON)
        });
    }
}

/// Statistics within 1e-6 relative plus the rounding of the values; gradients against finite sums
/// in f64.
fn check_batch_norm(shape: [usize; 4], offset: f64) {
    let [n, c, h, w] = shape;
    let count = (n * h * w) as f64;
    let x = to_f32((random4(shape, 1) + offset).view()).mapv(f64::from);
    let grad = random4(shape, 2);
    for isa in Isa::available() {
        let (input, mut output) = (Blocked::walled(&x), Blocked::walled(&grad));
        let len = input.layout.blocks() * 16;
        let mut scratch = vec![f64::NAN; blocked::batch_norm_scratch(&input.layout)];
        let (mut mean, mut variance) = (vec![0.0; len], vec![0.0; len]);
        blocked::batch_statistics(isa, input.view(), &mut mean, &mut variance, &mut scratch)
            .unwrap();
        let of_channel = |x: &Array4<f64>, channel: usize| -> Vec<f64> {
            x.index_axis(Axis(1), channel).iter().copied().collect()
        };
        for channel in 0..c {
            let numbers = of_channel(&x, channel);
            let exact = numbers.iter().sum::<f64>() / count;
            let spread = numbers.iter().map(|x| (x - exact).powi(2)).sum::<f64>() / count;
            // A row is summed in f32, and has at most 9 values.
            let rounding = 9.0 * f64::from(f32::EPSILON) * (offset.abs() + 1.0);
            assert!(
                (mean[channel] - exact).abs() <= rounding,
                "{isa}: {} {exact}",
                mean[channel]
            );
            assert!(
                (variance[channel] - spread).abs() <= 1e-5 * spread + rounding * rounding,
                "{isa}: {} {spread}",
                variance[channel]
            );
        }

        let narrow = |x: &[f64]| -> Vec<f32> { x.iter().map(|&x| x as f32).collect() };
        let center = narrow(&mean);
        let (mut sums, mut products) = (vec![0.0; len], vec![0.0; len]);
        blocked::batch_norm_grad_sums(
            isa,
            input.view(),
            &center,
            None,
            output.view_mut(),
            &mut sums,
            &mut products,
            &mut scratch,
        )
        .unwrap();
        for channel in 0..c {
            let (x, g) = (of_channel(&x, channel), of_channel(&grad, channel));
            let middle = f64::from(center[channel]);
            let terms: Vec<f64> = x.iter().zip(&g).map(|(x, g)| g * (x - middle)).collect();
            let bound =
                |terms: &[f64]| dot_bound(terms.len() + 4, terms.iter().map(|t| t.abs()).sum());
            assert!((sums[channel] - g.iter().sum::<f64>()).abs() <= bound(&g));
            assert!((products[channel] - terms.iter().sum::<f64>()).abs() <= bound(&terms));
        }

        let numbers = |seed| {
            to_f32(random_array(&[len], seed).view())
                .into_raw_vec_and_offset()
                .0
        };
        let (scale, mean_grad, slope) = (numbers(7), numbers(8), numbers(9));
        for store in [Store::Replace, Store::Add] {
            let before = random4(shape, 3);
            let mut target = Blocked::walled(&before);
            let parts = BatchNormGrad {
                mean: &center,
                scale: &scale,
                mean_grad: &mean_grad,
                slope: &slope,
            };
            blocked::batch_norm_grad(
                isa,
                input.view(),
                output.view(),
                parts,
                target.view_mut(),
                store,
            )
            .unwrap();
            let expected = Array4::from_shape_fn(grad.dim(), |at| {
                let c = at.1;
                let wide = f64::from;
                let value = wide(scale[c])
                    * (grad[at] - wide(mean_grad[c]) - (x[at] - wide(center[c])) * wide(slope[c]));
                value + if store == Store::Add { before[at] } else { 0.0 }
            });
            // A handful of roundings of values below 4.
            assert_close(target.array().view(), expected.view(), |_| {
                24.0 * f64::from(f32::EPSILON)
            });
        }
    }
}

/// Network layers with strides, groups, several parts of pixels and runs of output blocks that end
/// in a remainder, and a planar input.
fn layers() -> Vec<Conv2dProblem> {
    let layer = Conv2dProblem::layer;
    vec![
        layer(4, [3, 16], [32, 32], 3, 1, 1),
        layer(2, [3, 64], [30, 31], 7, 2, 1),
        layer(2, [128, 72], [13, 13], 3, 1, 1),
        layer(9, [64, 128], [15, 14], 1, 2, 1),
        layer(3, [40, 56], [19, 17], 5, 2, 1),
        layer(5, [48, 80], [41, 39], 3, 2, 1),
        layer(2, [64, 64], [14, 15], 3, 1, 16),
        layer(2, [48, 48], [9, 10], 3, 2, 48),
        layer(3, [72, 72], [33, 30], 3, 1, 72),
        layer(2, [40, 40], [12, 11], 5, 2, 20),
        layer(2, [52, 52], [10, 13], 9, 1, 13),
        layer(4, [24, 24], [17, 14], 3, 1, 3),
        layer(1, [256, 256], [4, 4], 3, 1, 1),
    ]
}

#[test]
fn layers_of_networks_agree_and_threads_change_no_bit() {
    for problem in layers() {
        for isa in Isa::available() {
            let on = |threads| {
                on_threads(threads, || {
                    (
                        check_grad_input(isa, &problem).mapv(f32::to_bits),
                        check_grad_weight(isa, &problem),
                    )
                })
            };
            let one = on(1);
            assert_eq!(one, on(2), "{isa} {problem:?}");
            assert_eq!(one, on(4), "{isa} {problem:?}");
        }
    }
}
