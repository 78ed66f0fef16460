//! The memory of a session, estimated from a graph before any weight exists: it is that of the plan.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Error, Isa, Memory, Options, Plan, Precision};
use inception::{CifarInception, GoogLeNet, InceptionV3};
use mobilenet::MobileNetV2;
use nn_layers::{Conv2d, Graph, GraphBuilder, Linear, Padding, Shape, random_params};
use resnet::ResNet;

/// Every network that has a name, by that name.
fn networks() -> Vec<(&'static str, Graph)> {
    let mut networks = Vec::new();
    for &name in ResNet::NAMES {
        let network = ResNet::named(name).unwrap();
        networks.push((name, network.graph(network.input_size()).unwrap()));
    }
    for &name in GoogLeNet::NAMES {
        let network = GoogLeNet::named(name).unwrap();
        networks.push((name, network.graph(network.input_size()).unwrap()));
    }
    for &name in InceptionV3::NAMES {
        let network = InceptionV3::named(name).unwrap();
        networks.push((name, network.graph(network.input_size()).unwrap()));
    }
    for &name in CifarInception::NAMES {
        let network = CifarInception::named(name).unwrap();
        networks.push((name, network.graph(network.input_size()).unwrap()));
    }
    for &name in MobileNetV2::NAMES {
        let network = MobileNetV2::named(name).unwrap();
        networks.push((name, network.graph([224, 224]).unwrap()));
    }
    networks
}

/// The graph's own input, and three pictures of another size.
fn inputs(graph: &Graph) -> [Vec<Shape>; 2] {
    let own = graph.nodes()[0].shape().clone();
    let other = Shape::from([3, own[1], own[2] + 31, own[3] + 64]);
    [vec![own], vec![other]]
}

fn assert_equal(name: &str, graph: &Graph, options: &Options) {
    let params = random_params(graph, 1).unwrap();
    let plan = Plan::compile(graph, params, options).unwrap();
    for shapes in inputs(graph) {
        let estimate = Plan::estimate(graph, options, &shapes).unwrap();
        let memory = plan.memory(&shapes).unwrap();
        assert_eq!(estimate, memory, "{name}, {options:?}, {}", shapes[0]);
        assert!(estimate.parameters > 0 && estimate.activations > 0);
    }
}

#[test]
fn of_every_network_it_is_the_memory_of_the_plan() {
    for (name, graph) in networks() {
        assert_equal(name, &graph, &Options::default());
    }
}

#[test]
fn it_depends_on_the_options_as_the_plan_does() {
    let network = ResNet::named("resnet18").unwrap();
    let graph = network.graph(network.input_size()).unwrap();
    let mut options = vec![
        Options::default(),
        Options {
            precision: Precision::Exact,
            ..Options::default()
        },
        Options {
            memory: Memory::Small,
            ..Options::default()
        },
    ];
    options.extend(Isa::available().into_iter().map(|isa| Options {
        isa: Some(isa),
        ..Options::default()
    }));
    for options in &options {
        assert_equal("resnet18", &graph, options);
    }
    let [own, _] = inputs(&graph);
    let parameters = |options: &Options| {
        let estimate = Plan::estimate(&graph, options, &own).unwrap();
        estimate.parameters
    };
    assert!(parameters(&options[0]) > parameters(&options[1]));
}

/// Winograd's workspace grows with the threads of the pool.
#[test]
fn it_is_that_of_the_caller_s_pool() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 128, 56, 56]).unwrap();
    let conv = Conv2d::new(128, [3, 3]).padding(Padding::Same);
    let y = b.conv2d("y", x, conv).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let activations = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let options = Options::default();
            assert_equal("one layer", &graph, &options);
            let [own, _] = inputs(&graph);
            Plan::estimate(&graph, &options, &own).unwrap().activations
        })
    };
    assert!(activations(8) > activations(1));
}

#[test]
fn it_needs_no_memory_itself_but_shapes_that_fit() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 400_000]).unwrap();
    let y = b.linear("y", x, Linear::new(400_000)).unwrap();
    let graph = b.finish(&[y]).unwrap();
    // Over 600 GB, above the limit of the options, which is not asked.
    let options = Options::default();
    let memory = Plan::estimate(&graph, &options, &[Shape::from([1, 400_000])]).unwrap();
    assert_eq!(memory.parameters, 4 * (400_000 * 400_000 + 400_000));
    assert!(memory.total() > options.memory_limit);

    let error = Plan::estimate(&graph, &options, &[Shape::from([1, 7])]).unwrap_err();
    assert!(matches!(error, Error::Graph(_)), "{error}");
    let error = Plan::estimate(&graph, &options, &[]).unwrap_err();
    assert!(matches!(error, Error::Graph(_)), "{error}");
    let huge = [Shape::from([usize::MAX / 800_000, 400_000])];
    let error = Plan::estimate(&graph, &options, &huge).unwrap_err();
    let refused = matches!(
        error,
        Error::Graph(_) | Error::Kernel { .. } | Error::OutOfMemory { .. }
    );
    assert!(refused, "{error}");
}
