//! The training session against the plain loops in f64: operation by operation on equal inputs, and
//! whole networks, on every instruction set of this machine.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[path = "training/session.rs"]
mod session;

use engine::{Error, Isa, Options, TrainingSession};
use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Epsilon, Graph, GraphBuilder, GraphError, Linear, Loss,
    MaxPool2d, Op, Padding, Params, PlainTrainer, Shape, StepKey, Terms, TrainBackend, TrainError,
    TrainSpec, random_params,
};
use proptest::prelude::*;
use testkit::{compare, graph_recipes, node_step, on_threads, random_array, to_f32};

const KEY: StepKey = StepKey { seed: 3, step: 5 };

/// The loss `sum of output * given`, a random projection: its gradient is `given`.
struct Projection(Vec<ArrayD<f64>>);

impl Projection {
    fn new(shapes: &[Shape], seed: u64) -> Self {
        let given = |(number, shape): (usize, &Shape)| random_array(shape, seed + number as u64);
        Self(shapes.iter().enumerate().map(given).collect())
    }
}

impl<T: nn_layers::Element> Loss<T> for Projection {
    fn eval(
        &self,
        outputs: &[ArrayViewD<'_, T>],
        grads: &mut [ArrayD<T>],
    ) -> nn_layers::Result<Terms> {
        let mut total = 0.0;
        for ((output, grad), given) in outputs.iter().zip(grads).zip(&self.0) {
            total += output
                .iter()
                .zip(given)
                .map(|(y, g)| y.to_f64().unwrap() * g)
                .sum::<f64>();
            grad.zip_mut_with(given, |grad, &g| *grad = T::from_f64(g));
        }
        Ok(Terms {
            total,
            parts: Vec::new(),
        })
    }
}

fn with_input_gradient() -> TrainSpec {
    TrainSpec {
        grad_input: true,
        ..TrainSpec::default()
    }
}

fn output_shapes(graph: &Graph, inputs: &[ArrayD<f64>]) -> Vec<Shape> {
    let shapes: Vec<Shape> = inputs
        .iter()
        .map(|x| Shape::from(x.shape().to_vec()))
        .collect();
    let shapes = graph.infer(&shapes).unwrap();
    graph
        .outputs()
        .iter()
        .map(|id| shapes[id.index()].clone())
        .collect()
}

fn views<T>(arrays: &[ArrayD<T>]) -> Vec<ArrayViewD<'_, T>> {
    arrays.iter().map(|x| x.view()).collect()
}

fn plain(
    graph: &Graph,
    params: &Params<f32>,
    inputs: &[ArrayD<f64>],
    loss: &Projection,
) -> (PlainTrainer<f64>, f64) {
    let mut trainer = PlainTrainer::new(graph, params.cast(), with_input_gradient()).unwrap();
    let terms = trainer.step(&views(inputs), loss, KEY).unwrap();
    (trainer, terms.total)
}

fn session(graph: &Graph, params: &Params<f32>, spec: TrainSpec, isa: Isa) -> TrainingSession {
    TrainingSession::new(
        graph,
        params.clone(),
        spec,
        &Options {
            isa: Some(isa),
            ..Options::default()
        },
    )
    .unwrap()
}

/// One node alone on random inputs: output, gradients and running statistics within the bounds of
/// its f32 arithmetic.
fn check_node(graph: &Graph, params: &Params<f32>, id: nn_layers::NodeId, [h, w]: [usize; 2]) {
    let node = graph.node(id).unwrap();
    let alone = graph.isolate(id).unwrap();
    if *node.op() == Op::Input {
        return;
    }
    let shapes: Vec<Shape> = graph
        .infer(&[Shape::from([3, channels(graph), h, w])])
        .unwrap();
    let mut seen = Vec::new();
    let inputs: Vec<ArrayD<f64>> = node
        .inputs()
        .iter()
        .filter(|input| {
            let new = !seen.contains(*input);
            seen.push(**input);
            new
        })
        .map(|input| random_array(&shapes[input.index()], 11 + input.index() as u64))
        .collect();
    if matches!(node.op(), Op::BatchNorm2d(_)) && inputs[0].len() / inputs[0].shape()[1] < 2 {
        return;
    }
    let mut own = Params::new();
    for spec in alone.param_specs() {
        let param = params.get(spec.name()).unwrap();
        own.insert(spec.name(), param.slot, param.value.clone());
    }
    let loss = Projection::new(&output_shapes(&alone, &inputs), 17);
    let exact = node_step(&alone, node, &own.cast(), &inputs, &loss.0[0], KEY).unwrap();

    let narrow: Vec<ArrayD<f32>> = inputs.iter().map(|x| to_f32(x.view())).collect();
    for isa in Isa::available() {
        let mut fast = session(&alone, &own, with_input_gradient(), isa);
        fast.step(&views(&narrow), &loss, KEY).unwrap();
        let compare = |what: &str, got: &ArrayD<f32>, pair: &(ArrayD<f64>, ArrayD<f64>)| {
            let (expected, bounds) = pair;
            let bounds: Vec<f64> = bounds.iter().copied().collect();
            let agrees = compare(got.view(), expected.view(), |at| bounds[at]);
            assert!(
                agrees.is_ok(),
                "{isa}, {} ({}), {what}: {}",
                node.name(),
                node.op(),
                agrees.unwrap_err()
            );
        };
        compare("output", &fast.outputs()[0], &exact.output);
        for (what, got, expected) in [
            ("gradient", fast.gradients(), &exact.gradients),
            ("parameter", fast.export(), &exact.params),
        ] {
            assert_eq!(got.len(), expected.len(), "{what}s");
            for (name, pair) in expected {
                let got = &got.get(name).unwrap().value;
                compare(&format!("{what} {name}"), got, pair);
            }
        }
    }
}

fn channels(graph: &Graph) -> usize {
    graph.node(graph.inputs()[0]).unwrap().shape()[1]
}

proptest! {
    #![proptest_config(testkit::cases(60))]

    #[test]
    fn every_operation_of_random_networks_agrees(recipe in graph_recipes()) {
        let graph = recipe.build();
        let params = random_params(&graph, recipe.seed).unwrap();
        for (id, _) in graph.iter() {
            check_node(&graph, &params, id, recipe.nominal);
        }
    }
}

/// A normalisation over the three values of a batch, in each of fifty channels: some of those are
/// close together, and every rounding error is multiplied by weight over deviation.
#[test]
fn a_normalisation_over_three_values_per_channel_agrees() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2, 5, 5]).unwrap();
    let wide = b.pad_channels("n0", x, [0, 2]).unwrap();
    let conv = Conv2d::new(2, [1, 1]).padding(Padding::Same).groups(2);
    let y = b.conv2d("n1", wide, conv.clone()).unwrap();
    let y = b.batch_norm2d("n2", y, BatchNorm2d::default()).unwrap();
    let y = b.concat("n3", &[wide, y, wide]).unwrap();
    let y = b.conv2d("n4", y, conv).unwrap();
    let y = b.flatten("n5", y).unwrap();
    let norm = b.batch_norm2d("n6", y, BatchNorm2d::default()).unwrap();
    let graph = b.finish(&[norm]).unwrap();
    for seed in 0..40 {
        check_node(&graph, &random_params(&graph, seed).unwrap(), norm, [5, 5]);
    }
}

/// Residual blocks with both shortcuts, a stride, an overlapping pool, branches that are
/// concatenated, a dropout, a dense layer, and a second output that is also read by another node.
fn network() -> Graph {
    let mut b = GraphBuilder::new();
    let conv = |channels, stride| {
        let mut conv = Conv2d::new(channels, [3, 3])
            .padding(Padding::all(1))
            .stride([stride, stride]);
        conv.bias = false;
        conv
    };
    let norm = |epsilon| BatchNorm2d { epsilon };
    let x = b.input("image", [1, 3, 24, 20]).unwrap();
    let x = b.conv2d("stem", x, conv(20, 1)).unwrap();
    let x = b
        .batch_norm2d("stem_norm", x, norm(Epsilon::Inside(1e-5)))
        .unwrap();
    let x = b.relu("stem_relu", x).unwrap();
    let x = b
        .max_pool2d(
            "pool",
            x,
            MaxPool2d {
                stride: [2, 2],
                padding: Padding::all(1),
                ..MaxPool2d::new([3, 3])
            },
        )
        .unwrap();
    // Identity shortcut.
    let y = b.conv2d("a1", x, conv(20, 1)).unwrap();
    let y = b
        .batch_norm2d("a1_norm", y, norm(Epsilon::Inside(1e-5)))
        .unwrap();
    let y = b.relu("a1_relu", y).unwrap();
    let y = b.conv2d("a2", y, conv(20, 1)).unwrap();
    let y = b
        .batch_norm2d("a2_norm", y, norm(Epsilon::Inside(1e-5)))
        .unwrap();
    let y = b.add("a_sum", y, x).unwrap();
    let x = b.relu("a_relu", y).unwrap();
    // Projection shortcut.
    let y = b.conv2d("b1", x, conv(36, 2)).unwrap();
    let y = b
        .batch_norm2d("b1_norm", y, norm(Epsilon::Outside(1e-6)))
        .unwrap();
    let y = b.leaky_relu("b1_leaky", y, 0.1).unwrap();
    let mut shortcut = Conv2d::new(36, [1, 1]).stride([2, 2]);
    shortcut.bias = false;
    let s = b.conv2d("shortcut", x, shortcut).unwrap();
    let s = b
        .batch_norm2d("shortcut_norm", s, norm(Epsilon::Inside(1e-5)))
        .unwrap();
    let x = b.add("b_sum", y, s).unwrap();
    // Branches.
    let p = b.conv2d("p", x, Conv2d::new(8, [1, 1])).unwrap();
    let p = b.relu("p_relu", p).unwrap();
    let q = b
        .avg_pool2d(
            "q",
            x,
            AvgPool2d {
                stride: [1, 1],
                padding: Padding::all(1),
                ..AvgPool2d::new([3, 3])
            },
        )
        .unwrap();
    let q = b.conv2d("q_conv", q, Conv2d::new(5, [1, 1])).unwrap();
    let x = b.concat("join", &[p, q, x]).unwrap();
    let head = b.global_avg_pool2d("mean", x).unwrap();
    let head = b.flatten("flat", head).unwrap();
    let head = b.dropout("drop", head, 0.25).unwrap();
    let head = b.linear("fc", head, Linear::new(10)).unwrap();
    b.finish(&[head, x]).unwrap()
}

fn picture(batch: usize) -> ArrayD<f64> {
    random_array(&[batch, 3, 24, 20], 5)
}

/// The relative error of a gradient, by norm.
fn off(got: &ArrayD<f64>, expected: &ArrayD<f64>) -> f64 {
    let norm = |x: &ArrayD<f64>| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    norm(&(got - expected)) / norm(expected).max(1e-300)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[test]
fn a_whole_network_is_as_near_to_f64_as_the_plain_loops_in_f32_are() {
    let graph = network();
    let params = random_params(&graph, 1).unwrap();
    let input = vec![picture(6)];
    let loss = Projection::new(&output_shapes(&graph, &input), 17);
    let (exact, total) = plain(&graph, &params, &input, &loss);
    let narrow = vec![to_f32(input[0].view())];
    let mut plain32 = PlainTrainer::new(&graph, params.clone(), with_input_gradient()).unwrap();
    plain32.step(&views(&narrow), &loss, KEY).unwrap();
    let errors = |got: Params<f64>| -> Vec<f64> {
        let exact = exact.gradients();
        exact
            .iter()
            .map(|(name, gradient)| off(&got.get(name).unwrap().value, &gradient.value))
            .collect()
    };
    let of_plain = errors(plain32.gradients().cast());
    for isa in Isa::available() {
        let mut fast = session(&graph, &params, with_input_gradient(), isa);
        let terms = fast.step(&views(&narrow), &loss, KEY).unwrap();
        assert!(
            (terms.total - total).abs() < 1e-3 * total.abs().max(1.0),
            "{isa}: {} {total}",
            terms.total
        );
        let of_fast = errors(fast.gradients().cast());
        println!(
            "{isa}: median {:.1e}, plain {:.1e}",
            median(of_fast.clone()),
            median(of_plain.clone())
        );
        assert!(median(of_fast.clone()) <= 2.0 * median(of_plain.clone()));
        let worst = of_fast.iter().fold(0.0f64, |most, &x| most.max(x));
        assert!(worst < 1e-3, "{isa}: {worst:.1e}");
        // Running statistics and counters change in the same way.
        let (got, expected) = (fast.export().cast::<f64>(), exact.export());
        for (name, param) in expected.iter() {
            assert!(
                off(&got.get(name).unwrap().value, &param.value) < 1e-5,
                "{isa}: {name}"
            );
        }
        assert_eq!(got.len(), expected.len());
    }
}
