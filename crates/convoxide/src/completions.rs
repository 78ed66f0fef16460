//! `convoxide completions`: shell scripts that complete the program's arguments.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::error::Error;
use crate::{Cli, output};

/// Print a completion script for a shell
///
/// Each shell reads completions from a different folder; see the examples.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
///
/// Errors of writing to standard output.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    // The generator panics if it cannot write; writing to memory always succeeds.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "convoxide", &mut script);
    output::text(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
