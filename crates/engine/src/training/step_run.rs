//! A step in execution: the data and the functions that the forward and backward passes share.

use conv_core::blocked::{Buffer, Layout, View, ViewMut};
use conv_core::{Isa, PaddingValue};
use ndarray::{ArrayD, ArrayView4, ArrayViewD, ArrayViewMut4, IxDyn};
use nn_layers::{Shape, StepKey, dropout_mask, dropout_scale};

use super::layer::Layer;
use super::plan::{Place, StepPlan};
use super::unit::Unit;
use crate::arena;
use crate::error::{Error, Result};
use crate::memory::{F32, grow};

/// A step in execution.
pub(crate) struct StepRun<'a> {
    pub(crate) isa: Isa,
    pub(crate) key: StepKey,
    pub(crate) units: &'a [Unit],
    pub(crate) layers: &'a mut [Layer],
    pub(crate) plan: &'a StepPlan,
    pub(crate) memory: &'a mut Workspace,
}

/// Memory that persists from step to step.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) arena: Buffer,
    pub(crate) weight_scratch: Buffer,
    pub(crate) sum_scratch: Vec<f64>,
}

impl Workspace {
    /// Grows each buffer to the length that a plan needs.
    pub(crate) fn fit(&mut self, plan: &StepPlan) -> Result<()> {
        for (buffer, len, what) in [
            (&mut self.arena, plan.arena_len, "activations"),
            (
                &mut self.weight_scratch,
                plan.weight_scratch,
                "weight gradients",
            ),
        ] {
            if buffer.len() < len {
                *buffer = Buffer::default();
                *buffer = Buffer::zeroed(len).map_err(|_| Error::OutOfMemory {
                    what,
                    bytes: len as u128 * u128::from(F32),
                })?;
            }
        }
        grow(&mut self.sum_scratch, plan.sum_scratch, 0.0, "sums")
    }
}

impl StepRun<'_> {
    /// Returns a unit's inputs as NCHW arrays, without duplicates.
    pub(crate) fn read_inputs(&self, unit: &Unit) -> Result<Vec<ArrayD<f32>>> {
        let mut inputs: Vec<usize> = Vec::new();
        for &input in &unit.inputs {
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
        inputs
            .into_iter()
            .map(|input| {
                let place = &self.plan.values[input];
                read(&self.memory.arena, place, &self.plan.shapes[input], unit)
            })
            .collect()
    }
}

/// Calls `run` with two tensors: it reads the first and writes the second.
pub(crate) fn pair(
    memory: &mut Workspace,
    unit: &Unit,
    [input, output]: [&Place; 2],
    run: impl FnOnce(View<'_>, ViewMut<'_>) -> conv_core::Result<()>,
) -> Result<()> {
    let [reads, writes] = [input, output].map(|place| [place.range.clone()]);
    let ([from], [to]) = arena::borrow(&mut memory.arena, reads, writes, &unit.name)?;
    View::new(input.layout, from)
        .and_then(|input| run(input, ViewMut::new(output.layout, to)?))
        .map_err(Error::at(&unit.name))
}

/// Computes `output = input * mask * scale`: dropout in both directions.
pub(crate) fn drop_out(
    key: StepKey,
    name: &str,
    probability: f64,
    input: View<'_>,
    mut output: ViewMut<'_>,
) -> conv_core::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "rounded once")]
    let scale = dropout_scale(probability) as f32;
    output.data_mut().fill(0.0);
    let (from, to) = (input.layout(), output.layout());
    let mut mask = dropout_mask(key, name, probability);
    for n in 0..from.batch {
        for c in 0..from.channels {
            for y in 0..from.size[0] {
                for x in 0..from.size[1] {
                    // The mask is an infinite iterator.
                    if mask.next() == Some(true) {
                        output.data_mut()[to.at(n, c, y, x)] =
                            input.data()[from.at(n, c, y, x)] * scale;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Copies a tensor into an array of this shape.
pub(crate) fn read(
    arena: &[f32],
    place: &Place,
    shape: &Shape,
    unit: &Unit,
) -> Result<ArrayD<f32>> {
    let mut array = ArrayD::zeros(IxDyn(shape));
    read_into(&mut array, arena, place, unit)?;
    Ok(array)
}

/// Copies a tensor into an array of the tensor's shape.
pub(crate) fn read_into(
    array: &mut ArrayD<f32>,
    arena: &[f32],
    place: &Place,
    unit: &Unit,
) -> Result<()> {
    let misfit = || unit.broken("an array and its tensor differ in shape");
    let numbers = array.as_slice_mut().ok_or_else(misfit)?;
    let target = ArrayViewMut4::from_shape(dim(&place.layout), numbers).map_err(|_| misfit())?;
    place
        .layout
        .export(&arena[place.range.clone()], target)
        .map_err(Error::at(&unit.name))
}

/// Copies an array into a tensor, with zeros in the halo.
pub(crate) fn write(
    arena: &mut [f32],
    place: &Place,
    array: &ArrayViewD<'_, f32>,
    unit: &Unit,
) -> Result<()> {
    let misfit = || unit.broken("an array and its tensor differ in shape");
    let pictures = as_pictures(array, &place.layout).ok_or_else(misfit)?;
    let target = &mut arena[place.range.clone()];
    place
        .layout
        .import(pictures, PaddingValue::Zeros, target)
        .map_err(Error::at(&unit.name))
}

/// Views an array of any rank as the pictures that a layout describes.
fn as_pictures<'a>(array: &'a ArrayViewD<'_, f32>, layout: &Layout) -> Option<ArrayView4<'a, f32>> {
    match array.ndim() {
        4 => array.view().into_dimensionality().ok(),
        _ => ArrayView4::from_shape(dim(layout), array.as_slice()?).ok(),
    }
}

fn dim(layout: &Layout) -> (usize, usize, usize, usize) {
    (
        layout.batch,
        layout.channels,
        layout.size[0],
        layout.size[1],
    )
}
