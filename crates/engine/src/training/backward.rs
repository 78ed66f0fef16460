//! The pass back through the units: gradients of everything that is wanted.

use conv_core::blocked::{self, BatchNormGrad, Store, View, ViewMut};
use conv_core::{PaddingValue, plain};
use ndarray::{ArrayD, ArrayViewD, Ix4};
use nn_layers::{Graph, Loss, Params, PlainTrainer, Terms, TrainBackend, TrainSpec};

use super::layer::Layer;
use super::pass::{Pass, drop_out, overlap, pair, read, write};
use super::plan::{Gift, Slot};
use super::unit::{Kind, Unit};
use crate::error::{Error, Result};
use crate::step::Kernel;

impl Pass<'_> {
    /// Computes the gradients of everything that is wanted, from those of the outputs.
    pub(crate) fn backward(&mut self) -> Result<()> {
        (0..self.units.len())
            .rev()
            .filter(|&index| self.units[index].wanted)
            .try_for_each(|index| self.unit_backward(index))
    }

    fn unit_backward(&mut self, index: usize) -> Result<()> {
        let isa = self.isa;
        let unit = &self.units[index];
        let Some(grad) = self.plan.grads[index].clone() else {
            return Ok(());
        };
        match &unit.kind {
            Kind::Input(_) => return Ok(()),
            Kind::Conv { layer, .. } => return self.conv_backward(index, *layer),
            Kind::Norm { layer, .. } => return self.norm_backward(index, *layer),
            Kind::Activation(activation) => {
                let value = &self.plan.values[index];
                pair(self.memory, unit, [value, &grad], |output, grad| {
                    blocked::activation_grad(isa, output, *activation, grad)
                })?;
            }
            Kind::Pad(conv) => return self.pad_backward(index, conv.options.padding_value),
            Kind::Plain(graph) => return self.plain_backward(index, graph),
            _ => {}
        }
        let mut first = 0;
        for (position, &input) in unit.inputs.iter().enumerate() {
            let channels = self.plan.values[input].layout.channels;
            let value = self.plan.values[input].clone();
            let Some(gift) = self.plan.gifts[index].get(position).cloned().flatten() else {
                first += channels;
                continue;
            };
            match &unit.kind {
                Kind::Kernel(Kernel::MaxPool(options)) => {
                    let target = self.open(&gift)?;
                    let places = [&grad, &value, &target].map(|slot| slot.place.clone());
                    let Ok([from, value_data, to]) = self.memory.arena.get_disjoint_mut(places)
                    else {
                        return Err(overlap(unit));
                    };
                    let mut run = || {
                        blocked::max_pool2d_grad(
                            isa,
                            View::new(value.layout, value_data)?,
                            options,
                            View::new(grad.layout, from)?,
                            ViewMut::new(target.layout, to)?,
                            gift.store,
                        )
                    };
                    run().map_err(Error::at(&unit.name))?;
                }
                kind => {
                    let key = self.key;
                    self.give(unit, &grad, &gift, |grad, target, store| match kind {
                        Kind::Kernel(Kernel::Concat) => blocked::slice(grad, first, target),
                        Kind::Kernel(Kernel::Slice(start)) => {
                            blocked::pad_channels(grad, *start, target)
                        }
                        Kind::Kernel(Kernel::PadChannels(before)) => {
                            blocked::slice(grad, *before, target)
                        }
                        Kind::Kernel(Kernel::Reshape) => blocked::reshape(grad, target),
                        Kind::Dropout(probability) => {
                            drop_out(key, &unit.name, *probability, grad, target)
                        }
                        Kind::Kernel(Kernel::AvgPool(options)) => {
                            blocked::avg_pool2d_grad(isa, options, grad, target, store)
                        }
                        Kind::Kernel(Kernel::AdaptiveAvgPool) => {
                            blocked::adaptive_avg_pool2d_grad(isa, grad, target, store)
                        }
                        Kind::Kernel(Kernel::Upsample(scale)) => {
                            blocked::upsample_nearest2d_grad(isa, *scale, grad, target, store)
                        }
                        _ if store == Store::Add => blocked::add_assign(isa, grad, target),
                        _ => blocked::map(isa, grad, target, |x| x),
                    })?;
                }
            }
            first += channels;
        }
        Ok(())
    }

    fn conv_backward(&mut self, index: usize, layer: usize) -> Result<()> {
        let unit = &self.units[index];
        let (Layer::Conv(layer), Some(grad), &[input]) = (
            &mut self.layers[layer],
            &self.plan.grads[index],
            &unit.inputs[..],
        ) else {
            return Err(overlap(unit));
        };
        let at = || Error::at(&unit.name);
        if layer.learns {
            let value = &self.plan.values[input];
            let arena = &self.memory.arena;
            let view = |slot: &Slot| View::new(slot.layout, &arena[slot.place.clone()]);
            let has_bias = layer.has_bias();
            layer.reached = true;
            layer
                .conv
                .add_grad_weight(
                    view(value).map_err(at())?,
                    view(grad).map_err(at())?,
                    &mut layer.grad_weight,
                    has_bias.then_some(&mut layer.grad_bias[..]),
                    &mut self.memory.weight_scratch,
                )
                .map_err(at())?;
        }
        let (Some(gift), Some(mut grad_input)) = (
            self.plan.gifts[index].first().cloned().flatten(),
            self.plan.grad_inputs[index].take(),
        ) else {
            return Ok(());
        };
        grad_input.pack(&layer.conv).map_err(at())?;
        let grad = grad.clone();
        let done = self.give(unit, &grad, &gift, |grad, target, store| {
            grad_input.run(grad, target, store)
        });
        self.plan.grad_inputs[index] = Some(grad_input);
        done
    }

    fn norm_backward(&mut self, index: usize, layer: usize) -> Result<()> {
        let isa = self.isa;
        let unit = &self.units[index];
        let (Kind::Norm { activation, .. }, Some(grad), &[input, ..]) =
            (&unit.kind, self.plan.grads[index].clone(), &unit.inputs[..])
        else {
            return Err(overlap(unit));
        };
        let at = || Error::at(&unit.name);
        let value = self.plan.values[input].clone();
        let output = &self.plan.values[index];
        let Layer::Norm(norm) = &mut self.layers[layer] else {
            return Err(overlap(unit));
        };
        if norm.frozen {
            if unit.reads_output() {
                pair(self.memory, unit, [output, &grad], |output, grad| {
                    blocked::activation_grad(isa, output, *activation, grad)
                })?;
            }
        } else {
            let places = [&value, output, &grad].map(|slot| slot.place.clone());
            // The output's memory is only promised to be there where there is an activation.
            let places = if unit.reads_output() {
                places
            } else {
                let [value, _, grad] = places;
                [value, 0..0, grad]
            };
            let Ok([value_data, output_data, grad_data]) =
                self.memory.arena.get_disjoint_mut(places)
            else {
                return Err(overlap(unit));
            };
            let mut run = || {
                let output = if unit.reads_output() {
                    Some((View::new(output.layout, output_data)?, *activation))
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
        if let Some(gift) = self.plan.gifts[index].get(1).cloned().flatten() {
            self.give(unit, &grad, &gift, |grad, target, store| match store {
                Store::Add => blocked::add_assign(isa, grad, target),
                Store::Replace => blocked::map(isa, grad, target, |x| x),
            })?;
        }
        let Some(gift) = self.plan.gifts[index].first().cloned().flatten() else {
            return Ok(());
        };
        let target = self.open(&gift)?;
        let Layer::Norm(norm) = &self.layers[layer] else {
            return Err(overlap(unit));
        };
        let places = [&value, &grad, &target].map(|slot| slot.place.clone());
        let Ok([value_data, from, to]) = self.memory.arena.get_disjoint_mut(places) else {
            return Err(overlap(unit));
        };
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
                gift.store,
            )
        };
        run().map_err(at())
    }

    /// Back through padding with other values than zeros: rare, so by the plain loops.
    fn pad_backward(&mut self, index: usize, value: PaddingValue) -> Result<()> {
        let unit = &self.units[index];
        let (Some(grad), Some(gift)) = (
            &self.plan.grads[index],
            self.plan.gifts[index].first().cloned().flatten(),
        ) else {
            return Ok(());
        };
        let grad = read(&self.memory.arena, grad, &self.plan.shapes[index], unit)?;
        let grad = grad
            .into_dimensionality::<Ix4>()
            .map_err(|_| overlap(unit))?;
        let padding = self.plan.paddings[index];
        let part = plain::pad2d_grad(grad.view(), padding, value).map_err(Error::at(&unit.name))?;
        self.give_array(unit, &gift, part.into_dyn().view())
    }

    /// Back through an operation that has plain loops only.
    fn plain_backward(&mut self, index: usize, graph: &Graph) -> Result<()> {
        let unit = &self.units[index];
        let Some(grad) = self.plan.grads[index].clone() else {
            return Ok(());
        };
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
        let nodes = graph.inputs().iter().filter_map(|&id| graph.node(id));
        let names_of_inputs = nodes.map(nn_layers::Node::name);
        let grads: Vec<ArrayD<f32>> = names_of_inputs
            .filter_map(|name| gradients.get("input").or_else(|| gradients.get(name)))
            .map(|gradient| gradient.value.clone())
            .collect();
        let mut names: Vec<usize> = Vec::new();
        for &input in &unit.inputs {
            if !names.contains(&input) {
                names.push(input);
            }
        }
        for (position, input) in unit.inputs.iter().enumerate() {
            let first_time = unit.inputs[..position].iter().all(|before| before != input);
            let gift = self.plan.gifts[index].get(position).cloned().flatten();
            let number = names.iter().position(|name| name == input);
            if let (true, Some(gift), Some(part)) = (
                first_time,
                gift,
                number.and_then(|number| grads.get(number)),
            ) {
                self.give_array(unit, &gift, part.view())?;
            }
        }
        Ok(())
    }

    /// Lets `run` write or add a part of a gradient.
    fn give(
        &mut self,
        unit: &Unit,
        grad: &Slot,
        gift: &Gift,
        run: impl FnOnce(View<'_>, ViewMut<'_>, Store) -> conv_core::Result<()>,
    ) -> Result<()> {
        let (slot, store) = match &gift.alone {
            Some(alone) => (alone.clone(), Store::Replace),
            None => (self.open(gift)?, gift.store),
        };
        pair(self.memory, unit, [grad, &slot], |grad, target| {
            run(grad, target, store)
        })?;
        self.add_alone(unit, gift)
    }

    /// Gives a part of a gradient that the plain loops have computed.
    fn give_array(&mut self, unit: &Unit, gift: &Gift, part: ArrayViewD<'_, f32>) -> Result<()> {
        let slot = match &gift.alone {
            Some(alone) => alone.clone(),
            None => self.open(gift)?,
        };
        write(&mut self.memory.arena, &slot, &part, unit)?;
        self.add_alone(unit, gift)
    }

    /// Adds a part that was computed alone.
    fn add_alone(&mut self, unit: &Unit, gift: &Gift) -> Result<()> {
        let isa = self.isa;
        match (&gift.alone, &self.plan.grads[gift.to]) {
            (Some(alone), Some(target)) => {
                pair(self.memory, unit, [alone, target], |part, target| {
                    blocked::add_assign(isa, part, target)
                })
            }
            _ => Ok(()),
        }
    }

    /// The gradient that a part goes to; with the first part its halo becomes zeros.
    fn open(&mut self, gift: &Gift) -> Result<Slot> {
        let slot = self.plan.grads[gift.to]
            .clone()
            .ok_or_else(|| overlap(&self.units[gift.to]))?;
        if gift.store == Store::Replace {
            slot.layout
                .clear_halo(&mut self.memory.arena[slot.place.clone()]);
        }
        Ok(slot)
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
