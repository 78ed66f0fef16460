//! `GoogLeNet` and Inception-v3 against torchvision: names, sizes, multiply-adds, logits.
//!
//! The golden files are those of `crates/testkit/goldens/models.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Options, Plan};
use inception::{GoogLeNet, InceptionV3};
use ndarray::ArrayD;
use nn_layers::{Graph, Infer, Outputs, Params, Shape, Slot};
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

/// Checks what training has and inference has not: the auxiliary heads' parameters.
fn check_all_params(golden: &NetworkGolden, training: &Graph, fresh: &Params<f32>) {
    let learnt = training
        .param_specs()
        .filter(|spec| spec.slot() == Slot::Weight);
    let parameters: usize = learnt.map(nn_layers::ParamSpec::elements).sum();
    assert_eq!(parameters as u64, golden.parameters, "{}", golden.model);
    // What a fresh model saves is all that torchvision's state dict has.
    assert_eq!(fresh.len(), golden.names, "{}", golden.model);
}

#[test]
fn googlenet_is_torchvisions() {
    let (golden, model) = (golden("googlenet"), GoogLeNet::default());
    golden.check(|size| model.graph(size).unwrap(), &engine);
    let training = model.training_graph(model.input_size()).unwrap();
    check_all_params(&golden, &training, &model.init(1).unwrap());
}

#[test]
fn inception_v3_is_torchvisions() {
    let (golden, model) = (golden("inception_v3"), InceptionV3::default());
    golden.check(|size| model.graph(size).unwrap(), &engine);
    let training = model.training_graph(model.input_size()).unwrap();
    check_all_params(&golden, &training, &model.init(1).unwrap());
}
