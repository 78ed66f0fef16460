//! `cargo xtask demo`: fetches the required files, then finds the objects in a photo.

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

/// Draws the picture in a folder.
pub(crate) fn run_in(folder: &Path) -> Result<()> {
    let home = fetch::ensure()?;
    let manifest = workspace_root().join("Cargo.toml");
    run_command(
        cargo("run")
            .arg("--manifest-path")
            .arg(manifest)
            .args(["--release", "--package", "convoxide", "--", "demo"])
            .env(cache::VARIABLE, home)
            .current_dir(folder),
    )
}
