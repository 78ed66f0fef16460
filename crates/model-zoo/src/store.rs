//! Writing files into the cache, whole or not at all, and checking whether those in it are intact.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use files::{Kind, whole_file};
use sha2::{Digest, Sha256};

use crate::download::{KnownFile, State};
use crate::error::{Error, Result};
use crate::fetch::FetchedFile;

/// The state of a file in the cache by its length alone, without reading it.
pub(crate) fn state(home: &Path, file: &KnownFile) -> State {
    match std::fs::metadata(file.place(home)) {
        Ok(found) if found.is_file() && file.check.lengths().contains(&found.len()) => State::Good,
        Err(error) if error.kind() == ErrorKind::NotFound => State::Missing,
        Ok(_) | Err(_) => State::Damaged,
    }
}

/// The state of a file in the cache by its content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Good(FetchedFile),
    Missing,
    /// Something else is in its place: a truncated file, or another one.
    Damaged,
}

/// Reads a file in the cache and compares its length and SHA-256.
///
/// # Errors
///
/// The file exists but cannot be read.
pub(crate) fn inspect(home: &Path, file: &KnownFile) -> Result<Content> {
    let path = file.place(home);
    let cannot_read = |error: files::Error| Error::CannotRead {
        path: path.clone(),
        error,
    };
    let (mut content, bytes) = match files::open(&path) {
        Ok(opened) => opened,
        Err(files::Error::Io(error)) if error.kind() == ErrorKind::NotFound => {
            return Ok(Content::Missing);
        }
        Err(error) => return Err(cannot_read(error)),
    };
    if !file.check.lengths().contains(&bytes) {
        return Ok(Content::Damaged);
    }
    let mut hash = Sha256::new();
    let hashed = in_parts(&mut content, |part| {
        hash.update(part);
        Ok::<_, files::Error>(())
    });
    hashed.map_err(cannot_read)?;
    let sha256 = hex(hash);
    if !sha256.starts_with(file.check.sha256()) {
        return Ok(Content::Damaged);
    }
    Ok(Content::Good(FetchedFile {
        path,
        role: file.role,
        bytes,
        sha256,
        is_new: false,
    }))
}

/// Why the content of a file was not received to its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The source failed.
    Source(io::Error),
    /// The content is wrong, or the disk failed.
    Refused(Error),
}

/// A file that was received to its end, still under its temporary name. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Received {
    prepared: whole_file::Prepared,
    sha256: String,
    bytes: u64,
}

/// Writes the content of a file under a temporary name in the cache. Reading stops at content that is
/// too long or of another kind. `progress` is told the number of bytes so far.
pub(crate) fn receive(
    home: &Path,
    file: &KnownFile,
    content: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
) -> Result<Received, Stopped> {
    let path = file.place(home);
    create_folder(path.parent().unwrap_or(home)).map_err(Stopped::Refused)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let prepared = whole_file::prepare::<Interruption>(&path, |target| {
        let mut start = Vec::new();
        let mut first = (&mut *content).take(Kind::LOOKED_AT as u64);
        first.read_to_end(&mut start)?;
        if let Some(kind @ (Kind::Html | Kind::GitLfsPointer)) = Kind::of(&start) {
            let from = file.from;
            return Err(Interruption::Refused(Error::WrongKind { from, kind }));
        }
        in_parts(&mut start.as_slice().chain(content), |part| {
            hash.update(part);
            target.write_all(part).map_err(files::Error::Io)?;
            bytes += part.len() as u64;
            if bytes > *file.check.lengths().end() {
                return Err(Interruption::Refused(wrong_length(file, bytes, true)));
            }
            progress(bytes);
            Ok(())
        })
    });
    let prepared = prepared.map_err(|interruption| match interruption {
        Interruption::Source(error) => Stopped::Source(error),
        Interruption::Refused(error) => Stopped::Refused(error),
        Interruption::Disk(error) => Stopped::Refused(Error::CannotWrite { path, error }),
    })?;
    Ok(Received {
        prepared,
        sha256: hex(hash),
        bytes,
    })
}

impl Received {
    /// Checks length and SHA-256, and gives the file its name. On an error, a file that has the name
    /// stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::WrongKind`] if it is empty, [`Error::WrongLength`], [`Error::WrongHash`], and
    /// [`Error::CannotWrite`].
    pub(crate) fn keep(self, home: &Path, file: &KnownFile) -> Result<FetchedFile> {
        let Self {
            prepared,
            sha256,
            bytes,
        } = self;
        let from = file.from;
        if bytes == 0 {
            let kind = Kind::Empty;
            return Err(Error::WrongKind { from, kind });
        }
        if !file.check.lengths().contains(&bytes) {
            return Err(wrong_length(file, bytes, false));
        }
        let expected = file.check.sha256();
        if !sha256.starts_with(expected) {
            return Err(Error::WrongHash {
                from,
                expected,
                got: sha256,
            });
        }
        let path = file.place(home);
        if let Err(error) = prepared.persist() {
            return Err(Error::CannotWrite { path, error });
        }
        Ok(FetchedFile {
            path,
            role: file.role,
            bytes,
            sha256,
            is_new: true,
        })
    }
}

/// Why writing a file was given up.
enum Interruption {
    Source(io::Error),
    Refused(Error),
    Disk(files::Error),
}

impl From<files::Error> for Interruption {
    fn from(error: files::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<io::Error> for Interruption {
    fn from(error: io::Error) -> Self {
        Self::Source(error)
    }
}

fn wrong_length(file: &KnownFile, got: u64, or_more: bool) -> Error {
    Error::WrongLength {
        from: file.from,
        expected: file.check.lengths(),
        got,
        or_more,
    }
}

/// Reads everything and hands it on in parts.
fn in_parts<E: From<io::Error>>(
    content: &mut dyn Read,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => each(&buffer[..length])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a file from the cache.
pub(crate) fn remove(home: &Path, file: &KnownFile) -> Result<()> {
    let path = file.place(home);
    std::fs::remove_file(&path).map_err(|error| Error::CannotWrite {
        path,
        error: error.into(),
    })
}

pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::CannotWrite {
        path: folder.to_owned(),
        error: error.into(),
    })
}

/// The digest in lower-case hex digits.
fn hex(hash: Sha256) -> String {
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::{Check, Role};

    const HELLO: KnownFile = KnownFile {
        path: "greetings/hello.txt",
        role: Role::Weights,
        from: "hello.txt",
        check: Check::Verified {
            sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            bytes: 5,
        },
    };

    fn store(home: &Path, content: &str) -> Result<FetchedFile> {
        match receive(home, &HELLO, &mut content.as_bytes(), &mut |_| {}) {
            Ok(received) => received.keep(home, &HELLO),
            Err(Stopped::Refused(error)) => Err(error),
            Err(Stopped::Source(error)) => panic!("{error}"),
        }
    }

    fn is_good(home: &Path) -> bool {
        matches!(inspect(home, &HELLO).unwrap(), Content::Good(_))
    }

    #[test]
    fn sha256_is_that_of_the_standard() {
        // The first two examples of FIPS 180.
        let sha256 = |text: &str| hex(Sha256::new_with_prefix(text));
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
        assert_eq!(inspect(home.path(), &HELLO).unwrap(), Content::Missing);
        assert_eq!(state(home.path(), &HELLO), State::Missing);
        let stored = store(home.path(), "hello").unwrap();
        assert_eq!(stored.path, HELLO.place(home.path()));
        assert!(is_good(home.path()));
        assert_eq!(state(home.path(), &HELLO), State::Good);
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
        store(home.path(), "hello").unwrap();
        for content in ["", "hell", "hello!", "jello"] {
            std::fs::write(home.path().join(HELLO.path), content).unwrap();
            assert_eq!(
                inspect(home.path(), &HELLO).unwrap(),
                Content::Damaged,
                "{content:?}"
            );
            // Without reading it, the length is all that is compared.
            let by_length = match content.len() {
                5 => State::Good,
                _ => State::Damaged,
            };
            assert_eq!(state(home.path(), &HELLO), by_length, "{content:?}");
        }
        store(home.path(), "hello").unwrap();
        assert!(is_good(home.path()));
    }

    #[test]
    fn wrong_content_is_refused_and_the_old_file_stays() {
        let home = tempfile::tempdir().unwrap();
        store(home.path(), "hello").unwrap();
        let refused = |content| store(home.path(), content).unwrap_err();
        assert!(matches!(
            refused(""),
            Error::WrongKind {
                kind: Kind::Empty,
                ..
            }
        ));
        assert!(matches!(refused("jello"), Error::WrongHash { .. }));
        for content in ["hell", "hello, and a great deal more"] {
            assert!(matches!(refused(content), Error::WrongLength { .. }));
        }
        assert!(is_good(home.path()));
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
        let error = store(home.path(), "hello").unwrap_err();
        assert!(matches!(error, Error::CannotWrite { .. }));
        assert!(error.to_string().contains("greetings"), "{error}");
        assert!(error.to_string().contains("CONVOXIDE_HOME"), "{error}");
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(HELLO.place(home.path())).unwrap();
        assert_eq!(state(home.path(), &HELLO), State::Damaged);
        let error = inspect(home.path(), &HELLO).unwrap_err();
        assert!(matches!(error, Error::CannotRead { .. }), "{error}");
        let error = store(home.path(), "hello").unwrap_err();
        assert!(matches!(error, Error::CannotWrite { .. }), "{error}");
    }

    /// A place where only the administrator may write.
    #[cfg(unix)]
    #[test]
    fn a_lack_of_permission_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        if std::fs::write(home.path().join("probe"), "").is_ok() {
            println!("skipped: permissions do not bind this user");
            return;
        }
        let error = store(home.path(), "hello").unwrap_err();
        assert!(error.to_string().contains("ermission denied"), "{error}");
    }
}
