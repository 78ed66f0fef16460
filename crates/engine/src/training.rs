//! The training session: forward pass, backward pass and update, with the direct kernels on
//! NCHW16c.

mod backward;
mod conv_weights;
mod forward;
mod grad_kernel;
mod layer;
mod norm_layer;
mod outputs;
mod plan;
mod step_run;
mod unit;

use conv_core::Isa;
use ndarray::{ArrayD, ArrayView, ArrayViewD, Dimension};
use nn_layers::{
    GradientFlow, Graph, Loss, Params, ParamsError, Shape, Slot, StepKey, Terms, TrainBackend,
    TrainError, TrainSpec, initialise,
};

use crate::error::{Error, Result};
use crate::inputs::with_dyn;
use crate::ir::{Ir, Operation};
use crate::memory::{F32, MemoryUse};
use crate::passes;
use crate::plan::{Options, Plan};
use layer::Layer;
use norm_layer::NormLayer;
use plan::StepPlan;
use step_run::{StepRun, Workspace};
use unit::{Lowered, UnitKind, lower};

/// Why reading the session's own buffers cannot fail: each has the length of its layer's layout.
const OWN_LAYOUT: &str = "a buffer in its own layer's layout";

/// The number of cached plans: one for full batches, one for the smaller last batch of an epoch.
const PLANS: usize = 2;

/// Trains a network in f32: the fast [`TrainBackend`].
///
/// Weights, gradients and an optimiser's state stay in the kernels' own order from step to step.
/// The values and gradients of a step share one arena, in which each occupies space only while it
/// is needed. A step allocates memory for them only if it needs a larger arena than all steps
/// before it, with two exceptions:
///
/// - The operations that only have plain loops allocate in every step. They are sigmoid, softmax,
///   reorg, a leaky ReLU whose slope is not positive, padding as a separate node, and the gradient
///   of a convolution's padding with values other than zeros.
/// - The graph's outputs and their gradients are allocated again whenever their shapes change.
///
/// A session runs in the caller's rayon pool, and its results are bit-identical for any number of
/// threads.
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
/// assert!(terms.total < 0.3); // a guess has ln 2 = 0.69
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
    /// The plan that was used last comes first.
    plans: Vec<StepPlan>,
    memory: Workspace,
    options: Options,
    /// The memory of the parameters, of their gradients and of the normalisations' values per
    /// channel.
    layers_use: MemoryUse,
    /// The graph's outputs in the last step, and their gradients.
    outputs: Vec<ArrayD<f32>>,
    output_grads: Vec<ArrayD<f32>>,
}

impl TrainingSession {
    /// Returns a session with default options that trains every parameter, starting from random
    /// weights. These are drawn from PyTorch's default distributions with the seed `seed`, see
    /// [`initialise`].
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new) and of [`initialise`].
    pub fn from_scratch(graph: &Graph, seed: u64) -> Result<Self> {
        let params = initialise(graph, seed, |_, _| None)?;
        Self::new(graph, params, TrainSpec::default(), &Options::default())
    }

    /// Returns a session for this graph that starts from these parameters.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if parameters are missing or misshapen or `spec` does not fit the graph,
    /// [`Error::InstructionSet`] as for [`Plan::compile`](crate::Plan::compile),
    /// [`Error::MemoryLimit`] if the parameters, their gradients and the normalisations' values per
    /// channel alone exceed the limit, [`Error::Kernel`] and [`Error::OutOfMemory`] if the
    /// parameters cannot be packed.
    pub fn new(
        graph: &Graph,
        mut params: Params<f32>,
        spec: TrainSpec,
        options: &Options,
    ) -> Result<Self> {
        let isa = options.isa()?;
        let flow = spec.resolve(graph)?;
        let ir = passes::for_training(graph, |node| flow.drops(node))?;
        let layers_use = layers_use(&ir, &flow, isa, options)?;
        let lowered = lower(graph, ir, &mut params, &flow, isa)?;
        // What is left in `params` are parameters that the graph does not read.
        let layers_use = layers_use.and(others_use(&params));
        Ok(Self {
            graph: graph.clone(),
            spec,
            isa,
            lowered,
            others: params,
            plans: Vec::new(),
            memory: Workspace::default(),
            options: options.clone(),
            layers_use,
            outputs: Vec::new(),
            output_grads: Vec::new(),
        })
    }

    /// Runs the network in training mode, the loss, and the backward pass, which adds to the
    /// gradients.
    ///
    /// This is [`TrainBackend::step`] for inputs of any dimension type. The key may be given as the
    /// number of the step alone; the seed is then 0.
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

    /// Compiles the network with its current parameters for inference, with the options of this
    /// session.
    ///
    /// # Errors
    ///
    /// As [`Plan::compile`].
    pub fn plan(&self) -> Result<Plan> {
        Plan::compile(&self.graph, self.export(), &self.options)
    }

    /// Returns the instruction set that this session was compiled for.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Returns the outputs of the last step, which were computed in training mode.
    #[must_use]
    pub fn outputs(&self) -> &[ArrayD<f32>] {
        &self.outputs
    }

    /// Returns the memory that the session needs for steps on inputs of these shapes, without
    /// allocating it.
    ///
    /// After steps of several shapes, the session keeps the memory of the largest step. The
    /// [state](nn_layers::Optimiser::state_bytes) of an optimiser is not included.
    ///
    /// # Errors
    ///
    /// Those of [`step`](TrainBackend::step) that depend on the shapes, except
    /// [`Error::MemoryLimit`].
    pub fn memory(&self, inputs: &[Shape]) -> Result<MemoryUse> {
        self.memory_of_steps(&[inputs])
    }

    /// Returns the memory that the session needs if steps of several sets of input shapes alternate,
    /// such as full batches and a smaller last batch.
    ///
    /// # Errors
    ///
    /// As [`memory`](Self::memory).
    pub fn memory_of_steps(&self, steps: &[&[Shape]]) -> Result<MemoryUse> {
        let mut needed = MemoryUse::default();
        for inputs in steps {
            let plan = StepPlan::new(&self.graph, &self.lowered, inputs)?;
            needed = needed.or(plan.memory(&self.lowered));
        }
        Ok(self.layers_use.and(needed))
    }

    /// Returns the bytes of the arena for a step on inputs of these shapes, which holds its values
    /// and gradients, and of the scratch memory for the gradients of its weights.
    ///
    /// # Errors
    ///
    /// As [`memory`](Self::memory).
    pub fn arena_bytes(&self, inputs: &[Shape]) -> Result<usize> {
        let plan = StepPlan::new(&self.graph, &self.lowered, inputs)?;
        Ok((plan.arena_len + plan.weight_scratch) * size_of::<f32>())
    }

    /// Moves the plan for inputs of these shapes to the front, creating it if necessary, and makes
    /// the memory large enough for it.
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
                }
                needed.check(self.options.memory_limit)?;
                self.plans.insert(0, plan);
            }
        }
        self.memory.fit(&self.plans[0])
    }

    /// Returns a step of the chosen plan, ready to run.
    fn step_run(&mut self, key: StepKey) -> StepRun<'_> {
        StepRun {
            isa: self.isa,
            key,
            units: &self.lowered.units,
            layers: &mut self.lowered.layers,
            plan: &self.plans[0],
            memory: &mut self.memory,
        }
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

/// Returns the memory of the parameters that the graph reads, of their gradients and of the
/// normalisations' values per channel, which must not exceed the limit.
fn layers_use(ir: &Ir, flow: &GradientFlow, isa: Isa, options: &Options) -> Result<MemoryUse> {
    let mut layers_use = MemoryUse::default();
    for instruction in &ir.instructions {
        layers_use = layers_use.and(match &instruction.operation {
            Operation::Conv(conv) => {
                let parameters = instruction.packed_bytes(isa)?;
                let mut layers = conv.filters.iter().map(|filters| filters.layer);
                let learns = layers.any(|layer| !flow.is_frozen(layer));
                MemoryUse {
                    parameters,
                    gradients: if learns { parameters } else { 0 },
                    ..MemoryUse::default()
                }
            }
            Operation::Norm(norm) => NormLayer::memory(norm),
            Operation::Input(_) | Operation::Dropout(_) | Operation::Kernel(_) => {
                MemoryUse::default()
            }
        });
    }
    layers_use.check(options.memory_limit)?;
    Ok(layers_use)
}

/// Returns the memory of parameters that the graph does not read.
fn others_use(params: &Params<f32>) -> MemoryUse {
    let numbers: usize = params.iter().map(|(_, param)| param.value.len()).sum();
    MemoryUse {
        parameters: numbers as u64 * F32,
        ..MemoryUse::default()
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
        // The whole pass runs inside the pool: entering it for each kernel would cost more than the
        // smaller kernels take.
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
        let ir = passes::for_training(&self.graph, |node| flow.drops(node))?;
        self.lowered = lower(&self.graph, ir, &mut params, &flow, self.isa)?;
        self.others = params;
        Ok(())
    }

    fn set_frozen(&mut self, frozen: &[String]) -> Result<()> {
        let spec = TrainSpec {
            frozen: frozen.to_vec(),
            ..self.spec.clone()
        };
        let flow = spec.resolve(&self.graph)?;
        let ir = passes::for_training(&self.graph, |node| flow.drops(node))?;
        let layers_use = layers_use(&ir, &flow, self.isa, &self.options)?;
        let mut params = self.export();
        let lowered = lower(&self.graph, ir, &mut params, &flow, self.isa)?;
        self.lowered = lowered;
        self.layers_use = layers_use.and(others_use(&params));
        self.others = params;
        self.spec = spec;
        // Which values and gradients a step keeps depends on what is frozen.
        self.plans.clear();
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
