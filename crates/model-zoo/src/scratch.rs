//! A temporary folder inside the cache, because the system's own may be small.

use std::fs::{self, File};
use std::path::Path;

use tempfile::TempDir;

use crate::error::{Error, Result};

/// The prefix of the folders' names.
const PREFIX: &str = ".fetch-";

/// The file in the folder that is locked as long as its process lives.
const LOCK: &str = "lock";

/// The folder, which is removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    // Dropped first, since some systems do not remove an open file.
    _lock: File,
    folder: TempDir,
}

impl Scratch {
    /// Makes an empty folder, and removes those that killed processes have left.
    pub(crate) fn new(home: &Path) -> Result<Self> {
        sweep(home);
        let cannot_write = |error: std::io::Error| Error::CannotWrite {
            path: home.to_owned(),
            error: error.into(),
        };
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(home)
            .map_err(cannot_write)?;
        let lock = File::create_new(folder.path().join(LOCK)).map_err(cannot_write)?;
        // Some file systems do not support locks, so a failure is ignored.
        let _ = lock.try_lock();
        Ok(Self {
            _lock: lock,
            folder,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of processes that are no longer alive. Failures are ignored: nothing depends on
/// it.
fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_scratch = name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_scratch && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let lock = File::open(entry.path().join(LOCK));
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_folder() {
        let home = tempfile::tempdir().unwrap();
        let left = home.path().join(".fetch-x1Y2z3");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::write(left.join("half"), "hal").unwrap();
        let living = Scratch::new(home.path()).unwrap();
        assert!(!left.exists());
        let second = Scratch::new(home.path()).unwrap();
        assert!(living.path().exists());
        drop((living, second));
        assert_eq!(home.path().read_dir().unwrap().count(), 0);
    }
}
