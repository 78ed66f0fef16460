//! `cargo xtask figures`: the tutorial's figures, drawn by an example of the crate `tutorial`.
//!
//! A test of that crate compares the committed files with what the example draws.

use crate::Result;
use crate::process::{cargo, run as run_command};

/// The folder of the figures, below the workspace's folder.
const FOLDER: &str = "docs/images";

/// The task: draws all figures again.
pub(crate) fn run() -> Result<()> {
    let mut command = cargo("run");
    command.args(["--quiet", "--package", "tutorial", "--example", "figures"]);
    run_command(command.args(["--", FOLDER]))?;
    println!("wrote the figures of the tutorial into {FOLDER}");
    Ok(())
}
