//! A node with its input tensors, and the computation of its output.

use conv_core::{Element, plain};
use ndarray::{Array, ArrayD, ArrayView, ArrayViewD, Dimension, Ix1, Ix2, Ix4, ShapeError};

use super::{activation, affine, batch_norm2d, concat, flatten, reorg, softmax};
use crate::{
    error::{Error, Result},
    graph::{Node, error::GraphError, op::Op},
    params::Params,
};

/// A node that is being computed.
///
/// Shape inference and the check of the parameters have ruled out missing tensors and wrong shapes,
/// so the errors below are [`Error::Internal`].
#[derive(Clone, Copy)]
pub(super) struct Site<'a, T> {
    pub(super) node: &'a Node,
    pub(super) inputs: &'a [&'a ArrayD<T>],
    pub(super) params: &'a Params<T>,
}

impl<'a, T: Element> Site<'a, T> {
    /// The node's output in evaluation.
    pub(super) fn output(&self) -> Result<ArrayD<T>> {
        let x = self.input(0)?;
        match &self.node.op {
            Op::Input => Err(self.broken("there are fewer tensors than inputs")),

            Op::Conv2d(conv) => {
                let (weight, bias) = (self.param::<Ix4>("weight")?, self.bias(conv.bias)?);
                self.kernel(plain::conv2d(self.fixed(&x)?, weight, bias, &conv.options))
            }
            Op::Linear(linear) => {
                let (weight, bias) = (self.param::<Ix2>("weight")?, self.bias(linear.bias)?);
                self.kernel(plain::linear(self.fixed(&x)?, weight, bias))
            }
            Op::BatchNorm2d(norm) => Ok(batch_norm2d::eval(
                &x,
                &self.param("weight")?,
                &self.param("bias")?,
                &self.param("running_mean")?,
                &self.param("running_var")?,
                norm.epsilon,
            )),
            Op::Affine => Ok(affine::eval(
                &x,
                &self.param("weight")?,
                &self.param("bias")?,
            )),

            Op::Relu => Ok(activation::relu(&x)),
            Op::Relu6 => Ok(activation::relu6(&x)),
            Op::LeakyRelu { slope } => Ok(activation::leaky_relu(&x, T::from_f64(*slope))),
            Op::Sigmoid => Ok(activation::sigmoid(&x)),
            Op::Softmax => Ok(softmax::eval(&x)),

            Op::MaxPool2d(options) => self.kernel(plain::max_pool2d(self.fixed(&x)?, options)),
            Op::AvgPool2d(options) => self.kernel(plain::avg_pool2d(self.fixed(&x)?, options)),
            Op::GlobalAvgPool2d => self.kernel(plain::global_avg_pool2d(self.fixed(&x)?)),
            Op::AdaptiveAvgPool2d(output) => {
                self.kernel(plain::adaptive_avg_pool2d(self.fixed(&x)?, *output))
            }

            Op::Add => Ok(&x + &self.input(1)?),
            Op::Concat => concat::concat(&self.node.name, self.inputs),
            Op::Slice { start, len } => Ok(concat::slice(&x, *start, *len)),
            &Op::PadChannels { before, after } => {
                concat::pad_channels(&self.node.name, &x, before, after)
            }
            Op::Flatten => self.shaped(flatten::eval(&x)),
            // In evaluation; training drops in `train.rs`.
            Op::Dropout { .. } => Ok(x.to_owned()),

            Op::Upsample { scale } => {
                self.kernel(plain::upsample_nearest2d(self.fixed(&x)?, *scale))
            }
            Op::Reorg { stride } => self.shaped(reorg::eval(&self.fixed(&x)?, *stride)),
            Op::Pad { padding, value } => {
                self.kernel(plain::pad2d(self.fixed(&x)?, *padding, *value))
            }
        }
    }

    pub(super) fn input(&self, index: usize) -> Result<ArrayViewD<'a, T>> {
        self.inputs
            .get(index)
            .map(|input| input.view())
            .ok_or_else(|| self.broken("an input was not computed or is gone"))
    }

    /// The error for a broken invariant.
    pub(super) fn broken(&self, broken: &'static str) -> Error {
        Error::internal(&self.node.name, broken)
    }

    /// An input as a view of fixed rank.
    pub(super) fn fixed<'x, D: Dimension>(
        &self,
        x: &'x ArrayViewD<'_, T>,
    ) -> Result<ArrayView<'x, T, D>> {
        self.shaped(x.view().into_dimensionality::<D>())
    }

    /// The parameter `local` of this node, as a view of fixed rank.
    pub(super) fn param<D: Dimension>(&self, local: &str) -> Result<ArrayView<'a, T, D>> {
        let missing = || self.broken("a parameter is missing that was there at the start");
        let spec = self.node.param(local).ok_or_else(missing)?;
        let param = self.params.get(&spec.name).ok_or_else(missing)?;
        self.shaped(param.value.view().into_dimensionality::<D>())
    }

    pub(super) fn bias(&self, has_bias: bool) -> Result<Option<ArrayView<'a, T, Ix1>>> {
        has_bias.then(|| self.param("bias")).transpose()
    }

    /// The result of an operation of `conv-core`.
    pub(super) fn kernel<D: Dimension>(
        &self,
        result: conv_core::Result<Array<T, D>>,
    ) -> Result<ArrayD<T>> {
        let error = |source| {
            Error::Graph(GraphError::Kernel {
                node: self.node.name.clone(),
                source,
            })
        };
        Ok(result.map_err(error)?.into_dyn())
    }

    /// The result of a reshape by `ndarray`.
    pub(super) fn shaped<A>(&self, result: Result<A, ShapeError>) -> Result<A> {
        result.map_err(|_| self.broken("a tensor has another shape than was inferred"))
    }
}

/// The tensors that a node reads.
pub(super) fn inputs_of<'a, T>(
    node: &Node,
    live: &'a [Option<ArrayD<T>>],
) -> Result<Vec<&'a ArrayD<T>>> {
    let missing = || Error::internal(&node.name, "an input was not computed or is gone");
    let inputs = node.inputs.iter();
    inputs
        .map(|id| live[id.0].as_ref().ok_or_else(missing))
        .collect()
}
