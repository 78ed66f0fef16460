//! The folder of a run: the recipe as it was run, the log, models, checkpoints, the report.

use std::path::{Path, PathBuf};

use files::whole_file;
use nn_layers::ModelFile;
use serde_json::Value;

use super::recipe::Recipe;
use crate::architectures::Reason;
use crate::error::Error;

/// The folder of a run.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

/// The log of the run in this folder.
pub(crate) fn log_of(folder: &Path) -> PathBuf {
    folder.join("log.jsonl")
}

impl RunFolder {
    /// Makes the folder and writes the recipe into it. Where a run has been, `resume` has to say
    /// that it is to go on.
    ///
    /// # Errors
    ///
    /// [`Error::Training`] for a folder that holds a run already, or that cannot be written.
    pub(crate) fn open(path: &Path, resume: bool, recipe: &Recipe) -> Result<Self, Error> {
        let fault = |error: Reason| Error::Training {
            path: path.to_owned(),
            error,
        };
        let folder = Self {
            path: path.to_owned(),
        };
        if !resume && folder.recipe().exists() {
            let reason = "holds a run: give --resume to go on with it, or another --out";
            return Err(fault(reason.into()));
        }
        std::fs::create_dir_all(path).map_err(|error| fault(error.into()))?;
        let text = recipe.to_text().map_err(fault)?;
        whole_file::replace(
            &folder.recipe(),
            |file| Ok(file.write_all(text.as_bytes())?),
        )
        .map_err(|error: files::Error| fault(error.into()))?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn recipe(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    pub(crate) fn log(&self) -> PathBuf {
        log_of(&self.path)
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    pub(crate) fn save_last(&self, model: &ModelFile) -> Result<(), Reason> {
        Ok(model.save(self.path.join("last.safetensors"))?)
    }

    pub(crate) fn save_best(&self, model: &ModelFile) -> Result<(), Reason> {
        Ok(model.save(self.path.join("best.safetensors"))?)
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
