//! `cargo xtask man`: the program's manual pages, generated from its command line.

use std::path::Path;

use crate::Result;
use crate::process::{cargo, run as run_command, workspace_root};

/// The folder of the pages, below the workspace's folder.
const FOLDER: &str = "target/man";

/// The task: writes a page for the program and one for each of its commands.
pub(crate) fn run() -> Result<()> {
    let folder = workspace_root().join(Path::new(FOLDER));
    let mut command = cargo("run");
    command.args(["--quiet", "--package", "convoxide", "--", "man", "--output"]);
    run_command(command.arg(&folder))?;
    println!("wrote {FOLDER}/convoxide.1 and a page for each command");
    Ok(())
}
