//! Every value gets a layout, and a copy in the other layout wherever a kernel needs that one. A
//! convolution with few input channels reads planar NCHW; everything else is NCHW16c. The caller's tensors
//! are converted to what their first reader reads.

use conv_core::blocked::{Block, Conv2dSpec};

use crate::ir::{Instruction, Ir, Operation, push};
use crate::kernel::Kernel;

pub(crate) fn run(ir: Ir) -> Ir {
    let mut first_reads = first_reads(&ir).into_iter();
    // The copy of each new value, once one has been made.
    let mut copies: Vec<Option<usize>> = Vec::new();
    ir.rewrite(|done, mut instruction| {
        let first_read = first_reads.next().flatten();
        if let Operation::Input(_) = instruction.operation {
            instruction.block = first_read.unwrap_or(Block::Planar);
        }
        for (number, input) in instruction.inputs.iter_mut().enumerate() {
            let block = block_of_input(&instruction.operation, number);
            if done[*input].block != block {
                copies.resize(done.len(), None);
                *input =
                    *copies[*input].get_or_insert_with(|| push(done, copy(done, *input, block)));
            }
        }
        push(done, instruction)
    })
}

/// Returns the channel blocks in which each value is read first.
fn first_reads(ir: &Ir) -> Vec<Option<Block>> {
    let mut reads = vec![None; ir.instructions.len()];
    for instruction in &ir.instructions {
        for (number, &input) in instruction.inputs.iter().enumerate() {
            reads[input].get_or_insert_with(|| block_of_input(&instruction.operation, number));
        }
    }
    reads
}

/// Returns the channel blocks in which an operation reads its input with this number.
fn block_of_input(operation: &Operation, number: usize) -> Block {
    match number {
        0 => first_block(operation),
        _ => Block::Channels16,
    }
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
    use nn_layers::{Conv2d, GraphBuilder};

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
            "%0 = input 0
             %1 = conv2d 1x1 (%0)
             %2 planar = relayout (%1)
             %3 = conv2d 3x3 (%2)
             %4 = conv2d 3x3 (%2)
             %5 = relu (%1)
             %6 = add (%3, %4)
             %7 = relu (%0)
             outputs: %6 %5 %7",
        );
    }

    #[test]
    fn an_input_enters_as_its_first_reader_reads_it() {
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, 3, 8, 8]).unwrap();
        let conv = b.conv2d("conv", x, Conv2d::new(3, [3, 3])).unwrap();
        let relu = b.relu("relu", x).unwrap();
        let graph = b.finish(&[conv, relu]).unwrap();
        assert_prints(
            &run(Ir::lower(&graph).unwrap()),
            "%0 planar = input 0
             %1 = conv2d 3x3 (%0)
             %2 = relayout (%0)
             %3 = relu (%2)
             outputs: %1 %3",
        );
    }
}
