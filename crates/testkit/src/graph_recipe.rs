//! Random networks, for properties of all graphs.

use ndarray::ArrayD;
use nn_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Epsilon, Graph, GraphBuilder, Linear, MaxPool2d, NodeId, Op,
    Padding, PaddingValue,
};
use proptest::prelude::*;

use crate::random::random_array;

/// The number of kinds of step; operations that seldom fit have several.
const KINDS: usize = 27;

/// As many, and those that Winograd's algorithm can compute.
const KINDS_WITH_WINOGRAD: usize = KINDS + 3;

/// One attempt to add a node: a kind, the earlier nodes to read (counted from the last), and
/// numbers to derive options from.
#[derive(Clone, Debug)]
pub struct GraphStep {
    kind: usize,
    reads: [usize; 3],
    numbers: [usize; 6],
}

/// A network to build: attempts that the builder rejects are skipped.
#[derive(Clone, Debug)]
pub struct GraphRecipe {
    /// Channels of the input, in units of `width`.
    channels: usize,
    /// A factor for all channel counts, which makes them few or many.
    width: usize,
    /// The picture size `[h, w]` that the graph is built with.
    pub nominal: [usize; 2],
    steps: Vec<GraphStep>,
    /// The outputs other than the last node, counted in the same way.
    outputs: Vec<usize>,
    /// A different batch and picture size to run at.
    pub batch: usize,
    /// See `batch`.
    pub size: [usize; 2],
    /// The seed of input and parameters.
    pub seed: u64,
}

/// Generates networks of up to 16 operations of every kind, with branches, several outputs and odd
/// sizes.
pub fn graph_recipes() -> impl Strategy<Value = GraphRecipe> {
    let widths = prop::sample::select(vec![1, 1, 1, 9]);
    recipes(KINDS, (widths, [2usize..10, 2usize..10]))
}

/// Generates networks as [`graph_recipes`], and some with the channels and pixels from which on
/// Winograd's algorithm computes a convolution. They have ten times the arithmetic.
pub fn graph_recipes_with_winograd() -> impl Strategy<Value = GraphRecipe> {
    let small = [2usize..10, 2usize..10];
    let large = [11usize..13, 11usize..13];
    let width_and_nominal = prop_oneof![
        12 => (Just(1), small.clone()),
        3 => (Just(9), small),
        1 => (Just(9), large),
    ];
    recipes(KINDS_WITH_WINOGRAD, width_and_nominal)
}

fn recipes(
    kinds: usize,
    width_and_nominal: impl Strategy<Value = (usize, [usize; 2])>,
) -> impl Strategy<Value = GraphRecipe> {
    let step = (
        0..kinds,
        [0usize..4, 0..6, 0..6],
        [1usize..5, 1..5, 1..4, 1..4, 0..3, 0..3],
    )
        .prop_map(|(kind, reads, numbers)| GraphStep {
            kind,
            reads,
            numbers,
        });
    (
        (1usize..9, width_and_nominal),
        prop::collection::vec(step, 1..16),
        prop::collection::vec(0usize..8, 0..3),
        1usize..4,
        [2usize..10, 2usize..10],
        any::<u64>(),
    )
        .prop_map(
            |((channels, (width, nominal)), steps, outputs, batch, size, seed)| GraphRecipe {
                channels,
                width,
                nominal,
                steps,
                outputs,
                batch,
                size,
                seed,
            },
        )
}

impl GraphStep {
    fn op(&self, width: usize) -> Op {
        let [a, b, c, d, e, f] = self.numbers;
        let value = match f {
            0 => PaddingValue::Zeros,
            1 => PaddingValue::Replicate,
            _ => PaddingValue::Reflect,
        };
        match self.kind {
            0 | 1 => {
                let mut conv = Conv2d::new(2 * a * width, [b, c])
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
                out_features: a * width,
                bias: b != 1,
            }),
            3 => Op::BatchNorm2d(BatchNorm2d {
                epsilon: Epsilon::Inside(1e-5),
            }),
            4 => Op::BatchNorm2d(BatchNorm2d {
                epsilon: Epsilon::Outside(1e-6),
            }),
            5 => Op::Affine,
            6 if e == 0 => Op::Relu6,
            6 => Op::Relu,
            7 => Op::LeakyRelu { slope: 0.1 },
            8 => Op::Sigmoid,
            9 => Op::Softmax,
            10 => Op::MaxPool2d(MaxPool2d {
                stride: [c, d],
                padding: Padding::Explicit([0, 0, e / 2, f / 2]),
                ceil_mode: e == 1,
                ..MaxPool2d::new([a, b])
            }),
            11 => Op::AvgPool2d(AvgPool2d {
                stride: [d, c],
                padding: if e == 0 {
                    Padding::Same
                } else {
                    Padding::Valid
                },
                ceil_mode: f == 1,
                count_include_pad: e == 1,
                ..AvgPool2d::new([b, a])
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
            20..=22 => Op::Reorg { stride: 2 },
            23 => Op::PadChannels {
                before: a * e,
                after: b,
            },
            24..=26 => Op::Linear(Linear::new(b)),
            // From `KINDS` on.
            _ => Op::Conv2d(
                Conv2d::new(a * width, if b <= 2 { [5, 5] } else { [3, 3] })
                    .padding(Padding::Explicit([e, f, 1, 1])),
            ),
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

/// Returns the `back`th id from the end, or the first.
fn nth_last(ids: &[NodeId], back: usize) -> NodeId {
    ids[ids.len().saturating_sub(1 + back)]
}

impl GraphRecipe {
    /// Returns the graph.
    ///
    /// # Panics
    ///
    /// Never: attempts that the builder rejects are skipped.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a test fails if it cannot build the graph"
    )]
    pub fn build(&self) -> Graph {
        let mut b = GraphBuilder::new();
        let [h, w] = self.nominal;
        let mut ids = vec![
            b.input("x", [1, self.channels * self.width, h, w])
                .expect("a graph"),
        ];
        for (index, step) in self.steps.iter().enumerate() {
            ids.extend(b.node(
                &format!("n{index}"),
                step.op(self.width),
                &step.inputs(&ids),
            ));
        }
        let mut outputs = vec![nth_last(&ids, 0)];
        outputs.extend(self.outputs.iter().map(|&back| nth_last(&ids, back)));
        b.finish(&outputs).expect("a graph")
    }

    /// Returns an input of this batch and picture size.
    #[must_use]
    pub fn input(&self, [batch, h, w]: [usize; 3]) -> ArrayD<f64> {
        random_array(&[batch, self.channels * self.width, h, w], self.seed)
    }
}
