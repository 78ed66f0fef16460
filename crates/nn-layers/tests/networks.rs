//! Small networks of the kinds that textbooks use.

#![expect(clippy::unwrap_used, reason = "what a test cannot build fails it")]

use std::collections::BTreeSet;

use ndarray::{ArrayD, ArrayViewD, s};
use nn_layers::{
    BatchNorm2d, Conv2d, Error, Graph, GraphBuilder, GraphError, Infer, Linear, MaxPool2d, NodeId,
    Outputs, Padding, Params, Plain, Result, Shape, Summary, random_params,
};
use testkit::{assert_close, dot_bound, random_array, to_f32};

fn conv3x3(channels: usize, stride: usize) -> Conv2d {
    Conv2d::new(channels, [3, 3])
        .stride([stride; 2])
        .padding(Padding::all(1))
        .without_bias()
}

fn conv_norm(b: &mut GraphBuilder, at: &str, x: NodeId, conv: Conv2d) -> Result<NodeId> {
    let y = b.conv2d(&format!("conv{at}"), x, conv)?;
    b.batch_norm2d(&format!("bn{at}"), y, BatchNorm2d::default())
}

/// Builds a residual block; where the size changes, the shortcut is a 1x1 convolution.
fn residual(b: &mut GraphBuilder, x: NodeId, channels: usize, stride: usize) -> Result<NodeId> {
    let y = conv_norm(b, "1", x, conv3x3(channels, stride))?;
    let y = b.relu("relu1", y)?;
    let y = conv_norm(b, "2", y, conv3x3(channels, 1))?;
    let shortcut = if stride == 1 {
        x
    } else {
        let conv = Conv2d::new(channels, [1, 1])
            .stride([stride; 2])
            .without_bias();
        b.scope("downsample", |b| conv_norm(b, "", x, conv))?
    };
    let sum = b.add("add", y, shortcut)?;
    b.relu("relu2", sum)
}

fn residual_network() -> Graph {
    let build = || -> Result<Graph> {
        let mut b = GraphBuilder::new();
        let x = b.input("image", [1, 3, 16, 16])?;
        let x = conv_norm(&mut b, "1", x, conv3x3(8, 1))?;
        let x = b.relu("relu", x)?;
        let x = b.scope("layer1.0", |b| residual(b, x, 8, 1))?;
        let x = b.scope("layer2.0", |b| residual(b, x, 16, 2))?;
        let x = b.global_avg_pool2d("avgpool", x)?;
        let x = b.flatten("flatten", x)?;
        let y = b.linear("fc", x, Linear::new(10))?;
        b.finish(&[y])
    };
    build().unwrap()
}

#[test]
fn parameter_names_are_the_checkpoints() {
    let graph = residual_network();
    let names: BTreeSet<&str> = graph
        .param_specs()
        .map(nn_layers::ParamSpec::name)
        .collect();
    for name in [
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer1.0.bn2.bias",
        "layer2.0.downsample.conv.weight",
        "fc.weight",
        "fc.bias",
    ] {
        assert!(names.contains(name), "{name}");
    }
    // Six convolutions without bias, a batch normalisation of four tensors after each, and `fc`.
    assert_eq!(names.len(), 6 + 6 * 4 + 2);
}

#[test]
fn a_residual_block_whose_branch_is_zero_passes_its_input() {
    let graph = residual_network();
    let mut params = random_params(&graph, 1).unwrap().cast::<f64>();
    for name in ["layer1.0.bn2.weight", "layer1.0.bn2.bias"] {
        params.get_mut(name).unwrap().value.fill(0.0);
    }
    let plain = Plain::new(&graph, params).unwrap();
    let [before, after] = ["relu", "layer1.0.relu2"].map(|name| graph.find(name).unwrap());
    let mut seen = vec![None; graph.nodes().len()];
    let input = random_array(&[2, 3, 20, 12], 1);
    let trace = plain
        .trace(&[input.view()], |id, tensor| {
            seen[id.index()] = Some(tensor.clone());
        })
        .unwrap();
    assert_eq!(seen[after.index()], seen[before.index()]);
    assert_eq!(trace.outputs[0].shape(), [2, 10]);
    // If the branch is not zero, it does not.
    let plain = Plain::new(&graph, random_params(&graph, 1).unwrap().cast()).unwrap();
    plain
        .trace(&[input.view()], |id, tensor| {
            seen[id.index()] = Some(tensor.clone());
        })
        .unwrap();
    assert_ne!(seen[after.index()], seen[before.index()]);
}

#[test]
fn single_and_double_precision_agree() {
    let graph = residual_network();
    let params = random_params(&graph, 7).unwrap();
    let exact = Plain::new(&graph, params.cast::<f64>()).unwrap();
    let single = Plain::new(&graph, params).unwrap();
    let input = random_array(&[2, 3, 16, 16], 2);

    // Each node of the f32 network, given the tensors of the f64 run.
    let mut tensors: Vec<ArrayD<f64>> = Vec::new();
    exact
        .trace(&[input.view()], |_, tensor| tensors.push(tensor.clone()))
        .unwrap();
    for (id, node) in graph.iter() {
        let alone = graph.isolate(id).unwrap();
        let inputs: Vec<ArrayD<f32>> = alone
            .inputs()
            .iter()
            .map(|id| graph.find(alone.node(*id).unwrap().name()).unwrap())
            .map(|id| to_f32(tensors[id.index()].view()))
            .collect();
        let views: Vec<ArrayViewD<'_, f32>> = inputs.iter().map(|input| input.view()).collect();
        let got = Plain::new(&alone, single.params().clone())
            .unwrap()
            .run(&views)
            .unwrap();

        // A sum of K products is off by at most K roundings of the sum of their magnitudes, and
        // rounding the inputs adds one for each. The 4 accounts for the few operations of a batch
        // normalisation and for those around a sum.
        let terms = node
            .param("weight")
            .map_or(4, |spec| spec.shape()[1..].iter().product::<usize>() + 4);
        let largest = |tensor: &ArrayD<f64>| tensor.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let reach = node
            .inputs()
            .iter()
            .map(|id| largest(&tensors[id.index()]))
            .sum::<f64>();
        let numbers = |local| {
            node.param(local)
                .map(|spec| &exact.params().get(spec.name()).unwrap().value)
        };
        // A normalisation multiplies by weight over deviation.
        let deviation = numbers("running_var").map_or(1.0, |var| {
            var.iter().fold(f64::INFINITY, |m, &x| m.min(x)).sqrt()
        });
        let weight = numbers("weight").map_or(1.0, largest) / deviation;
        // The mean of 64 pixels is also a sum.
        let terms = terms.max(if node.name() == "avgpool" { 68 } else { 0 });
        let magnitude = (terms as f64) * (reach + 1.0) * weight.max(1.0) * 2.0;
        let bound = dot_bound(terms, magnitude);
        assert_close(got[0].view(), tensors[id.index()].view(), |_| bound);
        // The bound has to be far below the error of a wrong layer.
        assert!(
            bound < 0.05 * largest(&tensors[id.index()]),
            "{}: {bound}",
            node.name()
        );
    }
}

/// Returns the textbook's inception module: 28x28x192 to 28x28x256, with a bottleneck before the
/// 5x5.
fn inception(channels: usize, bottleneck: Option<usize>) -> Graph {
    let build = || -> Result<Graph> {
        let same = |channels, size| Conv2d::new(channels, [size; 2]).padding(Padding::Same);
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, channels, 28, 28])?;
        let one = b.conv2d("branch1x1", x, same(64, 1))?;
        let three = b.conv2d("branch3x3", x, same(128, 3))?;
        let reduced = match bottleneck {
            Some(channels) => b.conv2d("branch5x5_reduce", x, same(channels, 1))?,
            None => x,
        };
        let five = b.conv2d("branch5x5", reduced, same(32, 5))?;
        let pool = MaxPool2d {
            stride: [1, 1],
            padding: Padding::Same,
            ..MaxPool2d::new([3, 3])
        };
        let pool = b.max_pool2d("pool", x, pool)?;
        let pool = b.conv2d("pool_proj", pool, same(32, 1))?;
        let y = b.concat("concat", &[one, three, five, pool])?;
        b.finish(&[y])
    };
    build().unwrap()
}

#[test]
fn an_inception_module_costs_what_the_textbook_says() {
    let shape = Shape::from([1, 192, 28, 28]);
    let cost = |graph: &Graph, name: &str| {
        let summary = Summary::new(graph, std::slice::from_ref(&shape)).unwrap();
        assert_eq!(
            summary.rows.last().unwrap().output,
            Shape::from([1, 256, 28, 28])
        );
        summary
            .rows
            .iter()
            .find(|row| row.name == name)
            .unwrap()
            .multiply_adds
    };
    let wide = inception(192, None);
    assert_eq!(cost(&wide, "branch5x5"), 120_422_400);
    let narrow = inception(192, Some(16));
    assert_eq!(cost(&narrow, "branch5x5_reduce"), 2_408_448);
    assert_eq!(cost(&narrow, "branch5x5"), 10_035_200);
}

#[test]
fn an_inception_module_lays_its_branches_side_by_side() {
    let graph = inception(4, Some(2));
    let plain = Plain::new(&graph, random_params(&graph, 3).unwrap()).unwrap();
    let input = to_f32(random_array(&[2, 4, 9, 7], 4).view());
    let output = plain.run(&[input.view()]).unwrap().remove(0);
    assert_eq!(output.shape(), [2, 256, 9, 7]);
    for (name, channels) in [
        ("branch1x1", 0..64),
        ("branch3x3", 64..192),
        ("branch5x5", 192..224),
        ("pool_proj", 224..256),
    ] {
        let branch = graph.with_outputs(&[graph.find(name).unwrap()]).unwrap();
        let plain = Plain::new(&branch, plain.params().clone()).unwrap();
        let expected = plain.run(&[input.view()]).unwrap().remove(0);
        assert_eq!(
            output.slice(s![.., channels, .., ..]).into_dyn(),
            expected,
            "{name}"
        );
    }
}

/// Returns the largest number of live elements of a run at the nominal size.
fn peak(graph: &Graph) -> usize {
    let shapes = graph
        .inputs()
        .iter()
        .map(|&id| graph.node(id).unwrap().shape());
    let inputs: Vec<_> = shapes
        .map(|shape| ArrayD::<f32>::zeros(shape.to_vec()))
        .collect();
    let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
    let plain = Plain::new(graph, random_params(graph, 1).unwrap()).unwrap();
    plain.trace(&views, |_, _| ()).unwrap().peak_live_elements
}

#[test]
fn activations_go_after_their_last_reader() {
    // x has 16 elements, conv 32, relu 32, pool 8: the most at a time are conv and relu.
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 1, 4, 4]).unwrap();
    let conv = b.conv2d("conv", x, conv3x3(2, 1)).unwrap();
    let relu = b.relu("relu", conv).unwrap();
    let pool = b.max_pool2d("pool", relu, MaxPool2d::new([2, 2])).unwrap();
    let chain = b.clone().finish(&[pool]).unwrap();
    assert_eq!(peak(&chain), 32 + 32);

    let again = b.conv2d("again", x, conv3x3(2, 1)).unwrap();
    let sum = b.add("sum", relu, again).unwrap();
    let graph = b.clone().finish(&[sum]).unwrap();
    // relu, again and sum. x was dropped after `again`, and pool, which no node reads, at once.
    assert_eq!(peak(&graph), 32 + 32 + 32);
    assert_eq!(peak(&graph.with_outputs(&[sum]).unwrap()), 32 + 32 + 32);

    // Outputs are kept: conv, relu, pool and again are alive together with sum, which no node
    // reads.
    let graph = b.finish(&[conv, relu, pool, again]).unwrap();
    assert_eq!(peak(&graph), 32 + 32 + 8 + 32 + 32);
    let shape = Shape::from([1, 1, 4, 4]);
    let summary = Summary::new(&chain, &[shape]).unwrap();
    assert_eq!(summary.activation_bytes, 4 * (16 + 32 + 32 + 8));
    assert_eq!(summary.peak_activation_bytes, 4 * (32 + 32));
}

#[test]
fn readers_and_lookups() {
    let graph = residual_network();
    let id = |name: &str| graph.find(name).unwrap();
    let readers = graph.readers();
    assert_eq!(
        readers[id("relu").index()],
        [id("layer1.0.conv1"), id("layer1.0.add")]
    );
    assert_eq!(readers[id("fc").index()], []);
    assert_eq!(graph.node(id("fc")).unwrap().inputs(), [id("flatten")]);
    assert_eq!(graph.find("layer9"), None);
}

#[test]
fn a_cut_keeps_names_and_takes_the_same_parameters() {
    let graph = residual_network();
    let params = random_params(&graph, 1).unwrap();
    let block = graph
        .subgraph(
            graph.find("layer2.0.conv1").unwrap(),
            graph.find("layer2.0.relu2").unwrap(),
        )
        .unwrap();
    assert_eq!(block.inputs().len(), 1);
    assert_eq!(block.nodes()[0].name(), "layer1.0.relu2");
    assert_eq!(block.outputs(), [block.find("layer2.0.relu2").unwrap()]);
    params.check(&block).unwrap();
    let shapes = block.infer(&[Shape::from([1, 8, 9, 9])]).unwrap();
    assert_eq!(shapes.last(), Some(&Shape::from([1, 16, 5, 5])));
}

#[test]
fn a_cut_has_every_tensor_that_the_rest_could_ask_for() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 4]).unwrap();
    let inner = b.relu("inner", x).unwrap();
    let output = b.sigmoid("output", inner).unwrap();
    let read_later = b.relu("read_later", output).unwrap();
    let unread = b.add("unread", read_later, read_later).unwrap();
    let outside = b.add("outside", read_later, x).unwrap();
    let graph = b.finish(&[outside, output]).unwrap();
    let cut = graph.subgraph(inner, unread).unwrap();
    let names: Vec<_> = cut
        .outputs()
        .iter()
        .map(|&id| cut.node(id).unwrap().name())
        .collect();
    assert_eq!(names, ["output", "read_later", "unread"]);
}

#[test]
fn the_common_trait_gives_the_same_and_replaces_old_outputs() {
    fn twice<E: Infer>(mut executor: E, inputs: [ArrayViewD<'_, f32>; 2]) -> Outputs {
        let mut outputs = Outputs::new();
        for input in inputs {
            executor.run(&[input], &mut outputs).unwrap();
        }
        outputs
    }
    let graph = residual_network();
    let plain = Plain::new(&graph, random_params(&graph, 1).unwrap()).unwrap();
    let first = to_f32(random_array(&[3, 3, 16, 16], 1).view());
    let second = to_f32(random_array(&[1, 3, 24, 16], 2).view());
    let expected = plain.run(&[second.view()]).unwrap();
    assert_eq!(
        twice(plain, [first.view(), second.view()]).tensors,
        expected
    );
}

#[test]
fn outputs_are_prepared_in_place() {
    let mut outputs = Outputs::new();
    let shapes = [Shape::from([2, 3]), Shape::from([1, 2, 2, 2])];
    outputs.prepare(shapes.iter()).unwrap()[0].fill(5.0);
    let memory = outputs.tensors[0].as_ptr();
    // With the same shape, nothing changes; with a smaller one, the same memory is used.
    assert_eq!(
        outputs.prepare(shapes.iter()).unwrap()[0],
        ArrayD::from_elem(vec![2, 3], 5.0)
    );
    outputs.prepare([Shape::from([2, 2])].iter()).unwrap();
    assert_eq!(outputs.tensors, [ArrayD::<f32>::zeros(vec![2, 2])]);
    assert_eq!(outputs.tensors[0].as_ptr(), memory);
    let error = outputs
        .prepare([Shape::from([usize::MAX, 2])].iter())
        .unwrap_err();
    assert!(matches!(error, Error::Graph(GraphError::TooLarge { .. })));
}

#[test]
fn parameters_can_be_cast() {
    let graph = residual_network();
    let params = random_params(&graph, 1).unwrap();
    let wide: Params<f64> = params.cast();
    assert_eq!(wide.cast::<f32>(), params);
    for ((name, param), (other_name, other)) in params.iter().zip(wide.iter()) {
        assert_eq!((name, param.slot), (other_name, other.slot));
        assert_eq!(param.value.mapv(f64::from), other.value);
    }
}
