//! The plain executor, which defines what a network computes, node by node.

mod activation;
mod affine;
mod backward;
mod batch_norm2d;
mod channels;
mod concat;
mod dropout;
mod flatten;
mod reorg;
mod softmax;
mod tape;
mod train;

use conv_core::{Element, plain};
use ndarray::{Array, ArrayD, ArrayView, ArrayViewD, Dimension, Ix1, Ix2, Ix4, ShapeError};

pub use self::{
    dropout::{dropout_mask, dropout_scale},
    train::{Pass, PlainTrainer, StepTrace},
};
use crate::{
    error::{Error, Result},
    executor::{Infer, Outputs},
    graph::{Graph, Node, NodeId},
    liveness::last_uses,
    op::Op,
    params::Params,
    shape::Shape,
};

/// Executes a graph by definition: one node after the other, each with plain loops, in f32 or f64.
///
/// In f64 it is the reference for faster executors. It keeps a tensor only until its last reader
/// has run.
///
/// ```
/// use ndarray::ArrayD;
/// use nn_layers::{Conv2d, GraphBuilder, Padding, Plain, random_params};
///
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 3, 8, 8])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]).padding(Padding::Same))?;
/// let y = b.leaky_relu("leaky", conv, 0.1)?;
/// let graph = b.finish(&[y])?;
///
/// let params = random_params(&graph, 1).cast::<f64>();
/// let plain = Plain::new(&graph, params)?;
/// // Twice the nominal size, two pictures at once.
/// let outputs = plain.run(&[ArrayD::ones(vec![2, 3, 16, 16]).view()])?;
/// assert_eq!(outputs[0].shape(), [2, 4, 16, 16]);
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plain<T> {
    graph: Graph,
    params: Params<T>,
}

/// The result of a [traced](Plain::trace) run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace<T> {
    /// One tensor per output of the graph, in its order.
    pub outputs: Vec<ArrayD<T>>,
    /// The largest total number of elements of the tensors alive at one time: while a node runs,
    /// these are its output, its inputs, and everything still to be read later.
    pub peak_live_elements: usize,
}

impl<T: Element> Plain<T> {
    /// Creates an executor for this graph with these parameters.
    ///
    /// # Errors
    ///
    /// [`Error::Params`] if a parameter is missing or has the wrong shape.
    pub fn new(graph: &Graph, params: Params<T>) -> Result<Self> {
        params.check(graph)?;
        Ok(Self {
            graph: graph.clone(),
            params,
        })
    }

    /// Returns the graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the parameters.
    #[must_use]
    pub fn params(&self) -> &Params<T> {
        &self.params
    }

    /// Returns the outputs for `inputs`, one tensor per input of the graph, in its order.
    ///
    /// # Errors
    ///
    /// Those of [`Graph::infer`] for the inputs' shapes.
    pub fn run(&self, inputs: &[ArrayViewD<'_, T>]) -> Result<Vec<ArrayD<T>>> {
        Ok(self.trace(inputs, |_, _| ())?.outputs)
    }

    /// Like [`run`](Self::run), and passes every node's output to `visit` as it is computed,
    /// including those of input nodes.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn trace(
        &self,
        inputs: &[ArrayViewD<'_, T>],
        mut visit: impl FnMut(NodeId, &ArrayD<T>),
    ) -> Result<Trace<T>> {
        let shapes: Vec<Shape> = inputs
            .iter()
            .map(|input| Shape::from(input.shape()))
            .collect();
        let shapes = self.graph.infer(&shapes)?;
        let last_uses = last_uses(&self.graph);

        let mut given = inputs.iter();
        let mut live: Vec<Option<ArrayD<T>>> = vec![None; shapes.len()];
        let mut peak_live_elements = 0;
        for (id, node) in self.graph.iter() {
            let output = match (&node.op, given.as_slice()) {
                (Op::Input, [input, ..]) => {
                    given.next();
                    input.to_owned()
                }
                _ => self.eval(node, &inputs_of(node, &live)?)?,
            };
            debug_assert_eq!(output.shape(), &*shapes[id.0], "node {:?}", node.name);
            visit(id, &output);
            live[id.0] = Some(output);
            peak_live_elements =
                peak_live_elements.max(live.iter().flatten().map(ArrayD::len).sum());
            for &dead in &last_uses[id.0] {
                live[dead.0] = None;
            }
        }
        // A tensor that is an output twice is copied; any other is moved out.
        let mut outputs = Vec::with_capacity(self.graph.outputs.len());
        for (position, id) in self.graph.outputs.iter().enumerate() {
            let again = self.graph.outputs[position + 1..].contains(id);
            let output = if again {
                live[id.0].clone()
            } else {
                live[id.0].take()
            };
            outputs.extend(output);
        }
        Ok(Trace {
            outputs,
            peak_live_elements,
        })
    }

    /// Computes one node's output from those of the nodes it reads.
    fn eval(&self, node: &Node, inputs: &[&ArrayD<T>]) -> Result<ArrayD<T>> {
        let site = Site {
            node,
            inputs,
            params: &self.params,
        };
        let x = site.input(0)?;
        match &node.op {
            Op::Input => Err(site.broken("there are fewer tensors than inputs")),

            Op::Conv2d(conv) => {
                let (weight, bias) = (site.param::<Ix4>("weight")?, site.bias(conv.bias)?);
                site.kernel(plain::conv2d(site.fixed(&x)?, weight, bias, &conv.options))
            }
            Op::Linear(linear) => {
                let (weight, bias) = (site.param::<Ix2>("weight")?, site.bias(linear.bias)?);
                site.kernel(plain::linear(site.fixed(&x)?, weight, bias))
            }
            Op::BatchNorm2d(norm) => Ok(batch_norm2d::eval(
                &x,
                &site.param("weight")?,
                &site.param("bias")?,
                &site.param("running_mean")?,
                &site.param("running_var")?,
                norm.epsilon,
            )),
            Op::Affine => Ok(affine::eval(
                &x,
                &site.param("weight")?,
                &site.param("bias")?,
            )),

            Op::Relu => Ok(activation::relu(&x)),
            Op::LeakyRelu { slope } => Ok(activation::leaky_relu(&x, T::from_f64(*slope))),
            Op::Sigmoid => Ok(activation::sigmoid(&x)),
            Op::Softmax => Ok(softmax::eval(&x)),

            Op::MaxPool2d(options) => site.kernel(plain::max_pool2d(site.fixed(&x)?, options)),
            Op::AvgPool2d(options) => site.kernel(plain::avg_pool2d(site.fixed(&x)?, options)),
            Op::GlobalAvgPool2d => site.kernel(plain::global_avg_pool2d(site.fixed(&x)?)),
            Op::AdaptiveAvgPool2d(output) => {
                site.kernel(plain::adaptive_avg_pool2d(site.fixed(&x)?, *output))
            }

            Op::Add => Ok(&x + &site.input(1)?),
            Op::Concat => site.shaped(concat::concat(inputs)),
            Op::Slice { start, len } => Ok(concat::slice(&x, *start, *len)),
            &Op::PadChannels { before, after } => Ok(concat::pad_channels(&x, before, after)),
            Op::Flatten => site.shaped(flatten::eval(&x)),
            // In evaluation mode; training drops elements in `train.rs`.
            Op::Dropout { .. } => Ok(x.to_owned()),

            Op::Upsample { scale } => {
                site.kernel(plain::upsample_nearest2d(site.fixed(&x)?, *scale))
            }
            Op::Reorg { stride } => site.shaped(reorg::eval(&site.fixed(&x)?, *stride)),
            Op::Pad { padding, value } => {
                site.kernel(plain::pad2d(site.fixed(&x)?, *padding, *value))
            }
        }
    }
}

impl Infer for Plain<f32> {
    type Error = Error;

    fn run(&mut self, inputs: &[ArrayViewD<'_, f32>], outputs: &mut Outputs) -> Result<()> {
        outputs.tensors = Plain::run(self, inputs)?;
        Ok(())
    }
}

/// Returns the tensors that a node reads.
fn inputs_of<'a, T>(node: &Node, live: &'a [Option<ArrayD<T>>]) -> Result<Vec<&'a ArrayD<T>>> {
    let missing = || Error::internal(&node.name, "an input was not computed or is gone");
    let inputs = node.inputs.iter();
    inputs
        .map(|id| live[id.0].as_ref().ok_or_else(missing))
        .collect()
}

/// A node that is being computed.
///
/// Shape inference and the check of the parameters have ruled out anything missing or misshapen
/// here, so the errors below are [`Error::Internal`].
#[derive(Clone, Copy)]
struct Site<'a, T> {
    node: &'a Node,
    inputs: &'a [&'a ArrayD<T>],
    params: &'a Params<T>,
}

impl<'a, T: Element> Site<'a, T> {
    fn input(&self, index: usize) -> Result<ArrayViewD<'a, T>> {
        self.inputs
            .get(index)
            .map(|input| input.view())
            .ok_or_else(|| self.broken("an input was not computed or is gone"))
    }

    /// Returns the error for a state that cannot occur.
    fn broken(&self, broken: &'static str) -> Error {
        Error::internal(&self.node.name, broken)
    }

    /// Returns an input as a view of fixed rank.
    fn fixed<'x, D: Dimension>(&self, x: &'x ArrayViewD<'_, T>) -> Result<ArrayView<'x, T, D>> {
        self.shaped(x.view().into_dimensionality::<D>())
    }

    /// Returns the parameter `local` of this node as a view of fixed rank.
    fn param<D: Dimension>(&self, local: &str) -> Result<ArrayView<'a, T, D>> {
        let missing = || self.broken("a parameter present at the start is missing");
        let spec = self.node.param(local).ok_or_else(missing)?;
        let param = self.params.get(&spec.name).ok_or_else(missing)?;
        self.shaped(param.value.view().into_dimensionality::<D>())
    }

    fn bias(&self, has_bias: bool) -> Result<Option<ArrayView<'a, T, Ix1>>> {
        has_bias.then(|| self.param("bias")).transpose()
    }

    /// Maps the result of one of conv-core's operations.
    fn kernel<D: Dimension>(&self, result: conv_core::Result<Array<T, D>>) -> Result<ArrayD<T>> {
        let error = |source| Error::Kernel {
            node: self.node.name.clone(),
            source,
        };
        Ok(result.map_err(error)?.into_dyn())
    }

    /// Maps the result of one of ndarray's reshapings.
    fn shaped<A>(&self, result: Result<A, ShapeError>) -> Result<A> {
        result.map_err(|_| self.broken("a tensor's shape differs from the inferred one"))
    }
}
