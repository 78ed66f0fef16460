//! Training with plain loops: the definition of a step, node by node.

mod backend;

use std::collections::BTreeMap;

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use super::{
    allocate,
    backward::{Backward, Gradient},
    batch_norm2d::{self, Statistics},
    dropout,
    site::{Site, inputs_of},
    tape::Tape,
};
use crate::{
    error::{Error, Result},
    graph::{Graph, Node, NodeId, op::Op, shape::Shape},
    params::{Param, Params, error::ParamsError},
    train::{
        backend::StepKey,
        error::TrainError,
        loss::{Loss, Terms},
        spec::{GradientFlow, TrainSpec},
    },
};

/// Trains a network by definition: plain loops forward and backward, in f32 or f64.
///
/// Every operation follows one contract: the forward pass returns the output and keeps what the
/// backward pass needs; the backward pass takes the gradient of the output, adds to the gradients
/// of the parameters, and returns the gradients of the inputs. The gradient of a tensor with
/// several readers is the sum of their contributions, starting with the last reader. An activation
/// is kept only if a backward pass reads it, and only until then.
///
/// ```
/// use ndarray::{ArrayD, ArrayViewD, arr2};
/// use nn_layers::{
///     GraphBuilder, Linear, Loss, PlainTrainer, StepKey, Terms, TrainBackend, TrainSpec,
///     random_params,
/// };
///
/// /// Half the sum of the squares of the first output.
/// struct HalfSquares;
///
/// impl Loss<f64> for HalfSquares {
///     fn eval(&self, y: &[ArrayViewD<f64>], grads: &mut [ArrayD<f64>]) -> nn_layers::Result<Terms> {
///         grads[0].assign(&y[0]);
///         let total = y[0].iter().map(|y| y * y / 2.0).sum();
///         Ok(Terms { total, parts: Vec::new() })
///     }
/// }
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 2])?;
/// let y = b.linear("fc", x, Linear::new(1))?;
/// let graph = b.finish(&[y])?;
///
/// let params = random_params(&graph, 1)?.cast::<f64>();
/// let mut trainer = PlainTrainer::new(&graph, params, TrainSpec::default())?;
/// let x = arr2(&[[1.0, 2.0], [3.0, -1.0]]).into_dyn();
/// let mut losses = Vec::new();
/// for step in 0..50 {
///     let terms = trainer.step(&[x.view()], &HalfSquares, StepKey { seed: 1, step })?;
///     losses.push(terms.total);
///     // Gradient descent.
///     trainer.update(&mut |_, numbers, gradient| {
///         numbers.iter_mut().zip(gradient).for_each(|(number, slope)| *number -= 0.1 * slope);
///     })?;
/// }
/// assert!(losses[49] < 1e-3 * losses[0]);
/// # Ok::<(), nn_layers::Error>(())
/// ```
pub struct PlainTrainer<T> {
    graph: Graph,
    params: Params<T>,
    spec: TrainSpec,
    flow: GradientFlow,
    /// For every trainable parameter.
    gradients: BTreeMap<String, Gradient<T>>,
    /// The last step's gradient of each input that needs one.
    grad_inputs: Vec<(String, ArrayD<T>)>,
}

/// The result of a [traced](PlainTrainer::trace) step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTrace {
    /// The loss.
    pub terms: Terms,
    /// The largest total number of elements of activations and gradients live at the same time.
    pub peak_live_elements: usize,
}

/// The direction of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// From inputs to outputs.
    Forward,
    /// From the loss to the trainable parameters.
    Backward,
}

impl<T: Element> PlainTrainer<T> {
    /// Creates a trainer of this graph that starts from these parameters.
    ///
    /// # Errors
    ///
    /// [`ParamsError::Misfits`] if a parameter is missing or has another shape, and the errors of
    /// [`TrainSpec::resolve`].
    pub fn new(graph: &Graph, params: Params<T>, spec: TrainSpec) -> Result<Self> {
        let flow = spec.resolve(graph)?;
        let mut trainer = Self {
            graph: graph.clone(),
            params: Params::new(),
            spec,
            flow,
            gradients: BTreeMap::new(),
            grad_inputs: Vec::new(),
        };
        trainer.set_params(params)?;
        Ok(trainer)
    }

    /// Returns the graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the current parameters.
    #[must_use]
    pub fn params(&self) -> &Params<T> {
        &self.params
    }

    /// Like [`step`](crate::TrainBackend::step), and passes to `visit` every node's output in the forward
    /// pass and, in the backward pass, the gradient of every node's output just before that node's
    /// own backward pass.
    ///
    /// # Errors
    ///
    /// Those of [`step`](crate::TrainBackend::step).
    pub fn trace(
        &mut self,
        inputs: &[ArrayViewD<'_, T>],
        loss: &dyn Loss<T>,
        key: StepKey,
        mut visit: impl FnMut(Pass, NodeId, &ArrayD<T>),
    ) -> Result<StepTrace> {
        let shapes: Vec<Shape> = inputs
            .iter()
            .map(|input| Shape::from(input.shape()))
            .collect();
        let shapes = self.graph.infer(&shapes)?;
        self.check_batch(&shapes)?;

        let mut tape = Tape::new(&self.graph, &self.flow);
        self.forward(inputs, key, &mut tape, &mut visit)?;
        let (terms, grads) = self.loss(loss, &mut tape)?;
        self.backward(grads, key, &shapes, &mut tape, &mut visit)?;
        self.track(&tape);
        Ok(StepTrace {
            terms,
            peak_live_elements: tape.peak,
        })
    }

    /// Rejects a batch with which a batch normalisation has one value per channel.
    fn check_batch(&self, shapes: &[Shape]) -> Result<()> {
        for (id, node) in self.graph.iter() {
            if self.normalises_by_batch(id, node) {
                let shape = &shapes[node.inputs[0].index()];
                let channels = shape.get(1).copied().unwrap_or(1);
                if shape.elements() == Some(channels) {
                    return Err(TrainError::OneValuePerChannel {
                        node: node.name.clone(),
                        shape: shape.clone(),
                    }
                    .into());
                }
            }
        }
        Ok(())
    }

    fn normalises_by_batch(&self, id: NodeId, node: &Node) -> bool {
        matches!(node.op, Op::BatchNorm2d(_)) && !self.flow.is_frozen(id)
    }

    fn forward(
        &self,
        inputs: &[ArrayViewD<'_, T>],
        key: StepKey,
        tape: &mut Tape<T>,
        visit: &mut impl FnMut(Pass, NodeId, &ArrayD<T>),
    ) -> Result<()> {
        let mut given = inputs.iter();
        for (id, node) in self.graph.iter() {
            let output = match (&node.op, given.as_slice()) {
                (Op::Input, [input, ..]) => {
                    given.next();
                    allocate::owned(&node.name, input)?
                }
                _ => self.eval(id, node, key, tape)?,
            };
            visit(Pass::Forward, id, &output);
            tape.record(id, output);
        }
        Ok(())
    }

    /// Computes one node's output in training mode.
    fn eval(&self, id: NodeId, node: &Node, key: StepKey, tape: &mut Tape<T>) -> Result<ArrayD<T>> {
        let inputs = inputs_of(node, &tape.live)?;
        let site = Site {
            node,
            inputs: &inputs,
            params: &self.params,
        };
        match &node.op {
            Op::BatchNorm2d(norm) if self.normalises_by_batch(id, node) => {
                let x = site.input(0)?;
                let statistics = Statistics::new(&x);
                let output = batch_norm2d::eval(
                    &x,
                    &site.param("weight")?,
                    &site.param("bias")?,
                    &statistics.mean.view(),
                    &statistics.var.view(),
                    norm.epsilon,
                );
                tape.statistics[id.index()] = Some(statistics);
                Ok(output)
            }
            Op::Dropout { probability } if self.flow.drops(id) => {
                let x = site.input(0)?.to_owned();
                Ok(dropout::eval(x, key, &node.name, *probability))
            }
            _ => site.output(),
        }
    }

    /// Computes the loss, and its gradient for each output of the graph.
    fn loss(&self, loss: &dyn Loss<T>, tape: &mut Tape<T>) -> Result<(Terms, Vec<ArrayD<T>>)> {
        let ids = &self.graph.outputs;
        let outputs: Vec<ArrayViewD<'_, T>> = ids
            .iter()
            .filter_map(|id| tape.live[id.index()].as_ref())
            .map(|output| output.view())
            .collect();
        let shapes: Vec<Shape> = outputs.iter().map(|y| Shape::from(y.shape())).collect();
        let mut grads: Vec<ArrayD<T>> = shapes.iter().map(|y| ArrayD::zeros(IxDyn(y))).collect();
        let terms = loss.eval(&outputs, &mut grads)?;
        for (output, (expected, grad)) in shapes.into_iter().zip(&grads).enumerate() {
            if grad.shape() != &*expected {
                let got = Shape::from(grad.shape());
                return Err(TrainError::LossGradient {
                    output,
                    expected,
                    got,
                }
                .into());
            }
        }
        tape.watch(grads.iter().map(ArrayD::len).sum());
        for &id in ids {
            tape.release_unless_kept(id);
        }
        Ok((terms, grads))
    }

    fn backward(
        &mut self,
        grads: Vec<ArrayD<T>>,
        key: StepKey,
        shapes: &[Shape],
        tape: &mut Tape<T>,
        visit: &mut impl FnMut(Pass, NodeId, &ArrayD<T>),
    ) -> Result<()> {
        let (graph, params) = (&self.graph, &self.params);
        for (&id, grad) in graph.outputs.iter().zip(grads) {
            if self.flow.is_wanted(id) {
                tape.add_grad(id, grad);
            }
        }
        let mut grad_inputs = Vec::new();
        for (id, node) in graph.iter().rev() {
            let Some(grad) = tape.grads[id.index()].take() else {
                continue;
            };
            visit(Pass::Backward, id, &grad);
            if node.op == Op::Input {
                grad_inputs.push((node.name.clone(), grad));
                continue;
            }
            let inputs = &node.inputs;
            let in_flight = grad.len();
            let gradients = Backward {
                site: Site {
                    node,
                    inputs: &[],
                    params,
                },
                shapes: inputs.iter().map(|id| &shapes[id.index()]).collect(),
                wanted: inputs.iter().map(|&id| self.flow.is_wanted(id)).collect(),
                learns: !self.flow.is_frozen(id),
                kept: tape.kept(id, node, &self.flow),
                statistics: tape.statistics[id.index()].as_ref(),
                key: self.flow.drops(id).then_some(key),
                gradients: &mut self.gradients,
            }
            .run(grad)?;
            let made: usize = gradients.iter().flatten().map(ArrayD::len).sum();
            tape.watch(in_flight + made);
            for (&input, gradient) in inputs.iter().zip(gradients) {
                if let Some(gradient) = gradient {
                    tape.add_grad(input, gradient);
                }
            }
            tape.release_used(id, node, &self.flow);
        }
        grad_inputs.reverse();
        self.grad_inputs = grad_inputs;
        Ok(())
    }

    /// Updates running statistics, and counts the batch.
    fn track(&mut self, tape: &Tape<T>) {
        let (graph, params) = (&self.graph, &mut self.params);
        for ((_, node), statistics) in graph.iter().zip(&tape.statistics) {
            let Some(statistics) = statistics else {
                continue;
            };
            let buffers = ["running_mean", "running_var"]
                .map(|local| node.param(local).and_then(|spec| params.remove(&spec.name)));
            if let [Some(mut mean), Some(mut var)] = buffers {
                let momentum = self.spec.batch_norm_momentum;
                statistics.track(&mut mean.value, &mut var.value, momentum);
                for (local, Param { slot, value }) in [("running_mean", mean), ("running_var", var)]
                {
                    params.insert(format!("{}.{local}", node.name), slot, value);
                }
            }
            let counter = format!("{}.num_batches_tracked", node.name);
            if let Some(counter) = params.get_mut(&counter) {
                counter.value.mapv_inplace(|batches| batches + T::one());
            }
        }
    }

    /// Replaces the parameters, and resets their gradients to 0.
    fn set_params(&mut self, mut params: Params<T>) -> Result<()> {
        let graph = &self.graph;
        params.check(graph)?;
        self.gradients.clear();
        for name in self.flow.learnt(graph) {
            if let Some(param) = params.get_mut(name) {
                // An update rule processes them as a slice.
                if !param.value.is_standard_layout() {
                    param.value = param.value.as_standard_layout().into_owned();
                }
                let gradient = Gradient {
                    value: ArrayD::zeros(param.value.raw_dim()),
                    reached: false,
                };
                self.gradients.insert(name.to_owned(), gradient);
            }
        }
        self.grad_inputs.clear();
        self.params = params;
        Ok(())
    }

    fn shape_of(&self, name: &str) -> Result<&[usize]> {
        let mut specs = self.graph.param_specs();
        let spec = specs.find(|spec| spec.name == name);
        spec.map(|spec| &spec.shape[..]).ok_or_else(|| {
            Error::Params(ParamsError::UnknownParam {
                name: name.to_owned(),
            })
        })
    }
}
