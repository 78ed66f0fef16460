//! The file of a tuning, which `convoxide tune` writes and `--tuning` reads.

use std::io::Read;
use std::path::Path;

use engine::Tuning;
use files::show::{one_line, shorten};
use files::whole_file;

use crate::error::{Error, Reason};

/// The longest file that is read, in bytes: a layer takes less than a thousand.
const MOST_BYTES: u64 = 16 << 20;

/// The longest reason of an error, which may quote the file.
const REASON_COLUMNS: usize = 200;

/// Reads a tuning.
///
/// # Errors
///
/// [`Error::Tuning`].
pub(crate) fn read(path: &Path) -> Result<Tuning, Error> {
    let fault = |error: Reason| {
        let path = path.to_owned();
        Error::Tuning { path, error }
    };
    let content = || -> Result<Vec<u8>, Reason> {
        let (file, bytes) = files::open(path)?;
        if bytes > MOST_BYTES {
            let error = format!("not a tuning: {bytes} bytes, expected at most {MOST_BYTES}");
            return Err(error.into());
        }
        let mut content = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut content)?;
        Ok(content)
    };
    let content = content().map_err(fault)?;
    serde_json::from_slice(&content).map_err(|error| {
        let reason = format!("not a tuning: {}", one_line(&error.to_string()));
        fault(shorten(&reason, REASON_COLUMNS).into())
    })
}

/// Writes a tuning.
///
/// # Errors
///
/// [`Error::Write`].
pub(crate) fn write(path: &Path, tuning: &Tuning) -> Result<(), Error> {
    let written = whole_file::replace(path, |file| {
        serde_json::to_writer_pretty(&mut *file, tuning).map_err(std::io::Error::from)?;
        Ok::<_, files::Error>(file.write_all(b"\n")?)
    });
    written.map_err(|error| Error::Write {
        path: path.to_owned(),
        error,
    })
}
