//! `cargo xtask demo`: fetches the required files, then finds the objects in a photo and classifies it.

use std::path::Path;

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
    run_in(&here)
}

/// Draws the picture in a folder, and prints the classes of the photo.
pub(crate) fn run_in(folder: &Path) -> Result<()> {
    let home = fetch::ensure()?;
    let photo = fetch::demo_photo(&home);
    let convoxide = || {
        let mut command = cargo("run");
        command
            .arg("--manifest-path")
            .arg(workspace_root().join("Cargo.toml"))
            .args(["--release", "--package", "convoxide", "--"])
            .env(cache::VARIABLE, &home)
            .current_dir(folder);
        command
    };
    run_command(convoxide().arg("demo"))?;
    let mut classify = convoxide();
    classify.args(["classify", "--model", fetch::CLASSIFIER]);
    run_command(classify.arg(photo))
}
