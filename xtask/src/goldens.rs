//! `cargo xtask goldens`: regenerates the golden files that come from PyTorch, torchvision, Pillow and
//! pycocotools, or checks that they still agree with the program.
//!
//! The scripts run in a virtual environment in the cache, with the packages that
//! `crates/testkit/goldens/requirements.txt` pins. Creating it needs the network, once.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::process::{output, run as run_command, workspace_root};
use crate::programs::built;
use crate::python;

const REQUIREMENTS: &str = "crates/testkit/goldens/requirements.txt";
const MODELS: &str = "crates/testkit/goldens/models.py";
const GRADIENTS: &str = "crates/testkit/goldens/gradients.py";
/// Writes weight files as PyTorch does; its check also needs an example of the crate `transfer`.
const WEIGHT_FILES: &str = "crates/transfer/tests/goldens/pytorch_files.py";
/// Scripts that print a whole file, without their extension.
const PRINTED: [&str; 3] = [
    "crates/image-data/tests/goldens/augmentation",
    "crates/image-data/tests/goldens/preprocessing",
    "crates/yolo-detect/tests/goldens/coco_evaluation",
];

/// The task, for these models, or for all if there are none.
pub(crate) fn run(check: bool, models: &[String]) -> Result<()> {
    let root = workspace_root();
    let python = python::environment("python", &root.join(REQUIREMENTS))?;
    if models.is_empty() {
        for golden in PRINTED {
            printed(&root, &python, golden, check)?;
        }
    }
    let program = match check {
        true => Some(built(&["--package", "convoxide"])?),
        false => None,
    };
    let script = |script: &str| {
        let mut command = Command::new(&python);
        command
            .arg(root.join(script))
            .arg(if check { "check" } else { "write" })
            .args(&program);
        command
    };
    let mut by_model = script(MODELS);
    for model in models {
        by_model.args(["--model", model]);
    }
    run_command(&mut by_model)?;
    if models.is_empty() {
        run_command(&mut script(GRADIENTS))?;
        let mut weight_files = script(WEIGHT_FILES);
        if check {
            weight_files.arg(built(&["--package", "transfer", "--example", "convert"])?);
        }
        run_command(&mut weight_files)?;
    }
    Ok(())
}

/// A golden file that its script prints.
fn printed(root: &Path, python: &Path, golden: &str, check: bool) -> Result<()> {
    let (script, file) = (
        root.join(golden).with_extension("py"),
        root.join(golden).with_extension("json"),
    );
    let made = output(Command::new(python).arg(script))?;
    if !check {
        return Ok(std::fs::write(file, made)?);
    }
    if std::fs::read_to_string(&file)? != made {
        return Err(format!("{golden}.json differs from what the script prints").into());
    }
    println!("{golden}: the golden file is up to date");
    Ok(())
}
