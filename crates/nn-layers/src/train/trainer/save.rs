//! Saving checkpoints, and the parameters that they share with the evaluation.

use conv_core::Element;

use super::{Observer, Trainer, checked::check_params};
use crate::{
    error::Result,
    params::Params,
    train::{backend::TrainBackend, checkpoint::Checkpoint},
};

impl<T: Element> Trainer<T> {
    /// Saves a checkpoint if there is a folder for it, and returns the parameters exported for it.
    pub(super) fn save_current<B: TrainBackend<T>>(
        &mut self,
        backend: &B,
        observer: &mut dyn Observer<T>,
    ) -> Result<Option<Params<T>>> {
        if self.folder.is_none() {
            return Ok(None);
        }
        let params = self.export(backend)?;
        self.save(params, backend, observer).map(Some)
    }

    /// Saves a checkpoint with the backend's parameters, and returns them.
    pub(super) fn save<B: TrainBackend<T>>(
        &mut self,
        params: Params<T>,
        backend: &B,
        observer: &mut dyn Observer<T>,
    ) -> Result<Params<T>> {
        let checkpoint = Checkpoint {
            params,
            optimiser: self.optimiser.export(backend)?,
            best: self.best.take(),
            position: self.position,
            epoch: self.totals.clone(),
            seed: self.options.seed,
            recipe: self.options.recipe.clone(),
            data: self.options.data.clone(),
        };
        let saved = self.folder.as_mut().map(|folder| folder.save(&checkpoint));
        self.best = checkpoint.best;
        if let Some(path) = saved.transpose()? {
            observer.saved(&path);
        }
        Ok(checkpoint.params)
    }

    /// The parameters, checked to be finite.
    pub(super) fn export<B: TrainBackend<T>>(&self, backend: &B) -> Result<Params<T>> {
        let params = backend.export();
        check_params(&params).map_err(|error| self.at_step(error))?;
        Ok(params)
    }
}
