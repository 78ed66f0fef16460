//! Files that are written whole or not at all.
//!
//! The bytes go to a temporary file in the same folder, reach the disk, and only then take the
//! name. A reader of the path sees the old file or the new one, never a part of either, whatever
//! stops the writer. The next writer of the same file removes what a killed writer left behind.

use std::ffi::OsStr;
use std::fs::{self, File, FileType};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// The prefix of every temporary file's name.
pub const PREFIX: &str = ".convoxide-";

/// Writes the file at `path`. If it replaces a regular file, it keeps that file's permissions.
///
/// # Errors
///
/// Those of `write`; [`Error::NotAFile`] if the path is a folder, link, pipe or device; and the
/// system's errors. On an error, an existing file stays unchanged.
///
/// ```
/// use files::whole_file;
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("notes.txt");
/// whole_file::replace::<files::Error>(&path, |file| Ok(file.write_all(b"new")?)).unwrap();
/// assert_eq!(std::fs::read(&path).unwrap(), b"new");
/// ```
pub fn replace<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    Ok(prepare(path, write)?.persist()?)
}

/// A whole file on the disk, still under its temporary name. Dropping it removes the file.
#[derive(Debug)]
pub struct Prepared {
    file: NamedTempFile,
    path: PathBuf,
}

/// Writes a file destined for `path`, and waits until its bytes are on the disk.
///
/// # Errors
///
/// The same as for [`replace`].
pub fn prepare<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<Prepared, E> {
    prepare_through(path, |file| Box::new(file), write)
}

/// [`prepare`] with a wrapper around the file, so that a test can simulate a full disk.
fn prepare_through<E: From<Error>>(
    path: &Path,
    wrap: impl FnOnce(&File) -> Box<dyn Write + '_>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<Prepared, E> {
    let prepared = Prepared::new(path)?;
    let mut target = BufWriter::new(wrap(prepared.file.as_file()));
    write(&mut target)?;
    target.flush().map_err(Error::Io)?;
    drop(target);
    // Otherwise the name might reach the disk before the bytes.
    prepared.file.as_file().sync_all().map_err(Error::Io)?;
    Ok(prepared)
}

impl Prepared {
    /// An empty temporary file beside `path`, with the permissions of the file at `path`, if any.
    fn new(path: &Path) -> Result<Self> {
        let old = check(path)?;
        let folder = folder_of(path);
        let prefix = prefix(path);
        sweep(folder, &prefix);
        // With the permissions of any new file; `tempfile_in` would make a private one.
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .make_in(folder, |path| File::create_new(path))?;
        // Tells a sweep that the writer is alive. Some file systems do not support locks, so a
        // failure is ignored.
        let _ = file.as_file().try_lock();
        if let Some(old) = old {
            file.as_file().set_permissions(old.permissions())?;
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Gives the file its final name, and waits until the name is on the disk.
    ///
    /// # Errors
    ///
    /// The system's errors.
    pub fn persist(self) -> Result<()> {
        // Checked again, because writing may have taken a while.
        check(&self.path)?;
        self.file.persist(&self.path).map_err(|error| error.error)?;
        sync_folder(folder_of(&self.path))
    }
}

/// Checks that a file at `path` would replace nothing but a regular file, and returns its metadata.
///
/// # Errors
///
/// [`Error::NotAFile`], and the system's errors.
pub fn check(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(old) if old.is_file() => Ok(Some(old)),
        Ok(old) => Err(Error::NotAFile {
            what: what(old.file_type()),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Names a kind of file other than a regular file.
pub(crate) fn what(kind: FileType) -> &'static str {
    if kind.is_dir() {
        return "a folder";
    }
    if kind.is_symlink() {
        return "a symbolic link";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    "a device"
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The prefix of this path's temporary files. Long names are cut, because systems allow 255 bytes.
fn prefix(path: &Path) -> String {
    const KEPT: usize = 40;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().take(KEPT).collect();
    format!("{PREFIX}{name}-")
}

/// Removes the temporary files that killed writers left in a folder: those whose names begin with
/// `prefix` and that are not locked. A file that cannot be removed stays: nothing depends on it.
pub fn sweep(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if is_left_over(&entry.file_name(), prefix) && entry.file_type().is_ok_and(|k| k.is_file())
        {
            let path = entry.path();
            let unlocked = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if unlocked {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn is_left_over(name: &OsStr, prefix: &str) -> bool {
    name.as_encoded_bytes().starts_with(prefix.as_bytes())
}

/// Waits until the names in a folder are on the disk, if the system supports it.
///
/// # Errors
///
/// The system's errors.
pub fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Not every file system supports this.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            return Err(error.into());
        }
        _ => {}
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full after the given number of bytes.
    struct FullAfter<W>(usize, W);

    impl<W: Write> Write for FullAfter<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.0);
            if len == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= len;
            self.1.write(&bytes[..len])
        }

        fn flush(&mut self) -> io::Result<()> {
            self.1.flush()
        }
    }

    fn put(path: &Path, bytes: &[u8]) -> Result<()> {
        replace(path, |file| Ok(file.write_all(bytes)?))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        put(&path, b"old").unwrap();
        let new = [7; 100];
        let write = |file: &mut dyn Write| Ok::<_, Error>(file.write_all(&new)?);
        for bytes in 0..new.len() {
            let error =
                prepare_through(&path, |f| Box::new(FullAfter(bytes, f)), write).unwrap_err();
            assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::StorageFull));
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(names(folder.path()), ["a.txt"]);
        }
        let whole = prepare_through(&path, |f| Box::new(FullAfter(new.len(), f)), write).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        whole.persist().unwrap();
        assert_eq!(fs::read(&path).unwrap(), new);
    }

    #[test]
    fn the_error_does_not_name_the_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = put(&folder.path().join("missing").join("a.txt"), b"").unwrap_err();
        assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::NotFound));
        assert!(!error.to_string().contains("missing"), "{error}");
    }

    #[test]
    fn a_folder_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let error = put(folder.path(), b"").unwrap_err();
        assert!(matches!(error, Error::NotAFile { what: "a folder" }));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        put(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let error = put(&link, b"new").unwrap_err();
        assert!(matches!(
            error,
            Error::NotAFile {
                what: "a symbolic link"
            }
        ));
        assert_eq!(fs::read(&target).unwrap(), b"old");
        let error = put(Path::new("/dev/null"), b"new").unwrap_err();
        assert!(matches!(error, Error::NotAFile { what: "a device" }));
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("private");
        put(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        put(&path, b"new").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(folder.path().join(".convoxide-a.txt-x1Y2z3"), b"half").unwrap();
        let another = ".convoxide-b.txt-x1Y2z3".to_owned();
        fs::write(folder.path().join(&another), b"half").unwrap();

        let first = prepare::<Error>(&path, |file| Ok(file.write_all(b"first")?)).unwrap();
        put(&path, b"second").unwrap();
        first.persist().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, [another, "a.txt".to_owned()]);
    }

    #[test]
    fn a_name_as_long_as_a_system_allows_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ä".repeat(120));
        put(&path, b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }
}
