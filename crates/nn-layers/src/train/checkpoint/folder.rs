//! The checkpoints of a training run: the newest ones and the best.

use std::{
    fs,
    path::{Path, PathBuf},
};

use conv_core::Element;
use files::whole_file;

use super::Checkpoint;
use crate::{
    error::{Error, Result},
    file::{container, error::FileError},
};

/// The name of the newest checkpoint.
const LAST: &str = "last.ckpt";

/// A folder with the checkpoints of one training run: the newest, `last.ckpt`, and older ones,
/// `step-NNNNNN.ckpt`, named by their number of updates.
///
/// Once a checkpoint has been saved, the folder contains a whole one at every moment, even after a
/// crash: a new checkpoint is on the disk under a temporary name before the previous one is
/// renamed, and only then takes the name `last.ckpt`.
///
/// ```
/// use nn_layers::{Checkpoint, CheckpointFolder};
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let path = temporary.path();
/// let mut folder = CheckpointFolder::new(path, 2);
/// for seed in 0..5 {
///     let mut checkpoint = Checkpoint::<f32> { seed, ..Checkpoint::default() };
///     checkpoint.position.step = 100 * seed;
///     folder.save(&checkpoint)?;
/// }
/// let restored = folder.latest::<f32>()?.unwrap();
/// assert_eq!(restored.checkpoint.seed, 4);
/// assert!(path.join("step-000300.ckpt").exists() && !path.join("step-000200.ckpt").exists());
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CheckpointFolder {
    folder: PathBuf,
    keep: usize,
    /// The step of `last.ckpt`, if it is known.
    last: Option<u64>,
}

/// A checkpoint read from a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored<T> {
    /// The newest checkpoint that is whole.
    pub checkpoint: Checkpoint<T>,
    /// Its file.
    pub path: PathBuf,
    /// The errors of newer checkpoints that could not be read, each with its file.
    pub damaged: Vec<Error>,
}

impl CheckpointFolder {
    /// A folder that keeps the newest `keep` checkpoints, at least one, and the one of the best
    /// parameters' step. The folder is created by the first [`save`](Self::save).
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, keep: usize) -> Self {
        Self {
            folder: folder.into(),
            keep: keep.max(1),
            last: None,
        }
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Saves a checkpoint as `last.ckpt`, renames the previous one to the name of its step, and
    /// removes those that are not kept. Returns the path of the new file.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoint::save`]. All older checkpoints are then kept.
    pub fn save<T: Element>(&mut self, checkpoint: &Checkpoint<T>) -> Result<PathBuf> {
        let last = self.folder.join(LAST);
        self.try_save(checkpoint, &last)
            .map_err(|error| match error {
                named @ Error::InFile { .. } => named,
                error => error.in_file(&last),
            })?;
        Ok(last)
    }

    fn try_save<T: Element>(&mut self, checkpoint: &Checkpoint<T>, last: &Path) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(FileError::io)?;
        // This also removes what a killed process left of model files beside the checkpoints.
        whole_file::sweep(&self.folder, whole_file::PREFIX);
        let new = container::prepare(last, |target| checkpoint.write(target))?;
        let step = checkpoint.position.step;
        let before = match self.last {
            Some(before) => Some(before),
            None => step_in::<T>(last)?,
        };
        if let Some(before) = before.filter(|&before| before != step && last.exists()) {
            fs::rename(last, self.folder.join(name(before))).map_err(FileError::io)?;
        }
        new.persist().map_err(Error::file)?;
        self.last = Some(step);
        self.prune(step, checkpoint.best.as_ref().map(|best| best.step))
    }

    /// Removes checkpoints that are older than those to keep, except the best. Checkpoints newer
    /// than the last one, which another process may have written, are kept.
    fn prune(&self, last: u64, best: Option<u64>) -> Result<()> {
        let older = self.steps()?.into_iter().filter(|&(step, _)| step < last);
        for (step, path) in older.skip(self.keep - 1) {
            if Some(step) != best {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// The newest checkpoint that is whole; `None` if there are no checkpoint files.
    ///
    /// # Errors
    ///
    /// The error of the newest checkpoint, if none is whole.
    pub fn latest<T: Element>(&mut self) -> Result<Option<Restored<T>>> {
        let last = self.folder.join(LAST);
        let older = self.steps().map_err(|error| error.in_file(&self.folder))?;
        let paths = std::iter::once(last.clone()).filter(|last| last.exists());
        let mut damaged = Vec::new();
        for path in paths.chain(older.into_iter().map(|(_, path)| path)) {
            match Checkpoint::open(&path) {
                Ok(checkpoint) => {
                    self.last = (path == last).then_some(checkpoint.position.step);
                    return Ok(Some(Restored {
                        checkpoint,
                        path,
                        damaged,
                    }));
                }
                Err(error) => damaged.push(error),
            }
        }
        match damaged.into_iter().next() {
            None => Ok(None),
            Some(error) => Err(error),
        }
    }

    /// The checkpoints with a step in their names, newest first.
    fn steps(&self) -> Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FileError::io(error).into()),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let entry = entry.map_err(FileError::io)?;
            if let Some(step) = entry.file_name().to_str().and_then(step_of) {
                steps.push((step, entry.path()));
            }
        }
        steps.sort_by_key(|&(step, _)| std::cmp::Reverse(step));
        Ok(steps)
    }
}

/// The step of the checkpoint at `path`. `None` if there is none, or if it is damaged and therefore
/// not kept.
fn step_in<T: Element>(path: &Path) -> Result<Option<u64>> {
    match Checkpoint::<T>::open(path) {
        Ok(checkpoint) => Ok(Some(checkpoint.position.step)),
        Err(Error::InFile { error, .. }) => match *error {
            Error::File(FileError::Io { kind, .. }) if kind != std::io::ErrorKind::NotFound => {
                Err(*error)
            }
            _ => Ok(None),
        },
        Err(error) => Err(error),
    }
}

/// The file name for this step. Up to a million, alphabetical order is that of the steps.
fn name(step: u64) -> String {
    format!("step-{step:06}.ckpt")
}

/// The step in such a file name.
fn step_of(file: &str) -> Option<u64> {
    let step = file.strip_prefix("step-")?.strip_suffix(".ckpt")?;
    let step: u64 = step.parse().ok()?;
    (name(step) == file).then_some(step)
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|error| Error::from(FileError::io(error)).in_file(path))
}
