//! The backward pass through the units: every gradient that is needed.

use conv_core::blocked::{self, BatchNormGrad, Store, View, ViewMut};
use conv_core::{Activation, MaxPool2dOptions, PaddingValue, Window, plain};
use ndarray::{ArrayD, ArrayViewD, Ix4};
use nn_layers::{Graph, Loss, Params, PlainTrainer, Terms, TrainBackend, TrainSpec};

use super::grad_kernel::pass_on;
use super::layer::Layer;
use super::plan::{Contribution, Place};
use super::step_run::{StepRun, drop_out, pair, read, write};
use super::unit::{Unit, UnitKind};
use crate::arena;
use crate::error::{Error, Result};
use crate::kernel::{Kernel, Part};

impl StepRun<'_> {
    /// Computes every gradient that is needed, from those of the outputs.
    pub(crate) fn backward(&mut self) -> Result<()> {
        (0..self.units.len())
            .rev()
            .filter(|&index| self.units[index].wanted)
            .try_for_each(|index| self.unit_backward(index))
    }

    fn unit_backward(&mut self, index: usize) -> Result<()> {
        let (isa, key) = (self.isa, self.key);
        let unit = &self.units[index];
        match &unit.kind {
            UnitKind::Input(_) => Ok(()),
            UnitKind::Conv { layer, .. } => self.conv_backward(index, *layer),
            UnitKind::Norm {
                layer, activation, ..
            } => self.norm_backward(index, *layer, *activation),
            UnitKind::Activation(activation) => {
                let (value, grad) = (&self.plan.values[index], self.grad(index)?);
                pair(self.memory, unit, [value, &grad], |output, grad| {
                    blocked::activation_grad(isa, output, *activation, grad)
                })?;
                self.each_input(index, |_, grad, target, store| {
                    pass_on(isa, grad, target, store)
                })
            }
            UnitKind::MaxPool(options) => self.max_pool_backward(index, options),
            UnitKind::Kernel { backward, .. } => self
                .each_input(index, |part, grad, target, store| {
                    backward.run(isa, part, grad, target, store)
                }),
            UnitKind::Pad(window, value) => self.pad_backward(index, *window, *value),
            UnitKind::Dropout(probability) => self.each_input(index, |_, grad, target, _| {
                drop_out(key, &unit.name, *probability, grad, target)
            }),
            UnitKind::Plain(graph) => self.plain_backward(index, graph),
        }
    }

    /// Returns the gradient of a unit's result; every unit whose gradient is needed has one.
    fn grad(&self, index: usize) -> Result<Place> {
        let missing = || self.units[index].broken("a gradient that is needed has no buffer");
        self.plan.grads[index].clone().ok_or_else(missing)
    }

    /// Returns what a unit contributes to the gradient of its input at this position, if it is
    /// needed.
    fn contribution(&self, index: usize, position: usize) -> Result<Option<Contribution>> {
        let missing = || self.units[index].broken("an input has no entry in the plan");
        let of_inputs = &self.plan.contributions[index];
        of_inputs.get(position).cloned().ok_or_else(missing)
    }

    /// Calls `run` to compute a unit's contribution to each gradient that is needed.
    fn each_input(
        &mut self,
        index: usize,
        run: impl Fn(Part, View<'_>, ViewMut<'_>, Store) -> conv_core::Result<()>,
    ) -> Result<()> {
        let (unit, grad) = (&self.units[index], self.grad(index)?);
        let mut first_channel = 0;
        for (number, &input) in unit.inputs.iter().enumerate() {
            let part = Part {
                number,
                first_channel,
            };
            first_channel += self.plan.values[input].layout.channels;
            if let Some(contribution) = self.contribution(index, number)? {
                self.contribute(unit, &grad, &contribution, |grad, target, store| {
                    run(part, grad, target, store)
                })?;
            }
        }
        Ok(())
    }

    fn max_pool_backward(&mut self, index: usize, options: &MaxPool2dOptions) -> Result<()> {
        let isa = self.isa;
        let (unit, grad) = (&self.units[index], self.grad(index)?);
        let Some(contribution) = self.contribution(index, 0)? else {
            return Ok(());
        };
        let value = self.plan.values[unit.first_input()?].clone();
        let target = self.open(&contribution)?;
        let reads = [&grad, &value].map(|place| place.range.clone());
        let writes = [target.range.clone()];
        let ([from, value_data], [to]) =
            arena::borrow(&mut self.memory.arena, reads, writes, &unit.name)?;
        let mut run = || {
            blocked::max_pool2d_grad(
                isa,
                View::new(value.layout, value_data)?,
                options,
                View::new(grad.layout, from)?,
                ViewMut::new(target.layout, to)?,
                contribution.store,
            )
        };
        run().map_err(Error::at(&unit.name))
    }

    fn conv_backward(&mut self, index: usize, layer: usize) -> Result<()> {
        let unit = &self.units[index];
        let (input, grad) = (unit.first_input()?, self.grad(index)?);
        let contribution = self.contribution(index, 0)?;
        let layer = Layer::conv(self.layers, layer, unit)?;
        let at = || Error::at(&unit.name);
        if layer.learns {
            let value = &self.plan.values[input];
            let arena = &self.memory.arena;
            let view = |place: &Place| View::new(place.layout, &arena[place.range.clone()]);
            let has_bias = layer.has_bias();
            layer.reached = true;
            layer
                .weights
                .spec
                .add_grad_weight(
                    view(value).map_err(at())?,
                    view(&grad).map_err(at())?,
                    &mut layer.grad_weight,
                    has_bias.then_some(&mut layer.grad_bias[..]),
                    &mut self.memory.weight_scratch,
                )
                .map_err(at())?;
        }
        let Some(contribution) = contribution else {
            return Ok(());
        };
        let missing = || unit.broken("the gradient of its input was not prepared");
        let grad_input = self.plan.grad_inputs[index].as_ref().ok_or_else(missing)?;
        let turned = layer.weights.turned().map_err(at())?;
        self.contribute(unit, &grad, &contribution, |grad, target, store| {
            grad_input.run(&turned, grad, target, store)
        })
    }

    fn norm_backward(&mut self, index: usize, layer: usize, activation: Activation) -> Result<()> {
        let isa = self.isa;
        let unit = &self.units[index];
        let (input, grad) = (unit.first_input()?, self.grad(index)?);
        let residual = match unit.inputs.len() {
            1 => None,
            _ => self.contribution(index, 1)?,
        };
        let contribution = self.contribution(index, 0)?;
        let reads_output = unit.way_back(self.layers).reads_output;
        let at = || Error::at(&unit.name);
        let value = self.plan.values[input].clone();
        let output = &self.plan.values[index];
        let norm = Layer::norm(self.layers, layer, unit)?;
        if norm.frozen {
            if reads_output {
                pair(self.memory, unit, [output, &grad], |output, grad| {
                    blocked::activation_grad(isa, output, activation, grad)
                })?;
            }
        } else {
            // The output is guaranteed to be in memory still only if there is an activation.
            let output_range = if reads_output {
                output.range.clone()
            } else {
                0..0
            };
            let (reads, writes) = ([value.range.clone(), output_range], [grad.range.clone()]);
            let ([value_data, output_data], [grad_data]) =
                arena::borrow(&mut self.memory.arena, reads, writes, &unit.name)?;
            let mut run = || {
                let output = if reads_output {
                    Some((View::new(output.layout, output_data)?, activation))
                } else {
                    None
                };
                blocked::batch_norm_grad_sums(
                    isa,
                    View::new(value.layout, value_data)?,
                    &norm.center,
                    output,
                    ViewMut::new(grad.layout, grad_data)?,
                    &mut norm.sums,
                    &mut norm.products,
                    &mut self.memory.sum_scratch,
                )
            };
            run().map_err(at())?;
        }
        norm.finish_sums();
        if let Some(contribution) = residual {
            self.contribute(unit, &grad, &contribution, |grad, target, store| {
                pass_on(isa, grad, target, store)
            })?;
        }
        let Some(contribution) = contribution else {
            return Ok(());
        };
        let target = self.open(&contribution)?;
        let norm = Layer::norm(self.layers, layer, unit)?;
        let reads = [&value, &grad].map(|place| place.range.clone());
        let writes = [target.range.clone()];
        let ([value_data, from], [to]) =
            arena::borrow(&mut self.memory.arena, reads, writes, &unit.name)?;
        let mut run = || {
            let channels = BatchNormGrad {
                mean: &norm.center,
                scale: &norm.scale,
                mean_grad: &norm.mean_grad,
                slope: &norm.slope,
            };
            blocked::batch_norm_grad(
                isa,
                View::new(value.layout, value_data)?,
                View::new(grad.layout, from)?,
                channels,
                ViewMut::new(target.layout, to)?,
                contribution.store,
            )
        };
        run().map_err(at())
    }

    /// Computes the gradient of padding with values other than zeros. Such padding is rare, so this
    /// uses the plain loops.
    fn pad_backward(&mut self, index: usize, window: Window, value: PaddingValue) -> Result<()> {
        let unit = &self.units[index];
        let grad = &self.grad(index)?;
        let Some(contribution) = self.contribution(index, 0)? else {
            return Ok(());
        };
        let grad = read(&self.memory.arena, grad, &self.plan.shapes[index], unit)?;
        let grad = grad
            .into_dimensionality::<Ix4>()
            .map_err(|_| unit.broken("a convolution's padded input does not have four axes"))?;
        let size = self.plan.values[unit.first_input()?].layout.size;
        let padding = Kernel::ConvPadding(window, value).padding(size);
        let padding = padding.map_err(Error::at(&unit.name))?;
        let part = plain::pad2d_grad(grad.view(), padding, value).map_err(Error::at(&unit.name))?;
        self.contribute_array(unit, &contribution, part.into_dyn().view())
    }

    /// Computes the gradient of an operation that only has plain loops.
    fn plain_backward(&mut self, index: usize, graph: &Graph) -> Result<()> {
        let unit = &self.units[index];
        let grad = self.grad(index)?;
        let grad = read(&self.memory.arena, &grad, &self.plan.shapes[index], unit)?;
        let inputs = self.read_inputs(unit)?;
        let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let spec = TrainSpec {
            grad_input: true,
            ..TrainSpec::default()
        };
        let mut trainer = PlainTrainer::new(graph, Params::new(), spec)?;
        trainer.step(&views, &Given(grad), self.key)?;
        let gradients = trainer.gradients();
        // The single-node graph has one input per tensor, in order of first use.
        let only = graph.inputs().len() == 1;
        let mut seen = Vec::new();
        for (position, &input) in unit.inputs.iter().enumerate() {
            if seen.contains(&input) {
                continue;
            }
            let id = graph.inputs().get(seen.len());
            seen.push(input);
            let Some(contribution) = self.contribution(index, position)? else {
                continue;
            };
            let name = id.and_then(|&id| graph.node(id)).map(nn_layers::Node::name);
            let name = if only { Some("input") } else { name };
            let part = name
                .and_then(|name| gradients.get(name))
                .ok_or_else(|| unit.broken("the plain loops return no gradient of an input"))?;
            self.contribute_array(unit, &contribution, part.value.view())?;
        }
        Ok(())
    }

    /// Calls `run` to write a contribution to a gradient or add it.
    fn contribute(
        &mut self,
        unit: &Unit,
        grad: &Place,
        contribution: &Contribution,
        run: impl FnOnce(View<'_>, ViewMut<'_>, Store) -> conv_core::Result<()>,
    ) -> Result<()> {
        let (place, store) = match &contribution.alone {
            Some(alone) => (alone.clone(), Store::Replace),
            None => (self.open(contribution)?, contribution.store),
        };
        pair(self.memory, unit, [grad, &place], |grad, target| {
            run(grad, target, store)
        })?;
        self.add_alone(unit, contribution)
    }

    /// Stores a contribution that the plain loops have computed.
    fn contribute_array(
        &mut self,
        unit: &Unit,
        contribution: &Contribution,
        part: ArrayViewD<'_, f32>,
    ) -> Result<()> {
        let place = match &contribution.alone {
            Some(alone) => alone.clone(),
            None => self.open(contribution)?,
        };
        write(&mut self.memory.arena, &place, &part, unit)?;
        self.add_alone(unit, contribution)
    }

    /// Adds a contribution that was computed in its own memory.
    fn add_alone(&mut self, unit: &Unit, contribution: &Contribution) -> Result<()> {
        let isa = self.isa;
        let Some(alone) = &contribution.alone else {
            return Ok(());
        };
        let target = self.grad(contribution.to)?;
        pair(self.memory, unit, [alone, &target], |part, target| {
            blocked::add_assign(isa, part, target)
        })
    }

    /// Returns the gradient that a contribution goes to; the first contribution clears its halo.
    fn open(&mut self, contribution: &Contribution) -> Result<Place> {
        let place = self.grad(contribution.to)?;
        if contribution.store == Store::Replace {
            place
                .layout
                .clear_halo(&mut self.memory.arena[place.range.clone()]);
        }
        Ok(place)
    }
}

/// A loss whose gradient is given.
struct Given(ArrayD<f32>);

impl Loss<f32> for Given {
    fn eval(
        &self,
        _: &[ArrayViewD<'_, f32>],
        grads: &mut [ArrayD<f32>],
    ) -> nn_layers::Result<Terms> {
        for grad in grads {
            grad.assign(&self.0);
        }
        Ok(Terms::default())
    }
}
