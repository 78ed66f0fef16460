//! Extracting known files from an archive; nothing else in it is written anywhere.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use flate2::read::GzDecoder;

use super::known::{Archive, KnownFile};
use super::store::store;
use crate::Result;

/// Puts the wanted files of an archive into the cache.
///
/// # Errors
/// The archive cannot be read, lacks a file, or has another file under its name.
pub(crate) fn unpack(path: &Path, kind: Archive, wanted: &[&KnownFile], home: &Path) -> Result<()> {
    let file = BufReader::new(File::open(path)?);
    match kind {
        Archive::Sdist => unpack_tar_gz(file, wanted, home),
        Archive::Wheel => unpack_zip(file, wanted, home),
    }
}

fn unpack_tar_gz(file: BufReader<File>, wanted: &[&KnownFile], home: &Path) -> Result<()> {
    let mut left = wanted.to_vec();
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?;
        let Some(at) = left
            .iter()
            .position(|known| Path::new(known.member) == path)
        else {
            continue;
        };
        store(home, left.swap_remove(at), &mut entry)?;
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(left
        .first()
        .map_or_else(|| "no file was requested".into(), |known| lacks(known))
        .into())
}

fn unpack_zip(file: BufReader<File>, wanted: &[&KnownFile], home: &Path) -> Result<()> {
    let mut archive = zip::ZipArchive::new(file)?;
    for known in wanted {
        let mut member = archive.by_name(known.member).map_err(|error| match error {
            zip::result::ZipError::FileNotFound => lacks(known),
            other => other.to_string(),
        })?;
        store(home, known, &mut member)?;
    }
    Ok(())
}

fn lacks(known: &KnownFile) -> String {
    format!("the package does not contain {}", known.member)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::fetch::store::{State, state};

    const HELLO: KnownFile = KnownFile {
        path: "hello.txt",
        member: "package/hello.txt",
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        bytes: 5,
    };

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
            (HELLO.member, "hello"),
            ("z/hello.txt", "no"),
        ];
        for (path, kind) in archives(folder.path(), &members) {
            let home = tempfile::tempdir().unwrap();
            unpack(&path, kind, &[&HELLO], home.path()).unwrap();
            assert_eq!(state(home.path(), &HELLO).unwrap(), State::Good);
            assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_missing_member_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (path, kind) in archives(folder.path(), &[("package/other.txt", "hello")]) {
            let error = unpack(&path, kind, &[&HELLO], folder.path()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the package does not contain package/hello.txt"
            );
        }
    }

    #[test]
    fn another_content_under_the_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (path, kind) in archives(folder.path(), &[(HELLO.member, "hullo")]) {
            let error = unpack(&path, kind, &[&HELLO], folder.path()).unwrap_err();
            assert!(error.to_string().contains("wrong SHA-256"), "{error}");
            assert_eq!(state(folder.path(), &HELLO).unwrap(), State::Missing);
        }
    }
}
