//! The weights of a network, from a file of any of the formats.

use std::collections::HashMap;
use std::fmt;
use std::io::{Cursor, Read, SeekFrom};
use std::path::{Path, PathBuf};

use files::{Kind, show};
use ndarray::Axis;
use nn_layers::{Metadata, ModelFile, Params, Slot};

use crate::error::{Error, Result};
use crate::legacy;
use crate::names::{self, Entries, Unused};
use crate::pickle::{
    self,
    heap::{Heap, Storage, Value},
    input::Input,
};
use crate::prefix::{self, RemovedPrefix};
use crate::run_folder::best_model;
use crate::source::{Place, Source};
use crate::state_dict;
use crate::tensor::Checked;
use crate::zip_file::ZipFile;

/// How to read a file of weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The keys that lead to the state dict of a checkpoint, joined by dots: `model` or
    /// `state.teacher`. Without it, the one under a usual key such as `state_dict` is taken, or the
    /// only one.
    pub key: Option<String>,
    /// What to do about names with a prefix.
    pub prefixes: Prefixes,
}

/// What to do about the prefixes that wrappers of a network put in front of its parameters' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefixes {
    /// A usual prefix (`module.`, `_orig_mod.`, `model.`, `net.`, `backbone.`) is removed if more
    /// than half of the names have it.
    #[default]
    Remove,
    /// The names stay as they are in the file.
    Keep,
}

/// The format of a file of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PyTorch's zip archive, since version 1.6.
    PyTorchZip,
    /// PyTorch's stream of pickles, before version 1.6.
    PyTorchLegacy,
    /// A `.safetensors` file of another program.
    Safetensors,
    /// A model file of Convoxide.
    ModelFile,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PyTorchZip => "PyTorch, zip archive",
            Self::PyTorchLegacy => "PyTorch, before 1.6",
            Self::Safetensors => "safetensors",
            Self::ModelFile => "model file",
        })
    }
}

/// What was read and what was left out. [`Display`](fmt::Display) prints a few lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReport {
    /// The format.
    pub format: Format,
    /// The file, if the weights are those of a training run's folder.
    pub file: Option<PathBuf>,
    /// The keys that lead to the state dict, joined by dots; `None` if it is the file itself.
    pub key: Option<String>,
    /// The keys of the state dicts that were not read; empty for the file's own tensors.
    pub other_keys: Vec<String>,
    /// The prefix that was removed from the names, if any.
    pub prefix: Option<RemovedPrefix>,
    /// The entries of the state dict that are not parameters, in its order.
    pub unused: Vec<Unused>,
}

impl fmt::Display for ReadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format        {}", self.format)?;
        if let Some(file) = &self.file {
            write!(f, "\nfile          {}", show::name(file.as_os_str()))?;
        }
        let list = |names: Vec<String>| match names.split_at_checked(8) {
            Some((shown, rest)) if !rest.is_empty() => {
                format!("{}, and {} more", shown.join(", "), rest.len())
            }
            _ => names.join(", "),
        };
        if self.key.is_some() || !self.other_keys.is_empty() {
            let key = self.key.as_deref().map(state_dict::shown);
            let own = || "the file's own tensors".to_owned();
            let key = key.unwrap_or_else(own);
            write!(f, "\nstate dict    {key}")?;
            if !self.other_keys.is_empty() {
                let others = self.other_keys.iter().map(|key| match key.is_empty() {
                    true => own(),
                    false => state_dict::shown(key),
                });
                write!(f, "; not read: {}", list(others.collect()))?;
            }
        }
        if let Some(RemovedPrefix { prefix, names }) = &self.prefix {
            let plural = if *names == 1 { "name" } else { "names" };
            write!(f, "\nprefix        {prefix} removed from {names} {plural}")?;
        }
        if !self.unused.is_empty() {
            let unused = self.unused.iter().map(ToString::to_string);
            let (count, unused) = (self.unused.len(), list(unused.collect()));
            write!(f, "\nunused        {count}: {unused}")?;
        }
        Ok(())
    }
}

/// The weights of a network, from another program or another run.
///
/// The format is that of the file's content, whatever its name: PyTorch's `.pth` and `.pt`, both
/// the zip archive and the stream before version 1.6, and `.safetensors`, including model files. Of
/// a training run's folder, `best.safetensors` is read, or else `last.safetensors`. **Nothing in a
/// file is executed.** Of a pickle, tensors, numbers, texts, tuples, lists and dictionaries are
/// built; any other object is an error that names it.
///
/// Values of type float16, bfloat16 and float64 become f32; a value beyond the range of f32 is an
/// error, and so is one that is not finite. Integers under the name `num_batches_tracked` become
/// [counters](Slot::Counter). Other integers, and types that no network here has, are reported as
/// unused. Tensors may be views of a shared storage with any strides.
///
/// Memory is bounded by the length of the file, the tensors, and 64 MiB; the tensors may take at
/// most eight times the length of the file and 16 MiB, since views can repeat a value.
///
/// ```
/// use nn_layers::{ModelFile, Params, Slot, ndarray::ArrayD};
/// use transfer::{Format, ReadOptions, Weights};
///
/// let mut params = Params::new();
/// params.insert("module.fc.bias", Slot::Weight, ArrayD::from_elem(vec![10], 0.5));
/// let bytes = ModelFile { metadata: None, params }.to_bytes()?;
///
/// let weights = Weights::from_bytes(&bytes, &ReadOptions::default())?;
/// assert_eq!(weights.report.format, Format::Safetensors);
/// assert_eq!(weights.report.prefix.unwrap().prefix, "module.");
/// assert!(weights.params.get("fc.bias").is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The parameters by name.
    pub params: Params<f32>,
    /// The description of the network, if the file is a model file.
    pub metadata: Option<Metadata>,
    /// What was read and what was left out.
    pub report: ReadReport,
}

impl Weights {
    /// Reads the weights at `path` with the default options.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// Reads the weights at `path`, a file or the folder of a training run.
    ///
    /// # Errors
    ///
    /// [`Error::InFile`] around an error of [`from_bytes`](Self::from_bytes), [`Error::Io`],
    /// [`Error::NotAFile`] or [`Error::Folder`].
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return open_file(path, options).map_err(|error| error.in_file(path));
        }
        let model = best_model(path).ok_or_else(|| Error::Folder.in_file(path))?;
        let mut weights = open_file(&model, options).map_err(|error| error.in_file(&*model))?;
        weights.report.file = Some(model);
        Ok(weights)
    }

    /// Reads the weights in the bytes of a whole file.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`] and [`Error::UnknownKind`] for other kinds of files;
    /// [`Error::Tensors`] for a damaged `.safetensors` file, a checkpoint of a training run, and
    /// values that no network can use; and the other variants for PyTorch's files.
    pub fn from_bytes(bytes: &[u8], options: &ReadOptions) -> Result<Self> {
        let start = bytes.get(..Kind::LOOKED_AT).unwrap_or(bytes);
        match pytorch(Kind::of(start))? {
            None => from_model_file(ModelFile::from_bytes(bytes)?, options),
            Some(format) => {
                let length = bytes.len() as u64;
                from_pytorch(&mut Cursor::new(bytes), length, format, options)
            }
        }
    }
}

fn open_file(path: &Path, options: &ReadOptions) -> Result<Weights> {
    let (mut file, length) = files::open(path)?;
    let mut start = Vec::new();
    let looked_at = Kind::LOOKED_AT as u64;
    file.by_ref().take(looked_at).read_to_end(&mut start)?;
    match pytorch(Kind::of(&start))? {
        None => {
            drop(file);
            let model = ModelFile::open(path).map_err(|error| match error {
                nn_layers::Error::InFile { error, .. } => *error,
                error => error,
            })?;
            from_model_file(model, options)
        }
        Some(format) => from_pytorch(&mut file, length, format, options),
    }
}

/// Which of PyTorch's formats a file has; `None` for `.safetensors`.
fn pytorch(kind: Option<Kind>) -> Result<Option<Format>> {
    match kind {
        Some(Kind::Zip) => Ok(Some(Format::PyTorchZip)),
        Some(Kind::PyTorchLegacy) => Ok(Some(Format::PyTorchLegacy)),
        Some(Kind::Safetensors) => Ok(None),
        Some(kind) => Err(Error::OtherKind { kind }),
        None => Err(Error::UnknownKind),
    }
}

/// The weights of a `.safetensors` file. The names of a model file are those of its graph.
fn from_model_file(model: ModelFile, options: &ReadOptions) -> Result<Weights> {
    let ModelFile {
        metadata,
        mut params,
    } = model;
    if let Some(key) = &options.key {
        return Err(Error::MissingKey {
            key: key.clone(),
            found: vec![String::new()],
        });
    }
    let (format, prefixes) = match &metadata {
        Some(_) => (Format::ModelFile, Prefixes::Keep),
        None => (Format::Safetensors, options.prefixes),
    };
    let mut unused = Vec::new();
    let is_unused = |name: &str, slot| slot == Slot::Counter && Slot::of_name(name) != slot;
    let names: Vec<String> = params.iter().map(|(name, _)| name.to_owned()).collect();
    for name in &names {
        let slot = params.get(name).map(|param| param.slot);
        if slot.is_some_and(|slot| is_unused(name, slot)) {
            params.remove(name);
            unused.push(Unused {
                name: name.clone(),
                what: "integers",
            });
        }
    }
    let kept: Vec<&str> = params.iter().map(|(name, _)| name).collect();
    let prefix = removed(&kept, prefixes);
    if let Some(RemovedPrefix { prefix, .. }) = &prefix {
        for name in &names {
            if let Some(short) = name.strip_prefix(&**prefix)
                && let Some(param) = params.remove(name)
            {
                params.insert(short, param.slot, param.value);
            }
        }
    }
    let report = ReadReport {
        format,
        file: None,
        key: None,
        other_keys: Vec::new(),
        prefix,
        unused,
    };
    Ok(Weights {
        params,
        metadata,
        report,
    })
}

/// The prefix to be removed from these names, if any.
fn removed(names: &[&str], prefixes: Prefixes) -> Option<RemovedPrefix> {
    match prefixes {
        Prefixes::Remove => prefix::find(names),
        Prefixes::Keep => None,
    }
}

/// The storages of a file, found when a tensor needs them.
enum Storages {
    Zip(ZipFile, HashMap<String, Place>),
    Legacy(HashMap<String, Place>),
}

impl Storages {
    /// The place of a storage, whose length has been compared with the pickle's.
    fn place(&mut self, source: &mut dyn Source, key: &str, storage: Storage) -> Result<Place> {
        let shown = || state_dict::shown(key);
        let found = match self {
            Self::Legacy(places) => places.get(key).copied(),
            Self::Zip(file, places) => match places.get(key) {
                Some(&place) => Some(place),
                None => {
                    let place = file.entry(source, &format!("data/{key}"))?;
                    places.extend(place.map(|place| (key.to_owned(), place)));
                    place
                }
            },
        };
        let place = found.ok_or_else(|| Error::MissingStorage { storage: shown() })?;
        match storage.bytes() == Some(place.bytes) {
            true => Ok(place),
            false => Err(Error::StorageLength {
                storage: shown(),
                expected: storage.bytes().unwrap_or(u64::MAX),
                got: place.bytes,
            }),
        }
    }
}

/// The objects of a zip archive.
fn read_zip(source: &mut dyn Source, length: u64) -> Result<(Heap, Value, Storages)> {
    let mut file = ZipFile::open(source, length)?;
    if let Some(place) = file.entry(source, "byteorder")? {
        let start = place.part(0, place.bytes.min(8)).unwrap_or(place);
        let text = crate::source::whole(source, start, || "the byte order".to_owned())?;
        if text.starts_with(b"big") {
            return Err(Error::BigEndian);
        }
    }
    let pickle = file.entry(source, "data.pkl")?.ok_or(Error::NotPyTorch)?;
    let mut heap = Heap::default();
    let mut input = Input::new(pickle.reader(source)?, pickle.bytes);
    let root = pickle::read(&mut input, &mut heap)?;
    drop(input);
    Ok((heap, root, Storages::Zip(file, HashMap::new())))
}

fn from_pytorch(
    source: &mut dyn Source,
    length: u64,
    format: Format,
    options: &ReadOptions,
) -> Result<Weights> {
    source.seek(SeekFrom::Start(0))?;
    let (heap, root, mut storages) = match format {
        Format::PyTorchLegacy => {
            let (heap, root, places) = legacy::read(source, length)?;
            (heap, root, Storages::Legacy(places))
        }
        Format::PyTorchZip | Format::Safetensors | Format::ModelFile => read_zip(source, length)?,
    };
    let chosen = state_dict::choose(&heap, root, options.key.as_deref())?;
    let Entries { params, unused } = names::sort(&heap, chosen.dict)?;
    let names: Vec<&str> = params.iter().map(|(name, _)| *name).collect();
    let prefix = removed(&names, options.prefixes);

    let tensors = params.into_iter().map(|(name, tensor)| {
        let short = prefix
            .as_ref()
            .and_then(|found| name.strip_prefix(&*found.prefix));
        let checked = Checked::new(name, tensor)?;
        Ok((short.unwrap_or(name), tensor.storage, checked))
    });
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let counts = tensors.iter().map(|(_, _, checked)| checked.count as u64);
    check_total(counts, length)?;

    let mut params = Params::new();
    for (name, storage, checked) in tensors {
        let place = storages.place(source, heap.text(storage.key), storage)?;
        let slot = Slot::of_name(name);
        let value = checked.read(source, name, place)?;
        // Some programs write a counter as a vector with one element.
        let value = match (slot, value.shape()) {
            (Slot::Counter, [1]) => value.index_axis_move(Axis(0), 0),
            _ => value,
        };
        params.insert(name, slot, value);
    }
    params.check_values()?;
    let report = ReadReport {
        format,
        file: None,
        key: (!chosen.key.is_empty()).then_some(chosen.key),
        other_keys: chosen.others,
        prefix,
        unused,
    };
    Ok(Weights {
        params,
        metadata: None,
        report,
    })
}

/// Refuses tensors that together are much larger than a file of this length: a stride of 0 repeats
/// a value without end.
fn check_total(mut counts: impl Iterator<Item = u64>, length: u64) -> Result<()> {
    let bytes = counts.try_fold(0_u64, |sum, count| {
        sum.checked_add(count.checked_mul(size_of::<f32>() as u64)?)
    });
    let got = bytes.unwrap_or(u64::MAX);
    let limit = length.saturating_mul(8).saturating_add(16 << 20);
    match got <= limit {
        true => Ok(()),
        false => Err(Error::TooManyValues { got, limit }),
    }
}
