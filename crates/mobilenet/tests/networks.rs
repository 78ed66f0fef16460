//! Whole networks: their results, their initial parameters, and what they reject.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Options, Plan};
use mobilenet::{Error, MobileNetV2, Stage};
use nn_layers::{Graph, GraphError, Op, Params, Shape, Slot, random_params};
use testkit::{Run, assert_executors_agree, random_array, run_by, to_f32};

/// A small network with every kind of block: with and without expansion, stride and shortcut.
fn small() -> MobileNetV2 {
    let stage = |[expansion, channels, blocks, stride]: [usize; 4]| Stage {
        expansion,
        channels,
        blocks,
        stride,
    };
    MobileNetV2 {
        stages: [[1, 16, 2, 1], [6, 20, 2, 2], [3, 37, 1, 1]]
            .map(stage)
            .to_vec(),
        divisor: 1,
        in_channels: 2,
        classes: 7,
        ..MobileNetV2::mobilenet_v2()
    }
}

fn engine(graph: &Graph, params: Params<f32>, shapes: &[Shape]) -> Run {
    let plan = Plan::compile(graph, params, &Options::default()).unwrap();
    run_by(plan.session(shapes).unwrap())
}

#[test]
fn the_engine_agrees_with_the_plain_loops() {
    let half = MobileNetV2 {
        width: 0.5,
        ..MobileNetV2::mobilenet_v2()
    };
    for (network, [h, w]) in [(small(), [37, 50]), (small(), [1, 1]), (half, [65, 40])] {
        let graph = network.graph(network.input_size()).unwrap();
        let params = random_params(&graph, 1).unwrap();
        let input = random_array(&[2, network.in_channels, h, w], 1);
        // The project's guarantee for logits.
        assert_executors_agree(&graph, &params, &[to_f32(input.view())], 1e-4, &engine);
    }
}

/// The channels of the stem and of every block's end.
fn ends(graph: &Graph) -> Vec<usize> {
    let nodes = graph.nodes().iter();
    let projections = nodes.filter(|node| match node.op() {
        Op::BatchNorm2d(_) => ["features.0.1", ".conv.2", ".conv.3"]
            .iter()
            .any(|end| node.name().ends_with(end)),
        _ => false,
    });
    let is_end = |name: &str| graph.find(name).is_some();
    projections
        .filter(|node| {
            // `conv.2` is a convolution where there is an expansion.
            let next = node.name().replace(".conv.2", ".conv.3");
            next == node.name() || !is_end(&next)
        })
        .map(|node| node.shape()[1])
        .collect()
}

#[test]
fn numbers_of_channels_are_rounded_as_in_torchvision() {
    // From torchvision 0.29: the output channels of `features[0]` and of every block.
    for (width, stem, stages, last) in [
        (0.35, 16, [8, 8, 16, 24, 32, 56, 112], 1280),
        (0.5, 16, [8, 16, 16, 32, 48, 80, 160], 1280),
        (0.75, 24, [16, 24, 24, 48, 72, 120, 240], 1280),
        (1.0, 32, [16, 24, 32, 64, 96, 160, 320], 1280),
        (1.4, 48, [24, 32, 48, 88, 136, 224, 448], 1792),
    ] {
        let network = MobileNetV2 {
            width,
            ..MobileNetV2::mobilenet_v2()
        };
        let graph = network.graph([224, 224]).unwrap();
        let blocks = network.stages.iter().map(|stage| stage.blocks);
        let expected: Vec<usize> = std::iter::once(stem)
            .chain(stages.iter().zip(blocks).flat_map(|(&c, n)| vec![c; n]))
            .collect();
        assert_eq!(ends(&graph), expected, "width {width}");
        let features = graph.find("features.18.0").and_then(|id| graph.node(id));
        assert_eq!(features.unwrap().shape()[1], last, "width {width}");
    }
}

#[test]
fn initial_parameters_have_torchvisions_distributions() {
    let network = MobileNetV2::mobilenet_v2();
    let params = network.init(1).unwrap();
    let std = |name: &str| {
        let value = &params.get(name).unwrap().value;
        (value.iter().map(|x| f64::from(x * x)).sum::<f64>() / value.len() as f64).sqrt()
    };
    // With this many values, the sample's deviation is within 5 % of the distribution's.
    for (name, expected) in [
        // sqrt(2 / (out channels * taps)); a depthwise convolution's fan has all channels.
        ("features.18.0.weight", (2.0 / 1280.0_f64).sqrt()),
        (
            "features.16.conv.1.0.weight",
            (2.0 / (960.0 * 9.0_f64)).sqrt(),
        ),
        ("classifier.1.weight", 0.01),
    ] {
        let got = std(name);
        assert!(
            (got / expected - 1.0).abs() < 0.05,
            "{name}: {got}, expected {expected}"
        );
    }
    assert_eq!(std("classifier.1.bias"), 0.0);
    assert_eq!(std("features.0.1.weight"), 1.0);
    let graph = network.graph([224, 224]).unwrap();
    let weights = graph
        .param_specs()
        .filter(|spec| spec.slot() == Slot::Weight);
    let learnt: usize = weights.map(nn_layers::ParamSpec::elements).sum();
    assert_eq!(learnt, 3_504_872);
}

#[test]
fn faulty_configurations_name_their_field() {
    let field = |network: MobileNetV2| match network.graph([32, 32]).unwrap_err() {
        Error::Field { field, .. } => field,
        other => other.to_string(),
    };
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(MobileNetV2 { width, ..small() }), "width");
    }
    assert_eq!(
        field(MobileNetV2 {
            divisor: 0,
            ..small()
        }),
        "divisor"
    );
    for (name, change) in [
        (
            "expansion",
            (|stage: &mut Stage| stage.expansion = 0) as fn(&mut Stage),
        ),
        ("channels", |stage| stage.channels = 0),
        ("blocks", |stage| stage.blocks = 0),
        ("stride", |stage| stage.stride = 0),
    ] {
        let mut network = small();
        change(&mut network.stages[1]);
        assert_eq!(field(network), format!("stages[1].{name}"));
    }
    let mut network = small();
    network.stages[0].blocks = usize::MAX;
    assert_eq!(field(network), "the number of blocks in stages");
}

#[test]
fn hostile_sizes_are_errors() {
    let rejects = |network: MobileNetV2| network.graph([32, 32]).unwrap_err();
    for width in [1e18, f64::MAX, 1e4] {
        let error = rejects(MobileNetV2 { width, ..small() });
        assert!(
            matches!(error, Error::TooManyParameters { .. } | Error::Graph(_)),
            "{error}"
        );
    }
    let mut wide = small();
    wide.stages[1].expansion = usize::MAX;
    assert!(matches!(rejects(wide), Error::Graph(_)));
    let mut long = small();
    long.stages[1].stride = usize::MAX;
    assert!(matches!(rejects(long), Error::Graph(_)));
    let divisor = usize::MAX;
    assert!(matches!(
        rejects(MobileNetV2 { divisor, ..small() }),
        Error::Graph(_)
    ));
    let error = rejects(MobileNetV2 {
        classes: 0,
        ..small()
    });
    assert!(
        matches!(
            error,
            Error::Graph(nn_layers::Error::Graph(GraphError::Zero { .. }))
        ),
        "{error}"
    );
    let error = rejects(MobileNetV2 {
        dropout: 1.5,
        ..small()
    });
    assert!(
        matches!(
            error,
            Error::Graph(nn_layers::Error::Graph(GraphError::Value { .. }))
        ),
        "{error}"
    );
    assert!(small().graph([0, 32]).is_err());
}

#[test]
fn json_is_one_object_with_the_fields() {
    let network = small();
    let json = serde_json::to_value(&network).unwrap();
    assert_eq!(
        serde_json::from_value::<MobileNetV2>(json.clone()).unwrap(),
        network
    );
    let mut other = json;
    other["heads"] = 3.into();
    assert!(serde_json::from_value::<MobileNetV2>(other).is_err());
}
