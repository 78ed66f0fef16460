//! The pass forward through the units: every unit's value.

use conv_core::blocked::{self, View, ViewMut};
use ndarray::ArrayViewD;
use nn_layers::{Params, Plain};

use super::layer::Layer;
use super::norm_layer::NormLayer;
use super::pass::{Memory, Pass, drop_out, overlap, pair, read, write};
use super::plan::StepPlan;
use super::unit::{Kind, Unit};
use crate::error::{Error, Result};
use crate::step::Part;

impl Pass<'_> {
    /// Computes every unit's value.
    pub(crate) fn forward(&mut self, inputs: &[ArrayViewD<'_, f32>]) -> Result<()> {
        (0..self.units.len()).try_for_each(|index| self.unit_forward(index, inputs))
    }

    /// The first unit whose value is not finite, if those before it can be computed.
    pub(crate) fn first_non_finite(&mut self, inputs: &[ArrayViewD<'_, f32>]) -> Option<usize> {
        for (index, unit) in self.units.iter().enumerate() {
            // At once, before its memory serves another.
            self.unit_forward(index, inputs).ok()?;
            let (slot, shape) = (&self.plan.values[index], &self.plan.shapes[index]);
            let value = read(&self.memory.arena, slot, shape, unit).ok()?;
            if value.iter().any(|x| !x.is_finite()) {
                return Some(index);
            }
        }
        None
    }

    fn unit_forward(&mut self, index: usize, inputs: &[ArrayViewD<'_, f32>]) -> Result<()> {
        let isa = self.isa;
        let unit = &self.units[index];
        let slot = &self.plan.values[index];
        slot.layout
            .clear_halo(&mut self.memory.arena[slot.place.clone()]);
        match &unit.kind {
            Kind::Input(number) => {
                let input = inputs.get(*number).ok_or(Error::InputCount {
                    expected: self.plan.inputs.len(),
                    got: inputs.len(),
                })?;
                write(&mut self.memory.arena, slot, input, unit)
            }
            Kind::Conv { layer, norm } => self.conv_forward(index, *layer, *norm),
            Kind::Norm { .. } => self.norm_forward(index),
            Kind::Kernel(kernel) => {
                let mut first_channel = 0;
                for (number, &input) in unit.inputs.iter().enumerate() {
                    let slots = [&self.plan.values[input], &self.plan.values[index]];
                    let part = Part {
                        number,
                        first_channel,
                    };
                    pair(self.memory, unit, slots, |input, output| {
                        kernel.run(isa, part, input, output)
                    })?;
                    first_channel += slots[0].layout.channels;
                }
                Ok(())
            }
            Kind::Pad(conv) => {
                let padding = self.plan.paddings[index];
                self.plan.pair(self.memory, unit, index, |input, output| {
                    blocked::pad2d(input, padding, conv.options.padding_value, output)
                })
            }
            Kind::Activation(activation) => {
                self.plan.pair(self.memory, unit, index, |input, output| {
                    blocked::map(isa, input, output, |x| activation.apply(x))
                })
            }
            Kind::Copy => self.plan.pair(self.memory, unit, index, |input, output| {
                blocked::map(isa, input, output, |x| x)
            }),
            Kind::Dropout(probability) => {
                let (key, probability) = (self.key, *probability);
                self.plan.pair(self.memory, unit, index, |input, output| {
                    drop_out(key, &unit.name, probability, input, output)
                })
            }
            Kind::Plain(graph) => {
                let inputs = self.read_inputs(unit)?;
                let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
                let outputs = Plain::new(graph, Params::new())?.run(&views)?;
                let output = outputs.first().ok_or_else(|| overlap(unit))?.view();
                write(&mut self.memory.arena, slot, &output, unit)
            }
        }
    }

    fn conv_forward(&mut self, index: usize, layer: usize, norm: Option<usize>) -> Result<()> {
        let unit = &self.units[index];
        // A layer comes before the normalisation that reads it.
        let (before, after) = self.layers.split_at_mut(norm.unwrap_or(self.layers.len()));
        let (Layer::Conv(conv), norm) = (&before[layer], after.first_mut()) else {
            return Err(overlap(unit));
        };
        let mut scratch = std::mem::take(&mut self.memory.sum_scratch);
        let done = self
            .plan
            .pair(self.memory, unit, index, |input, output| match norm {
                Some(Layer::Norm(norm)) => {
                    let NormLayer { mean, variance, .. } = norm;
                    conv.conv
                        .run_with_statistics(input, output, mean, variance, &mut scratch)
                }
                _ => conv.conv.run(input, output),
            });
        self.memory.sum_scratch = scratch;
        done
    }

    fn norm_forward(&mut self, index: usize) -> Result<()> {
        let unit = &self.units[index];
        let (
            Kind::Norm {
                layer,
                activation,
                takes_statistics,
            },
            &[input, ..],
        ) = (&unit.kind, &unit.inputs[..])
        else {
            return Err(overlap(unit));
        };
        let Layer::Norm(layer) = &mut self.layers[*layer] else {
            return Err(overlap(unit));
        };
        let at = || Error::at(&unit.name);
        let source = &self.plan.values[input];
        if *takes_statistics {
            let view =
                View::new(source.layout, &self.memory.arena[source.place.clone()]).map_err(at())?;
            blocked::batch_statistics(
                self.isa,
                view,
                &mut layer.mean,
                &mut layer.variance,
                &mut self.memory.sum_scratch,
            )
            .map_err(at())?;
        }
        layer.prepare(&self.plan.shapes[input])?;
        let residual = unit.inputs.get(1).map(|&unit| &self.plan.values[unit]);
        let target = &self.plan.values[index];
        let (scale, shift) = (&layer.scale, &layer.shift);
        let run = |input: View<'_>, residual: Option<View<'_>>, output: ViewMut<'_>| {
            blocked::scale_shift(self.isa, input, scale, shift, residual, *activation, output)
        };
        match residual {
            Some(residual) if residual.place != source.place => {
                let places = [source, residual, target].map(|slot| slot.place.clone());
                let Ok([from, added, to]) = self.memory.arena.get_disjoint_mut(places) else {
                    return Err(overlap(unit));
                };
                let from = View::new(source.layout, from).map_err(at())?;
                let added = View::new(residual.layout, added).map_err(at())?;
                let to = ViewMut::new(target.layout, to).map_err(at())?;
                run(from, Some(added), to).map_err(at())
            }
            same => pair(self.memory, unit, [source, target], |input, output| {
                run(input, same.map(|_| input), output)
            }),
        }
    }
}

impl StepPlan {
    /// Calls `run` with the values of a unit's first input and of the unit itself.
    fn pair(
        &self,
        memory: &mut Memory,
        unit: &Unit,
        index: usize,
        run: impl FnOnce(View<'_>, ViewMut<'_>) -> conv_core::Result<()>,
    ) -> Result<()> {
        let &[input, ..] = &unit.inputs[..] else {
            return Err(overlap(unit));
        };
        pair(
            memory,
            unit,
            [&self.values[input], &self.values[index]],
            run,
        )
    }
}
