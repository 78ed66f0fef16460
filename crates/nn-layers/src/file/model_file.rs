//! The model file: parameters by name, and a description of the model.

use std::{
    io::{Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{container, purpose, tensor};
use crate::{error::Result, file::error::FileError, params::Params};

/// The description of a model in its file, which makes the file self-contained.
///
/// This crate carries `config` and `preprocessing` without interpreting them: the architecture's
/// crate parses the first, the crate that reads pictures the second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The architecture's name: `resnet18`.
    pub architecture: String,
    /// What the architecture was built with.
    #[serde(default)]
    pub config: serde_json::Value,
    /// The names of the classes, in the order of the output; empty where there are none.
    #[serde(default)]
    pub classes: Vec<String>,
    /// What is done to a picture before it enters the network.
    #[serde(default)]
    pub preprocessing: serde_json::Value,
    /// The size `[h, w]` of the inputs that the network was trained on, in pixels, where that is
    /// known. A network whose preprocessing resizes nothing takes any size but is only right at
    /// this one.
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

    /// The text that the file holds; what cannot be read back is refused.
    fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string(self).map_err(FileError::metadata)?;
        Self::from_json(&text)?;
        Ok(text)
    }
}

/// A model as a file: a `.safetensors` with [`Metadata`] as JSON text under the key `convoxide`.
///
/// The names of the tensors are the parameters' (`layer1.0.conv1.weight`), those of PyTorch, so
/// files go both ways between the two. A file of PyTorch has no metadata that is known here;
/// other metadata than ours is left out.
///
/// **Reading** takes numbers of type F32, F16 and BF16, which keep their values, and F64, which is
/// rounded to the nearest f32. Tensors called `running_mean` and `running_var` are
/// [buffers](crate::Slot::Buffer), integers and tensors called `num_batches_tracked` are
/// [counters](crate::Slot::Counter), all else are weights. A counter is kept as f32: above 2^24 it
/// is rounded; `num_batches_tracked` of shape `[1]` is read as the scalar it is. Weights and
/// buffers that are not finite, and variances below 0, are refused.
///
/// **Writing** makes F32 of weights and buffers and I64 of counters, and puts the SHA-256 of the
/// file under the key `convoxide-sha256`, which is compared on reading. A file without that key,
/// from another program or an older version, is read without the comparison; a program that changes
/// the tensors and keeps the metadata has to remove the key. The same model is written as the same bytes.
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
    /// Its tensors, also such as no graph reads.
    pub params: Params<f32>,
}

impl ModelFile {
    /// Reads the file at `path`, once and in order.
    ///
    /// Its header is compared with its length before memory is taken for what the header claims.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`](crate::Error::InFile) around what [`from_bytes`](Self::from_bytes) says,
    /// [`FileError::Io`] or [`FileError::NotAFile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        container::open(path.as_ref(), Self::read)
    }

    /// Reads a whole file's bytes.
    ///
    /// # Errors
    ///
    /// [`FileError::NotSafetensors`], [`FileError::HeaderTooLarge`] and [`FileError::Header`] for
    /// other files and damaged headers, [`FileError::Length`] for a file that was cut or padded,
    /// [`FileError::Digest`] for one that was damaged otherwise, the variants beginning with
    /// `Tensor` for what is wrong with one tensor,
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) for one that is too large,
    /// [`FileError::Metadata`], and [`FileError::OtherFile`] for a checkpoint.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read(&mut &*bytes, bytes.len() as u64)
    }

    /// Writes the file whole or not at all: into a new file in the same folder, which then takes
    /// the name. A file that had the name is replaced, and its permissions are kept.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`](crate::Error::InFile) around what [`to_bytes`](Self::to_bytes) says,
    /// [`FileError::Io`], or [`FileError::NotAFile`] where the path is a folder, a link or a
    /// device. What was there before is then still there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        container::save(path.as_ref(), |target| self.write(target))
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// What a file could not be read back with: [`FileError::TensorName`],
    /// [`FileError::TensorRank`], [`FileError::TensorSize`], [`FileError::HeaderTooLarge`],
    /// [`FileError::Metadata`], and [`FileError::TensorValue`] for a counter that is no whole
    /// number, a weight that is not finite or a variance below 0.
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
                got: "a checkpoint of a training",
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
        // After the comparison with the digest: damage is the more likely reason.
        tensor::check_values(&params)?;
        Ok(Self { metadata, params })
    }

    fn write(&self, target: &mut dyn Write) -> Result<()> {
        tensor::check_values(&self.params)?;
        let metadata = self.metadata.as_ref();
        let metadata = metadata.map(Metadata::to_json).transpose()?;
        let params = self.params.iter();
        let params = params.map(|(name, param)| (name.to_owned(), param));
        container::write(target, metadata, params.collect())
    }
}
