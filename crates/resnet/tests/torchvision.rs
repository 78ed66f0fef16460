//! What torchvision counts for the same networks, and where it dilates.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use nn_layers::{Graph, Op, ParamSpec, Shape, Summary};
use resnet::{Block, Error, ResNet};

/// Name, trainable parameters, running statistics, 10^9 multiply-adds at 224x224: from torchvision
/// 0.29, the sums over `parameters()` and over `buffers()` without the counters, and `_ops` of the
/// network's `meta`, with three decimal places.
const COUNTS: [(&str, u64, u64, f64); 10] = [
    ("resnet18", 11_689_512, 9_600, 1.814),
    ("resnet34", 21_797_672, 17_024, 3.664),
    ("resnet50", 25_557_032, 53_120, 4.089),
    ("resnet101", 44_549_160, 105_344, 7.801),
    ("resnet152", 60_192_808, 151_424, 11.514),
    ("resnext50_32x4d", 25_028_904, 68_224, 4.23),
    ("resnext101_32x8d", 88_791_336, 202_880, 16.414),
    ("resnext101_64x4d", 83_455_272, 202_880, 15.46),
    ("wide_resnet50_2", 68_883_240, 68_224, 11.398),
    ("wide_resnet101_2", 126_886_696, 137_856, 22.753),
];

fn summary(graph: &Graph, [h, w]: [usize; 2]) -> Summary {
    Summary::new(graph, &[Shape::from([1, 3, h, w])]).unwrap()
}

#[test]
fn the_counts_are_torchvisions() {
    for (name, parameters, buffers, giga) in COUNTS {
        let network = ResNet::named(name).unwrap();
        let summary = summary(&network.graph([224, 224]).unwrap(), [224, 224]);
        assert_eq!(summary.parameters, parameters, "{name}");
        assert_eq!(summary.buffers, buffers, "{name}");
        let got = summary.multiply_adds as f64 / 1e9;
        assert!((got - giga).abs() <= 0.000_5, "{name}: {got}");
    }
}

#[test]
fn the_first_parameters_are_named_as_torchvisions() {
    let graph = ResNet::resnet50().graph([224, 224]).unwrap();
    let names: Vec<&str> = graph.param_specs().map(ParamSpec::name).collect();
    let expected = [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer1.0.bn1.weight",
    ];
    assert_eq!(names[..7], expected);
    for name in [
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.bias",
        "fc.bias",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(names.len(), 53 * 5 + 2);
}

/// Returns `[stride, dilation]` of a stage's first and second 3x3 convolution.
fn windows(graph: &Graph, stage: usize) -> [[usize; 2]; 2] {
    [0, 1].map(|block| {
        let name = format!("layer{stage}.{block}.conv2");
        let Op::Conv2d(conv) = graph.node(graph.find(&name).unwrap()).unwrap().op() else {
            panic!("{name} is not a convolution");
        };
        let options = &conv.options;
        assert_eq!(
            options.padding,
            nn_layers::Padding::all(options.dilation[0])
        );
        [options.stride[0], options.dilation[0]]
    })
}

fn shape(graph: &Graph, name: &str) -> Vec<usize> {
    graph
        .node(graph.find(name).unwrap())
        .unwrap()
        .shape()
        .to_vec()
}

#[test]
fn the_output_stride_comes_from_dilation() {
    // Read off torchvision's `replace_stride_with_dilation` of FFF, FFT, FTT and TTT: the shapes of
    // layer2, layer3 and layer4 at 97x130, and their windows.
    let halved = [[2, 1], [1, 1]];
    let cases = [
        (32, [[13, 17], [7, 9], [4, 5]], [halved, halved, halved]),
        (
            16,
            [[13, 17], [7, 9], [7, 9]],
            [halved, halved, [[1, 1], [1, 2]]],
        ),
        (
            8,
            [[13, 17]; 3],
            [halved, [[1, 1], [1, 2]], [[1, 2], [1, 4]]],
        ),
        (
            4,
            [[25, 33]; 3],
            [[[1, 1], [1, 2]], [[1, 2], [1, 4]], [[1, 4], [1, 8]]],
        ),
    ];
    for (output_stride, sizes, expected) in cases {
        let network = ResNet {
            output_stride,
            ..ResNet::resnet50()
        };
        let graph = network.graph([97, 130]).unwrap();
        for (stage, (size, expected)) in (2..).zip(sizes.into_iter().zip(expected)) {
            let last = network.layers[stage - 1] - 1;
            let channels = 128 << stage;
            let got = shape(&graph, &format!("layer{stage}.{last}.relu3"));
            assert_eq!(
                got,
                [1, channels, size[0], size[1]],
                "{output_stride}, {stage}"
            );
            assert_eq!(windows(&graph, stage), expected, "{output_stride}, {stage}");
        }
        // Dilation does not add parameters.
        let whole = ResNet::resnet50().graph([97, 130]).unwrap();
        assert!(graph.param_specs().eq(whole.param_specs()));
    }
}

#[test]
fn a_basic_block_is_not_dilated() {
    let network = ResNet {
        output_stride: 16,
        ..ResNet::resnet18()
    };
    let error = network.graph([224, 224]).unwrap_err();
    let expected = Error::DilatedBasicBlock {
        block: "layer4.1".to_owned(),
        dilation: 2,
    };
    assert_eq!(error, expected);
    // As in torchvision, a first block keeps the preceding dilation, which is 1.
    let network = ResNet {
        layers: vec![2, 2, 2, 1],
        ..network
    };
    let graph = network.graph([224, 224]).unwrap();
    assert_eq!(shape(&graph, "layer4.0.relu2"), [1, 512, 14, 14]);
}

#[test]
fn shapes_are_those_of_the_papers_table() {
    for name in ["resnet18", "resnet50"] {
        let network = ResNet::named(name).unwrap();
        let (last, expansion) = match network.block {
            Block::Basic => ("relu2", 1),
            Block::Bottleneck => ("relu3", 4),
        };
        let graph = network.graph([224, 224]).unwrap();
        assert_eq!(shape(&graph, "conv1"), [1, 64, 112, 112]);
        assert_eq!(shape(&graph, "maxpool"), [1, 64, 56, 56]);
        for (stage, size) in (1..).zip([56, 28, 14, 7]) {
            let block = network.layers[stage - 1] - 1;
            let got = shape(&graph, &format!("layer{stage}.{block}.{last}"));
            assert_eq!(got, [1, expansion * (32 << stage), size, size]);
        }
        assert_eq!(shape(&graph, "fc"), [1, 1000]);
    }
}
