//! What a training run refuses, with the step, the layer and the tensor.

use super::*;

/// Runs on these batches and returns the error.
fn fail(
    options: TrainerOptions,
    given: Vec<Result<TrainBatch>>,
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

/// Returns the inner error of a step.
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
            Error::Train(TrainError::NonFinite {
                tensor,
                index: at,
                got,
                ..
            }) => {
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
        Error::Train(TrainError::NonFinite {
            tensor,
            node: Some(node),
            ..
        }) => {
            assert_eq!(tensor, "output 0 of the network");
            // All weights are about 1e198. The convolution's output is finite; the batch
            // normalisation divides it by infinity, which leaves 0; the dense layer multiplies two
            // such weights.
            assert_eq!(node, "fc", "{line}");
        }
        other => panic!("{other}"),
    }
    assert!(
        line.starts_with("step 8 (epoch 1, batch 3): output 0 of the network is"),
        "{line}"
    );
    // The last valid checkpoint still exists.
    let checkpoint = Checkpoint::<f64>::open(folder.path().join("last.ckpt")).unwrap();
    assert_eq!(checkpoint.position.step, 5);
}

#[test]
fn parameters_that_are_not_finite_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut backend = backend(&graph());
    // In the last update, one parameter's rate overflows.
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
        Error::Train(TrainError::NonFinite { tensor, .. }) => {
            assert_eq!(tensor, "parameter \"fc.bias\"");
        }
        other => panic!("{other}"),
    }
    let checkpoint = Checkpoint::<f64>::open(folder.path().join("last.ckpt")).unwrap();
    assert_eq!(checkpoint.position.step, 5);
}

#[test]
fn a_gradient_that_is_not_finite_names_its_parameter() {
    /// A loss that is finite but whose slope is not.
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
        Error::Train(TrainError::NonFinite { tensor, .. }) => {
            assert!(tensor.starts_with("the gradient of \""), "{tensor}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(backend.export().get("fc.weight").cloned(), before);
}

/// A single pixel: a batch of one picture has one value per channel.
fn single_pixel(short_batch: ShortBatch) -> Result<(Outcome, u64)> {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let x = b.linear("fc", x, Linear::new(CLASSES)).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let mut backend = backend(&graph);
    let options = TrainerOptions {
        short_batch,
        ..TrainerOptions::new(1, Schedule::constant(0.1))
    };
    let mut trainer = Trainer::new(options, &backend).unwrap();
    let given = [4usize, 4, 1].map(|n| {
        let targets = Targets::Labels(vec![0; n]);
        Ok::<_, Error>(TrainBatch {
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
    assert_eq!(single_pixel(ShortBatch::Drop), Ok((Outcome::Finished, 1)));
    let error = single_pixel(ShortBatch::Keep).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("step 2 (epoch 0, batch 2): node \"bn\""),
        "{error}"
    );
    match at_step(error, [2, 0, 2]) {
        Error::Train(TrainError::OneValuePerChannel { node, .. }) => assert_eq!(node, "bn"),
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
    assert_eq!(error, Error::Train(TrainError::EmptyEpoch { epoch: 0 }));
    let (error, ..) = fail(options(sgd()), vec![Ok(batch(1, 4)), Ok(batch(2, 0))]);
    let inside = Box::new(Error::Train(TrainError::EmptyBatch));
    let expected = Error::Batch {
        epoch: 0,
        batch: 1,
        error: inside,
    };
    assert_eq!(error, expected);
    let wrong = TrainBatch {
        targets: Targets::Labels(vec![0, 7]),
        ..batch(1, 2)
    };
    let (error, ..) = fail(options(sgd()), vec![Ok(wrong)]);
    let error = at_step(error, [0, 0, 0]);
    assert!(
        matches!(
            error,
            Error::Train(TrainError::Label {
                index: 1,
                got: 7,
                ..
            })
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
    assert_eq!(error, Error::Train(TrainError::NoScore { epoch: 0 }));

    let mut backend = backend(&graph());
    let mut trainer = Trainer::new(options(sgd()), &backend).unwrap();
    let objective = ClassificationObjective::default();
    let stop = AtomicBool::new(false);
    let broken = |_: &Params<f64>, _| Err("no valid pictures".into());
    let error = trainer
        .run(&mut backend, &objective, batches, broken, &mut (), &stop)
        .unwrap_err();
    assert!(
        matches!(error, Error::Evaluation { epoch: 0, .. }),
        "{error}"
    );
    let mut trainer = Trainer::new(options(sgd()), &backend).unwrap();
    let nan = |_: &Params<f64>, _| {
        Ok(Some(Evaluation {
            score: f64::NAN,
            parts: vec![],
        }))
    };
    let error = trainer
        .run(&mut backend, &objective, batches, nan, &mut (), &stop)
        .unwrap_err();
    let error = at_step(error, [5, 0, 4]);
    assert!(
        matches!(error, Error::Train(TrainError::NonFinite { .. })),
        "{error}"
    );
}

#[test]
fn options_out_of_range() {
    let backend = backend(&graph());
    let refuse = |change: fn(&mut TrainerOptions)| {
        let mut options = options(sgd());
        change(&mut options);
        match Trainer::new(options, &backend) {
            Err(Error::Train(TrainError::Value { what, .. })) => what,
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
fn epochs_of_freezing_have_to_rise() {
    let freezing = |epoch| Freezing {
        epoch,
        frozen: vec![],
    };
    for epochs in [[1, 1], [2, 1]] {
        let options = TrainerOptions {
            freezing: epochs.map(freezing).to_vec(),
            ..options(sgd())
        };
        let error = Trainer::new(options, &backend(&graph())).unwrap_err();
        assert!(matches!(
            error,
            Error::Train(TrainError::FreezingOrder { epochs: got }) if got == epochs
        ));
    }
}

#[test]
fn an_unknown_name_to_freeze_ends_the_run_before_its_first_step() {
    let graph = graph();
    let mut backend = backend(&graph);
    let before = backend.export();
    let options = TrainerOptions {
        freezing: vec![Freezing {
            epoch: 0,
            frozen: vec!["con".to_owned()],
        }],
        ..options(sgd())
    };
    let mut trainer = Trainer::new(options, &backend).unwrap();
    let error = run(&mut trainer, &mut backend).unwrap_err();
    assert!(error.to_string().contains("\"con\""), "{error}");
    assert_eq!(backend.export(), before);
}
