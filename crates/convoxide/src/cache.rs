//! Where fetched files live.
//!
//! A non-empty `CONVOXIDE_HOME` names the folder itself. Without it, it is the folder `convoxide`
//! in the user's cache folder: `$XDG_CACHE_HOME` or `~/.cache`; on macOS `~/Library/Caches`, on
//! Windows `%LOCALAPPDATA%`.
//!
//! `xtask`, which fetches the files, has the same rule in its `fetch/cache.rs`: it depends on no
//! crate of ours, so that it builds in seconds.

use std::ffi::OsString;
use std::path::PathBuf;

/// The variable that names the folder.
pub(crate) const VARIABLE: &str = "CONVOXIDE_HOME";

/// The kinds of system whose cache folders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    MacOs,
    Windows,
    Other,
}

/// The folder for this user on this machine, or none where the environment names none.
pub(crate) fn home() -> Option<PathBuf> {
    let system = if cfg!(target_os = "macos") {
        System::MacOs
    } else if cfg!(windows) {
        System::Windows
    } else {
        System::Other
    };
    folder(|name| std::env::var_os(name), system)
}

/// The rule, over the values of environment variables.
fn folder(variable: impl Fn(&str) -> Option<OsString>, system: System) -> Option<PathBuf> {
    let path = |name: &str| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    if let Some(home) = path(VARIABLE) {
        return Some(home);
    }
    let caches = match system {
        System::MacOs => path("HOME")?.join("Library").join("Caches"),
        System::Windows => path("LOCALAPPDATA")?,
        // The XDG specification says to ignore a relative path.
        System::Other => match path("XDG_CACHE_HOME").filter(|path| path.has_root()) {
            Some(caches) => caches,
            None => path("HOME")?.join(".cache"),
        },
    };
    Some(caches.join("convoxide"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_in_all_its_cases() {
        use System::{MacOs, Other, Windows};
        let home = ("HOME", "/h/ada");
        let table: [(&[(&str, &str)], System, Option<&str>); 10] = [
            (&[("CONVOXIDE_HOME", "mine"), home], MacOs, Some("mine")),
            (&[("CONVOXIDE_HOME", "mine"), home], Windows, Some("mine")),
            (
                &[("CONVOXIDE_HOME", "mine"), ("XDG_CACHE_HOME", "/x")],
                Other,
                Some("mine"),
            ),
            (
                &[("CONVOXIDE_HOME", ""), home],
                Other,
                Some("/h/ada/.cache/convoxide"),
            ),
            (
                &[("XDG_CACHE_HOME", "/x"), home],
                Other,
                Some("/x/convoxide"),
            ),
            (
                &[("XDG_CACHE_HOME", ""), home],
                Other,
                Some("/h/ada/.cache/convoxide"),
            ),
            (
                &[("XDG_CACHE_HOME", "x"), home],
                Other,
                Some("/h/ada/.cache/convoxide"),
            ),
            (
                &[("XDG_CACHE_HOME", "/x"), home],
                MacOs,
                Some("/h/ada/Library/Caches/convoxide"),
            ),
            (
                &[("LOCALAPPDATA", "/local"), home],
                Windows,
                Some("/local/convoxide"),
            ),
            (&[("LOCALAPPDATA", "/local")], Other, None),
        ];
        for (variables, system, expected) in table {
            let variable = |name: &str| {
                let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
                Some(OsString::from(value))
            };
            assert_eq!(
                folder(variable, system),
                expected.map(PathBuf::from),
                "{variables:?} on {system:?}"
            );
        }
    }
}
