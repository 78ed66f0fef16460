//! Statistics that a convolution computes of its output, on every instruction set of this machine.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{
    Buffer, Conv2dSpec, Denormals, Epilogue, Layout, Statistics, View, ViewMut, Winograd,
    WinogradSpec, batch_statistics,
};
use conv_core::{Conv2dOptions, Error, Isa, PaddingValue};
use ndarray::{Array4, Axis};
use proptest::prelude::*;
use testkit::{Conv2dProblem, conv2d_problems, on_threads, random_array, to_f32};

/// A problem's convolution, its input, and the layout of its output.
struct Case {
    conv: Conv2dSpec,
    weight: Buffer,
    bias: Buffer,
    input: (Layout, Buffer),
    output: Layout,
}

/// What the convolution computes: its output, and each channel's mean and variance.
#[derive(Debug, PartialEq)]
struct Made {
    output: Array4<f32>,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Case {
    fn new(isa: Isa, problem: &Conv2dProblem) -> Self {
        let (input, weight) = (problem.input(), to_f32(problem.weight().view()));
        let bias = problem.bias().map(|bias| to_f32(bias.view()));
        let conv = Conv2dSpec::new(weight.dim().into(), &problem.options, isa).unwrap();
        let layout = conv
            .input_layout(problem.batch, problem.input_size)
            .with_halo(conv.halo(problem.input_size).unwrap());
        let mut data = Buffer::zeroed(layout.len()).unwrap();
        layout
            .import(to_f32(input.view()).view(), PaddingValue::Zeros, &mut data)
            .unwrap();
        let [n, o, h, w] = problem.shape().unwrap().output();
        Self {
            weight: conv.pack(weight.view(), Denormals::Flushed).unwrap(),
            bias: conv
                .pack_bias(bias.as_ref().map(|bias| bias.view()))
                .unwrap(),
            conv,
            input: (layout, data),
            output: Layout::blocked(n, o, [h, w]),
        }
    }

    /// Into this output.
    fn run_into(
        &self,
        layout: Layout,
        output: &mut [f32],
        statistics: Option<Statistics<'_>>,
    ) -> Result<(), Error> {
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            statistics,
            ..Epilogue::default()
        };
        let input = View::new(self.input.0, &self.input.1).unwrap();
        let output = ViewMut::new(layout, output).unwrap();
        self.conv.run(&self.weight, input, epilogue, output)
    }

    /// Into an output with this halo.
    fn run(&self, halo: [usize; 4]) -> Made {
        let layout = self.output.with_halo(halo);
        let mut output = Buffer::zeroed(layout.len()).unwrap();
        output.fill(f32::NAN);
        let lanes = layout.blocks() * 16;
        let (mut mean, mut variance) = (vec![f64::NAN; lanes], vec![f64::NAN; lanes]);
        let needed = self
            .conv
            .statistics_scratch(&self.input.0, &layout)
            .unwrap();
        let statistics = Statistics {
            mean: &mut mean,
            variance: &mut variance,
            scratch: &mut vec![f64::NAN; needed],
        };
        self.run_into(layout, &mut output, Some(statistics))
            .unwrap();
        Made {
            output: read(layout, &output),
            mean,
            variance,
        }
    }
}

fn read(layout: Layout, data: &[f32]) -> Array4<f32> {
    let mut array = Array4::zeros((
        layout.batch,
        layout.channels,
        layout.size[0],
        layout.size[1],
    ));
    layout.export(data, array.view_mut()).unwrap();
    array
}

/// The output has the bits of `run`; its mean and variance are those of these values in f64 up to
/// the rounding of summing a row in f32.
fn check(isa: Isa, problem: &Conv2dProblem) {
    let case = Case::new(isa, problem);
    for halo in [[0; 4], [1, 2, 0, 1]] {
        let made = case.run(halo);
        let layout = case.output.with_halo(halo);
        let mut alone = Buffer::zeroed(layout.len()).unwrap();
        case.run_into(layout, &mut alone, None).unwrap();
        assert_eq!(made.output, read(layout, &alone), "{isa} {problem:?}");

        // A row is one of the picture, or a run of a 1x1 convolution's pixels: 8 tiles of at most
        // 14.
        let in_row = made.output.dim().3.max(112) as f64;
        for (channel, numbers) in made.output.axis_iter(Axis(1)).enumerate() {
            let count = numbers.len() as f64;
            let mean = numbers.iter().copied().map(f64::from).sum::<f64>() / count;
            let squares = numbers.iter().map(|&x| (f64::from(x) - mean).powi(2));
            let variance = squares.sum::<f64>() / count;
            let most = numbers.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            let rounding = in_row * f64::from(f32::EPSILON) * f64::from(most);
            assert!(
                (made.mean[channel] - mean).abs() <= rounding,
                "{isa} {problem:?}: {} is not {mean}",
                made.mean[channel]
            );
            assert!(
                (made.variance[channel] - variance).abs()
                    <= in_row * f64::from(f32::EPSILON) * variance + rounding * rounding,
                "{isa} {problem:?}: {} is not {variance}",
                made.variance[channel]
            );
        }
    }
}

/// Layers of many tasks: several bands of rows, runs of blocks, chunks of the sum, groups.
fn layers() -> [Conv2dProblem; 7] {
    [
        Conv2dProblem::layer(2, [64, 128], [40, 41], 3, 1, 1),
        Conv2dProblem::layer(2, [256, 48], [29, 31], 1, 1, 1),
        Conv2dProblem::layer(1, [256, 288], [14, 13], 3, 2, 1),
        Conv2dProblem::layer(2, [3, 33], [61, 45], 7, 2, 1),
        Conv2dProblem::layer(1, [64, 96], [33, 20], 3, 1, 2),
        Conv2dProblem::layer(3, [200, 200], [7, 9], 3, 1, 200),
        Conv2dProblem::layer(2, [72, 72], [30, 31], 3, 2, 18),
    ]
}

proptest! {
    #[test]
    fn statistics_are_those_of_the_output(problem in conv2d_problems()) {
        for isa in Isa::available() {
            check(isa, &problem);
        }
    }
}

#[test]
fn statistics_of_many_tasks() {
    for problem in layers() {
        for isa in Isa::available() {
            check(isa, &problem);
        }
    }
}

#[test]
fn statistics_have_the_same_bits_on_any_number_of_threads() {
    for problem in layers() {
        let case = Case::new(Isa::best(), &problem);
        let expected = on_threads(1, || case.run([0; 4]));
        for threads in [2, 4] {
            assert_eq!(on_threads(threads, || case.run([0; 4])), expected);
        }
    }
}

#[test]
fn lengths_that_do_not_fit_are_errors() {
    let case = Case::new(Isa::best(), &layers()[0]);
    let needed = case
        .conv
        .statistics_scratch(&case.input.0, &case.output)
        .unwrap();
    let mut output = Buffer::zeroed(case.output.len()).unwrap();
    for (mean, variance, scratch) in [
        (127, 128, needed),
        (128, 129, needed),
        (128, 128, needed - 1),
    ] {
        let statistics = Statistics {
            mean: &mut vec![0.0; mean],
            variance: &mut vec![0.0; variance],
            scratch: &mut vec![0.0; scratch],
        };
        let got = case.run_into(case.output, &mut output, Some(statistics));
        assert!(matches!(got, Err(Error::Mismatch { .. })), "{got:?}");
    }
}

/// So they have the bits of that pass.
#[test]
fn winograd_computes_statistics_in_a_pass_of_their_own() {
    let isa = Isa::best();
    let spec = Conv2dSpec::new([20, 16, 3, 3], &Conv2dOptions::default(), isa).unwrap();
    let spec = WinogradSpec::new(Winograd::F2x3, spec).unwrap();
    let random = |shape: [usize; 4]| -> Array4<f32> {
        let array = to_f32(random_array(&shape, 1).view());
        array.into_dimensionality().unwrap()
    };
    let weight = spec.pack(random([20, 16, 3, 3]).view()).unwrap();
    let from = Layout::blocked(2, 16, [7, 9]).with_halo(spec.halo([7, 9]).unwrap());
    let to = Layout::blocked(2, 20, [5, 7]);
    let mut source = Buffer::zeroed(from.len()).unwrap();
    from.import(
        random([2, 16, 7, 9]).view(),
        PaddingValue::Zeros,
        &mut source,
    )
    .unwrap();
    let mut target = Buffer::zeroed(to.len()).unwrap();
    let mut scratch = Buffer::zeroed(spec.scratch_len(&from, 1).unwrap()).unwrap();
    let mut sums = vec![f64::NAN; spec.statistics_scratch(&to)];
    let (mut mean, mut variance) = ([f64::NAN; 32], [f64::NAN; 32]);
    let mut run = |mean: &mut [f64], variance: &mut [f64], sums: &mut [f64]| {
        let statistics = Statistics {
            mean,
            variance,
            scratch: sums,
        };
        let epilogue = Epilogue {
            statistics: Some(statistics),
            ..Epilogue::default()
        };
        let input = View::new(from, &source).unwrap();
        let output = ViewMut::new(to, &mut target).unwrap();
        spec.run(&weight, input, epilogue, output, &mut scratch)
    };
    run(&mut mean, &mut variance, &mut sums).unwrap();
    for (mean, sums) in [(31, sums.len()), (32, sums.len() - 1)] {
        let refused = run(&mut vec![0.0; mean], &mut [0.0; 32], &mut vec![0.0; sums]);
        assert!(
            matches!(refused, Err(Error::Mismatch { .. })),
            "{refused:?}"
        );
    }

    let (mut of_mean, mut of_variance) = ([0.0; 32], [0.0; 32]);
    let output = View::new(to, &target).unwrap();
    batch_statistics(isa, output, &mut of_mean, &mut of_variance, &mut sums).unwrap();
    assert!(of_variance[..20].iter().all(|&variance| variance > 0.0));
    assert_eq!((mean, variance), (of_mean, of_variance));
}
