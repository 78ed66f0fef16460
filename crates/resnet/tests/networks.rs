//! Whole networks: their results, their initial parameters, and what they reject.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Options, Plan};
use nn_layers::{Error, Graph, GraphError, Op, Params, ParamsError, Shape, Slot, random_params};
use resnet::{Block, ResNet, Shortcut, Stem};
use testkit::{Run, assert_executors_agree, random_array, run_by, to_f32};

/// A small network of bottlenecks, with every option different from its default.
fn small() -> ResNet {
    ResNet {
        layers: vec![2, 1, 2],
        width: 16,
        groups: 4,
        width_per_group: 32,
        output_stride: 8,
        in_channels: 2,
        classes: 7,
        ..ResNet::resnet50()
    }
}

fn engine(graph: &Graph, params: Params<f32>, shapes: &[Shape]) -> Run {
    let plan = Plan::compile(graph, params, &Options::default()).unwrap();
    run_by(plan.session(shapes).unwrap())
}

#[test]
fn the_engine_agrees_with_the_plain_loops() {
    let thin = |network| ResNet {
        classes: 10,
        width: 8,
        ..network
    };
    let networks = [
        (small(), [37, 50]),
        (
            ResNet {
                shortcut: Shortcut::ZeroPadded,
                ..small()
            },
            [37, 50],
        ),
        (
            ResNet {
                pre_activation: true,
                ..small()
            },
            [37, 50],
        ),
        (
            ResNet {
                pre_activation: true,
                stem: Stem::Cifar,
                output_stride: 4,
                ..small()
            },
            [9, 14],
        ),
        (thin(ResNet::resnet18()), [65, 40]),
        (ResNet::cifar(3), [32, 32]),
        (
            ResNet {
                shortcut: Shortcut::Projection,
                ..ResNet::cifar(1)
            },
            [17, 20],
        ),
        (
            ResNet {
                pre_activation: true,
                ..ResNet::cifar(2)
            },
            [17, 20],
        ),
        (
            ResNet {
                shortcut: Shortcut::None,
                ..ResNet::cifar(2)
            },
            [17, 20],
        ),
        // One pixel is enough.
        (small(), [1, 1]),
    ];
    for (network, [h, w]) in networks {
        let graph = network.graph(network.input_size()).unwrap();
        let params = random_params(&graph, 1).unwrap();
        let input = random_array(&[2, network.in_channels, h, w], 1);
        // The project's guarantee for logits.
        assert_executors_agree(&graph, &params, &[to_f32(input.view())], 1e-4, &engine);
    }
}

fn learnt(graph: &Graph) -> usize {
    let weights = graph
        .param_specs()
        .filter(|spec| spec.slot() == Slot::Weight);
    weights.map(nn_layers::ParamSpec::elements).sum()
}

#[test]
fn the_cifar_family_has_the_papers_size() {
    // He et al. 2015, table 6: layers, and parameters in millions.
    for (layers, millions) in [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)] {
        let network = ResNet::named(&format!("resnet{layers}")).unwrap();
        let graph = network.graph([32, 32]).unwrap();
        let got = learnt(&graph) as f64 / 1e6;
        let digit = if layers == 110 { 0.1 } else { 0.01 };
        assert!((got - millions).abs() <= digit, "{layers}: {got}");

        let weighted = |graph: &Graph| {
            let is_layer = |op: &Op| matches!(op, Op::Conv2d(_) | Op::Linear(_));
            graph
                .nodes()
                .iter()
                .filter(|node| is_layer(node.op()))
                .count()
        };
        assert_eq!(weighted(&graph), layers);

        // The plain counterpart is the same without the shortcuts, which have no parameters.
        let plain = ResNet::named(&format!("plain{layers}")).unwrap();
        let plain = plain.graph([32, 32]).unwrap();
        assert!(plain.param_specs().eq(graph.param_specs()));
        let additions = |graph: &Graph| {
            let nodes = graph.nodes().iter();
            nodes.filter(|node| *node.op() == Op::Add).count()
        };
        assert_eq!(
            (additions(&graph), additions(&plain)),
            ((layers - 2) / 2, 0)
        );
    }
    // By hand, for ResNet-20: the stem, three stages, the classifier, and two batch-normalisation
    // parameters per output channel of a convolution.
    let stages = (6 * 16 * 16 + (16 * 32 + 5 * 32 * 32) + (32 * 64 + 5 * 64 * 64)) * 9;
    let norms = 2 * (7 * 16 + 6 * 32 + 6 * 64);
    let graph = ResNet::cifar(3).graph([32, 32]).unwrap();
    assert_eq!(learnt(&graph), 3 * 16 * 9 + stages + norms + 64 * 10 + 10);
}

#[test]
fn a_pre_activation_network_ends_and_begins_activated() {
    let network = ResNet {
        pre_activation: true,
        ..ResNet::resnet50()
    };
    let graph = network.graph([224, 224]).unwrap();
    let input_of = |name: &str| {
        let node = graph.node(graph.find(name).unwrap()).unwrap();
        graph.node(node.inputs()[0]).unwrap().name()
    };
    assert_eq!(graph.find("layer1.0.bn1"), None);
    assert_eq!(input_of("layer1.0.conv1"), "maxpool");
    assert_eq!(input_of("layer1.0.downsample.0"), "maxpool");
    assert_eq!(input_of("layer1.1.bn1"), "layer1.0.add");
    assert_eq!(input_of("final_bn"), "layer4.2.add");
    assert_eq!(input_of("avgpool"), "final_relu");
    // From block to block there is nothing but additions, except where there is a projection.
    assert_eq!(graph.find("layer2.0.downsample.1"), None);
    assert_eq!(input_of("layer2.0.downsample.0"), "layer2.0.relu1");
}

fn moments(params: &Params<f32>, name: &str) -> (f64, f64, usize) {
    let value = params.get(name).unwrap().value.mapv(f64::from);
    let mean = value.mean().unwrap();
    (
        mean,
        value.mapv(|x| (x - mean).powi(2)).mean().unwrap().sqrt(),
        value.len(),
    )
}

#[test]
fn the_start_is_torchvisions() {
    let network = ResNet::resnext50_32x4d();
    let params = network.init(1).unwrap();
    params.check(&network.graph([64, 64]).unwrap()).unwrap();
    assert_eq!(network.init(1).unwrap(), params);
    assert_ne!(network.init(2).unwrap(), params);

    // Standard deviations sqrt(2 / (O h w)), whatever the groups: each name with its fan-out. The
    // mean of K values is off by 1/sqrt(K) deviations, the deviation itself by 1/sqrt(2 K); six of
    // those occur once in 10^8 seeds.
    for (name, fan_out) in [
        ("conv1.weight", 64 * 49),
        ("layer1.0.conv2.weight", 128 * 9),
        ("layer3.0.downsample.0.weight", 1024),
    ] {
        let (mean, deviation, count) = moments(&params, name);
        let expected = (2.0 / f64::from(fan_out)).sqrt();
        let error = 6.0 / (count as f64).sqrt();
        assert!(mean.abs() < error * expected, "{name}: mean {mean}");
        assert!(
            (deviation / expected - 1.0).abs() < error,
            "{name}: deviation {deviation}"
        );
    }
    // Uniform in 1 / sqrt(2048).
    let bound = 2048_f64.sqrt().recip();
    let (mean, deviation, count) = moments(&params, "fc.weight");
    let error = 6.0 / (count as f64).sqrt();
    assert!(mean.abs() < error * bound);
    assert!((deviation * 3_f64.sqrt() / bound - 1.0).abs() < error);
    let largest = params
        .get("fc.weight")
        .unwrap()
        .value
        .iter()
        .fold(0.0_f32, |m, x| m.max(x.abs()));
    assert!(f64::from(largest) <= bound);

    let ones = |name: &str| params.get(name).unwrap().value.iter().all(|&x| x == 1.0);
    let zeros = |name: &str| params.get(name).unwrap().value.iter().all(|&x| x == 0.0);
    assert!(ones("layer4.2.bn3.weight") && ones("bn1.running_var"));
    assert!(zeros("layer4.2.bn3.bias") && zeros("bn1.running_mean"));
}

#[test]
fn branches_start_from_zeros_where_the_option_is_set() {
    for (network, last) in [(ResNet::resnet18(), "bn2"), (small(), "bn3")] {
        let plain = network.init(1).unwrap();
        let network = ResNet {
            zero_init_residual: true,
            ..network
        };
        let params = network.init(1).unwrap();
        let changed: Vec<&str> = params
            .iter()
            .filter(|&(name, param)| plain.get(name) != Some(param))
            .map(|(name, _)| name)
            .collect();
        let blocks: usize = network.layers.iter().sum();
        assert_eq!(changed.len(), blocks);
        for name in changed {
            assert!(name.starts_with("layer") && name.ends_with(&format!(".{last}.weight")));
            assert!(params.get(name).unwrap().value.iter().all(|&x| x == 0.0));
        }
    }
}

#[test]
fn wrong_inputs_name_the_node() {
    let graph = ResNet::resnet18().graph([224, 224]).unwrap();
    let error = graph.infer(&[Shape::from([1, 1, 224, 224])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node \"image\": input channels (axis c) is 1, expected 3"
    );
    assert!(matches!(
        error,
        Error::Graph(GraphError::Mismatch {
            expected: 3,
            got: 1,
            ..
        })
    ));

    let error = graph.infer(&[Shape::from([1, 3, 0, 224])]).unwrap_err();
    assert!(
        matches!(&error, Error::Graph(GraphError::Zero { node, .. }) if node == "image"),
        "{error}"
    );
    let error = ResNet::resnet18().graph([224, 0]).unwrap_err();
    assert!(
        matches!(&error, resnet::Error::Graph(Error::Graph(GraphError::Zero { node, .. })) if node == "image"),
        "{error}"
    );

    // Weights for a different number of classes.
    let params = ResNet {
        classes: 10,
        ..ResNet::resnet18()
    }
    .init(1)
    .unwrap();
    let error = params.check(&graph).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 parameters do not fit the graph: fc.weight has shape 10x512, expected 1000x512; \
         fc.bias has shape 10, expected 1000"
    );
    assert!(matches!(error, Error::Params(ParamsError::Misfits(_))));
}

#[test]
fn a_block_knows_its_expansion() {
    assert_eq!(
        [Block::Basic, Block::Bottleneck].map(Block::expansion),
        [1, 4]
    );
    assert_eq!([Stem::ImageNet, Stem::Cifar].map(Stem::stride), [4, 1]);
}
