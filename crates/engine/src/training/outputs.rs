//! The graph's outputs in a step, and their gradients: arrays for the loss, beside the arena.

use ndarray::{ArrayD, IxDyn};
use nn_layers::Shape;

use super::{TrainingSession, step_run};
use crate::error::{Error, Result};
use crate::memory::{bytes, grow};

impl TrainingSession {
    /// Gives the outputs and their gradients the shapes of this step, and fills them with zeros.
    pub(super) fn open_outputs(&mut self) -> Result<()> {
        let shapes = &self.plans[0].shapes;
        let outputs = &self.lowered.ir.outputs;
        for tensors in [&mut self.outputs, &mut self.output_grads] {
            tensors.resize_with(outputs.len(), || ArrayD::zeros(IxDyn(&[0])));
            for (tensor, &unit) in tensors.iter_mut().zip(outputs) {
                if *tensor.shape() == *shapes[unit] {
                    tensor.fill(0.0);
                } else {
                    *tensor = zeros(&shapes[unit])?;
                }
            }
        }
        Ok(())
    }

    /// Copies the outputs out of the arena.
    pub(super) fn read_outputs(&mut self) -> Result<()> {
        let plan = &self.plans[0];
        for (tensor, &index) in self.outputs.iter_mut().zip(&self.lowered.ir.outputs) {
            let unit = &self.lowered.units[index];
            step_run::read_into(tensor, &self.memory.arena, &plan.values[index], unit)?;
        }
        Ok(())
    }

    /// Copies the outputs' gradients into the arena. If the graph lists an output twice, the two
    /// gradients are added.
    pub(super) fn write_output_grads(&mut self) -> Result<()> {
        let plan = &self.plans[0];
        let outputs = &self.lowered.ir.outputs;
        for (position, &index) in outputs.iter().enumerate() {
            let Some(place) = &plan.grads[index] else {
                continue;
            };
            let unit = &self.lowered.units[index];
            if outputs[..position].contains(&index) {
                continue;
            }
            let (first, rest) = self.output_grads.split_at_mut(position + 1);
            let grad = &mut first[position];
            for (again, &other) in rest.iter().zip(&outputs[position + 1..]) {
                if other == index {
                    *grad += again;
                }
            }
            if !grad.is_standard_layout() {
                *grad = grad.as_standard_layout().into_owned();
            }
            step_run::write(&mut self.memory.arena, place, &grad.view(), unit)?;
        }
        Ok(())
    }
}

/// Allocates a tensor of zeros, or returns an error if the allocation fails.
fn zeros(shape: &Shape) -> Result<ArrayD<f32>> {
    let out_of_memory = || Error::OutOfMemory {
        what: "outputs",
        bytes: u128::from(bytes(std::slice::from_ref(shape))),
    };
    let mut numbers = Vec::new();
    let len = shape.elements().ok_or_else(out_of_memory)?;
    grow(&mut numbers, len, 0.0, "outputs")?;
    ArrayD::from_shape_vec(IxDyn(shape), numbers).map_err(|_| out_of_memory())
}
