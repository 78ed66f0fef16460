//! A compiled network: packed weights and steps, shared by all its sessions.

use std::sync::Arc;

use conv_core::Isa;
use ndarray::{ArrayD, ArrayView, Dimension};
use nn_layers::{Graph, Params, Shape};

use crate::error::{Error, Result};
use crate::listing::Listing;
use crate::memory::MemoryUse;
use crate::pack::Program;
use crate::passes;
use crate::session::Session;
use crate::session_plan::SessionPlan;
use crate::sessions::{Sessions, SessionsOptions};
use crate::tuning::Tuning;

/// How a graph is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether rounding errors may be larger for the sake of speed.
    pub precision: Precision,
    /// Whether weights may take more memory for the sake of speed.
    pub memory: Memory,
    /// The algorithms of the convolutions, as measured on this machine. `None`, the default, leaves the
    /// choice to a model of the cost. Training does not use it.
    pub tuning: Option<Arc<Tuning>>,
    /// The instruction set. `None` selects the one that the environment variable
    /// [`CONVOXIDE_ISA`](conv_core::ISA_VARIABLE) names, or the machine's fastest if the variable
    /// is unset or empty.
    pub isa: Option<Isa>,
    /// The maximum memory of a session, in bytes; the default is 8 GiB. [`MemoryUse::total`] is
    /// compared with it before any of that memory is allocated.
    pub memory_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            precision: Precision::Default,
            memory: Memory::Default,
            tuning: None,
            isa: None,
            memory_limit: DEFAULT_MEMORY_LIMIT,
        }
    }
}

/// How a network's sums are computed when it runs; training is always exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// By the fastest algorithm. Those with fewer multiplications have errors about twice those of
    /// sequential sums in f32, and an infinite or NaN value spreads to neighbouring pixels.
    #[default]
    Default,
    /// Each sum of products as it is defined.
    Exact,
}

/// How much memory the weights of a network take when it runs.
///
/// ```
/// use engine::{Memory, Options, Plan};
/// use nn_layers::{Conv2d, GraphBuilder, Padding, random_params};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 256, 56, 56])?;
/// let y = b.conv2d("y", x, Conv2d::new(256, [3, 3]).padding(Padding::Same))?;
/// let graph = b.finish(&[y])?;
/// let shapes = [graph.nodes()[0].shape().clone()];
///
/// let parameters = |memory| {
///     let options = Options { memory, ..Options::default() };
///     let plan = Plan::compile(&graph, random_params(&graph, 1)?, &options)?;
///     Ok::<_, engine::Error>(plan.memory(&shapes)?.parameters)
/// };
/// // 9 weights for each pair of channels become 36.
/// assert!(parameters(Memory::Default)? > 3 * parameters(Memory::Small)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Memory {
    /// As much as the fastest algorithms need: Winograd's takes up to four times the memory of a layer's
    /// own weights.
    #[default]
    Default,
    /// At most 2 % more than with [`Precision::Exact`]. Winograd's algorithm is used only in the layers
    /// with the fewest weights, often the first of a network.
    Small,
}

/// Enough to train ResNet-50 on a batch of 32 photos, yet small enough that a file of a few lines
/// cannot exhaust a machine's memory.
const DEFAULT_MEMORY_LIMIT: u64 = 8 << 30;

impl Options {
    /// Checks that the parameters of a graph alone do not exceed the memory limit. Call this before
    /// they are allocated: [`Plan::compile`] takes parameters that exist already.
    ///
    /// # Errors
    ///
    /// [`Error::MemoryLimit`] if they exceed it.
    ///
    /// ```
    /// use engine::{Error, Options};
    /// use nn_layers::{GraphBuilder, Linear};
    ///
    /// let mut b = GraphBuilder::new();
    /// let x = b.input("x", [1, 100_000])?;
    /// let y = b.linear("y", x, Linear::new(100_000))?;
    /// let graph = b.finish(&[y])?;
    ///
    /// // 40 GB.
    /// let error = Options::default().check_parameters(&graph).unwrap_err();
    /// assert!(matches!(error, Error::MemoryLimit { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_parameters(&self, graph: &Graph) -> Result<()> {
        MemoryUse::of_parameters(graph).check(self.memory_limit)
    }

    /// Returns the instruction set that these options select.
    pub(crate) fn isa(&self) -> Result<Isa> {
        match self.isa {
            Some(isa) => Ok(isa),
            None => Isa::from_env().map_err(Error::InstructionSet),
        }
    }
}

/// A network compiled for this machine: weights folded and packed, operations fused.
///
/// A plan fixes neither the batch nor the picture size. Its clones share the weights, so several
/// threads can use a plan without copying them. Each thread and each size needs its own
/// [`Session`]; [`Sessions`] keeps those of several sizes.
///
/// ```
/// use engine::{Options, Plan};
/// use nn_layers::{Conv2d, GraphBuilder, Infer, Outputs, Padding, Shape, random_params};
/// use ndarray::ArrayD;
///
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 3, 32, 32])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(16, [3, 3]).padding(Padding::all(1)))?;
/// let conv = b.leaky_relu("act", conv, 0.1)?;
/// let graph = b.finish(&[conv])?;
///
/// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
/// let mut session = plan.session(&[Shape::from([2, 3, 20, 40])])?;
/// let mut outputs = Outputs::new();
/// session.run(&[ArrayD::ones(vec![2, 3, 20, 40]).view()], &mut outputs)?;
/// assert_eq!(outputs.tensors[0].shape(), [2, 16, 20, 40]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) graph: Graph,
    pub(crate) program: Program,
    pub(crate) isa: Isa,
    pub(crate) memory_limit: u64,
}

impl Plan {
    /// Compiles a graph with its parameters. Each parameter is freed once it is packed.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if parameters are missing or misshapen, [`Error::InstructionSet`] if the
    /// instruction set that `CONVOXIDE_ISA` names is unknown or not available, [`Error::Kernel`] if
    /// weights cannot be packed, [`Error::MemoryLimit`] if the packed parameters alone exceed the
    /// limit; [`Error::TuningMachine`], [`Error::TuningAlgorithm`] and [`Error::TuningInputs`] for a
    /// tuning that does not suit this machine or the graph.
    #[tracing::instrument(level = "info", skip_all, fields(nodes = graph.nodes().len()))]
    pub fn compile(graph: &Graph, params: Params<f32>, options: &Options) -> Result<Self> {
        let isa = options.isa()?;
        let ir = passes::for_inference(graph, options)?;
        let packed = MemoryUse {
            parameters: ir.packed_bytes(isa)?,
            ..MemoryUse::default()
        };
        packed.check(options.memory_limit)?;
        let program = Program::pack(graph, ir, params, isa)?;
        Ok(Self {
            compiled: Arc::new(Compiled {
                graph: graph.clone(),
                program,
                isa,
                memory_limit: options.memory_limit,
            }),
        })
    }

    /// Returns a session for inputs of these shapes, with memory for its activations.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the graph does not accept these shapes, [`Error::MemoryLimit`] if the
    /// session would need more than [`Options::memory_limit`], [`Error::Kernel`] and
    /// [`Error::OutOfMemory`] if tensors are too large for any memory, [`Error::OutOfMemory`] also
    /// if the system refuses the memory.
    pub fn session(&self, shapes: &[Shape]) -> Result<Session> {
        Session::new(Arc::clone(&self.compiled), shapes)
    }

    /// Returns an executor for inputs of several shapes, which makes and keeps a
    /// [session](Self::session) for each.
    #[must_use]
    pub fn sessions(&self, options: SessionsOptions) -> Sessions {
        Sessions::new(self.clone(), options)
    }

    /// Makes a session for these inputs, runs it once, and returns the outputs in the graph's
    /// order. To run on the same shapes again, use a [session](Self::session), whose memory is
    /// reused.
    ///
    /// ```
    /// use engine::{Options, Plan};
    /// use ndarray::Array4;
    /// use nn_layers::{Conv2d, GraphBuilder, random_params};
    ///
    /// let mut b = GraphBuilder::new();
    /// let image = b.input("image", [1, 3, 8, 8])?;
    /// let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]))?;
    /// let graph = b.finish(&[conv])?;
    /// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
    ///
    /// let pictures = Array4::ones((2, 3, 20, 30));
    /// let outputs = plan.run_once(&[pictures.view()])?;
    /// assert_eq!(outputs[0].shape(), [2, 4, 18, 28]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`session`](Self::session) and [`Session::run_once`].
    pub fn run_once<D: Dimension>(
        &self,
        inputs: &[ArrayView<'_, f32, D>],
    ) -> Result<Vec<ArrayD<f32>>> {
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape().into()).collect();
        self.session(&shapes)?.run_once(inputs)
    }

    /// Returns the memory that a [session](Self::session) for inputs of these shapes needs, without
    /// allocating it.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the graph does not accept these shapes, [`Error::Kernel`] and
    /// [`Error::OutOfMemory`] if tensors are too large for any memory.
    pub fn memory(&self, shapes: &[Shape]) -> Result<MemoryUse> {
        let Compiled {
            graph,
            program,
            isa,
            ..
        } = &*self.compiled;
        Ok(SessionPlan::new(&program.ir, graph, *isa, shapes)?.memory)
    }

    /// Returns what [`memory`](Self::memory) would return for a plan of this graph with these options:
    /// without compiling it, and without parameters. Like that, it depends on the number of threads of
    /// the caller's pool, and is not compared with [`Options::memory_limit`].
    ///
    /// ```
    /// use engine::{Options, Plan};
    /// use nn_layers::{GraphBuilder, Linear, Shape};
    ///
    /// let mut b = GraphBuilder::new();
    /// let x = b.input("x", [1, 160_000])?;
    /// let y = b.linear("y", x, Linear::new(160_000).without_bias())?;
    /// let graph = b.finish(&[y])?;
    ///
    /// // 102 GB of weights, which nothing allocates; a bias of zeros is packed, too.
    /// let memory = Plan::estimate(&graph, &Options::default(), &[Shape::from([1, 160_000])])?;
    /// assert_eq!(memory.parameters, 4 * (160_000 * 160_000 + 160_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`memory`](Self::memory); also [`Error::InstructionSet`] if the instruction set that
    /// `CONVOXIDE_ISA` names is unknown or not available, and those of the tuning.
    pub fn estimate(graph: &Graph, options: &Options, shapes: &[Shape]) -> Result<MemoryUse> {
        let isa = options.isa()?;
        let ir = passes::for_inference(graph, options)?;
        Ok(SessionPlan::new(&ir, graph, isa, shapes)?.memory)
    }

    /// Returns what a [session](Self::session) for inputs of these shapes will do, step by step: what is
    /// folded, fused and shared, by which algorithm, and where each result lies.
    ///
    /// ```
    /// use engine::{Options, Plan};
    /// use nn_layers::{Conv2d, GraphBuilder, Shape, random_params};
    ///
    /// let mut b = GraphBuilder::new();
    /// let image = b.input("image", [1, 3, 8, 8])?;
    /// let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]))?;
    /// let relu = b.relu("relu", conv)?;
    /// let graph = b.finish(&[relu])?;
    /// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
    ///
    /// let listing = plan.listing(&[Shape::from([1, 3, 8, 8])])?;
    /// assert_eq!(listing.steps[1].computes, "conv2d 3x3 (%0) + relu");
    /// println!("{listing}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`memory`](Self::memory).
    pub fn listing(&self, shapes: &[Shape]) -> Result<Listing> {
        Listing::new(&self.compiled, shapes)
    }

    pub(crate) fn compiled(&self) -> &Arc<Compiled> {
        &self.compiled
    }

    /// Returns the graph that this plan was compiled from.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.compiled.graph
    }

    /// Returns the instruction set that this plan was compiled for.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.compiled.isa
    }
}
