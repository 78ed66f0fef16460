//! The step `isa` of `cargo xtask ci`: the tests of the kernels and the engine on every instruction
//! set that this machine has or can emulate.

use std::process::Command;

use crate::Result;
use crate::process::{cargo, output, run as run_command};
use crate::programs::{self, Kind, Program};

/// The packages whose instruction set `CONVOXIDE_ISA` selects.
const PACKAGES: [&str; 2] = ["conv-core", "engine"];

/// The Rust target with NEON.
const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// Every instruction set that the kernels know.
const ALL: [&str; 4] = ["avx512", "avx2", "neon", "scalar"];

/// How an instruction set is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The machine's fastest: the ordinary run of the tests uses it.
    ByDefault,
    /// The machine has it, but uses it only if `CONVOXIDE_ISA` says so.
    Forced,
    Emulated,
    /// It is not tested, for this reason.
    Skipped(&'static str),
}

/// The task, which follows the ordinary tests: runs the suites of the kernels and the engine on every
/// other instruction set, and reports which ran and which did not.
pub(crate) fn run() -> Result<()> {
    let programs = programs::of_the_workspace()?;
    let list = programs::named(&programs, Kind::Example, "instruction_sets")?;
    let available = output(&mut list.command())?;
    let available: Vec<&str> = available.lines().collect();
    let ways = ways(&available, can_emulate_neon());
    for (isa, way) in ways {
        match way {
            Way::Forced => {
                for package in PACKAGES {
                    run_suite(&programs, package, isa)?;
                }
            }
            Way::Emulated => emulate_neon()?,
            Way::ByDefault | Way::Skipped(_) => {}
        }
    }
    println!("instruction sets: {}", summary(&ways));
    Ok(())
}

/// Runs the tests of a package on an instruction set.
fn run_suite(programs: &[Program], package: &str, isa: &str) -> Result<()> {
    let mut tests = programs
        .iter()
        .filter(|program| program.kind == Kind::Test && program.belongs_to(package))
        .peekable();
    if tests.peek().is_none() {
        return Err(format!("cargo built no tests of {package}").into());
    }
    for test in tests {
        eprintln!("{package}: {} on {isa}", test.name);
        run_command(test.command().env("CONVOXIDE_ISA", isa))?;
    }
    Ok(())
}

/// How each instruction set is tested on a machine that has the given ones, the fastest first.
fn ways(available: &[&str], can_emulate_neon: bool) -> [(&'static str, Way); 4] {
    ALL.map(|isa| {
        let way = if available.first() == Some(&isa) {
            Way::ByDefault
        } else if available.contains(&isa) {
            Way::Forced
        } else if isa == "neon" && can_emulate_neon {
            Way::Emulated
        } else if isa == "neon" {
            Way::Skipped(
                "needs qemu-user, gcc-aarch64-linux-gnu and the rustup target \
                 aarch64-unknown-linux-gnu",
            )
        } else {
            Way::Skipped("this machine does not have it")
        };
        (isa, way)
    })
}

/// One line for the log.
fn summary(ways: &[(&str, Way)]) -> String {
    let words = ways.iter().map(|(isa, way)| match way {
        Way::ByDefault => format!("{isa} ran (the default here)"),
        Way::Forced => format!("{isa} ran (forced)"),
        Way::Emulated => format!("{isa} ran (kernels only, emulated)"),
        Way::Skipped(why) => format!("{isa} SKIPPED: {why}"),
    });
    words.collect::<Vec<_>>().join("; ")
}

/// Whether everything needed to emulate NEON on another processor is installed.
fn can_emulate_neon() -> bool {
    let starts = |program: &str| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let has_std = || {
        let folder = Command::new("rustc")
            .args(["--print", "target-libdir", "--target", AARCH64])
            .output();
        folder.is_ok_and(|output| {
            let folder = String::from_utf8_lossy(&output.stdout);
            output.status.success() && std::path::Path::new(folder.trim()).is_dir()
        })
    };
    cfg!(target_os = "linux")
        && starts("qemu-aarch64")
        && starts("aarch64-linux-gnu-gcc")
        && has_std()
}

/// The kernels' suite on NEON under qemu, with a tenth of the problems: an emulator is slow.
fn emulate_neon() -> Result<()> {
    let variable = |name: &str| {
        let target = AARCH64.to_uppercase().replace('-', "_");
        format!("CARGO_TARGET_{target}_{name}")
    };
    run_command(
        cargo("test")
            .args(["-p", PACKAGES[0], "--lib", "--tests"])
            .args(["--target", AARCH64])
            .env(variable("LINKER"), "aarch64-linux-gnu-gcc")
            .env(variable("RUNNER"), "qemu-aarch64 -L /usr/aarch64-linux-gnu")
            .env("CONVOXIDE_CASES", "0.1")
            .env("CONVOXIDE_ISA", "neon"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_ran_and_what_did_not() {
        let ways = ways(&["avx2", "scalar"], true);
        assert_eq!(
            summary(&ways),
            "avx512 SKIPPED: this machine does not have it; avx2 ran (the default here); \
             neon ran (kernels only, emulated); scalar ran (forced)"
        );
    }

    #[test]
    fn without_an_emulator_neon_is_skipped_by_name() {
        let [_, _, (isa, way), _] = ways(&["avx512", "avx2", "scalar"], false);
        assert_eq!(isa, "neon");
        assert!(matches!(way, Way::Skipped(why) if why.contains("qemu")));
        let [.., (_, way), _] = ways(&["neon", "scalar"], false);
        assert_eq!(way, Way::ByDefault);
    }
}
