//! The objects that a pickle builds, and the memory that they may take.
//!
//! Objects refer to each other by number, so that a cycle or a million nested lists costs neither a
//! recursion nor a leak.

use crate::dtype::DType;
use crate::error::{Error, Result};

/// The most memory that the objects of a pickle may take, in bytes: enough for some ten thousand
/// tensors. A byte of a pickle can build an object of a hundred bytes.
pub(crate) const LIMIT: usize = 24 << 20;

/// The cost of an object beside its contents: its place in a vector that may be half empty, and the
/// allocator's own.
const OBJECT: usize = 64;

/// The number of an object among those of its kind.
pub(crate) type Id = u32;

/// A value of a pickle. Texts, containers and tensors are in the [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits.
    Long,
    /// The number with which PyTorch's legacy format begins.
    Magic,
    Float,
    Bytes,
    Device,
    Class(Class),
    Text(Id),
    Tuple(Id),
    /// A list or a set.
    List(Id),
    Dict(Id),
    Storage(Id),
    Tensor(Id),
}

impl Value {
    /// What it is, with its article.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) | Self::Long | Self::Magic => "an integer",
            Self::Float => "a float",
            Self::Bytes => "bytes",
            Self::Device => "a device",
            Self::Class(_) => "a class",
            Self::Text(_) => "a text",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// The names that a pickle may refer to. Nothing is imported: each is a mark for what to build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Class {
    OrderedDict,
    /// A dictionary of counts, as the schedules of a training program have it.
    Counter,
    Set,
    /// A function that makes bytes.
    Bytes,
    /// `torch._utils._rebuild_tensor` or `_rebuild_tensor_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`, whose last argument but one is the element type.
    RebuildTensorOfType,
    RebuildParameter,
    /// A storage: untyped if there is no element type.
    Storage(Option<DType>),
    DType(DType),
    Size,
    Device,
}

impl Class {
    /// The class of this name, if it is permitted.
    pub(crate) fn named(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("collections", "Counter") => Some(Self::Counter),
            // The second is the module's name in Python 2, which protocol 2 keeps.
            ("builtins" | "__builtin__", "set") => Some(Self::Set),
            ("builtins" | "__builtin__", "bytearray" | "bytes") => Some(Self::Bytes),
            ("_codecs", "encode") => Some(Self::Bytes),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_tensor_v3") => Some(Self::RebuildTensorOfType),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch" | "torch.storage", "UntypedStorage") => Some(Self::Storage(None)),
            ("torch", "Size") => Some(Self::Size),
            ("torch", "device") => Some(Self::Device),
            ("torch" | "torch.cuda", name) => DType::of_storage(name)
                .map(|dtype| Self::Storage(Some(dtype)))
                .or_else(|| DType::named(name).map(Self::DType)),
            _ => None,
        }
    }
}

/// A storage: consecutive values of one type, which tensors share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Storage {
    /// The text that names it in the file.
    pub(crate) key: Id,
    /// The element type, unless it is untyped.
    pub(crate) dtype: Option<DType>,
    /// The number of values, or of bytes if it is untyped.
    pub(crate) count: u64,
}

impl Storage {
    /// Its length in bytes; `None` if it overflows.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.count
            .checked_mul(self.dtype.map_or(1, DType::bytes) as u64)
    }
}

/// A tensor: a view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) storage: Storage,
    pub(crate) dtype: DType,
    /// The index of the first value in the storage.
    pub(crate) offset: u64,
    /// The size of each axis.
    pub(crate) shape: Vec<usize>,
    /// The distance of neighbours along each axis, in values.
    pub(crate) strides: Vec<usize>,
}

/// All objects of a pickle.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    texts: Vec<Box<str>>,
    tuples: Vec<Box<[Value]>>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: Vec<Storage>,
    tensors: Vec<Tensor>,
    used: usize,
}

impl Heap {
    pub(crate) fn text(&self, id: Id) -> &str {
        self.texts.get(id as usize).map_or("", |text| text)
    }

    pub(crate) fn tuple(&self, id: Id) -> &[Value] {
        self.tuples.get(id as usize).map_or(&[], |tuple| tuple)
    }

    pub(crate) fn list(&self, id: Id) -> &[Value] {
        self.lists.get(id as usize).map_or(&[], |list| list)
    }

    pub(crate) fn dict(&self, id: Id) -> &[(Value, Value)] {
        self.dicts.get(id as usize).map_or(&[], |dict| dict)
    }

    pub(crate) fn storage(&self, id: Id) -> Option<&Storage> {
        self.storages.get(id as usize)
    }

    pub(crate) fn tensor(&self, id: Id) -> Option<&Tensor> {
        self.tensors.get(id as usize)
    }

    /// All storages that the pickle refers to.
    pub(crate) fn storages(&self) -> &[Storage] {
        &self.storages
    }

    pub(crate) fn new_text(&mut self, text: String) -> Result<Value> {
        self.charge(text.len())?;
        Ok(Value::Text(
            self.add(|heap| &mut heap.texts, text.into_boxed_str())?,
        ))
    }

    pub(crate) fn new_tuple(&mut self, values: Vec<Value>) -> Result<Value> {
        self.charge(size_of::<Value>() * values.len())?;
        Ok(Value::Tuple(
            self.add(|heap| &mut heap.tuples, values.into_boxed_slice())?,
        ))
    }

    pub(crate) fn new_list(&mut self) -> Result<Value> {
        Ok(Value::List(self.add(|heap| &mut heap.lists, Vec::new())?))
    }

    pub(crate) fn new_dict(&mut self) -> Result<Value> {
        Ok(Value::Dict(self.add(|heap| &mut heap.dicts, Vec::new())?))
    }

    pub(crate) fn new_storage(&mut self, storage: Storage) -> Result<Value> {
        Ok(Value::Storage(
            self.add(|heap| &mut heap.storages, storage)?,
        ))
    }

    pub(crate) fn new_tensor(&mut self, tensor: Tensor) -> Result<Value> {
        self.charge(2 * OBJECT + size_of::<usize>() * 2 * tensor.shape.len())?;
        Ok(Value::Tensor(self.add(|heap| &mut heap.tensors, tensor)?))
    }

    /// Appends to a list.
    pub(crate) fn append(&mut self, list: Id, values: Vec<Value>) -> Result<()> {
        self.charge(growth::<Value>(values.len(), self.list(list).len()))?;
        if let Some(list) = self.lists.get_mut(list as usize) {
            list.extend(values);
        }
        Ok(())
    }

    /// Adds entries to a dictionary.
    pub(crate) fn set(&mut self, dict: Id, entries: Vec<(Value, Value)>) -> Result<()> {
        self.charge(growth::<(Value, Value)>(
            entries.len(),
            self.dict(dict).len(),
        ))?;
        if let Some(dict) = self.dicts.get_mut(dict as usize) {
            dict.extend(entries);
        }
        Ok(())
    }

    /// Counts the bytes of something that is kept.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<()> {
        self.used = self.used.saturating_add(bytes);
        self.check(0)
    }

    /// Compares the memory in use, and as much beside it, with the limit.
    pub(crate) fn check(&self, beside: usize) -> Result<()> {
        match self.used.saturating_add(beside) <= LIMIT {
            true => Ok(()),
            false => Err(Error::PickleMemory { limit: LIMIT }),
        }
    }

    fn add<T>(&mut self, place: impl Fn(&mut Self) -> &mut Vec<T>, object: T) -> Result<Id> {
        self.charge(OBJECT)?;
        let objects = place(self);
        // The limit of memory is reached long before that of numbers.
        let id = Id::try_from(objects.len()).map_err(|_| Error::PickleMemory { limit: LIMIT })?;
        objects.push(object);
        Ok(id)
    }
}

/// The bytes by which a vector of this length grows at most: vectors double, from at least four.
fn growth<T>(more: usize, length: usize) -> usize {
    let first = if length == 0 { 4 } else { 0 };
    size_of::<T>() * (2 * more + first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A larger value would make every list of a pickle larger.
    #[test]
    fn a_value_takes_two_words() {
        assert_eq!(size_of::<Value>(), 16);
        assert_eq!(size_of::<Option<Value>>(), 16);
    }
}
