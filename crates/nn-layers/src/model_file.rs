//! The model file: parameters by name, and what the model says about itself.

mod header;
mod kind;
mod tensor;

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use self::header::Header;
use crate::{
    error::{Error, Result},
    params::Params,
};

/// What a model file says about itself, so that it needs nothing beside it.
///
/// This crate keeps `config` and `preprocessing` without understanding them: who knows the
/// architecture parses the one, who reads pictures the other.
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
}

impl Metadata {
    fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::Metadata {
            reason: one_line(&error),
        })
    }

    /// The text that the file holds; what cannot be read back is refused.
    fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string(self).map_err(|error| Error::Metadata {
            reason: one_line(&error),
        })?;
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
/// is rounded. NaN and infinity stay what they are.
///
/// **Writing** makes F32 of weights and buffers and I64 of counters. The same model gives the same
/// bytes.
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
    /// What the model says about itself, where it does.
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
    /// [`Error::File`] around what [`from_bytes`](Self::from_bytes) says, [`Error::Io`] or
    /// [`Error::NotAFile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let read = || {
            // A pipe would block when opened, so look first.
            if !std::fs::metadata(path).map_err(Error::io)?.is_file() {
                return Err(Error::NotAFile);
            }
            let file = File::open(path).map_err(Error::io)?;
            let length = file.metadata().map_err(Error::io)?.len();
            Self::read(file, length)
        };
        read().map_err(|error| error.in_file(path))
    }

    /// Reads a whole file's bytes.
    ///
    /// # Errors
    ///
    /// [`Error::NotSafetensors`], [`Error::HeaderTooLarge`] and [`Error::Header`] for other files
    /// and damaged headers, [`Error::FileLength`] for a file that was cut or padded, the variants
    /// beginning with `Tensor` for what is wrong with one tensor, and [`Error::Metadata`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes, bytes.len() as u64)
    }

    /// Writes the file whole or not at all: into a new file in the same folder, which then takes
    /// the name. A file that had the name is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::File`] around what [`to_bytes`](Self::to_bytes) says, [`Error::Io`], or
    /// [`Error::NotAFile`] where the path is a folder or a device. What was there before is then
    /// still there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.replace(path).map_err(|error| error.in_file(path))
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// What a file could not be read back with: [`Error::TensorName`], [`Error::TensorRank`],
    /// [`Error::TensorSize`], [`Error::HeaderTooLarge`], [`Error::Metadata`], and
    /// [`Error::TensorValue`] for a counter that is no whole number.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a file of `length` bytes.
    fn read(mut source: impl Read, length: u64) -> Result<Self> {
        let mut start = Vec::new();
        let mut peeked = source.by_ref().take(length.min(kind::PEEKED));
        peeked.read_to_end(&mut start).map_err(Error::io)?;
        kind::check(&start)?;

        let header_bytes = header::length(&start, length)?;
        let body = start.get(header::LENGTH_BYTES..).unwrap_or_default();
        let mut source = body.chain(source);
        let mut text = vec![0; header_bytes];
        source.read_exact(&mut text).map_err(Error::io)?;
        let header = Header::parse(&text)?;
        drop(text);
        header.check(header_bytes, length)?;

        let metadata = header.metadata.as_deref();
        let metadata = metadata.map(Metadata::from_json).transpose()?;
        let mut params = Params::new();
        for (name, info) in header.tensors {
            let value = tensor::read(&mut source, &name, &info)?;
            params.insert(&*name, tensor::slot(&name, info.dtype), value);
        }
        // The file may have grown since its length was taken.
        if source.read(&mut [0]).map_err(Error::io)? != 0 {
            return Err(Error::FileLength {
                expected: length,
                got: length.saturating_add(1),
            });
        }
        Ok(Self { metadata, params })
    }

    fn write(&self, target: &mut impl Write) -> Result<()> {
        let metadata = self.metadata.as_ref();
        let metadata = metadata.map(Metadata::to_json).transpose()?;
        let mut params: Vec<_> = self.params.iter().collect();
        // Every tensor is aligned where those of the widest type come first.
        params.sort_by_key(|(_, param)| std::cmp::Reverse(tensor::dtype(param.slot)));
        Header::new(metadata, &params)?.write(target)?;
        for (name, param) in params {
            tensor::write(target, name, param)?;
        }
        Ok(())
    }

    fn replace(&self, path: &Path) -> Result<()> {
        if std::fs::metadata(path).is_ok_and(|old| !old.is_file()) {
            return Err(Error::NotAFile);
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        // Temporary files are private by default; a model is for whom the umask lets in.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.prefix(".").tempfile_in(folder);
        let mut file = BufWriter::new(file.map_err(Error::io)?);
        self.write(&mut file)?;
        let file = file
            .into_inner()
            .map_err(|error| Error::io(error.into_error()))?;
        // Or the name might reach the disk before the bytes do.
        file.as_file().sync_all().map_err(Error::io)?;
        file.persist(path).map_err(|error| Error::io(error.error))?;
        Ok(())
    }
}

/// An error that quotes a file, as one line of bounded length.
fn one_line(error: &impl ToString) -> String {
    const LONGEST: usize = 300;
    let text = error.to_string();
    let mut line: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.len() < text.len() {
        line += "...";
    }
    line
}
