//! The network of the textbook's modules for small pictures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Options, Plan};
use inception::{Branches, CifarInception, Error};
use nn_layers::{Graph, Op, Params, Shape, Summary, random_params};
use testkit::{Run, assert_executors_agree, random_array, run_by, to_f32};

fn named(name: &str) -> CifarInception {
    CifarInception::named(name).unwrap()
}

fn multiply_adds(graph: &Graph) -> f64 {
    let summary = Summary::new(graph, &[Shape::from([1, 3, 32, 32])]).unwrap();
    summary.multiply_adds as f64 / 1e6
}

#[test]
fn the_four_branches_cost_about_as_much_as_resnet20_and_less_than_one() {
    let cost = |name| multiply_adds(&named(name).graph([32, 32]).unwrap());
    let all = cost("inception_cifar");
    // ResNet-20 has 40.6 million.
    assert!((all / 40.6 - 1.0).abs() < 0.06, "{all}");
    assert!(cost("inception_cifar_3x3") > 1.2 * all);
}

/// The output channels of the concatenations, or of the 3x3 convolutions that take their place.
fn channels(graph: &Graph, end: &str) -> Vec<usize> {
    let nodes = graph.nodes().iter();
    nodes
        .filter(|node| node.name().ends_with(end))
        .map(|node| node.shape()[1])
        .collect()
}

#[test]
fn the_3x3_branch_alone_has_the_modules_channels() {
    let all = named("inception_cifar").graph([32, 32]).unwrap();
    let alone = named("inception_cifar_3x3").graph([32, 32]).unwrap();
    let expected = [48, 48, 96, 96, 96, 192, 192];
    assert_eq!(channels(&all, ".concat"), expected);
    assert_eq!(channels(&alone, "branch3x3.conv.relu"), expected);
    for node in alone.nodes() {
        assert!(!node.name().contains("5x5") && !matches!(node.op(), Op::Concat));
    }
}

fn engine(graph: &Graph, params: Params<f32>, shapes: &[Shape]) -> Run {
    let plan = Plan::compile(graph, params, &Options::default()).unwrap();
    run_by(plan.session(shapes).unwrap())
}

#[test]
fn the_engine_agrees_with_the_plain_loops() {
    for name in CifarInception::NAMES {
        for [h, w] in [[32, 32], [19, 26], [1, 1]] {
            let graph = named(name).graph([32, 32]).unwrap();
            let params = random_params(&graph, 1).unwrap();
            let input = random_array(&[2, 3, h, w], 1);
            // The project's guarantee for logits.
            assert_executors_agree(&graph, &params, &[to_f32(input.view())], 1e-4, &engine);
        }
    }
}

#[test]
fn initial_parameters_fit_and_depend_on_the_seed() {
    let network = named("inception_cifar");
    let graph = network.graph([32, 32]).unwrap();
    let params = network.init(1).unwrap();
    params.check(&graph).unwrap();
    assert_eq!(params, network.init(1).unwrap());
    assert_ne!(params, network.init(2).unwrap());
}

#[test]
fn faulty_configurations_are_errors() {
    let error = |change: &dyn Fn(&mut CifarInception)| {
        let mut network = CifarInception::default();
        change(&mut network);
        network.graph([32, 32]).unwrap_err()
    };
    let is_modules = |error: Error| matches!(error, Error::Modules { .. });
    assert!(is_modules(error(&|network| network.stages.clear())));
    assert!(is_modules(error(&|network| network.stages[1].clear())));
    assert!(is_modules(error(&|network| {
        let module = network.stages[0][0];
        network.stages[0] = vec![module; CifarInception::MAX_MODULES];
    })));
    for branches in [Branches::All, Branches::Only3x3] {
        let wide = error(&|network| {
            network.branches = branches;
            network.stages[0][0].conv3x3 = usize::MAX;
        });
        assert!(matches!(wide, Error::Graph(_)), "{wide}");
    }
    let none = error(&|network| network.classes = 0);
    assert!(matches!(none, Error::Graph(_)), "{none}");
}

#[test]
fn json_is_one_object_with_the_fields() {
    let network = named("inception_cifar_3x3");
    let json = serde_json::to_value(&network).unwrap();
    assert_eq!(json["branches"], "only3x3");
    assert_eq!(
        serde_json::from_value::<CifarInception>(json).unwrap(),
        network
    );
}
