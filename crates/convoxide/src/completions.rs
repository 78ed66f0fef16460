//! `convoxide completions`: what a shell needs to complete the program's arguments.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::error::Error;
use crate::{Cli, output};

/// Print the completions of a shell
///
/// Each shell looks for them in a place of its own; see the examples.
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
/// Those of standard output.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    // The generator panics where it cannot write, which memory always lets it.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "convoxide", &mut script);
    output::text(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
