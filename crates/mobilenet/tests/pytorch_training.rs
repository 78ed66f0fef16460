//! Training steps of MobileNetV2 against PyTorch, in f64.
//!
//! The golden file is one of `crates/testkit/goldens/gradients.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use mobilenet::MobileNetV2;
use testkit::TrainingGolden;

#[test]
fn mobilenet_v2_trains_as_in_pytorch() {
    let golden = TrainingGolden::open(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/goldens/mobilenet_v2_gradients.json"
    ));
    let model = MobileNetV2 {
        classes: golden.classes,
        dropout: 0.0,
        ..MobileNetV2::mobilenet_v2()
    };
    golden.check(&model.graph(golden.size).unwrap(), 2);
}
