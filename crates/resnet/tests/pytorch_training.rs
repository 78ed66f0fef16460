//! Training steps of a residual network against PyTorch, in f64.
//!
//! The golden file is one of `crates/testkit/goldens/gradients.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use resnet::ResNet;
use testkit::TrainingGolden;

fn check(steps: usize) {
    let golden = TrainingGolden::open(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/goldens/resnet18_gradients.json"
    ));
    let model = ResNet {
        classes: golden.classes,
        ..ResNet::named("resnet18").unwrap()
    };
    golden.check(&model.graph(golden.size).unwrap(), steps);
}

#[test]
fn resnet18_trains_as_in_pytorch() {
    check(2);
}

#[test]
#[ignore = "the same with more steps, which takes a minute"]
fn resnet18_trains_ten_steps_as_in_pytorch() {
    check(10);
}
