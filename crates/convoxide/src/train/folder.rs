//! The folder of a run: the recipe as it was run, the log, the models, the checkpoints and the report.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use files::whole_file;
use nn_layers::ModelFile;
use serde_json::Value;

use super::recipe::Recipe;
use crate::error::Error;
use crate::error::Reason;
use crate::output;

/// The folder of a run, locked against other processes.
///
/// A run that saves no checkpoint leaves nothing behind, so the next run can start.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// The system releases the lock when the process ends, however it ends.
    lock: Option<File>,
    /// The folders that were created, the outermost first.
    made: Vec<PathBuf>,
}

/// Returns the path of the log in a run's folder.
pub(crate) fn log_of(folder: &Path) -> PathBuf {
    folder.join("log.jsonl")
}

/// Returns whether the folder has a checkpoint of a run.
pub(crate) fn has_checkpoint(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.as_encoded_bytes().ends_with(b".ckpt"))
}

/// The path of the recipe in a run's folder.
pub(crate) fn recipe_of(folder: &Path) -> PathBuf {
    folder.join("recipe.toml")
}

/// The file that is locked during a run.
const LOCK: &str = "lock";

impl RunFolder {
    /// Creates the folder and locks it. A folder that contains a run is accepted only with `resume`.
    ///
    /// # Errors
    ///
    /// [`Error::Training`] if the folder contains a run and `resume` is false, if another process is
    /// training in it, or if it cannot be written.
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
            let reason = "contains a run: give --resume to continue it, or another --output";
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
                // The folders belong to the other process.
                self.made.clear();
                return Err("another process is training in this folder".into());
            }
            Err(TryLockError::Error(error)) => {
                if !quiet {
                    output::complain(&format!(
                        "{}: cannot be locked ({error}): make sure that no other process trains there",
                        self.path.display()
                    ));
                }
            }
        }
        self.lock = Some(file);
        Ok(())
    }

    /// Returns whether the folder contains any file of a run.
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

    /// The path of the model with the best accuracy so far.
    pub(crate) fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The path of the model after the last epoch.
    pub(crate) fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    pub(crate) fn save_recipe(&self, recipe: &Recipe) -> Result<(), Reason> {
        let text = recipe.to_text()?;
        let path = recipe_of(&self.path);
        whole_file::replace(&path, |file| Ok(file.write_all(text.as_bytes())?))
            .map_err(|error: files::Error| format!("recipe.toml: {error}").into())
    }

    pub(crate) fn save_last(&self, model: &ModelFile) -> Result<(), Reason> {
        Ok(model.save(self.last())?)
    }

    pub(crate) fn save_best(&self, model: &ModelFile) -> Result<(), Reason> {
        Ok(model.save(self.best())?)
    }

    /// Checks that a checkpoint has the same recipe: with another one, the run would not continue but
    /// become a different run in the middle.
    pub(crate) fn check_recipe(&self, saved: &Value, now: &Value) -> Result<(), Reason> {
        if saved == now {
            return Ok(());
        }
        let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let (saved, now) = (fields(saved), fields(now));
        let names = saved.keys().chain(now.keys());
        // The course of a run that is extended.
        let is_extended =
            saved.get("epochs").and_then(Value::as_u64) < now.get("epochs").and_then(Value::as_u64);
        let may_differ = |name: &str| name == "extended_from" || (name == "epochs" && is_extended);
        let other = names
            .into_iter()
            .find(|name| !may_differ(name) && saved.get(*name) != now.get(*name));
        let Some(other) = other else {
            return Ok(());
        };
        Err(format!(
            "{}: the checkpoint is from another recipe: {other} differs",
            self.path.display()
        )
        .into())
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let is_locked = self.lock.take().is_some();
        if is_locked && matches!(self.holds_run(), Ok(false)) {
            // Best effort: a file that stays does no harm.
            let _ = fs::remove_file(self.path.join(LOCK));
            for folder in self.made.iter().rev() {
                // Fails unless the folder is empty.
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

        // In a folder that existed before, only the added files are removed.
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        drop(RunFolder::open(&path, false, true).unwrap());
        assert!(path.join("notes.txt").exists() && !path.join(LOCK).exists());
    }

    #[test]
    fn any_file_of_a_run_asks_for_resume() {
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
        // The lock file of a killed process does not.
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK), "").unwrap();
        drop(RunFolder::open(folder.path(), false, true).unwrap());
    }

    #[test]
    fn a_second_process_is_refused_and_removes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let first = RunFolder::open(&path, false, true).unwrap();
        // On a file system without locks, nothing else tells that it is in use.
        let partial = path.join(".convoxide-last.ckpt-AbCdEf");
        fs::write(&partial, "half").unwrap();
        for resume in [false, true] {
            let error = RunFolder::open(&path, resume, true).unwrap_err();
            assert!(error.to_string().contains("another process"), "{error}");
            assert!(partial.exists());
        }
        fs::remove_file(partial).unwrap();
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
    fn partial_files_of_a_killed_run_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".convoxide-last.ckpt-AbCdEf");
        fs::write(&left, "half").unwrap();
        drop(RunFolder::open(folder.path(), false, true).unwrap());
        assert!(!left.exists());
    }
}
