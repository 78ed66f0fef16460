//! Winograd's algorithm against the plain loops, on every instruction set of this machine.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{
    Algorithm, Buffer, Conv2dSpec, Epilogue, Layout, PackedConv2d, View, ViewMut, Winograd,
    WinogradSpec,
};
use conv_core::{Activation, Conv2dOptions, Error, Isa, Padding, PaddingValue};
use ndarray::Array4;
use proptest::prelude::*;
use testkit::{Conv2dProblem, compare, on_threads, random_array, to_f32};

const ALGORITHMS: [Winograd; 3] = [Winograd::F2x3, Winograd::F4x3, Winograd::F2x5];

/// Output pixels and taps of a tile along an axis.
fn sizes(algorithm: Winograd) -> [usize; 2] {
    match algorithm {
        Winograd::F2x3 => [2, 3],
        Winograd::F4x3 => [4, 3],
        Winograd::F2x5 => [2, 5],
    }
}

/// A convolution with everything around it.
#[derive(Clone, Debug)]
struct Problem {
    algorithm: Winograd,
    conv: Conv2dProblem,
    activation: Activation,
    has_residual: bool,
    /// Pixels of the halos beyond what is needed, and of the output's.
    wider: [usize; 4],
    output_halo: [usize; 4],
}

fn problems() -> impl Strategy<Value = Problem> {
    let algorithm = prop::sample::select(&ALGORITHMS[..]);
    let activation = prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::Relu6),
        (0.0_f32..1.0).prop_map(Activation::LeakyRelu),
    ];
    (
        algorithm,
        (1_usize..4, 1_usize..70, 1_usize..70, any::<bool>()),
        ([1_usize..24, 1..24], prop::array::uniform4(0_usize..4)),
        (activation, any::<bool>(), any::<u64>()),
        prop::array::uniform4(0_usize..3),
        prop::array::uniform4(0_usize..3),
    )
        .prop_map(
            |(algorithm, (batch, c, o, bias), (size, padding), rest, wider, output_halo)| {
                let [_, taps] = sizes(algorithm);
                let (activation, has_residual, seed) = rest;
                // The kernel fits into the padded picture.
                let least = |axis: usize| taps.saturating_sub(padding[axis] + padding[axis + 2]);
                let conv = Conv2dProblem {
                    batch,
                    in_channels: c,
                    out_channels: o,
                    input_size: [0, 1].map(|axis| size[axis].max(least(axis))),
                    kernel_size: [taps; 2],
                    options: Conv2dOptions {
                        padding: Padding::Explicit(padding),
                        ..Conv2dOptions::default()
                    },
                    bias,
                    seed,
                };
                Problem {
                    algorithm,
                    conv,
                    activation,
                    has_residual,
                    wider,
                    output_halo,
                }
            },
        )
}

impl Problem {
    fn layer(algorithm: Winograd, batch: usize, channels: [usize; 2], size: usize) -> Self {
        let [_, taps] = sizes(algorithm);
        Self {
            algorithm,
            conv: Conv2dProblem::layer(batch, channels, [size; 2], taps, 1, 1),
            activation: Activation::Relu,
            has_residual: true,
            wider: [0; 4],
            output_halo: [1; 4],
        }
    }

    fn output_shape(&self) -> [usize; 4] {
        self.conv.shape().unwrap().output()
    }

    fn residual(&self) -> Option<Array4<f64>> {
        let residual = || random_array(&self.output_shape(), self.conv.seed ^ 1);
        self.has_residual
            .then(|| residual().into_dimensionality().unwrap())
    }

    /// The result of the plain loops, and each element's bound: with `K` products per output,
    /// `8 sqrt(K) eps` times the sum over the channels of the largest input of its tile times the sum
    /// of the absolute weights. A tile's sums pass through all inputs of the tile, of which the
    /// constants of the transforms are at most a few times.
    fn expected(&self) -> (Array4<f64>, Vec<f64>) {
        let problem = &self.conv;
        let (input, weight) = (problem.input(), problem.weight());
        let mut expected = problem.reference().expected;
        let [m, taps] = sizes(self.algorithm);
        let Padding::Explicit([top, left, ..]) = problem.options.padding else {
            unreachable!("the problems have explicit paddings")
        };
        let terms = (problem.in_channels * taps * taps) as f64;
        let unit = 8.0 * terms.sqrt() * f64::from(f32::EPSILON);
        let [batch, outputs, height, width] = self.output_shape();
        let largest = |n: usize, c: usize, y: usize, x: usize| {
            let mut largest = 0.0_f64;
            for row in y..y + m + taps - 1 {
                for column in x..x + m + taps - 1 {
                    let at = (row.checked_sub(top), column.checked_sub(left));
                    if let (Some(row), Some(column)) = at
                        && let Some(value) = input.get([n, c, row, column])
                    {
                        largest = largest.max(value.abs());
                    }
                }
            }
            largest
        };
        let sums: Vec<Vec<f64>> = weight
            .outer_iter()
            .map(|filter| {
                filter
                    .outer_iter()
                    .map(|w| w.iter().map(|w| w.abs()).sum())
                    .collect()
            })
            .collect();
        let tiles = |size: usize| (0..size).step_by(m);
        let mut bounds = Array4::zeros((batch, outputs, height, width));
        for n in 0..batch {
            for y in tiles(height) {
                for x in tiles(width) {
                    let inputs: Vec<f64> = (0..problem.in_channels)
                        .map(|c| largest(n, c, y, x))
                        .collect();
                    for (o, sums) in sums.iter().enumerate() {
                        let products = inputs.iter().zip(sums).map(|(x, w)| x * w);
                        let bound = unit * products.sum::<f64>();
                        for row in y..height.min(y + m) {
                            for column in x..width.min(x + m) {
                                bounds[[n, o, row, column]] = bound;
                            }
                        }
                    }
                }
            }
        }
        let bias = problem.bias();
        for ([_, o, ..], bound) in bounds
            .indexed_iter_mut()
            .map(|((n, o, y, x), b)| ([n, o, y, x], b))
        {
            *bound += unit * bias.as_ref().map_or(0.0, |bias| bias[o].abs());
        }
        if let Some(residual) = self.residual() {
            for ((sum, bound), x) in expected.iter_mut().zip(&mut bounds).zip(&residual) {
                *sum += x;
                *bound += unit * x.abs();
            }
        }
        let activation = |x: f64| match self.activation {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu(slope) => {
                if x <= 0.0 {
                    f64::from(slope) * x
                } else {
                    x
                }
            }
        };
        expected.mapv_inplace(activation);
        (expected, bounds.into_iter().collect())
    }

    /// Runs with scratch memory for this many threads.
    fn run(&self, isa: Isa, threads: usize) -> Array4<f32> {
        let problem = &self.conv;
        let (input, weight) = (
            to_f32(problem.input().view()),
            to_f32(problem.weight().view()),
        );
        let bias = problem.bias().map(|bias| to_f32(bias.view()));
        let conv = PackedConv2d::new(
            Algorithm::Winograd(self.algorithm),
            Conv2dSpec::new(weight.dim().into(), &problem.options, isa).unwrap(),
            weight.view(),
            bias.as_ref().map(|bias| bias.view()),
            self.activation,
        )
        .unwrap();
        let halo = conv.halo(problem.input_size).unwrap();
        let halo = [0, 1, 2, 3].map(|side| halo[side] + self.wider[side]);
        let from = Layout::blocked(problem.batch, problem.in_channels, problem.input_size);
        let from = from.with_halo(halo);
        let mut source = Buffer::zeroed(from.len()).unwrap();
        from.import(input.view(), PaddingValue::Zeros, &mut source)
            .unwrap();
        let [n, o, height, width] = self.output_shape();
        let to = Layout::blocked(n, o, [height, width]).with_halo(self.output_halo);
        let mut target = Buffer::zeroed(to.len()).unwrap();
        target.fill(7.0);
        let residual_layout = Layout::blocked(n, o, [height, width]).with_halo(self.wider);
        let mut added = Buffer::zeroed(residual_layout.len()).unwrap();
        let residual = self.residual().map(|residual| to_f32(residual.view()));
        let residual = residual.map(|residual| {
            // A halo that must not be read.
            let never = PaddingValue::Constant(1e30);
            residual_layout
                .import(residual.view(), never, &mut added)
                .unwrap();
            View::new(residual_layout, &added).unwrap()
        });
        let mut scratch = Buffer::zeroed(conv.scratch_len(&from, threads).unwrap()).unwrap();
        scratch.fill(f32::NAN);
        let source = View::new(from, &source).unwrap();
        let output = ViewMut::new(to, &mut target).unwrap();
        conv.run(source, residual, output, &mut scratch).unwrap();
        let mut output = Array4::zeros((n, o, height, width));
        to.export(&target, output.view_mut()).unwrap();
        // Nothing is written outside the interior.
        let mut rest = target.to_vec();
        for n in 0..n {
            for block in 0..to.blocks() {
                for y in 0..height {
                    let first = to.offset(n, block, y, 0);
                    rest[first..first + width * 16].fill(7.0);
                }
            }
        }
        assert!(rest.iter().all(|&x| x == 7.0), "the halo is untouched");
        // Lanes past the last channel stay zero.
        if let Some(block) = o.checked_next_multiple_of(16).filter(|&all| all > o) {
            let lane = to.offset(n - 1, block / 16 - 1, 0, 0) + 15;
            assert_eq!(target[lane], 0.0, "channel padding");
        }
        output
    }
}

proptest! {
    #![proptest_config(testkit::cases(300))]

    #[test]
    fn it_agrees_with_the_plain_loops_on_every_instruction_set(problem in problems()) {
        let (expected, bounds) = problem.expected();
        for isa in Isa::available() {
            let got = problem.run(isa, 1);
            let agrees = compare(got.view(), expected.view(), |i| bounds[i]);
            prop_assert!(agrees.is_ok(), "{isa}: {}", agrees.unwrap_err());
        }
    }
}

/// Both schedules, with several parts, several runs, and tiles at the edge.
fn large_problems() -> Vec<Problem> {
    let mut problems = Vec::new();
    for algorithm in ALGORITHMS {
        problems.push(Problem::layer(algorithm, 1, [32, 48], 45));
        problems.push(Problem::layer(algorithm, 2, [160, 80], 30));
        problems.push(Problem::layer(algorithm, 1, [256, 128], 7));
    }
    problems
}

#[test]
fn large_problems_agree_with_the_plain_loops() {
    for problem in large_problems() {
        let (expected, bounds) = problem.expected();
        for isa in Isa::available() {
            let got = on_threads(2, || problem.run(isa, 2));
            let agrees = compare(got.view(), expected.view(), |i| bounds[i]);
            assert!(
                agrees.is_ok(),
                "{problem:?}, {isa}: {}",
                agrees.unwrap_err()
            );
        }
    }
}

#[test]
fn the_bits_are_the_same_for_any_number_of_threads_and_any_scratch_memory() {
    for problem in large_problems() {
        for isa in Isa::available() {
            let expected = problem.run(isa, 1);
            for (threads, scratch) in [(1, 4), (2, 1), (2, 2), (4, 3), (4, 4)] {
                let got = on_threads(threads, || problem.run(isa, scratch));
                assert_eq!(got, expected, "{isa}, {threads} threads");
            }
        }
    }
}

#[test]
fn what_it_cannot_compute_is_refused() {
    let isa = Isa::best();
    let weight = Array4::<f32>::ones((4, 4, 3, 3));
    let new = |algorithm, options: Conv2dOptions| {
        Conv2dSpec::new([4, 4, 3, 3], &options, isa)
            .and_then(|spec| WinogradSpec::new(algorithm, spec))
    };
    let usual = Conv2dOptions::default();
    let conv = new(Winograd::F4x3, usual).unwrap();
    let packed = conv.pack(weight.view()).unwrap();
    for (algorithm, options, name) in [
        (Winograd::F2x5, usual, "kernel height (axis h)"),
        (
            Winograd::F4x3,
            Conv2dOptions {
                stride: [2, 1],
                ..usual
            },
            "the stride (axis h)",
        ),
        (
            Winograd::F4x3,
            Conv2dOptions {
                dilation: [1, 2],
                ..usual
            },
            "the dilation (axis w)",
        ),
        (
            Winograd::F2x3,
            Conv2dOptions { groups: 2, ..usual },
            "groups",
        ),
    ] {
        let error = new(algorithm, options).unwrap_err();
        assert!(
            matches!(error, Error::Mismatch { what, .. } if what == name),
            "{error}"
        );
    }

    assert!(conv.conv().place([2, 9]).is_err());
    let from = Layout::blocked(1, 4, [9, 9]).with_halo(conv.halo([9, 9]).unwrap());
    let to = Layout::blocked(1, 4, [7, 7]);
    let len = conv.scratch_len(&from, 1).unwrap();
    let run = |from: Layout, to: Layout, len: usize| {
        let (source, mut target) = (vec![0.0; from.len()], vec![0.0; to.len()]);
        let output = ViewMut::new(to, &mut target).unwrap();
        let input = View::new(from, &source).unwrap();
        let scratch = &mut vec![0.0; len];
        conv.run(&packed, input, Epilogue::default(), output, scratch)
    };
    assert_eq!(run(from, to, len), Ok(()));
    for (from, to, len, name) in [
        (from.with_halo([0; 4]), to, len, "the halo's bottom"),
        (
            Layout {
                channels: 20,
                ..from
            },
            to,
            len,
            "input channels (axis c)",
        ),
        (
            from,
            Layout { size: [7, 8], ..to },
            len,
            "output width (axis w)",
        ),
        (from, to, len - 1, "the scratch memory"),
    ] {
        let error = run(from, to, len).unwrap_err();
        assert!(
            matches!(error, Error::Mismatch { what, .. } if what == name),
            "{error}"
        );
    }
}

/// As many tiles as a graph may state: the schedule is found at once, and nothing overflows.
#[test]
fn the_scratch_memory_of_a_picture_that_fits_no_memory_is_known() {
    let isa = Isa::best();
    for algorithm in ALGORITHMS {
        let [_, taps] = sizes(algorithm);
        for channels in [16, 512] {
            let weight = [channels, channels, taps, taps];
            let conv = Conv2dSpec::new(weight, &Conv2dOptions::default(), isa).unwrap();
            let spec = WinogradSpec::new(algorithm, conv).unwrap();
            for (batch, size) in [(1, [1 << 24, 1 << 24]), (1 << 46, [taps, taps])] {
                let layout = Layout::blocked(batch, channels, size);
                let scratch = spec.scratch_len(&layout, 2).unwrap();
                assert!(scratch < 1 << 32, "{algorithm:?}, {channels}: {scratch}");
            }
        }
    }
}
