//! The checkpoint: everything that a training needs to go on exactly.

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

/// Everything that a training needs to go on as if it had never stopped.
///
/// As a file, `.ckpt`, it is a `.safetensors` with the tensors `params/NAME`,
/// `optimiser/MOMENT/NAME` and `best/NAME`, and the rest as JSON text in its metadata. Numbers are
/// written as wide as they are, `T`, and read as nothing else, so nothing is rounded. The SHA-256 of
/// the file is in it and compared on reading; a file of an older version has none. The same
/// checkpoint is written as the same bytes.
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
    /// What the optimiser remembers.
    pub optimiser: OptimiserState<T>,
    /// The best parameters so far, where the training keeps them.
    pub best: Option<Best<T>>,
    /// Where the training stands.
    pub position: Position,
    /// The sums of the epoch that is not over yet.
    pub epoch: EpochTotals,
    /// The seed of all randomness.
    pub seed: u64,
    /// What the training was told to do, as [`TrainerOptions::recipe`](crate::TrainerOptions).
    pub recipe: serde_json::Value,
    /// What the training learns from, as [`TrainerOptions::data`](crate::TrainerOptions); null in
    /// files older than this field.
    pub data: serde_json::Value,
}

/// Where a training stands. All count from 0, so they are also how much is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch.
    pub epoch: u64,
    /// The batch of this epoch.
    pub batch: u64,
    /// The update, through all epochs; what a schedule is asked by.
    pub step: u64,
    /// The batch, through all epochs; what [`StepKey`](crate::StepKey) counts.
    pub batches: u64,
}

/// What an epoch has summed up so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochTotals {
    /// The mean loss, each batch weighted by its pictures.
    pub loss: RunningMean,
    /// The parts that the loss reports, such as `correct`, summed over the batches.
    pub parts: Vec<(String, f64)>,
    /// How many pictures were trained on.
    pub pictures: u64,
    /// How many pictures were left out, as the last batch was smaller than the others.
    pub dropped: u64,
    /// How many pictures the epoch's first batch has.
    pub batch_size: Option<u64>,
    /// Whether the epoch has been trained to its end, so that only its evaluation is outstanding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trained: bool,
}

/// The best parameters of a training so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Best<T> {
    /// The epoch that made them.
    pub epoch: u64,
    /// How many updates there had been at its end.
    pub step: u64,
    /// How good they are: more is better.
    pub score: f64,
    /// The parameters.
    pub params: Params<T>,
}

impl<T: Element> Checkpoint<T> {
    /// Reads the file at `path`, once and in order. Its header is compared with its length before
    /// memory is taken for what the header claims.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`] around what [`from_bytes`](Self::from_bytes) says, [`FileError::Io`] or
    /// [`FileError::NotAFile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        container::open(path.as_ref(), Self::read)
    }

    /// Reads a whole file's bytes.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::from_bytes`](crate::ModelFile::from_bytes), with
    /// [`FileError::OtherFile`] for a model file; [`FileError::Metadata`] for a text that is not a
    /// checkpoint's; [`FileError::TensorType`] for numbers that are not `T`'s,
    /// [`FileError::TensorName`] for a tensor that no checkpoint has, and [`ParamsError::Misfits`]
    /// where the best parameters are not those that are trained.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read(&mut &*bytes, bytes.len() as u64)
    }

    /// Writes the file whole or not at all, and waits until it is on the disk: into a new file in
    /// the same folder, which then takes the name. A file that had the name is replaced, and its
    /// permissions are kept.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`] around what [`to_bytes`](Self::to_bytes) says, [`FileError::Io`] or
    /// [`FileError::NotAFile`]. What was there before is then still there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        container::save(path.as_ref(), |target| self.write(target))
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// What a file could not be read back with, as
    /// [`ModelFile::to_bytes`](crate::ModelFile::to_bytes).
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
        tensor::check_values(&checkpoint.params)?;
        tensor::check_values(&best)?;
        if let Some(into) = &mut checkpoint.best {
            check_alike(&best, &checkpoint.params)?;
            into.params = best;
        }
        Ok(checkpoint)
    }

    pub(crate) fn write(&self, target: &mut dyn Write) -> Result<()> {
        tensor::check_values(&self.params)?;
        if let Some(best) = &self.best {
            tensor::check_values(&best.params)?;
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

/// Checks that there are the same names with the same shapes.
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
        Stored::F64 => "F64, which the training computes in",
        Stored::F32 => "F32, which the training computes in",
        Stored::I64 => "I64",
    }
}
