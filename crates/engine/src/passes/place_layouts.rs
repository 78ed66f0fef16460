//! Every value gets a layout, and a copy in the other layout wherever a kernel needs that one. The
//! caller's tensors are planar, as a convolution with few input channels reads them; everything else
//! is NCHW16c.

use conv_core::blocked::{Block, Conv2dSpec};

use crate::ir::{Instruction, Ir, Operation, push};
use crate::kernel::Kernel;

pub(crate) fn run(ir: Ir) -> Ir {
    // The copy of each new value, once one has been made.
    let mut copies: Vec<Option<usize>> = Vec::new();
    ir.rewrite(|done, mut instruction| {
        if let Operation::Input(_) = instruction.operation {
            instruction.block = Block::Planar;
        }
        let first = first_block(&instruction.operation);
        for (number, input) in instruction.inputs.iter_mut().enumerate() {
            let block = match number {
                0 => first,
                _ => Block::Channels16,
            };
            if done[*input].block != block {
                copies.resize(done.len(), None);
                *input =
                    *copies[*input].get_or_insert_with(|| push(done, copy(done, *input, block)));
            }
        }
        push(done, instruction)
    })
}

/// The channel blocks of the first input that a kernel reads.
fn first_block(operation: &Operation) -> Block {
    match operation {
        Operation::Conv(conv) => {
            let [_, channels, ..] = conv.weight;
            let groups = conv.options.groups;
            Conv2dSpec::input_block(channels.saturating_mul(groups), groups)
        }
        Operation::Input(_) | Operation::Norm(_) | Operation::Dropout(_) | Operation::Kernel(_) => {
            Block::Channels16
        }
    }
}

fn copy(done: &[Instruction], value: usize, block: Block) -> Instruction {
    Instruction {
        inputs: vec![value],
        operation: Operation::Kernel(Kernel::Relayout),
        block,
        ..done[value].clone()
    }
}

#[cfg(test)]
mod tests {
    use nn_layers::Conv2d;

    use super::*;
    use crate::passes::testing::{assert_prints, lowered};

    #[test]
    fn one_copy_serves_all_readers_of_the_other_layout() {
        let ir = lowered(|b, x| {
            let few = b.conv2d("few", x, Conv2d::new(3, [1, 1]))?;
            let planar = b.conv2d("planar", few, Conv2d::new(3, [3, 3]))?;
            let again = b.conv2d("again", few, Conv2d::new(3, [3, 3]))?;
            let blocked = b.relu("blocked", few)?;
            let sum = b.add("sum", planar, again)?;
            Ok(vec![sum, blocked, b.relu("relu", x)?])
        });
        assert_prints(
            &run(ir),
            "%0 planar = input 0
             %1 = relayout (%0)
             %2 = conv2d 1x1 (%1)
             %3 planar = relayout (%2)
             %4 = conv2d 3x3 (%3)
             %5 = conv2d 3x3 (%3)
             %6 = relu (%2)
             %7 = add (%4, %5)
             %8 = relu (%1)
             outputs: %7 %6 %8",
        );
    }
}
