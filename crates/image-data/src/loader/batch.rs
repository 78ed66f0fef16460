//! A batch of samples.

use std::sync::Arc;

use ndarray::{Array2, Array4};

use super::{Loader, LoaderOptions, Order};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::label::Label;
use crate::preprocessing::Preprocessing;

/// Samples as a network's input, with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<L: Label = usize> {
    /// The network's input, `[n, c, h, w]`.
    pub inputs: Array4<f32>,
    /// The labels, `[n]`: classes, with mixup those of the first of each two mixed pictures; or boxes, in
    /// pixels of the network's input.
    pub labels: Vec<L>,
    /// With mixup, the share of each class, `[n, classes]`.
    pub targets: Option<Array2<f32>>,
    /// The samples' indices in the dataset, `[n]`.
    pub samples: Vec<usize>,
}

impl<L: Label> Default for Batch<L> {
    fn default() -> Self {
        Self {
            inputs: Array4::default([0; 4]),
            labels: Vec::new(),
            targets: None,
            samples: Vec::new(),
        }
    }
}

impl<L: Label> Batch<L> {
    /// Returns a whole dataset as one batch, in its own order: for a few hundred pictures, such as
    /// the validation set of a small network.
    ///
    /// ```
    /// use image_data::{Batch, Preprocessing, Shapes};
    ///
    /// let shapes = Shapes::range(0..20, [32, 48])?;
    /// let batch = Batch::whole(shapes, Preprocessing::cifar())?;
    /// assert_eq!(batch.inputs.dim(), (20, 3, 32, 48));
    /// assert_eq!(batch.labels[7], 7);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Loader::new`] with the dataset's length as the batch size, and as
    /// [`Epoch::next_into`](super::Epoch::next_into).
    pub fn whole(dataset: impl Dataset<L> + 'static, preprocessing: Preprocessing) -> Result<Self> {
        let options = LoaderOptions {
            batch_size: dataset.len(),
            order: Order::AsStored,
            workers: 0,
            ..LoaderOptions::default()
        };
        let loader = Loader::new(Arc::new(dataset), preprocessing, options)?;
        let mut batch = Self::default();
        loader.epoch(0)?.next_into(&mut batch)?;
        Ok(batch)
    }
}

/// Resizes to `len` values, whose content is unspecified.
pub(crate) fn resize(memory: &mut Vec<f32>, len: usize) -> Result<()> {
    let more = len.saturating_sub(memory.len());
    memory
        .try_reserve_exact(more)
        .map_err(|_| Error::NoMemory {
            bytes: (len as u64).saturating_mul(size_of::<f32>() as u64),
        })?;
    memory.resize(len, 0.0);
    Ok(())
}
