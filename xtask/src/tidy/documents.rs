//! Documents that have to agree with the project that they describe.

use std::collections::BTreeSet;

use super::TrackedFile;
use super::rust::UNSAFE_ALLOWED_IN;

/// The commands that set everything up, in a single block of the README.
const SET_UP: [&str; 2] = ["cargo xtask demo", "cargo xtask test"];

/// Documents that must exist.
const NEEDED: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/glossary.md",
    "docs/style.md",
];

/// All problems of the project's documents.
pub(super) fn check(files: &[TrackedFile]) -> Vec<String> {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let missing = NEEDED.iter().filter(|path| !paths.contains(*path));
    let mut problems: Vec<String> = missing.map(|path| format!("{path}: is missing")).collect();
    for TrackedFile { path, text, .. } in files {
        let Some(text) = text else { continue };
        // The changelog also names files that no longer exist.
        if path.ends_with(".md") && path != "CHANGELOG.md" {
            problems.extend(dead_paths(path, text, &paths));
        }
        match path.as_str() {
            "README.md" => problems.extend(set_up_is_not_two_commands(path, text)),
            "docs/architecture.md" => problems.extend(unsafe_list_differs(path, text)),
            _ => {}
        }
    }
    problems
}

/// Paths in backticks that do not exist.
fn dead_paths(document: &str, text: &str, paths: &BTreeSet<&str>) -> Vec<String> {
    let exists = |path: &str| {
        let folder = format!("{path}/");
        paths.contains(path)
            || paths
                .range(folder.as_str()..)
                .next()
                .is_some_and(|p| p.starts_with(&folder))
    };
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for path in project_paths(line) {
            if !exists(path) {
                problems.push(format!("{document}:{number}: there is no `{path}`"));
            }
        }
    }
    problems
}

/// The project's paths that a line names in backticks, without a section, item or line number that
/// follows them.
fn project_paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| {
            ["crates/", "docs/", "xtask/"]
                .iter()
                .any(|top| span.starts_with(top))
        })
        .map(|span| {
            span.split(['#', ':', ' '])
                .next()
                .unwrap_or(span)
                .trim_end_matches('/')
        })
}

/// The README must set everything up with exactly two commands.
fn set_up_is_not_two_commands(document: &str, text: &str) -> Option<String> {
    let expected = || format!("`{}` and `{}`", SET_UP[0], SET_UP[1]);
    let Some(block) = fenced_blocks(text)
        .into_iter()
        .find(|block| block.contains(SET_UP[0]))
    else {
        return Some(format!(
            "{document}: has no block with the commands {}",
            expected()
        ));
    };
    let commands: Vec<&str> = block
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .map(|line| line.strip_prefix("$ ").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .collect();
    (commands != SET_UP).then(|| {
        format!(
            "{document}: the set-up block must contain exactly {}, not {commands:?}",
            expected()
        )
    })
}

/// The contents of the fenced blocks of a Markdown text.
fn fenced_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            match open.take() {
                Some(block) => blocks.push(block),
                None => open = Some(String::new()),
            }
        } else if let Some(block) = &mut open {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// The paragraph on `unsafe` must name exactly the folders that this program allows.
fn unsafe_list_differs(document: &str, text: &str) -> Option<String> {
    const START: &str = "`unsafe` is allowed only in";
    let allowed = UNSAFE_ALLOWED_IN
        .map(|folder| format!("`{folder}`"))
        .join(", ");
    let Some(at) = text.find(START) else {
        return Some(format!(
            "{document}: has no paragraph \"{START} {allowed}\""
        ));
    };
    let paragraph = text[at..]
        .lines()
        .take_while(|line| !line.trim().is_empty());
    let named: BTreeSet<&str> = paragraph
        .flat_map(project_paths)
        .filter(|path| path.contains("/src/"))
        .collect();
    (named != BTreeSet::from(UNSAFE_ALLOWED_IN))
        .then(|| format!("{document}: says \"{START}\" {named:?}, but tidy allows {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_backticks_must_exist() {
        let paths = BTreeSet::from(["crates/a/src/lib.rs", "crates/a-b/x", "docs/a.md"]);
        let text = "See `crates/a`, `crates/a/src/`, `crates/a/src/lib.rs::f`, `docs/a.md#top`.\n\
                    Words like `x/y`, crates/none and `a` are no paths of ours.";
        assert_eq!(dead_paths("d.md", text, &paths), Vec::<String>::new());
        let text = "Fine: `docs/a.md`.\nDead: `crates/b/src/lib.rs` and `docs/a`.";
        assert_eq!(
            dead_paths("d.md", text, &paths),
            [
                "d.md:2: there is no `crates/b/src/lib.rs`",
                "d.md:2: there is no `docs/a`"
            ]
        );
    }

    #[test]
    fn the_readme_sets_up_with_two_commands() {
        let good = "# A\n\n```text\nother\n```\n\n```sh\n$ cargo xtask demo   # boxes\n\ncargo xtask test\n```\n";
        assert_eq!(set_up_is_not_two_commands("README.md", good), None);
        for bad in [
            "No block: cargo xtask demo, cargo xtask test",
            "```sh\ncargo xtask demo\n```\n```sh\ncargo xtask test\n```",
            "```sh\ngit clone x\ncargo xtask demo\ncargo xtask test\n```",
            "```sh\ncargo xtask test\ncargo xtask demo\n```",
        ] {
            assert!(
                set_up_is_not_two_commands("README.md", bad).is_some(),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_list_of_unsafe_folders_is_the_same() {
        let list = UNSAFE_ALLOWED_IN
            .map(|folder| format!("`{folder}/`"))
            .join("\nand ");
        let good = format!(
            "- `unsafe` is allowed only in {list} (see `docs/style.md`).\n\n`crates/x/src/y`"
        );
        assert_eq!(unsafe_list_differs("a.md", &good), None);
        let more = format!("`unsafe` is allowed only in {list}, `crates/engine/src/arena`.");
        assert!(
            unsafe_list_differs("a.md", &more)
                .unwrap()
                .contains("arena")
        );
        assert!(unsafe_list_differs("a.md", "`unsafe` is allowed only in `crates/x`.").is_some());
        assert!(unsafe_list_differs("a.md", "nothing about it").is_some());
    }

    #[test]
    fn needed_documents_are_missed() {
        let problems = check(&[]);
        assert_eq!(problems.len(), NEEDED.len());
        assert!(problems.contains(&"docs/glossary.md: is missing".to_owned()));
    }
}
