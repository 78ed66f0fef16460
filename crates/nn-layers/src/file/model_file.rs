//! The model file: parameters by name, and a description of the model.

use std::{
    io::{Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{container, purpose, tensor};
use crate::{error::Result, file::error::FileError, params::Params};

/// The description of a model, stored in the model file so that the file is self-contained.
///
/// This crate stores `config` and `preprocessing` without interpreting them. The architecture's
/// crate parses the first, and the crate that reads pictures parses the second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The architecture's name, such as `resnet18`.
    pub architecture: String,
    /// The options that the architecture was built with.
    #[serde(default)]
    pub config: serde_json::Value,
    /// The names of the classes, in the order of the output's channels; empty if there are none.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The conversion of a picture into the network's input.
    #[serde(default)]
    pub preprocessing: serde_json::Value,
    /// The size `[h, w]` in pixels of the inputs that the network was trained on, if it is known. A
    /// network whose preprocessing does not resize accepts inputs of any size, but its results are
    /// only reliable at this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_size: Option<[usize; 2]>,
}

impl Metadata {
    fn from_json(text: &str) -> Result<Self> {
        let metadata: Self = serde_json::from_str(text).map_err(FileError::metadata)?;
        match metadata.input_size {
            Some([0, _] | [_, 0]) => Err(FileError::Metadata {
                reason: "the input size is 0, expected at least 1".to_owned(),
            }
            .into()),
            Some(_) | None => Ok(metadata),
        }
    }

    /// The text for the file. Metadata that could not be read back are refused.
    fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string(self).map_err(FileError::metadata)?;
        Self::from_json(&text)?;
        Ok(text)
    }
}

/// A model file: a `.safetensors` file with [`Metadata`] as JSON text under the key `convoxide`.
///
/// The tensors have the parameters' names (`layer1.0.conv1.weight`), which are also PyTorch's, so
/// files can be exchanged with PyTorch in both directions. A file from PyTorch has no [`Metadata`].
/// Metadata under other keys are dropped.
///
/// **Reading** accepts values of type F32, F16 and BF16, which are exact in f32, and F64, which is
/// rounded to the nearest f32. Tensors named `running_mean` and `running_var` are
/// [buffers](crate::Slot::Buffer); integers and tensors named `num_batches_tracked` are
/// [counters](crate::Slot::Counter); all others are weights. A counter is held as f32, so it is
/// rounded above 2^24. A `num_batches_tracked` of shape `[1]` is read as a scalar. Weights and
/// buffers that are not finite, and variances below 0, are refused.
///
/// **Writing** stores weights and buffers as F32 and counters as I64. It also stores the SHA-256 of
/// the file under the key `convoxide-sha256`; reading compares it. A file without that key, from
/// another program or an older version, is read without the comparison. A program that changes the
/// tensors and keeps the metadata has to remove the key. The same model is always written as the
/// same bytes.
///
/// ```
/// use ndarray::ArrayD;
/// use nn_layers::{Metadata, ModelFile, Params, Slot};
///
/// let mut params = Params::new();
/// params.insert("fc.bias", Slot::Weight, ArrayD::from_elem(vec![10], 0.5f32));
/// let metadata = Metadata { architecture: "resnet18".into(), ..Metadata::default() };
/// let model = ModelFile { metadata: Some(metadata), params };
///
/// let bytes = model.to_bytes()?;
/// assert_eq!(ModelFile::from_bytes(&bytes)?, model);
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelFile {
    /// The description of the model, if the file has one.
    pub metadata: Option<Metadata>,
    /// The model's tensors, including those that no graph reads.
    pub params: Params<f32>,
}

impl ModelFile {
    /// Reads the file at `path`, once and in order.
    ///
    /// The header is compared with the file's length before memory is allocated for the tensors.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`](crate::Error::InFile) around an error of [`from_bytes`](Self::from_bytes),
    /// [`FileError::Io`] or [`FileError::NotAFile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        container::open(path.as_ref(), Self::read)
    }

    /// Reads a model from the bytes of a whole file.
    ///
    /// # Errors
    ///
    /// [`FileError::NotSafetensors`], [`FileError::HeaderTooLarge`] and [`FileError::Header`] for
    /// other kinds of files and damaged headers; [`FileError::Length`] for a file that was
    /// truncated or padded, and [`FileError::Digest`] for one that was damaged in another way; the
    /// variants that begin with `Tensor` for a fault in one tensor;
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) for a tensor that is too large;
    /// [`FileError::Metadata`]; and [`FileError::OtherFile`] for a checkpoint.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read(&mut &*bytes, bytes.len() as u64)
    }

    /// Writes the file at `path`, either whole or not at all: the bytes go to a new file in the
    /// same folder, which is then renamed. An existing file is replaced, and its permissions are
    /// kept.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`](crate::Error::InFile) around an error of [`to_bytes`](Self::to_bytes),
    /// [`FileError::Io`], or [`FileError::NotAFile`] if the path is a folder, a link, a pipe or a
    /// device. An existing file then stays unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        container::save(path.as_ref(), |target| self.write(target))
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// Errors for a file that could not be read back: [`FileError::TensorName`],
    /// [`FileError::TensorRank`], [`FileError::TensorSize`], [`FileError::HeaderTooLarge`],
    /// [`FileError::Metadata`], and [`FileError::TensorValue`] for a counter that is not an
    /// integer, a weight or a buffer that is not finite, or a variance below 0.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a file of `length` bytes.
    fn read(source: &mut dyn Read, length: u64) -> Result<Self> {
        let reader = container::Reader::new(source, length)?;
        if reader.metadata().is_some_and(purpose::is_checkpoint) {
            return Err(FileError::OtherFile {
                got: "a checkpoint of a training run",
                expected: "a model file",
                advice: "use best.safetensors or last.safetensors beside it",
            }
            .into());
        }
        let metadata = reader.metadata().map(Metadata::from_json).transpose()?;
        let mut params = Params::new();
        reader.tensors(|name, dtype, value| {
            let value = tensor::as_scalar(name, value);
            params.insert(name, tensor::slot(name, dtype), value);
            Ok(())
        })?;
        // After the comparison with the digest, since damage is the more likely cause.
        params.check_values()?;
        Ok(Self { metadata, params })
    }

    fn write(&self, target: &mut dyn Write) -> Result<()> {
        self.params.check_values()?;
        let metadata = self.metadata.as_ref();
        let metadata = metadata.map(Metadata::to_json).transpose()?;
        let params = self.params.iter();
        let params = params.map(|(name, param)| (name.to_owned(), param));
        container::write(target, metadata, params.collect())
    }
}
