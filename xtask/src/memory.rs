//! `cargo xtask memory`: runs the `unsafe` code of `conv-core` under Miri, which finds every invalid
//! access but does not support our vector instructions, and under the address sanitizer, which covers
//! those as well. Needs a nightly toolchain with the component `miri`.

use std::process::Command;

use crate::Result;
use crate::process::{output, run as run_command, workspace_root};

/// The tests of the kernels that take Miri only minutes: one problem for each property.
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
            // Proptest reads the clock and its files; crossbeam, which rayon depends on, follows the
            // rules of tree borrows but not those of the older stacked borrows.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-tree-borrows")
            .env("CONVOXIDE_CASES", "0.001")
            // Waiting threads are emulated, too, and cost time.
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
            // Some tests request more memory than there is and expect an error.
            .env("ASAN_OPTIONS", "allocator_may_return_null=1");
        run_command(&mut command)?;
    }
    Ok(())
}

/// The nightly cargo, with its own target folder.
fn nightly(target: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .arg("+nightly")
        .current_dir(workspace_root())
        .env("CARGO_TARGET_DIR", workspace_root().join(target));
    command
}

/// This machine's target. It has to be named, or else build scripts would use the sanitizer, too.
fn host() -> Result<String> {
    let version = output(Command::new("rustc").args(["+nightly", "-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not report its host")?.to_owned())
}
