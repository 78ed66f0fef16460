//! The *units* of a training session: the instructions, each with its layer and its way back.
//!
//! A convolution computes the statistics of its output as it runs, for the normalisation that reads
//! it.

use conv_core::{Activation, Isa, MaxPool2dOptions, PaddingValue, Window};
use nn_layers::{GradientFlow, Graph, Node, NodeId, Params};

use super::grad_kernel::GradKernel;
use super::layer::{ConvLayer, Layer};
use super::norm_layer::NormLayer;
use crate::error::{Error, Result};
use crate::ir::{Instruction, Ir, Operation};
use crate::kernel::Kernel;
use crate::passes::is_differentiable_by_output;

/// An instruction, forward and backward.
#[derive(Debug)]
pub(crate) struct Unit {
    /// The name of the last node that it computes.
    pub(crate) name: String,
    /// The units whose results it reads.
    pub(crate) inputs: Vec<usize>,
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
    /// The padding of a convolution with this window, which then runs without padding.
    Pad(Window, PaddingValue),
    /// Dropout with this probability.
    Dropout(f64),
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
            UnitKind::Input(_) => (0, false, true),
            UnitKind::Conv { layer, .. } => (usize::from(layers[*layer].learns()), false, true),
            UnitKind::Norm { activation, .. } => (1, *activation != Activation::Identity, true),
            UnitKind::Activation(activation) => (0, *activation != Activation::Identity, true),
            UnitKind::MaxPool(_) => (1, false, true),
            UnitKind::Kernel { backward, .. } => (0, false, backward.can_add()),
            UnitKind::Pad(..) | UnitKind::Dropout(_) => (0, false, false),
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

/// The units of a graph, one for each instruction, and the layers that hold its parameters.
pub(crate) struct Lowered {
    pub(crate) ir: Ir,
    pub(crate) units: Vec<Unit>,
    pub(crate) layers: Vec<Layer>,
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

/// Makes the units of a graph's form for training and packs the parameters that it reads, which are
/// removed from `params`.
pub(crate) fn lower(
    graph: &Graph,
    ir: Ir,
    params: &mut Params<f32>,
    flow: &GradientFlow,
    isa: Isa,
) -> Result<Lowered> {
    params.check(graph)?;
    let mut lowering = Lowering {
        graph,
        flow,
        isa,
        params,
        units: Vec::with_capacity(ir.instructions.len()),
        layers: Vec::new(),
    };
    for instruction in &ir.instructions {
        let kind = lowering.kind(instruction)?;
        lowering.units.push(Unit {
            name: instruction.name.clone(),
            inputs: instruction.inputs.clone(),
            wanted: flow.is_wanted(instruction.node),
            kind,
        });
    }
    let Lowering { units, layers, .. } = lowering;
    Ok(Lowered { ir, units, layers })
}

struct Lowering<'a> {
    graph: &'a Graph,
    flow: &'a GradientFlow,
    isa: Isa,
    params: &'a mut Params<f32>,
    units: Vec<Unit>,
    layers: Vec<Layer>,
}

impl<'a> Lowering<'a> {
    /// The table from instructions to the units that compute them, forward and backward.
    fn kind(&mut self, instruction: &Instruction) -> Result<UnitKind> {
        Ok(match &instruction.operation {
            Operation::Input(number) => UnitKind::Input(*number),
            Operation::Conv(conv) => {
                let [filters] = &conv.filters[..] else {
                    let broken = "a convolution in training has the filters of several layers";
                    return Err(Error::internal(&instruction.name, broken));
                };
                let (node, frozen) = self.layer(instruction, filters.layer)?;
                let layer = ConvLayer::new(node, conv, self.params, frozen, self.isa)?;
                self.layers.push(Layer::Conv(layer));
                UnitKind::Conv {
                    layer: self.layers.len() - 1,
                    norm: None,
                }
            }
            Operation::Norm(norm) => {
                let (node, frozen) = self.layer(instruction, norm.layer)?;
                let layer = NormLayer::new(node, self.params, frozen)?;
                self.layers.push(Layer::Norm(layer));
                let layer = self.layers.len() - 1;
                let takes_statistics = !frozen && !norm.is_affine;
                UnitKind::Norm {
                    layer,
                    activation: norm.activation,
                    takes_statistics: takes_statistics
                        && !self.convolution_gives_statistics(&instruction.inputs, layer),
                }
            }
            Operation::Dropout(probability) => UnitKind::Dropout(*probability),
            Operation::Kernel(kernel) => self.kernel(instruction, kernel)?,
        })
    }

    fn kernel(&self, instruction: &Instruction, kernel: &Kernel) -> Result<UnitKind> {
        let with = |backward| UnitKind::Kernel {
            forward: kernel.clone(),
            backward,
        };
        Ok(match kernel {
            Kernel::Activation(activation) if is_differentiable_by_output(*activation) => {
                UnitKind::Activation(*activation)
            }
            Kernel::MaxPool(options) => UnitKind::MaxPool(*options),
            Kernel::ConvPadding(window, value) => UnitKind::Pad(*window, *value),
            Kernel::Relayout | Kernel::Add => with(GradKernel::Same),
            Kernel::Concat => with(GradKernel::Concat),
            Kernel::Slice(first) => with(GradKernel::Slice(*first)),
            Kernel::PadChannels(before) => with(GradKernel::PadChannels(*before)),
            Kernel::Reshape => with(GradKernel::Reshape),
            Kernel::AvgPool(options) => with(GradKernel::AvgPool(*options)),
            Kernel::AdaptiveAvgPool => with(GradKernel::AdaptiveAvgPool),
            Kernel::Upsample(scale) => with(GradKernel::Upsample(*scale)),
            Kernel::Activation(_)
            | Kernel::Sigmoid
            | Kernel::Softmax
            | Kernel::Reorg(_)
            | Kernel::Pad(..) => UnitKind::Plain(Box::new(self.graph.isolate(instruction.node)?)),
        })
    }

    /// Returns the node of a layer, and whether it is frozen.
    fn layer(&self, instruction: &Instruction, id: NodeId) -> Result<(&'a Node, bool)> {
        let unknown = "an instruction names a node of another graph";
        let node = self.graph.node(id);
        let node = node.ok_or_else(|| Error::internal(&instruction.name, unknown))?;
        Ok((node, self.flow.is_frozen(id)))
    }

    /// Makes the convolution that feeds a normalisation compute its statistics, if there is one. A frozen
    /// one does not: its results may come from a cache, and must lead to the same bits then.
    fn convolution_gives_statistics(&mut self, inputs: &[usize], layer: usize) -> bool {
        let source = inputs.first().map(|&source| &mut self.units[source].kind);
        let Some(UnitKind::Conv {
            layer: conv,
            norm: norm @ None,
        }) = source
        else {
            return false;
        };
        let learns = self.layers[*conv].learns();
        if learns {
            *norm = Some(layer);
        }
        learns
    }
}
