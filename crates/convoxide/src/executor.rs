//! The executor of a command that can also run the plain loops, for comparison.

use engine::{Plan, Sessions, SessionsOptions};
use ndarray::ArrayViewD;
use nn_layers::{Graph, Infer, Outputs, Params, Plain};

use crate::context::Context;

/// The option that chooses the executor.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ExecutorFlag {
    /// Use the plain loops that define the result: slow, for comparison
    #[arg(long)]
    plain: bool,
}

/// Runs a network on inputs of any shapes.
#[derive(Debug)]
pub(crate) enum Executor {
    /// The engine.
    Fast(Sessions),
    /// The plain loops.
    Plain(Plain<f32>),
}

impl Executor {
    /// Makes the executor that the flag chooses.
    ///
    /// # Errors
    ///
    /// Parameters that do not fit the graph or exceed the memory limit, and those of compiling it.
    pub(crate) fn new(
        flag: ExecutorFlag,
        graph: &Graph,
        params: Params<f32>,
        context: &Context,
    ) -> engine::Result<Self> {
        if flag.plain {
            context.options().check_parameters(graph)?;
            return Ok(Self::Plain(Plain::new(graph, params)?));
        }
        let plan = Plan::compile(graph, params, &context.options())?;
        Ok(Self::Fast(plan.sessions(SessionsOptions::default())))
    }
}

impl Infer for Executor {
    type Error = engine::Error;

    fn run(&mut self, inputs: &[ArrayViewD<'_, f32>], outputs: &mut Outputs) -> engine::Result<()> {
        match self {
            Self::Fast(sessions) => sessions.run(inputs, outputs),
            Self::Plain(plain) => Ok(Infer::run(plain, inputs, outputs)?),
        }
    }
}
