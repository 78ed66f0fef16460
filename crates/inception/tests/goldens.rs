//! GoogLeNet and Inception-v3 against torchvision: names, sizes, multiply-adds, logits.
//!
//! The golden files are those of `crates/testkit/goldens/models.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Options, Plan};
use inception::{GoogLeNet, InceptionV3};
use nn_layers::{Graph, Params, Shape};
use testkit::{NetworkGolden, Run, run_by};

fn engine(graph: &Graph, params: Params<f32>, shapes: &[Shape]) -> Run {
    let plan = Plan::compile(graph, params, &Options::default()).unwrap();
    run_by(plan.session(shapes).unwrap())
}

/// Reads a golden file of this crate.
fn golden(name: &str) -> NetworkGolden {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");
    NetworkGolden::open(format!("{folder}/{name}.json"))
}

#[test]
fn googlenet_is_torchvisions() {
    let (golden, model) = (golden("googlenet"), GoogLeNet::default());
    golden.check(|size| model.graph(size).unwrap(), &engine);
    let training = model.training_graph(model.input_size()).unwrap();
    golden.check_params(&training, &model.init(1).unwrap());
}

#[test]
fn inception_v3_is_torchvisions() {
    let (golden, model) = (golden("inception_v3"), InceptionV3::default());
    golden.check(|size| model.graph(size).unwrap(), &engine);
    let training = model.training_graph(model.input_size()).unwrap();
    golden.check_params(&training, &model.init(1).unwrap());
}
