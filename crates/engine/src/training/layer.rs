//! A layer that learns: its parameters in the engine's own layout, and their gradients.

use conv_core::blocked::{BLOCK, Buffer, PackedConv2d};
use conv_core::{Activation, Conv2dOptions, Isa};
use ndarray::{Array1, ArrayD, Axis, Ix1, Ix4, IxDyn};
use nn_layers::{Epsilon, Misfit, Node, Op, Param, ParamSpec, Params, Shape, Slot};

use crate::error::{Error, Result};

/// The parameters of a node, and what becomes of them in a step.
#[derive(Debug)]
pub(crate) enum Layer {
    Conv(ConvLayer),
    Norm(NormLayer),
}

/// A convolution, or a dense layer as one over pictures of one pixel.
#[derive(Debug)]
pub(crate) struct ConvLayer {
    node: String,
    weight: ParamSpec,
    bias: Option<ParamSpec>,
    groups: usize,
    pub(crate) conv: PackedConv2d,
    pub(crate) learns: bool,
    /// Whether a gradient has come since the last update.
    pub(crate) reached: bool,
    pub(crate) grad_weight: Buffer,
    pub(crate) grad_bias: Buffer,
}

/// A batch normalisation.
#[derive(Debug)]
pub(crate) struct NormLayer {
    pub(crate) node: String,
    specs: Vec<ParamSpec>,
    channels: usize,
    epsilon: Epsilon,
    pub(crate) frozen: bool,
    pub(crate) reached: bool,
    weight: Buffer,
    bias: Buffer,
    running_mean: Buffer,
    running_var: Buffer,
    grad_weight: Buffer,
    grad_bias: Buffer,
    /// The batch's mean and biased variance, and two sums a channel on the way back.
    pub(crate) mean: Vec<f64>,
    pub(crate) variance: Vec<f64>,
    /// What the passes multiply and add, channel by channel: `y = scale * x + shift` forward.
    pub(crate) scale: Buffer,
    pub(crate) shift: Buffer,
    /// The mean in f32; the mean gradient and the slope of [`BatchNormGrad`](conv_core::blocked::BatchNormGrad).
    pub(crate) center: Buffer,
    pub(crate) mean_grad: Buffer,
    pub(crate) slope: Buffer,
    pub(crate) sums: Vec<f64>,
    pub(crate) products: Vec<f64>,
    /// Numbers a channel in the last batch.
    count: usize,
}

/// A parameter that learns: its name, its numbers and its gradient.
pub(crate) struct Learnt<'a> {
    pub(crate) name: &'a str,
    pub(crate) reached: bool,
    pub(crate) numbers: &'a mut [f32],
    pub(crate) grad: &'a mut [f32],
}

impl Layer {
    pub(crate) fn learns(&self) -> bool {
        match self {
            Self::Conv(layer) => layer.learns,
            Self::Norm(layer) => !layer.frozen,
        }
    }

    /// The parameters that learn.
    pub(crate) fn learnt(&mut self) -> Vec<Learnt<'_>> {
        if !self.learns() {
            return Vec::new();
        }
        match self {
            Self::Conv(ConvLayer {
                weight,
                bias,
                conv,
                reached,
                grad_weight,
                grad_bias,
                ..
            }) => {
                let (numbers, bias_numbers) = conv.parameters_mut();
                let mut learnt = vec![Learnt {
                    name: weight.name(),
                    reached: *reached,
                    numbers,
                    grad: grad_weight,
                }];
                learnt.extend(bias.as_ref().map(|bias| Learnt {
                    name: bias.name(),
                    reached: *reached,
                    numbers: bias_numbers,
                    grad: grad_bias,
                }));
                learnt
            }
            Self::Norm(NormLayer {
                specs,
                reached,
                weight,
                bias,
                grad_weight,
                grad_bias,
                ..
            }) => [(weight, grad_weight), (bias, grad_bias)]
                .into_iter()
                .zip(specs)
                .map(|((numbers, grad), spec)| Learnt {
                    name: spec.name(),
                    reached: *reached,
                    numbers,
                    grad,
                })
                .collect(),
        }
    }

    /// Sets the gradients to 0.
    pub(crate) fn clear_gradients(&mut self) {
        let (reached, grads) = match self {
            Self::Conv(layer) => (
                &mut layer.reached,
                [&mut layer.grad_weight, &mut layer.grad_bias],
            ),
            Self::Norm(layer) => (
                &mut layer.reached,
                [&mut layer.grad_weight, &mut layer.grad_bias],
            ),
        };
        *reached = false;
        for grad in grads {
            grad.fill(0.0);
        }
    }

    /// The gradients of what learns, in the layer's own order.
    fn grads(&self) -> impl Iterator<Item = (&ParamSpec, &[f32])> {
        let (specs, grads) = match self {
            Self::Conv(layer) => (layer.specs(), [&layer.grad_weight, &layer.grad_bias]),
            Self::Norm(layer) => (
                layer.specs.iter().take(2).collect(),
                [&layer.grad_weight, &layer.grad_bias],
            ),
        };
        let learnt = if self.learns() { specs.len() } else { 0 };
        specs
            .into_iter()
            .zip(grads)
            .take(learnt)
            .map(|(spec, grad)| (spec, &grad[..]))
    }

    /// The gradients of what learns, by name, in the layer's own order.
    pub(crate) fn packed_gradients(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.grads().map(|(spec, grad)| (spec.name(), grad))
    }

    /// Gradients of what learns, by name, in the canonical layout.
    pub(crate) fn gradients(&self, into: &mut Params<f32>) -> Result<()> {
        for (spec, grad) in self.grads() {
            into.insert(spec.name(), spec.slot(), self.canonical(spec, grad)?);
        }
        Ok(())
    }

    /// All parameters by name, in the canonical layout.
    pub(crate) fn export(&self, into: &mut Params<f32>) -> Result<()> {
        let (specs, numbers) = match self {
            Self::Conv(layer) => (layer.specs(), vec![layer.conv.weight(), layer.conv.bias()]),
            Self::Norm(layer) => (
                layer.specs.iter().collect(),
                vec![
                    &layer.weight[..],
                    &layer.bias,
                    &layer.running_mean,
                    &layer.running_var,
                ],
            ),
        };
        for (spec, numbers) in specs.into_iter().zip(numbers) {
            into.insert(spec.name(), spec.slot(), self.canonical(spec, numbers)?);
        }
        Ok(())
    }

    /// The spec of the parameter of this name, if it is this layer's.
    pub(crate) fn spec(&self, name: &str) -> Option<&ParamSpec> {
        let specs = match self {
            Self::Conv(layer) => layer.specs(),
            Self::Norm(layer) => layer.specs.iter().collect(),
        };
        specs.into_iter().find(|spec| spec.name() == name)
    }

    /// Numbers in this layer's order, in the parameter's shape.
    pub(crate) fn canonical(&self, spec: &ParamSpec, numbers: &[f32]) -> Result<ArrayD<f32>> {
        let expected = self.packed_len(spec);
        if numbers.len() != expected {
            return Err(nn_layers::Error::ParamLength {
                name: spec.name().to_owned(),
                expected,
                got: numbers.len(),
            }
            .into());
        }
        let flat = match self {
            Self::Conv(layer) if spec.local_name() == "weight" => {
                layer
                    .conv
                    .unpack(numbers)
                    .map_err(Error::at(&layer.node))?
                    .into_raw_vec_and_offset()
                    .0
            }
            _ => numbers[..spec.elements()].to_vec(),
        };
        ArrayD::from_shape_vec(IxDyn(spec.shape()), flat).map_err(|_| misfit(spec, &[]))
    }

    /// An array of the parameter's shape, in this layer's order.
    pub(crate) fn packed(&self, spec: &ParamSpec, numbers: &ArrayD<f32>) -> Result<Vec<f32>> {
        if numbers.shape() != spec.shape() {
            return Err(misfit(spec, numbers.shape()));
        }
        match self {
            Self::Conv(layer) if spec.local_name() == "weight" => {
                let weight = as_convolution(numbers.clone())
                    .into_dimensionality::<Ix4>()
                    .map_err(|_| misfit(spec, numbers.shape()))?;
                layer
                    .conv
                    .pack(weight.view())
                    .map_err(Error::at(&layer.node))
            }
            _ => {
                let mut packed: Vec<f32> = numbers.iter().copied().collect();
                packed.resize(self.packed_len(spec), 0.0);
                Ok(packed)
            }
        }
    }

    fn packed_len(&self, spec: &ParamSpec) -> usize {
        match self {
            Self::Conv(layer) if spec.local_name() == "weight" => layer.conv.weight().len(),
            _ => spec.elements().next_multiple_of(BLOCK),
        }
    }
}

impl ConvLayer {
    /// Packs the node's parameters, which it takes out of `params`.
    pub(crate) fn new(
        node: &Node,
        params: &mut Params<f32>,
        frozen: bool,
        isa: Isa,
    ) -> Result<Self> {
        let options = match node.op() {
            Op::Conv2d(conv) => conv.options,
            _ => Conv2dOptions::default(),
        };
        let (weight_spec, weight) = take(node, "weight", params)?;
        let bias = match node.param("bias") {
            Some(_) => Some(take(node, "bias", params)?),
            None => None,
        };
        let weight = as_convolution(weight)
            .into_dimensionality::<Ix4>()
            .map_err(|_| misfit(&weight_spec, &[]))?;
        let (bias_spec, bias): (Option<ParamSpec>, Option<Array1<f32>>) = match bias {
            Some((spec, value)) => {
                let value = value
                    .into_dimensionality::<Ix1>()
                    .map_err(|_| misfit(&spec, &[]))?;
                (Some(spec), Some(value))
            }
            None => (None, None),
        };
        let conv = PackedConv2d::new(
            weight.view(),
            bias.as_ref().map(|bias| bias.view()),
            &options,
            Activation::Identity,
            isa,
        )
        .map_err(Error::at(node.name()))?;
        let buffer = |len| Buffer::zeroed(len).map_err(Error::at(node.name()));
        let (grad_weight, grad_bias) = if frozen {
            (Buffer::default(), Buffer::default())
        } else {
            (buffer(conv.weight().len())?, buffer(conv.bias().len())?)
        };
        Ok(Self {
            node: node.name().to_owned(),
            weight: weight_spec,
            bias: bias_spec,
            groups: options.groups,
            conv,
            learns: !frozen,
            reached: false,
            grad_weight,
            grad_bias,
        })
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    pub(crate) fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    fn specs(&self) -> Vec<&ParamSpec> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }
}

impl NormLayer {
    pub(crate) fn new(
        node: &Node,
        epsilon: Epsilon,
        params: &mut Params<f32>,
        frozen: bool,
    ) -> Result<Self> {
        let mut specs = Vec::new();
        let mut channels = 0;
        let mut number = |local| {
            let (spec, value) = take(node, local, params)?;
            channels = value.len();
            let mut buffer = Buffer::zeroed(value.len().next_multiple_of(BLOCK))
                .map_err(Error::at(node.name()))?;
            buffer.iter_mut().zip(&value).for_each(|(to, &x)| *to = x);
            specs.push(spec);
            Ok::<_, Error>(buffer)
        };
        let (weight, bias) = (number("weight")?, number("bias")?);
        let (running_mean, running_var) = (number("running_mean")?, number("running_var")?);
        let len = weight.len();
        let buffer = || Buffer::zeroed(len).map_err(Error::at(node.name()));
        Ok(Self {
            node: node.name().to_owned(),
            specs,
            channels,
            epsilon,
            frozen,
            reached: false,
            weight,
            bias,
            running_mean,
            running_var,
            grad_weight: buffer()?,
            grad_bias: buffer()?,
            mean: vec![0.0; len],
            variance: vec![0.0; len],
            scale: buffer()?,
            shift: buffer()?,
            center: buffer()?,
            mean_grad: buffer()?,
            slope: buffer()?,
            sums: vec![0.0; len],
            products: vec![0.0; len],
            count: 0,
        })
    }

    /// What the forward pass multiplies and adds, from the batch's statistics or, where the layer
    /// is frozen, the running ones.
    pub(crate) fn prepare(&mut self, shape: &Shape) -> Result<()> {
        if self.frozen {
            for (to, &x) in self.mean.iter_mut().zip(&self.running_mean[..]) {
                *to = f64::from(x);
            }
            for (to, &x) in self.variance.iter_mut().zip(&self.running_var[..]) {
                *to = f64::from(x);
            }
        } else {
            self.count = shape.elements().unwrap_or(0) / self.channels.max(1);
            if self.count < 2 {
                return Err(nn_layers::Error::OneValuePerChannel {
                    node: self.node.clone(),
                    shape: shape.clone(),
                }
                .into());
            }
        }
        for c in 0..self.channels {
            let scale = f64::from(self.weight[c]) / self.deviation(c);
            self.scale[c] = narrow(scale);
            self.shift[c] = narrow(f64::from(self.bias[c]) - self.mean[c] * scale);
            self.center[c] = narrow(self.mean[c]);
        }
        Ok(())
    }

    fn deviation(&self, c: usize) -> f64 {
        match self.epsilon {
            Epsilon::Inside(epsilon) => (self.variance[c] + epsilon).sqrt(),
            Epsilon::Outside(epsilon) => self.variance[c].sqrt() + epsilon,
        }
    }

    /// Adds the parameters' gradients from the sums, and works out what the input's is made of.
    pub(crate) fn finish_sums(&mut self) {
        if self.frozen {
            self.mean_grad.fill(0.0);
            self.slope.fill(0.0);
            return;
        }
        self.reached = true;
        let count = self.count as f64;
        for c in 0..self.channels {
            let deviation = self.deviation(c);
            self.grad_weight[c] += narrow(self.products[c] / deviation);
            self.grad_bias[c] += narrow(self.sums[c]);
            self.mean_grad[c] = narrow(self.sums[c] / count);
            // The square of the deviation for an epsilon inside the root.
            let square = match self.epsilon {
                Epsilon::Inside(_) => deviation * deviation,
                Epsilon::Outside(_) => deviation * self.variance[c].sqrt(),
            };
            // Numbers that are all the same: what the slope multiplies is 0.
            let slope = if square > 0.0 {
                self.products[c] / count / square
            } else {
                0.0
            };
            self.slope[c] = narrow(slope);
        }
    }

    /// Moves the running statistics by the batch's.
    pub(crate) fn track(&mut self, momentum: f64) {
        if self.frozen {
            return;
        }
        let unbiased = self.count as f64 / (self.count as f64 - 1.0);
        for c in 0..self.channels {
            let moved = |running: f32, batch: f64| {
                narrow((1.0 - momentum) * f64::from(running) + momentum * batch)
            };
            self.running_mean[c] = moved(self.running_mean[c], self.mean[c]);
            self.running_var[c] = moved(self.running_var[c], self.variance[c] * unbiased);
        }
    }
}

/// A parameter of the node, out of the store: its memory goes as soon as it is packed.
fn take(node: &Node, local: &str, params: &mut Params<f32>) -> Result<(ParamSpec, ArrayD<f32>)> {
    let missing = |expected: &[usize]| {
        nn_layers::Error::Params(vec![Misfit::Missing {
            name: format!("{}.{local}", node.name()),
            expected: expected.to_vec(),
        }])
    };
    let spec = node.param(local).ok_or_else(|| missing(&[]))?;
    let Param { value, .. } = params
        .remove(spec.name())
        .ok_or_else(|| missing(spec.shape()))?;
    Ok((spec.clone(), value))
}

/// A dense layer's weight as a convolution's.
fn as_convolution(weight: ArrayD<f32>) -> ArrayD<f32> {
    if weight.ndim() == 2 {
        weight.insert_axis(Axis(2)).insert_axis(Axis(3))
    } else {
        weight
    }
}

fn misfit(spec: &ParamSpec, got: &[usize]) -> Error {
    nn_layers::Error::Params(vec![Misfit::Shape {
        name: spec.name().to_owned(),
        expected: spec.shape().to_vec(),
        got: got.to_vec(),
    }])
    .into()
}

#[expect(clippy::cast_possible_truncation, reason = "rounded once")]
fn narrow(x: f64) -> f32 {
    x as f32
}

/// `num_batches_tracked` beside a batch normalisation that has learnt from another batch.
pub(crate) fn count_batch(layer: &Layer, others: &mut Params<f32>) {
    if let Layer::Norm(layer) = layer
        && !layer.frozen
        && let Some(counter) = others.get_mut(&format!("{}.num_batches_tracked", layer.node))
        && counter.slot == Slot::Counter
    {
        counter.value.mapv_inplace(|count| count + 1.0);
    }
}
