//! Rules for single Rust files.

/// Where `unsafe` is allowed: the modules for which [`LIFTS_THE_LINT`] lifts the lint that denies it.
/// `docs/architecture.md` has the same list.
pub(super) const UNSAFE_ALLOWED_IN: [&str; 2] =
    ["crates/conv-core/src/blocked", "crates/conv-core/src/simd"];

/// The one file that allows `unsafe` to modules. The workspace's lints deny it, and every other
/// crate forbids it.
const LIFTS_THE_LINT: &str = "crates/conv-core/src/lib.rs";

/// The number of lines that no file may exceed.
const MOST_LINES: usize = 700;
/// The number of lines above which a file gets a warning.
const MANY_LINES: usize = 500;

/// All problems of a Rust file.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut problems = unchecked_fences(path, text);
    problems.extend(has_no_introduction(path, text));
    problems.extend(is_too_long(path, text));
    problems.extend(forbidden_unsafe(path, text));
    problems
}

/// A file that does not start by saying what it is about.
fn has_no_introduction(path: &str, text: &str) -> Option<String> {
    (!text.starts_with("//!"))
        .then(|| format!("{path}:1: must start with `//!` and say what the file is about"))
}

/// Documentation examples that would not be compiled or run, in comments and in Markdown.
pub(super) fn unchecked_fences(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let line = if path.ends_with(".rs") {
            let Some(comment) = line
                .strip_prefix("///")
                .or_else(|| line.strip_prefix("//!"))
            else {
                continue;
            };
            comment.trim_start()
        } else {
            line
        };
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let mut marks = info.split([',', ' ', '{', '}']);
        if let Some(mark) = marks.find(|mark| *mark == "no_run" || mark.starts_with("ignore")) {
            problems.push(format!(
                "{path}:{number}: the example is `{mark}`; let it compile and run, or mark it \
                 `text`"
            ));
        }
    }
    problems
}

/// A file that probably contains two concepts.
fn is_too_long(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MOST_LINES).then(|| {
        format!("{path}: {lines} lines; the limit is {MOST_LINES}: give each concept its own file")
    })
}

/// A file that is approaching that limit; a hint, not a problem.
pub(super) fn grows_long(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (path.ends_with(".rs") && lines > MANY_LINES && lines <= MOST_LINES)
        .then(|| format!("{path}: {lines} lines; most files have fewer than {MANY_LINES}"))
}

/// Modules that lift the lint against `unsafe` without being allowed to.
fn forbidden_unsafe(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        let lifts = ["#[expect(", "#![expect(", "#[allow(", "#![allow("]
            .iter()
            .filter_map(|start| line.strip_prefix(start))
            .any(|rest| rest.starts_with("unsafe_code"))
            || line == "unsafe_code,";
        if !lifts {
            continue;
        }
        // What the attribute belongs to.
        let item = lines
            .clone()
            .find_map(|(_, line)| line.trim_start_matches("pub ").strip_prefix("mod "));
        let module = item.map(|item| item.trim_end_matches(';'));
        let may = path == LIFTS_THE_LINT
            && module.is_some_and(|module| {
                let folder = format!("crates/conv-core/src/{module}");
                UNSAFE_ALLOWED_IN.contains(&folder.as_str())
            });
        if !may {
            problems.push(format!(
                "{path}:{number}: only {LIFTS_THE_LINT} may allow `unsafe`, and only in {}",
                UNSAFE_ALLOWED_IN.join(", ")
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_introduces_itself() {
        assert_eq!(has_no_introduction("a.rs", "//! What it is.\n"), None);
        for text in [
            "",
            "use std::io;\n//! Late.\n",
            "// Not a doc comment.\n",
            "/// An item's.\n",
        ] {
            assert!(has_no_introduction("a.rs", text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn examples_have_to_run() {
        let bad =
            "//! ```ignore\n    /// ```rust,no_run\n/// ```ignore-wasm32\n/// ``` {.rust .no_run}";
        let lines: Vec<String> = unchecked_fences("a.rs", bad)
            .iter()
            .map(|problem| problem.split_whitespace().next().unwrap().to_owned())
            .collect();
        assert_eq!(lines, ["a.rs:1:", "a.rs:2:", "a.rs:3:"]);
        let good = "//! ```\n/// ```text\n/// ```compile_fail\n/// ignore no_run\n// ```ignore\nlet a = \"```ignore\";";
        assert_eq!(unchecked_fences("a.rs", good), Vec::<String>::new());
        assert_eq!(unchecked_fences("a.md", "```rust,ignore\n```").len(), 1);
        assert_eq!(unchecked_fences("a.md", "    ```sh\n    ignore\n").len(), 0);
    }

    #[test]
    fn long_files_are_warned_of_then_refused() {
        let lines = |count: usize| "x\n".repeat(count);
        assert_eq!(grows_long("a.rs", &lines(500)), None);
        assert!(grows_long("a.rs", &lines(501)).is_some());
        assert_eq!(grows_long("a.md", &lines(501)), None);
        assert_eq!(is_too_long("a.rs", &lines(700)), None);
        assert!(
            is_too_long("a.rs", &lines(701))
                .unwrap()
                .contains("701 lines")
        );
        assert_eq!(grows_long("a.rs", &lines(701)), None);
    }

    #[test]
    fn only_the_modules_of_the_list_may_allow_unsafe() {
        let source = |module: &str| {
            let attribute = ["#[expect(\n    unsafe", "_code,\n    reason = \"fast\"\n)]"].concat();
            format!("mod a;\n{attribute}\npub mod {module};\n")
        };
        for module in ["blocked", "simd"] {
            let problems = forbidden_unsafe(LIFTS_THE_LINT, &source(module));
            assert_eq!(problems, Vec::<String>::new());
        }
        let elsewhere = forbidden_unsafe("crates/engine/src/lib.rs", &source("simd"));
        assert!(elsewhere[0].starts_with("crates/engine/src/lib.rs:3: "));
        assert_eq!(forbidden_unsafe(LIFTS_THE_LINT, &source("plain")).len(), 1);
        let whole_crate = ["#![allow(unsafe", "_code)]"].concat();
        assert_eq!(forbidden_unsafe(LIFTS_THE_LINT, &whole_crate).len(), 1);
        let forbids = ["#![forbid(unsafe", "_code)]"].concat();
        assert_eq!(forbidden_unsafe("a.rs", &forbids), Vec::<String>::new());
    }
}
