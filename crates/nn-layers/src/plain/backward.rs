//! One node's backward pass.

use std::collections::BTreeMap;

use conv_core::{Element, plain};
use ndarray::{ArrayD, Ix2, Ix4};

use super::{
    activation, affine, batch_norm2d, concat, dropout, flatten, reorg, site::Site, softmax,
};
use crate::{
    error::Result,
    graph::{op::Op, shape::Shape},
    train::backend::StepKey,
};

/// The tensor of an operation that its backward pass reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// None: shapes are enough.
    Nothing,
    /// The (only) input.
    Input,
    /// The output.
    Output,
}

/// Returns what a node's backward pass reads; `learns` says whether its parameters get gradients.
pub(super) fn reads(op: &Op, learns: bool) -> Reads {
    match op {
        // For the gradient of a weight; that of the input only reads the weight.
        Op::Conv2d(_) | Op::Linear(_) | Op::BatchNorm2d(_) | Op::Affine if !learns => {
            Reads::Nothing
        }
        Op::Conv2d(_) | Op::Linear(_) | Op::BatchNorm2d(_) | Op::Affine => Reads::Input,
        // To find the largest input of each window.
        Op::MaxPool2d(_) => Reads::Input,
        // For these operations the output is sufficient, and the next node often reads it anyway.
        Op::Relu | Op::Relu6 | Op::Sigmoid | Op::Softmax => Reads::Output,
        Op::LeakyRelu { slope } if *slope >= 0.0 => Reads::Output,
        Op::LeakyRelu { .. } => Reads::Input,
        Op::Input
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Add
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Dropout { .. }
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => Reads::Nothing,
    }
}

/// The sum of a parameter's gradients since the last update.
pub(super) struct Gradient<T> {
    pub(super) value: ArrayD<T>,
    /// Whether a backward pass has added to it.
    pub(super) reached: bool,
}

/// A node in its backward pass.
pub(super) struct Backward<'a, T> {
    /// The node with its parameters, but without the inputs' tensors.
    pub(super) site: Site<'a, T>,
    /// The shape of each input.
    pub(super) shapes: Vec<&'a Shape>,
    /// For each input, whether its gradient is needed.
    pub(super) wanted: Vec<bool>,
    /// Whether the node's parameters are trainable.
    pub(super) learns: bool,
    /// The tensor that [`reads`] requires.
    pub(super) kept: Option<&'a ArrayD<T>>,
    /// The statistics of a batch normalisation in training mode.
    pub(super) statistics: Option<&'a batch_norm2d::Statistics<T>>,
    /// The mask of an active dropout.
    pub(super) key: Option<StepKey>,
    /// The gradients of all trainable parameters.
    pub(super) gradients: &'a mut BTreeMap<String, Gradient<T>>,
}

impl<'a, T: Element> Backward<'a, T> {
    /// Takes the gradient of the output, **adds** to the gradients of the node's parameters, and
    /// returns the gradient of each input that needs one.
    pub(super) fn run(&mut self, grad: ArrayD<T>) -> Result<Vec<Option<ArrayD<T>>>> {
        match &self.site.node.op {
            Op::Add => Ok(self.each_input(|_| grad.clone())),
            Op::Concat => {
                let channels = self.shapes.iter().map(|shape| shape[1]);
                let ends: Vec<usize> = channels
                    .scan(0, |end, channels| {
                        *end += channels;
                        Some(*end)
                    })
                    .collect();
                let part = |input: usize| {
                    let channels = self.shapes[input][1];
                    concat::slice(&grad.view(), ends[input] - channels, channels)
                };
                Ok(self.each_input(part))
            }
            Op::BatchNorm2d(norm) if self.learns => {
                let (x, statistics) = (self.kept()?, self.statistics()?);
                let weight = self.site.param("weight")?;
                let gradients =
                    batch_norm2d::grad_training(grad, x, &weight, statistics, norm.epsilon);
                self.add_to("weight", &gradients.weight.into_dyn())?;
                self.add_to("bias", &gradients.bias.into_dyn())?;
                Ok(vec![self.wanted[0].then_some(gradients.input)])
            }
            op => {
                if self.learns {
                    self.params(op, &grad)?;
                }
                let wanted = self.wanted.first() == Some(&true);
                Ok(vec![wanted.then(|| self.input(op, grad)).transpose()?])
            }
        }
    }

    /// Adds to the gradients of the node's parameters.
    fn params(&mut self, op: &Op, grad: &ArrayD<T>) -> Result<()> {
        let site = self.site;
        let view = grad.view();
        let (weight, bias) = match op {
            Op::Conv2d(conv) => {
                let (x, grad) = (self.kept()?.view(), site.fixed(&view)?);
                let (kernel_size, options) = (conv.kernel_size, &conv.options);
                let weight = plain::conv2d_grad_weight(site.fixed(&x)?, grad, kernel_size, options);
                let bias = conv
                    .bias
                    .then(|| site.kernel(plain::conv2d_grad_bias(grad)));
                (site.kernel(weight)?, bias.transpose()?)
            }
            Op::Linear(linear) => {
                let (x, grad) = (self.kept()?.view(), site.fixed(&view)?);
                let weight = plain::linear_grad_weight(site.fixed(&x)?, grad);
                let bias = linear
                    .bias
                    .then(|| site.kernel(plain::linear_grad_bias(grad)));
                (site.kernel(weight)?, bias.transpose()?)
            }
            Op::Affine => {
                let weight = affine::grad_weight(grad, self.kept()?);
                (weight, Some(affine::grad_bias(grad)))
            }
            // `run` handles those whose statistics are the batch's.
            Op::BatchNorm2d(_)
            | Op::Input
            | Op::Relu
            | Op::Relu6
            | Op::LeakyRelu { .. }
            | Op::Sigmoid
            | Op::Softmax
            | Op::MaxPool2d(_)
            | Op::AvgPool2d(_)
            | Op::GlobalAvgPool2d
            | Op::AdaptiveAvgPool2d(_)
            | Op::Add
            | Op::Concat
            | Op::Slice { .. }
            | Op::PadChannels { .. }
            | Op::Flatten
            | Op::Dropout { .. }
            | Op::Upsample { .. }
            | Op::Reorg { .. }
            | Op::Pad { .. } => return Ok(()),
        };
        self.add_to("weight", &weight)?;
        if let Some(bias) = bias {
            self.add_to("bias", &bias)?;
        }
        Ok(())
    }

    /// Returns the gradient of the only input.
    fn input(&self, op: &Op, grad: ArrayD<T>) -> Result<ArrayD<T>> {
        let site = self.site;
        let shape: &[usize] = self.shapes.first().map_or(&[], |shape| shape);
        // For the operations that request it, which only accept feature maps.
        let size = || [shape[2], shape[3]];
        let view = grad.view();
        match op {
            Op::Conv2d(conv) => {
                let weight = site.param::<Ix4>("weight")?;
                let grad = site.fixed(&view)?;
                site.kernel(plain::conv2d_grad_input(
                    grad,
                    weight,
                    size(),
                    &conv.options,
                ))
            }
            Op::Linear(_) => {
                let weight = site.param::<Ix2>("weight")?;
                site.kernel(plain::linear_grad_input(site.fixed(&view)?, weight))
            }
            Op::BatchNorm2d(norm) => {
                let (weight, var) = (site.param("weight")?, site.param("running_var")?);
                Ok(batch_norm2d::grad_input_evaluation(
                    grad,
                    &weight,
                    &var,
                    norm.epsilon,
                ))
            }
            Op::Affine => Ok(affine::grad_input(grad, &site.param("weight")?)),

            Op::Relu => Ok(activation::relu_grad(grad, self.kept()?)),
            Op::Relu6 => Ok(activation::relu6_grad(grad, self.kept()?)),
            Op::LeakyRelu { slope } => Ok(activation::leaky_relu_grad(
                grad,
                self.kept()?,
                T::from_f64(*slope),
            )),
            Op::Sigmoid => Ok(activation::sigmoid_grad(grad, self.kept()?)),
            Op::Softmax => Ok(softmax::grad(grad, self.kept()?)),

            Op::MaxPool2d(options) => {
                let x = self.kept()?.view();
                site.kernel(plain::max_pool2d_grad(
                    site.fixed(&x)?,
                    site.fixed(&view)?,
                    options,
                ))
            }
            Op::AvgPool2d(options) => {
                site.kernel(plain::avg_pool2d_grad(site.fixed(&view)?, size(), options))
            }
            Op::GlobalAvgPool2d => {
                site.kernel(plain::global_avg_pool2d_grad(site.fixed(&view)?, size()))
            }
            Op::AdaptiveAvgPool2d(_) => {
                site.kernel(plain::adaptive_avg_pool2d_grad(site.fixed(&view)?, size()))
            }

            Op::Slice { start, len } => {
                let behind = shape[1] - start - len;
                concat::pad_channels(&site.node.name, &view, *start, behind)
            }
            Op::PadChannels { before, .. } => Ok(concat::slice(&view, *before, shape[1])),
            Op::Flatten => site.shaped(flatten::grad(&grad, shape)),
            Op::Dropout { probability } => Ok(match self.key {
                Some(key) => dropout::eval(grad, key, &site.node.name, *probability),
                None => grad,
            }),

            Op::Upsample { scale } => {
                site.kernel(plain::upsample_nearest2d_grad(site.fixed(&view)?, *scale))
            }
            Op::Reorg { stride } => site.shaped(reorg::grad(&site.fixed(&view)?, *stride)),
            Op::Pad { padding, value } => {
                site.kernel(plain::pad2d_grad(site.fixed(&view)?, *padding, *value))
            }
            // `run` has handled the operations with several inputs, and `Input` has none.
            Op::Input | Op::Add | Op::Concat => {
                Err(site.broken("an operation without a single input was asked for its gradient"))
            }
        }
    }

    /// Returns the gradients of all inputs that need one.
    fn each_input(&self, gradient: impl Fn(usize) -> ArrayD<T>) -> Vec<Option<ArrayD<T>>> {
        let wanted = self.wanted.iter().enumerate();
        wanted
            .map(|(input, wanted)| wanted.then(|| gradient(input)))
            .collect()
    }

    fn add_to(&mut self, local: &str, gradient: &ArrayD<T>) -> Result<()> {
        let spec = self.site.node.param(local);
        let sum = spec.and_then(|spec| self.gradients.get_mut(&spec.name));
        let missing = || self.site.broken("a trainable parameter has no gradient");
        let sum = sum.ok_or_else(missing)?;
        sum.value += gradient;
        sum.reached = true;
        Ok(())
    }

    /// Returns the tensor kept for this pass: the trainer keeps what [`reads`] requires.
    fn kept(&self) -> Result<&'a ArrayD<T>> {
        let missing = || {
            self.site
                .broken("the tensor that its backward pass reads was not kept")
        };
        self.kept.ok_or_else(missing)
    }

    fn statistics(&self) -> Result<&'a batch_norm2d::Statistics<T>> {
        let missing = || self.site.broken("the batch's statistics were not kept");
        self.statistics.ok_or_else(missing)
    }
}
