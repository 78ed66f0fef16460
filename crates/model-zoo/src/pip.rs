//! Downloading a package by name with the ordinary `pip` client.
//!
//! `pip` rejects an archive whose SHA-256 is not the pinned one. No code of the package is run. A wheel
//! has none to run. For a source package, `pip` asks the package's build system for metadata before it
//! saves the file, and the usual build system (setuptools) obtains the metadata by running the package's
//! `setup.py`. So `pip` is given our own stand-in for it, which answers instead (through the interface of
//! PEP 517). This also saves downloading setuptools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::download::{Archive, Package};
use crate::error::{Error, Result};
use crate::store::create_folder;

/// The stand-in for `setuptools.build_meta`, which takes its answers from two environment variables.
const STAND_IN: &str = include_str!("build_meta.py");

const DOWNLOAD: &str = "download --no-deps --require-hashes --no-input --retries 2 \
                        --disable-pip-version-check --progress-bar off";

/// Without isolation, the build system is the module of that name that Python finds first.
const SDIST: &str = "--no-binary :all: --use-pep517 --no-build-isolation";

/// The same wheel on every system.
const WHEEL: &str = "--only-binary :all: --platform manylinux_2_28_x86_64 \
                     --implementation cp --python-version 3.11 --abi cp311";

/// The folder that `pip` writes the archive to.
const DESTINATION: &str = "download";

/// Downloads a package's archive into an empty folder and returns its path. `words` start `pip`; if
/// there are none, the usual ways are tried.
///
/// # Errors
///
/// There is no `pip`, the package index cannot be reached, or the archive is not the pinned one.
pub(crate) fn download(package: &Package, folder: &Path, words: &[OsString]) -> Result<PathBuf> {
    run(command(package, folder, words)?, package, folder)
}

/// The command that downloads a package's archive, and the files that the command needs.
fn command(package: &Package, folder: &Path, words: &[OsString]) -> Result<Command> {
    let requirement = package.requirement;
    let sha256 = package.sha256;
    let requirements = folder.join("requirements.txt");
    let pinned = format!("{requirement} --hash=sha256:{sha256}\n");
    write(&requirements, &pinned)?;

    let mut pip = find(words)?;
    pip.args(DOWNLOAD.split_whitespace())
        .arg("--dest")
        .arg(folder.join(DESTINATION))
        .arg("--requirement")
        .arg(&requirements);
    match package.archive {
        Archive::Wheel => pip.args(WHEEL.split_whitespace()),
        Archive::Sdist => {
            let modules = folder.join("stand-in");
            let setuptools = modules.join("setuptools");
            create_folder(&setuptools)?;
            write(&setuptools.join("__init__.py"), "")?;
            write(&setuptools.join("build_meta.py"), STAND_IN)?;
            let (name, version) = requirement.split_once("==").unwrap_or((requirement, ""));
            pip.args(SDIST.split_whitespace())
                .env("PYTHONPATH", python_path(modules)?)
                .env("STAND_IN_NAME", name)
                .env("STAND_IN_VERSION", version)
        }
    };
    Ok(pip)
}

/// Runs the command and returns the path of the archive that it downloaded.
fn run(mut pip: Command, package: &Package, folder: &Path) -> Result<PathBuf> {
    let requirement = package.requirement;
    let output = pip.output().map_err(cannot_start)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(explain(&said, requirement));
    }
    let archive = std::fs::read_dir(folder.join(DESTINATION))
        .and_then(|mut entries| entries.next().transpose());
    match archive {
        Ok(Some(archive)) => Ok(archive.path()),
        Ok(None) | Err(_) => Err(Error::Pip {
            requirement,
            reason: "it left no archive".to_owned(),
        }),
    }
}

fn cannot_start(error: std::io::Error) -> Error {
    let program = "pip";
    Error::CannotStart { program, error }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| Error::CannotWrite {
        path: path.to_owned(),
        error: error.into(),
    })
}

/// The first way of starting `pip` that works on this machine.
fn find(words: &[OsString]) -> Result<Command> {
    const WAYS: [&[&str]; 4] = [
        &["python3", "-m", "pip"],
        &["python", "-m", "pip"],
        &["pip3"],
        &["pip"],
    ];
    let usual = WAYS.map(|way| way.iter().map(OsString::from).collect::<Vec<_>>());
    let ways = match words {
        [] => usual.as_slice(),
        words => &[words.to_vec()],
    };
    for way in ways {
        let pip = || {
            let mut command = Command::new(&way[0]);
            command.args(&way[1..]);
            command
        };
        if pip()
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
        {
            return Ok(pip());
        }
    }
    Err(Error::NoPip)
}

/// A `PYTHONPATH` with our modules before the user's own.
fn python_path(modules: PathBuf) -> Result<OsString> {
    let rest = std::env::var_os("PYTHONPATH").filter(|path| !path.is_empty());
    let rest: Vec<PathBuf> = rest.iter().flat_map(std::env::split_paths).collect();
    std::env::join_paths(std::iter::once(modules).chain(rest))
        .map_err(|error| cannot_start(std::io::Error::other(error)))
}

/// The reason why `pip` failed, based on its standard error.
fn explain(said: &str, requirement: &'static str) -> Error {
    let has = |marks: &[&str]| marks.iter().any(|mark| said.contains(mark));
    if has(&["DO NOT MATCH THE HASHES"]) {
        Error::WrongArchive { requirement }
    } else if has(&["No space left"]) {
        Error::PipOutOfSpace { requirement }
    } else if has(&[
        "Retrying (",
        "ConnectionError",
        "ConnectTimeout",
        "ReadTimeout",
        "ProxyError",
        "SSLError",
    ]) {
        Error::IndexUnreachable { requirement }
    } else if has(&["No matching distribution found"]) {
        Error::NotInIndex { requirement }
    } else {
        let said = said.trim();
        let error = |line: &str| {
            let (mark, reason) = line.split_once(": ")?;
            mark.eq_ignore_ascii_case("error")
                .then(|| reason.to_owned())
        };
        let reason = said.lines().rev().find_map(error);
        let reason = reason.or_else(|| said.lines().last().map(str::to_owned));
        let reason = reason.unwrap_or_else(|| "it gave no reason".to_owned());
        Error::Pip {
            requirement,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// A source package whose setup.py would leave a file named `ran` beside the archive.
    fn hostile_package(index: &Path) -> Package {
        let setup = format!(
            "open({:?}, 'w').write('it ran')\n\
             from setuptools import setup\n\
             setup(name='hostile', version='1.0')\n",
            index.join("ran")
        );
        let archive = index.join("hostile-1.0.tar.gz");
        let file = std::fs::File::create(&archive).unwrap();
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            file,
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(setup.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "hostile-1.0/setup.py", setup.as_bytes())
            .unwrap();
        tar.into_inner().unwrap().finish().unwrap();

        let digest = Sha256::digest(std::fs::read(&archive).unwrap());
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Package {
            requirement: "hostile==1.0",
            archive: Archive::Sdist,
            sha256: sha256.leak(),
            bytes: 0,
        }
    }

    /// Downloads with `pip` from a folder instead of the network; `None` where there is no `pip`.
    fn download_from(index: &Path, package: &Package) -> Option<Result<PathBuf>> {
        if find(&[]).is_err() {
            eprintln!("skipped: there is no pip");
            return None;
        }
        let folder = index.join("scratch");
        std::fs::create_dir_all(&folder).unwrap();
        let mut pip = command(package, &folder, &[]).unwrap();
        pip.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", index);
        Some(run(pip, package, &folder))
    }

    #[test]
    fn a_package_is_downloaded_and_none_of_its_code_runs() {
        let index = tempfile::tempdir().unwrap();
        let package = hostile_package(index.path());
        let Some(downloaded) = download_from(index.path(), &package) else {
            return;
        };
        assert!(!index.path().join("ran").exists(), "setup.py ran");
        assert_eq!(
            downloaded.unwrap().file_name().unwrap(),
            "hostile-1.0.tar.gz"
        );
    }

    #[test]
    fn a_package_with_another_hash_is_refused() {
        let index = tempfile::tempdir().unwrap();
        let package = Package {
            sha256: "0000000000000000000000000000000000000000000000000000000000000000",
            ..hostile_package(index.path())
        };
        let Some(downloaded) = download_from(index.path(), &package) else {
            return;
        };
        let error = downloaded.unwrap_err();
        assert!(matches!(error, Error::WrongArchive { .. }), "{error}");
        assert!(!index.path().join("ran").exists(), "setup.py ran");
    }

    #[test]
    fn a_wrong_hash_is_told_from_a_network_that_is_down() {
        let hash = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. ...\n\
                    Expected sha256 3b9c\n     Got        0000";
        let error = explain(hash, "a==1");
        assert!(matches!(error, Error::WrongArchive { .. }), "{error}");
        // Without a network, pip also ends with the message for a package that does not exist.
        let network = "WARNING: Retrying (Retry(total=1, connect=None)) after connection broken\n\
                       ERROR: Could not find a version that satisfies the requirement a==1\n\
                       ERROR: No matching distribution found for a==1";
        let error = explain(network, "a==1");
        assert!(matches!(error, Error::IndexUnreachable { .. }), "{error}");
        let missing = "ERROR: No matching distribution found for a==1";
        let error = explain(missing, "a==1");
        assert!(matches!(error, Error::NotInIndex { .. }), "{error}");
        let disk = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left";
        let error = explain(disk, "a==1");
        assert!(matches!(error, Error::PipOutOfSpace { .. }), "{error}");
    }

    #[test]
    fn any_other_failure_gives_pips_last_error() {
        let said = "ERROR: first\nerror: no such option: --dest\nhint: see --help\n";
        assert_eq!(
            explain(said, "a==1").to_string(),
            "pip could not download a==1: no such option: --dest"
        );
        let error = explain("", "a==1").to_string();
        assert!(error.ends_with("it gave no reason"), "{error}");
    }
}
