//! Random small graphs: what inference says, what the executor does and what surgery cuts out have
//! to agree.

#![expect(clippy::unwrap_used, reason = "what a test cannot build fails it")]

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    AvgPool2dOptions, BatchNorm2d, Conv2d, Epsilon, Graph, GraphBuilder, Linear, MaxPool2dOptions,
    NodeId, Op, Padding, PaddingValue, Plain, Shape, Summary, random_params,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use testkit::random_array;

/// How many kinds of step there are; operations that seldom fit have several.
const KINDS: usize = 26;

/// One attempt to add a node: a kind, which earlier nodes to read (counted from the last), and
/// numbers to make options of.
#[derive(Clone, Debug)]
struct Step {
    kind: usize,
    reads: [usize; 3],
    numbers: [usize; 6],
}

/// A network to be: the attempts that the builder refuses are left out.
#[derive(Clone, Debug)]
struct Recipe {
    channels: usize,
    nominal: [usize; 2],
    steps: Vec<Step>,
    /// Which nodes are outputs besides the last, by the same counting.
    outputs: Vec<usize>,
    /// Another batch and picture size to run at.
    batch: usize,
    size: [usize; 2],
    seed: u64,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let step = (
        0..KINDS,
        [0usize..4, 0..6, 0..6],
        [1usize..5, 1..5, 1..4, 1..4, 0..3, 0..3],
    )
        .prop_map(|(kind, reads, numbers)| Step {
            kind,
            reads,
            numbers,
        });
    (
        1usize..9,
        [2usize..10, 2usize..10],
        prop::collection::vec(step, 1..16),
        prop::collection::vec(0usize..8, 0..3),
        1usize..4,
        [2usize..10, 2usize..10],
        any::<u64>(),
    )
        .prop_map(
            |(channels, nominal, steps, outputs, batch, size, seed)| Recipe {
                channels,
                nominal,
                steps,
                outputs,
                batch,
                size,
                seed,
            },
        )
}

impl Step {
    fn op(&self) -> Op {
        let [a, b, c, d, e, f] = self.numbers;
        let value = match f {
            0 => PaddingValue::Zeros,
            1 => PaddingValue::Replicate,
            _ => PaddingValue::Reflect,
        };
        match self.kind {
            0 | 1 => {
                let mut conv = Conv2d::new(2 * a, [b, c])
                    .stride([d, c])
                    .padding(if e == 0 {
                        Padding::Same
                    } else {
                        Padding::Explicit([e, f, 1, 0])
                    })
                    .padding_value(value)
                    .groups(if f == 0 { 2 } else { 1 });
                conv.bias = e != 1;
                if self.kind == 1 {
                    conv = conv.dilation([c, d]).stride([1, 1]);
                }
                Op::Conv2d(conv)
            }
            2 => Op::Linear(Linear {
                out_features: a,
                bias: b != 1,
            }),
            3 => Op::BatchNorm2d(BatchNorm2d {
                epsilon: Epsilon::Inside(1e-5),
            }),
            4 => Op::BatchNorm2d(BatchNorm2d {
                epsilon: Epsilon::Outside(1e-6),
            }),
            5 => Op::Affine,
            6 => Op::Relu,
            7 => Op::LeakyRelu { slope: 0.1 },
            8 => Op::Sigmoid,
            9 => Op::Softmax,
            10 => Op::MaxPool2d(MaxPool2dOptions {
                stride: [c, d],
                padding: Padding::Explicit([0, 0, e / 2, f / 2]),
                ceil_mode: e == 1,
                ..MaxPool2dOptions::new([a, b])
            }),
            11 => Op::AvgPool2d(AvgPool2dOptions {
                stride: [d, c],
                padding: if e == 0 {
                    Padding::Same
                } else {
                    Padding::Valid
                },
                ceil_mode: f == 1,
                count_include_pad: e == 1,
                ..AvgPool2dOptions::new([b, a])
            }),
            12 => Op::GlobalAvgPool2d,
            13 => Op::AdaptiveAvgPool2d([a, b]),
            14 => Op::Add,
            15 => Op::Concat,
            16 => Op::Slice { start: e, len: a },
            17 => Op::Flatten,
            18 => Op::Dropout { probability: 0.5 },
            19 if e == 0 => Op::Upsample { scale: [c, d] },
            19 => Op::Pad {
                padding: [e, f, 0, 1],
                value,
            },
            20 | 21 => Op::Reorg { stride: 2 },
            _ => Op::Linear(Linear::new(b)),
        }
    }

    fn inputs(&self, ids: &[NodeId]) -> Vec<NodeId> {
        let count = match self.kind {
            14 => 2,
            15 => 1 + self.numbers[4],
            _ => 1,
        };
        self.reads[..count]
            .iter()
            .map(|&back| nth_last(ids, back))
            .collect()
    }
}

/// The `back`th id from the end, or the first.
fn nth_last(ids: &[NodeId], back: usize) -> NodeId {
    ids[ids.len().saturating_sub(1 + back)]
}

impl Recipe {
    fn build(&self) -> Graph {
        let mut b = GraphBuilder::new();
        let [h, w] = self.nominal;
        let mut ids = vec![b.input("x", [1, self.channels, h, w]).unwrap()];
        for (index, step) in self.steps.iter().enumerate() {
            ids.extend(b.node(&format!("n{index}"), step.op(), &step.inputs(&ids)));
        }
        let mut outputs = vec![nth_last(&ids, 0)];
        outputs.extend(self.outputs.iter().map(|&back| nth_last(&ids, back)));
        b.finish(&outputs).unwrap()
    }

    fn input(&self, [batch, h, w]: [usize; 3]) -> ArrayD<f64> {
        random_array(&[batch, self.channels, h, w], self.seed)
    }
}

/// The bits of a tensor: what has to be the same where the arithmetic is.
fn bits(tensor: &ArrayD<f64>) -> (Vec<usize>, Vec<u64>) {
    (
        tensor.shape().to_vec(),
        tensor.iter().map(|x| x.to_bits()).collect(),
    )
}

/// Runs a part of a graph with the tensors that the whole run gave to its inputs, and compares
/// every output with the whole run's.
fn check_part(plain: &Plain<f64>, part: &Graph, tensors: &[ArrayD<f64>]) {
    let whole = plain.graph();
    let of = |id: &NodeId| {
        let name = part.node(*id).unwrap().name();
        &tensors[whole.find(name).unwrap().index()]
    };
    let inputs: Vec<ArrayViewD<'_, f64>> = part.inputs().iter().map(|id| of(id).view()).collect();
    let outputs = Plain::new(part, plain.params().clone())
        .unwrap()
        .run(&inputs)
        .unwrap();
    for (id, output) in part.outputs().iter().zip(&outputs) {
        assert_eq!(
            bits(output),
            bits(of(id)),
            "{}",
            part.node(*id).unwrap().name()
        );
    }
    assert_eq!(outputs.len(), part.outputs().len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn inference_says_what_the_executor_does(recipe in recipes()) {
        let graph = recipe.build();
        let [h, w] = recipe.nominal;
        let shapes = graph.infer(&[Shape::from([1, recipe.channels, h, w])]).unwrap();
        for (node, shape) in graph.nodes().iter().zip(&shapes) {
            prop_assert_eq!(node.shape(), shape);
        }

        let plain = Plain::new(&graph, random_params(&graph, recipe.seed).cast()).unwrap();
        let [other_h, other_w] = recipe.size;
        for (batch, h, w) in [(1, h, w), (recipe.batch, other_h, other_w)] {
            let input = recipe.input([batch, h, w]);
            let shape = Shape::from(input.shape());
            // At another size a window may not fit; both then say so in the same words.
            let shapes = match graph.infer(std::slice::from_ref(&shape)) {
                Ok(shapes) => shapes,
                Err(error) => {
                    prop_assert_eq!(plain.run(&[input.view()]).unwrap_err(), error);
                    continue;
                }
            };
            let mut seen = Vec::new();
            let trace = plain.trace(&[input.view()], |id, tensor| {
                seen.push((id.index(), Shape::from(tensor.shape())));
            }).unwrap();
            prop_assert_eq!(seen, shapes.iter().cloned().enumerate().collect::<Vec<_>>());
            for (id, output) in graph.outputs().iter().zip(&trace.outputs) {
                prop_assert_eq!(output.shape(), &*shapes[id.index()]);
            }
            let summary = Summary::new(&graph, &[shape]).unwrap();
            prop_assert_eq!(summary.peak_activation_bytes, 4 * trace.peak_live_elements as u64);
            prop_assert!(summary.peak_activation_bytes <= summary.activation_bytes);
        }
    }

    #[test]
    fn parts_compute_what_the_whole_does(recipe in recipes(), ends in any::<[prop::sample::Index; 2]>()) {
        let graph = recipe.build();
        let plain = Plain::new(&graph, random_params(&graph, recipe.seed).cast()).unwrap();
        let [h, w] = recipe.nominal;
        let mut tensors = Vec::new();
        plain.trace(&[recipe.input([2, h, w]).view()], |_, tensor| tensors.push(tensor.clone())).unwrap();

        for (id, node) in graph.iter() {
            let alone = graph.isolate(id).unwrap();
            let itself = alone.nodes().last().unwrap();
            prop_assert_eq!((itself.name(), itself.op()), (node.name(), node.op()));
            prop_assert_eq!(alone.outputs().len(), 1);
            check_part(&plain, &alone, &tensors);

            let up_to = graph.with_outputs(&[id]).unwrap();
            let readers = up_to.readers();
            let read = |id: NodeId| !readers[id.index()].is_empty() || up_to.outputs() == [id];
            prop_assert!(up_to.iter().all(|(id, _)| read(id)));
            check_part(&plain, &up_to, &tensors);
        }

        let ids: Vec<NodeId> = graph.iter().map(|(id, _)| id).collect();
        let [a, b] = ends.map(|end| *end.get(&ids));
        check_part(&plain, &graph.subgraph(a.min(b), a.max(b)).unwrap(), &tensors);
    }
}

/// The properties above say little if most attempts are refused.
#[test]
fn the_recipes_use_every_operation() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..512 {
        let recipe = recipes().new_tree(&mut runner).unwrap().current();
        for node in recipe.build().nodes() {
            *used.entry(node.op().kind()).or_default() += 1;
        }
    }
    assert_eq!(used.len(), 21, "{used:?}");
    assert!(used.values().all(|&times| times >= 15), "{used:?}");
}
