//! `cargo xtask docs`: the documentation of every crate; a warning is an error.

use crate::Result;
use crate::process::{cargo, run as run_command};

/// The task.
pub(crate) fn run(open: bool) -> Result<()> {
    let flags = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
    let mut doc = cargo("doc");
    doc.args(["--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", format!("{flags} -Dwarnings"));
    if open {
        doc.arg("--open");
    }
    run_command(&mut doc)
}
