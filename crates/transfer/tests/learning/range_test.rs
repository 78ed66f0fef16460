//! The learning-rate range test in the middle of a training run.

use engine::{Options, TrainingSession};
use nn_layers::{
    Adam, ClassificationObjective, Loss, Objective, Optimiser, OptimiserOptions, OptimiserState,
    Params, RangeTest, Targets, Terms, TrainBackend, TrainSpec,
};

use crate::{Batch, SAMPLES, batches, bits, network, params, samples};

struct OfBatch<'a>(&'a Targets<f32>);

impl Loss<f32> for OfBatch<'_> {
    fn eval(
        &self,
        outputs: &[ndarray::ArrayViewD<'_, f32>],
        grads: &mut [ndarray::ArrayD<f32>],
    ) -> nn_layers::Result<Terms> {
        ClassificationObjective::default().eval(self.0, outputs, grads)
    }
}

/// Trains with dropout, batch normalisation and a frozen node, and calls `between` halfway.
fn train(between: impl Fn(&mut TrainingSession)) -> (Params<f32>, OptimiserState<f32>) {
    let graph = network();
    let order: Vec<usize> = (0..SAMPLES).collect();
    let batches: Vec<Batch> = batches(&samples(), &order)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let spec = TrainSpec {
        frozen: vec!["stage1.conv".to_owned()],
        ..TrainSpec::default()
    };
    let mut session =
        TrainingSession::new(&graph, params(&graph), spec, &Options::default()).unwrap();
    let mut optimiser = Optimiser::new(Adam::default(), &params(&graph)).unwrap();
    for step in 0..8 {
        if step == 4 {
            between(&mut session);
        }
        let batch = &batches[step % batches.len()];
        let loss = OfBatch(&batch.targets);
        session
            .step(&[batch.inputs[0].view()], &loss, step as u64)
            .unwrap();
        optimiser.update(&mut session, 0.01).unwrap();
    }
    let state = optimiser.export(&session).unwrap();
    (session.export(), state)
}

/// Model, optimiser and random numbers are those of a run without the test, byte for byte.
#[test]
fn it_leaves_no_trace_in_the_run() {
    let (undisturbed, state) = train(|_| ());
    let (tested, tested_state) = train(|session| {
        let before = session.export();
        let order: Vec<usize> = (0..SAMPLES).rev().collect();
        let samples = samples();
        let again = std::iter::repeat_with(|| batches(&samples, &order)).flatten();
        let curve = RangeTest::default().run(
            session,
            &ClassificationObjective::default(),
            &OptimiserOptions::from(Adam::default()),
            again,
        );
        assert!(curve.unwrap().points.len() > 20);
        for (name, _) in before.iter() {
            assert_eq!(bits(&before, name), bits(&session.export(), name), "{name}");
        }
        assert!(
            session
                .gradients()
                .iter()
                .all(|(_, grad)| grad.value.iter().all(|&g| g == 0.0))
        );
    });
    assert_eq!(tested_state, state);
    for (name, _) in undisturbed.iter() {
        assert_eq!(bits(&undisturbed, name), bits(&tested, name), "{name}");
    }
}
