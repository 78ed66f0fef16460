//! Files that are written whole or not at all.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// What the names of new files begin with until they are whole.
pub(crate) const PREFIX: &str = ".convoxide-";

/// Writes the file at `path`: into a new file in the same folder, which then takes the name. A file
/// that had the name is replaced, and is still there where anything fails.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    prepare(path, plain, write)?.persist(path)
}

/// A whole file that has no name yet.
pub(crate) struct Prepared {
    file: NamedTempFile,
    folder: PathBuf,
}

/// Nothing between a writer and its file.
pub(crate) fn plain(file: &File) -> Box<dyn Write + '_> {
    Box::new(file)
}

/// Writes the file that is to be at `path`, through what `wrap` makes of it, and waits until the
/// bytes are on the disk.
pub(crate) fn prepare(
    path: &Path,
    wrap: impl FnOnce(&File) -> Box<dyn Write + '_>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Prepared> {
    if std::fs::metadata(path).is_ok_and(|old| !old.is_file()) {
        return Err(Error::NotAFile);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // As any file, and not a private one, which `tempfile_in` would make.
    let file = tempfile::Builder::new()
        .prefix(PREFIX)
        .make_in(folder, |path| File::create_new(path))
        .map_err(Error::io)?;
    let mut target = BufWriter::new(wrap(file.as_file()));
    write(&mut target)?;
    target.flush().map_err(Error::io)?;
    drop(target);
    // Or the name might reach the disk before the bytes do.
    file.as_file().sync_all().map_err(Error::io)?;
    Ok(Prepared {
        file,
        folder: folder.to_owned(),
    })
}

impl Prepared {
    /// Gives the file its name, and waits until that is on the disk.
    pub(crate) fn persist(self, path: &Path) -> Result<()> {
        let persisted = self.file.persist(path);
        persisted.map_err(|error| Error::io(error.error))?;
        sync_folder(&self.folder)
    }
}

/// Waits until the names in a folder are on the disk, where the system can tell.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Not every file system knows of it.
        Err(error)
            if !matches!(
                error.kind(),
                std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported
            ) =>
        {
            return Err(Error::io(error));
        }
        _ => {}
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use ndarray::ArrayD;

    use super::*;
    use crate::{checkpoint::Checkpoint, params::Slot};

    /// A disk that is full after so many bytes.
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

    #[test]
    fn a_full_disk_leaves_the_old_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.ckpt");
        let mut checkpoint = Checkpoint::<f32>::default();
        checkpoint.save(&path).unwrap();
        let old = std::fs::read(&path).unwrap();

        let weight = ArrayD::from_elem(vec![20, 3], 0.5);
        checkpoint.params.insert("fc.weight", Slot::Weight, weight);
        let new = checkpoint.to_bytes().unwrap();
        let write = |target: &mut dyn Write| checkpoint.write(target);
        for bytes in 0..new.len() {
            let full = prepare(&path, |file| Box::new(FullAfter(bytes, file)), write);
            match full.map(|_| ()) {
                Err(Error::Io { kind, .. }) => assert_eq!(kind, io::ErrorKind::StorageFull),
                other => panic!("{bytes}: {other:?}"),
            }
            assert_eq!(std::fs::read(&path).unwrap(), old);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        let enough = prepare(&path, |file| Box::new(FullAfter(new.len(), file)), write);
        enough.unwrap().persist(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), new);
    }
}
