//! Every network of torchvision's compared with torchvision: names, sizes, multiply-adds, logits.
//!
//! The golden files are those of `crates/testkit/goldens/models.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Options, Plan};
use nn_layers::{Graph, Params, Shape};
use resnet::ResNet;
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

fn check(name: &str, model: &ResNet) {
    let golden = golden(name);
    golden.check(|size| model.graph(size).unwrap(), &engine);

    let graph = model.graph(model.input_size()).unwrap();
    golden.check_params(&graph, &model.init(1).unwrap());
}

#[test]
fn resnets_are_torchvisions() {
    for name in ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] {
        check(name, &ResNet::named(name).unwrap());
    }
}

#[test]
fn resnexts_and_wide_resnets_are_torchvisions() {
    for name in [
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ] {
        check(name, &ResNet::named(name).unwrap());
    }
}

#[test]
fn smaller_output_strides_by_dilation_are_torchvisions() {
    for (name, output_stride) in [("resnet50_stride16", 16), ("resnet50_stride8", 8)] {
        let model = ResNet {
            output_stride,
            ..ResNet::resnet50()
        };
        check(name, &model);
    }
}
