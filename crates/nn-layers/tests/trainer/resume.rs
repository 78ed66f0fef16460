//! A training run that is stopped and resumed equals one that was never stopped.

use super::*;

/// Trains without interruption, or stops after a number of updates and resumes. Returns the last
/// checkpoint's bytes and all reports.
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
        // Another process would start from other parameters.
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
        // After an epoch, in the middle of one, at its last update, and after the very first.
        for stop_after in [10, 7, 5, 1] {
            assert!(
                last_checkpoint(&options, Some(stop_after)) == whole,
                "{method:?} {stop_after}"
            );
        }
    }
}

/// Unfreezes everything after two of the four epochs.
fn unfreezing() -> TrainerOptions {
    let freezing = |epoch, frozen: &[&str]| Freezing {
        epoch,
        frozen: frozen.iter().map(|&name| name.to_owned()).collect(),
    };
    TrainerOptions {
        freezing: vec![freezing(0, &["conv", "bn"]), freezing(2, &[])],
        ..options(sgd())
    }
}

#[test]
fn so_does_one_that_unfreezes_layers() {
    let whole = last_checkpoint(&unfreezing(), None);
    // In the frozen epochs, between them, at the change and after it.
    for stop_after in [3, 5, 10, 12, 17] {
        assert!(
            last_checkpoint(&unfreezing(), Some(stop_after)) == whole,
            "{stop_after}"
        );
    }
}

#[test]
fn layers_are_frozen_until_their_epoch() {
    let graph = graph();
    let start = backend(&graph).export();
    let after = |epochs| {
        let mut backend = backend(&graph);
        let options = TrainerOptions {
            epochs,
            ..unfreezing()
        };
        let mut trainer = Trainer::new(options, &backend).unwrap();
        run(&mut trainer, &mut backend).unwrap();
        backend.export()
    };
    let same = |params: &Params<f64>, name: &str| params.get(name) == start.get(name);
    let (frozen, free) = (after(2), after(3));
    for name in [
        "conv.weight",
        "bn.weight",
        "bn.running_mean",
        "bn.num_batches_tracked",
    ] {
        assert!(same(&frozen, name) && !same(&free, name), "{name}");
    }
    assert!(!same(&frozen, "fc.weight"));
}

#[test]
fn so_does_one_with_a_schedule_and_accumulation() {
    let mut options = options(sgd());
    options.accumulate = 2;
    options.short_batch = ShortBatch::Drop;
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

/// The step that fails at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failing {
    Nothing,
    Evaluation,
    Best,
    Report,
}

/// A log with one failure, at the end of an epoch.
struct FailingLog {
    log: Log<'static>,
    fails: Option<(Failing, u64)>,
}

impl FailingLog {
    fn fail(&mut self, now: Failing, epoch: u64) -> Result<(), BoxedError> {
        match self.fails.take_if(|fails| *fails == (now, epoch)) {
            Some(_) => Err("the disk is full".into()),
            None => Ok(()),
        }
    }
}

impl Observer<f64> for FailingLog {
    fn step(&mut self, report: &StepReport) {
        self.log.step(report);
    }

    fn best(&mut self, best: &Best<f64>) -> Result<(), BoxedError> {
        self.fail(Failing::Best, best.epoch)?;
        self.log.best(best)
    }

    fn epoch(&mut self, report: &EpochReport) -> Result<(), BoxedError> {
        let failed = self.fail(Failing::Report, report.epoch);
        if failed.is_err() {
            // The event will be repeated.
            self.log.best.retain(|&best| best != report.epoch);
        }
        failed?;
        self.log.epoch(report)
    }
}

/// Trains with a failure at the end of an epoch, then resumes. Returns the last checkpoint's bytes
/// and what the observer recorded.
fn last_checkpoint_where(
    failing: Failing,
    at: u64,
    options: &TrainerOptions,
) -> (Vec<u8>, Log<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let objective = ClassificationObjective::default();
    let mut log = FailingLog {
        log: Log::default(),
        fails: Some((failing, at)),
    };
    let mut first = backend(&graph());
    let trainer = Trainer::new(options.clone(), &first).unwrap();
    let mut trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 2));
    let evaluate = |params: &Params<f64>, epoch| match failing {
        Failing::Evaluation if epoch == at => Err("a picture is damaged".into()),
        _ => score(params, epoch),
    };
    let outcome = trainer.run(&mut first, &objective, batches, evaluate, &mut log, &never);
    match (failing, outcome) {
        (Failing::Nothing, Ok(Outcome::Finished | Outcome::EarlyStopped)) => {}
        (Failing::Evaluation, Err(Error::Evaluation { epoch, .. }))
        | (Failing::Best | Failing::Report, Err(Error::Observer { epoch, .. })) => {
            assert_eq!(epoch, at);
            let params = initialise(&graph(), 999, |_, _| None).unwrap();
            let mut second =
                PlainTrainer::new(&graph(), params.cast(), TrainSpec::default()).unwrap();
            let mut checkpoints = CheckpointFolder::new(folder.path(), 2);
            let checkpoint = checkpoints.latest().unwrap().unwrap().checkpoint;
            let resumed = Trainer::resume(options.clone(), checkpoint, &mut second);
            let mut resumed = resumed.unwrap().save_to(checkpoints);
            assert!(resumed.is_evaluation_due());
            // Epochs that were trained are not trained again.
            let given = |epoch, first| {
                assert!(epoch > at, "epoch {epoch} is trained again");
                batches(epoch, first)
            };
            resumed
                .run(&mut second, &objective, given, score, &mut log, &never)
                .unwrap();
            assert!(!resumed.is_evaluation_due());
        }
        (_, outcome) => panic!("{failing:?}: {outcome:?}"),
    }
    let bytes = std::fs::read(folder.path().join("last.ckpt")).unwrap();
    (bytes, log.log)
}

#[test]
fn an_epoch_whose_evaluation_or_report_fails_is_not_lost() {
    let patient = TrainerOptions {
        early_stopping: Some(EarlyStopping {
            patience: 3,
            min_gain: 0.0,
        }),
        ..options(sgd())
    };
    for options in [options(Adam::default().into()), patient] {
        let (bytes, whole) = last_checkpoint_where(Failing::Nothing, 0, &options);
        assert!(!whole.best.is_empty());
        for at in 0..whole.epochs.len() as u64 {
            for failing in [Failing::Evaluation, Failing::Best, Failing::Report] {
                if failing == Failing::Best && !whole.best.contains(&at) {
                    continue;
                }
                let (resumed, log) = last_checkpoint_where(failing, at, &options);
                assert!(resumed == bytes, "{failing:?} at {at}");
                assert_eq!(log.steps, whole.steps, "{failing:?} at {at}");
                assert_eq!(log.epochs, whole.epochs, "{failing:?} at {at}");
                assert_eq!(log.best, whole.best, "{failing:?} at {at}");
            }
        }
    }
}

#[test]
fn a_stop_before_an_evaluation_leaves_it_outstanding() {
    /// Stops as soon as the epoch's checkpoint is written.
    struct Stopping<'a>(&'a AtomicBool);

    impl Observer<f64> for Stopping<'_> {
        fn saved(&mut self, _: &Path) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut backend = backend(&graph());
    let stop = AtomicBool::new(false);
    let trainer = Trainer::new(options(sgd()), &backend).unwrap();
    let mut trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 2));
    let outcome = trainer.run(
        &mut backend,
        &ClassificationObjective::default(),
        batches,
        |_, _| panic!("evaluated"),
        &mut Stopping(&stop),
        &stop,
    );
    assert_eq!(outcome, Ok(Outcome::Stopped));
    assert!(trainer.is_evaluation_due());
    let checkpoint = Checkpoint::<f64>::open(folder.path().join("last.ckpt")).unwrap();
    assert_eq!(
        (checkpoint.epoch.trained, checkpoint.position.epoch),
        (true, 0)
    );
}

#[test]
fn a_resumed_trainer_has_the_best_parameters() {
    let (bytes, ..) = last_checkpoint(&options(sgd()), None);
    let checkpoint = Checkpoint::<f64>::from_bytes(&bytes).unwrap();
    let best = checkpoint.best.clone().unwrap();
    let mut backend = backend(&graph());
    let trainer = Trainer::resume(options(sgd()), checkpoint, &mut backend).unwrap();
    assert_eq!(trainer.best(), Some(&best));
    assert_eq!(best.params.len(), backend.export().len());
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
    assert!(
        matches!(error, Error::Params(ParamsError::Misfits(_))),
        "{error}"
    );
    let mut other = good.clone();
    let moments = other.optimiser.moments.get_mut("momentum_buffer").unwrap();
    moments.insert("fc.bias", Slot::Weight, ArrayD::zeros(vec![4]));
    let error = resume(options(sgd()), &other);
    assert!(
        matches!(error, Error::Params(ParamsError::Misfits(_))),
        "{error}"
    );
}
