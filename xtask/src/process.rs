//! Starting other programs, above all cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::Result;

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn workspace_root() -> PathBuf {
    // Cargo sets the variable when it runs this program; a direct start uses the compile-time value.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask
        .parent()
        .map_or_else(|| xtask.clone(), Path::to_path_buf)
}

/// The cargo that runs this program, working in the workspace's folder.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.arg(subcommand).current_dir(workspace_root());
    command
}

/// Prints a command, then runs it with the terminal's own streams.
///
/// # Errors
/// The program cannot be started, or its exit code is not 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .map_err(|error| cannot_start(command, &error))?;
    if !status.success() {
        return Err(format!("`{}` failed ({status})", shown(command)).into());
    }
    Ok(())
}

/// Runs a command silently and returns its standard output.
///
/// # Errors
/// The program cannot be started, fails (the error quotes its last line), or its output is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        let last = stderr.trim().lines().last().unwrap_or_default();
        return Err(format!("`{}` failed ({status}): {last}", shown(command)).into());
    }
    Ok(String::from_utf8(stdout)?)
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start `{}`: {error}", shown(command))
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![
        program
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    ];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn an_error_names_the_command() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot start `no-such-program`"),
            "{error}"
        );
        let error = output(cargo("no-such-subcommand").arg("x")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`cargo no-such-subcommand x` failed"),
            "{error}"
        );
    }
}
