//! The passes of a step through the units: forward, and back.

use conv_core::blocked::{self, BatchNormGrad, Buffer, Layout, Store, View, ViewMut};
use conv_core::{Isa, PaddingValue};
use ndarray::{ArrayD, ArrayView4, ArrayViewD, ArrayViewMut4, IxDyn};
use nn_layers::{
    Graph, Loss, Params, Plain, PlainTrainer, Shape, StepKey, Terms, TrainBackend, TrainSpec,
    dropout_mask, dropout_scale,
};

use super::layer::Layer;
use super::plan::{Gift, Slot, StepPlan};
use super::unit::{Kind, Unit};
use crate::error::{Error, Result};

/// What a pass works on.
pub(crate) struct Pass<'a> {
    pub(crate) isa: Isa,
    pub(crate) key: StepKey,
    pub(crate) units: &'a [Unit],
    pub(crate) layers: &'a mut [Layer],
    pub(crate) plan: &'a mut StepPlan,
    pub(crate) memory: &'a mut Memory,
}

/// Memory that stays from step to step.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) arena: Buffer,
    weight_scratch: Buffer,
    sum_scratch: Vec<f64>,
}

impl Memory {
    /// Grows to what a plan needs.
    pub(crate) fn fit(&mut self, plan: &StepPlan) -> Result<()> {
        let error = |bytes: usize| Error::Memory {
            bytes: bytes as u128 * 4,
        };
        for (buffer, len) in [
            (&mut self.arena, plan.arena_len),
            (&mut self.weight_scratch, plan.weight_scratch),
        ] {
            if buffer.len() < len {
                *buffer = Buffer::default();
                *buffer = Buffer::zeroed(len).map_err(|_| error(len))?;
            }
        }
        if self.sum_scratch.len() < plan.sum_scratch {
            self.sum_scratch.resize(plan.sum_scratch, 0.0);
        }
        Ok(())
    }
}

impl Pass<'_> {
    /// Computes every unit's value.
    pub(crate) fn forward(&mut self, inputs: &[ArrayViewD<'_, f32>]) -> Result<()> {
        (0..self.units.len()).try_for_each(|index| self.unit_forward(index, inputs))
    }

    /// Computes the gradients of everything that is wanted, from those of the outputs.
    pub(crate) fn backward(&mut self) -> Result<()> {
        (0..self.units.len())
            .rev()
            .filter(|&index| self.units[index].wanted)
            .try_for_each(|index| self.unit_backward(index))
    }

    fn unit_forward(&mut self, index: usize, inputs: &[ArrayViewD<'_, f32>]) -> Result<()> {
        let isa = self.isa;
        let unit = &self.units[index];
        let Slot { layout, place } = self.plan.values[index].clone();
        layout.clear_halo(&mut self.memory.arena[place.clone()]);
        let at = || Error::at(&unit.name);
        match &unit.kind {
            Kind::Input(number) => {
                let input = inputs.get(*number).ok_or(Error::InputCount {
                    expected: self.plan.inputs.len(),
                    got: inputs.len(),
                })?;
                let input = as_pictures(input, &layout).ok_or_else(|| overlap(unit))?;
                let target = &mut self.memory.arena[place];
                layout
                    .import(input, PaddingValue::Zeros, target)
                    .map_err(at())
            }
            Kind::Conv(layer) => {
                let Layer::Conv(layer) = &self.layers[*layer] else {
                    return Err(overlap(unit));
                };
                self.plan.pair(self.memory, unit, index, |input, output| {
                    layer.conv.run(input, output)
                })
            }
            Kind::Norm { .. } => self.norm_forward(index),
            Kind::Add => {
                for (part, &input) in unit.inputs.iter().enumerate() {
                    let slots = [&self.plan.values[input], &self.plan.values[index]];
                    pair(self.memory, unit, slots, |input, output| match part {
                        0 => blocked::map(isa, input, output, |x| x),
                        _ => blocked::add_assign(isa, input, output),
                    })?;
                }
                Ok(())
            }
            Kind::Concat => {
                let mut first = 0;
                for &input in &unit.inputs {
                    let slots = [&self.plan.values[input], &self.plan.values[index]];
                    pair(self.memory, unit, slots, |input, output| {
                        blocked::concat(input, first, output)
                    })?;
                    first += slots[0].layout.channels;
                }
                Ok(())
            }
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
                let output = as_pictures(&output, &layout).ok_or_else(|| overlap(unit))?;
                layout
                    .import(output, PaddingValue::Zeros, &mut self.memory.arena[place])
                    .map_err(at())
            }
            kind => self.plan.pair(self.memory, unit, index, |input, output| {
                forward_one(isa, kind, input, output)
            }),
        }
    }

    fn norm_forward(&mut self, index: usize) -> Result<()> {
        let unit = &self.units[index];
        let (Kind::Norm { layer, activation }, &[input, ..]) = (&unit.kind, &unit.inputs[..])
        else {
            return Err(overlap(unit));
        };
        let Layer::Norm(layer) = &mut self.layers[*layer] else {
            return Err(overlap(unit));
        };
        let at = || Error::at(&unit.name);
        let source = &self.plan.values[input];
        if !layer.frozen {
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

    fn unit_backward(&mut self, index: usize) -> Result<()> {
        let isa = self.isa;
        let unit = &self.units[index];
        let Some(grad) = self.plan.grads[index].clone() else {
            return Ok(());
        };
        match &unit.kind {
            Kind::Input(_) => return Ok(()),
            Kind::Conv(layer) => return self.conv_backward(index, *layer),
            Kind::Norm { layer, .. } => return self.norm_backward(index, *layer),
            Kind::Activation(activation) => {
                let value = &self.plan.values[index];
                pair(self.memory, unit, [value, &grad], |output, grad| {
                    blocked::activation_grad(isa, output, *activation, grad)
                })?;
            }
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
                Kind::MaxPool(options) => {
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
                        Kind::Concat => blocked::slice(grad, first, target),
                        Kind::Slice(start) => blocked::pad_channels(grad, *start, target),
                        Kind::PadChannels(before) => blocked::slice(grad, *before, target),
                        Kind::Reshape => blocked::reshape(grad, target),
                        Kind::Dropout(probability) => {
                            drop_out(key, &unit.name, *probability, grad, target)
                        }
                        Kind::AvgPool(options) => {
                            blocked::avg_pool2d_grad(isa, options, grad, target, store)
                        }
                        Kind::AdaptiveAvgPool => {
                            blocked::adaptive_avg_pool2d_grad(isa, grad, target, store)
                        }
                        Kind::Upsample(scale) => {
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
                let slot = match &gift.alone {
                    Some(alone) => alone.clone(),
                    None => self.open(&gift)?,
                };
                let part = part.view();
                let part = as_pictures(&part, &slot.layout).ok_or_else(|| overlap(unit))?;
                slot.layout
                    .import(
                        part,
                        PaddingValue::Zeros,
                        &mut self.memory.arena[slot.place.clone()],
                    )
                    .map_err(Error::at(&unit.name))?;
                self.add_alone(unit, &gift)?;
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

    /// A unit's inputs as NCHW arrays, without repetitions.
    fn read_inputs(&self, unit: &Unit) -> Result<Vec<ArrayD<f32>>> {
        let mut inputs: Vec<usize> = Vec::new();
        for &input in &unit.inputs {
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
        inputs
            .into_iter()
            .map(|input| {
                let slot = &self.plan.values[input];
                read(&self.memory.arena, slot, &self.plan.shapes[input], unit)
            })
            .collect()
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

/// Calls `run` with two tensors, of which it writes the second.
fn pair(
    memory: &mut Memory,
    unit: &Unit,
    [input, output]: [&Slot; 2],
    run: impl FnOnce(View<'_>, ViewMut<'_>) -> conv_core::Result<()>,
) -> Result<()> {
    let places = [input.place.clone(), output.place.clone()];
    let Ok([from, to]) = memory.arena.get_disjoint_mut(places) else {
        return Err(overlap(unit));
    };
    View::new(input.layout, from)
        .and_then(|input| run(input, ViewMut::new(output.layout, to)?))
        .map_err(Error::at(&unit.name))
}

/// Kernels that read one tensor.
fn forward_one(
    isa: Isa,
    kind: &Kind,
    input: View<'_>,
    output: ViewMut<'_>,
) -> conv_core::Result<()> {
    match kind {
        Kind::Relayout => blocked::relayout(input, output),
        Kind::Activation(activation) => {
            let activation = *activation;
            blocked::map(isa, input, output, move |x| activation.apply(x))
        }
        Kind::MaxPool(options) => blocked::max_pool2d(isa, input, options, output),
        Kind::AvgPool(options) => blocked::avg_pool2d(isa, input, options, output),
        Kind::AdaptiveAvgPool => blocked::adaptive_avg_pool2d(isa, input, output),
        Kind::Slice(start) => blocked::slice(input, *start, output),
        Kind::PadChannels(before) => blocked::pad_channels(input, *before, output),
        Kind::Reshape => blocked::reshape(input, output),
        Kind::Upsample(scale) => blocked::upsample_nearest2d(input, *scale, output),
        // The rest has inputs of its own, and this is the copy.
        _ => blocked::map(isa, input, output, |x| x),
    }
}

/// `output = input * mask * scale`: dropout forward, and backward too.
fn drop_out(
    key: StepKey,
    name: &str,
    probability: f64,
    input: View<'_>,
    mut output: ViewMut<'_>,
) -> conv_core::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "rounded once")]
    let scale = dropout_scale(probability) as f32;
    blocked::map(
        Isa::named("scalar")?,
        input,
        ViewMut::new(output.layout(), output.data_mut())?,
        |_| 0.0,
    )?;
    let (from, to) = (input.layout(), output.layout());
    let mut mask = dropout_mask(key, name, probability);
    for n in 0..from.batch {
        for c in 0..from.channels {
            for y in 0..from.size[0] {
                for x in 0..from.size[1] {
                    if mask.next().unwrap_or(false) {
                        output.data_mut()[to.at(n, c, y, x)] =
                            input.data()[from.at(n, c, y, x)] * scale;
                    }
                }
            }
        }
    }
    Ok(())
}

/// A tensor as an array of this shape.
pub(crate) fn read(arena: &[f32], slot: &Slot, shape: &Shape, unit: &Unit) -> Result<ArrayD<f32>> {
    let mut array = ArrayD::zeros(IxDyn(shape));
    read_into(&mut array, arena, slot, unit)?;
    Ok(array)
}

/// The same into an array of the tensor's shape.
pub(crate) fn read_into(
    array: &mut ArrayD<f32>,
    arena: &[f32],
    slot: &Slot,
    unit: &Unit,
) -> Result<()> {
    let numbers = array.as_slice_mut().ok_or_else(|| overlap(unit))?;
    let target =
        ArrayViewMut4::from_shape(dim(&slot.layout), numbers).map_err(|_| overlap(unit))?;
    slot.layout
        .export(&arena[slot.place.clone()], target)
        .map_err(Error::at(&unit.name))
}

/// An array of any rank as the pictures that a layout describes.
pub(crate) fn as_pictures<'a>(
    array: &'a ArrayViewD<'_, f32>,
    layout: &Layout,
) -> Option<ArrayView4<'a, f32>> {
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

/// A fault of the planner, not of the caller.
pub(crate) fn overlap(unit: &Unit) -> Error {
    Error::Overlap {
        node: unit.name.clone(),
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
