//! `cargo xtask man`: the program's manual pages, made of its command line.

use std::path::Path;

use crate::Result;
use crate::process::{cargo, run as run_command, workspace_root};

/// Where the pages go, below the workspace's folder.
const FOLDER: &str = "target/man";

/// The task: writes a page for the program and one for each of its commands.
pub(crate) fn run() -> Result<()> {
    let folder = workspace_root().join(Path::new(FOLDER));
    let mut command = cargo("run");
    command.args(["--quiet", "--package", "convoxide", "--", "man", "--output"]);
    run_command(command.arg(&folder))?;
    println!("{FOLDER}/convoxide.1 and a page for each command");
    Ok(())
}
