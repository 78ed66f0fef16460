//! One network, several executors: where they must agree, and how closely.

use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{Graph, Infer, Node, Op, Outputs, Params, Plain, Shape};

use crate::close::{compare, dot_bound};
use crate::sums::Sums;

/// Runs a network from inputs to outputs.
pub type Run = Box<dyn FnMut(&[ArrayD<f32>]) -> Vec<ArrayD<f32>>>;

/// Builds an executor of a graph for inputs of these shapes.
pub type Executor<'a> = &'a dyn Fn(&Graph, Params<f32>, &[Shape]) -> Run;

/// Wraps an executor built for inputs of certain shapes, in the form that the comparisons accept.
///
/// ```
/// use ndarray::ArrayD;
/// use nn_layers::{GraphBuilder, Params, Plain};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 2])?;
/// let y = b.relu("y", x)?;
/// let plain = Plain::new(&b.finish(&[y])?, Params::<f32>::new())?;
/// assert_eq!(testkit::run_by(plain)(&[ArrayD::ones(vec![3, 2])])[0], ArrayD::<f32>::ones(vec![3, 2]));
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// # Panics
///
/// The run panics if the executor rejects its inputs.
#[must_use]
#[expect(clippy::expect_used, reason = "fails the test that calls it")]
pub fn run_by(mut executor: impl Infer + 'static) -> Run {
    Box::new(move |inputs| {
        let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let mut outputs = Outputs::new();
        executor
            .run(&views, &mut outputs)
            .expect("inputs that the network takes");
        outputs.tensors
    })
}

/// Runs each node alone on its inputs from the f64 run, and asserts that the executor is within the
/// node's bound of the f64 result: `4 * sqrt(K) * eps * sum |x| |w|` for sums of products, exact
/// equality for operations that only select or move values. For convolutions by other algorithms, see
/// [`Sums`].
///
/// # Panics
///
/// If an element is farther off; the message names the node.
#[track_caller]
#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "fails the test that calls it"
)]
pub fn assert_layers_agree(
    graph: &Graph,
    params: &Params<f32>,
    inputs: &[ArrayD<f32>],
    sums: Sums,
    executor: Executor<'_>,
) {
    let wide = params.cast::<f64>();
    let plain = Plain::new(graph, wide.clone()).expect("the graph's parameters");
    let inputs: Vec<ArrayD<f64>> = inputs.iter().map(|x| x.mapv(f64::from)).collect();
    let views: Vec<ArrayViewD<'_, f64>> = inputs.iter().map(|x| x.view()).collect();
    let mut tensors: Vec<Option<ArrayD<f32>>> = vec![None; graph.nodes().len()];
    let readers = graph.readers();
    let mut left: Vec<usize> = readers.iter().map(Vec::len).collect();

    plain
        .trace(&views, |id, tensor| {
            let node = &graph.nodes()[id.index()];
            if *node.op() != Op::Input {
                let alone = graph.isolate(id).expect("a node of the graph");
                let fed: Vec<ArrayD<f32>> = alone
                    .inputs()
                    .iter()
                    .map(|input| {
                        let name = alone.nodes()[input.index()].name();
                        let source = graph.find(name).expect("a node of the graph");
                        tensors[source.index()].clone().expect("computed before")
                    })
                    .collect();
                let checked = check_node(&alone, node, &wide, &fed, sums, executor, params);
                if let Err(message) = checked {
                    panic!("node {:?}: {message}", node.name());
                }
                for input in node.inputs() {
                    left[input.index()] -= 1;
                    if left[input.index()] == 0 {
                        tensors[input.index()] = None;
                    }
                }
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the input of an f32 executor is f32"
            )]
            let narrow = tensor.mapv(|x| x as f32);
            tensors[id.index()] = Some(narrow);
        })
        .expect("inputs that the graph takes");
}

#[expect(clippy::expect_used, reason = "fails the test that calls it")]
fn check_node(
    alone: &Graph,
    node: &Node,
    wide: &Params<f64>,
    fed: &[ArrayD<f32>],
    sums: Sums,
    executor: Executor<'_>,
    params: &Params<f32>,
) -> Result<(), String> {
    let shapes: Vec<Shape> = fed.iter().map(|x| Shape::from(x.shape())).collect();
    let got = executor(alone, params.read_by(alone), &shapes)(fed);
    let run = |params: Params<f64>, inputs: Vec<ArrayD<f64>>| {
        let views: Vec<ArrayViewD<'_, f64>> = inputs.iter().map(|x| x.view()).collect();
        let plain = Plain::new(alone, params).expect("the graph's parameters");
        plain
            .run(&views)
            .expect("inputs that the node takes")
            .remove(0)
    };
    let expected = run(
        wide.clone(),
        fed.iter().map(|x| x.mapv(f64::from)).collect(),
    );

    // The same node on absolute values computes the sum of absolute products.
    let magnitude = || {
        let mut absolute = Params::new();
        for spec in alone.param_specs() {
            let param = wide.get(spec.name()).expect("the graph's parameters");
            let sign = if spec.local_name() == "running_mean" {
                -1.0
            } else {
                1.0
            };
            absolute.insert(
                spec.name(),
                param.slot,
                param.value.mapv(|x| sign * x.abs()),
            );
        }
        run(
            absolute,
            fed.iter().map(|x| x.mapv(|x| f64::from(x).abs())).collect(),
        )
    };
    // Nothing is dropped in evaluation, so nothing is rounded.
    let is_copy = matches!(node.op(), Op::Dropout { .. });
    let Some(terms) = terms(node, &shapes[0]).filter(|_| !is_copy) else {
        return compare(got[0].view(), expected.view(), |_| 0.0);
    };
    let magnitude = match node.op() {
        // No sums of products: only the result itself is rounded.
        Op::Sigmoid | Op::Softmax | Op::LeakyRelu { .. } => expected.mapv(f64::abs),
        _ => magnitude(),
    };
    // A rounded exponent `z` changes `exp(z)`, which is at most 1, by `eps z exp(z)`; values below
    // the smallest number become 0.
    let rest = match node.op() {
        Op::Softmax => f64::from(f32::EPSILON),
        _ => f64::from(f32::MIN_POSITIVE),
    };
    let mut bounds = magnitude.mapv(|magnitude| dot_bound(terms, magnitude) + rest);
    let weight = node.param("weight").and_then(|spec| wide.get(spec.name()));
    let weight = weight.map(|param| &param.value);
    sums.add_to(&mut bounds, node, &fed[0].mapv(f64::from), weight);
    let bounds: Vec<f64> = bounds.iter().copied().collect();
    compare(got[0].view(), expected.view(), |i| bounds[i])
}

/// Returns the number of products summed in each value of the node's output, given its first
/// input's shape; none if values are only selected or moved.
pub(crate) fn terms(node: &Node, input: &[usize]) -> Option<usize> {
    match node.op() {
        Op::Conv2d(_) | Op::Linear(_) => {
            let weight = node.param("weight").map_or(&[][..], |spec| spec.shape());
            Some(1 + weight.iter().skip(1).product::<usize>())
        }
        // A product and a sum; the engine first computes one factor from three values.
        Op::BatchNorm2d(_) | Op::Affine => Some(4),
        Op::Add => Some(2),
        Op::AvgPool2d(options) => Some(1 + options.kernel_size.iter().product::<usize>()),
        Op::GlobalAvgPool2d | Op::AdaptiveAvgPool2d(_) => {
            Some(1 + input.iter().skip(2).product::<usize>())
        }
        // A rounded slope, or the scale factor of a dropout.
        Op::LeakyRelu { .. } | Op::Dropout { .. } => Some(1),
        // Exponentials, and quotients by their sums.
        Op::Sigmoid => Some(1),
        Op::Softmax => Some(4 + input.get(1).copied().unwrap_or(1)),
        Op::Pad { .. }
        | Op::Input
        | Op::Relu
        | Op::Relu6
        | Op::MaxPool2d(_)
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Upsample { .. }
        | Op::Reorg { .. } => None,
    }
}

/// Runs the whole network in f64, in f32 and by the executor, and asserts that each output of the
/// two f32 runs is within `tolerance` of its largest element from the f64 run.
///
/// # Panics
///
/// If an element is farther off.
#[track_caller]
#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "fails the test that calls it"
)]
pub fn assert_executors_agree(
    graph: &Graph,
    params: &Params<f32>,
    inputs: &[ArrayD<f32>],
    tolerance: f64,
    executor: Executor<'_>,
) {
    let wide: Vec<ArrayD<f64>> = inputs.iter().map(|x| x.mapv(f64::from)).collect();
    let views: Vec<ArrayViewD<'_, f64>> = wide.iter().map(|x| x.view()).collect();
    let plain = Plain::new(graph, params.cast::<f64>()).expect("the graph's parameters");
    let expected = plain.run(&views).expect("inputs that the graph takes");

    let mut narrow = Plain::new(graph, params.clone()).expect("the graph's parameters");
    let views: Vec<ArrayViewD<'_, f32>> = inputs.iter().map(|x| x.view()).collect();
    let mut outputs = Outputs::new();
    Infer::run(&mut narrow, &views, &mut outputs).expect("inputs that the graph takes");

    let shapes: Vec<Shape> = inputs.iter().map(|x| Shape::from(x.shape())).collect();
    let got = executor(graph, params.clone(), &shapes)(inputs);
    for (name, results) in [("Plain<f32>", &outputs.tensors), ("the executor", &got)] {
        for (index, (result, expected)) in results.iter().zip(&expected).enumerate() {
            let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            let agrees = compare(result.view(), expected.view(), |_| tolerance * largest);
            if let Err(message) = agrees {
                panic!("output {index} of {name}: {message}");
            }
        }
        assert_eq!(results.len(), expected.len(), "outputs of {name}");
    }
}
