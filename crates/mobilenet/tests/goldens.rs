//! MobileNetV2 compared with torchvision: names, sizes, multiply-adds, logits.
//!
//! The golden files are those of `crates/testkit/goldens/models.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Options, Plan};
use mobilenet::MobileNetV2;
use nn_layers::{Graph, Params, Shape};
use testkit::{NetworkGolden, Run, run_by};

fn engine(graph: &Graph, params: Params<f32>, shapes: &[Shape]) -> Run {
    let plan = Plan::compile(graph, params, &Options::default()).unwrap();
    run_by(plan.session(shapes).unwrap())
}

fn check(name: &str, width: f64) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");
    let golden = NetworkGolden::open(format!("{folder}/{name}.json"));
    let model = MobileNetV2 {
        width,
        ..MobileNetV2::mobilenet_v2()
    };
    golden.check(|size| model.graph(size).unwrap(), &engine);

    let graph = model.graph(model.input_size()).unwrap();
    golden.check_params(&graph, &model.init(1).unwrap());
}

#[test]
fn mobilenet_v2_is_torchvisions() {
    check("mobilenet_v2", 1.0);
}

#[test]
fn other_widths_are_torchvisions() {
    check("mobilenet_v2_width_0.5", 0.5);
    check("mobilenet_v2_width_1.4", 1.4);
}
