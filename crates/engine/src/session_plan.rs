//! Where a session's activations lie in memory: known from the intermediate form alone, before any weight
//! exists and before anything is allocated.

use std::ops::Range;

use conv_core::Isa;
use conv_core::blocked::Layout;
use nn_layers::{Graph, Shape};

use crate::arena::{self, Lifetime};
use crate::by_picture::ByPicture;
use crate::error::{Error, Result};
use crate::ir::{Conv, Instruction, Ir, Operation, layout, widen};
use crate::memory::{F32, MemoryUse, bytes};

/// The memory layout of a session's activations.
pub(crate) struct SessionPlan {
    pub(crate) outputs: Vec<Shape>,
    /// The shape and the layout of each instruction's result and its position in the arena: those of one
    /// picture where only steps that run picture by picture need it.
    pub(crate) shapes: Vec<Shape>,
    pub(crate) layouts: Vec<Layout>,
    pub(crate) places: Vec<Range<usize>>,
    /// The position of each instruction's scratch memory.
    pub(crate) scratch: Vec<Range<usize>>,
    pub(crate) by_picture: ByPicture,
    pub(crate) arena_len: usize,
    pub(crate) memory: MemoryUse,
}

impl SessionPlan {
    pub(crate) fn new(ir: &Ir, graph: &Graph, isa: Isa, inputs: &[Shape]) -> Result<Self> {
        let shapes = ir.shapes(graph, inputs)?;
        let outputs: Vec<Shape> = ir
            .outputs
            .iter()
            .map(|&value| shapes[value].clone())
            .collect();
        let by_picture = ByPicture::new(ir, &shapes, isa)?;
        let layouts = ir.instructions.iter().zip(&shapes).zip(&by_picture.alone);
        let mut layouts: Vec<Layout> = layouts
            .map(|((instruction, shape), &alone)| {
                let layout = layout(shape, instruction.block);
                if alone {
                    layout.of_one_picture()
                } else {
                    layout
                }
            })
            .collect();
        let mut lifetimes: Vec<Lifetime> = (0..layouts.len())
            .map(|i| Lifetime {
                len: 0,
                first: i,
                last: i,
            })
            .collect();
        for (index, instruction) in ir.instructions.iter().enumerate() {
            for &input in &instruction.inputs {
                lifetimes[input].last = index;
            }
            if let Some((conv, input)) = conv(instruction) {
                let size = layouts[input].size;
                let halo = conv.algorithm_spec(isa).and_then(|spec| spec.halo(size));
                let halo = halo.map_err(Error::at(&instruction.name))?;
                widen(&mut layouts[input].halo, halo);
            }
        }
        for &output in &ir.outputs {
            lifetimes[output].last = layouts.len();
        }
        // What is needed later keeps its memory while the pictures before and after it are computed.
        for value in (0..by_picture.steps).filter(|&value| !by_picture.alone[value]) {
            let lifetime = &mut lifetimes[value];
            (lifetime.first, lifetime.last) = (0, lifetime.last.max(by_picture.steps - 1));
        }
        ir.merge_parts(&mut layouts, &mut lifetimes);
        for ((lifetime, layout), instruction) in
            lifetimes.iter_mut().zip(&layouts).zip(&ir.instructions)
        {
            let len = layout
                .checked_len("session")
                .map_err(Error::at(&instruction.name))?;
            if instruction.within.is_none() {
                lifetime.len = len;
            }
        }
        let threads = rayon::current_num_threads();
        for (index, instruction) in ir.instructions.iter().enumerate() {
            let len = match conv(instruction) {
                Some((conv, input)) => {
                    let input = match index < by_picture.steps {
                        true => layouts[input].of_one_picture(),
                        false => layouts[input],
                    };
                    conv.algorithm_spec(isa)
                        .and_then(|spec| match conv.max_pool {
                            false => spec.scratch_len(&input, threads),
                            true => spec.max_pool_scratch(&input, threads),
                        })
                        .map_err(Error::at(&instruction.name))?
                }
                None => 0,
            };
            lifetimes.push(Lifetime {
                len,
                first: index,
                last: index,
            });
        }
        let arena = arena::place(&lifetimes)?;
        let mut places: Vec<Range<usize>> = arena
            .starts
            .iter()
            .zip(&lifetimes)
            .map(|(&start, l)| start..start + l.len)
            .collect();
        let scratch = places.split_off(layouts.len());
        for (value, layout) in layouts.iter().enumerate() {
            let (root, blocks) = ir.root(value);
            if root != value {
                let start = places[root].start + blocks * layout.block_step();
                places[value] = start..start + layout.len();
            }
        }
        let memory = MemoryUse {
            parameters: ir.packed_bytes(isa)?,
            activations: arena.len as u64 * F32,
            outputs: bytes(&outputs),
            ..MemoryUse::default()
        };
        Ok(Self {
            outputs,
            shapes,
            layouts,
            places,
            scratch,
            by_picture,
            arena_len: arena.len,
            memory,
        })
    }
}

/// Returns the convolution that an instruction computes, and the value that it slides over.
fn conv(instruction: &Instruction) -> Option<(&Conv, usize)> {
    match &instruction.operation {
        Operation::Conv(conv) => instruction.inputs.first().map(|&input| (&**conv, input)),
        Operation::Input(_) | Operation::Norm(_) | Operation::Dropout(_) | Operation::Kernel(_) => {
            None
        }
    }
}
