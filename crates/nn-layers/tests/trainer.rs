//! The loop of a training, with the plain backend: exact resume, stops, and what it refuses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use ndarray::ArrayD;
use nn_layers::{
    Adam, AvgPool2dOptions, BatchNorm2d, Best, Checkpoint, CheckpointFolder,
    ClassificationObjective, Clip, Conv2d, EarlyStopping, EpochReport, Error, Evaluation, Graph,
    GraphBuilder, LastBatch, Linear, Method, Observer, OneCycle, OptimiserOptions, Outcome,
    ParamGroup, PlainTrainer, Policy, Result, RmsProp, Schedule, Select, Sgd, Slot, StepReport,
    Targets, TrainBackend, TrainSpec, Trainer, TrainerOptions, WarmUp, WeightDecay, initialise,
};
use testkit::random_array;

type Batch = nn_layers::Batch<f64, Targets<f64>>;

const BATCHES: u64 = 5;
const CLASSES: usize = 3;

/// Convolution, batch normalisation, pool, dropout and a dense layer.
fn graph() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 2, 4, 6]).unwrap();
    let x = b.conv2d("conv", x, Conv2d::new(4, [3, 3])).unwrap();
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let x = b.relu("relu", x).unwrap();
    let pool = AvgPool2dOptions::new([2, 2]);
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

/// A batch of so many pictures.
fn batch(seed: u64, pictures: usize) -> Batch {
    let labels = (0..pictures).map(|i| (seed as usize + i * i) % CLASSES);
    Batch {
        inputs: vec![random_array(&[pictures, 2, 4, 6], seed)],
        targets: Targets::Labels(labels.collect()),
    }
}

/// The batches of an epoch, others in each; the last one has a picture less.
fn batches(epoch: u64, first: u64) -> impl Iterator<Item = Result<Batch>> {
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

/// Evaluates by what is there: the sum of the biases.
fn score(backend: &PlainTrainer<f64>, _: u64) -> Result<Option<Evaluation>, nn_layers::BoxedError> {
    let bias = backend.params().get("fc.bias").unwrap();
    Ok(Some(Evaluation {
        score: bias.value.sum(),
        parts: vec![],
    }))
}

/// Runs without a stop.
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

/// What an observer sees; after so many updates it stops the training.
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

    fn epoch(&mut self, report: &EpochReport) {
        self.epochs.push(report.clone());
    }

    fn best(&mut self, best: &Best<f64>) {
        self.best.push(best.epoch);
    }

    fn saved(&mut self, path: &Path) {
        self.saved.push(path.to_owned());
    }
}

/// Trains in one go, or stopped after so many updates and resumed; gives the last checkpoint's
/// bytes and all reports.
fn last_checkpoint(
    options: &TrainerOptions,
    stop_after: Option<usize>,
) -> (Vec<u8>, Vec<StepReport>, Vec<EpochReport>) {
    let folder = tempfile::tempdir().unwrap();
    let graph = graph();
    let mut first = backend(&graph);
    let mut trainer = Trainer::new(options.clone(), &first).unwrap();
    trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 2));
    let stop = AtomicBool::new(false);
    let mut log = Log {
        stop: stop_after.map(|after| (after, &stop)),
        ..Log::default()
    };
    let mut outcome = run_until(&mut trainer, &mut first, &mut log, &stop).unwrap();
    let (mut steps, mut epochs) = (log.steps, log.epochs);
    if stop_after.is_some() {
        assert_eq!(outcome, Outcome::Stopped);
        // Another process would start with other parameters.
        let params = initialise(&graph, 999, |_, _| None).unwrap();
        let mut second = PlainTrainer::new(&graph, params.cast(), TrainSpec::default()).unwrap();
        let mut checkpoints = CheckpointFolder::new(folder.path(), 2);
        let restored = checkpoints.latest().unwrap().unwrap();
        assert_eq!(restored.checkpoint.position, trainer.position());
        let resumed = Trainer::resume(options.clone(), restored.checkpoint, &mut second);
        let mut resumed = resumed.unwrap().save_to(checkpoints);
        let mut log = Log::default();
        let stop = AtomicBool::new(false);
        outcome = run_until(&mut resumed, &mut second, &mut log, &stop).unwrap();
        steps.extend(log.steps);
        epochs.extend(log.epochs);
    }
    assert_eq!(outcome, Outcome::Finished);
    (
        std::fs::read(folder.path().join("last.ckpt")).unwrap(),
        steps,
        epochs,
    )
}

#[test]
fn a_training_goes_on_byte_for_byte() {
    let adam: Method = Adam::default().into();
    let rms_prop: Method = RmsProp {
        momentum: 0.5,
        ..RmsProp::default()
    }
    .into();
    for method in [sgd(), Sgd::default().into(), adam, rms_prop] {
        let options = options(method);
        let whole = last_checkpoint(&options, None);
        assert_eq!((whole.1.len(), whole.2.len()), (20, 4));
        // After an epoch, in the middle of one, at its last update, and after the first of all.
        for stop_after in [10, 7, 5, 1] {
            assert!(
                last_checkpoint(&options, Some(stop_after)) == whole,
                "{method:?} {stop_after}"
            );
        }
    }
}

#[test]
fn so_does_one_with_a_schedule_and_accumulation() {
    let mut options = options(sgd());
    options.accumulate = 2;
    options.last_batch = LastBatch::Drop;
    options.schedule = Schedule {
        policy: Policy::OneCycle(OneCycle {
            momentum: Some([0.85, 0.95]),
            ..OneCycle::new(6)
        }),
        warm_up: WarmUp {
            steps: 2,
            ..WarmUp::default()
        },
        ..Schedule::constant(0.1)
    };
    let whole = last_checkpoint(&options, None);
    assert_eq!(whole.1.len(), 8);
    for epoch in &whole.2 {
        assert_eq!((epoch.pictures, epoch.dropped), (16, 3));
    }
    let rates: Vec<_> = whole.1.iter().map(|step| step.rates).collect();
    let expected: Vec<_> = (0..8).map(|step| options.schedule.at(step)).collect();
    assert_eq!(rates, expected);
    for stop_after in [1, 4, 5] {
        assert!(
            last_checkpoint(&options, Some(stop_after)) == whole,
            "{stop_after}"
        );
    }
}

#[test]
fn another_seed_is_another_training() {
    let mut options = options(sgd());
    let (one, ..) = last_checkpoint(&options, None);
    options.seed = 6;
    let (other, ..) = last_checkpoint(&options, None);
    let [one, other] = [one, other].map(|bytes| Checkpoint::<f64>::from_bytes(&bytes).unwrap());
    assert_ne!(one.params, other.params);
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
    // An epoch's numbers are those of its steps.
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

/// Two batches of `n` make the update of one of `2n` where nothing depends on the batch.
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
            Ok::<_, Error>(Batch {
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
    // The last update of an epoch has what there is left: two batches of three.
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

/// Scores that rise until the epoch, and then fall.
fn peak_at(
    peak: u64,
) -> impl Fn(&PlainTrainer<f64>, u64) -> Result<Option<Evaluation>, nn_layers::BoxedError> {
    move |_, epoch| {
        let score = -(epoch as f64 - peak as f64).abs();
        Ok(Some(Evaluation {
            score,
            parts: vec![],
        }))
    }
}

#[test]
fn early_stopping_gives_back_the_best() {
    let graph = graph();
    let folder = tempfile::tempdir().unwrap();
    let early = Some(EarlyStopping {
        patience: 2,
        min_gain: 0.0,
    });
    let options = TrainerOptions {
        epochs: 10,
        early_stopping: early,
        ..options(sgd())
    };
    let objective = ClassificationObjective::default();
    let never = AtomicBool::new(false);

    // What the parameters are after epoch 3.
    let mut until = backend(&graph);
    let short = TrainerOptions {
        epochs: 4,
        early_stopping: None,
        ..options.clone()
    };
    let mut trainer = Trainer::new(short, &until).unwrap();
    trainer
        .run(&mut until, &objective, batches, peak_at(3), &mut (), &never)
        .unwrap();
    let expected = until.export();

    let mut stopped = backend(&graph);
    let trainer = Trainer::new(options.clone(), &stopped).unwrap();
    let mut trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 1));
    let mut log = Log::default();
    let outcome = trainer.run(
        &mut stopped,
        &objective,
        batches,
        peak_at(3),
        &mut log,
        &never,
    );
    assert_eq!(outcome, Ok(Outcome::EarlyStopped));
    assert_eq!(log.best, [0, 1, 2, 3]);
    let is_best: Vec<_> = log.epochs.iter().map(|epoch| epoch.is_best).collect();
    assert_eq!(is_best, [true, true, true, true, false, false]);
    assert_eq!(stopped.export(), expected);
    let best = trainer.best().unwrap();
    assert_eq!((best.epoch, best.step, best.score), (3, 20, 0.0));
    // The checkpoint of the best is kept beside the last.
    assert!(folder.path().join("step-000020.ckpt").exists());

    // A training that had stopped stays so, and one stopped in between stops at the same place.
    for stop_after in [None, Some(22)] {
        let folder = tempfile::tempdir().unwrap();
        let mut first = backend(&graph);
        let stop = AtomicBool::new(false);
        let trainer = Trainer::new(options.clone(), &first).unwrap();
        let mut trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 1));
        let mut log = Log {
            stop: stop_after.map(|after| (after, &stop)),
            ..Log::default()
        };
        trainer
            .run(&mut first, &objective, batches, peak_at(3), &mut log, &stop)
            .unwrap();
        let checkpoint = Checkpoint::open(folder.path().join("last.ckpt")).unwrap();
        let mut second = backend(&graph);
        let mut trainer = Trainer::resume(options.clone(), checkpoint, &mut second).unwrap();
        let outcome = trainer.run(
            &mut second,
            &objective,
            batches,
            peak_at(3),
            &mut (),
            &never,
        );
        assert_eq!(outcome, Ok(Outcome::EarlyStopped));
        assert_eq!(trainer.position().epoch, 6);
        assert_eq!(second.export(), expected);
    }

    // A gain that is too small is none.
    let early = Some(EarlyStopping {
        patience: 2,
        min_gain: 1.5,
    });
    let mut backend = backend(&graph);
    let mut trainer = Trainer::new(
        TrainerOptions {
            early_stopping: early,
            ..options
        },
        &backend,
    )
    .unwrap();
    let mut log = Log::default();
    trainer
        .run(
            &mut backend,
            &objective,
            batches,
            peak_at(9),
            &mut log,
            &never,
        )
        .unwrap();
    assert_eq!(log.best, [0, 2, 4, 6, 8]);
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
    // After updates 3, 6 and 9, and after epochs at 5 and 10.
    assert_eq!(log.saved, vec![folder.path().join("last.ckpt"); 5]);
    for step in [3, 5, 6, 9] {
        let path = folder.path().join(format!("step-00000{step}.ckpt"));
        let checkpoint = Checkpoint::<f64>::open(path).unwrap();
        assert_eq!((checkpoint.position.step, checkpoint.seed), (step, 5));
        assert_eq!(checkpoint.recipe, "a recipe");
    }
    // A training that was asked to stop before it began is saved as it is.
    stop.store(true, Ordering::Relaxed);
    let mut trainer =
        Trainer::new(TrainerOptions::new(1, Schedule::constant(0.1)), &backend).unwrap();
    let outcome = run_until(&mut trainer, &mut backend, &mut (), &stop);
    assert_eq!(
        (outcome, trainer.position().batches),
        (Ok(Outcome::Stopped), 0)
    );
}

/// Runs on these batches and gives the error.
fn fail(
    options: TrainerOptions,
    given: Vec<Result<Batch>>,
) -> (Error, Trainer<f64>, PlainTrainer<f64>) {
    let mut backend = backend(&graph());
    let mut trainer = Trainer::new(options, &backend).unwrap();
    let skip = |_, first| given.clone().into_iter().skip(first as usize);
    let stop = AtomicBool::new(false);
    let objective = ClassificationObjective::default();
    let error = trainer
        .run(
            &mut backend,
            &objective,
            skip,
            |_, _| Ok(None),
            &mut (),
            &stop,
        )
        .unwrap_err();
    let line = error.to_string();
    assert!(line.lines().count() == 1, "{line}");
    (error, trainer, backend)
}

/// The inner error of a step.
fn at_step(error: Error, expected: [u64; 3]) -> Error {
    match error {
        Error::Step {
            step,
            epoch,
            batch,
            error,
        } => {
            assert_eq!([step, epoch, batch], expected);
            *error
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_number_in_the_data_that_is_none() {
    for (value, place) in [(f64::NAN, [2, 1, 3, 5]), (f64::INFINITY, [0, 0, 0, 1])] {
        let mut bad = batch(3, 4);
        bad.inputs[0][&place[..]] = value;
        let given = vec![Ok(batch(1, 4)), Ok(batch(2, 4)), Ok(bad)];
        let (error, trainer, _) = fail(options(sgd()), given);
        let index = place
            .iter()
            .zip([48, 24, 6, 1])
            .map(|(i, stride)| i * stride)
            .sum::<usize>();
        match at_step(error, [2, 0, 2]) {
            Error::NonFinite {
                tensor,
                index: at,
                got,
                ..
            } => {
                assert_eq!((&*tensor, at), ("input 0 of the network", index));
                assert!(!got.is_finite());
            }
            other => panic!("{other}"),
        }
        assert_eq!(trainer.position().step, 2);
    }
}

#[test]
fn a_rate_that_explodes_is_an_error_that_names_step_and_layer() {
    let folder = tempfile::tempdir().unwrap();
    let graph = graph();
    let mut backend = backend(&graph);
    let mut options = options(Sgd::default().into());
    options.optimiser = OptimiserOptions::default();
    options.schedule = Schedule {
        policy: Policy::MultiStep {
            at: vec![7],
            factor: 1e200,
        },
        ..Schedule::constant(0.05)
    };
    let trainer = Trainer::new(options, &backend).unwrap();
    let mut trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 2));
    let error = run(&mut trainer, &mut backend).unwrap_err();
    let line = error.to_string();
    match at_step(error, [8, 1, 3]) {
        Error::NonFinite {
            tensor,
            node: Some(node),
            ..
        } => {
            assert_eq!(tensor, "output 0 of the network");
            // All weights are about 1e198. What the convolution makes of them is finite, what the
            // batch normalisation divides by infinity is 0; the dense layer multiplies two such
            // numbers.
            assert_eq!(node, "fc", "{line}");
        }
        other => panic!("{other}"),
    }
    assert!(
        line.starts_with("step 8 (epoch 1, batch 3): output 0 of the network is"),
        "{line}"
    );
    // The last good checkpoint is still there.
    let checkpoint = Checkpoint::<f64>::open(folder.path().join("last.ckpt")).unwrap();
    assert_eq!(checkpoint.position.step, 5);
}

#[test]
fn parameters_that_are_not_finite_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut backend = backend(&graph());
    // In its last update, one parameter's rate is beyond all numbers.
    let mut options = TrainerOptions {
        schedule: Schedule {
            policy: Policy::MultiStep {
                at: vec![9],
                factor: f64::MAX,
            },
            ..Schedule::constant(1e-14)
        },
        optimiser: OptimiserOptions::default(),
        ..options(sgd())
    };
    options.optimiser.groups = vec![ParamGroup {
        rate_factor: 1e15,
        ..ParamGroup::new(Select::Prefix("fc.bias".into()))
    }];
    let trainer = Trainer::new(options, &backend).unwrap();
    let mut trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 2));
    let error = run(&mut trainer, &mut backend).unwrap_err();
    match at_step(error, [10, 1, 4]) {
        Error::NonFinite { tensor, .. } => assert_eq!(tensor, "parameter \"fc.bias\""),
        other => panic!("{other}"),
    }
    let checkpoint = Checkpoint::<f64>::open(folder.path().join("last.ckpt")).unwrap();
    assert_eq!(checkpoint.position.step, 5);
}

#[test]
fn a_gradient_that_is_not_finite_names_its_parameter() {
    /// A loss that is finite and whose slope is not.
    struct Steep;

    impl nn_layers::Objective<f64> for Steep {
        type Targets = Targets<f64>;

        fn eval(
            &self,
            _: &Targets<f64>,
            outputs: &[ndarray::ArrayViewD<'_, f64>],
            grads: &mut [ArrayD<f64>],
        ) -> Result<nn_layers::Terms> {
            grads[0].fill(f64::INFINITY);
            Ok(nn_layers::Terms {
                total: outputs[0].len() as f64,
                parts: vec![],
            })
        }
    }
    let mut backend = backend(&graph());
    let mut trainer = Trainer::new(options(sgd()), &backend).unwrap();
    let before = backend.export().get("fc.weight").cloned();
    let stop = AtomicBool::new(false);
    let error = trainer
        .run(&mut backend, &Steep, batches, score, &mut (), &stop)
        .unwrap_err();
    match at_step(error, [0, 0, 0]) {
        Error::NonFinite { tensor, .. } => {
            assert!(tensor.starts_with("the gradient of \""), "{tensor}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(backend.export().get("fc.weight").cloned(), before);
}

/// A single pixel: one picture is one value a channel.
fn single_pixel(last_batch: LastBatch) -> Result<(Outcome, u64)> {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let x = b.linear("fc", x, Linear::new(CLASSES)).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let mut backend = backend(&graph);
    let options = TrainerOptions {
        last_batch,
        ..TrainerOptions::new(1, Schedule::constant(0.1))
    };
    let mut trainer = Trainer::new(options, &backend).unwrap();
    let given = [4usize, 4, 1].map(|n| {
        let targets = Targets::Labels(vec![0; n]);
        Ok::<_, Error>(Batch {
            inputs: vec![random_array(&[n, 2], 1)],
            targets,
        })
    });
    let mut log = Log::default();
    let objective = ClassificationObjective::default();
    let stop = AtomicBool::new(false);
    let outcome = trainer.run(
        &mut backend,
        &objective,
        |_, _| given.clone(),
        |_, _| Ok(None),
        &mut log,
        &stop,
    )?;
    Ok((outcome, log.epochs[0].dropped))
}

#[test]
fn a_last_batch_of_one_picture() {
    assert_eq!(single_pixel(LastBatch::Drop), Ok((Outcome::Finished, 1)));
    let error = single_pixel(LastBatch::Keep).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("step 2 (epoch 0, batch 2): node \"bn\""),
        "{error}"
    );
    match at_step(error, [2, 0, 2]) {
        Error::OneValuePerChannel { node, .. } => assert_eq!(node, "bn"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_loader_that_fails_is_named() {
    let mut backend = backend(&graph());
    let mut trainer = Trainer::new(options(sgd()), &backend).unwrap();
    let given = |_, _| {
        let broken = io::Error::new(io::ErrorKind::InvalidData, "cats/7.png: not a picture");
        vec![Ok(batch(1, 4)), Err(broken)]
    };
    let objective = ClassificationObjective::default();
    let stop = AtomicBool::new(false);
    let error = trainer
        .run(&mut backend, &objective, given, score, &mut (), &stop)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "epoch 0, batch 1: cats/7.png: not a picture"
    );
    match error {
        Error::Batch {
            epoch: 0,
            batch: 1,
            error,
        } => match *error {
            Error::Other(cause) => assert!(cause.downcast_ref::<io::Error>().is_some()),
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

#[test]
fn other_failures_are_named() {
    let (error, ..) = fail(options(sgd()), vec![]);
    assert_eq!(error, Error::EmptyEpoch { epoch: 0 });
    let wrong = Batch {
        targets: Targets::Labels(vec![0, 7]),
        ..batch(1, 2)
    };
    let (error, ..) = fail(options(sgd()), vec![Ok(wrong)]);
    let error = at_step(error, [0, 0, 0]);
    assert!(
        matches!(
            error,
            Error::Label {
                index: 1,
                got: 7,
                ..
            }
        ),
        "{error}"
    );
    let early = Some(EarlyStopping {
        patience: 1,
        min_gain: 0.0,
    });
    let needs_score = TrainerOptions {
        early_stopping: early,
        ..options(sgd())
    };
    let (error, ..) = fail(needs_score, vec![Ok(batch(1, 4))]);
    assert_eq!(error, Error::NoScore { epoch: 0 });

    let mut backend = backend(&graph());
    let mut trainer = Trainer::new(options(sgd()), &backend).unwrap();
    let objective = ClassificationObjective::default();
    let stop = AtomicBool::new(false);
    let broken = |_: &PlainTrainer<f64>, _| Err("no valid pictures".into());
    let error = trainer
        .run(&mut backend, &objective, batches, broken, &mut (), &stop)
        .unwrap_err();
    assert!(
        matches!(error, Error::Evaluation { epoch: 0, .. }),
        "{error}"
    );
    let mut trainer = Trainer::new(options(sgd()), &backend).unwrap();
    let nan = |_: &PlainTrainer<f64>, _| {
        Ok(Some(Evaluation {
            score: f64::NAN,
            parts: vec![],
        }))
    };
    let error = trainer
        .run(&mut backend, &objective, batches, nan, &mut (), &stop)
        .unwrap_err();
    let error = at_step(error, [5, 0, 4]);
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
}

#[test]
fn options_out_of_range() {
    let backend = backend(&graph());
    let refuse = |change: fn(&mut TrainerOptions)| {
        let mut options = options(sgd());
        change(&mut options);
        match Trainer::new(options, &backend) {
            Err(Error::TrainOption { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refuse(|options| options.accumulate = 0), "accumulate");
    assert_eq!(refuse(|options| options.save_every = Some(0)), "save_every");
    assert_eq!(refuse(|options| options.schedule.rate = -1.0), "the rate");
    assert_eq!(
        refuse(|options| options.optimiser.clip = Some(Clip::Norm(0.0))),
        "the limit of gradients"
    );
    let patience = "the patience of early stopping";
    let zero = |options: &mut TrainerOptions| {
        options.early_stopping = Some(EarlyStopping {
            patience: 0,
            min_gain: 0.0,
        });
    };
    assert_eq!(refuse(zero), patience);
    let negative = |options: &mut TrainerOptions| {
        options.early_stopping = Some(EarlyStopping {
            patience: 1,
            min_gain: -1.0,
        });
    };
    assert_eq!(refuse(negative), "min_gain");
}

#[test]
fn checkpoints_of_another_training() {
    let (bytes, ..) = last_checkpoint(&options(sgd()), None);
    let good = Checkpoint::<f64>::from_bytes(&bytes).unwrap();
    let graph = graph();
    let resume = |options: TrainerOptions, checkpoint: &Checkpoint<f64>| {
        let mut backend = backend(&graph);
        let before = backend.export();
        let error = Trainer::resume(options, checkpoint.clone(), &mut backend).unwrap_err();
        assert_eq!(backend.export(), before);
        error
    };
    let error = resume(
        TrainerOptions {
            seed: 6,
            ..options(sgd())
        },
        &good,
    );
    assert_eq!(
        error.to_string(),
        "cannot resume: the seed is 5, expected 6"
    );
    let error = resume(options(Adam::default().into()), &good);
    assert_eq!(
        error.to_string(),
        "cannot resume: the optimiser is sgd, expected adam"
    );
    let mut other = good.clone();
    other
        .params
        .insert("fc.bias", Slot::Weight, ArrayD::zeros(vec![4]));
    let error = resume(options(sgd()), &other);
    assert!(matches!(error, Error::Params(_)), "{error}");
    let mut other = good.clone();
    let slots = other.optimiser.slots.get_mut("momentum_buffer").unwrap();
    slots.insert("fc.bias", Slot::Weight, ArrayD::zeros(vec![4]));
    let error = resume(options(sgd()), &other);
    assert!(matches!(error, Error::Params(_)), "{error}");
}
