//! `cargo xtask tidy`: the project's rules that the compiler does not check.
//!
//! Each check is a small function from text (or cargo's metadata) to the problems in it.
//! `docs/style.md` states the reason for each rule.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::process::{cargo, output, workspace_root};

mod crates;
mod documents;
mod licences;
mod machine;
mod prose;
mod rust;

use crates::Metadata;

/// The size of the largest permitted file.
const MOST_BYTES: u64 = 1 << 20;

/// A file of the project, as git lists it.
struct TrackedFile {
    /// Relative to the workspace's folder, with `/` as the separator.
    path: String,
    bytes: u64,
    /// `None` if it is not UTF-8 or too large to be read.
    text: Option<String>,
}

/// The files that quote the phrases that `prose` forbids.
const QUOTES_PHRASES: [&str; 2] = ["docs/style.md", "xtask/src/tidy/prose.rs"];

/// The task. Every problem is one line on standard error: `path:line: what is wrong`.
pub(crate) fn run() -> Result<()> {
    let root = workspace_root();
    let files = tracked_files(&root)?;
    let metadata = cargo_metadata()?;

    let mut problems = Vec::new();
    for file in &files {
        problems.extend(size(&file.path, file.bytes));
        let Some(text) = &file.text else { continue };
        problems.extend(machine::names_of_machines(&file.path, text));
        match file.path.rsplit_once('.') {
            Some((_, "rs")) => problems.extend(rust::check(&file.path, text)),
            Some((_, "md")) => problems.extend(rust::unchecked_fences(&file.path, text)),
            // The other rules for files apply to every kind of file.
            _ => continue,
        }
        if !QUOTES_PHRASES.contains(&file.path.as_str()) {
            problems.extend(prose::check(&file.path, text));
        }
    }
    problems.extend(documents::check(&files));
    problems.extend(crates::check(&metadata, |path| {
        std::fs::read_to_string(path).ok()
    }));

    for warning in files
        .iter()
        .filter_map(|file| rust::grows_long(&file.path, file.text.as_deref()?))
    {
        eprintln!("warning: {warning}");
    }
    told(&problems)?;
    eprintln!(
        "tidy: no problem in {} files and {} crates",
        files.len(),
        metadata.members().count()
    );
    Ok(())
}

/// Prints the problems. If there are any, the result is an error.
fn told(problems: &[String]) -> Result<()> {
    for problem in problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err("tidy: 1 problem".into()),
        many => Err(format!("tidy: {many} problems").into()),
    }
}

/// All files that git tracks or would add: everything that it does not ignore.
fn tracked_files(root: &Path) -> Result<Vec<TrackedFile>> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ])
    .current_dir(root);
    let listed = output(&mut git)?;
    let paths: BTreeSet<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    let mut files = Vec::new();
    for path in paths {
        // A file that was deleted from the work tree is listed until the deletion is committed.
        let Ok(metadata) = std::fs::metadata(root.join(path)) else {
            continue;
        };
        if !metadata.is_file() {
            continue;
        }
        let bytes = metadata.len();
        let text = if bytes > MOST_BYTES {
            None
        } else {
            String::from_utf8(std::fs::read(root.join(path))?).ok()
        };
        files.push(TrackedFile {
            path: path.to_owned(),
            bytes,
            text,
        });
    }
    Ok(files)
}

fn cargo_metadata() -> Result<Metadata> {
    let json = output(cargo("metadata").args(["--format-version", "1"]))?;
    Ok(serde_json::from_str(&json)?)
}

fn size(path: &str, bytes: u64) -> Option<String> {
    (bytes > MOST_BYTES).then(|| format!("{path}: {bytes} bytes; the limit is {MOST_BYTES}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mebibyte_is_the_most() {
        assert_eq!(size("a.png", 1 << 20), None);
        assert!(
            size("a.png", (1 << 20) + 1)
                .unwrap()
                .starts_with("a.png: 1048577 bytes")
        );
    }

    #[test]
    fn the_projects_own_files_are_listed_once() {
        let files = tracked_files(&workspace_root()).unwrap();
        let me: Vec<_> = files
            .iter()
            .filter(|file| file.path == "xtask/src/tidy.rs")
            .collect();
        assert_eq!(me.len(), 1);
        assert!(me[0].text.as_ref().unwrap().contains("cargo xtask tidy"));
    }
}
