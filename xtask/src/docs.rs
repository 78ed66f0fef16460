//! `cargo xtask docs`: the documentation of every crate, with an index page that lists them. Warnings
//! and dead links are errors.

mod links;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Result;
use crate::process::{cargo, output, run as run_command, workspace_root};

/// The parts of `cargo metadata` that are used here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    description: Option<String>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// A crate that has documentation pages.
#[derive(Debug, PartialEq, Eq)]
struct Documented {
    /// The name of its package.
    name: String,
    description: String,
    /// The folder of its pages, below the folder of all documentation.
    folder: String,
    is_library: bool,
}

/// The task.
pub(crate) fn run(open: bool) -> Result<()> {
    let json = output(cargo("metadata").args(["--no-deps", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&json)?;
    let folder = metadata.target_directory.join("doc");
    let crates = documented(&metadata);
    // Rustdoc links to another crate only if that crate's folder exists. So all folders are created
    // first; and since cargo removes a crate's folder before it documents the crate, the crates are
    // documented one at a time. What they depend on is compiled before, in parallel.
    for Documented { folder: name, .. } in &crates {
        std::fs::create_dir_all(folder.join(name))?;
    }
    let flags = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
    run_command(cargo("check").arg("--workspace"))?;
    run_command(
        cargo("doc")
            .args(["--workspace", "--no-deps", "--jobs", "1"])
            .env("RUSTDOCFLAGS", format!("{flags} -Dwarnings")),
    )?;
    // The tutorial's pages link to `../images` and `../../recipes`, here as in the project.
    let root = workspace_root();
    copy_files(
        &root.join("docs").join("images"),
        &folder.join("tutorial").join("images"),
    )?;
    copy_files(&root.join("recipes"), &folder.join("recipes"))?;
    let index = folder.join("index.html");
    std::fs::write(&index, index_page(&crates))?;

    let names = |libraries_alone: bool| -> Vec<&str> {
        let wanted = crates
            .iter()
            .filter(|one| one.is_library || !libraries_alone);
        wanted.map(|one| one.folder.as_str()).collect()
    };
    let problems = links::check(&folder, &names(false), &names(true))?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        return Err(format!(
            "docs: {} dead links; if they are from an earlier build, remove {} and build again",
            problems.len(),
            folder.display()
        )
        .into());
    }
    eprintln!("docs: {}", index.display());
    if open {
        run_command(&mut opener(&index))?;
    }
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// The workspace's documented crates, sorted by name.
fn documented(metadata: &Metadata) -> Vec<Documented> {
    let mut crates: Vec<Documented> = metadata
        .packages
        .iter()
        .filter_map(|package| {
            let of_kind = |kind: &str| {
                let is = |target: &&Target| target.kind.iter().any(|one| one == kind);
                package.targets.iter().find(is)
            };
            let library = of_kind("lib");
            let target = library.or_else(|| of_kind("bin"))?;
            Some(Documented {
                name: package.name.clone(),
                description: package.description.clone().unwrap_or_default(),
                folder: target.name.replace('-', "_"),
                is_library: library.is_some(),
            })
        })
        .collect();
    crates.sort_by(|one, other| one.name.cmp(&other.name));
    crates
}

/// The index page.
fn index_page(crates: &[Documented]) -> String {
    let mut rows = String::new();
    for Documented {
        name,
        description,
        folder,
        ..
    } in crates
    {
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            "<dt><a href=\"{folder}/index.html\">{}</a></dt><dd>{}</dd>",
            escaped(name),
            escaped(description)
        );
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Convoxide</title>\n\
         <style>\n:root {{ color-scheme: light dark }}\n\
         body {{ font: 1rem/1.5 sans-serif; max-width: 45rem; margin: 3rem auto; padding: 0 1rem }}\n\
         dt {{ font-weight: bold; margin-top: 0.75rem }}\ndd {{ margin: 0 }}\n</style>\n\
         <h1>Convoxide</h1>\n<p>The crates of the workspace.</p>\n<dl>\n{rows}</dl>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The command that opens a page in the user's browser.
fn opener(page: &Path) -> Command {
    let (program, first): (_, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("cmd", &["/C", "start", ""])
    } else {
        ("xdg-open", &[])
    };
    let mut command = Command::new(program);
    command.args(first).arg(page);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, kinds: &[(&str, &str)]) -> Package {
        let target = |&(name, kind): &(&str, &str)| Target {
            name: name.to_owned(),
            kind: vec![kind.to_owned()],
        };
        Package {
            name: name.to_owned(),
            description: Some("<fast> & small".to_owned()),
            targets: kinds.iter().map(target).collect(),
        }
    }

    #[test]
    fn the_first_page_lists_libraries_and_programs() {
        let metadata = Metadata {
            packages: vec![
                package("the-program", &[("cli", "test"), ("the-program", "bin")]),
                package("a-library", &[("a_library", "lib"), ("x", "bench")]),
                package("tests-alone", &[("x", "test")]),
            ],
            target_directory: PathBuf::new(),
        };
        let crates = documented(&metadata);
        let folders: Vec<&str> = crates.iter().map(|one| one.folder.as_str()).collect();
        assert_eq!(folders, ["a_library", "the_program"]);
        assert!(crates[0].is_library && !crates[1].is_library);
        let page = index_page(&crates);
        assert!(page.contains(
            "<a href=\"the_program/index.html\">the-program</a></dt><dd>&lt;fast&gt; &amp; small</dd>"
        ));
    }
}
