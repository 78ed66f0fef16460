//! Either of the two executors of a graph, behind one interface.

use std::sync::Arc;

use ndarray::ArrayViewD;
use nn_layers::{Graph, Infer, Outputs, Params, Plain, Shape};

use crate::error::{Error, Result};
use crate::plan::{Options, Plan};
use crate::sessions::{Sessions, SessionsOptions};

/// Which executor runs a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExecutorKind {
    /// Compiled sessions, which are fast.
    #[default]
    Fast,
    /// The plain loops that define the result: slow, for comparison.
    Plain,
}

/// Runs a network on inputs of any shapes that its graph accepts, compiled or by the plain loops that
/// define the result.
///
/// A clone shares the weights: use one clone per thread.
///
/// ```
/// use engine::{Executor, ExecutorKind, Options};
/// use ndarray::ArrayD;
/// use nn_layers::{Conv2d, GraphBuilder, Infer, Outputs, random_params};
///
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 3, 8, 8])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]))?;
/// let graph = b.finish(&[conv])?;
///
/// let picture = ArrayD::ones(vec![1, 3, 8, 8]);
/// let mut means = Vec::new();
/// for kind in [ExecutorKind::Fast, ExecutorKind::Plain] {
///     let params = random_params(&graph, 1)?;
///     let mut executor = Executor::new(kind, &graph, params, &Options::default())?;
///     let mut outputs = Outputs::new();
///     executor.run(&[picture.view()], &mut outputs)?;
///     means.extend(outputs.tensors[0].mean());
/// }
/// assert!((means[0] - means[1]).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub enum Executor {
    /// The compiled network.
    Fast(Sessions),
    /// The plain loops.
    Plain(Arc<Plain<f32>>),
}

impl Executor {
    /// Makes the executor of this kind. Of the options, the plain loops obey only
    /// [`Options::memory_limit`], and only the parameters are compared with it.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::compile`]; for the plain loops, those of [`Options::check_parameters`], and
    /// [`Error::Graph`] if parameters are missing or misshapen.
    pub fn new(
        kind: ExecutorKind,
        graph: &Graph,
        params: Params<f32>,
        options: &Options,
    ) -> Result<Self> {
        match kind {
            ExecutorKind::Fast => {
                let plan = Plan::compile(graph, params, options)?;
                Ok(Self::Fast(plan.sessions(SessionsOptions::default())))
            }
            ExecutorKind::Plain => {
                options.check_parameters(graph)?;
                Ok(Self::Plain(Arc::new(Plain::new(graph, params)?)))
            }
        }
    }

    /// Allocates what a run on inputs of these shapes needs, so that the run itself does not. The plain
    /// loops allocate as they go.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::session`]; for the plain loops, [`Error::Graph`] if the graph does not accept
    /// these shapes.
    pub fn prepare(&mut self, shapes: &[Shape]) -> Result<()> {
        match self {
            Self::Fast(sessions) => sessions.session(shapes).map(drop),
            Self::Plain(plain) => Ok(plain.graph().infer(shapes).map(drop)?),
        }
    }
}

impl Infer for Executor {
    type Error = Error;

    fn run(&mut self, inputs: &[ArrayViewD<'_, f32>], outputs: &mut Outputs) -> Result<()> {
        match self {
            Self::Fast(sessions) => sessions.run(inputs, outputs),
            Self::Plain(plain) => {
                outputs.tensors = plain.run(inputs)?;
                Ok(())
            }
        }
    }
}
