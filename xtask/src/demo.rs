//! `cargo xtask demo`: fetches the required files, then finds the objects in a photo and classifies it.

use std::path::Path;
use std::process::Command;

use files::cache;

use crate::fetch;
use crate::process::{cargo, run as run_command, workspace_root};
use crate::{Error, Result};

/// The picture that `convoxide demo` draws, in the folder that it runs in.
pub(crate) const PICTURE: &str = "demo.png";

/// The task: draws the picture in the current folder.
pub(crate) fn run() -> Result<()> {
    let here = std::env::current_dir()
        .map_err(|error| Error::from(format!("cannot determine the current folder: {error}")))?;
    run_in(&here, || {
        let mut command = cargo("run");
        command
            .arg("--manifest-path")
            .arg(workspace_root().join("Cargo.toml"))
            .args(["--release", "--package", "convoxide", "--"]);
        command
    })
}

/// Draws the picture in a folder, and prints the classes of the photo, with the program that
/// `convoxide` starts.
pub(crate) fn run_in(folder: &Path, convoxide: impl Fn() -> Command) -> Result<()> {
    let home = fetch::ensure()?;
    let start = |args: &[&str]| {
        let mut command = convoxide();
        command
            .args(args)
            .env(cache::VARIABLE, &home)
            .current_dir(folder);
        command
    };
    run_command(&mut start(&["demo"]))?;
    let mut classify = start(&["classify", "--model", fetch::CLASSIFIER]);
    run_command(classify.arg(fetch::demo_photo(&home)))
}
