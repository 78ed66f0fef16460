//! `cargo xtask memory`: the `unsafe` code of `conv-core` under Miri, which sees every wrong access
//! but knows no vector instructions of ours, and under the address sanitizer, which sees wrong
//! accesses of all of them. Takes a nightly toolchain with the component `miri`.

use std::process::Command;

use crate::Result;
use crate::process::{output, run as run_command, workspace_root};

/// The tests of the kernels that Miri gets through in minutes: one problem of each property.
const UNDER_MIRI: [&str; 6] = [
    "conv2d_agrees",
    "activations_are",
    "a_residual",
    "max_pool",
    "average_pool",
    "lanes_past",
];

/// The task.
pub(crate) fn run() -> Result<()> {
    let miri = |arguments: &[&str]| {
        let mut command = nightly("target/miri");
        command
            .args(["miri", "test", "--package", "conv-core"])
            .args(arguments)
            // Proptest asks for the time and for its files; crossbeam, below rayon, follows the rules
            // of tree borrows but not of the older stacked ones.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-tree-borrows")
            .env("CONVOXIDE_CASES", "0.001")
            // Threads that wait are emulated, too.
            .env("RAYON_NUM_THREADS", "1");
        run_command(&mut command)
    };
    miri(&["--lib"])?;
    miri(&[&["--test", "fast", "--"], &UNDER_MIRI[..]].concat())?;

    let target = host()?;
    for suite in [&["--lib"][..], &["--tests"]] {
        let mut command = nightly("target/asan");
        command
            .args(["test", "--package", "conv-core", "--target", &target])
            .args(suite)
            .env("RUSTFLAGS", "-Zsanitizer=address")
            // Tests ask for more memory than there is, and expect an error.
            .env("ASAN_OPTIONS", "allocator_may_return_null=1");
        run_command(&mut command)?;
    }
    Ok(())
}

/// The nightly cargo, with a folder of its own for what it builds.
fn nightly(target: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .arg("+nightly")
        .current_dir(workspace_root())
        .env("CARGO_TARGET_DIR", workspace_root().join(target));
    command
}

/// This machine's target: only with one named do build scripts go without the sanitizer.
fn host() -> Result<String> {
    let version = output(Command::new("rustc").args(["+nightly", "-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not name its host")?.to_owned())
}
