//! Where fetched files live.
//!
//! `CONVOXIDE_HOME` names the folder itself. Without it, it is the folder `convoxide` in the
//! user's cache folder: `$XDG_CACHE_HOME` or `~/.cache`; on macOS `~/Library/Caches`, on Windows
//! `%LOCALAPPDATA%`. The program `convoxide` follows the same rule.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::Result;

/// The variable that names the cache's folder.
pub(crate) const VARIABLE: &str = "CONVOXIDE_HOME";

/// The kinds of system whose cache folders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    MacOs,
    Windows,
    Other,
}

/// The cache's folder for this user on this machine, as an absolute path. It need not exist.
///
/// # Errors
/// The environment names no folder.
pub(crate) fn home() -> Result<PathBuf> {
    let system = if cfg!(target_os = "macos") {
        System::MacOs
    } else if cfg!(windows) {
        System::Windows
    } else {
        System::Other
    };
    let folder = folder(|name| std::env::var_os(name), system).ok_or_else(|| {
        format!("found no cache folder; set {VARIABLE} to a folder of your choice")
    })?;
    // Absolute, because programs we start may work in another folder.
    Ok(std::path::absolute(folder)?)
}

/// The rule, over the values of environment variables.
fn folder(variable: impl Fn(&str) -> Option<OsString>, system: System) -> Option<PathBuf> {
    let path = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
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

    fn with(variables: &[(&str, &str)], system: System) -> Option<PathBuf> {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        };
        folder(variable, system)
    }

    fn path(text: &str) -> Option<PathBuf> {
        Some(PathBuf::from(text))
    }

    #[test]
    fn the_variable_wins_everywhere_and_is_the_folder_itself() {
        for system in [System::MacOs, System::Windows, System::Other] {
            let variables = [
                ("CONVOXIDE_HOME", "mine"),
                ("HOME", "/h/ada"),
                ("XDG_CACHE_HOME", "/x"),
                ("LOCALAPPDATA", "/l"),
            ];
            assert_eq!(with(&variables, system), path("mine"));
        }
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variables = [
            ("CONVOXIDE_HOME", ""),
            ("XDG_CACHE_HOME", ""),
            ("HOME", "/h/ada"),
        ];
        assert_eq!(
            with(&variables, System::Other),
            path("/h/ada/.cache/convoxide")
        );
    }

    #[test]
    fn each_system_has_its_own_cache_folder() {
        let home = [("HOME", "/h/ada")];
        assert_eq!(with(&home, System::Other), path("/h/ada/.cache/convoxide"));
        assert_eq!(
            with(&home, System::MacOs),
            path("/h/ada/Library/Caches/convoxide")
        );
        let local = [("LOCALAPPDATA", "/h/ada/AppData/Local")];
        assert_eq!(
            with(&local, System::Windows),
            path("/h/ada/AppData/Local/convoxide")
        );
    }

    #[test]
    fn a_relative_xdg_folder_is_ignored() {
        let variables = [("XDG_CACHE_HOME", "caches"), ("HOME", "/h/ada")];
        assert_eq!(
            with(&variables, System::Other),
            path("/h/ada/.cache/convoxide")
        );
        let variables = [("XDG_CACHE_HOME", "/caches"), ("HOME", "/h/ada")];
        assert_eq!(with(&variables, System::Other), path("/caches/convoxide"));
    }

    #[test]
    fn without_any_variable_there_is_no_folder() {
        for system in [System::MacOs, System::Windows, System::Other] {
            assert_eq!(with(&[], system), None);
        }
    }
}
