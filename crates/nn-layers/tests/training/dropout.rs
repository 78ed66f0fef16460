//! What dropout drops depends on seed, step and name.

use ndarray::ArrayD;
use nn_layers::{GraphBuilder, Params, Pass, PlainTrainer, StepKey, TrainSpec, dropout_mask};

use crate::common::{KEY, LOSS, frozen};

#[test]
fn dropout_draws_by_seed_step_and_name() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 4, 10, 10]).unwrap();
    let first = b.dropout("first", x, 0.25).unwrap();
    let second = b.dropout("second", x, 0.25).unwrap();
    let graph = b.finish(&[first, second]).unwrap();
    let ones = ArrayD::ones(vec![3, 4, 10, 10]);
    let run = |spec: TrainSpec, key| {
        let mut outputs = Vec::new();
        let mut trainer = PlainTrainer::new(&graph, Params::new(), spec).unwrap();
        let visit = |pass, _, tensor: &ArrayD<f64>| {
            if pass == Pass::Forward {
                outputs.push(tensor.clone());
            }
        };
        trainer.trace(&[ones.view()], &LOSS, key, visit).unwrap();
        [outputs.remove(1), outputs.remove(1)]
    };
    let [first, second] = run(TrainSpec::default(), KEY);
    assert_eq!(
        run(TrainSpec::default(), KEY),
        [first.clone(), second.clone()]
    );
    let [next_step, _] = run(TrainSpec::default(), StepKey { step: 4, ..KEY });
    let [other_seed, _] = run(TrainSpec::default(), StepKey { seed: 8, ..KEY });
    for other in [&second, &next_step, &other_seed] {
        assert_ne!(&first, other);
    }
    let scale = 1.0 / 0.75;
    let mask = dropout_mask(KEY, "first", 0.25);
    let expected: Vec<f64> = mask
        .take(1200)
        .map(|stays| f64::from(u8::from(stays)) * scale)
        .collect();
    assert!(first.iter().eq(&expected));
    // Of 1200 values, with a standard deviation of 15.
    let dropped = first.iter().filter(|&&x| x == 0.0).count();
    assert!((225..375).contains(&dropped), "{dropped}");

    let off = TrainSpec {
        dropout: false,
        ..TrainSpec::default()
    };
    assert_eq!(run(off, KEY), [ones.clone(), ones.clone()]);
    let [first, second] = run(frozen(&["first"]), KEY);
    assert!(first == ones && second != ones);
}

/// A change of the generator would change every trained model. The expected values are the upper
/// bits of `ChaCha8`'s first block for this key, computed by its definition.
#[test]
fn the_mask_is_the_one_it_always_was() {
    let mask: Vec<bool> = dropout_mask(KEY, "fc.dropout", 0.5).take(16).collect();
    let expected = [1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 0].map(|stays| stays == 1);
    assert_eq!(mask, expected);
}
