//! Random networks compiled with random options for inputs of random shapes: an error that says why, or
//! the defined result, and never a panic.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Error, Isa, Memory, Options, Plan, Precision, Session};
use ndarray::ArrayD;
use nn_layers::{
    Conv2d, Graph, GraphBuilder, Infer, Outputs, Padding, Params, Shape, random_params,
};
use proptest::prelude::*;
use testkit::{
    Run, Sums, assert_network_agrees, graph_recipes_with_winograd, random_array, to_f32,
};

/// Far more than these networks need, and far less than a machine has.
const MOST: u64 = 1 << 28;

fn options() -> impl Strategy<Value = Options> {
    (
        prop::sample::select(vec![Precision::Default, Precision::Exact]),
        prop::sample::select(vec![Memory::Default, Memory::Small]),
        prop::option::of(prop::sample::select(Isa::available())),
        prop_oneof![2 => Just(MOST), 1 => (0_u32..24).prop_map(|power| 1 << power), 1 => Just(0)],
    )
        .prop_map(|(precision, memory, isa, memory_limit)| Options {
            precision,
            memory,
            tuning: None,
            isa,
            memory_limit,
        })
}

/// The shapes of the inputs, given that which the network is built with.
#[derive(Clone, Debug)]
enum Inputs {
    /// Another batch and picture size.
    Resized,
    /// One axis of another size, which may be 0 or beyond all memory.
    Axis(usize, usize),
    /// Another number of axes.
    Rank(usize),
    /// Another number of inputs.
    Number(usize),
}

fn inputs() -> impl Strategy<Value = Inputs> {
    let size = prop_oneof![
        3 => 0_usize..20,
        1 => prop::sample::select(vec![1 << 26, 1 << 31, 1 << 40, usize::MAX / 4, usize::MAX]),
    ];
    prop_oneof![
        6 => Just(Inputs::Resized),
        3 => (0_usize..4, size).prop_map(|(axis, size)| Inputs::Axis(axis, size)),
        1 => (0_usize..6).prop_map(Inputs::Rank),
        1 => prop::sample::select(vec![0, 2]).prop_map(Inputs::Number),
    ]
}

impl Inputs {
    fn shapes(&self, graph: &Graph, batch: usize, size: [usize; 2]) -> Vec<Shape> {
        let mut shape = graph.nodes()[0].shape().to_vec();
        shape[0] = batch;
        shape[2..].copy_from_slice(&size);
        match *self {
            Self::Resized => {}
            Self::Axis(axis, size) => shape[axis] = size,
            Self::Rank(rank) => shape.resize(rank, 2),
            Self::Number(number) => return vec![Shape::from(shape); number],
        }
        vec![Shape::from(shape)]
    }
}

/// Compiles, and checks the reason if that fails.
fn compile(graph: &Graph, params: Params<f32>, options: &Options) -> Option<Plan> {
    match Plan::compile(graph, params, options) {
        Ok(plan) => Some(plan),
        Err(error) => {
            let exceeds = matches!(error, Error::MemoryLimit { needed, limit }
                if limit == options.memory_limit && needed.total() > limit);
            assert!(exceeds, "{error:?}");
            None
        }
    }
}

/// Makes a session, and checks the reason if that fails.
fn session(plan: &Plan, shapes: &[Shape], options: &Options) -> Option<Session> {
    let session = plan.session(shapes);
    // What needs no memory gives the same answer.
    match plan.memory(shapes) {
        Ok(memory) => {
            let fits = memory.total() <= options.memory_limit;
            assert_eq!(session.is_ok(), fits, "{memory:?}");
            assert!(plan.listing(shapes).is_ok());
        }
        Err(error) => assert_eq!(session.as_ref().err(), Some(&error)),
    }
    match session {
        Ok(session) => Some(session),
        Err(Error::MemoryLimit { needed, limit }) => {
            assert!(limit == options.memory_limit && needed.total() > limit);
            None
        }
        Err(Error::Graph(error)) => {
            assert_eq!(plan.graph().infer(shapes).unwrap_err(), error);
            None
        }
        Err(Error::Kernel { .. } | Error::OutOfMemory { .. }) => {
            // No memory could hold it.
            let sizes = shapes.iter().flat_map(|shape| shape.iter());
            assert!(sizes.max().is_some_and(|&size| size >= 1 << 26));
            None
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.is_empty(), "another reason: {message}");
            None
        }
    }
}

/// Compiles and runs, and compares the result with that in f64 and with [`Precision::Exact`].
fn check(graph: &Graph, options: Options, shapes: &[Shape], seed: u64) {
    let params = random_params(graph, seed).unwrap();
    let Some(plan) = compile(graph, params.clone(), &options) else {
        return;
    };
    let Some(mut session) = session(&plan, shapes, &options) else {
        return;
    };
    let values = |shape: &Shape| to_f32(random_array(shape, seed).view());
    let inputs: Vec<ArrayD<f32>> = shapes.iter().map(values).collect();
    let views: Vec<_> = inputs.iter().map(|x| x.view()).collect();
    let mut outputs = Outputs::new();
    session.run(&views, &mut outputs).unwrap();

    // Both are within the bound of their arithmetic from the same result in f64.
    let sums = match options.precision {
        Precision::Default => Sums::Winograd,
        Precision::Exact => Sums::Direct,
    };
    let exact = Options {
        precision: Precision::Exact,
        memory_limit: MOST,
        ..options
    };
    let exact = Plan::compile(graph, params.clone(), &exact).unwrap();
    let exact = exact.run_once(&views).unwrap();
    for (got, sums) in [(outputs.tensors, sums), (exact, Sums::Direct)] {
        let executor = |_: &Graph, _: Params<f32>, _: &[Shape]| -> Run {
            let got = got.clone();
            Box::new(move |_| got.clone())
        };
        assert_network_agrees(graph, &params, &inputs, sums, &executor);
    }
}

/// Two convolutions, of which the cost model computes most by Winograd's algorithm.
fn winograd([first, second]: [usize; 2], kernel: usize, [h, w]: [usize; 2]) -> Graph {
    let mut b = GraphBuilder::new();
    let same = |channels| Conv2d::new(channels, [kernel; 2]).padding(Padding::Same);
    let x = b.input("x", [1, 16, h, w]).unwrap();
    let x = b.conv_bn_relu("first", x, same(first)).unwrap();
    let x = b.conv2d("second", x, same(second)).unwrap();
    b.finish(&[x]).unwrap()
}

proptest! {
    #![proptest_config(testkit::cases(400))]

    #[test]
    fn random_options_are_an_error_or_give_the_defined_result(
        recipe in graph_recipes_with_winograd(),
        options in options(),
        inputs in inputs(),
    ) {
        let graph = recipe.build();
        check(&graph, options, &inputs.shapes(&graph, recipe.batch, recipe.size), recipe.seed);
    }
}

proptest! {
    #![proptest_config(testkit::cases(60))]

    /// Few of the random networks have a layer that is large enough for Winograd's algorithm.
    #[test]
    fn random_options_of_winograd_layers_are_an_error_or_give_the_defined_result(
        channels in [16_usize..40, 1_usize..40],
        kernel in prop::sample::select(vec![3, 5]),
        nominal in [8_usize..24, 8_usize..24],
        (batch, size) in (1_usize..4, [1_usize..12, 1_usize..12]),
        options in options(),
        inputs in inputs(),
        seed in any::<u64>(),
    ) {
        let graph = winograd(channels, kernel, nominal);
        check(&graph, options, &inputs.shapes(&graph, batch, size), seed);
    }
}

#[test]
fn the_cost_model_chooses_winograd_for_such_layers() {
    for (kernel, algorithm) in [(3, "Winograd F(4, 3)"), (5, "Winograd F(2, 5)")] {
        let graph = winograd([32, 32], kernel, [20, 20]);
        let plan = compile(
            &graph,
            random_params(&graph, 1).unwrap(),
            &Options::default(),
        );
        let listing = plan
            .unwrap()
            .listing(&[graph.nodes()[0].shape().clone()])
            .unwrap();
        assert!(listing.to_string().contains(algorithm), "{listing}");
    }
}
