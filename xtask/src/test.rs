//! `cargo xtask test`: every test of the workspace, including those in the documentation.

use files::cache;

use crate::process::{cargo, run as run_command};
use crate::{Result, fetch};

/// The task. Tests that need the pretrained files find them in the cache. Without them and without a
/// network, these tests are skipped, with a message, and the others still run.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut test = cargo("test");
    test.arg("--workspace").args(args);
    if let Err(error) = fetch::ensure() {
        eprintln!("test: {error}");
        eprintln!("test: continuing without these files: tests that need them are skipped");
    }
    // Absolute, because each crate's tests run in the crate's own folder.
    if let Ok(home) = fetch::home() {
        test.env(cache::VARIABLE, home);
    }
    run_command(&mut test)
}
