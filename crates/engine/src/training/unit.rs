//! The *units* of a training session: the nodes that are computed together, forward and backward.
//!
//! A batch normalisation absorbs the addition of a residual and the ReLU or leaky ReLU that follow
//! it, if nothing else reads the values in between. A convolution stays separate, since the
//! normalisation needs its output in the backward pass; but it computes the statistics of its
//! output as it runs.

use conv_core::blocked::{BLOCK, DirectConv2d};
use conv_core::{Activation, Isa, MaxPool2dOptions, PaddingValue};
use nn_layers::{Conv2d, GradientFlow, Graph, Node, NodeId, Op, Params};

use super::grad_kernel::GradKernel;
use super::layer::{ConvLayer, Layer};
use super::norm_layer::NormLayer;
use crate::error::{Error, Result};
use crate::step::{Kernel, activation, input_number};

/// Nodes that are computed together.
#[derive(Debug)]
pub(crate) struct Unit {
    /// The name of the last node that it computes.
    pub(crate) name: String,
    /// That node, whose shape the unit's result has.
    pub(crate) node: NodeId,
    /// The units whose results it reads.
    pub(crate) inputs: Vec<usize>,
    /// Channels per block of the result: 16, or 1 for planar. Gradients always have 16.
    pub(crate) block: usize,
    /// Whether the gradient of its result is computed.
    pub(crate) wanted: bool,
    pub(crate) kind: UnitKind,
}

/// What a unit computes.
#[derive(Debug)]
pub(crate) enum UnitKind {
    /// The caller's tensor with this index.
    Input(usize),
    /// A convolution or dense layer: the layer with this index. It passes its output's statistics
    /// to the normalisation with that index, if one reads it.
    Conv {
        layer: usize,
        norm: Option<usize>,
    },
    /// `activation(batch_norm(first input) + second input, if there is one)`. The unit computes the
    /// batch's statistics itself if it needs them and no convolution supplies them.
    Norm {
        layer: usize,
        activation: Activation,
        takes_statistics: bool,
    },
    Activation(Activation),
    MaxPool(MaxPool2dOptions),
    /// A kernel shared with inference sessions, and its backward kernel.
    Kernel {
        forward: Kernel,
        backward: GradKernel,
    },
    /// The padding of this convolution, which then runs without padding. The unit's result is
    /// larger than the node's.
    Pad(Conv2d),
    /// Dropout with this probability.
    Dropout(f64),
    /// Dropout that is off.
    Copy,
    /// An operation too rare for its own kernel: it runs with the plain loops, on a graph of this
    /// node alone.
    Plain(Box<Graph>),
}

/// The properties of a unit's backward pass that planning depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WayBack {
    /// The number of inputs, counted from the first, whose values it reads.
    pub(crate) inputs_read: usize,
    /// Whether it reads its own result.
    pub(crate) reads_output: bool,
    /// Whether it can add to a gradient, or can only overwrite one.
    pub(crate) can_add: bool,
}

impl Unit {
    /// The backward pass of a unit, which `backward.rs` executes.
    pub(crate) fn way_back(&self, layers: &[Layer]) -> WayBack {
        let all = self.inputs.len();
        let (inputs_read, reads_output, can_add) = match &self.kind {
            UnitKind::Input(_) | UnitKind::Copy => (0, false, true),
            UnitKind::Conv { layer, .. } => (usize::from(layers[*layer].learns()), false, true),
            UnitKind::Norm { activation, .. } => (1, *activation != Activation::Identity, true),
            UnitKind::Activation(activation) => (0, *activation != Activation::Identity, true),
            UnitKind::MaxPool(_) => (1, false, true),
            UnitKind::Kernel { backward, .. } => (0, false, backward.can_add()),
            UnitKind::Pad(_) | UnitKind::Dropout(_) => (0, false, false),
            UnitKind::Plain(_) => (all, false, false),
        };
        WayBack {
            inputs_read,
            reads_output,
            can_add,
        }
    }

    /// Returns the unit whose result it reads first.
    pub(crate) fn first_input(&self) -> Result<usize> {
        let first = self.inputs.first().copied();
        first.ok_or_else(|| self.broken("a unit that reads an input has none"))
    }

    /// Returns the error for a state that cannot occur.
    pub(crate) fn broken(&self, broken: &'static str) -> Error {
        Error::internal(&self.name, broken)
    }
}

/// The units of a graph in order, the layers that hold its parameters, and the units that compute
/// its outputs.
pub(crate) struct Lowered {
    pub(crate) units: Vec<Unit>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) outputs: Vec<usize>,
}

/// Only the numbers of units and layers: the parameters themselves would fill pages.
impl std::fmt::Debug for Lowered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lowered")
            .field("units", &self.units.len())
            .field("layers", &self.layers.len())
            .finish()
    }
}

/// Lowers a graph and packs the parameters that it reads, which are removed from `params`.
pub(crate) fn lower(
    graph: &Graph,
    params: &mut Params<f32>,
    flow: &GradientFlow,
    isa: Isa,
) -> Result<Lowered> {
    params.check(graph)?;
    let readers = graph.readers();
    let mut lowering = Lowering {
        graph,
        flow,
        isa,
        units: Vec::new(),
        layers: Vec::new(),
        results: Vec::with_capacity(graph.nodes().len()),
    };
    for (id, node) in graph.iter() {
        let sources: Vec<usize> = node
            .inputs()
            .iter()
            .map(|input| lowering.results[input.index()])
            .collect();
        // A node can join the unit that ends in its input if nothing else reads that input.
        let unseen = |input: NodeId, units: &[Unit], source: usize| {
            units[source].node == input
                && readers[input.index()].len() == 1
                && !graph.outputs().contains(&input)
        };
        let unit = match (node.inputs(), &sources[..]) {
            (&[input], &[source])
                if unseen(input, &lowering.units, source) && lowering.activate(source, node) =>
            {
                source
            }
            (&[a, b], &[first, second]) if *node.op() == Op::Add && first != second => {
                let (input, source) = if first > second {
                    (a, first)
                } else {
                    (b, second)
                };
                let residual = first.min(second);
                if unseen(input, &lowering.units, source) && lowering.add(source, residual) {
                    source
                } else {
                    lowering.unit(id, node, &sources, params)?
                }
            }
            _ => lowering.unit(id, node, &sources, params)?,
        };
        lowering.units[unit].node = id;
        node.name().clone_into(&mut lowering.units[unit].name);
        lowering.units[unit].wanted = flow.is_wanted(id);
        lowering.results.push(unit);
    }
    let outputs = graph
        .outputs()
        .iter()
        .map(|id| lowering.results[id.index()])
        .collect();
    Ok(Lowered {
        units: lowering.units,
        layers: lowering.layers,
        outputs,
    })
}

struct Lowering<'a> {
    graph: &'a Graph,
    flow: &'a GradientFlow,
    isa: Isa,
    units: Vec<Unit>,
    layers: Vec<Layer>,
    /// The unit that computes each node's tensor.
    results: Vec<usize>,
}

impl Lowering<'_> {
    /// Fuses an activation into a normalisation.
    fn activate(&mut self, source: usize, node: &Node) -> bool {
        let (
            UnitKind::Norm {
                activation: before @ Activation::Identity,
                ..
            },
            Some(activation),
        ) = (
            &mut self.units[source].kind,
            differentiable_by_output(node.op()),
        )
        else {
            return false;
        };
        *before = activation;
        true
    }

    /// Fuses an addition into a normalisation.
    fn add(&mut self, source: usize, residual: usize) -> bool {
        let unit = &self.units[source];
        let can = unit.inputs.len() == 1
            && matches!(
                unit.kind,
                UnitKind::Norm {
                    activation: Activation::Identity,
                    ..
                }
            );
        // A copy in the other layout would come after the unit that reads it.
        let can = can && self.units[residual].block == BLOCK;
        if can {
            self.units[source].inputs.push(residual);
        }
        can
    }

    /// Returns a unit of the node alone.
    fn unit(
        &mut self,
        id: NodeId,
        node: &Node,
        sources: &[usize],
        params: &mut Params<f32>,
    ) -> Result<usize> {
        let frozen = self.flow.is_frozen(id);
        let mut block = BLOCK;
        let kind = match node.op() {
            Op::Input => {
                let number = input_number(self.graph, id, node)?;
                // Planar, as supplied; any reader of channel blocks gets a copy.
                return Ok(self.push(id, node, Vec::new(), 1, UnitKind::Input(number)));
            }
            Op::Conv2d(_) | Op::Linear(_) => {
                let layer = ConvLayer::new(node, params, frozen, self.isa)?;
                if DirectConv2d::reads_planar(layer.conv.in_channels(), layer.groups()) {
                    block = 1;
                }
                self.layers.push(Layer::Conv(layer));
                UnitKind::Conv {
                    layer: self.layers.len() - 1,
                    norm: None,
                }
            }
            Op::BatchNorm2d(_) | Op::Affine => {
                let layer = NormLayer::new(node, params, frozen)?;
                self.layers.push(Layer::Norm(layer));
                let layer = self.layers.len() - 1;
                UnitKind::Norm {
                    layer,
                    activation: Activation::Identity,
                    takes_statistics: !frozen
                        && *node.op() != Op::Affine
                        && !self.convolution_gives_statistics(sources, layer),
                }
            }
            Op::Dropout { probability } if self.flow.drops(id) => UnitKind::Dropout(*probability),
            Op::Dropout { .. } => UnitKind::Copy,
            Op::MaxPool2d(options) => UnitKind::MaxPool(*options),
            op @ (Op::Relu
            | Op::Relu6
            | Op::LeakyRelu { .. }
            | Op::Sigmoid
            | Op::Softmax
            | Op::AvgPool2d(_)
            | Op::GlobalAvgPool2d
            | Op::AdaptiveAvgPool2d(_)
            | Op::Add
            | Op::Concat
            | Op::Slice { .. }
            | Op::PadChannels { .. }
            | Op::Flatten
            | Op::Upsample { .. }
            | Op::Reorg { .. }
            | Op::Pad { .. }) => {
                let forward = Kernel::of(node)?;
                match (differentiable_by_output(op), GradKernel::of(&forward)) {
                    (Some(activation), _) => UnitKind::Activation(activation),
                    (None, Some(backward)) => UnitKind::Kernel { forward, backward },
                    (None, None) => UnitKind::Plain(Box::new(self.graph.isolate(id)?)),
                }
            }
        };
        let mut inputs: Vec<usize> = sources
            .iter()
            .map(|&source| self.in_layout(source, block))
            .collect();
        if let (Op::Conv2d(conv), [input]) = (node.op(), &mut inputs[..])
            && conv.options.padding_value != PaddingValue::Zeros
        {
            *input = self.padded(*input, conv);
        }
        Ok(self.push(id, node, inputs, BLOCK, kind))
    }

    /// Makes the convolution that feeds a normalisation compute its statistics, if there is one.
    fn convolution_gives_statistics(&mut self, sources: &[usize], layer: usize) -> bool {
        let source = sources.first().map(|&source| &mut self.units[source].kind);
        let Some(UnitKind::Conv {
            norm: norm @ None, ..
        }) = source
        else {
            return false;
        };
        *norm = Some(layer);
        true
    }

    /// Returns the unit that holds the result of `source` with channel blocks of this size.
    fn in_layout(&mut self, source: usize, block: usize) -> usize {
        if self.units[source].block == block {
            return source;
        }
        let copy = self.units.iter().position(|unit| {
            let is_copy = matches!(
                unit.kind,
                UnitKind::Kernel {
                    forward: Kernel::Relayout,
                    ..
                }
            );
            is_copy && unit.inputs == [source] && unit.block == block
        });
        copy.unwrap_or_else(|| {
            let Unit {
                name, node, wanted, ..
            } = &self.units[source];
            let copy = Unit {
                name: name.clone(),
                node: *node,
                inputs: vec![source],
                block,
                wanted: *wanted,
                kind: UnitKind::Kernel {
                    forward: Kernel::Relayout,
                    backward: GradKernel::Same,
                },
            };
            self.units.push(copy);
            self.units.len() - 1
        })
    }

    /// Returns the unit that pads for a convolution with values other than zeros.
    fn padded(&mut self, source: usize, conv: &Conv2d) -> usize {
        let Unit {
            name,
            node,
            block,
            wanted,
            ..
        } = &self.units[source];
        let padded = Unit {
            name: name.clone(),
            node: *node,
            inputs: vec![source],
            block: *block,
            wanted: *wanted,
            kind: UnitKind::Pad(conv.clone()),
        };
        self.units.push(padded);
        self.units.len() - 1
    }

    fn push(
        &mut self,
        id: NodeId,
        node: &Node,
        inputs: Vec<usize>,
        block: usize,
        kind: UnitKind,
    ) -> usize {
        self.units.push(Unit {
            name: node.name().to_owned(),
            node: id,
            inputs,
            block,
            wanted: false,
            kind,
        });
        self.units.len() - 1
    }
}

/// Returns an activation whose gradient follows from its output, if the operation is one: the sign of
/// the output must tell that of the input.
fn differentiable_by_output(op: &Op) -> Option<Activation> {
    activation(op).filter(|&activation| match activation {
        Activation::LeakyRelu(slope) => slope > 0.0,
        Activation::Identity | Activation::Relu | Activation::Relu6 => true,
    })
}
