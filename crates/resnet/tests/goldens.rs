//! Every network that torchvision has, against torchvision: names, sizes, multiply-adds, logits.
//!
//! The golden files are those of `crates/testkit/goldens/models.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Options, Plan};
use ndarray::ArrayD;
use nn_layers::{Graph, Infer, Outputs, Params, Shape, Slot};
use resnet::ResNet;
use testkit::{NetworkGolden, Run};

fn engine(graph: &Graph, params: Params<f32>, shapes: &[Shape]) -> Run {
    let plan = Plan::compile(graph, params, &Options::default()).unwrap();
    let mut session = plan.session(shapes).unwrap();
    Box::new(move |inputs: &[ArrayD<f32>]| {
        let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let mut outputs = Outputs::new();
        session.run(&views, &mut outputs).unwrap();
        outputs.tensors
    })
}

/// A golden file of this crate.
fn golden(name: &str) -> NetworkGolden {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");
    NetworkGolden::open(format!("{folder}/{name}.json"))
}

fn check(name: &str, model: &ResNet) {
    let golden = golden(name);
    golden.check(|size| model.graph(size).unwrap(), &engine);

    let graph = model.graph(model.input_size()).unwrap();
    let learnt = graph
        .param_specs()
        .filter(|spec| spec.slot() == Slot::Weight);
    let parameters: usize = learnt.map(nn_layers::ParamSpec::elements).sum();
    assert_eq!(parameters as u64, golden.parameters, "{name}");
    // What a fresh model saves is all that torchvision's state dict has.
    assert_eq!(model.init(1).unwrap().len(), golden.names, "{name}");
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
