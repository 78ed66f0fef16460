//! New graphs from old ones: replacing a node's operation.

#![expect(clippy::unwrap_used, reason = "what a test cannot build fails it")]

use nn_layers::{
    BatchNorm2d, Conv2d, Error, Graph, GraphBuilder, GraphError, Linear, Op, Padding, Params,
    Plain, Result, Shape, Summary, random_params,
};
use testkit::{random_array, to_f32};

/// Returns a classifier with two inputs: a picture, and a vector that is concatenated after the
/// pool.
fn classifier(classes: usize, dilation: usize) -> Result<Graph> {
    let mut b = GraphBuilder::new();
    let image = b.input("image", [1, 3, 9, 7])?;
    let conv = Conv2d::new(4, [3, 3])
        .dilation([dilation; 2])
        .padding(Padding::Same);
    let x = b.conv2d("conv", image, conv)?;
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default())?;
    let x = b.relu("relu", x)?;
    let x = b.global_avg_pool2d("pool", x)?;
    let x = b.flatten("flatten", x)?;
    let vector = b.input("vector", [1, 2])?;
    let x = b.concat("both", &[x, vector])?;
    let x = b.linear("fc", x, Linear::new(classes))?;
    let y = b.softmax("softmax", x)?;
    b.finish(&[y])
}

fn replace(name: &str, op: Op) -> Result<Graph> {
    let graph = classifier(1000, 1)?;
    graph.replace(graph.find(name).unwrap(), op)
}

#[test]
fn the_new_graph_is_the_one_that_would_have_been_built() {
    // Another number of classes; then the same kernel with another dilation.
    let graph = replace("fc", Op::Linear(Linear::new(10))).unwrap();
    assert_eq!(graph, classifier(10, 1).unwrap());
    let fc = graph.node(graph.find("fc").unwrap()).unwrap();
    assert_eq!(fc.param("weight").unwrap().shape(), [10, 6]);
    assert_eq!(fc.param("bias").unwrap().shape(), [10]);
    let conv = Conv2d::new(4, [3, 3])
        .dilation([2, 2])
        .padding(Padding::Same);
    let graph = replace("conv", Op::Conv2d(conv)).unwrap();
    assert_eq!(graph, classifier(1000, 2).unwrap());

    // With another operation, the parameters disappear.
    let graph = replace("fc", Op::Slice { start: 0, len: 3 }).unwrap();
    assert!(
        graph
            .param_specs()
            .all(|spec| !spec.name().starts_with("fc."))
    );
    let shapes = graph.infer(&[Shape::from([5, 3, 2, 2]), Shape::from([5, 2])]);
    assert_eq!(shapes.unwrap().last(), Some(&Shape::from([5, 3])));

    // The old graph is unchanged.
    let before = classifier(1000, 1).unwrap();
    let kept = before.clone();
    before
        .replace(before.find("relu").unwrap(), Op::Sigmoid)
        .unwrap();
    assert_eq!(before, kept);
}

#[test]
fn the_new_graph_computes_with_the_old_parameters() {
    let graph = classifier(10, 1).unwrap();
    let params = random_params(&graph, 1).unwrap();
    let leaky = Op::LeakyRelu { slope: 1.0 };
    let linear = graph.replace(graph.find("relu").unwrap(), leaky).unwrap();
    let [image, vector] =
        [&[2, 3, 9, 7][..], &[2, 2]].map(|shape| to_f32(random_array(shape, 3).view()));
    let run = |graph: &Graph, params: Params<f32>| {
        let plain = Plain::new(graph, params).unwrap();
        plain.run(&[image.view(), vector.view()]).unwrap().remove(0)
    };
    assert_ne!(run(&graph, params.clone()), run(&linear, params.clone()));

    // Here both are the identity: dropout in evaluation, and a slope of 1.
    let dropout = Op::Dropout { probability: 0.5 };
    let dropped = graph.replace(graph.find("relu").unwrap(), dropout).unwrap();
    assert_eq!(run(&dropped, params.clone()), run(&linear, params));
}

#[test]
fn a_wider_convolution_does_not_fit_what_comes_behind() {
    // The batch normalisation keeps its parameters, so it rejects the wider input.
    let wide = Op::Conv2d(Conv2d::new(8, [3, 3]));
    let error = replace("conv", wide).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node \"bn\": input channels (axis c) is 8, expected 4"
    );
    assert!(matches!(
        error,
        Error::Graph(GraphError::Mismatch {
            expected: 4,
            got: 8,
            ..
        })
    ));
    // A tensor of another size is accepted here, but not one of another rank.
    let strided = Op::Conv2d(Conv2d::new(4, [3, 3]).stride([2, 2]));
    let graph = replace("conv", strided).unwrap();
    let bn = graph.node(graph.find("bn").unwrap()).unwrap();
    assert_eq!(bn.shape(), &Shape::from([1, 4, 4, 3]));
    let error = replace("relu", Op::Flatten).unwrap_err();
    assert!(matches!(
        error,
        Error::Graph(GraphError::Rank {
            op: "global_avg_pool2d",
            ..
        })
    ));
}

#[test]
fn operations_that_do_not_fit_the_place() {
    let error = replace("fc", Op::Linear(Linear::new(0))).unwrap_err();
    assert!(
        matches!(error, Error::Graph(GraphError::Zero { .. })),
        "{error}"
    );
    let error = replace("fc", Op::Conv2d(Conv2d::new(1, [1, 1]))).unwrap_err();
    assert!(
        matches!(error, Error::Graph(GraphError::Rank { op: "conv2d", .. })),
        "{error}"
    );
    let error = replace("fc", Op::Add).unwrap_err();
    assert!(
        matches!(error, Error::Graph(GraphError::InputCount { got: 1, .. })),
        "{error}"
    );
    for (name, op) in [
        ("fc", Op::Input),
        ("image", Op::Relu),
        ("vector", Op::Concat),
    ] {
        let error = replace(name, op).unwrap_err();
        assert!(
            matches!(error, Error::Graph(GraphError::InputCount { .. })),
            "{error}"
        );
    }
    let error = replace("image", Op::Input).unwrap_err();
    assert!(
        matches!(error, Error::Graph(GraphError::InputShape { .. })),
        "{error}"
    );

    let graph = classifier(10, 1).unwrap();
    let mut longer = GraphBuilder::new();
    let foreign = (0..20).map(|i| longer.input(&i.to_string(), [1, 1]).unwrap());
    let foreign = foreign.last().unwrap();
    let error = graph.replace(foreign, Op::Relu).unwrap_err();
    assert!(
        matches!(error, Error::Graph(GraphError::UnknownNode { id: 19, .. })),
        "{error}"
    );
}

#[test]
fn shapes_at_the_nominal_size_follow() {
    let graph = replace("conv", Op::Upsample { scale: [2, 3] });
    // There are three channels instead of four.
    assert!(matches!(
        graph,
        Err(Error::Graph(GraphError::Mismatch { got: 3, .. }))
    ));
    let graph = classifier(10, 1).unwrap();
    let pool = graph.find("pool").unwrap();
    let graph = graph.with_outputs(&[pool]).unwrap();
    let grid = graph.replace(pool, Op::AdaptiveAvgPool2d([2, 3])).unwrap();
    assert_eq!(grid.node(pool).unwrap().shape(), &Shape::from([1, 4, 2, 3]));
    let summary = Summary::new(&grid, &[Shape::from([1, 3, 9, 7])]).unwrap();
    assert_eq!(summary.rows.last().unwrap().op, "adaptive_avg_pool2d 2x3");
}

#[test]
fn nodes_become_inputs_and_what_they_need_goes() {
    let graph = classifier(10, 1).unwrap();
    let id = |name: &str| graph.find(name).unwrap();
    let names = |graph: &Graph| -> Vec<String> {
        let nodes = graph.nodes().iter();
        nodes.map(|node| node.name().to_owned()).collect()
    };
    let head = graph.with_inputs(&[id("flatten")]).unwrap();
    assert_eq!(names(&head), ["flatten", "vector", "both", "fc", "softmax"]);
    assert_eq!(head.inputs().len(), 2);
    let shapes = head.infer(&[Shape::from([5, 4]), Shape::from([5, 2])]);
    assert_eq!(shapes.unwrap().last(), Some(&Shape::from([5, 10])));

    // In the graph's order, whatever the list's; a node that another one stands in for is not needed.
    let both = graph.with_inputs(&[id("vector"), id("flatten")]).unwrap();
    assert_eq!(both, head);
    let both = graph.with_inputs(&[id("conv"), id("flatten")]).unwrap();
    assert_eq!(both, head);
    let all = graph.with_inputs(&[id("softmax")]).unwrap();
    assert_eq!(
        (names(&all), all.outputs().len()),
        (vec!["softmax".to_owned()], 1)
    );
    assert_eq!(graph.with_inputs(&[]).unwrap(), graph);

    let stranger = classifier(10, 1)
        .unwrap()
        .with_outputs(&[id("conv")])
        .unwrap();
    assert!(matches!(
        stranger.with_inputs(&[id("fc")]),
        Err(Error::Graph(GraphError::UnknownNode { .. }))
    ));
}
