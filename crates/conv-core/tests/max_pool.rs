//! A max pool in a convolution's epilogue against the plain loops, on every instruction set of this machine
//! and by every algorithm.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{
    Algorithm, Buffer, Conv2dSpec, Epilogue, Layout, MaxPool, PackedConv2d, View, ViewMut, Winograd,
};
use conv_core::{
    Activation, Conv2dOptions, Error, Isa, MaxPool2dOptions, Padding, PaddingValue, plain,
};
use ndarray::{Array4, Zip};
use proptest::prelude::*;
use testkit::{Conv2dProblem, compare, conv2d_problems, on_threads, random_array, to_f32};

/// A convolution, what is added to its sums, and how they are pooled.
#[derive(Clone, Debug)]
struct Problem {
    algorithm: Algorithm,
    conv: Conv2dProblem,
    activation: Activation,
    has_residual: bool,
    /// Whether a last window of one row, and of one column, counts.
    rounds_up: [bool; 2],
}

impl Problem {
    fn sums(&self) -> [usize; 4] {
        self.conv.shape().unwrap().output()
    }

    fn residual(&self) -> Option<Array4<f64>> {
        let residual = || random_array(&self.sums(), self.conv.seed ^ 1);
        self.has_residual
            .then(|| residual().into_dimensionality().unwrap())
    }

    /// The pool of the sums, as a step of its own.
    fn pool(&self) -> MaxPool2dOptions {
        let [_, _, height, width] = self.sums();
        let beyond = |axis: usize, size: usize| usize::from(self.rounds_up[axis]) * (size % 2);
        let padding = Padding::Explicit([0, 0, beyond(0, height), beyond(1, width)]);
        MaxPool2dOptions::new([2, 2]).padding(padding)
    }

    /// Whether there is a window.
    fn has_output(&self) -> bool {
        let [_, _, height, width] = self.sums();
        let least = self.rounds_up.map(|up| if up { 1 } else { 2 });
        height >= least[0] && width >= least[1]
    }

    fn packed(&self, isa: Isa) -> PackedConv2d {
        let weight = to_f32(self.conv.weight().view());
        let bias = self.conv.bias().map(|bias| to_f32(bias.view()));
        PackedConv2d::new(
            self.algorithm,
            Conv2dSpec::new(weight.dim().into(), &self.conv.options, isa).unwrap(),
            weight.view(),
            bias.as_ref().map(|bias| bias.view()),
            self.activation,
        )
        .unwrap()
    }

    /// The pooled sums, or the sums themselves, with scratch memory for this many threads.
    fn run(&self, conv: &PackedConv2d, pools: bool, threads: usize) -> Array4<f32> {
        let problem = &self.conv;
        let halo = conv.halo(problem.input_size).unwrap();
        let from = match self.algorithm {
            Algorithm::Direct => conv.spec().input_layout(problem.batch, problem.input_size),
            Algorithm::Winograd(_) => {
                Layout::blocked(problem.batch, problem.in_channels, problem.input_size)
            }
        };
        let from = from.with_halo(halo);
        let mut source = Buffer::zeroed(from.len()).unwrap();
        let padding = problem.options.padding_value;
        let input = to_f32(problem.input().view());
        from.import(input.view(), padding, &mut source).unwrap();
        let [n, o, height, width] = self.sums();
        let added = Layout::blocked(n, o, [height, width]).with_halo([1, 0, 2, 1]);
        let mut residual = Buffer::zeroed(added.len()).unwrap();
        let residual = self.residual().map(|array| {
            // A halo that must not be read.
            let never = PaddingValue::Constant(1e30);
            added
                .import(to_f32(array.view()).view(), never, &mut residual)
                .unwrap();
            View::new(added, &residual).unwrap()
        });
        let size = match pools {
            true => {
                self.pool()
                    .place("max_pool2d", [height, width])
                    .unwrap()
                    .output
            }
            false => [height, width],
        };
        let to = Layout::blocked(n, o, size).with_halo([2, 1, 0, 1]);
        let mut target = Buffer::zeroed(to.len()).unwrap();
        target.fill(7.0);
        let mut scratch = Buffer::zeroed(conv.scratch_len(&from, threads).unwrap()).unwrap();
        scratch.fill(f32::NAN);
        let (source, output) = (View::new(from, &source), ViewMut::new(to, &mut target));
        conv.run(source.unwrap(), residual, output.unwrap(), &mut scratch)
            .unwrap();
        let mut output = Array4::zeros((n, o, size[0], size[1]));
        to.export(&target, output.view_mut()).unwrap();
        for n in 0..n {
            for block in 0..to.blocks() {
                let lanes = o - block * 16;
                for y in 0..size[0] {
                    let first = to.offset(n, block, y, 0);
                    for pixel in target[first..first + size[1] * 16].chunks_exact_mut(16) {
                        let past = pixel.iter().skip(lanes);
                        assert!(past.into_iter().all(|&x| x == 0.0), "channel padding");
                        pixel.fill(7.0);
                    }
                }
            }
        }
        assert!(target.iter().all(|&x| x == 7.0), "the halo is untouched");
        output
    }

    /// The pooled result of the plain loops in f64, and the bound of each element: the largest of its
    /// window, because a maximum differs by no more than its arguments do.
    fn expected(&self) -> (Array4<f64>, Vec<f64>) {
        let reference = self.conv.reference();
        let mut sums = reference.expected.clone();
        // A residual and an activation round once more each; a tile of Winograd's algorithm sums up what
        // is next to it, so its bound is checked in `winograd.rs`, and only the pool is checked here.
        let bound = reference.bound();
        let mut bounds = sums.clone();
        for (index, bounded) in bounds.iter_mut().enumerate() {
            *bounded = bound(index);
        }
        if let Some(residual) = self.residual() {
            Zip::from(&mut sums)
                .and(&mut bounds)
                .and(&residual)
                .for_each(|sum, bound, &x| {
                    *sum += x;
                    *bound += 4.0 * f64::from(f32::EPSILON) * (x.abs() + sum.abs());
                });
        }
        sums.mapv_inplace(|x| match self.activation {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu(slope) if x <= 0.0 => f64::from(slope) * x,
            Activation::LeakyRelu(_) => x,
        });
        let pooled = |array: &Array4<f64>| plain::max_pool2d(array.view(), &self.pool()).unwrap();
        (pooled(&sums), pooled(&bounds).into_iter().collect())
    }
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::Relu6),
        (0.0_f32..1.0).prop_map(Activation::LeakyRelu),
    ]
}

/// Convolutions of every kind, computed directly.
fn direct_problems() -> impl Strategy<Value = Problem> {
    (
        conv2d_problems(),
        activations(),
        any::<bool>(),
        any::<[bool; 2]>(),
    )
        .prop_map(|(conv, activation, has_residual, rounds_up)| Problem {
            algorithm: Algorithm::Direct,
            conv,
            activation,
            has_residual,
            rounds_up,
        })
}

fn winograd_problems() -> impl Strategy<Value = Problem> {
    let algorithm = prop::sample::select(&[Winograd::F2x3, Winograd::F4x3, Winograd::F2x5][..]);
    (
        (algorithm, activations(), any::<bool>(), any::<[bool; 2]>()),
        (1_usize..3, 1_usize..40, 1_usize..40, any::<u64>()),
        ([5_usize..24, 5..24], prop::array::uniform4(0_usize..3)),
    )
        .prop_map(|(how, (batch, c, o, seed), (input_size, padding))| {
            let (algorithm, activation, has_residual, rounds_up) = how;
            let taps = match algorithm {
                Winograd::F2x3 | Winograd::F4x3 => 3,
                Winograd::F2x5 => 5,
            };
            Problem {
                algorithm: Algorithm::Winograd(algorithm),
                conv: Conv2dProblem {
                    batch,
                    in_channels: c,
                    out_channels: o,
                    input_size,
                    kernel_size: [taps; 2],
                    options: Conv2dOptions {
                        padding: Padding::Explicit(padding),
                        ..Conv2dOptions::default()
                    },
                    bias: true,
                    seed,
                },
                activation,
                has_residual,
                rounds_up,
            }
        })
}

proptest! {
    #![proptest_config(testkit::cases(200))]

    #[test]
    fn the_largest_of_direct_sums_agrees_with_the_plain_loops(problem in direct_problems()) {
        prop_assume!(problem.has_output());
        let (expected, bounds) = problem.expected();
        for isa in Isa::available() {
            let got = problem.run(&problem.packed(isa).with_max_pool(), true, 1);
            let agrees = compare(got.view(), expected.view(), |i| bounds[i]);
            prop_assert!(agrees.is_ok(), "{isa}: {}", agrees.unwrap_err());
        }
    }

    /// A tile has whole windows, so its sums are the same with and without a pool.
    #[test]
    fn the_largest_of_winograds_sums_has_the_bits_of_a_pool_after_it(
        problem in winograd_problems(),
    ) {
        prop_assume!(problem.has_output());
        for isa in Isa::available() {
            let sums = problem.run(&problem.packed(isa), false, 1);
            let expected = plain::max_pool2d(sums.view(), &problem.pool()).unwrap();
            let got = problem.run(&problem.packed(isa).with_max_pool(), true, 1);
            prop_assert_eq!(got, expected, "{}", isa);
        }
    }
}

/// The first layers of detectors, and deep ones whose reduction is cut into chunks.
fn layers() -> Vec<Problem> {
    let layer = |algorithm, channels, size| Problem {
        algorithm,
        conv: Conv2dProblem::layer(2, channels, size, 3, 1, 1),
        activation: Activation::LeakyRelu(0.1),
        has_residual: false,
        rounds_up: [true, false],
    };
    vec![
        layer(Algorithm::Direct, [3, 32], [61, 75]),
        layer(Algorithm::Direct, [64, 24], [40, 41]),
        layer(Algorithm::Direct, [160, 72], [13, 14]),
        layer(Algorithm::Winograd(Winograd::F4x3), [32, 64], [61, 75]),
        layer(Algorithm::Winograd(Winograd::F4x3), [256, 48], [13, 14]),
    ]
}

#[test]
fn layers_of_networks_have_the_same_bits_for_any_number_of_threads_and_any_scratch_memory() {
    for problem in layers() {
        for isa in Isa::available() {
            let conv = problem.packed(isa).with_max_pool();
            let expected = problem.run(&conv, true, 1);
            if problem.algorithm == Algorithm::Direct {
                let (right, bounds) = problem.expected();
                let agrees = compare(expected.view(), right.view(), |i| bounds[i]);
                assert!(agrees.is_ok(), "{isa}: {}", agrees.unwrap_err());
            }
            for (threads, scratch) in [(1, 4), (2, 1), (2, 2), (4, 3), (4, 4)] {
                let got = on_threads(threads, || problem.run(&conv, true, scratch));
                assert_eq!(got, expected, "{isa}, {threads} threads");
            }
        }
    }
}

/// As in PyTorch, a NaN is larger than any number.
#[test]
fn a_nan_wins() {
    let spec = Conv2dSpec::new([1, 1, 1, 1], &Conv2dOptions::default(), Isa::best()).unwrap();
    let weight = spec
        .pack(
            Array4::ones((1, 1, 1, 1)).view(),
            conv_core::blocked::Denormals::Kept,
        )
        .unwrap();
    let from = spec.input_layout(1, [2, 4]);
    let pixels = [1.0, f32::NAN, 2.0, 3.0, 4.0, 5.0, f32::INFINITY, -1.0];
    let to = Layout::blocked(1, 1, [1, 2]);
    let mut output = Buffer::zeroed(to.len()).unwrap();
    let mut scratch = vec![0.0; spec.max_pool_scratch(&from, 1).unwrap()];
    let epilogue = Epilogue {
        max_pool: Some(MaxPool {
            scratch: &mut scratch,
        }),
        ..Epilogue::default()
    };
    let target = ViewMut::new(to, &mut output).unwrap();
    spec.run(&weight, View::new(from, &pixels).unwrap(), epilogue, target)
        .unwrap();
    assert!(output[0].is_nan());
    assert_eq!(output[16], f32::INFINITY);
}

#[test]
fn an_output_of_another_size_and_too_little_memory_are_errors() {
    let isa = Isa::best();
    let spec = Conv2dSpec::new([16, 3, 3, 3], &Conv2dOptions::default(), isa).unwrap();
    let weight = vec![0.0; spec.weight_len()];
    let from = spec.input_layout(1, [9, 8]);
    let pixels = vec![0.0; from.len()];
    let enough = spec.max_pool_scratch(&from, 1).unwrap();
    let run = |size: [usize; 2], scratch: usize| {
        let to = Layout::blocked(1, 16, size);
        let (mut output, mut scratch) = (vec![0.0; to.len()], vec![0.0; scratch]);
        let epilogue = Epilogue {
            max_pool: Some(MaxPool {
                scratch: &mut scratch,
            }),
            ..Epilogue::default()
        };
        let target = ViewMut::new(to, &mut output).unwrap();
        spec.run(&weight, View::new(from, &pixels).unwrap(), epilogue, target)
    };
    // 7x6 sums.
    assert_eq!(run([3, 3], enough), Ok(()));
    assert_eq!(run([4, 3], enough), Ok(()));
    for (size, scratch, wrong, expected, got) in [
        ([2, 3], enough, "the pooled height (axis h)", 3, 2),
        ([5, 3], enough, "the pooled height (axis h)", 4, 5),
        ([3, 2], enough, "the pooled width (axis w)", 3, 2),
        ([7, 6], enough, "the pooled height (axis h)", 4, 7),
        ([3, 3], enough - 1, "the scratch memory", enough, enough - 1),
    ] {
        let op = "conv2d";
        let error = Error::Mismatch {
            op,
            what: wrong,
            expected,
            got,
        };
        assert_eq!(run(size, scratch), Err(error));
    }
}
