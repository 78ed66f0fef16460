//! Stopping when the score no longer improves, and the best parameters.

use super::*;

/// Returns scores that rise up to epoch `peak` and then fall.
fn peak_at(
    peak: u64,
) -> impl Fn(&Params<f64>, u64) -> Result<Option<Evaluation>, nn_layers::BoxedError> {
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

    // The parameters after epoch 3.
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
    // The checkpoint with the best parameters is kept beside the last one.
    assert!(folder.path().join("step-000020.ckpt").exists());

    // A run that had stopped early stays stopped, and one interrupted before that stops early at
    // the same place.
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

    // An improvement that is too small does not count.
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
