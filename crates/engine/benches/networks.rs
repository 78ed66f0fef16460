//! Whole networks at small batches, on two threads: ResNet-18, GoogLeNet and MobileNetV2 at 224 x 224 with
//! random weights.
//!
//! `cargo bench -p engine` prints the time of a run and, at its end, the rate of floating-point operations
//! as a share of the machine's peak. The peak is measured before and after each run: absolute times are
//! meaningless on a shared machine.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints, and stops on failure"
)]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use engine::{Isa, Options, Plan, Session};
use inception::GoogLeNet;
use mobilenet::MobileNetV2;
use ndarray::ArrayD;
use nn_layers::{Graph, Infer, Outputs, Params, Shape, Summary};
use rayon::prelude::*;
use resnet::ResNet;
use testkit::{assert_executors_agree, random_array, run_by, to_f32};

/// Threads of every measurement.
const THREADS: usize = 2;
/// Height and width of the pictures, and of those on which the results are checked.
const SIZE: usize = 224;
const SMALL: usize = 64;
const BATCHES: [usize; 2] = [1, 4];
/// Rounds of multiply-adds per measurement of the peak: about ten milliseconds.
const ROUNDS: u64 = 400_000;

/// A network by its name, with the function that makes its graph for a size `[h, w]`.
type Network = (&'static str, fn([usize; 2]) -> Graph, fn() -> Params<f32>);

const NETWORKS: [Network; 3] = [
    (
        "ResNet-18",
        |size| ResNet::resnet18().graph(size).unwrap(),
        || ResNet::resnet18().init(1).unwrap(),
    ),
    (
        "GoogLeNet",
        |size| GoogLeNet::default().graph(size).unwrap(),
        || GoogLeNet::default().init(1).unwrap(),
    ),
    (
        "MobileNetV2",
        |size| MobileNetV2::mobilenet_v2().graph(size).unwrap(),
        || MobileNetV2::mobilenet_v2().init(1).unwrap(),
    ),
];

/// A session with its input and output.
struct Running {
    session: Session,
    input: ArrayD<f32>,
    outputs: Outputs,
    /// Floating-point operations of a run.
    flops: f64,
}

impl Running {
    /// Checks the results on a small picture, then makes the session.
    fn new((_, graph, params): Network, batch: usize) -> Self {
        let (options, params) = (Options::default(), params());
        let small = to_f32(random_array(&[1, 3, SMALL, SMALL], 1).view());
        assert_executors_agree(
            &graph([SMALL; 2]),
            &params,
            &[small],
            1e-4,
            &|graph, params, shapes| {
                let plan = Plan::compile(graph, params, &Options::default()).unwrap();
                run_by(plan.session(shapes).unwrap())
            },
        );

        let graph = graph([SIZE; 2]);
        let input = to_f32(random_array(&[batch, 3, SIZE, SIZE], 2).view());
        let shapes = [Shape::from(input.shape())];
        let flops = Summary::new(&graph, &shapes).unwrap().flops as f64;
        let plan = Plan::compile(&graph, params, &options).unwrap();
        Self {
            session: plan.session(&shapes).unwrap(),
            input,
            outputs: Outputs::new(),
            flops,
        }
    }

    fn run(&mut self) {
        let input = [self.input.view()];
        self.session.run(&input, &mut self.outputs).unwrap();
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

fn networks(criterion: &mut Criterion) {
    let isa = Isa::from_env().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build();
    let pool = pool.unwrap();
    let mut group = criterion.benchmark_group(format!("networks/{isa}"));
    for network in NETWORKS {
        for batch in BATCHES {
            let name = format!("{}, batch {batch}", network.0);
            let mut shares = Vec::new();
            // Compiled and checked only if the command line's filter selects it.
            let mut running = None;
            group.bench_function(&name, |bencher| {
                let running = running.get_or_insert_with(|| Running::new(network, batch));
                bencher.iter_custom(|iterations| {
                    pool.install(|| {
                        let mut total = Duration::ZERO;
                        for _ in 0..iterations {
                            let before = peak(isa);
                            let start = Instant::now();
                            running.run();
                            let time = start.elapsed();
                            total += time;
                            // The better of the two neighbours: neither may be slowed down by others.
                            let peak = before.max(peak(isa));
                            shares.push(running.flops / time.as_secs_f64() / peak);
                        }
                        total
                    })
                });
            });
            if !shares.is_empty() {
                shares.sort_by(f64::total_cmp);
                let (runs, share) = (shares.len(), shares[shares.len() / 2]);
                println!(
                    "{name}: {:.1} % of the peak (median of {runs} runs)\n",
                    100.0 * share
                );
            }
        }
    }
    group.finish();
}

fn few_samples() -> Criterion {
    // A run takes long, and the share is that of runs.
    Criterion::default().sample_size(20)
}

criterion_group!(name = benches; config = few_samples(); targets = networks);
criterion_main!(benches);
