//! The engine's intermediate form: a graph as a list of instructions, which the
//! [passes](crate::passes) rewrite and the sessions execute.
//!
//! It holds neither weights nor sizes. An instruction names the nodes whose parameters it reads, and
//! sizes follow from those of a session's inputs. So a pass is cheap, the memory of a plan is known
//! before any of it is allocated, and the form [prints](std::fmt::Display) on a page.

mod lower;
mod memory;
mod print;
mod shapes;
mod traffic;

use conv_core::blocked::{Algorithm, BLOCK, Block};
use conv_core::{Activation, Conv2dOptions};
use nn_layers::NodeId;

pub(crate) use shapes::{layout, widen};

use crate::kernel::Kernel;

/// Instructions in the order of execution. Each computes one value, which has the number of its
/// instruction.
#[derive(Clone, Debug)]
pub(crate) struct Ir {
    pub(crate) instructions: Vec<Instruction>,
    /// The values that are the graph's outputs.
    pub(crate) outputs: Vec<usize>,
}

/// One instruction.
#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    /// The name of the last node that it computes.
    pub(crate) name: String,
    /// That node, whose shape the value has, unless the instruction pads it for a convolution.
    pub(crate) node: NodeId,
    /// The values that it reads.
    pub(crate) inputs: Vec<usize>,
    pub(crate) operation: Operation,
    /// The channel blocks of the value.
    pub(crate) block: Block,
    /// Where the value lies, if it has no memory of its own.
    pub(crate) within: Option<Within>,
}

/// A range of the channel blocks of another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Within {
    /// The value that it is a part of.
    pub(crate) of: usize,
    pub(crate) first_block: usize,
}

impl Within {
    /// Returns the range from a channel on, which begins a block.
    pub(crate) fn new(of: usize, first_channel: usize) -> Self {
        Self {
            of,
            first_block: first_channel / BLOCK,
        }
    }
}

/// What an instruction computes.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// The caller's tensor with this index.
    Input(usize),
    /// A convolution, or a dense layer as a convolution over pictures of one pixel. A second input is
    /// added to its sum.
    Conv(Box<Conv>),
    /// A batch normalisation or affine layer. A second input is added to its sum.
    Norm(Norm),
    /// Dropout with this probability, in training.
    Dropout(f64),
    /// An operation without parameters.
    Kernel(Kernel),
}

/// `activation(conv(x) + second input)`, or a max pool of that.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    /// The filters of one layer, or of several, in the order of the output channels.
    pub(crate) filters: Vec<Filters>,
    /// The shape of its weight as a convolution's, `[O, I / groups, kh, kw]`.
    pub(crate) weight: [usize; 4],
    pub(crate) options: Conv2dOptions,
    pub(crate) activation: Activation,
    /// Whether only the largest of each 2x2 results is stored: see [`MaxPool`](conv_core::blocked::MaxPool).
    pub(crate) max_pool: bool,
    pub(crate) algorithm: Algorithm,
}

/// The filters of a convolution or dense layer.
#[derive(Clone, Debug)]
pub(crate) struct Filters {
    /// The layer.
    pub(crate) layer: NodeId,
    /// The normalisations that are folded into its weight and bias, in order.
    pub(crate) folded: Vec<NodeId>,
}

/// `activation(scale[c] * x + shift[c] + second input)`.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    /// The batch normalisation or affine layer.
    pub(crate) layer: NodeId,
    pub(crate) channels: usize,
    /// Whether it is an affine layer, without statistics.
    pub(crate) is_affine: bool,
    pub(crate) activation: Activation,
}

impl Ir {
    /// Returns how often each value is read, counting the graph's outputs.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.instructions.len()];
        let inputs = self.instructions.iter().flat_map(|one| &one.inputs);
        for &value in inputs.chain(&self.outputs) {
            uses[value] += 1;
        }
        uses
    }

    /// Returns whether an instruction has something to do: not if all that it reads already lies where the
    /// result does.
    pub(crate) fn runs(&self, value: usize) -> bool {
        self.instructions[value].inputs.is_empty() || self.reads(value).next().is_some()
    }

    /// Returns the values that the kernel of an instruction reads: not those that already lie where the
    /// result does.
    pub(crate) fn reads(&self, value: usize) -> impl Iterator<Item = usize> + '_ {
        let inputs = self.instructions[value].inputs.iter().copied();
        inputs.filter(move |&input| self.reads_input(value, input))
    }

    /// Returns whether the kernel of an instruction reads this input.
    pub(crate) fn reads_input(&self, value: usize, input: usize) -> bool {
        let instruction = &self.instructions[value];
        let lies_in =
            |part: &Instruction, whole: usize| part.within.is_some_and(|within| within.of == whole);
        match instruction.operation {
            Operation::Kernel(Kernel::Slice(_)) => !lies_in(instruction, input),
            Operation::Kernel(Kernel::Concat) => !lies_in(&self.instructions[input], value),
            Operation::Input(_)
            | Operation::Conv(_)
            | Operation::Norm(_)
            | Operation::Dropout(_)
            | Operation::Kernel(_) => true,
        }
    }

    /// Rebuilds the form, before any value is a part of another. `rewrite` gets the instructions that are done and the next one, whose inputs
    /// have their new numbers, and returns the new number of its value.
    pub(crate) fn rewrite(
        self,
        mut rewrite: impl FnMut(&mut Vec<Instruction>, Instruction) -> usize,
    ) -> Self {
        let mut done = Vec::with_capacity(self.instructions.len());
        let mut numbers = Vec::with_capacity(self.instructions.len());
        for mut instruction in self.instructions {
            for input in &mut instruction.inputs {
                *input = numbers[*input];
            }
            numbers.push(rewrite(&mut done, instruction));
        }
        Self {
            instructions: done,
            outputs: self.outputs.iter().map(|&value| numbers[value]).collect(),
        }
    }

    /// Lets instructions absorb those that read their values. `absorb` gets the instruction that
    /// computes the last of another's inputs, if nothing else reads that value, and that other one;
    /// it returns whether the former now computes the latter's value. Only the last can: by then, the
    /// other inputs have been computed.
    pub(crate) fn absorb(
        self,
        mut absorb: impl FnMut(&mut Instruction, &Instruction) -> bool,
    ) -> Self {
        let mut uses = self.uses().into_iter();
        // How often each new value is read.
        let mut new_uses = Vec::with_capacity(self.instructions.len());
        self.rewrite(|done, instruction| {
            let count = uses.next().unwrap_or(0);
            if let Some(&last) = instruction.inputs.iter().max()
                && new_uses[last] == 1
                && absorb(&mut done[last], &instruction)
            {
                let Instruction { name, node, .. } = instruction;
                (done[last].name, done[last].node) = (name, node);
                new_uses[last] = count;
                return last;
            }
            new_uses.push(count);
            push(done, instruction)
        })
    }
}

/// Appends an instruction and returns the number of its value.
pub(crate) fn push(done: &mut Vec<Instruction>, instruction: Instruction) -> usize {
    done.push(instruction);
    done.len() - 1
}
