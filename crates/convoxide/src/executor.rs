//! The option of commands that can also run the plain loops, for comparison.

use engine::ExecutorKind;

/// The option that chooses the executor.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ExecutorFlag {
    /// Use the plain loops that define the result: slow, for comparison
    #[arg(long)]
    plain: bool,
}

impl From<ExecutorFlag> for ExecutorKind {
    fn from(flag: ExecutorFlag) -> Self {
        match flag.plain {
            true => Self::Plain,
            false => Self::Fast,
        }
    }
}
