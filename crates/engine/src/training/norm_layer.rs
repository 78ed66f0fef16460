//! A batch normalisation: its parameters, the batch's statistics, and the coefficients of both
//! passes.
//!
//! An affine layer, `y = weight[c] * x + bias[c]`, is treated as one, too: its mean is 0, its
//! standard deviation 1, and no gradient flows through them.

use conv_core::blocked::{BLOCK, Buffer};
use nn_layers::{Epsilon, Node, Op, ParamSpec, Params, Shape, Slot, TrainError};

use super::layer::Learnt;
use crate::error::{Error, Result};
use crate::ir::Norm;
use crate::memory::{F32, F64, MemoryUse, grow};
use crate::pack::{narrow, take};

/// A batch normalisation or affine layer.
#[derive(Debug)]
pub(crate) struct NormLayer {
    node: String,
    pub(super) specs: Vec<ParamSpec>,
    channels: usize,
    epsilon: Epsilon,
    pub(crate) frozen: bool,
    pub(crate) reached: bool,
    weight: Buffer,
    bias: Buffer,
    /// Mean and variance; none for an affine layer.
    running: Option<[Buffer; 2]>,
    pub(super) grad_weight: Buffer,
    pub(super) grad_bias: Buffer,
    /// The batch's mean and biased variance.
    pub(crate) mean: Vec<f64>,
    pub(crate) variance: Vec<f64>,
    /// The per-channel coefficients of the forward pass: `y = scale * x + shift`.
    pub(crate) scale: Buffer,
    pub(crate) shift: Buffer,
    /// The mean in f32; the mean gradient and the slope of
    /// [`BatchNormGrad`](conv_core::blocked::BatchNormGrad).
    pub(crate) center: Buffer,
    pub(crate) mean_grad: Buffer,
    pub(crate) slope: Buffer,
    /// Two sums per channel for the backward pass.
    pub(crate) sums: Vec<f64>,
    pub(crate) products: Vec<f64>,
    /// Values per channel in the last batch.
    count: usize,
}

impl NormLayer {
    /// Returns the memory of a normalisation: its parameters, the gradients of two of them, which a frozen
    /// one keeps too, and five values in f32 and four in f64 for each channel.
    pub(crate) fn memory(norm: &Norm) -> MemoryUse {
        let channels = norm.channels.next_multiple_of(BLOCK) as u64;
        let parameters = if norm.is_affine { 2 } else { 4 };
        MemoryUse {
            parameters: channels * parameters * F32,
            gradients: channels * 2 * F32,
            scratch: channels * (5 * F32 + 4 * F64),
            ..MemoryUse::default()
        }
    }

    /// Pads the node's parameters to whole blocks and removes them from `params`.
    pub(crate) fn new(node: &Node, params: &mut Params<f32>, frozen: bool) -> Result<Self> {
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
        let (epsilon, running) = match node.op() {
            Op::BatchNorm2d(norm) => (
                norm.epsilon,
                Some([number("running_mean")?, number("running_var")?]),
            ),
            _ => (Epsilon::Inside(0.0), None),
        };
        let len = weight.len();
        let buffer = || Buffer::zeroed(len).map_err(Error::at(node.name()));
        let sums = |value| {
            let mut sums = Vec::new();
            grow(&mut sums, len, value, "statistics")?;
            Ok::<_, Error>(sums)
        };
        Ok(Self {
            node: node.name().to_owned(),
            specs,
            channels,
            epsilon,
            frozen,
            reached: false,
            weight,
            bias,
            running,
            grad_weight: buffer()?,
            grad_bias: buffer()?,
            mean: sums(0.0)?,
            variance: sums(1.0)?,
            scale: buffer()?,
            shift: buffer()?,
            center: buffer()?,
            mean_grad: buffer()?,
            slope: buffer()?,
            sums: sums(0.0)?,
            products: sums(0.0)?,
            count: 0,
        })
    }

    /// Computes the coefficients of the forward pass, from the batch's statistics or, if the layer
    /// is frozen, from the running statistics.
    pub(crate) fn prepare(&mut self, shape: &Shape) -> Result<()> {
        self.count = shape.elements().unwrap_or(0) / self.channels.max(1);
        if let Some([mean, variance]) = &self.running {
            if self.frozen {
                widen(mean, &mut self.mean);
                widen(variance, &mut self.variance);
            } else if self.count < 2 {
                return Err(nn_layers::Error::Train(TrainError::OneValuePerChannel {
                    node: self.node.clone(),
                    shape: shape.clone(),
                })
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

    /// Computes the parameters' gradients from the sums and adds them to the earlier ones, and
    /// computes the coefficients of the input's gradient.
    pub(crate) fn finish_sums(&mut self) {
        self.mean_grad.fill(0.0);
        self.slope.fill(0.0);
        if self.frozen {
            return;
        }
        self.reached = true;
        let count = self.count as f64;
        for c in 0..self.channels {
            let deviation = self.deviation(c);
            self.grad_weight[c] += narrow(self.products[c] / deviation);
            self.grad_bias[c] += narrow(self.sums[c]);
            if self.running.is_none() {
                continue;
            }
            self.mean_grad[c] = narrow(self.sums[c] / count);
            // The squared deviation if the epsilon is inside the root.
            let square = match self.epsilon {
                Epsilon::Inside(_) => deviation * deviation,
                Epsilon::Outside(_) => deviation * self.variance[c].sqrt(),
            };
            // All values are equal: the slope's factor is 0.
            if square > 0.0 {
                self.slope[c] = narrow(self.products[c] / count / square);
            }
        }
    }

    /// Updates the running statistics with the batch's, and increments the counter if there is one.
    pub(crate) fn track(&mut self, momentum: f64, others: &mut Params<f32>) {
        let Some([mean, variance]) = self.running.as_mut().filter(|_| !self.frozen) else {
            return;
        };
        let unbiased = self.count as f64 / (self.count as f64 - 1.0);
        for c in 0..self.channels {
            let moved = |running: f32, batch: f64| {
                narrow((1.0 - momentum) * f64::from(running) + momentum * batch)
            };
            mean[c] = moved(mean[c], self.mean[c]);
            variance[c] = moved(variance[c], self.variance[c] * unbiased);
        }
        if let Some(counter) = others.get_mut(&format!("{}.num_batches_tracked", self.node))
            && counter.slot == Slot::Counter
        {
            counter.value.mapv_inplace(|count| count + 1.0);
        }
    }

    /// Returns the trainable parameters.
    pub(super) fn learnt(&mut self) -> Vec<Learnt<'_>> {
        let numbers = [
            (&mut self.weight, &mut self.grad_weight),
            (&mut self.bias, &mut self.grad_bias),
        ];
        let learnt = numbers.into_iter().zip(&self.specs);
        learnt
            .map(|((numbers, grad), spec)| Learnt {
                name: spec.name(),
                reached: self.reached,
                numbers,
                grad,
            })
            .collect()
    }

    /// Returns the values of all parameters, in the order of the specs.
    pub(super) fn numbers(&self) -> Vec<&[f32]> {
        let learnt = [&self.weight[..], &self.bias[..]];
        let running = self.running.iter().flatten().map(|numbers| &numbers[..]);
        learnt.into_iter().chain(running).collect()
    }
}

fn widen(from: &[f32], to: &mut [f64]) {
    for (to, &x) in to.iter_mut().zip(from) {
        *to = f64::from(x);
    }
}
