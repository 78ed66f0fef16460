//! The plain executor, which defines what a network computes, node by node.

mod activation;
mod affine;
mod allocate;
mod backward;
mod batch_norm2d;
mod channels;
mod concat;
mod dropout;
mod flatten;
mod reorg;
mod site;
mod softmax;
mod tape;
mod train;

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD};

use self::site::{Site, inputs_of};
pub use self::{
    dropout::{dropout_mask, dropout_scale},
    train::{Pass, PlainTrainer, StepTrace},
};
use crate::{
    error::{Error, Result},
    graph::{
        Graph, NodeId,
        executor::{Infer, Outputs},
        liveness::last_uses,
        op::Op,
        shape::Shape,
    },
    params::Params,
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
/// let params = random_params(&graph, 1)?.cast::<f64>();
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
    /// [`ParamsError::Misfits`](crate::ParamsError::Misfits) where a parameter is missing or has
    /// another shape.
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
                    allocate::owned(&node.name, input)?
                }
                _ => Site {
                    node,
                    inputs: &inputs_of(node, &live)?,
                    params: &self.params,
                }
                .output()?,
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
}

impl Infer for Plain<f32> {
    type Error = Error;

    fn run(&mut self, inputs: &[ArrayViewD<'_, f32>], outputs: &mut Outputs) -> Result<()> {
        outputs.tensors = Plain::run(self, inputs)?;
        Ok(())
    }
}
