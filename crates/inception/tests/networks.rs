//! Whole networks: their structure, their results, their initial parameters, and what they reject.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use engine::{Options, Plan};
use inception::{Error, GoogLeNet, InceptionModule, InceptionV3};
use ndarray::ArrayD;
use nn_layers::{Graph, GraphError, LoadReport, ParamSpec, Params, Shape, Summary, random_params};
use proptest::prelude::*;
use serde_json::json;
use testkit::{Run, assert_executors_agree, random_array, run_by, to_f32};

fn summary(graph: &Graph, [h, w]: [usize; 2]) -> Summary {
    Summary::new(graph, &[Shape::from([1, 3, h, w])]).unwrap()
}

/// From torchvision 0.29: the sums over `parameters()` and over `buffers()` without the counters,
/// with and without the auxiliary heads, and `_ops` of the network's `meta`, 10^9 multiply-adds
/// with three decimal places.
#[test]
fn the_counts_are_torchvisions() {
    let counts = |graph: &Graph, size| {
        let summary = summary(graph, size);
        (summary.parameters, summary.buffers)
    };
    let network = GoogLeNet::default();
    let graph = network.graph([224, 224]).unwrap();
    let training = network.training_graph([224, 224]).unwrap();
    assert_eq!(counts(&graph, [224, 224]), (6_624_904, 14_560));
    assert_eq!(counts(&training, [224, 224]), (13_004_888, 15_072));
    let giga = summary(&graph, [224, 224]).multiply_adds as f64 / 1e9;
    assert!((giga - 1.498).abs() <= 0.000_5, "{giga}");

    let network = InceptionV3::default();
    let graph = network.graph([299, 299]).unwrap();
    let training = network.training_graph([299, 299]).unwrap();
    assert_eq!(counts(&graph, [299, 299]), (23_834_568, 34_432));
    assert_eq!(counts(&training, [299, 299]), (27_161_264, 36_224));
    let giga = summary(&graph, [299, 299]).multiply_adds as f64 / 1e9;
    assert!((giga - 5.713).abs() <= 0.000_5, "{giga}");
}

fn shape(graph: &Graph, name: &str) -> Vec<usize> {
    graph
        .node(graph.find(name).unwrap())
        .unwrap()
        .shape()
        .to_vec()
}

#[test]
fn shapes_are_those_of_the_papers_tables() {
    let graph = GoogLeNet::default().graph([224, 224]).unwrap();
    for (name, channels, size) in [
        ("conv1.relu", 64, 112),
        ("maxpool1", 64, 56),
        ("conv3.relu", 192, 56),
        ("maxpool2", 192, 28),
        ("inception3a.concat", 256, 28),
        ("inception3b.concat", 480, 28),
        ("maxpool3", 480, 14),
        ("inception4a.concat", 512, 14),
        ("inception4b.concat", 512, 14),
        ("inception4c.concat", 512, 14),
        ("inception4d.concat", 528, 14),
        ("inception4e.concat", 832, 14),
        ("maxpool4", 832, 7),
        ("inception5a.concat", 832, 7),
        ("inception5b.concat", 1024, 7),
        ("avgpool", 1024, 1),
    ] {
        assert_eq!(shape(&graph, name), [1, channels, size, size], "{name}");
    }
    let graph = InceptionV3::default().graph([299, 299]).unwrap();
    for (name, channels, size) in [
        ("Conv2d_1a_3x3.relu", 32, 149),
        ("Conv2d_2a_3x3.relu", 32, 147),
        ("Conv2d_2b_3x3.relu", 64, 147),
        ("maxpool1", 64, 73),
        ("Conv2d_4a_3x3.relu", 192, 71),
        ("maxpool2", 192, 35),
        ("Mixed_5b.concat", 256, 35),
        ("Mixed_5c.concat", 288, 35),
        ("Mixed_5d.concat", 288, 35),
        ("Mixed_6a.concat", 768, 17),
        ("Mixed_6e.concat", 768, 17),
        ("Mixed_7a.concat", 1280, 8),
        ("Mixed_7b.concat", 2048, 8),
        ("Mixed_7c.concat", 2048, 8),
        ("avgpool", 2048, 1),
    ] {
        assert_eq!(shape(&graph, name), [1, channels, size, size], "{name}");
    }
}

fn names<'a>(specs: impl Iterator<Item = &'a ParamSpec>) -> BTreeSet<&'a str> {
    specs.map(ParamSpec::name).collect()
}

/// Returns the names of a graph's outputs.
fn outputs(graph: &Graph) -> Vec<&str> {
    let name = |&id| graph.node(id).unwrap().name();
    graph.outputs().iter().map(name).collect()
}

#[test]
fn auxiliary_heads_are_in_training_alone() {
    let network = GoogLeNet::default();
    let inference = network.graph([224, 224]).unwrap();
    let training = network.training_graph([224, 224]).unwrap();
    assert_eq!(outputs(&inference), ["fc"]);
    assert_eq!(outputs(&training), ["fc", "aux1.fc2", "aux2.fc2"]);
    check_aux(
        &inference,
        &training,
        &network.aux_params().unwrap(),
        &["aux1.", "aux2."],
    );

    let network = InceptionV3::default();
    let inference = network.graph([299, 299]).unwrap();
    let training = network.training_graph([299, 299]).unwrap();
    assert_eq!(outputs(&inference), ["fc"]);
    assert_eq!(outputs(&training), ["fc", "AuxLogits.fc"]);
    check_aux(
        &inference,
        &training,
        &network.aux_params().unwrap(),
        &["AuxLogits."],
    );
}

fn check_aux(inference: &Graph, training: &Graph, aux: &[ParamSpec], prefixes: &[&str]) {
    let is_aux = |name: &&str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let (in_training, in_inference) = (
        names(training.param_specs()),
        names(inference.param_specs()),
    );
    assert!(!in_inference.iter().any(is_aux));
    let expected: BTreeSet<&str> = in_training.iter().copied().filter(is_aux).collect();
    assert_eq!(names(aux.iter()), expected);
    assert!(in_training.difference(&expected).eq(&in_inference));
    // Without its heads, the training graph equals the inference graph.
    assert_eq!(
        &training.with_outputs(&training.outputs()[..1]).unwrap(),
        inference
    );
}

#[test]
fn a_complete_file_loads_with_the_heads_known_but_unused() {
    let network = GoogLeNet {
        classes: 10,
        ..GoogLeNet::default()
    };
    let params = network.init(1).unwrap();
    let aux = network.aux_params().unwrap();
    let graph = network.graph([224, 224]).unwrap();
    let report = LoadReport::new(&params, &graph, &aux).strict().unwrap();
    assert_eq!(report.loaded, graph.param_specs().count());
    // Besides the heads' own, one counter per batch normalisation.
    let training = network.training_graph([224, 224]).unwrap();
    let norms = training
        .param_specs()
        .filter(|spec| spec.local_name() == "running_mean");
    assert_eq!(report.known_unused.len(), aux.len() + norms.count());

    let network = InceptionV3 {
        classes: 10,
        ..InceptionV3::default()
    };
    let params = network.init(1).unwrap();
    let aux = network.aux_params().unwrap();
    let graph = network.graph([299, 299]).unwrap();
    LoadReport::new(&params, &graph, &aux).strict().unwrap();
    // Unknown heads are not skipped.
    assert!(LoadReport::new(&params, &graph, []).strict().is_err());
}

fn engine(graph: &Graph, params: Params<f32>, shapes: &[Shape]) -> Run {
    let plan = Plan::compile(graph, params, &Options::default()).unwrap();
    run_by(plan.session(shapes).unwrap())
}

fn check_agreement(graph: &Graph, shape: [usize; 4]) {
    let params = random_params(graph, 1).unwrap();
    let input = random_array(&shape, 1);
    // The project's guarantee for logits.
    assert_executors_agree(graph, &params, &[to_f32(input.view())], 1e-4, &engine);
}

#[test]
fn the_engine_agrees_with_the_plain_loops() {
    let network = GoogLeNet {
        in_channels: 2,
        classes: 7,
        ..GoogLeNet::default()
    };
    check_agreement(&network.training_graph([64, 64]).unwrap(), [2, 2, 47, 70]);
    let network = InceptionV3 {
        in_channels: 2,
        classes: 7,
        ..InceptionV3::default()
    };
    check_agreement(&network.graph([299, 299]).unwrap(), [1, 2, 75, 90]);
}

fn moments(params: &Params<f32>, name: &str) -> (f64, f64, usize) {
    let value: ArrayD<f64> = params.get(name).unwrap().value.mapv(f64::from);
    let mean = value.mean().unwrap();
    let variance = value.mapv(|x| (x - mean).powi(2)).mean().unwrap();
    (mean, variance.sqrt(), value.len())
}

fn check_normal(params: &Params<f32>, name: &str, expected: f64) {
    // The mean of K values is off by 1/sqrt(K) deviations, the deviation itself by 1/sqrt(2 K); six
    // of those occur once in 10^8 seeds.
    let (mean, deviation, count) = moments(params, name);
    let error = 6.0 / (count as f64).sqrt();
    assert!(mean.abs() < error * expected, "{name}: mean {mean}");
    assert!(
        (deviation / expected - 1.0).abs() < error,
        "{name}: deviation {deviation}"
    );
}

#[test]
fn the_start_is_torchvisions() {
    let network = GoogLeNet::default();
    let params = network.init(1).unwrap();
    assert_eq!(network.init(1).unwrap(), params);
    assert_ne!(network.init(2).unwrap(), params);
    for name in [
        "conv1.conv.weight",
        "inception5b.branch2.1.conv.weight",
        "aux1.fc1.weight",
        "fc.weight",
    ] {
        check_normal(&params, name, 0.01);
    }
    // Uniform in 1 / sqrt(1024).
    let (_, deviation, count) = moments(&params, "fc.bias");
    let bound = 1.0 / 32.0;
    assert!((deviation * 3_f64.sqrt() / bound - 1.0).abs() < 6.0 / (count as f64).sqrt());

    let params = InceptionV3::default().init(1).unwrap();
    for name in [
        "Conv2d_1a_3x3.conv.weight",
        "AuxLogits.conv1.conv.weight",
        "fc.weight",
    ] {
        check_normal(&params, name, 0.1);
    }
    check_normal(&params, "AuxLogits.fc.weight", 0.001);
    let ones = |name: &str| params.get(name).unwrap().value.iter().all(|&x| x == 1.0);
    assert!(ones("Mixed_5b.branch1x1.bn.weight") && ones("Mixed_5b.branch1x1.bn.running_var"));
}

#[test]
fn a_picture_that_is_too_small_names_the_node() {
    let network = InceptionV3::default();
    for (size, at) in [
        ([32, 32], "Mixed_6a."),
        ([75, 32], "Mixed_6a."),
        ([74, 299], "Mixed_7a."),
    ] {
        let error = network.graph(size).unwrap_err();
        assert!(
            matches!(&error, Error::Graph(nn_layers::Error::Graph(GraphError::Kernel { node, .. })) if node.starts_with(at)),
            "{size:?}: {error}"
        );
    }
    network.graph([75, 75]).unwrap();
    let error = network.training_graph([75, 75]).unwrap_err();
    assert!(
        matches!(&error, Error::Graph(nn_layers::Error::Graph(GraphError::Kernel { node, .. })) if node == "AuxLogits.pool"),
        "{error}"
    );
    // The graph that was built for 299x299 rejects the same sizes.
    let graph = network.graph([299, 299]).unwrap();
    let error = graph.infer(&[Shape::from([1, 3, 32, 32])]).unwrap_err();
    assert_eq!(Error::from(error), network.graph([32, 32]).unwrap_err());

    let graph = GoogLeNet::default().graph([224, 224]).unwrap();
    let error = graph.infer(&[Shape::from([1, 4, 224, 224])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node \"image\": input channels (axis c) is 4, expected 3"
    );
}

#[test]
fn configurations_survive_json_and_refuse_what_they_do_not_know() {
    assert_eq!(
        GoogLeNet::named(GoogLeNet::NAMES[0]),
        Some(GoogLeNet::default())
    );
    assert_eq!(
        InceptionV3::named(InceptionV3::NAMES[0]),
        Some(InceptionV3::default())
    );
    assert_eq!(GoogLeNet::named("inception_v3"), None);
    assert_eq!(InceptionV3::named("googlenet"), None);

    let good = json!({"in_channels": 3, "classes": 1000, "dropout": 0.2, "aux_dropout": 0.7});
    assert_eq!(serde_json::to_value(GoogLeNet::default()).unwrap(), good);
    assert_eq!(
        serde_json::from_value::<GoogLeNet>(good.clone()).unwrap(),
        GoogLeNet::default()
    );
    let error = serde_json::from_value::<InceptionV3>(good)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("unknown field `aux_dropout`"), "{error}");

    let good = json!({"in_channels": 3, "classes": 1000, "dropout": 0.5});
    assert_eq!(serde_json::to_value(InceptionV3::default()).unwrap(), good);
    assert_eq!(
        serde_json::from_value::<InceptionV3>(good.clone()).unwrap(),
        InceptionV3::default()
    );
    let error = serde_json::from_value::<GoogLeNet>(good)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "missing field `aux_dropout`");

    let good = json!({"conv1x1": 1, "conv3x3": 2, "conv5x5": 3, "bottlenecks":
        {"before_3x3": 4, "before_5x5": 5, "after_pool": 6}});
    let module: InceptionModule = serde_json::from_value(good.clone()).unwrap();
    assert_eq!(serde_json::to_value(module).unwrap(), good);
    let mut bad = good;
    bad["bottlenecks"]["after_pol"] = json!(6);
    assert!(serde_json::from_value::<InceptionModule>(bad).is_err());
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 1..=64_usize,
        1 => Just(0),
        1 => any::<usize>(),
        1 => Just(usize::MAX),
        1 => (0..63_u32).prop_map(|shift| 1 << shift),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_configuration_panics(
        [in_channels, classes] in [sizes(), sizes()],
        [dropout, aux_dropout] in [any::<f64>(), any::<f64>()],
        size in [prop_oneof![Just(75), sizes()], prop_oneof![Just(90), sizes()]],
    ) {
        let network = GoogLeNet { in_channels, classes, dropout, aux_dropout };
        for graph in [network.graph(size), network.training_graph(size)].into_iter().flatten() {
            prop_assert_eq!(&shape(&graph, "fc"), &[1, classes]);
        }
        let network = InceptionV3 { in_channels, classes, dropout };
        for graph in [network.graph(size), network.training_graph(size)].into_iter().flatten() {
            prop_assert_eq!(&shape(&graph, "fc"), &[1, classes]);
        }
    }
}

#[test]
fn what_is_too_large_is_refused_before_memory_is_taken() {
    for classes in [1 << 21, 1 << 40] {
        let googlenet = GoogLeNet {
            classes,
            ..GoogLeNet::default()
        };
        let inception_v3 = InceptionV3 {
            classes,
            ..InceptionV3::default()
        };
        for error in [
            googlenet.init(1).unwrap_err(),
            inception_v3.init(1).unwrap_err(),
        ] {
            assert!(
                matches!(error, Error::TooManyParameters { got, limit } if got > limit),
                "{error}"
            );
        }
    }
    let network = GoogLeNet {
        classes: usize::MAX,
        ..GoogLeNet::default()
    };
    let error = network.graph([224, 224]).unwrap_err();
    assert!(
        matches!(&error, Error::Graph(nn_layers::Error::Graph(GraphError::TooLarge { node, .. })) if node == "fc"),
        "{error}"
    );
    for dropout in [-0.1, 1.5, f64::NAN] {
        let network = GoogLeNet {
            dropout,
            ..GoogLeNet::default()
        };
        let error = network.graph([224, 224]).unwrap_err();
        assert!(
            matches!(&error, Error::Graph(nn_layers::Error::Graph(GraphError::Value { node, .. })) if node == "dropout"),
            "{error}"
        );
    }
}
