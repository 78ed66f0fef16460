//! The training session: forward, backward and update compiled on NCHW16c with the direct kernels.

mod backward;
mod forward;
mod grad_kernel;
mod layer;
mod norm_layer;
mod plan;
mod step_run;
mod unit;

use conv_core::Isa;
use ndarray::{ArrayD, ArrayView, ArrayViewD, Dimension, IxDyn};
use nn_layers::{
    Graph, Loss, Params, ParamsError, Shape, Slot, StepKey, Terms, TrainBackend, TrainError,
    TrainSpec, initialise,
};

use crate::error::{Error, Result};
use crate::inputs::with_dyn;
use crate::memory::{F32, MemoryUse, bytes, grow, training_bytes};
use crate::plan::{Options, Plan};
use layer::Layer;
pub(crate) use norm_layer::NormLayer;
use plan::StepPlan;
use step_run::{StepRun, Workspace};
use unit::{Lowered, UnitKind, lower};

/// Why reading the session's own buffers cannot fail: each has the length of its layer's layout.
const OWN_LAYOUT: &str = "a buffer in its own layer's layout";

/// Number of cached plans: one for full batches, one for the last of an epoch.
const PLANS: usize = 2;

/// Trains a network in f32: the fast [`TrainBackend`].
///
/// Weights, gradients and an optimiser's state stay in the kernels' own order from step to step.
/// The values and gradients of a step share one arena, in which each occupies space only while it
/// is needed; after the first step of a shape nothing is allocated for them, except by the
/// operations that only have plain loops (sigmoid, softmax, reorg and padding). Runs inside the
/// caller's rayon pool and returns bit-identical results for any number of threads.
///
/// ```
/// use engine::prelude::*;
/// use ndarray::Array4;
///
/// // Two filters; the mean response of each is the logit of a class.
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 1, 6, 6])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(2, [3, 3]))?;
/// let pool = b.global_avg_pool2d("pool", conv)?;
/// let logits = b.flatten("logits", pool)?;
/// let graph = b.finish(&[logits])?;
///
/// // A dark picture is of class 0, a bright one of class 1.
/// let pictures = Array4::from_shape_fn([2, 1, 6, 6], |(n, ..)| n as f32 - 0.5);
/// let loss = Classification::new(&[0, 1]);
///
/// let mut training = TrainingSession::from_scratch(&graph, 1)?;
/// let mut optimiser = Optimiser::new(Sgd::default(), &training.export())?;
/// for step in 0..100 {
///     training.step(&[pictures.view()], &loss, step)?;
///     optimiser.update(&mut training, 0.1)?;
/// }
/// let terms = training.step(&[pictures.view()], &loss, 100)?;
/// assert!(terms.total < 0.3); // ln 2 = 0.69 would be a guess
/// assert_eq!(terms.parts, [("correct".to_owned(), 2.0)]);
///
/// let logits = training.plan()?.run_once(&[pictures.view()])?;
/// assert!(logits[0][[1, 1]] > logits[0][[1, 0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TrainingSession {
    graph: Graph,
    spec: TrainSpec,
    isa: Isa,
    lowered: Lowered,
    /// Parameters that the graph does not read, including counters.
    others: Params<f32>,
    /// The most recently used first.
    plans: Vec<StepPlan>,
    memory: Workspace,
    options: Options,
    /// Of the parameters, their gradients and what stands beside them.
    layers_use: MemoryUse,
    /// The graph's outputs in the last step and their gradients.
    outputs: Vec<ArrayD<f32>>,
    output_grads: Vec<ArrayD<f32>>,
}

impl TrainingSession {
    /// A session that starts from random weights, drawn with `seed` as PyTorch draws them (see
    /// [`initialise`]), and trains everything, with default options.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and those of [`initialise`].
    pub fn from_scratch(graph: &Graph, seed: u64) -> Result<Self> {
        let params = initialise(graph, seed, |_, _| None)?;
        Self::new(graph, params, TrainSpec::default(), &Options::default())
    }

    /// A session for this graph that starts from these parameters.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if parameters are missing or misshapen or `spec` does not fit the graph,
    /// [`Error::InstructionSet`] as for [`Plan::compile`](crate::Plan::compile),
    /// [`Error::MemoryLimit`] if parameters and gradients alone exceed the limit.
    pub fn new(
        graph: &Graph,
        mut params: Params<f32>,
        spec: TrainSpec,
        options: &Options,
    ) -> Result<Self> {
        let isa = options.isa()?;
        let flow = spec.resolve(graph)?;
        let mut layers_use = MemoryUse::default();
        for (id, node) in graph.iter() {
            layers_use = layers_use.and(training_bytes(node, flow.is_frozen(id))?);
        }
        layers_use.check(options.memory_limit)?;
        let lowered = lower(graph, &mut params, &flow, isa)?;
        // Parameters that the graph does not read stay as they are.
        let others: usize = params.iter().map(|(_, param)| param.value.len()).sum();
        layers_use.parameters = layers_use.parameters.saturating_add(others as u64 * F32);
        Ok(Self {
            graph: graph.clone(),
            spec,
            isa,
            lowered,
            others: params,
            plans: Vec::new(),
            memory: Workspace::default(),
            options: *options,
            layers_use,
            outputs: Vec::new(),
            output_grads: Vec::new(),
        })
    }

    /// Runs the network in training mode, the loss, and the backward pass, which adds into the
    /// gradients: [`TrainBackend::step`], for inputs with any type of axes, and with a step's number
    /// in place of a whole [`StepKey`].
    ///
    /// # Errors
    ///
    /// As [`TrainBackend::step`].
    pub fn step<D: Dimension>(
        &mut self,
        inputs: &[ArrayView<'_, f32, D>],
        loss: &dyn Loss<f32>,
        key: impl Into<StepKey>,
    ) -> Result<Terms> {
        let key = key.into();
        with_dyn(inputs, |inputs| TrainBackend::step(self, inputs, loss, key))
    }

    /// The network as it is now, compiled to run: with its parameters folded and packed, and the
    /// options of this session.
    ///
    /// # Errors
    ///
    /// As [`Plan::compile`].
    pub fn plan(&self) -> Result<Plan> {
        Plan::compile(&self.graph, self.export(), &self.options)
    }

    /// The instruction set that it was compiled for.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Returns the outputs of the last step, in training mode.
    #[must_use]
    pub fn outputs(&self) -> &[ArrayD<f32>] {
        &self.outputs
    }

    /// Returns the memory that the session needs after a step on inputs of these shapes, without
    /// allocating it.
    ///
    /// After steps of several shapes, it keeps the memory of the largest, and the weights that were
    /// packed for the gradients of the last two. An optimiser adds its
    /// [state](nn_layers::Optimiser::state_bytes).
    ///
    /// # Errors
    ///
    /// As [`step`](TrainBackend::step) for the shapes, but without a limit.
    pub fn memory(&self, inputs: &[Shape]) -> Result<MemoryUse> {
        self.memory_of_steps(&[inputs])
    }

    /// Returns the memory that the session needs for steps of all of these shapes in turn, at most
    /// two, such as full batches and a short last one. It is more than that of the largest step
    /// alone, because both have weights that stay packed for the gradients.
    ///
    /// # Errors
    ///
    /// As [`memory`](Self::memory).
    pub fn memory_of_steps(&self, steps: &[&[Shape]]) -> Result<MemoryUse> {
        let plans = steps
            .iter()
            .map(|inputs| StepPlan::new(&self.graph, &self.lowered, inputs))
            .collect::<Result<Vec<_>>>()?;
        let packed = |plan: &StepPlan| plan.packed_bytes();
        let all_packed = plans.iter().map(packed).fold(0, u64::saturating_add);
        let mut needed = MemoryUse::default();
        for plan in &plans {
            let mut step = plan.memory(&self.lowered);
            let others = all_packed.saturating_sub(packed(plan));
            step.scratch = step.scratch.saturating_add(others);
            needed = needed.or(step);
        }
        Ok(self.layers_use.and(needed))
    }

    /// Returns the bytes of memory for the values and gradients of a step on inputs of these
    /// shapes.
    ///
    /// # Errors
    ///
    /// As [`step`](TrainBackend::step) for the shapes.
    pub fn arena_bytes(&self, inputs: &[Shape]) -> Result<usize> {
        let plan = StepPlan::new(&self.graph, &self.lowered, inputs)?;
        Ok((plan.arena_len + plan.weight_scratch) * size_of::<f32>())
    }

    /// Moves the plan for inputs of these shapes to the front, creating it if necessary.
    fn choose_plan(&mut self, inputs: &[ArrayViewD<'_, f32>]) -> Result<()> {
        let fits = |plan: &StepPlan| {
            plan.inputs.len() == inputs.len()
                && plan
                    .inputs
                    .iter()
                    .zip(inputs)
                    .all(|(shape, input)| **shape == *input.shape())
        };
        match self.plans.iter().position(fits) {
            Some(at) => self.plans[..=at].rotate_right(1),
            None => {
                let shapes: Vec<Shape> = inputs
                    .iter()
                    .map(|input| Shape::from(input.shape().to_vec()))
                    .collect();
                let plan = StepPlan::new(&self.graph, &self.lowered, &shapes)?;
                self.plans.truncate(PLANS - 1);
                let mut needed = self.layers_use.and(plan.memory(&self.lowered));
                for kept in &self.plans {
                    needed.activations = needed.activations.max(kept.arena_len as u64 * F32);
                    needed.scratch = needed.scratch.saturating_add(kept.packed_bytes());
                }
                needed.check(self.options.memory_limit)?;
                self.plans.insert(0, plan);
            }
        }
        self.memory.fit(&self.plans[0])
    }

    /// Runs a step with the chosen plan.
    fn step_run(&mut self, key: StepKey) -> StepRun<'_> {
        StepRun {
            isa: self.isa,
            key,
            units: &self.lowered.units,
            layers: &mut self.lowered.layers,
            plan: &mut self.plans[0],
            memory: &mut self.memory,
        }
    }

    /// Makes room for the outputs and zero gradients of the shapes of this step.
    fn open_outputs(&mut self) -> Result<()> {
        let shapes = &self.plans[0].shapes;
        let outputs = &self.lowered.outputs;
        for tensors in [&mut self.outputs, &mut self.output_grads] {
            tensors.resize_with(outputs.len(), || ArrayD::zeros(IxDyn(&[0])));
            for (tensor, &unit) in tensors.iter_mut().zip(outputs) {
                if *tensor.shape() == *shapes[unit] {
                    tensor.fill(0.0);
                } else {
                    *tensor = zeros(&shapes[unit])?;
                }
            }
        }
        Ok(())
    }

    /// Copies the outputs out of the arena.
    fn read_outputs(&mut self) -> Result<()> {
        let plan = &self.plans[0];
        for (tensor, &index) in self.outputs.iter_mut().zip(&self.lowered.outputs) {
            let unit = &self.lowered.units[index];
            step_run::read_into(tensor, &self.memory.arena, &plan.values[index], unit)?;
        }
        Ok(())
    }

    /// Copies the outputs' gradients into the arena; those of an output listed twice are added.
    fn write_output_grads(&mut self) -> Result<()> {
        let plan = &self.plans[0];
        let outputs = &self.lowered.outputs;
        for (position, &index) in outputs.iter().enumerate() {
            let Some(place) = &plan.grads[index] else {
                continue;
            };
            let unit = &self.lowered.units[index];
            if outputs[..position].contains(&index) {
                continue;
            }
            let (first, rest) = self.output_grads.split_at_mut(position + 1);
            let grad = &mut first[position];
            for (again, &other) in rest.iter().zip(&outputs[position + 1..]) {
                if other == index {
                    *grad += again;
                }
            }
            if !grad.is_standard_layout() {
                *grad = grad.as_standard_layout().into_owned();
            }
            step_run::write(&mut self.memory.arena, place, &grad.view(), unit)?;
        }
        Ok(())
    }

    /// Returns the layer that owns the parameter with this name.
    fn layer(&self, name: &str) -> Result<(&Layer, &nn_layers::ParamSpec)> {
        self.lowered
            .layers
            .iter()
            .find_map(|layer| Some((layer, layer.spec(name)?)))
            .ok_or_else(|| {
                nn_layers::Error::Params(ParamsError::UnknownParam {
                    name: name.to_owned(),
                })
                .into()
            })
    }
}

impl TrainBackend<f32> for TrainingSession {
    type Error = Error;

    #[tracing::instrument(level = "debug", skip_all, fields(step = key.step))]
    fn step(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        loss: &dyn Loss<f32>,
        key: StepKey,
    ) -> Result<Terms> {
        self.choose_plan(inputs)?;
        self.open_outputs()?;
        // Inside the pool from start to finish: entering it for each kernel would cost more than
        // the smaller ones take.
        rayon::scope(|_| self.step_run(key).forward(inputs))?;
        self.read_outputs()?;
        let views: Vec<_> = self.outputs.iter().map(|output| output.view()).collect();
        let terms = loss.eval(&views, &mut self.output_grads)?;
        for (position, (output, grad)) in self.outputs.iter().zip(&self.output_grads).enumerate() {
            if output.shape() != grad.shape() {
                return Err(nn_layers::Error::Train(TrainError::LossGradient {
                    output: position,
                    expected: Shape::from(output.shape().to_vec()),
                    got: Shape::from(grad.shape().to_vec()),
                })
                .into());
            }
        }
        self.write_output_grads()?;
        rayon::scope(|_| self.step_run(key).backward())?;
        for layer in &mut self.lowered.layers {
            if let Layer::Norm(norm) = layer {
                norm.track(self.spec.batch_norm_momentum, &mut self.others);
            }
        }
        Ok(terms)
    }

    fn update(&mut self, rule: &mut dyn FnMut(&str, &mut [f32], &[f32])) -> Result<()> {
        let mut learnt: Vec<_> = self
            .lowered
            .layers
            .iter_mut()
            .flat_map(Layer::learnt)
            .collect();
        learnt.sort_by(|a, b| a.name.cmp(b.name));
        let mut missing = learnt.iter().filter(|parameter| !parameter.reached);
        if let Some(first) = missing.next() {
            return Err(nn_layers::Error::Train(TrainError::NoGradient {
                name: first.name.to_owned(),
                more: missing.count(),
            })
            .into());
        }
        for parameter in learnt {
            rule(parameter.name, parameter.numbers, parameter.grad);
        }
        self.lowered
            .layers
            .iter_mut()
            .for_each(Layer::clear_gradients);
        Ok(())
    }

    fn visit_gradients(&self, visit: &mut dyn FnMut(&str, &[f32])) -> Result<()> {
        let mut gradients: Vec<(&str, &[f32])> = self
            .lowered
            .layers
            .iter()
            .flat_map(Layer::packed_gradients)
            .collect();
        gradients.sort_by_key(|&(name, _)| name);
        for (name, gradient) in gradients {
            visit(name, gradient);
        }
        Ok(())
    }

    fn first_non_finite(&mut self, inputs: &[ArrayViewD<'_, f32>], key: StepKey) -> Option<String> {
        self.choose_plan(inputs).ok()?;
        let index = rayon::scope(|_| self.step_run(key).first_non_finite(inputs))?;
        Some(self.lowered.units[index].name.clone())
    }

    #[expect(clippy::expect_used, reason = "the buffers are the session's own")]
    fn gradients(&self) -> Params<f32> {
        let mut gradients = Params::new();
        for layer in &self.lowered.layers {
            layer.gradients(&mut gradients).expect(OWN_LAYOUT);
        }
        let Some(plan) = self.plans.first().filter(|_| self.spec.grad_input) else {
            return gradients;
        };
        let units = self.lowered.units.iter().enumerate();
        let inputs: Vec<_> = units
            .filter(|(_, unit)| matches!(unit.kind, UnitKind::Input(_)))
            .collect();
        for &(index, unit) in &inputs {
            let Some(place) = &plan.grads[index] else {
                continue;
            };
            let grad = step_run::read(&self.memory.arena, place, &plan.shapes[index], unit)
                .expect(OWN_LAYOUT);
            let name = if inputs.len() == 1 {
                "input"
            } else {
                &unit.name
            };
            gradients.insert(name, Slot::Buffer, grad);
        }
        gradients
    }

    #[expect(clippy::expect_used, reason = "the buffers are the session's own")]
    fn export(&self) -> Params<f32> {
        let mut params = self.others.clone();
        for layer in &self.lowered.layers {
            layer.export(&mut params).expect(OWN_LAYOUT);
        }
        params
    }

    fn import(&mut self, params: &Params<f32>) -> Result<()> {
        let flow = self.spec.resolve(&self.graph)?;
        let mut params = params.clone();
        let lowered = lower(&self.graph, &mut params, &flow, self.isa)?;
        self.lowered = lowered;
        self.others = params;
        Ok(())
    }

    fn to_canonical(&self, name: &str, numbers: &[f32]) -> Result<ArrayD<f32>> {
        let (layer, spec) = self.layer(name)?;
        layer.canonical(spec, numbers)
    }

    fn from_canonical(&self, name: &str, numbers: &ArrayD<f32>) -> Result<Vec<f32>> {
        let (layer, spec) = self.layer(name)?;
        layer.packed(spec, numbers)
    }
}

/// Allocates a tensor of zeros, or returns an error if the allocation fails.
fn zeros(shape: &Shape) -> Result<ArrayD<f32>> {
    let out_of_memory = || Error::OutOfMemory {
        what: "outputs",
        bytes: u128::from(bytes(std::slice::from_ref(shape))),
    };
    let mut numbers = Vec::new();
    let len = shape.elements().ok_or_else(out_of_memory)?;
    grow(&mut numbers, len, 0.0, "outputs")?;
    ArrayD::from_shape_vec(IxDyn(shape), numbers).map_err(|_| out_of_memory())
}

/// The parameters of a layer without its layout, for reports.
impl std::fmt::Debug for Lowered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lowered")
            .field("units", &self.units.len())
            .field("layers", &self.layers.len())
            .finish()
    }
}
