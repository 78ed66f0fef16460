//! From cfg to graph: shapes, costs and values compared with darknet's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use common::{REAL, YOLOV2, YOLOV3_TINY, net, network};
use ndarray::{Array, ArrayD};
use nn_layers::{Op, Params, Plain, Shape, Slot, Summary};
use yolo_detect::{AnchorUnit, ClassActivation, Network, Weights};

/// Parses a layer that darknet printed: its number, and its output `[w, h, c]` and cost if it has
/// one.
fn printed(line: &str) -> (usize, Option<[usize; 3]>, Option<f64>) {
    let number = line.split_whitespace().next().unwrap().parse().unwrap();
    let Some((_, output)) = line.split_once("->") else {
        return (number, None, None);
    };
    let (sizes, cost) = match output.rsplit_once("  ") {
        Some((sizes, cost)) if cost.ends_with("BFLOPs") => (sizes, Some(cost)),
        _ => (output, None),
    };
    let sizes: Vec<usize> = sizes
        .split('x')
        .map(|size| size.trim().parse().unwrap())
        .collect();
    let cost = cost.map(|cost| cost.trim_end_matches(" BFLOPs").trim().parse().unwrap());
    (number, Some(sizes.try_into().unwrap()), cost)
}

#[test]
fn shapes_and_costs_of_every_layer_are_those_that_darknet_prints() {
    for (name, cfg, layers) in REAL {
        let network = network(cfg);
        let [channels, height, width] = network.input();
        let input = Shape::from([1, channels, height, width]);
        let summary = Summary::new(network.graph(), &[input]).unwrap();
        let lines: Vec<&str> = layers.lines().skip(1).collect();
        assert_eq!(lines.len(), network.layers().len());
        for (line, layer) in lines.iter().zip(network.layers()) {
            let (number, output, cost) = printed(line);
            if let Some([w, h, c]) = output {
                assert_eq!(layer.shape, Shape::from([1, c, h, w]), "{name}: {line}");
            }
            let row = summary
                .rows
                .iter()
                .find(|row| row.name == format!("{number}.conv"));
            assert_eq!(row.is_some(), cost.is_some(), "{name}: {line}");
            if let (Some(row), Some(cost)) = (row, cost) {
                // Printed with three decimal places.
                let billions = 2.0 * row.multiply_adds as f64 / 1e9;
                assert!(
                    (billions - cost).abs() <= 0.000_501,
                    "{name}: {line} {billions}"
                );
            }
        }
    }
}

#[test]
fn totals_are_the_published_ones() {
    let total = |cfg| {
        let network = network(cfg);
        let [channels, height, width] = network.input();
        Summary::new(
            network.graph(),
            &[Shape::from([1, channels, height, width])],
        )
        .unwrap()
    };
    // Darknet's authors give 62.94 billion operations for YOLOv2 at 608.
    let yolov2 = total(YOLOV2);
    assert_eq!(yolov2.multiply_adds, 31_469_126_656);
    assert_eq!(format!("{:.2}", yolov2.flops as f64 / 1e9), "62.94");
    let yolov3_tiny = total(YOLOV3_TINY);
    assert_eq!(yolov3_tiny.multiply_adds, 2_782_480_896);
    // The published weights have 35,434,956 bytes, 20 of them the header.
    assert_eq!(
        yolov3_tiny.parameters + yolov3_tiny.buffers,
        (35_434_956 - 20) / 4
    );
}

#[test]
fn heads_of_the_real_networks() {
    let v3 = network(YOLOV3_TINY);
    let [large, small] = v3.heads() else {
        panic!("{:?}", v3.heads())
    };
    assert_eq!(
        (large.layer, large.grid, large.stride()),
        (16, [13, 13], [32, 32])
    );
    assert_eq!(
        (small.layer, small.grid, small.stride()),
        (23, [26, 26], [16, 16])
    );
    assert_eq!(large.class_activation, ClassActivation::Logistic);
    let sizes = |head: &yolo_detect::Head| -> Vec<[f32; 2]> {
        head.anchors
            .iter()
            .map(|anchor| [anchor.width, anchor.height])
            .collect()
    };
    assert_eq!(sizes(large), [[81.0, 82.0], [135.0, 169.0], [344.0, 319.0]]);
    assert_eq!(sizes(small), [[10.0, 14.0], [23.0, 27.0], [37.0, 58.0]]);
    assert!(
        large
            .anchors
            .iter()
            .all(|anchor| anchor.unit == AnchorUnit::NetworkPixels)
    );
    let output = |index: usize| v3.graph().nodes()[v3.graph().outputs()[index].index()].name();
    assert_eq!([output(0), output(1)], ["15.conv", "22.conv"]);

    let v2 = network(YOLOV2);
    let [head] = v2.heads() else {
        panic!("{:?}", v2.heads())
    };
    assert_eq!((head.layer, head.grid, head.classes), (31, [19, 19], 80));
    assert_eq!(head.class_activation, ClassActivation::Softmax);
    assert!(
        head.anchors
            .iter()
            .all(|anchor| anchor.unit == AnchorUnit::GridCells)
    );
}

/// Returns the output of a network without heads for the input 0, 1, 2, ...
fn run(network: &Network, params: Params<f64>) -> ArrayD<f64> {
    let [c, h, w] = network.input();
    let input = Array::range(0.0, (c * h * w) as f64, 1.0).into_shape_with_order((1, c, h, w));
    let plain = Plain::new(network.graph(), params).unwrap();
    plain
        .run(&[input.unwrap().into_dyn().view()])
        .unwrap()
        .remove(0)
}

#[test]
fn max_pool_of_stride_1_keeps_the_size_and_pads_at_the_bottom_and_right() {
    let network = network(&net(3, 3, "[maxpool]\nsize=2\nstride=1"));
    let output = run(&network, Params::new());
    assert_eq!(output.shape(), [1, 3, 3, 3]);
    let plane: Vec<f64> = output.iter().take(9).copied().collect();
    assert_eq!(plane, [4.0, 5.0, 5.0, 7.0, 8.0, 8.0, 7.0, 8.0, 8.0]);
}

#[test]
fn max_pool_padding_is_that_of_both_ends_together() {
    // Darknet: (w + padding - size) / stride + 1 outputs, the first window at -padding / 2.
    for (w, size, stride, padding, expected) in [
        (416, 2, 2, None, 208),
        (13, 2, 1, None, 13),
        (7, 2, 2, None, 4),
        (13, 5, 1, None, 13),
        (13, 13, 1, None, 13),
        (7, 3, 2, Some(0), 3),
        (7, 3, 2, Some(1), 3),
        (8, 3, 2, Some(1), 4),
        (8, 3, 2, None, 4),
    ] {
        let padding = padding.map_or(String::new(), |padding| format!("padding={padding}"));
        let layers = format!("[maxpool]\nsize={size}\nstride={stride}\n{padding}");
        let network = network(&net(w, w, &layers));
        assert_eq!(
            network.layers()[0].shape,
            Shape::from([1, 3, expected, expected]),
            "{layers}"
        );
    }
    // With an odd padding, a pixel of padding before the row would show as a first window of 0 and
    // 1 only.
    let network = network(&net(1, 4, "[maxpool]\nsize=3\nstride=1\npadding=3"));
    assert_eq!(network.layers()[0].shape, Shape::from([1, 3, 2, 5]));
    let row: Vec<f64> = run(&network, Params::new())
        .iter()
        .take(5)
        .copied()
        .collect();
    assert_eq!(row, [1.0, 2.0, 3.0, 3.0, 3.0]);
}

#[test]
fn reorg_is_darknets_and_not_space_to_depth() {
    // A transcription of what the layer computes, index by index.
    let network = network("[net]\nwidth=6\nheight=4\nchannels=8\n[reorg]\nstride=2");
    let output = run(&network, Params::new());
    assert_eq!(output.shape(), [1, 32, 2, 3]);
    let (c, h, w, stride) = (8, 4, 6, 2);
    let out_c = c / (stride * stride);
    let flat: Vec<f64> = output.iter().copied().collect();
    for k in 0..c {
        for j in 0..h {
            for i in 0..w {
                let (c2, offset) = (k % out_c, k / out_c);
                let (w2, h2) = (i * stride + offset % stride, j * stride + offset / stride);
                let from = w2 + w * stride * (h2 + h * stride * c2);
                assert_eq!(flat[i + w * (j + h * k)], from as f64);
            }
        }
    }
    // Space-to-depth would start with every second pixel: 0, 2, 4.
    assert_eq!(flat[..4], [0.0, 2.0, 4.0, 6.0]);
    assert_eq!(
        flat[6], 24.0,
        "the second row of what space-to-depth calls the first plane"
    );
}

#[test]
fn route_concatenates_in_order_and_takes_groups() {
    let layers = "[upsample]\nstride=1\n[maxpool]\nsize=1\n[route]\nlayers=0,-2\n\
                  [route]\nlayers=-1\ngroups=3\ngroup_id=1";
    let network = network(&net(1, 1, layers));
    assert_eq!(network.layers()[2].shape, Shape::from([1, 6, 1, 1]));
    let output = run(&network, Params::new());
    // The second third of 0 1 2 0 1 2.
    assert_eq!(output.iter().copied().collect::<Vec<_>>(), [2.0, 0.0]);
}

#[test]
fn a_route_of_one_layer_and_a_cost_have_no_node() {
    let layers = "[maxpool]\nsize=1\n[maxpool]\nsize=1\n[route]\nlayers=0\n[cost]";
    let network = network(&net(2, 2, layers));
    assert_eq!(network.graph().nodes().len(), 3);
    assert_eq!(network.layers()[2].node, network.layers()[0].node);
    assert_eq!(network.graph().outputs(), [network.layers()[0].node]);
}

#[test]
fn a_shortcut_adds_before_its_activation() {
    let layers =
        "[upsample]\nstride=1\n[upsample]\nstride=1\n[shortcut]\nfrom=-2\nactivation=logistic";
    let output = run(&network(&net(1, 1, layers)), Params::new());
    let expected = [0.0f64, 2.0, 4.0].map(|x| 1.0 / (1.0 + (-x).exp()));
    for (got, expected) in output.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-15);
    }
}

/// Returns the parameters of a layer of one channel or feature, by darknet's names.
fn one_channel(
    node: &str,
    weight: ArrayD<f64>,
    [bias, scale, mean, variance]: [f64; 4],
) -> Params<f64> {
    let mut params = Params::new();
    params.insert(format!("0.{node}.weight"), Slot::Weight, weight);
    for (local, value) in [
        ("bias", bias),
        ("weight", scale),
        ("running_mean", mean),
        ("running_var", variance),
    ] {
        let value = ArrayD::from_elem(vec![1], value);
        params.insert(format!("0.bn.{local}"), Slot::Buffer, value);
    }
    params
}

#[test]
fn batch_norm_adds_its_epsilon_outside_the_root() {
    // The root of a variance of 1e-10 is 1e-5. Darknet adds 1e-6 to that; inside the root, it would
    // make the root about 1e-3.
    let numbers = [0.25, 3.0, 0.5, 1e-10];
    let expected = (1.0 - 0.5) / (1e-5 + 1e-6) * 3.0 + 0.25;

    let conv = "[conv]\nbatch_normalize=1\nfilters=1\nsize=1\nactivation=linear";
    let weight = ArrayD::from_shape_vec(vec![1, 3, 1, 1], vec![0.0, 1.0, 0.0]).unwrap();
    let output = run(
        &network(&net(1, 1, conv)),
        one_channel("conv", weight, numbers),
    );
    assert_eq!(output.shape(), [1, 1, 1, 1]);
    assert!((output[[0, 0, 0, 0]] - expected).abs() < 1e-9 * expected);

    let connected = "[conn]\nbatch_normalize=1\noutput=1\nactivation=linear";
    let weight = ArrayD::from_shape_vec(vec![1, 3], vec![0.0, 1.0, 0.0]).unwrap();
    let output = run(
        &network(&net(1, 1, connected)),
        one_channel("linear", weight, numbers),
    );
    assert_eq!(output.shape(), [1, 1]);
    assert!((output[[0, 0]] - expected).abs() < 1e-9 * expected);
}

#[test]
fn activations_are_darknets() {
    for (name, op) in [
        ("leaky", Some(Op::LeakyRelu { slope: 0.1 })),
        ("relu", Some(Op::Relu)),
        ("logistic", Some(Op::Sigmoid)),
        ("linear", None),
    ] {
        let network = network(&net(1, 1, &format!("[conv]\nactivation={name}")));
        let graph = network.graph();
        let found = graph
            .find("0.act")
            .and_then(|id| graph.node(id))
            .map(|node| node.op().clone());
        assert_eq!(found, op);
    }
}

#[test]
fn a_classifier_ends_in_probabilities() {
    let layers =
        "[conv]\nfilters=4\nactivation=linear\n[avgpool]\n[softmax]\ngroups=1\n[cost]\ntype=sse";
    let network = network(&net(2, 3, layers));
    assert!(network.heads().is_empty());
    assert!(matches!(network.classes(), Err(yolo_detect::Error::NoHead)));
    let params = nn_layers::random_params(network.graph(), 1).unwrap().cast();
    let output = run(&network, params);
    assert_eq!(output.shape(), [1, 4, 1, 1]);
    assert!((output.sum() - 1.0).abs() < 1e-12);
}

#[test]
fn softmax_over_a_picture_is_over_all_its_numbers() {
    let output = run(&network(&net(1, 2, "[softmax]")), Params::new());
    assert_eq!(output.shape(), [1, 6]);
    assert!((output.sum() - 1.0).abs() < 1e-12);
}

#[test]
fn dropout_passes_its_input_through() {
    let output = run(
        &network(&net(1, 1, "[dropout]\nprobability=.9")),
        Params::new(),
    );
    assert_eq!(output.iter().copied().collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
}

#[test]
fn two_heads_may_read_one_tensor() {
    let head = "[yolo]\nclasses=1\nanchors=4,4\n";
    let layers = format!("[conv]\nfilters=6\nactivation=linear\n{head}[route]\nlayers=0\n{head}");
    let network = network(&net(2, 2, &layers));
    assert_eq!(network.heads().len(), 2);
    let params = nn_layers::random_params(network.graph(), 1).unwrap();
    let plain = Plain::new(network.graph(), params).unwrap();
    let outputs = plain.run(&[ArrayD::ones(vec![1, 3, 2, 2]).view()]).unwrap();
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn weights_of_grouped_convolutions_have_fewer_input_channels() {
    let layers = "[conv]\nfilters=6\n[conv]\nfilters=4\nsize=3\npad=1\ngroups=2";
    let network = network(&net(4, 4, layers));
    let spec = network
        .parameters()
        .iter()
        .find(|spec| spec.name() == "1.conv.weight")
        .unwrap();
    assert_eq!(spec.shape(), [4, 3, 3, 3]);
    let weights = common::RandomWeights::default().bytes(&network);
    assert!(Weights::read(weights.as_slice(), weights.len() as u64, &network).is_ok());
}
