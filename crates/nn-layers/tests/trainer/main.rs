//! The training loop with the plain backend: exact resuming, stops, and what it refuses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod early_stopping;
mod failures;
mod lending;
mod resume;

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use ndarray::ArrayD;
use nn_layers::{
    Adam, AvgPool2d, BatchNorm2d, Best, BoxedError, Checkpoint, CheckpointFolder,
    ClassificationObjective, Clip, Conv2d, EarlyStopping, EpochReport, Error, Evaluation, Freezing,
    Graph, GraphBuilder, Linear, Method, Observer, OneCycle, OptimiserOptions, Outcome, ParamGroup,
    Params, ParamsError, PlainTrainer, Policy, Result, RmsProp, Schedule, Select, Sgd, ShortBatch,
    Slot, StepReport, Targets, TrainBackend, TrainError, TrainSpec, Trainer, TrainerOptions,
    WarmUp, WeightDecay, initialise,
};
use testkit::random_array;

type TrainBatch = nn_layers::TrainBatch<f64, Targets<f64>>;

const BATCHES: u64 = 5;
const CLASSES: usize = 3;

/// Returns a convolution, batch normalisation, pool, dropout and a dense layer.
fn graph() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 2, 4, 6]).unwrap();
    let x = b.conv2d("conv", x, Conv2d::new(4, [3, 3])).unwrap();
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let x = b.relu("relu", x).unwrap();
    let pool = AvgPool2d::new([2, 2]);
    let x = b.avg_pool2d("pool", x, pool).unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let x = b.dropout("dropout", x, 0.25).unwrap();
    let x = b.linear("fc", x, Linear::new(CLASSES)).unwrap();
    b.finish(&[x]).unwrap()
}

fn backend(graph: &Graph) -> PlainTrainer<f64> {
    let params = initialise(graph, 3, |_, _| None).unwrap();
    PlainTrainer::new(graph, params.cast(), TrainSpec::default()).unwrap()
}

/// Returns a batch of `pictures` pictures.
fn batch(seed: u64, pictures: usize) -> TrainBatch {
    let labels = (0..pictures).map(|i| (seed as usize + i * i) % CLASSES);
    TrainBatch {
        inputs: vec![random_array(&[pictures, 2, 4, 6], seed)],
        targets: Targets::Labels(labels.collect()),
    }
}

/// Returns the batches of an epoch, different in each; the last one has one picture fewer.
fn batches(epoch: u64, first: u64) -> impl Iterator<Item = Result<TrainBatch>> {
    (first..BATCHES).map(move |i| Ok(batch(100 * epoch + i, if i + 1 == BATCHES { 3 } else { 4 })))
}

fn options(method: Method) -> TrainerOptions {
    TrainerOptions {
        seed: 5,
        optimiser: OptimiserOptions {
            method,
            weight_decay: WeightDecay::L2(1e-3),
            clip: Some(Clip::Norm(1.0)),
            ..OptimiserOptions::default()
        },
        recipe: "a recipe".into(),
        data: serde_json::json!({"classes": ["cat", "dog"]}),
        ..TrainerOptions::new(4, Schedule::constant(0.05))
    }
}

fn sgd() -> Method {
    Sgd {
        momentum: 0.9,
        nesterov: true,
    }
    .into()
}

/// Scores the parameters by the sum of the biases.
fn score(params: &Params<f64>, _: u64) -> Result<Option<Evaluation>, BoxedError> {
    let bias = params.get("fc.bias").unwrap();
    Ok(Some(Evaluation {
        score: bias.value.sum(),
        parts: vec![],
    }))
}

/// Runs to the end.
fn run(trainer: &mut Trainer<f64>, backend: &mut PlainTrainer<f64>) -> Result<Outcome> {
    run_until(trainer, backend, &mut (), &AtomicBool::new(false))
}

fn run_until(
    trainer: &mut Trainer<f64>,
    backend: &mut PlainTrainer<f64>,
    observer: &mut dyn Observer<f64>,
    stop: &AtomicBool,
) -> Result<Outcome> {
    trainer.run(
        backend,
        &ClassificationObjective::default(),
        batches,
        score,
        observer,
        stop,
    )
}

/// Records the events of a training run, and stops it after a given number of updates.
#[derive(Default)]
struct Log<'a> {
    steps: Vec<StepReport>,
    epochs: Vec<EpochReport>,
    best: Vec<u64>,
    saved: Vec<PathBuf>,
    stop: Option<(usize, &'a AtomicBool)>,
}

impl Observer<f64> for Log<'_> {
    fn step(&mut self, report: &StepReport) {
        self.steps.push(report.clone());
        match self.stop {
            Some((after, stop)) if self.steps.len() == after => stop.store(true, Ordering::Relaxed),
            _ => {}
        }
    }

    fn epoch(&mut self, report: &EpochReport) -> Result<(), BoxedError> {
        self.epochs.push(report.clone());
        Ok(())
    }

    fn best(&mut self, best: &Best<f64>) -> Result<(), BoxedError> {
        self.best.push(best.epoch);
        Ok(())
    }

    fn saved(&mut self, path: &Path) {
        self.saved.push(path.to_owned());
    }
}

#[test]
fn the_loss_gets_smaller_and_is_reported() {
    let graph = graph();
    let mut backend = backend(&graph);
    let spec = TrainSpec {
        dropout: false,
        ..TrainSpec::default()
    };
    backend = PlainTrainer::new(&graph, backend.export(), spec).unwrap();
    let options = TrainerOptions {
        epochs: 40,
        ..options(sgd())
    };
    let mut trainer = Trainer::new(options, &backend).unwrap();
    let mut log = Log::default();
    // The same five batches in each epoch.
    let same = |_, first| batches(0, first);
    let objective = ClassificationObjective::default();
    let stop = AtomicBool::new(false);
    let outcome = trainer.run(&mut backend, &objective, same, score, &mut log, &stop);
    assert_eq!(outcome, Ok(Outcome::Finished));
    let [first, .., last] = &log.epochs[..] else {
        panic!()
    };
    assert!(last.loss < 0.2 * first.loss, "{} {}", first.loss, last.loss);
    assert_eq!(
        (last.epoch, last.step, last.pictures, last.dropped),
        (39, 200, 19, 0)
    );
    assert_eq!(last.parts, [("correct".to_owned(), 19.0)]);
    // An epoch's values are computed from those of its steps.
    let of_first = &log.steps[..5];
    let sum: f64 = of_first
        .iter()
        .map(|s| s.terms.total * s.pictures as f64)
        .sum();
    assert!((sum / 19.0 - first.loss).abs() < 1e-12);
    let correct: f64 = of_first.iter().map(|s| s.terms.parts[0].1).sum();
    assert_eq!(first.parts, [("correct".to_owned(), correct)]);
    for (i, step) in log.steps.iter().enumerate() {
        let i = i as u64;
        assert_eq!((step.epoch, step.batch, step.step), (i / 5, i % 5 + 1, i));
        assert!(step.gradient_norm > 0.0);
    }
}

/// Accumulating two batches of `n` has the same effect as one of `2n` if nothing depends on the
/// batch.
#[test]
fn accumulated_gradients_are_a_mean() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 3]).unwrap();
    let y = b.linear("fc", x, Linear::new(CLASSES)).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let train = |accumulate, pictures: usize| {
        let mut backend = backend(&graph);
        let options = TrainerOptions {
            accumulate,
            ..TrainerOptions::new(1, Schedule::constant(0.5))
        };
        let mut trainer = Trainer::new(options, &backend).unwrap();
        let inputs = random_array(&[12, 3], 1);
        let given = (0..12).step_by(pictures).map(|start| {
            let part = ndarray::Slice::from(start..start + pictures);
            let inputs = inputs.slice_axis(ndarray::Axis(0), part).to_owned();
            let labels = (start..start + pictures).map(|i| i % CLASSES).collect();
            Ok::<_, Error>(TrainBatch {
                inputs: vec![inputs],
                targets: Targets::Labels(labels),
            })
        });
        let given: Vec<_> = given.collect();
        let objective = ClassificationObjective::default();
        let stop = AtomicBool::new(false);
        let outcome = trainer.run(
            &mut backend,
            &objective,
            |_, _| given.clone(),
            |_, _| Ok(None),
            &mut (),
            &stop,
        );
        assert_eq!(outcome, Ok(Outcome::Finished));
        (trainer.position().step, backend.export())
    };
    let (steps, whole) = train(1, 4);
    assert_eq!(steps, 3);
    let (steps, halves) = train(2, 2);
    assert_eq!(steps, 3);
    // The last update of an epoch uses the remaining batches: two of three.
    let (steps, _) = train(4, 2);
    assert_eq!(steps, 2);
    for (name, param) in whole.iter() {
        let bound = |_| 1e-14;
        testkit::assert_close(
            halves.get(name).unwrap().value.view(),
            param.value.view(),
            bound,
        );
    }
}

#[test]
fn checkpoints_come_as_often_as_they_should() {
    let graph = graph();
    let folder = tempfile::tempdir().unwrap();
    let mut backend = backend(&graph);
    let options = TrainerOptions {
        epochs: 2,
        save_every: Some(3),
        ..options(sgd())
    };
    let trainer = Trainer::new(options, &backend).unwrap();
    let mut trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 100));
    let mut log = Log::default();
    let stop = AtomicBool::new(false);
    run_until(&mut trainer, &mut backend, &mut log, &stop).unwrap();
    // After updates 3, 6 and 9, and before and after the evaluations at 5 and 10.
    assert_eq!(log.saved, vec![folder.path().join("last.ckpt"); 7]);
    for step in [3, 5, 6, 9] {
        let path = folder.path().join(format!("step-00000{step}.ckpt"));
        let checkpoint = Checkpoint::<f64>::open(path).unwrap();
        assert_eq!((checkpoint.position.step, checkpoint.seed), (step, 5));
        assert_eq!(checkpoint.recipe, "a recipe");
        assert_eq!(checkpoint.data["classes"][1], "dog");
    }
    // A run that is asked to stop before it starts saves its initial state.
    stop.store(true, Ordering::Relaxed);
    let mut trainer =
        Trainer::new(TrainerOptions::new(1, Schedule::constant(0.1)), &backend).unwrap();
    let outcome = run_until(&mut trainer, &mut backend, &mut (), &stop);
    assert_eq!(
        (outcome, trainer.position().batches),
        (Ok(Outcome::Stopped), 0)
    );
}
