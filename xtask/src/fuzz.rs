//! `cargo xtask fuzz`: long runs of the tests `fuzz_...`, each in its own process with limited memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{cargo, output, run as run_command, workspace_root};
use crate::programs;
use crate::{Error, Result};

/// The test programs that contain fuzz targets: the package, and cargo's arguments that select one.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("image-data", &["--test", "fuzz"]),
    ("yolo-detect", &["--test", "fuzz"]),
    ("image-classify", &["--test", "model"]),
    ("nn-layers", &["--test", "fuzz"]),
    ("nn-layers", &["--test", "checkpoints"]),
    ("transfer", &["--test", "fuzz"]),
    ("convoxide", &["--bin", "convoxide"]),
];

/// The address space limit of a target, in KiB: far more than any input may need, far less than a
/// hostile length would require.
const MOST_KIBIBYTES: u64 = 4 << 20;

/// Which targets to run, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the targets whose name contains this
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed of the mutations
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Try one mutation again, by its number
    #[arg(long)]
    input: Option<u64>,
}

/// The task. Continues after a target that fails, and names the failed ones at the end.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = workspace_root().join("target").join("fuzz");
    std::fs::create_dir_all(&folder)?;
    let wanted = options.target.as_deref().unwrap_or_default();
    let (mut found, mut failed) = (0, Vec::new());
    for (package, selection) in PROGRAMS {
        let program = build(package, selection)?;
        for test in targets(&output(Command::new(&program).arg("--list"))?) {
            let name = name(test);
            if !name.contains(wanted) {
                continue;
            }
            found += 1;
            if run_target(&program, test, &folder, options).is_err() {
                eprintln!("fuzz: {name} failed{}", last_input(&folder, name));
                failed.push(name.to_owned());
            }
        }
    }
    match (found, failed.as_slice()) {
        (0, _) => Err(format!("fuzz: no target has {wanted:?} in its name").into()),
        (_, []) => Ok(()),
        (_, failed) => Err(format!("fuzz: {} failed", failed.join(", ")).into()),
    }
}

/// Builds a test program and returns its path.
fn build(package: &str, selection: &[&str]) -> Result<PathBuf> {
    let messages = output(
        cargo("test")
            .args(["--package", package])
            .args(selection)
            .args(["--no-run", programs::MESSAGES]),
    )?;
    programs::executables(&messages)
        .next_back()
        .ok_or_else(|| Error::from(format!("cargo built no test of {package}")))
}

/// The tests in a list that are fuzz targets, with their modules.
fn targets(list: &str) -> impl Iterator<Item = &str> {
    list.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|test| last_part(test).starts_with("fuzz_"))
}

/// A target's name.
fn name(test: &str) -> &str {
    last_part(test).trim_start_matches("fuzz_")
}

fn last_part(test: &str) -> &str {
    test.rsplit("::").next().unwrap_or(test)
}

fn run_target(program: &Path, test: &str, folder: &Path, options: &Options) -> Result<()> {
    let mut command = limited(program);
    command
        .args([test, "--exact", "--nocapture"])
        .env("CONVOXIDE_FUZZ_SECONDS", options.seconds.to_string())
        .env("CONVOXIDE_FUZZ_SEED", options.seed.to_string())
        .env("CONVOXIDE_FUZZ_FOLDER", folder);
    if let Some(input) = options.input {
        command.env("CONVOXIDE_FUZZ_INPUT", input.to_string());
    }
    // Afterwards, only the input that was being tried when this run ended may be in this file.
    let _ = std::fs::remove_file(folder.join(format!("{}.last", name(test))));
    run_command(&mut command)
}

/// The program, with a memory limit where the system has a shell that can set one.
fn limited(program: &Path) -> Command {
    if !cfg!(unix) {
        return Command::new(program);
    }
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("ulimit -v {MOST_KIBIBYTES} 2>/dev/null; exec \"$0\" \"$@\""),
        ])
        .arg(program);
    command
}

/// The input that was being tried when the process ended without reporting it.
fn last_input(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(format!("{name}.last")))
        .map(|input| format!(" at {input}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_tests_that_are_called_so() {
        let list = "fuzz_cfg: test\nnpy::fuzz::fuzz_npy: test\nfuzz::tests::other: test\n\
                    fuzz_speed: benchmark\n\n3 tests, 1 benchmark\n";
        let found: Vec<&str> = targets(list).collect();
        assert_eq!(found, ["fuzz_cfg", "npy::fuzz::fuzz_npy"]);
        assert_eq!(name(found[0]), "cfg");
        assert_eq!(name(found[1]), "npy");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_target_lives_within_the_limit() {
        let mut shell = limited(Path::new("sh"));
        let limit = output(shell.args(["-c", "ulimit -v"])).unwrap();
        assert_eq!(limit.trim(), MOST_KIBIBYTES.to_string());
    }
}
