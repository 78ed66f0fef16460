//! Training steps of GoogLeNet with its auxiliary heads against PyTorch, in f64.
//!
//! The golden file is one of `crates/testkit/goldens/gradients.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use inception::GoogLeNet;
use testkit::TrainingGolden;

fn check(steps: usize) {
    let golden = TrainingGolden::open(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/goldens/googlenet_gradients.json"
    ));
    let model = GoogLeNet {
        classes: golden.classes,
        ..GoogLeNet::default()
    };
    golden.check(&model.training_graph(golden.size).unwrap(), steps);
}

#[test]
fn googlenet_trains_as_in_pytorch() {
    check(2);
}

#[test]
#[ignore = "the same with more steps, which takes a minute"]
fn googlenet_trains_ten_steps_as_in_pytorch() {
    check(10);
}
