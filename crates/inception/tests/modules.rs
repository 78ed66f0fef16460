//! The property of an inception module: it is exactly the concatenation of its branches, each run
//! alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::{Isa, Options, Plan};
use inception::{
    Bottlenecks, Error, GoogLeNet, InceptionModule, InceptionV3, inception_a, inception_b,
    inception_c, inception_d, inception_e,
};
use ndarray::{ArrayD, Axis, concatenate};
use nn_layers::{
    Conv2d, Element, Graph, GraphBuilder, GraphError, NodeId, Op, Padding, Params, Plain, Shape,
    Summary, random_params,
};
use proptest::prelude::*;
use testkit::{random_array, run_by, to_f32};

/// Runs a graph in one precision.
type Run<'a, T> = &'a dyn Fn(&Graph, &Params<T>, &ArrayD<T>) -> ArrayD<T>;

fn plain<T: Element>(graph: &Graph, params: &Params<T>, input: &ArrayD<T>) -> ArrayD<T> {
    let plain = Plain::new(graph, params.clone()).unwrap();
    plain.run(&[input.view()]).unwrap().remove(0)
}

fn engine(isa: Isa) -> impl Fn(&Graph, &Params<f32>, &ArrayD<f32>) -> ArrayD<f32> {
    move |graph, params, input| {
        let options = Options {
            isa: Some(isa),
            ..Options::default()
        };
        let plan = Plan::compile(graph, params.clone(), &options).unwrap();
        let session = plan.session(&[Shape::from(input.shape())]).unwrap();
        run_by(session)(std::slice::from_ref(input)).remove(0)
    }
}

/// Runs the module, whose output is a concatenation, and each of its inputs alone.
fn check_concat<T: Element>(graph: &Graph, params: &Params<T>, input: &ArrayD<T>, run: Run<'_, T>) {
    let concat = graph.node(graph.outputs()[0]).unwrap();
    assert_eq!(*concat.op(), Op::Concat);
    let branches: Vec<ArrayD<T>> = concat
        .inputs()
        .iter()
        .map(|&branch| run(&graph.with_outputs(&[branch]).unwrap(), params, input))
        .collect();
    let views: Vec<_> = branches.iter().map(|branch| branch.view()).collect();
    let expected = concatenate(Axis(1), &views).unwrap();
    let got = run(graph, params, input);
    assert_eq!(got.shape(), expected.shape());
    // Values of both precisions are identified by their bits in f64.
    let bits = |x: &ArrayD<T>| -> Vec<u64> {
        let bits = x.iter().map(|x| x.to_f64().unwrap().to_bits());
        bits.collect()
    };
    assert_eq!(bits(&got), bits(&expected));
}

/// The same with the plain loops in both precisions, and with the engine on every instruction set.
fn check_everywhere(graph: &Graph, channels: usize, [h, w]: [usize; 2], seed: u64) {
    let params = random_params(graph, seed).unwrap();
    let input = random_array(&[2, channels, h, w], seed);
    check_concat(graph, &params.cast::<f64>(), &input, &plain);
    let input = to_f32(input.view());
    check_concat(graph, &params, &input, &plain);
    for isa in Isa::available() {
        check_concat(graph, &params, &input, &engine(isa));
    }
}

/// Returns a graph of one module, named `module`.
fn alone(
    [c, h, w]: [usize; 3],
    build: impl FnOnce(&mut GraphBuilder, NodeId) -> Result<NodeId, Error>,
) -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, c, h, w]).unwrap();
    let y = b.scope("module", |b| build(b, x)).unwrap();
    b.finish(&[y]).unwrap()
}

fn modules() -> impl Strategy<Value = InceptionModule> {
    let channels = || 1..=20_usize;
    let bottlenecks =
        (channels(), channels(), channels()).prop_map(|(before_3x3, before_5x5, after_pool)| {
            Bottlenecks {
                before_3x3,
                before_5x5,
                after_pool,
            }
        });
    let bottlenecks = prop::option::of(bottlenecks);
    (channels(), channels(), channels(), bottlenecks).prop_map(
        |(conv1x1, conv3x3, conv5x5, bottlenecks)| InceptionModule {
            conv1x1,
            conv3x3,
            conv5x5,
            bottlenecks,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_textbooks_module_is_the_concat_of_its_branches(
        module in modules(),
        channels in 1..=20_usize,
        size in [1..=9_usize, 1..=9_usize],
        seed in 0..1000_u64,
    ) {
        let [h, w] = size;
        let graph = alone([channels, h, w], |b, x| module.build(b, x));
        let pool = module.bottlenecks.map_or(channels, |bottlenecks| bottlenecks.after_pool);
        let out_channels = module.conv1x1 + module.conv3x3 + module.conv5x5 + pool;
        let output = graph.node(graph.outputs()[0]).unwrap().shape();
        prop_assert_eq!(output, &Shape::from([1, out_channels, h, w]));
        check_everywhere(&graph, channels, size, seed);
    }
}

/// Returns the nodes whose names begin with `scope`, as a graph with its own input.
fn scope(graph: &Graph, scope: &str) -> Graph {
    let prefix = format!("{scope}.");
    let mut inside = graph
        .iter()
        .filter(|(_, node)| node.name().starts_with(&prefix))
        .map(|(id, _)| id);
    let first = inside.next().unwrap();
    graph.subgraph(first, inside.next_back().unwrap()).unwrap()
}

#[test]
fn googlenets_modules_are_the_concat_of_their_branches() {
    let graph = GoogLeNet::default().graph([224, 224]).unwrap();
    for (name, channels, size) in [
        ("inception3a", 192, [7, 6]),
        ("inception4b", 512, [3, 4]),
        ("inception5b", 832, [1, 2]),
    ] {
        let module = scope(&graph, name);
        assert_eq!((module.inputs().len(), module.outputs().len()), (1, 1));
        let concat = module.node(module.outputs()[0]).unwrap();
        assert_eq!(concat.inputs().len(), 4);
        check_everywhere(&module, channels, size, 1);
    }
}

#[test]
fn inception_v3s_modules_are_the_concat_of_their_branches() {
    let cases = [
        (
            alone([24, 7, 6], |b, x| inception_a(b, x, 9)),
            224 + 9,
            [7, 6],
            4,
        ),
        (alone([24, 7, 6], inception_b), 480 + 24, [3, 2], 3),
        (
            alone([24, 7, 6], |b, x| inception_c(b, x, 5)),
            768,
            [7, 6],
            4,
        ),
        (alone([24, 7, 6], inception_d), 512 + 24, [3, 2], 3),
        (alone([24, 3, 4], inception_e), 2048, [3, 4], 6),
    ];
    for (graph, channels, [h, w], branches) in cases {
        let concat = graph.node(graph.outputs()[0]).unwrap();
        assert_eq!(concat.shape(), &Shape::from([1, channels, h, w]));
        assert_eq!(concat.inputs().len(), branches);
        let input = graph.nodes()[0].shape().nchw().unwrap();
        check_everywhere(&graph, 24, [input[2], input[3]], 1);
    }
}

/// The textbook's example: from 28x28x192 to 28x28x256.
fn textbook() -> InceptionModule {
    InceptionModule {
        conv1x1: 64,
        conv3x3: 128,
        conv5x5: 32,
        bottlenecks: Some(Bottlenecks {
            before_3x3: 96,
            before_5x5: 16,
            after_pool: 32,
        }),
    }
}

#[test]
fn bottlenecks_make_the_5x5_ten_times_as_cheap() {
    let count = |module: InceptionModule| {
        let graph = alone([192, 28, 28], |b, x| module.build(b, x));
        let summary = Summary::new(&graph, &[Shape::from([1, 192, 28, 28])]).unwrap();
        let rows = summary.rows.iter();
        let branch = rows.filter(|row| row.name.starts_with("module.branch5x5."));
        let branch = branch.map(|row| row.multiply_adds).sum::<u64>();
        (branch, summary.rows.last().unwrap().output.clone())
    };
    let (branch, output) = count(textbook());
    assert_eq!(branch, 28 * 28 * 16 * 192 + 28 * 28 * 32 * 5 * 5 * 16);
    assert_eq!(output, Shape::from([1, 256, 28, 28]));

    let naive = InceptionModule {
        bottlenecks: None,
        ..textbook()
    };
    let (branch, output) = count(naive);
    assert_eq!(branch, 28 * 28 * 32 * 5 * 5 * 192);
    // The pool passes on all its channels.
    assert_eq!(output, Shape::from([1, 64 + 128 + 32 + 192, 28, 28]));
}

#[test]
fn the_textbooks_windows_are_true() {
    let graph = alone([192, 28, 28], |b, x| textbook().build(b, x));
    let conv = |name: &str| match graph.node(graph.find(name).unwrap()).unwrap().op() {
        Op::Conv2d(conv) => Some(conv.clone()),
        _ => None,
    };
    let expected = |channels, size: usize| {
        let conv = Conv2d::new(channels, [size; 2]).padding(Padding::Same);
        Some(conv)
    };
    assert_eq!(conv("module.branch1x1.conv"), expected(64, 1));
    assert_eq!(conv("module.branch3x3.reduce"), expected(96, 1));
    assert_eq!(conv("module.branch3x3.conv"), expected(128, 3));
    assert_eq!(conv("module.branch5x5.reduce"), expected(16, 1));
    assert_eq!(conv("module.branch5x5.conv"), expected(32, 5));
    assert_eq!(conv("module.branch_pool.conv"), expected(32, 1));
    // Every convolution has its ReLU.
    let count = |is: fn(&Op) -> bool| graph.nodes().iter().filter(|node| is(node.op())).count();
    assert_eq!(count(|op| matches!(op, Op::Conv2d(_))), 6);
    assert_eq!(count(|op| *op == Op::Relu), 6);
}

#[test]
fn a_module_without_channels_names_the_node() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 192, 28, 28]).unwrap();
    let module = InceptionModule {
        conv5x5: 0,
        ..textbook()
    };
    let error = b.scope("module", |b| module.build(b, x)).unwrap_err();
    assert!(
        matches!(&error, Error::Graph(nn_layers::Error::Graph(GraphError::Zero { node, .. }))
            if node == "module.branch5x5.conv"),
        "{error}"
    );
}

#[test]
fn every_module_of_inception_v3_is_there() {
    let graph = InceptionV3::default().graph([299, 299]).unwrap();
    let modules: Vec<&str> = graph
        .nodes()
        .iter()
        .filter(|node| *node.op() == Op::Concat)
        .filter_map(|node| node.name().strip_suffix(".concat"))
        .collect();
    let expected = [
        "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d",
        "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c",
    ];
    assert_eq!(modules, expected);
}
