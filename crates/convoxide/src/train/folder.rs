//! The folder of a run: the recipe as it was run, the log, models, checkpoints, the report.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use files::whole_file;
use nn_layers::ModelFile;
use serde_json::Value;

use super::recipe::Recipe;
use crate::architectures::Reason;
use crate::error::Error;
use crate::output;

/// The folder of a run, to which no other process writes meanwhile.
///
/// A start that saves no checkpoint leaves nothing behind, so nothing is in the way of the next.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Keeps others out. The system takes it away with the process, however that ends.
    lock: Option<File>,
    /// The folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
}

/// The log of the run in this folder.
pub(crate) fn log_of(folder: &Path) -> PathBuf {
    folder.join("log.jsonl")
}

/// The file that a run locks.
const LOCK: &str = "lock";

impl RunFolder {
    /// Makes the folder and keeps others out of it. Where a run has been, `resume` has to say that it
    /// is to go on.
    ///
    /// # Errors
    ///
    /// [`Error::Training`] for a folder that holds a run already, in which another process trains, or
    /// that cannot be written.
    pub(crate) fn open(path: &Path, resume: bool, quiet: bool) -> Result<Self, Error> {
        let fault = |error: Reason| Error::Training {
            path: path.to_owned(),
            error,
        };
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let mut made: Vec<PathBuf> = path
            .ancestors()
            .take_while(missing)
            .map(Path::to_owned)
            .collect();
        made.reverse();
        fs::create_dir_all(path).map_err(|error| fault(error.into()))?;
        let mut folder = Self {
            path: path.to_owned(),
            lock: None,
            made,
        };
        folder.lock(quiet).map_err(fault)?;
        whole_file::sweep(path, whole_file::PREFIX);
        if !resume && folder.holds_run().map_err(|error| fault(error.into()))? {
            let reason = "holds a run: give --resume to go on with it, or another --output";
            return Err(fault(reason.into()));
        }
        Ok(folder)
    }

    /// Locks the folder.
    fn lock(&mut self, quiet: bool) -> Result<(), Reason> {
        let path = self.path.join(LOCK);
        let named = |error: &dyn std::fmt::Display| Reason::from(format!("{LOCK}: {error}"));
        whole_file::check(&path).map_err(|error| named(&error))?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let file = options.open(path).map_err(|error| named(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // What is there is the other's.
                self.made.clear();
                return Err("another process is training in this folder".into());
            }
            Err(TryLockError::Error(error)) => {
                if !quiet {
                    output::complain(&format!(
                        "{}: cannot be locked ({error}): let nothing else train there",
                        self.path.display()
                    ));
                }
            }
        }
        self.lock = Some(file);
        Ok(())
    }

    /// Whether the folder has anything of a run in it.
    fn holds_run(&self) -> std::io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let name = name.as_encoded_bytes();
            let is_part = name.ends_with(b".ckpt")
                || [
                    &b"recipe.toml"[..],
                    b"log.jsonl",
                    b"best.safetensors",
                    b"last.safetensors",
                ]
                .contains(&name);
            if is_part {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log(&self) -> PathBuf {
        log_of(&self.path)
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// The model with the best accuracy so far.
    pub(crate) fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The model after the last epoch.
    pub(crate) fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    pub(crate) fn save_recipe(&self, recipe: &Recipe) -> Result<(), Reason> {
        let text = recipe.to_text()?;
        let path = self.path.join("recipe.toml");
        whole_file::replace(&path, |file| Ok(file.write_all(text.as_bytes())?))
            .map_err(|error: files::Error| format!("recipe.toml: {error}").into())
    }

    pub(crate) fn save_last(&self, model: &ModelFile) -> Result<(), Reason> {
        Ok(model.save(self.last())?)
    }

    pub(crate) fn save_best(&self, model: &ModelFile) -> Result<(), Reason> {
        Ok(model.save(self.best())?)
    }

    /// Whether a checkpoint is of the same training: another recipe would not go on with it, but
    /// start something else in its middle.
    pub(crate) fn check_recipe(&self, saved: &Value, now: &Value) -> Result<(), Reason> {
        if saved == now {
            return Ok(());
        }
        let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let (saved, now) = (fields(saved), fields(now));
        let names = saved.keys().chain(now.keys());
        let other = names
            .into_iter()
            .find(|name| saved.get(*name) != now.get(*name));
        let other = other.map_or("the recipe", |name| name);
        Err(format!(
            "{}: its checkpoint is of another recipe: {other} differs",
            self.path.display()
        )
        .into())
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let is_locked = self.lock.take().is_some();
        if is_locked && matches!(self.holds_run(), Ok(false)) {
            // Best effort: what stays is in nobody's way.
            let _ = fs::remove_file(self.path.join(LOCK));
            for folder in self.made.iter().rev() {
                // Only where it is empty.
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_saves_nothing_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("runs").join("a");
        let folder = RunFolder::open(&path, false, true).unwrap();
        assert!(path.join(LOCK).exists());
        drop(folder);
        assert!(!parent.path().join("runs").exists());

        // Of a folder that was there, only what was added goes.
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        drop(RunFolder::open(&path, false, true).unwrap());
        assert!(path.join("notes.txt").exists() && !path.join(LOCK).exists());
    }

    #[test]
    fn whatever_is_of_a_run_asks_for_resume() {
        for part in [
            "recipe.toml",
            "step-000003.ckpt",
            "last.ckpt",
            "best.safetensors",
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(part), "").unwrap();
            let error = RunFolder::open(folder.path(), false, true).unwrap_err();
            assert!(error.to_string().contains("--resume"), "{part}: {error}");
            drop(RunFolder::open(folder.path(), true, true).unwrap());
            assert!(folder.path().join(part).exists());
        }
        // What a killed start leaves does not.
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK), "").unwrap();
        drop(RunFolder::open(folder.path(), false, true).unwrap());
    }

    #[test]
    fn the_second_is_told_of_the_first_and_takes_nothing_away() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let first = RunFolder::open(&path, false, true).unwrap();
        for resume in [false, true] {
            let error = RunFolder::open(&path, resume, true).unwrap_err();
            assert!(error.to_string().contains("another process"), "{error}");
        }
        assert!(path.join(LOCK).exists());
        drop(first);
        drop(RunFolder::open(&path, false, true).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.path().join(LOCK)).unwrap();
        let error = RunFolder::open(folder.path(), false, true).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn what_a_killed_run_did_not_finish_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".convoxide-last.ckpt-AbCdEf");
        fs::write(&left, "half").unwrap();
        drop(RunFolder::open(folder.path(), false, true).unwrap());
        assert!(!left.exists());
    }
}
