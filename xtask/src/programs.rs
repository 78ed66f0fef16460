//! The programs that cargo builds, as its messages name them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Result;
use crate::process::{cargo, output, workspace_root};

/// Makes cargo print its messages as JSON, a line each, and the compiler's as usual.
pub(crate) const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It runs the tests of a library or of a file in `tests/`.
    Test,
    Example,
    Binary,
}

/// A program of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    /// The name of its target.
    pub(crate) name: String,
    /// The folder of its package.
    folder: PathBuf,
    path: PathBuf,
}

impl Program {
    /// Whether the program belongs to the package, which its folder is named after.
    pub(crate) fn belongs_to(&self, package: &str) -> bool {
        self.folder.ends_with(package)
    }

    /// Starts the program in its package's folder, as `cargo test` does.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// The program of this kind and name.
pub(crate) fn named<'a>(programs: &'a [Program], kind: Kind, name: &str) -> Result<&'a Program> {
    programs
        .iter()
        .find(|program| program.kind == kind && program.name == name)
        .ok_or_else(|| format!("cargo built no {name}").into())
}

/// The programs that `cargo test --workspace` builds. After the ordinary tests they are all there.
///
/// A command for one package alone selects fewer features of the dependencies, so cargo would compile
/// these, and everything above them, a second time.
pub(crate) fn of_the_workspace() -> Result<Vec<Program>> {
    let messages = output(cargo("test").args(["--workspace", "--no-run", MESSAGES]))?;
    messages
        .lines()
        .filter_map(|line| program(line).transpose())
        .collect()
}

/// The program that these arguments of `cargo build` select, built with optimisation.
///
/// # Errors
/// Those of cargo.
pub(crate) fn built(selection: &[&str]) -> Result<PathBuf> {
    let messages = output(cargo("build").args(["--release", MESSAGES]).args(selection))?;
    executables(&messages)
        .next()
        .ok_or_else(|| format!("cargo did not build {}", selection.join(" ")).into())
}

/// The paths of the programs that cargo's messages name, in their order.
pub(crate) fn executables(messages: &str) -> impl DoubleEndedIterator<Item = PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable)
}

/// The parts of cargo's messages that are used here.
#[derive(Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The program that a message of cargo's announces, if it announces one.
fn program(message: &str) -> Result<Option<Program>> {
    let Message {
        manifest_path: Some(manifest),
        target: Some(Target { name, kind }),
        profile: Some(Profile { test }),
        executable: Some(path),
    } = serde_json::from_str(message)?
    else {
        return Ok(None);
    };
    let has = |word: &str| kind.iter().any(|kind| kind == word);
    let kind = if test && (has("lib") || has("test")) {
        Kind::Test
    } else if !test && has("example") {
        Kind::Example
    } else if !test && has("bin") {
        Kind::Binary
    } else {
        return Ok(None);
    };
    Ok(Some(Program {
        kind,
        name,
        folder: manifest
            .parent()
            .map_or_else(workspace_root, Path::to_path_buf),
        path,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/engine/Cargo.toml",
                "target":{{"kind":["{kind}"],"name":"fused"}},"profile":{{"test":{test}}},
                "executable":"/w/target/debug/deps/fused-1"}}"#
        )
    }

    #[test]
    fn tests_examples_and_binaries_are_programs() {
        let programs = [("test", true), ("example", false), ("bin", false)]
            .map(|(kind, test)| program(&message(kind, test)).unwrap().unwrap());
        assert_eq!(
            programs.each_ref().map(|program| program.kind),
            [Kind::Test, Kind::Example, Kind::Binary]
        );
        assert!(programs[0].belongs_to("engine") && !programs[0].belongs_to("gine"));
        assert_eq!(
            programs[0].command().get_current_dir(),
            Some(Path::new("/w/crates/engine"))
        );
        let binary = named(&programs, Kind::Binary, "fused").unwrap();
        assert_eq!(binary, &programs[2]);
        named(&programs, Kind::Binary, "engine").unwrap_err();
    }

    #[test]
    fn executables_are_in_the_order_of_the_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\nno json\n\
                        {\"executable\":\"a/one\"}\n{\"executable\":\"a/fuzz-1\"}\n\
                        {\"reason\":\"build-finished\"}\n";
        let found: Vec<PathBuf> = executables(messages).collect();
        assert_eq!(found, ["a/one", "a/fuzz-1"].map(PathBuf::from));
        assert_eq!(executables("{}").next(), None);
    }

    #[test]
    fn libraries_tests_of_binaries_and_other_messages_are_not() {
        assert_eq!(program(&message("bin", true)).unwrap(), None);
        let library = message("lib", false).replace(r#""/w/target/debug/deps/fused-1""#, "null");
        assert_eq!(program(&library).unwrap(), None);
        let finished = r#"{"reason":"build-finished","success":true}"#;
        assert_eq!(program(finished).unwrap(), None);
        program("not a message").unwrap_err();
    }
}
