//! A concatenation of whole channel blocks is written by whatever computes its parts, and a slice of
//! whole blocks is a view of its input: neither copies.

use conv_core::blocked::{BLOCK, Block};
use nn_layers::{Graph, NodeId};

use crate::ir::{Instruction, Ir, Operation, Within};
use crate::kernel::Kernel;

pub(crate) fn run(mut ir: Ir, graph: &Graph) -> Ir {
    let channels = ir.instructions.iter().map(|one| channels(one, graph));
    let channels: Vec<usize> = channels.collect();
    let mut groups = Groups::new(channels.len());
    // The channels of pictures `[N, C, H, W]` are what the graph states. The features `[N, F]` of flattened
    // ones are more where a session's pictures are larger.
    let is_picture = |node: NodeId| graph.node(node).is_some_and(|node| node.shape().len() == 4);
    for index in 0..channels.len() {
        let Operation::Kernel(kernel) = &ir.instructions[index].operation else {
            continue;
        };
        if !is_picture(ir.instructions[index].node) {
            continue;
        }
        match (kernel, &ir.instructions[index].inputs[..]) {
            (&Kernel::Slice(first), &[input]) => {
                let end = first + channels[index];
                let is_whole = first.is_multiple_of(BLOCK)
                    && (end.is_multiple_of(BLOCK) || end == channels[input]);
                if is_whole && ir.instructions[input].block == Block::Channels16 {
                    groups.join(index, input);
                    ir.instructions[index].within = Some(Within::new(input, first));
                }
            }
            (Kernel::Concat, _) => share_parts(&mut ir, &mut groups, index, &channels),
            _ => {}
        }
    }
    ir
}

fn channels(instruction: &Instruction, graph: &Graph) -> usize {
    let of_node = || graph.node(instruction.node)?.shape().get(1).copied();
    match &instruction.operation {
        Operation::Conv(conv) => conv.weight[0],
        Operation::Input(_) | Operation::Norm(_) | Operation::Dropout(_) | Operation::Kernel(_) => {
            of_node().unwrap_or(1)
        }
    }
}

/// Lets the parts of a concatenation be written into it, where they can.
fn share_parts(ir: &mut Ir, groups: &mut Groups, concat: usize, channels: &[usize]) {
    let inputs = ir.instructions[concat].inputs.clone();
    let mut joined = groups.clone();
    let mut parts = Vec::new();
    let mut first = 0;
    for (number, &input) in inputs.iter().enumerate() {
        let end = first + channels[input];
        let is_last = number + 1 == inputs.len();
        let is_whole = first.is_multiple_of(BLOCK) && (end.is_multiple_of(BLOCK) || is_last);
        let is_twice = inputs.iter().filter(|&&other| other == input).count() > 1;
        if is_whole
            && !is_twice
            && can_write_elsewhere(&ir.instructions[input])
            && !joined.conflict(ir, input, concat)
        {
            joined.join(input, concat);
            parts.push((input, Within::new(concat, first)));
        }
        first = end;
    }
    // The others are copied, from other memory.
    let is_part = |input| parts.iter().any(|&(part, _)| part == input);
    let mut others = inputs.iter().filter(|&&input| !is_part(input));
    if others.any(|&input| joined.of[input] == joined.of[concat]) {
        return;
    }
    for &(input, within) in &parts {
        ir.instructions[input].within = Some(within);
    }
    *groups = joined;
}

/// Whether an instruction may write its value into a larger one: not if it is planar, or has its place
/// already.
fn can_write_elsewhere(instruction: &Instruction) -> bool {
    instruction.block == Block::Channels16
        && instruction.within.is_none()
        && match &instruction.operation {
            Operation::Input(_) => false,
            Operation::Conv(_)
            | Operation::Norm(_)
            | Operation::Dropout(_)
            | Operation::Kernel(_) => true,
        }
}

/// The values that share memory.
#[derive(Clone)]
struct Groups {
    /// The number of each value's group.
    of: Vec<usize>,
}

impl Groups {
    fn new(values: usize) -> Self {
        Self {
            of: (0..values).collect(),
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (from, to) = (self.of[a], self.of[b]);
        let members = self.of.iter_mut().filter(|group| **group == from);
        members.for_each(|group| *group = to);
    }

    /// Whether an instruction before `b` would read and write the same group if those of `a` and `b`
    /// became one: with several pictures, the ranges of their channels interleave.
    fn conflict(&self, ir: &Ir, a: usize, b: usize) -> bool {
        let joined = [self.of[a], self.of[b]];
        let is_in = |value: usize| joined.contains(&self.of[value]);
        (0..b).any(|value| is_in(value) && ir.reads(value).any(is_in))
    }
}

#[cfg(test)]
mod tests {
    use nn_layers::{Conv2d, GraphBuilder, NodeId};

    use super::*;
    use crate::passes::testing::assert_prints;

    fn shared(
        build: impl FnOnce(&mut GraphBuilder, NodeId) -> nn_layers::Result<Vec<NodeId>>,
    ) -> Ir {
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, 16, 8, 8]).unwrap();
        let outputs = build(&mut b, x).unwrap();
        let graph = b.finish(&outputs).unwrap();
        run(Ir::lower(&graph).unwrap(), &graph)
    }

    #[test]
    fn parts_are_written_into_the_concatenation() {
        let ir = shared(|b, x| {
            let one = b.conv2d("one", x, Conv2d::new(32, [1, 1]))?;
            let two = b.relu("two", x)?;
            let odd = b.conv2d("odd", x, Conv2d::new(5, [1, 1]))?;
            let inner = b.concat("inner", &[one, two])?;
            Ok(vec![b.concat("outer", &[inner, x, odd])?])
        });
        assert_prints(
            &ir,
            "%0 = input 0
             %1 in %4 at 0 = conv2d 1x1 (%0)
             %2 in %4 at 32 = relu (%0)
             %3 in %5 at 64 = conv2d 1x1 (%0)
             %4 in %5 at 0 = concat (%1, %2)
             %5 = concat (%4, %0, %3)
             outputs: %5",
        );
    }

    #[test]
    fn a_part_of_half_a_block_is_copied() {
        let ir = shared(|b, x| {
            let half = b.conv2d("half", x, Conv2d::new(24, [1, 1]))?;
            let next = b.relu("next", x)?;
            Ok(vec![b.concat("all", &[half, next])?])
        });
        assert_prints(
            &ir,
            "%0 = input 0
             %1 = conv2d 1x1 (%0)
             %2 = relu (%0)
             %3 = concat (%1, %2)
             outputs: %3",
        );
    }

    #[test]
    fn a_layer_does_not_write_beside_what_it_reads() {
        // As in a densely connected network.
        let ir = shared(|b, x| {
            let first = b.relu("first", x)?;
            let second = b.conv2d("second", first, Conv2d::new(16, [1, 1]))?;
            Ok(vec![b.concat("both", &[first, second])?])
        });
        assert_prints(
            &ir,
            "%0 = input 0
             %1 in %3 at 0 = relu (%0)
             %2 = conv2d 1x1 (%1)
             %3 = concat (%1, %2)
             outputs: %3",
        );
    }

    #[test]
    fn a_copy_within_a_concatenation_is_not_shared() {
        let ir = shared(|b, x| {
            let wide = b.conv2d("wide", x, Conv2d::new(32, [1, 1]))?;
            let half = b.slice("half", wide, 16, 16)?;
            let both = b.concat("both", &[wide, half])?;
            let relu = b.relu("relu", x)?;
            Ok(vec![both, b.concat("twice", &[relu, relu])?])
        });
        assert_prints(
            &ir,
            "%0 = input 0
             %1 = conv2d 1x1 (%0)
             %2 in %1 at 16 = slice (%1)
             %3 = concat (%1, %2)
             %4 = relu (%0)
             %5 = concat (%4, %4)
             outputs: %3 %5",
        );
    }

    #[test]
    fn a_slice_of_whole_blocks_is_a_view() {
        let ir = shared(|b, x| {
            let wide = b.conv2d("wide", x, Conv2d::new(40, [1, 1]))?;
            let middle = b.slice("middle", wide, 16, 16)?;
            let end = b.slice("end", wide, 16, 24)?;
            let half = b.slice("half", wide, 0, 8)?;
            Ok(vec![middle, end, half])
        });
        assert_prints(
            &ir,
            "%0 = input 0
             %1 = conv2d 1x1 (%0)
             %2 in %1 at 16 = slice (%1)
             %3 in %1 at 16 = slice (%1)
             %4 = slice (%1)
             outputs: %2 %3 %4",
        );
    }
}
