//! Opening files for reading.

use std::fs::{self, File};
use std::path::Path;

use crate::error::{Error, Result};
use crate::whole_file;

/// Opens the regular file at `path`, following links. Returns it with its length in bytes.
///
/// # Errors
///
/// [`Error::NotAFile`] for a folder, pipe or device, and the system's errors.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("notes.txt");
/// std::fs::write(&path, "four").unwrap();
/// let (_, length) = files::open(&path).unwrap();
/// assert_eq!(length, 4);
/// assert_eq!(files::open(folder.path()).unwrap_err().to_string(), "is a folder, not a regular file");
/// ```
pub fn open(path: &Path) -> Result<(File, u64)> {
    let check = |metadata: fs::Metadata| match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(Error::NotAFile {
            what: whole_file::what(metadata.file_type()),
        }),
    };
    // Opening a pipe would block, so look first.
    check(fs::metadata(path)?)?;
    let file = File::open(path)?;
    let length = check(file.metadata()?)?;
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_lead_to_files_and_devices_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        fs::write(folder.path().join("target"), "text").unwrap();
        std::os::unix::fs::symlink("target", &link).unwrap();
        let (mut file, length) = open(&link).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((&*text, length), ("text", 4));

        let error = open(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(error, Error::NotAFile { what: "a device" }));
        let error = open(&folder.path().join("missing")).unwrap_err();
        assert!(matches!(error, Error::Io(e) if e.kind() == std::io::ErrorKind::NotFound));
    }
}
