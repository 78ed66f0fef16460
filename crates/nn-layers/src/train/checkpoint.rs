//! The checkpoint: everything that a training run needs to resume exactly.

mod folder;
mod text;

use std::{
    io::{Read, Write},
    path::Path,
};

use conv_core::Element;
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

pub use self::folder::{CheckpointFolder, Restored};
use self::text::{Part, Text};
use crate::{
    error::{Error, Result},
    file::{
        container,
        error::FileError,
        tensor::{self, Stored},
    },
    params::{Param, Params, error::ParamsError},
    train::{metrics::RunningMean, optimiser::OptimiserState},
};

/// Everything that a training run needs to resume as if it had never stopped.
///
/// A checkpoint file, `.ckpt`, is in the `.safetensors` format. It contains the tensors
/// `params/NAME`, `optimiser/MOMENT/NAME` and `best/NAME`, and the rest as JSON text in its
/// metadata. Values are written as `T` and read only as `T`, so they are not rounded; counters are
/// integers. The file contains its SHA-256, which reading compares; files from older versions have
/// none. The same checkpoint is always written as the same bytes.
///
/// ```
/// use nn_layers::Checkpoint;
///
/// let checkpoint = Checkpoint::<f32> {
///     seed: 7,
///     recipe: "epochs = 15".into(),
///     ..Checkpoint::default()
/// };
/// assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes()?)?, checkpoint);
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint<T> {
    /// Weights, running statistics and counters.
    pub params: Params<T>,
    /// The optimiser's state.
    pub optimiser: OptimiserState<T>,
    /// The best parameters so far, if an evaluation has returned a score.
    pub best: Option<Best<T>>,
    /// The position of the run.
    pub position: Position,
    /// The totals of the current epoch.
    pub epoch: EpochTotals,
    /// The seed of the run's randomness.
    pub seed: u64,
    /// The run's settings: [`TrainerOptions::recipe`](crate::TrainerOptions::recipe).
    pub recipe: serde_json::Value,
    /// The run's data: [`TrainerOptions::data`](crate::TrainerOptions::data); null in files older
    /// than this field.
    pub data: serde_json::Value,
}

/// The position of a training run. All fields count from 0, so each is also the number of those
/// already done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch.
    pub epoch: u64,
    /// The batch within the epoch.
    pub batch: u64,
    /// The update, counted across all epochs; the step that the schedule is evaluated at.
    pub step: u64,
    /// The batch, counted across all epochs; the step of a [`StepKey`](crate::StepKey).
    pub batches: u64,
}

/// The totals of an epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochTotals {
    /// The mean loss, with each batch weighted by its number of pictures.
    pub loss: RunningMean,
    /// The parts that the loss reports, such as `correct`, summed over the batches.
    pub parts: Vec<(String, f64)>,
    /// The number of pictures trained on.
    pub pictures: u64,
    /// The number of pictures left out because their batch was smaller than the epoch's first.
    pub dropped: u64,
    /// The number of pictures in the epoch's first batch.
    pub batch_size: Option<u64>,
    /// Whether all of the epoch's batches have been trained on, so that only its evaluation is
    /// outstanding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trained: bool,
}

/// The best parameters of a training run so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Best<T> {
    /// The epoch that they are from.
    pub epoch: u64,
    /// The number of updates at the end of that epoch.
    pub step: u64,
    /// The score of their evaluation; larger is better.
    pub score: f64,
    /// The parameters.
    pub params: Params<T>,
}

impl<T: Element> Checkpoint<T> {
    /// Reads the file at `path`, once and in order. The header is compared with the file's length
    /// before memory is allocated for the tensors.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`] around an error of [`from_bytes`](Self::from_bytes), [`FileError::Io`] or
    /// [`FileError::NotAFile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        container::open(path.as_ref(), Self::read)
    }

    /// Reads a checkpoint from the bytes of a whole file.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::from_bytes`](crate::ModelFile::from_bytes), with
    /// [`FileError::OtherFile`] for a file that is not a checkpoint; [`FileError::Metadata`] for
    /// metadata that are not a checkpoint's; [`FileError::TensorType`] for values of another type
    /// than `T`; [`FileError::TensorName`] for a tensor that no checkpoint contains; and
    /// [`ParamsError::Misfits`] or [`ParamsError::UnknownParam`] if the best parameters differ in
    /// name or shape from the current ones.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read(&mut &*bytes, bytes.len() as u64)
    }

    /// Writes the file at `path`, either whole or not at all, and waits until it is on the disk:
    /// the bytes go to a new file in the same folder, which is then renamed. An existing file is
    /// replaced, and its permissions are kept.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`] around an error of [`to_bytes`](Self::to_bytes), [`FileError::Io`] or
    /// [`FileError::NotAFile`]. An existing file then stays unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        container::save(path.as_ref(), |target| self.write(target))
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::to_bytes`](crate::ModelFile::to_bytes): errors for a file that could
    /// not be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    fn read(source: &mut dyn Read, length: u64) -> Result<Self> {
        let reader = container::Reader::new(source, length)?;
        let text = Text::from_json(reader.metadata())?;
        for (name, dtype) in reader.types() {
            let (_, own) = text.part(name)?;
            let expected = tensor::stored::<T>(tensor::slot(own, dtype));
            if dtype != expected.dtype() {
                return Err(FileError::TensorType {
                    tensor: name.to_owned(),
                    got: dtype.to_string(),
                    expected: type_name(expected),
                }
                .into());
            }
        }
        let mut checkpoint = text.checkpoint();
        let mut best = Params::new();
        reader.tensors(|name, dtype, value: ArrayD<T>| {
            let (part, own) = text.part(name)?;
            let params = match part {
                Part::Params => &mut checkpoint.params,
                Part::Best => &mut best,
                Part::Optimiser(moment) => {
                    let moments = &mut checkpoint.optimiser.moments;
                    moments.get_mut(moment).ok_or_else(|| Error::Internal {
                        what: format!("the optimiser's state {moment:?} is known by name alone"),
                    })?
                }
            };
            params.insert(own, tensor::slot(own, dtype), value);
            Ok(())
        })?;
        checkpoint.params.check_values()?;
        best.check_values()?;
        if let Some(into) = &mut checkpoint.best {
            check_alike(&best, &checkpoint.params)?;
            into.params = best;
        }
        Ok(checkpoint)
    }

    pub(crate) fn write(&self, target: &mut dyn Write) -> Result<()> {
        self.params.check_values()?;
        if let Some(best) = &self.best {
            best.params.check_values()?;
        }
        let text = Text::new(self).into_json()?;
        let mut tensors = Vec::new();
        let mut add = |prefix: &str, params| add_all(&mut tensors, prefix, params);
        add("params/", &self.params);
        for (moment, params) in &self.optimiser.moments {
            add(&format!("optimiser/{moment}/"), params);
        }
        if let Some(best) = &self.best {
            add("best/", &best.params);
        }
        container::write(target, Some(text), tensors)
    }
}

fn add_all<'a, T>(tensors: &mut Vec<(String, &'a Param<T>)>, prefix: &str, params: &'a Params<T>) {
    let params = params.iter();
    tensors.extend(params.map(|(name, param)| (format!("{prefix}{name}"), param)));
}

/// Checks that both have the same names and shapes.
fn check_alike<T>(got: &Params<T>, expected: &Params<T>) -> Result<()> {
    let misfits = expected
        .iter()
        .filter_map(|(name, param)| got.misfit(name, param.value.shape()));
    let misfits: Vec<_> = misfits.collect();
    if !misfits.is_empty() {
        return Err(ParamsError::Misfits(misfits).into());
    }
    match got.iter().find(|(name, _)| expected.get(name).is_none()) {
        None => Ok(()),
        Some((name, _)) => Err(ParamsError::UnknownParam {
            name: name.to_owned(),
        }
        .into()),
    }
}

fn type_name(stored: Stored) -> &'static str {
    match stored {
        Stored::F64 => "F64, the type that this run computes in",
        Stored::F32 => "F32, the type that this run computes in",
        Stored::I64 => "I64",
    }
}
