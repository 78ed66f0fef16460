//! Virtual environments of Python in the cache, with the packages that a file pins.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::fetch;
use crate::process::run as run_command;

/// The Python of the environment with this name, which is created if it is missing or has other packages
/// than the file `requirements` lists. Creating it needs the network.
pub(crate) fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let folder = fetch::home()?.join(name);
    let python = if cfg!(windows) {
        folder.join("Scripts").join("python.exe")
    } else {
        folder.join("bin").join("python")
    };
    let packages = std::fs::read_to_string(requirements)?;
    // Written last, so that an interrupted installation is repeated.
    let installed = folder.join("requirements.txt");
    if std::fs::read_to_string(&installed).ok().as_ref() != Some(&packages) {
        let system = if cfg!(windows) { "python" } else { "python3" };
        run_command(
            Command::new(system)
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        run_command(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(requirements),
        )?;
        std::fs::write(installed, packages)?;
    }
    Ok(python)
}
