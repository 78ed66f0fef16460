//! What frozen layers save: MobileNetV2 on pictures of 96 x 96, batch 16, on two threads.
//!
//! `cargo bench -p transfer` times each kind of step in alternation with a step that trains the whole
//! network. The printed ratio is the median of the pairs, which is meaningful on a shared machine where
//! neither time is. A step is a forward pass, the loss, a backward pass and an update. All epochs have
//! the same number of steps, so the ratio of steps is that of epochs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints, and stops on failure"
)]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use engine::{Options, TrainingSession};
use mobilenet::MobileNetV2;
use ndarray::ArrayD;
use nn_layers::{
    Adam, ClassificationObjective, Graph, Loss, Objective, Optimiser, Params, Targets, Terms,
    TrainBatch, TrainSpec,
};
use testkit::{random_array, to_f32};
use transfer::{FeatureCache, FeatureCacheOptions};

/// Threads of every measurement.
const THREADS: usize = 2;
const BATCH: usize = 16;
const SIZE: usize = 96;
const CLASSES: usize = 10;

type Batch = TrainBatch<f32, Targets<f32>>;

/// A batch's loss.
struct OfBatch<'a>(&'a Targets<f32>);

impl Loss<f32> for OfBatch<'_> {
    fn eval(
        &self,
        outputs: &[ndarray::ArrayViewD<'_, f32>],
        grads: &mut [ArrayD<f32>],
    ) -> nn_layers::Result<Terms> {
        ClassificationObjective::default().eval(self.0, outputs, grads)
    }
}

/// A network in training, and the batch that it is trained on.
struct Training {
    session: TrainingSession,
    optimiser: Optimiser<f32>,
    batch: Batch,
}

impl Training {
    fn new(graph: &Graph, params: &Params<f32>, frozen: &[String], batch: Batch) -> Self {
        let spec = TrainSpec {
            frozen: frozen.to_vec(),
            ..TrainSpec::default()
        };
        let session =
            TrainingSession::new(graph, params.clone(), spec, &Options::default()).unwrap();
        let mut training = Self {
            optimiser: Optimiser::new(Adam::default(), params).unwrap(),
            session,
            batch,
        };
        // Allocates the step's memory.
        training.step();
        training
    }

    fn step(&mut self) -> Duration {
        let start = Instant::now();
        let input = self.batch.inputs[0].view();
        let loss = OfBatch(&self.batch.targets);
        let terms = self.session.step(&[input], &loss, 0).unwrap();
        assert!(terms.total.is_finite());
        self.optimiser.update(&mut self.session, 1e-4).unwrap();
        start.elapsed()
    }
}

fn steps(criterion: &mut Criterion) {
    let network = MobileNetV2 {
        classes: CLASSES,
        ..MobileNetV2::mobilenet_v2()
    };
    let graph = network.graph([SIZE, SIZE]).unwrap();
    let params = network.init(1).unwrap();
    let batch = Batch {
        inputs: vec![to_f32(random_array(&[BATCH, 3, SIZE, SIZE], 1).view())],
        targets: Targets::Labels((0..BATCH).map(|n| n % CLASSES).collect()),
    };
    let frozen = |blocks: std::ops::Range<usize>| -> Vec<String> {
        blocks.map(|block| format!("features.{block}")).collect()
    };
    let new = |frozen: &[String]| Training::new(&graph, &params, frozen, batch.clone());
    let once = [Ok::<_, nn_layers::Error>(&batch)];
    let backbone = frozen(0..19);
    let options = FeatureCacheOptions::default();
    let cache = FeatureCache::new(&graph, &params, &backbone, once, &options).unwrap();
    let features = cache.batches(0, 0).next().unwrap().unwrap();

    let mut full = new(&[]);
    let kinds = [
        ("the last block and the head", new(&frozen(0..17))),
        ("the last five blocks and the head", new(&frozen(0..13))),
        ("the head", new(&backbone)),
        (
            "the head on cached features",
            Training::new(cache.graph(), &params, &[], features),
        ),
    ];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build();
    let pool = pool.unwrap();
    let mut group = criterion.benchmark_group("train");
    for (name, mut training) in kinds {
        let mut ratios = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    let (whole, part) = pool.install(|| (full.step(), training.step()));
                    total += part;
                    ratios.push(part.as_secs_f64() / whole.as_secs_f64());
                }
                total
            });
        });
        if !ratios.is_empty() {
            ratios.sort_by(f64::total_cmp);
            let (pairs, ratio) = (ratios.len(), ratios[ratios.len() / 2]);
            println!("{name}: {ratio:.4} of the full step (median of {pairs} pairs)\n");
        }
    }
    group.finish();
}

fn few_samples() -> Criterion {
    // A pair takes long, and the ratio is that of pairs.
    Criterion::default().sample_size(10)
}

criterion_group!(name = benches; config = few_samples(); targets = steps);
criterion_main!(benches);
