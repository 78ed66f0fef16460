//! The example `first_network`: it learns, and it is as short as the README says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;

thread_local! {
    /// What the example has printed so far.
    static PRINTED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Replaces the standard library's macro in the module below.
macro_rules! println {
    ($($part:tt)*) => {{
        let line = format!($($part)*) + "\n";
        crate::PRINTED.with_borrow_mut(|printed| *printed += &line)
    }};
}

#[path = "../examples/first_network.rs"]
mod first_network;

const SOURCE: &str = include_str!("../examples/first_network.rs");

/// The lines that are neither blank nor a comment.
fn lines(source: &str) -> Vec<&str> {
    let lines = source.lines().map(str::trim_end);
    lines
        .filter(|line| !line.is_empty() && !line.trim_start().starts_with("//"))
        .collect()
}

#[test]
fn it_tells_most_new_shapes_apart() {
    first_network::main().unwrap();
    let printed = PRINTED.take();
    let share = printed.strip_suffix(" right\n").unwrap();
    // One in eight would be right by guessing.
    let share: f64 = share.parse().unwrap();
    assert!((0.6..=1.0).contains(&share), "{printed}");
}

#[test]
fn it_takes_under_25_lines_and_two_crates() {
    let lines = lines(SOURCE);
    assert!(lines.len() < 25, "{} lines", lines.len());
    // A crate is named in a `use` or in a path: in lower case, before the first `::`, and not `std`.
    let mut crates: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')))
        .filter_map(|path| Some(path.split_once("::")?.0))
        .filter(|first| first.starts_with(|c: char| c.is_ascii_lowercase()) && *first != "std")
        .collect();
    crates.sort_unstable();
    crates.dedup();
    assert_eq!(crates, ["engine", "image_data"]);
}

/// The README and the tutorial show the example as it is, except for the visibility that this test
/// needs.
#[test]
fn the_documents_show_the_same_program() {
    let expected = lines(SOURCE)
        .join("\n")
        .replace("pub(crate) fn main", "fn main");
    for (name, page) in [
        ("README.md", include_str!("../../../README.md")),
        (
            "docs/tutorial/10-first-training.md",
            include_str!("../../../docs/tutorial/10-first-training.md"),
        ),
    ] {
        let shown = page
            .split("```")
            .any(|block| lines(block).join("\n").ends_with(&expected));
        assert!(
            shown,
            "{name} does not show examples/first_network.rs as it is"
        );
    }
}
