//! The forward pass through the units: every unit's value.

use conv_core::Activation;
use conv_core::blocked::{self, Epilogue, Statistics, View, ViewMut};
use ndarray::ArrayViewD;
use nn_layers::{Params, Plain};

use super::layer::Layer;
use super::plan::StepPlan;
use super::step_run::{StepRun, Workspace, drop_out, pair, read, write};
use super::unit::{Unit, UnitKind};
use crate::arena;
use crate::error::{Error, Result};
use crate::kernel::{Kernel, Part};

impl StepRun<'_> {
    /// Computes every unit's value.
    pub(crate) fn forward(&mut self, inputs: &[ArrayViewD<'_, f32>]) -> Result<()> {
        (0..self.units.len()).try_for_each(|index| self.unit_forward(index, inputs))
    }

    /// Returns the first unit whose value is not finite, if the preceding ones can be computed.
    pub(crate) fn first_non_finite(&mut self, inputs: &[ArrayViewD<'_, f32>]) -> Option<usize> {
        for (index, unit) in self.units.iter().enumerate() {
            // Immediately, before its memory is reused.
            self.unit_forward(index, inputs).ok()?;
            let (place, shape) = (&self.plan.values[index], &self.plan.shapes[index]);
            let value = read(&self.memory.arena, place, shape, unit).ok()?;
            if value.iter().any(|x| !x.is_finite()) {
                return Some(index);
            }
        }
        None
    }

    fn unit_forward(&mut self, index: usize, inputs: &[ArrayViewD<'_, f32>]) -> Result<()> {
        let isa = self.isa;
        let unit = &self.units[index];
        let place = &self.plan.values[index];
        place
            .layout
            .clear_halo(&mut self.memory.arena[place.range.clone()]);
        match &unit.kind {
            UnitKind::Input(number) => {
                let input = inputs.get(*number).ok_or(Error::InputCount {
                    expected: self.plan.inputs.len(),
                    got: inputs.len(),
                })?;
                write(&mut self.memory.arena, place, input, unit)
            }
            UnitKind::Conv { layer, norm } => self.conv_forward(index, *layer, *norm),
            UnitKind::Norm {
                layer,
                activation,
                takes_statistics,
            } => self.norm_forward(index, *layer, *activation, *takes_statistics),
            UnitKind::MaxPool(options) => {
                self.plan.pair(self.memory, unit, index, |input, output| {
                    blocked::max_pool2d(isa, input, options, output)
                })
            }
            UnitKind::Kernel {
                forward: kernel, ..
            } => {
                let mut first_channel = 0;
                for (number, &input) in unit.inputs.iter().enumerate() {
                    let places = [&self.plan.values[input], &self.plan.values[index]];
                    let part = Part {
                        number,
                        first_channel,
                    };
                    pair(self.memory, unit, places, |input, output| {
                        kernel.run(isa, part, input, output)
                    })?;
                    first_channel += places[0].layout.channels;
                }
                Ok(())
            }
            UnitKind::Pad(window, value) => {
                let kernel = Kernel::ConvPadding(*window, *value);
                self.plan.pair(self.memory, unit, index, |input, output| {
                    kernel.run(isa, Part::WHOLE, input, output)
                })
            }
            UnitKind::Activation(activation) => {
                self.plan.pair(self.memory, unit, index, |input, output| {
                    blocked::map(isa, input, output, |x| activation.apply(x))
                })
            }
            UnitKind::Dropout(probability) => {
                let (key, probability) = (self.key, *probability);
                self.plan.pair(self.memory, unit, index, |input, output| {
                    drop_out(key, &unit.name, probability, input, output)
                })
            }
            UnitKind::Plain(graph) => {
                let inputs = self.read_inputs(unit)?;
                let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
                let outputs = Plain::new(graph, Params::new())?.run(&views)?;
                let missing = || unit.broken("the plain loops return no output");
                let output = outputs.first().ok_or_else(missing)?.view();
                write(&mut self.memory.arena, place, &output, unit)
            }
        }
    }

    fn conv_forward(&mut self, index: usize, layer: usize, norm: Option<usize>) -> Result<()> {
        let unit = &self.units[index];
        // A convolution precedes the normalisation that reads it.
        let (before, after) = self.layers.split_at_mut(norm.unwrap_or(self.layers.len()));
        let weights = &Layer::conv(before, layer, unit)?.weights;
        let norm = norm.map(|_| Layer::norm(after, 0, unit)).transpose()?;
        let mut scratch = std::mem::take(&mut self.memory.sum_scratch);
        let epilogue = Epilogue {
            statistics: norm.map(|norm| Statistics {
                mean: &mut norm.mean,
                variance: &mut norm.variance,
                scratch: &mut scratch,
            }),
            ..weights.epilogue()
        };
        let done = self.plan.pair(self.memory, unit, index, |input, output| {
            weights.spec.run(weights.weight(), input, epilogue, output)
        });
        self.memory.sum_scratch = scratch;
        done
    }

    fn norm_forward(
        &mut self,
        index: usize,
        layer: usize,
        activation: Activation,
        takes_statistics: bool,
    ) -> Result<()> {
        let unit = &self.units[index];
        let input = unit.first_input()?;
        let layer = Layer::norm(self.layers, layer, unit)?;
        let at = || Error::at(&unit.name);
        let source = &self.plan.values[input];
        if takes_statistics {
            let view =
                View::new(source.layout, &self.memory.arena[source.range.clone()]).map_err(at())?;
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
        let reads = [
            source.range.clone(),
            residual.map_or(0..0, |residual| residual.range.clone()),
        ];
        let writes = [target.range.clone()];
        let ([from, added], [to]) =
            arena::borrow(&mut self.memory.arena, reads, writes, &unit.name)?;
        let mut run = || {
            let input = View::new(source.layout, from)?;
            let added = residual.map(|residual| View::new(residual.layout, added));
            let output = ViewMut::new(target.layout, to)?;
            let added = added.transpose()?;
            blocked::scale_shift(self.isa, input, scale, shift, added, activation, output)
        };
        run().map_err(at())
    }
}

impl StepPlan {
    /// Calls `run` with the values of a unit's first input and of the unit itself.
    fn pair(
        &self,
        memory: &mut Workspace,
        unit: &Unit,
        index: usize,
        run: impl FnOnce(View<'_>, ViewMut<'_>) -> conv_core::Result<()>,
    ) -> Result<()> {
        let input = unit.first_input()?;
        pair(
            memory,
            unit,
            [&self.values[input], &self.values[index]],
            run,
        )
    }
}
