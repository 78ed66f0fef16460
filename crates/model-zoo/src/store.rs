//! Writing files into the cache, whole or not at all, and checking whether those in it are intact.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use files::whole_file;
use sha2::{Digest, Sha256};

use super::known::KnownFile;
use crate::Result;

/// The state of a known file in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Good,
    Missing,
    /// Something else is in its place: a truncated file, or another one.
    Damaged,
}

/// Reads the file in the cache and compares its length and SHA-256.
///
/// # Errors
/// The file exists but cannot be read.
pub(crate) fn state(home: &Path, known: &KnownFile) -> Result<State> {
    let path = home.join(known.path);
    let cannot_read = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::Missing),
        Err(error) => return Err(cannot_read(error).into()),
    };
    if file.metadata().map_err(cannot_read)?.len() != known.bytes {
        return Ok(State::Damaged);
    }
    let sha256 = copy_hashed(&mut file, &mut io::sink()).map_err(cannot_read)?;
    Ok(if sha256 == known.sha256 {
        State::Good
    } else {
        State::Damaged
    })
}

/// Writes a known file into the cache, after checking its content. A reader sees the whole file or
/// none.
///
/// # Errors
/// The content does not match the known hash, or cannot be written.
pub(crate) fn store(home: &Path, known: &KnownFile, content: &mut dyn Read) -> Result<()> {
    let path = home.join(known.path);
    let failed = |error: files::Error| cannot_write(&path, &error);
    create_folder(path.parent().unwrap_or(home))?;

    // One byte more than expected shows that it is another file.
    let mut content = content.take(known.bytes + 1);
    let mut sha256 = String::new();
    let prepared = whole_file::prepare::<files::Error>(&path, |file| {
        sha256 = copy_hashed(&mut content, file)?;
        Ok(())
    })
    .map_err(failed)?;
    if sha256 != known.sha256 {
        return Err(format!(
            "{} has the wrong SHA-256 ({sha256}, should be {}): nothing was kept",
            known.member, known.sha256
        )
        .into());
    }
    Ok(prepared.persist().map_err(failed)?)
}

/// Removes a known file from the cache.
pub(crate) fn remove(home: &Path, known: &KnownFile) -> Result<()> {
    let path = home.join(known.path);
    Ok(std::fs::remove_file(&path).map_err(|error| cannot_write(&path, &error))?)
}

pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    Ok(std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?)
}

/// The error for a place in the cache that cannot be written.
pub(crate) fn cannot_write(path: &Path, error: &dyn Display) -> String {
    let variable = files::cache::VARIABLE;
    format!(
        "cannot write {}: {error}; set {variable} to use another folder",
        path.display()
    )
}

/// Copies everything and returns its SHA-256 in lower-case hex digits.
fn copy_hashed(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: KnownFile = KnownFile {
        path: "greetings/hello.txt",
        member: "hello.txt",
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        bytes: 5,
    };

    #[test]
    fn sha256_is_that_of_the_standard() {
        // The first two examples of FIPS 180.
        let sha256 = |text: &str| copy_hashed(&mut text.as_bytes(), &mut io::sink()).unwrap();
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        );
    }

    #[test]
    fn what_was_stored_is_good_and_leaves_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(state(home.path(), &HELLO).unwrap(), State::Missing);
        store(home.path(), &HELLO, &mut "hello".as_bytes()).unwrap();
        assert_eq!(state(home.path(), &HELLO).unwrap(), State::Good);
        assert_eq!(
            std::fs::read_dir(home.path().join("greetings"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn another_length_and_other_content_are_damage() {
        let home = tempfile::tempdir().unwrap();
        store(home.path(), &HELLO, &mut "hello".as_bytes()).unwrap();
        for content in ["", "hell", "hello!", "jello"] {
            std::fs::write(home.path().join(HELLO.path), content).unwrap();
            assert_eq!(
                state(home.path(), &HELLO).unwrap(),
                State::Damaged,
                "{content:?}"
            );
        }
        store(home.path(), &HELLO, &mut "hello".as_bytes()).unwrap();
        assert_eq!(state(home.path(), &HELLO).unwrap(), State::Good);
    }

    #[test]
    fn wrong_content_is_refused_and_the_old_file_stays() {
        let home = tempfile::tempdir().unwrap();
        store(home.path(), &HELLO, &mut "hello".as_bytes()).unwrap();
        for content in ["", "jello", "hello, and a great deal more"] {
            let error = store(home.path(), &HELLO, &mut content.as_bytes()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("hello.txt has the wrong SHA-256"),
                "{error}"
            );
        }
        assert_eq!(state(home.path(), &HELLO).unwrap(), State::Good);
        assert_eq!(
            std::fs::read_dir(home.path().join("greetings"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("greetings"), "a file in the way").unwrap();
        let error = store(home.path(), &HELLO, &mut "hello".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("greetings"), "{error}");
        assert!(error.to_string().contains("CONVOXIDE_HOME"), "{error}");
    }
}
