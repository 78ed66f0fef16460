//! The property of a residual block: if its branch is zero, it passes its input on, to the last
//! bit.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use engine::{Isa, Options, Plan};
use ndarray::{ArrayD, IxDyn};
use nn_layers::{
    Element, Graph, GraphBuilder, GraphError, NodeId, Op, Params, Plain, Shape, random_params,
};
use proptest::prelude::*;
use resnet::{BlockOptions, Error, Middle, Order, Shortcut, basic_block, bottleneck};
use testkit::{random_array, run_by, to_f32};

/// A block, its input's size and the seed of its values.
#[derive(Clone, Debug)]
struct Problem {
    in_channels: usize,
    channels: usize,
    /// The 3x3 of a bottleneck; a basic block has none.
    middle: Option<Middle>,
    options: BlockOptions,
    size: [usize; 2],
    batch: usize,
    seed: u64,
}

impl Problem {
    fn build(&self) -> Graph {
        let [h, w] = self.size;
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, self.in_channels, h, w]).unwrap();
        let y = match &self.middle {
            None => basic_block(&mut b, x, self.channels, &self.options),
            Some(middle) => bottleneck(&mut b, x, self.channels, middle, &self.options),
        };
        b.finish(&[y.unwrap()]).unwrap()
    }

    fn input(&self) -> ArrayD<f64> {
        let [h, w] = self.size;
        random_array(&[self.batch, self.in_channels, h, w], self.seed)
    }

    /// Random parameters, with zeros for the branch's last `what`.
    fn params(&self, graph: &Graph, what: &str) -> Params<f32> {
        let mut params = random_params(graph, self.seed).unwrap();
        let last = if self.middle.is_some() { 3 } else { 2 };
        for local in ["weight", "bias"] {
            if let Some(param) = params.get_mut(&format!("{what}{last}.{local}")) {
                param.value.fill(0.0);
            }
        }
        params
    }
}

/// Generates blocks with this shortcut and order. With `fits`, the branch changes neither size nor
/// channels.
fn problems(shortcut: Shortcut, order: Order, fits: bool) -> impl Strategy<Value = Problem> {
    let middle = prop::option::of((1..=3_usize, 1..=6_usize, 1..=3_usize).prop_map(
        |(groups, per_group, dilation)| Middle {
            width: groups * per_group,
            groups,
            dilation,
        },
    ));
    let changes = if fits {
        (Just(1), Just(0)).boxed()
    } else {
        (1..=3_usize, 0..=20_usize)
            .prop_filter("something changes", |&change| change != (1, 0))
            .boxed()
    };
    let size = (1..=9_usize, 1..=9_usize).prop_map(|(h, w)| [h, w]);
    (
        middle,
        1..=20_usize,
        changes,
        size,
        1..=2_usize,
        0..1000_u64,
    )
        .prop_map(
            move |(middle, in_channels, (stride, more), size, batch, seed)| Problem {
                in_channels,
                channels: in_channels + more,
                middle,
                options: BlockOptions {
                    stride,
                    shortcut,
                    order,
                },
                size,
                batch,
                seed,
            },
        )
}

fn plain<T: Element>(graph: &Graph, params: &Params<T>, input: &ArrayD<T>) -> ArrayD<T> {
    let mut own = Params::new();
    for spec in graph.param_specs() {
        let param = params.get(spec.name()).unwrap();
        own.insert(spec.name(), param.slot, param.value.clone());
    }
    let plain = Plain::new(graph, own).unwrap();
    plain.run(&[input.view()]).unwrap().remove(0)
}

fn engine(isa: Isa, graph: &Graph, params: &Params<f32>, input: &ArrayD<f32>) -> ArrayD<f32> {
    let options = Options {
        isa: Some(isa),
        ..Options::default()
    };
    let plan = Plan::compile(graph, params.clone(), &options).unwrap();
    let session = plan.session(&[Shape::from(input.shape())]).unwrap();
    run_by(session)(std::slice::from_ref(input)).remove(0)
}

/// `max(x, 0)`; the tests have no -0 and no NaN.
fn relu<T: Element>(x: &ArrayD<T>) -> ArrayD<T> {
    x.mapv(|x| if x > T::zero() { x } else { T::zero() })
}

/// Equal bits: f32 and f64 values are identified by their bits in f64, which holds both.
fn bits<T: Element>(x: &ArrayD<T>) -> (Vec<usize>, Vec<u64>) {
    let bits = x.iter().map(|x| x.to_f64().unwrap().to_bits());
    (x.shape().to_vec(), bits.collect())
}

/// Returns the graph of the node with this name alone.
fn cut(graph: &Graph, name: &str) -> Graph {
    graph.with_outputs(&[graph.find(name).unwrap()]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_zero_branch_passes_its_input_on(
        problem in prop_oneof![
            problems(Shortcut::Projection, Order::PostActivation, true),
            problems(Shortcut::ZeroPadded, Order::PostActivation, true),
        ]
    ) {
        let graph = problem.build();
        let params = problem.params(&graph, "bn");
        let input = problem.input();
        let got = plain(&graph, &params.cast::<f64>(), &input);
        prop_assert_eq!(bits(&got), bits(&relu(&input)));

        let input = to_f32(input.view());
        let expected = bits(&relu(&input));
        prop_assert_eq!(&bits(&plain(&graph, &params, &input)), &expected);
        for isa in Isa::available() {
            prop_assert_eq!(&bits(&engine(isa, &graph, &params, &input)), &expected);
        }
    }

    #[test]
    fn a_zero_branch_passes_the_projected_input_on(
        problem in problems(Shortcut::Projection, Order::PostActivation, false)
    ) {
        let graph = problem.build();
        let projection = cut(&graph, "downsample.1");
        let params = problem.params(&graph, "bn");
        let (wide, input) = (params.cast::<f64>(), problem.input());
        let expected = relu(&plain(&projection, &wide, &input));
        prop_assert_eq!(bits(&plain(&graph, &wide, &input)), bits(&expected));

        let input = to_f32(input.view());
        let expected = relu(&plain(&projection, &params, &input));
        prop_assert_eq!(bits(&plain(&graph, &params, &input)), bits(&expected));
        for isa in Isa::available() {
            let expected = relu(&engine(isa, &projection, &params, &input));
            let got = engine(isa, &graph, &params, &input);
            prop_assert_eq!(bits(&got), bits(&expected));
        }
    }

    #[test]
    fn a_zero_branch_passes_the_padded_input_on(
        problem in problems(Shortcut::ZeroPadded, Order::PostActivation, false)
    ) {
        let graph = problem.build();
        let params = problem.params(&graph, "bn");
        let input = to_f32(problem.input().view());
        // Every `stride`-th pixel of each channel, then channels of zeros.
        let [h, w] = problem.size.map(|size| size.div_ceil(problem.options.stride));
        let shape = IxDyn(&[problem.batch, problem.channels, h, w]);
        let expected = ArrayD::from_shape_fn(shape, |at| {
            let stride = problem.options.stride;
            if at[1] < problem.in_channels {
                input[[at[0], at[1], at[2] * stride, at[3] * stride]].max(0.0)
            } else {
                0.0
            }
        });
        prop_assert_eq!(bits(&plain(&graph, &params, &input)), bits(&expected));
        for isa in Isa::available() {
            prop_assert_eq!(bits(&engine(isa, &graph, &params, &input)), bits(&expected));
        }
        // The shortcut has no parameters.
        prop_assert!(graph.param_specs().all(|spec| !spec.name().starts_with("downsample")));
    }

    /// The unobstructed path: it does not even contain a ReLU.
    #[test]
    fn a_zero_pre_activation_branch_passes_its_input_on(
        problem in prop_oneof![
            problems(Shortcut::Projection, Order::PreActivation, true),
            problems(Shortcut::ZeroPadded, Order::PreActivated, true),
        ]
    ) {
        let graph = problem.build();
        let params = problem.params(&graph, "conv");
        let input = to_f32(problem.input().view());
        prop_assert_eq!(bits(&plain(&graph, &params, &input)), bits(&input));
        for isa in Isa::available() {
            prop_assert_eq!(bits(&engine(isa, &graph, &params, &input)), bits(&input));
        }
    }

    /// With non-zero values in the branch: the block is its branch, run alone, plus its shortcut.
    #[test]
    fn a_block_is_the_sum_of_its_parts(
        problem in prop_oneof![
            problems(Shortcut::Projection, Order::PostActivation, true),
            problems(Shortcut::Projection, Order::PostActivation, false),
        ]
    ) {
        let graph = problem.build();
        let params = random_params(&graph, problem.seed).unwrap().cast::<f64>();
        let input = problem.input();
        let last = if problem.middle.is_some() { "bn3" } else { "bn2" };
        let branch = plain(&cut(&graph, last), &params, &input);
        let shortcut = match graph.find("downsample.1") {
            Some(_) => plain(&cut(&graph, "downsample.1"), &params, &input),
            None => input.clone(),
        };
        let got = plain(&graph, &params, &input);
        prop_assert_eq!(bits(&got), bits(&relu(&(branch + shortcut))));
    }
}

fn block_of(order: Order, shortcut: Shortcut) -> Graph {
    let problem = Problem {
        in_channels: 4,
        channels: 16,
        middle: Some(Middle::new(4)),
        options: BlockOptions {
            stride: 2,
            shortcut,
            order,
        },
        size: [6, 5],
        batch: 1,
        seed: 1,
    };
    problem.build()
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(nn_layers::Node::name).collect()
}

#[test]
fn the_order_of_a_post_activation_block() {
    let graph = block_of(Order::PostActivation, Shortcut::Projection);
    let expected = [
        "x",
        "conv1",
        "bn1",
        "relu1",
        "conv2",
        "bn2",
        "relu2",
        "conv3",
        "bn3",
        "downsample.0",
        "downsample.1",
        "add",
        "relu3",
    ];
    assert_eq!(names(&graph), expected);
}

#[test]
fn a_pre_activation_projection_reads_the_activated_input() {
    let graph = block_of(Order::PreActivation, Shortcut::Projection);
    let expected = [
        "x",
        "bn1",
        "relu1",
        "conv1",
        "bn2",
        "relu2",
        "conv2",
        "bn3",
        "relu3",
        "conv3",
        "downsample.0",
        "add",
    ];
    assert_eq!(names(&graph), expected);
    assert_eq!(inputs_of(&graph, "downsample.0"), ["relu1"]);

    let graph = block_of(Order::PreActivation, Shortcut::ZeroPadded);
    assert_eq!(inputs_of(&graph, "downsample.pick"), ["x"]);

    // The first block of a network: its input is already activated.
    let graph = block_of(Order::PreActivated, Shortcut::Projection);
    assert_eq!(inputs_of(&graph, "conv1"), ["x"]);
    assert_eq!(inputs_of(&graph, "downsample.0"), ["x"]);
}

fn inputs_of<'a>(graph: &'a Graph, name: &str) -> Vec<&'a str> {
    let node = graph.node(graph.find(name).unwrap()).unwrap();
    let name = |id: &NodeId| graph.node(*id).unwrap().name();
    node.inputs().iter().map(name).collect()
}

#[test]
fn a_plain_block_has_no_addition() {
    let graph = block_of(Order::PostActivation, Shortcut::None);
    assert!(graph.nodes().iter().all(|node| *node.op() != Op::Add));
    assert_eq!(names(&graph).last(), Some(&"relu3"));
}

#[test]
fn a_zero_padded_shortcut_cannot_lose_channels() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 16, 8, 8]).unwrap();
    let options = BlockOptions {
        shortcut: Shortcut::ZeroPadded,
        ..Default::default()
    };
    let error = basic_block(&mut b, x, 8, &options).unwrap_err();
    assert_eq!(error, Error::NarrowingShortcut { from: 16, to: 8 });
}

#[test]
fn a_block_behind_a_vector_is_an_error_of_its_first_node() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 16]).unwrap();
    let error = basic_block(&mut b, x, 16, &BlockOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::Graph(nn_layers::Error::Graph(GraphError::Rank { node, .. })) if node == "conv1"),
        "{error}"
    );
}
