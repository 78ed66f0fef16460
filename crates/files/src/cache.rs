//! The folder of fetched files.
//!
//! A non-empty `CONVOXIDE_HOME` names the folder itself. Otherwise it is the folder `convoxide`
//! in the user's cache folder: `$XDG_CACHE_HOME` or `~/.cache`; on macOS `~/Library/Caches`, on
//! Windows `%LOCALAPPDATA%`.

use std::ffi::OsString;
use std::path::PathBuf;

/// The environment variable that names the folder.
pub const VARIABLE: &str = "CONVOXIDE_HOME";

/// The operating systems, as far as their cache folders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    MacOs,
    Windows,
    Other,
}

/// The folder for this user on this machine, or `None` if the environment names none. It need
/// not exist.
#[must_use]
pub fn home() -> Option<PathBuf> {
    let system = if cfg!(target_os = "macos") {
        System::MacOs
    } else if cfg!(windows) {
        System::Windows
    } else {
        System::Other
    };
    folder(|name| std::env::var_os(name), system)
}

/// The folder for the given environment variables and system.
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

    /// The folder that results from these variables.
    fn with(system: System, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(OsString::from(value))
        };
        let folder = folder(variable, system)?;
        Some(folder.to_string_lossy().into_owned())
    }

    #[test]
    fn the_variable_wins_everywhere_and_is_the_folder_itself() {
        for system in [System::MacOs, System::Windows, System::Other] {
            let all = [
                ("CONVOXIDE_HOME", "mine"),
                ("HOME", "/h/ada"),
                ("XDG_CACHE_HOME", "/x"),
                ("LOCALAPPDATA", "/l"),
            ];
            assert_eq!(with(system, &all).as_deref(), Some("mine"));
            assert_eq!(with(system, &[]), None);
        }
    }

    #[cfg(unix)]
    #[test]
    fn each_system_has_its_own_cache_folder() {
        let home = ("HOME", "/h/ada");
        for (system, variable, expected) in [
            (
                System::Other,
                ("CONVOXIDE_HOME", ""),
                "/h/ada/.cache/convoxide",
            ),
            (
                System::Other,
                ("XDG_CACHE_HOME", ""),
                "/h/ada/.cache/convoxide",
            ),
            // A relative path.
            (
                System::Other,
                ("XDG_CACHE_HOME", "x"),
                "/h/ada/.cache/convoxide",
            ),
            (System::Other, ("XDG_CACHE_HOME", "/x"), "/x/convoxide"),
            (
                System::MacOs,
                ("XDG_CACHE_HOME", "/x"),
                "/h/ada/Library/Caches/convoxide",
            ),
            (System::Windows, ("LOCALAPPDATA", "/l"), "/l/convoxide"),
        ] {
            let folder = with(system, &[home, variable]);
            assert_eq!(folder.as_deref(), Some(expected), "{system:?} {variable:?}");
        }
    }
}
