//! The learning-rate range test: what it measures, and that it leaves no trace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::iter;

use nn_layers::{
    Adam, BatchNorm2d, ClassificationObjective, Conv2d, Error, Graph, GraphBuilder, Linear,
    OptimiserOptions, PlainTrainer, RangeTest, RateCurve, RatePoint, Result, Sgd, StepKey, Targets,
    TrainBackend, TrainError, TrainSpec, initialise,
};
use testkit::random_array;

type TrainBatch = nn_layers::TrainBatch<f64, Targets<f64>>;

fn graph() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 2, 4, 6]).unwrap();
    let x = b.conv2d("conv", x, Conv2d::new(4, [3, 3])).unwrap();
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let x = b.relu("relu", x).unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let x = b.dropout("dropout", x, 0.25).unwrap();
    let x = b.linear("fc", x, Linear::new(3)).unwrap();
    b.finish(&[x]).unwrap()
}

fn backend(graph: &Graph) -> PlainTrainer<f64> {
    let params = initialise(graph, 3, |_, _| None).unwrap();
    PlainTrainer::new(graph, params.cast(), TrainSpec::default()).unwrap()
}

fn batches() -> impl Iterator<Item = Result<TrainBatch>> {
    (0..).map(|seed: u64| {
        let labels = (0..6).map(|i| (seed as usize + i) % 3);
        Ok(TrainBatch {
            inputs: vec![random_array(&[6, 2, 4, 6], seed % 4)],
            targets: Targets::Labels(labels.collect()),
        })
    })
}

fn run(
    test: RangeTest,
    backend: &mut PlainTrainer<f64>,
    batches: impl IntoIterator<Item = Result<TrainBatch>>,
) -> Result<RateCurve> {
    let optimiser = OptimiserOptions {
        method: Sgd {
            momentum: 0.9,
            nesterov: false,
        }
        .into(),
        ..OptimiserOptions::default()
    };
    let objective = ClassificationObjective::default();
    test.run(backend, &objective, &optimiser, batches)
}

#[test]
fn it_leaves_no_trace() {
    let graph = graph();
    let mut tested = backend(&graph);
    let before = tested.export();
    let curve = run(RangeTest::default(), &mut tested, batches()).unwrap();
    assert!(curve.points.len() > 20, "{}", curve.points.len());
    assert_eq!(tested.export(), before);
    // The gradients are 0 again: the next step is that of a new backend.
    let mut fresh = backend(&graph);
    for backend in [&mut tested, &mut fresh] {
        let batch = batches().next().unwrap().unwrap();
        let loss = nn_layers::Classification::new(&[0, 1, 2, 0, 1, 2]);
        backend
            .step(&[batch.inputs[0].view()], &loss, StepKey::default())
            .unwrap();
    }
    assert_eq!(tested.gradients(), fresh.gradients());
}

#[test]
fn rates_rise_exponentially_and_losses_are_smoothed() {
    let test = RangeTest {
        first: 1e-3,
        last: 1.0,
        steps: 4,
        smoothing: 0.5,
        stop_factor: 1e9,
        ..RangeTest::default()
    };
    let curve = run(test, &mut backend(&graph()), batches()).unwrap();
    assert_eq!(curve.points.len(), 4);
    let mut mean = 0.0;
    for (step, point) in (1..).zip(&curve.points) {
        let rate = 10f64.powi(step - 4);
        assert!((point.rate / rate - 1.0).abs() < 1e-12, "{point:?}");
        mean = 0.5 * mean + 0.5 * point.loss;
        let smoothed = mean / (1.0 - 0.5f64.powi(step));
        assert!((point.smoothed - smoothed).abs() < 1e-12, "{point:?}");
    }
}

#[test]
fn a_rate_that_diverges_ends_the_test() {
    let mut backend = backend(&graph());
    let before = backend.export();
    for (last, stop_factor) in [(1e3, 4.0), (1e300, 1e300)] {
        let test = RangeTest {
            last,
            stop_factor,
            smoothing: 0.0,
            ..RangeTest::default()
        };
        let curve = run(test, &mut backend, batches()).unwrap();
        assert!(curve.points.len() < 100, "{}", curve.points.len());
        assert!(curve.points.iter().all(|point| point.smoothed.is_finite()));
        assert_eq!(backend.export(), before);
    }
}

#[test]
fn a_batch_that_cannot_be_loaded_is_named_and_the_parameters_are_restored() {
    let mut backend = backend(&graph());
    let before = backend.export();
    let fails = iter::once_with(|| Err(TrainError::EmptyBatch.into()));
    let error = run(
        RangeTest::default(),
        &mut backend,
        batches().take(3).chain(fails),
    );
    assert!(matches!(error, Err(Error::Batch { batch: 3, .. })));
    assert_eq!(backend.export(), before);
    // Batches that end are no error.
    let curve = run(RangeTest::default(), &mut backend, batches().take(3)).unwrap();
    assert_eq!(curve.points.len(), 3);
}

#[test]
fn options_out_of_range() {
    let test = RangeTest::default();
    for test in [
        RangeTest { first: 0.0, ..test },
        RangeTest {
            last: f64::NAN,
            ..test
        },
        RangeTest { last: 1e-8, ..test },
        RangeTest { steps: 1, ..test },
        RangeTest { steps: 0, ..test },
        RangeTest {
            smoothing: 1.0,
            ..test
        },
        RangeTest {
            stop_factor: 1.0,
            ..test
        },
    ] {
        let error = run(test, &mut backend(&graph()), batches());
        assert!(
            matches!(error, Err(Error::Train(TrainError::Value { .. }))),
            "{test:?}"
        );
    }
}

/// A curve with these smoothed losses at the rates 1, 2, 3 and so on.
fn curve(losses: &[f64]) -> RateCurve {
    let point = |(at, &smoothed): (usize, &f64)| RatePoint {
        rate: (at + 1) as f64,
        loss: smoothed,
        smoothed,
    };
    RateCurve {
        points: losses.iter().enumerate().map(point).collect(),
    }
}

#[test]
fn the_suggestion_is_in_the_middle_of_the_valley() {
    // Nine falling losses from the third point: a third of 9 - 1 is 2.67, half of which is 1.33.
    let losses = [5.0, 5.0, 5.0, 4.5, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0, 7.0];
    assert_eq!(curve(&losses).suggestion(), Some(6.0));
    // Noise does not end a valley: the falling losses need not be neighbours.
    let noisy = [5.0, 4.5, 4.6, 4.0, 4.1, 3.0, 3.1, 2.0, 2.1, 1.0, 9.0];
    assert!(curve(&noisy).suggestion().is_some());
    assert_eq!(curve(&[1.0, 2.0, 3.0]).suggestion(), None);
    assert_eq!(curve(&[1.0]).suggestion(), None);
    assert_eq!(curve(&[]).suggestion(), None);
}

#[test]
fn the_suggested_rate_is_a_usual_one() {
    let graph = graph();
    let mut backend = backend(&graph);
    let objective = ClassificationObjective::default();
    let optimiser = OptimiserOptions {
        method: Adam::default().into(),
        ..OptimiserOptions::default()
    };
    let test = RangeTest {
        smoothing: 0.9,
        ..RangeTest::default()
    };
    let curve = test.run(&mut backend, &objective, &optimiser, batches());
    let rate = curve.unwrap().suggestion().unwrap();
    assert!((1e-5..1.0).contains(&rate), "{rate}");
}
