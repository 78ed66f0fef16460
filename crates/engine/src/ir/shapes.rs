//! The shapes of the values, for a session's inputs.

use conv_core::blocked::{Block, Layout};
use nn_layers::{Graph, Shape};

use super::{Instruction, Ir, Operation};
use crate::error::{Error, Result};
use crate::kernel::Kernel;

impl Ir {
    /// Returns the shape of each value for inputs of these shapes.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the graph does not accept them.
    pub(crate) fn shapes(&self, graph: &Graph, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let of_nodes = graph.infer(inputs)?;
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.instructions.len());
        for instruction in &self.instructions {
            let shape = match (&instruction.operation, &instruction.inputs[..]) {
                (Operation::Kernel(kernel @ Kernel::ConvPadding(..)), &[input]) => {
                    padded(&shapes[input], kernel, instruction)?
                }
                (Operation::Conv(conv), _) => {
                    let mut shape = of_nodes[instruction.node.index()].to_vec();
                    if let Some(channels) = shape.get_mut(1) {
                        [*channels, ..] = conv.weight;
                    }
                    Shape::from(shape)
                }
                _ => of_nodes[instruction.node.index()].clone(),
            };
            shapes.push(shape);
        }
        Ok(shapes)
    }
}

/// Returns the shape of a convolution's padded input.
fn padded(shape: &Shape, kernel: &Kernel, instruction: &Instruction) -> Result<Shape> {
    let size = [2, 3].map(|axis| shape.get(axis).copied().unwrap_or(1));
    let [top, left, bottom, right] = kernel.padding(size).map_err(Error::at(&instruction.name))?;
    let mut shape = shape.to_vec();
    for (axis, around) in [(2, [top, bottom]), (3, [left, right])] {
        if let Some(size) = shape.get_mut(axis) {
            *size = around
                .iter()
                .fold(*size, |size, pad| size.saturating_add(*pad));
        }
    }
    Ok(Shape::from(shape))
}

/// Returns the layout of a tensor of this shape without a halo: `[N, C, H, W]`, or `[N, F]` as
/// pictures of one pixel.
pub(crate) fn layout(shape: &Shape, block: Block) -> Layout {
    let size = |axis| shape.get(axis).copied().unwrap_or(1);
    Layout {
        block,
        ..Layout::blocked(size(0), size(1), [size(2), size(3)])
    }
}

/// Makes a halo `[top, left, bottom, right]` at least as wide as needed.
pub(crate) fn widen(halo: &mut [usize; 4], needed: [usize; 4]) {
    for (side, needed) in halo.iter_mut().zip(needed) {
        *side = needed.max(*side);
    }
}
