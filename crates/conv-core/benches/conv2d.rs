//! Network layers measured against the peak of the machine.
//!
//! `cargo bench -p conv-core` times each layer on two threads, alternating with a loop of
//! multiply-adds that accesses no memory: the peak in the same seconds. The printed share is the
//! median of the pairs, which is meaningful on a shared machine where neither time is. Inputs and
//! weights are random, and each result is first checked against the plain loops.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints, and stops on failure"
)]

use std::time::{Duration, Instant};

use conv_core::blocked::{Algorithm, Buffer, Conv2dSpec, Layout, PackedConv2d, View, ViewMut};
use conv_core::{Activation, Isa, PaddingValue};
use criterion::{Criterion, criterion_group, criterion_main};
use rayon::prelude::*;
use testkit::{Conv2dProblem, assert_close, to_f32};

/// Threads of every measurement.
const THREADS: usize = 2;

/// Rounds of the calibrator: a few milliseconds.
const ROUNDS: u64 = 400_000;

/// `(name, in channels, out channels, map, kernel, stride, groups)`.
const LAYERS: [(&str, usize, usize, usize, usize, usize, usize); 18] = [
    ("3x3 256 channels at 26", 256, 256, 26, 3, 1, 1),
    ("1x1 512 channels at 26", 512, 512, 26, 1, 1, 1),
    ("1x1 512 channels at 13", 512, 512, 13, 1, 1, 1),
    ("yolov3-tiny 0", 3, 16, 416, 3, 1, 1),
    ("yolov3-tiny 2", 16, 32, 208, 3, 1, 1),
    ("yolov3-tiny 4", 32, 64, 104, 3, 1, 1),
    ("yolov3-tiny 6", 64, 128, 52, 3, 1, 1),
    ("yolov3-tiny 12", 512, 1024, 13, 3, 1, 1),
    ("yolov3-tiny 13", 1024, 256, 13, 1, 1, 1),
    ("yolov2 24", 1024, 1024, 19, 3, 1, 1),
    ("resnet 64 channels at 56", 64, 64, 56, 3, 1, 1),
    ("resnet stride 2 at 56", 128, 128, 56, 3, 2, 1),
    ("depthwise 32 channels at 112", 32, 32, 112, 3, 1, 32),
    ("depthwise 144 channels at 56", 144, 144, 56, 3, 1, 144),
    ("depthwise stride 2 at 56", 144, 144, 56, 3, 2, 144),
    ("depthwise 576 channels at 14", 576, 576, 14, 3, 1, 576),
    ("depthwise 960 channels at 7", 960, 960, 7, 3, 1, 960),
    ("groups of 4 channels at 56", 128, 128, 56, 3, 1, 32),
];

/// A layer that is ready to run.
struct Layer {
    conv: PackedConv2d,
    input_layout: Layout,
    input: Buffer,
    output_layout: Layout,
    output: Buffer,
    flops: f64,
}

impl Layer {
    fn new(
        isa: Isa,
        [c, o]: [usize; 2],
        map: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Self {
        let problem = Conv2dProblem {
            bias: false,
            seed: 1,
            ..Conv2dProblem::layer(1, [c, o], [map, map], kernel, stride, groups)
        };
        let weight = to_f32(problem.weight().view());
        let spec = Conv2dSpec::new(weight.dim().into(), &problem.options, isa).unwrap();
        let (weight, identity) = (weight.view(), Activation::Identity);
        let conv = PackedConv2d::new(Algorithm::Direct, spec, weight, None, identity).unwrap();
        let size = spec.place([map, map]).unwrap().output;
        let halo = spec.halo([map, map]).unwrap();
        let input_layout = spec.input_layout(1, [map, map]).with_halo(halo);
        let output_layout = Layout::blocked(1, o, size);
        let mut layer = Self {
            input: Buffer::zeroed(input_layout.len()).unwrap(),
            output: Buffer::zeroed(output_layout.len()).unwrap(),
            flops: (2 * c / groups * o * kernel * kernel * size[0] * size[1]) as f64,
            conv,
            input_layout,
            output_layout,
        };
        let input = to_f32(problem.input().view());
        input_layout
            .import(input.view(), PaddingValue::Zeros, &mut layer.input)
            .unwrap();
        layer.run();
        let mut got = ndarray::Array4::<f32>::zeros((1, o, size[0], size[1]));
        output_layout.export(&layer.output, got.view_mut()).unwrap();
        let reference = problem.reference();
        assert_close(got.view(), reference.expected.view(), reference.bound());
        layer
    }

    fn run(&mut self) {
        let input = View::new(self.input_layout, &self.input).unwrap();
        let output = ViewMut::new(self.output_layout, &mut self.output).unwrap();
        self.conv.run(input, None, output, &mut []).unwrap();
    }
}

/// FLOP/s of all threads on multiply-adds alone.
fn peak(isa: Isa) -> f64 {
    let start = Instant::now();
    let flops: u64 = (0..THREADS)
        .into_par_iter()
        .map(|_| isa.run_multiply_adds(ROUNDS))
        .sum();
    flops as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn layers(criterion: &mut Criterion) {
    let isa = Isa::from_env().unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(THREADS)
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group(format!("conv2d/{isa}"));
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(4));
    for (name, c, o, map, kernel, stride, groups) in LAYERS {
        let mut shares = Vec::new();
        let mut rates = Vec::new();
        // Packed and checked only if the command line's filter selects it.
        let mut layer = None;
        group.bench_function(name, |bencher| {
            let layer =
                layer.get_or_insert_with(|| Layer::new(isa, [c, o], map, kernel, stride, groups));
            bencher.iter_custom(|iterations| {
                pool.install(|| {
                    let mut total = Duration::ZERO;
                    for _ in 0..iterations {
                        let before = peak(isa);
                        let start = Instant::now();
                        layer.run();
                        let time = start.elapsed();
                        total += time;
                        let rate = layer.flops / time.as_secs_f64();
                        // The better of the two neighbours: neither may be slowed down by others.
                        shares.push(rate / before.max(peak(isa)));
                        rates.push(rate);
                    }
                    total
                })
            });
        });
        if !shares.is_empty() {
            let (pairs, share, rate) = (shares.len(), median(shares), median(rates));
            println!(
                "{name}: {:.1} GFLOP/s, {:.1} % of the peak (median of {pairs} pairs)\n",
                rate / 1e9,
                100.0 * share
            );
        }
    }
    group.finish();
}

criterion_group!(benches, layers);
criterion_main!(benches);
