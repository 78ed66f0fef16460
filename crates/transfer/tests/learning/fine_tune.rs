//! Fine-tuning: what changes, what does not, at which rates, and which parameters are the result.

use std::cell::RefCell;

use engine::Options;
use nn_layers::{
    BoxedError, EarlyStopping, EpochReport, Freezing, Method, Observer, Outcome, Params, Schedule,
    Select, Sgd, TrainError, accuracy,
};
use transfer::{Batches, Error, FeatureExtractor, FineTune, FineTuned, Stages, fine_tune};

use crate::{BATCH, Batch, SAMPLES, batches, changed, network, params, samples};

fn stages() -> Stages {
    Stages::new(&network(), [["stage1"], ["stage2"], ["fc"]]).unwrap()
}

/// Records the accuracy of each epoch.
#[derive(Default)]
struct Log(Vec<f64>);

impl Observer<f32> for Log {
    fn epoch(&mut self, report: &EpochReport) -> Result<(), BoxedError> {
        self.0
            .extend(report.evaluation.iter().map(|evaluation| evaluation.score));
        Ok(())
    }
}

fn run(options: &FineTune, valid: &Batch, log: &mut Log) -> transfer::Result<FineTuned> {
    let graph = network();
    let samples = samples();
    let order: Vec<usize> = (0..SAMPLES).collect();
    let batches = Batches {
        per_epoch: SAMPLES.div_ceil(BATCH) as u64,
        train: |_, first| batches(&samples, &order).into_iter().skip(first as usize),
        valid: || [Ok::<_, nn_layers::Error>(valid)],
    };
    fine_tune(&graph, params(&graph), &stages(), batches, options, log)
}

/// The issue of transfer learning that is hardest to see: statistics that move in frozen layers.
#[test]
fn frozen_means_frozen() {
    let before = params(&network());
    let all: Vec<&str> = before.iter().map(|(name, _)| name).collect();
    let outside = |frozen: &[&str]| {
        let is_free = |name: &&&str| !frozen.iter().any(|frozen| name.starts_with(frozen));
        all.iter()
            .filter(is_free)
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let head_alone = FineTune {
        epochs: 0,
        freeze_epochs: 2,
        ..FineTune::default()
    };
    let after = run(&head_alone, &samples(), &mut Log::default()).unwrap();
    assert_eq!(
        changed(&before, &after.params),
        outside(&["stage1.", "stage2."])
    );
    for frozen in [
        &["stage1"][..],
        &["stage2"],
        &["stage1", "fc"],
        &["stage1.bn"],
    ] {
        let options = FineTune {
            epochs: 2,
            rate: 0.05,
            frozen: crate::strings(frozen),
            ..FineTune::default()
        };
        // The last parameters, not those of an epoch before.
        let after = run_without_validation(&options);
        assert_eq!(after.epoch, 2);
        let scopes: Vec<String> = frozen.iter().map(|name| format!("{name}.")).collect();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        assert_eq!(
            changed(&before, &after.params),
            outside(&scopes),
            "{frozen:?}"
        );
    }
}

fn run_without_validation(options: &FineTune) -> FineTuned {
    let graph = network();
    let samples = samples();
    let order: Vec<usize> = (0..SAMPLES).collect();
    let batches = Batches {
        per_epoch: 4,
        train: |_, _| batches(&samples, &order),
        valid: || std::iter::empty::<Result<Batch, nn_layers::Error>>(),
    };
    let tuned = fine_tune(&graph, params(&graph), &stages(), batches, options, &mut ()).unwrap();
    assert_eq!((tuned.accuracy, tuned.outcome), (None, Outcome::Finished));
    tuned
}

/// The values of fastai's `fine_tune(5)` with ten steps per epoch, and with its `lr_mult`.
#[test]
fn the_defaults_are_fastais_but_for_the_ratio() {
    let options = FineTune::default();
    assert_eq!(options.rate_ratio, 10.0);
    let options = FineTune {
        rate_ratio: 100.0,
        ..options
    };
    let options = options.trainer_options(&stages(), 10).unwrap();
    assert_eq!(options.epochs, 6);
    let freezing = |epoch, frozen: &[&str]| Freezing {
        epoch,
        frozen: crate::strings(frozen),
    };
    assert_eq!(
        options.freezing,
        [freezing(0, &["stage1", "stage2"]), freezing(1, &[])]
    );
    let rate = |step| options.schedule.at(step).rate;
    let close = |got: f64, expected: f64| {
        assert!(
            (got / expected - 1.0).abs() < 1e-9,
            "{got}, expected {expected}"
        );
    };
    close(rate(0), 2e-3 / 25.0);
    assert!((0..8).all(|step| rate(step) < rate(step + 1)));
    // All stages: 50 steps, of which the first 15 rise.
    close(rate(10), 1e-3 / 5.0);
    close(rate(24), 1e-3);
    close(rate(59), 1e-3 / 1e5);
    assert!((10..24).all(|step| rate(step) < rate(step + 1)));
    assert!((24..59).all(|step| rate(step) > rate(step + 1)));
    let momentum = |step| options.schedule.at(step).momentum.unwrap();
    close(momentum(10), 0.95);
    close(momentum(24), 0.85);
    close(momentum(59), 0.95);

    let groups = options.optimiser.groups.iter();
    let stages: Vec<_> = groups
        .filter_map(|group| match &group.select {
            Select::Prefix(name) => Some((name.as_str(), group.rate_factor)),
            _ => None,
        })
        .collect();
    assert_eq!(stages.len(), 3);
    for ((name, factor), expected) in
        stages
            .iter()
            .zip([("stage1", 0.01), ("stage2", 0.1), ("fc", 1.0)])
    {
        assert_eq!(*name, expected.0);
        close(*factor, expected.1);
    }
}

#[test]
fn each_phase_may_be_left_out_and_a_single_stage_is_the_head() {
    let schedule = |freeze_epochs, epochs| {
        let options = FineTune {
            epochs,
            freeze_epochs,
            ..FineTune::default()
        };
        options.trainer_options(&stages(), 10)
    };
    let all = schedule(0, 2).unwrap();
    assert_eq!((all.epochs, all.freezing.len()), (2, 1));
    assert!(all.freezing[0].frozen.is_empty());
    assert!((all.schedule.at(0).rate / 2e-4 - 1.0).abs() < 1e-9);
    let head = schedule(2, 0).unwrap();
    assert_eq!(head.freezing[0].frozen, ["stage1", "stage2"]);
    assert!(head.schedule.at(18).rate > 1.9e-3);

    let graph = network();
    let one = Stages::new(&graph, [["stage1", "stage2", "fc"]]).unwrap();
    let options = FineTune::default().trainer_options(&one, 10).unwrap();
    assert!(
        options
            .freezing
            .iter()
            .all(|freezing| freezing.frozen.is_empty())
    );
    let factors = options
        .optimiser
        .groups
        .iter()
        .map(|group| group.rate_factor);
    assert!(factors.into_iter().all(|factor| factor == 1.0));
}

#[test]
fn lower_stages_change_more_slowly() {
    let options = FineTune {
        freeze_epochs: 0,
        epochs: 1,
        rate: 1e-2,
        rate_ratio: 1e4,
        ..FineTune::default()
    };
    let before = params(&network());
    let after = run_without_validation(&options).params;
    // Adam's steps are of about the size of the rate, whatever that of the gradient.
    let moved = |name: &str| {
        let value = |params: &Params<f32>| params.get(name).unwrap().value.clone();
        let difference = value(&after) - value(&before);
        f64::from(difference.mapv(f32::abs).mean().unwrap())
    };
    let [low, middle, high] = ["stage1.conv.weight", "stage2.conv.weight", "fc.weight"].map(moved);
    assert!(
        low > 0.0 && middle > 10.0 * low && high > 10.0 * middle,
        "{low} {middle} {high}"
    );
}

#[test]
fn it_learns_and_the_best_parameters_are_the_result() {
    let options = FineTune {
        epochs: 12,
        rate: 0.05,
        rate_ratio: 10.0,
        ..FineTune::default()
    };
    let mut log = Log::default();
    let samples = samples();
    let tuned = run(&options, &samples, &mut log).unwrap();
    assert!(tuned.accuracy.unwrap() > 0.9, "{log:?}", log = log.0);
    check_best(&tuned, &samples, &log.0, false);
    assert_eq!(log.0.len(), 13);
}

/// The parameters are those of the epoch with the largest accuracy: the last one or, with early stopping,
/// the first.
fn check_best(tuned: &FineTuned, valid: &Batch, scores: &[f64], stops_early: bool) {
    let best = scores.iter().copied().fold(0.0, f64::max);
    assert_eq!(tuned.accuracy, Some(best));
    let is_best = |&score: &f64| score == best;
    let epoch = match stops_early {
        true => scores.iter().position(is_best),
        false => scores.iter().rposition(is_best),
    };
    assert_eq!(tuned.epoch, epoch.unwrap() as u64);
    let graph = network();
    let mut network =
        FeatureExtractor::new(&graph, tuned.params.clone(), &["fc"], &Options::default()).unwrap();
    let logits = &network.run(&[valid.inputs[0].view()]).unwrap()[0];
    let nn_layers::Targets::Labels(labels) = &valid.targets else {
        panic!("soft targets")
    };
    assert_eq!(accuracy(logits.view(), labels).unwrap(), best);
}

/// Validated on wrong labels, so that learning makes the accuracy fall.
#[test]
fn a_run_that_gets_worse_stops_early_with_its_best_parameters() {
    let mut valid = samples();
    if let nn_layers::Targets::Labels(labels) = &mut valid.targets {
        labels
            .iter_mut()
            .for_each(|label| *label = (*label + 1) % 3);
    }
    let options = FineTune {
        freeze_epochs: 0,
        epochs: 40,
        rate: 0.05,
        early_stopping: Some(EarlyStopping {
            patience: 3,
            min_gain: 0.0,
        }),
        ..FineTune::default()
    };
    let mut log = Log::default();
    let tuned = run(&options, &valid, &mut log).unwrap();
    assert_eq!(tuned.outcome, Outcome::EarlyStopped, "{:?}", log.0);
    assert_eq!(log.0.len() as u64, tuned.epoch + 4);
    check_best(&tuned, &valid, &log.0, true);
}

#[test]
fn the_trained_batches_are_asked_for_epoch_by_epoch() {
    let graph = network();
    let samples = samples();
    let order: Vec<usize> = (0..SAMPLES).collect();
    let asked = RefCell::new(Vec::new());
    let batches = Batches {
        per_epoch: 4,
        train: |epoch, first| {
            asked.borrow_mut().push((epoch, first));
            batches(&samples, &order)
        },
        valid: || [Ok::<_, nn_layers::Error>(&samples)],
    };
    let options = FineTune {
        epochs: 2,
        ..FineTune::default()
    };
    fine_tune(
        &graph,
        params(&graph),
        &stages(),
        batches,
        &options,
        &mut (),
    )
    .unwrap();
    assert_eq!(asked.into_inner(), [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let value = |options: FineTune| match run(&options, &samples(), &mut Log::default()) {
        Err(Error::Tensors(nn_layers::Error::Train(TrainError::Value { what, .. }))) => what,
        other => panic!("{other:?}"),
    };
    let default = FineTune::default;
    let what = value(FineTune {
        epochs: 0,
        freeze_epochs: 0,
        ..default()
    });
    assert_eq!(what, "the epochs of fine-tuning");
    for rate_ratio in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            value(FineTune {
                rate_ratio,
                ..default()
            }),
            "the rate_ratio"
        );
    }
    for rate in [0.0, f64::NAN] {
        assert_eq!(value(FineTune { rate, ..default() }), "the rate");
    }
    assert_eq!(
        value(FineTune {
            rise: 1.5,
            ..default()
        }),
        "pct_start"
    );
    assert_eq!(
        value(FineTune {
            div: 0.0,
            ..default()
        }),
        "div_factor"
    );
    match FineTune::default().trainer_options(&stages(), 0) {
        Err(Error::Tensors(nn_layers::Error::Train(TrainError::Value { what, .. }))) => {
            assert_eq!(what, "the steps of an epoch");
        }
        other => panic!("{other:?}"),
    }
    match run(
        &FineTune {
            frozen: vec!["stem".into()],
            ..default()
        },
        &samples(),
        &mut Log::default(),
    ) {
        Err(Error::Engine(error)) => {
            let expected = TrainError::NothingFrozen {
                name: "stem".into(),
            };
            assert_eq!(*error, engine::Error::Graph(expected.into()));
        }
        other => panic!("{other:?}"),
    }
    // Gradient descent without momentum has none that a schedule could set.
    let plain = FineTune {
        momentum: None,
        optimiser: Method::from(Sgd::default()).into(),
        ..default()
    };
    assert_eq!(
        plain
            .trainer_options(&stages(), 1)
            .unwrap()
            .schedule
            .at(0)
            .momentum,
        Schedule::constant(1.0).at(0).momentum
    );
    run(&plain, &samples(), &mut Log::default()).unwrap();
}
