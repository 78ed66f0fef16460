//! The gradients of every operation, alone and in random graphs, compared with finite differences
//! in f64.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use ndarray::ArrayD;
use nn_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Epsilon, Error, Graph, GraphBuilder, Linear, MaxPool2d, Op,
    Padding, PaddingValue, Params, TrainError, TrainSpec, random_params,
};
use proptest::prelude::*;
use testkit::{Compared, StepCheck, distinct_array, graph_recipes, random_array};

/// Returns a graph of one operation on inputs of these shapes.
fn single(op: Op, inputs: &[&[usize]]) -> Graph {
    let mut b = GraphBuilder::new();
    let name = |index| format!("x{index}");
    let inputs: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, &shape)| b.input(&name(index), shape).unwrap())
        .collect();
    let y = b.node("y", op, &inputs).unwrap();
    b.finish(&[y]).unwrap()
}

fn inputs(graph: &Graph) -> Vec<ArrayD<f64>> {
    let shape = |id: &nn_layers::NodeId| graph.node(*id).unwrap().shape().to_vec();
    let shapes = graph.inputs().iter().map(shape).enumerate();
    shapes
        .map(|(index, shape)| distinct_array(&shape, 11 + index as u64))
        .collect()
}

fn params(graph: &Graph) -> Params<f64> {
    random_params(graph, 5).unwrap().cast()
}

/// Checks one operation: it has at least three slopes, and all of them are sharp.
#[track_caller]
fn check(op: Op, shapes: &[&[usize]], spec: TrainSpec) {
    let graph = single(op.clone(), shapes);
    let (params, inputs) = (params(&graph), inputs(&graph));
    let check = StepCheck {
        spec,
        ..StepCheck::new(&graph, &params, &inputs, 21)
    };
    let Compared { slopes, sharp } = check.run().unwrap();
    assert!(slopes >= 3 && sharp == slopes, "{op}: {sharp} of {slopes}");
}

#[track_caller]
fn check_default(op: Op, shapes: &[&[usize]]) {
    check(op, shapes, TrainSpec::default());
}

/// Freezes the operation.
fn frozen() -> TrainSpec {
    TrainSpec {
        frozen: vec!["y".to_owned()],
        ..TrainSpec::default()
    }
}

const MAPS: &[usize] = &[2, 4, 5, 7];
const VECTORS: &[usize] = &[3, 6];

#[test]
fn convolutions_and_dense_layers() {
    let conv = Conv2d::new(6, [3, 2])
        .stride([2, 1])
        .dilation([1, 2])
        .groups(2);
    for value in [
        PaddingValue::Zeros,
        PaddingValue::Constant(0.5),
        PaddingValue::Reflect,
        PaddingValue::Replicate,
        PaddingValue::Circular,
    ] {
        let padded = conv.clone().padding(Padding::Explicit([1, 2, 0, 1]));
        check_default(Op::Conv2d(padded.padding_value(value)), &[MAPS]);
    }
    check_default(Op::Conv2d(conv.without_bias()), &[MAPS]);
    check_default(Op::Linear(Linear::new(5)), &[VECTORS]);
    let linear = Linear {
        bias: false,
        ..Linear::new(5)
    };
    check_default(Op::Linear(linear), &[VECTORS]);
    check(Op::Linear(linear), &[VECTORS], frozen());
    check(Op::Conv2d(Conv2d::new(3, [2, 2])), &[MAPS], frozen());
}

#[test]
fn batch_normalisation_in_training_and_frozen() {
    for epsilon in [Epsilon::Inside(1e-2), Epsilon::Outside(1e-2)] {
        for shape in [MAPS, VECTORS] {
            let op = Op::BatchNorm2d(BatchNorm2d { epsilon });
            check_default(op.clone(), &[shape]);
            check(op, &[shape], frozen());
        }
    }
}

/// Its random input rarely exceeds 6 in the other tests.
#[test]
fn relu6_above_6() {
    let graph = single(Op::Relu6, &[MAPS]);
    let inputs: Vec<_> = inputs(&graph)
        .iter()
        .map(|x| x.mapv(|x| 10.0 * x))
        .collect();
    let above = inputs[0].iter().filter(|&&x| x > 6.0).count();
    let below = inputs[0]
        .iter()
        .filter(|&&x| (0.0..6.0).contains(&x))
        .count();
    assert!(above > 20 && below > 20, "{above} {below}");
    let (slopes, sharp) = {
        let compared = StepCheck::new(&graph, &Params::new(), &inputs, 21)
            .run()
            .unwrap();
        (compared.slopes, compared.sharp)
    };
    assert!(slopes >= 3 && sharp == slopes, "{sharp} of {slopes}");
}

#[test]
fn elementwise_operations() {
    for shape in [MAPS, VECTORS] {
        check_default(Op::Affine, &[shape]);
        check(Op::Affine, &[shape], frozen());
        check_default(Op::Relu, &[shape]);
        check_default(Op::Relu6, &[shape]);
        for slope in [0.1, 0.0, -0.5] {
            check_default(Op::LeakyRelu { slope }, &[shape]);
        }
        check_default(Op::Sigmoid, &[shape]);
        check_default(Op::Softmax, &[shape]);
        check_default(Op::Add, &[shape, shape]);
        for probability in [0.0, 0.3, 1.0] {
            let dropout = Op::Dropout { probability };
            check_default(dropout.clone(), &[shape]);
            check(dropout.clone(), &[shape], frozen());
            let off = TrainSpec {
                dropout: false,
                ..TrainSpec::default()
            };
            check(dropout, &[shape], off);
        }
    }
}

#[test]
fn pools() {
    let window = |size| MaxPool2d {
        stride: [2, 1],
        padding: Padding::Explicit([1, 1, 0, 1]),
        ceil_mode: true,
        ..MaxPool2d::new(size)
    };
    check_default(Op::MaxPool2d(window([3, 2])), &[MAPS]);
    check_default(Op::MaxPool2d(MaxPool2d::new([2, 2])), &[MAPS]);
    for count_include_pad in [true, false] {
        let options = AvgPool2d {
            stride: [2, 1],
            padding: Padding::Explicit([1, 0, 1, 1]),
            ceil_mode: true,
            count_include_pad,
            ..AvgPool2d::new([3, 2])
        };
        check_default(Op::AvgPool2d(options), &[MAPS]);
    }
    check_default(Op::GlobalAvgPool2d, &[MAPS]);
    check_default(Op::AdaptiveAvgPool2d([3, 4]), &[MAPS]);
}

#[test]
fn what_moves_numbers() {
    for shape in [MAPS, VECTORS] {
        check_default(Op::Slice { start: 1, len: 2 }, &[shape]);
        let (before, after) = (2, 1);
        check_default(Op::PadChannels { before, after }, &[shape]);
        check_default(Op::Flatten, &[shape]);
    }
    check_default(Op::Concat, &[&[2, 1, 3, 2], &[2, 4, 3, 2], &[2, 2, 3, 2]]);
    check_default(Op::Concat, &[&[2, 1], &[2, 3]]);
    check_default(Op::Upsample { scale: [2, 3] }, &[MAPS]);
    check_default(Op::Reorg { stride: 2 }, &[&[2, 8, 4, 6]]);
    for value in [
        PaddingValue::Zeros,
        PaddingValue::Reflect,
        PaddingValue::Circular,
    ] {
        let padding = [1, 2, 0, 3];
        check_default(Op::Pad { padding, value }, &[MAPS]);
    }
}

/// Checks a whole random graph. At the size it was built with, every operation fits.
fn check_graph(graph: &Graph, seed: u64, [batch, h, w]: [usize; 3]) -> nn_layers::Result<Compared> {
    let channels = graph.node(graph.inputs()[0]).unwrap().shape()[1];
    // Values with fine differences. Evenly spaced ones have equal differences, which tie in a max
    // pool after a softmax; values of f32 alone sometimes do so.
    let shape = [batch, channels, h, w];
    let fine = random_array(&shape, seed.wrapping_add(1)) * f64::from(f32::EPSILON);
    let inputs = [random_array(&shape, seed) + fine];
    let params = random_params(graph, seed).unwrap().cast();
    StepCheck::new(graph, &params, &inputs, seed).run()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_graphs(recipe in graph_recipes()) {
        let graph = recipe.build();
        let [h, w] = recipe.nominal;
        match check_graph(&graph, recipe.seed, [recipe.batch + 1, h, w]) {
            Ok(compared) => prop_assert!(compared.slopes > 0),
            // A batch may leave one value per channel after a global pool.
            Err(Error::Train(TrainError::OneValuePerChannel { .. })) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

/// The property above says little if most differences are blurred by kinks and curvature, or if
/// some operation never has a gradient.
#[test]
fn most_slopes_of_random_graphs_are_sharp_and_reach_every_operation() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut all = Compared::default();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..64 {
        let recipe = graph_recipes().new_tree(&mut runner).unwrap().current();
        let graph = recipe.build();
        let [h, w] = recipe.nominal;
        if let Ok(compared) = check_graph(&graph, recipe.seed, [2, h, w]) {
            all.slopes += compared.slopes;
            all.sharp += compared.sharp;
            for node in graph.with_outputs(graph.outputs()).unwrap().nodes() {
                *used.entry(node.op().kind()).or_default() += 1;
            }
        }
    }
    assert!(10 * all.sharp >= 9 * all.slopes, "{all:?}");
    assert_eq!(used.len(), 23, "{used:?}");
}
