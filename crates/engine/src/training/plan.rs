//! The memory layout of a training step for inputs of one shape: values, gradients, and the arena
//! that they share.
//!
//! A step runs forward through the units, then computes the loss, then runs backward through the
//! units. A value is live until the last unit that reads it, in the forward or the backward pass. A
//! gradient is live from the first unit that contributes to it until its own unit's backward pass,
//! or until the end of the step if it is that of an input.

use std::ops::Range;

use conv_core::blocked::{Block, Conv2dGradInput, Layout, Store, batch_norm_scratch};
use nn_layers::{Graph, Shape};

use super::layer::{ConvLayer, Layer};
use super::unit::{Lowered, Unit, UnitKind};
use crate::arena::{self, Lifetime};
use crate::error::{Error, Result};
use crate::ir;
use crate::memory::{F32, F64, MemoryUse, bytes};

/// A tensor's layout and its part of the arena.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) layout: Layout,
    pub(crate) range: Range<usize>,
}

/// A unit's contribution to the gradient of one of its inputs.
#[derive(Clone, Debug)]
pub(crate) struct Contribution {
    /// The unit whose gradient it contributes to.
    pub(crate) to: usize,
    /// [`Store::Replace`] for the first contribution to the gradient, else [`Store::Add`].
    pub(crate) store: Store,
    /// Scratch memory for this contribution alone, if it has to be added and the kernel cannot add.
    pub(crate) alone: Option<Place>,
}

/// The plan of a step.
#[derive(Debug)]
pub(crate) struct StepPlan {
    pub(crate) inputs: Vec<Shape>,
    /// The shape of each unit's result.
    pub(crate) shapes: Vec<Shape>,
    pub(crate) values: Vec<Place>,
    pub(crate) grads: Vec<Option<Place>>,
    /// For each unit, for each of its inputs.
    pub(crate) contributions: Vec<Vec<Option<Contribution>>>,
    /// For each convolution whose input gradient is needed.
    pub(crate) grad_inputs: Vec<Option<Conv2dGradInput>>,
    pub(crate) arena_len: usize,
    /// Scratch memory for weight gradients and for sums.
    pub(crate) weight_scratch: usize,
    pub(crate) sum_scratch: usize,
}

impl StepPlan {
    pub(crate) fn new(graph: &Graph, lowered: &Lowered, inputs: &[Shape]) -> Result<Self> {
        let Lowered { ir, units, layers } = lowered;
        let shapes = ir.shapes(graph, inputs)?;
        let layout = |unit: usize, block| ir::layout(&shapes[unit], block);
        let mut values: Vec<Layout> = (0..units.len())
            .map(|unit| layout(unit, ir.instructions[unit].block))
            .collect();
        let mut grads: Vec<Option<Layout>> = (0..units.len())
            .map(|unit| units[unit].wanted.then(|| layout(unit, Block::Channels16)))
            .collect();
        let mut grad_inputs = Vec::with_capacity(units.len());
        let (mut weight_scratch, mut sum_scratch) = (0, 0);
        for (index, unit) in units.iter().enumerate() {
            let mut grad_input = None;
            match (&unit.kind, &unit.inputs[..]) {
                (UnitKind::Conv { layer, .. }, &[input]) => {
                    let layer = conv(layers, *layer, unit)?;
                    let at = || Error::at(&unit.name);
                    let size = values[input].size;
                    let spec = &layer.weights.spec;
                    let halo = spec.halo(size).map_err(at())?;
                    ir::widen(&mut values[input].halo, halo);
                    if unit.wanted && layer.learns {
                        let needed = spec.grad_weight_scratch(values[input].batch, size);
                        weight_scratch = weight_scratch.max(needed.map_err(at())?);
                    }
                    if let (true, true, Some(grad)) =
                        (unit.wanted, units[input].wanted, &mut grads[index])
                    {
                        let made = Conv2dGradInput::new(spec, size).map_err(at())?;
                        ir::widen(&mut grad.halo, made.halo());
                        grad_input = Some(made);
                    }
                }
                (UnitKind::Norm { .. }, _) => {
                    sum_scratch = sum_scratch.max(batch_norm_scratch(&values[index]));
                }
                (UnitKind::Conv { .. }, _) => {
                    return Err(unit.broken("a convolution has one input"));
                }
                (
                    UnitKind::Input(_)
                    | UnitKind::Activation(_)
                    | UnitKind::MaxPool(_)
                    | UnitKind::Kernel { .. }
                    | UnitKind::Pad(..)
                    | UnitKind::Dropout(_)
                    | UnitKind::Plain(_),
                    _,
                ) => {}
            }
            grad_inputs.push(grad_input);
        }
        // Only once all halos are known: how a convolution is split depends on them.
        for (index, unit) in units.iter().enumerate() {
            if let (
                UnitKind::Conv {
                    layer,
                    norm: Some(_),
                },
                &[input],
            ) = (&unit.kind, &unit.inputs[..])
            {
                let needed = conv(layers, *layer, unit)?
                    .weights
                    .spec
                    .statistics_scratch(&values[input], &values[index]);
                sum_scratch = sum_scratch.max(needed.map_err(Error::at(&unit.name))?);
            }
        }

        let mut lifetimes = Lifetimes::new(units.len());
        for (index, unit) in units.iter().enumerate() {
            let way_back = unit.way_back(layers);
            for (position, &input) in unit.inputs.iter().enumerate() {
                let back = unit.wanted && position < way_back.inputs_read;
                lifetimes.read(input, index, back);
            }
            if unit.wanted && way_back.reads_output {
                lifetimes.values[index].last = lifetimes.back(index);
            }
        }
        for &output in &ir.outputs {
            let at_loss = lifetimes.loss();
            let value = &mut lifetimes.values[output];
            value.last = value.last.max(at_loss);
            lifetimes.first_gradient(output, at_loss);
        }
        // Backward through the units: the first contribution to each gradient writes it, and the
        // others add to it.
        let mut contributions: Vec<Vec<Option<Contribution>>> = vec![Vec::new(); units.len()];
        let mut alone: Vec<(usize, usize, Lifetime)> = Vec::new();
        for (index, unit) in units.iter().enumerate().rev() {
            if !unit.wanted {
                continue;
            }
            let time = lifetimes.back(index);
            for (position, &to) in unit.inputs.iter().enumerate() {
                if !units[to].wanted {
                    contributions[index].push(None);
                    continue;
                }
                let first = lifetimes.first_gradient(to, time);
                let store = if first { Store::Replace } else { Store::Add };
                if store == Store::Add && !unit.way_back(layers).can_add {
                    let len = len(&layout(to, Block::Channels16), &unit.name)?;
                    alone.push((
                        index,
                        position,
                        Lifetime {
                            len,
                            first: time,
                            last: time,
                        },
                    ));
                }
                contributions[index].push(Some(Contribution {
                    to,
                    store,
                    alone: None,
                }));
            }
            lifetimes.grads[index].last = if matches!(unit.kind, UnitKind::Input(_)) {
                lifetimes.end()
            } else {
                time
            };
        }

        for (index, unit) in units.iter().enumerate() {
            lifetimes.values[index].len = len(&values[index], &unit.name)?;
            if let Some(grad) = &grads[index] {
                lifetimes.grads[index].len = len(grad, &unit.name)?;
            }
        }
        let all: Vec<Lifetime> = lifetimes
            .values
            .iter()
            .chain(&lifetimes.grads)
            .copied()
            .chain(alone.iter().map(|(_, _, lifetime)| *lifetime))
            .collect();
        let arena = arena::place(&all)?;
        let place = |layout: Layout, at: usize| Place {
            layout,
            range: arena.starts[at]..arena.starts[at] + all[at].len,
        };
        let count = units.len();
        for (at, (index, position, _)) in alone.iter().enumerate() {
            if let Some(Some(contribution)) = contributions[*index].get_mut(*position) {
                contribution.alone = Some(place(
                    layout(contribution.to, Block::Channels16),
                    2 * count + at,
                ));
            }
        }
        Ok(Self {
            inputs: inputs.to_vec(),
            values: values
                .iter()
                .enumerate()
                .map(|(at, &layout)| place(layout, at))
                .collect(),
            grads: grads
                .iter()
                .enumerate()
                .map(|(at, layout)| layout.map(|layout| place(layout, count + at)))
                .collect(),
            shapes,
            contributions,
            grad_inputs,
            arena_len: arena.len,
            weight_scratch,
            sum_scratch,
        })
    }
}

impl StepPlan {
    /// Returns the memory that a step needs besides the layers' parameters and gradients.
    pub(crate) fn memory(&self, lowered: &Lowered) -> MemoryUse {
        let outputs: Vec<Shape> = lowered
            .ir
            .outputs
            .iter()
            .map(|&unit| self.shapes[unit].clone())
            .collect();
        let plain = lowered.units.iter().enumerate().map(|(index, unit)| {
            let mut tensors: Vec<Shape> = unit
                .inputs
                .iter()
                .map(|&input| self.shapes[input].clone())
                .collect();
            tensors.push(self.shapes[index].clone());
            bytes(&tensors).saturating_mul(unit.kind.plain_copies())
        });
        let plain = plain.max().unwrap_or(0);
        let weights = self.weight_scratch as u64 * F32 + self.sum_scratch as u64 * F64;
        MemoryUse {
            activations: self.arena_len as u64 * F32,
            scratch: weights
                .saturating_add(self.turned_bytes())
                .saturating_add(plain),
            outputs: bytes(&outputs).saturating_mul(2),
            ..MemoryUse::default()
        }
    }

    /// Returns the bytes of the turned weights for the inputs' gradients: the layers', which the plans
    /// share.
    fn turned_bytes(&self) -> u64 {
        let turned = self.grad_inputs.iter().flatten();
        turned.fold(0, |sum: u64, grad| {
            sum.saturating_add((grad.turned_len() as u64).saturating_mul(F32))
        })
    }
}

impl UnitKind {
    /// Returns how many copies of its inputs and its result a plain-loop unit needs. In the
    /// backward pass these are the input as read from the arena, the loops' own copy of it, the
    /// gradient that they compute, and two copies of the gradient on its way out.
    fn plain_copies(&self) -> u64 {
        match self {
            Self::Plain(_) => 5,
            Self::Pad(..) => 1,
            Self::Input(_)
            | Self::Conv { .. }
            | Self::Norm { .. }
            | Self::Activation(_)
            | Self::MaxPool(_)
            | Self::Kernel { .. }
            | Self::Dropout(_) => 0,
        }
    }
}

/// Returns the convolution with this index, which `unit` computes.
fn conv<'a>(layers: &'a [Layer], at: usize, unit: &Unit) -> Result<&'a ConvLayer> {
    match layers.get(at) {
        Some(Layer::Conv(layer)) => Ok(layer),
        Some(Layer::Norm(_)) | None => Err(unit.broken("its layer is not a convolution")),
    }
}

/// When each tensor is needed.
struct Lifetimes {
    values: Vec<Lifetime>,
    grads: Vec<Lifetime>,
}

impl Lifetimes {
    fn new(units: usize) -> Self {
        let value = |at| Lifetime {
            len: 0,
            first: at,
            last: at,
        };
        let grad = Lifetime {
            len: 0,
            first: usize::MAX,
            last: 0,
        };
        Self {
            values: (0..units).map(value).collect(),
            grads: vec![grad; units],
        }
    }

    fn loss(&self) -> usize {
        self.values.len()
    }

    /// Returns when a unit runs backward.
    fn back(&self, unit: usize) -> usize {
        2 * self.values.len() - unit
    }

    fn end(&self) -> usize {
        2 * self.values.len() + 1
    }

    /// Records that a unit reads a value forward and, possibly, backward.
    fn read(&mut self, value: usize, unit: usize, back: bool) {
        let time = if back { self.back(unit) } else { unit };
        let value = &mut self.values[value];
        value.last = value.last.max(time);
    }

    /// Records a contribution to a gradient; returns whether it is the first.
    fn first_gradient(&mut self, unit: usize, time: usize) -> bool {
        let grad = &mut self.grads[unit];
        let first = grad.first == usize::MAX;
        grad.first = grad.first.min(time);
        grad.last = grad.last.max(time);
        first
    }
}

fn len(layout: &Layout, name: &str) -> Result<usize> {
    layout.checked_len("training").map_err(Error::at(name))
}
