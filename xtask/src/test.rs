//! `cargo xtask test`: every test of the workspace, those in the documentation too.

use files::cache;

use crate::process::{cargo, run as run_command};
use crate::{Result, fetch};

/// The task. Tests that need the pretrained files find them in the cache; without them and without
/// a network the others still run, and each of those says that it was skipped.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut test = cargo("test");
    test.arg("--workspace").args(args);
    if let Err(error) = fetch::ensure() {
        eprintln!("test: {error}");
        eprintln!("test: going on without: tests that need these files are skipped");
    }
    // Absolute, because each crate's tests run in the crate's own folder.
    if let Ok(home) = fetch::home() {
        test.env(cache::VARIABLE, home);
    }
    run_command(&mut test)
}
