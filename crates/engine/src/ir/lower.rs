//! From a graph to the intermediate form: one instruction a node.

use conv_core::blocked::{Algorithm, Block};
use conv_core::{Activation, Conv2dOptions};
use nn_layers::{Graph, Node, NodeId, Op, ParamSpec};

use super::{Conv, Filters, Instruction, Ir, Norm, Operation};
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::pack::narrow;

impl Ir {
    /// Lowers a graph; inference and training start from the same form.
    pub(crate) fn lower(graph: &Graph) -> Result<Self> {
        let index = |ids: &[NodeId]| ids.iter().map(|id| id.index()).collect();
        let instructions = graph.iter().map(|(id, node)| {
            Ok(Instruction {
                name: node.name().to_owned(),
                node: id,
                inputs: index(node.inputs()),
                operation: operation(graph, id, node)?,
                block: Block::Channels16,
                within: None,
            })
        });
        Ok(Self {
            instructions: instructions.collect::<Result<_>>()?,
            outputs: index(graph.outputs()),
        })
    }
}

/// The table from operations to what computes them.
fn operation(graph: &Graph, layer: NodeId, node: &Node) -> Result<Operation> {
    let kernel = match node.op() {
        Op::Input => return Ok(Operation::Input(input_number(graph, layer, node)?)),
        Op::Conv2d(conv) => return convolution(layer, node, conv.options),
        Op::Linear(_) => return convolution(layer, node, Conv2dOptions::default()),
        Op::BatchNorm2d(_) => return Ok(norm(layer, node, false)),
        Op::Affine => return Ok(norm(layer, node, true)),
        Op::Dropout { probability } => return Ok(Operation::Dropout(*probability)),
        Op::Relu => Kernel::Activation(Activation::Relu),
        Op::Relu6 => Kernel::Activation(Activation::Relu6),
        Op::LeakyRelu { slope } => Kernel::Activation(Activation::LeakyRelu(narrow(*slope))),
        Op::Sigmoid => Kernel::Sigmoid,
        Op::Softmax => Kernel::Softmax,
        Op::MaxPool2d(options) => Kernel::MaxPool(*options),
        Op::AvgPool2d(options) => Kernel::AvgPool(*options),
        Op::GlobalAvgPool2d | Op::AdaptiveAvgPool2d(_) => Kernel::AdaptiveAvgPool,
        Op::Add => Kernel::Add,
        Op::Concat => Kernel::Concat,
        Op::Slice { start, .. } => Kernel::Slice(*start),
        Op::PadChannels { before, .. } => Kernel::PadChannels(*before),
        Op::Flatten => Kernel::Reshape,
        Op::Upsample { scale } => Kernel::Upsample(*scale),
        Op::Reorg { stride } => Kernel::Reorg(*stride),
        Op::Pad { padding, value } => Kernel::Pad(*padding, *value),
    };
    Ok(Operation::Kernel(kernel))
}

fn convolution(layer: NodeId, node: &Node, options: Conv2dOptions) -> Result<Operation> {
    let weight = match node.param("weight").map(ParamSpec::shape) {
        Some(&[o, i, kh, kw]) => [o, i, kh, kw],
        Some(&[o, i]) => [o, i, 1, 1],
        Some(_) | None => {
            let broken = "the weight of a convolution or dense layer has neither four axes nor two";
            return Err(Error::internal(node.name(), broken));
        }
    };
    Ok(Operation::Conv(Box::new(Conv {
        filters: vec![Filters {
            layer,
            folded: Vec::new(),
        }],
        weight,
        options,
        activation: Activation::Identity,
        max_pool: false,
        algorithm: Algorithm::Direct,
    })))
}

fn norm(layer: NodeId, node: &Node, is_affine: bool) -> Operation {
    Operation::Norm(Norm {
        layer,
        channels: node.param("weight").map_or(0, ParamSpec::elements),
        is_affine,
        activation: Activation::Identity,
    })
}

/// Returns the position of a node among the graph's inputs.
fn input_number(graph: &Graph, id: NodeId, node: &Node) -> Result<usize> {
    let number = graph.inputs().iter().position(|&input| input == id);
    number.ok_or_else(|| Error::internal(node.name(), "an input that the graph does not list"))
}
