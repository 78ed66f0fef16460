//! The stream that PyTorch wrote before version 1.6.
//!
//! ```text
//! pickle   the number 0x1950a86a20f9469cfc6c
//! pickle   the protocol, 1001
//! pickle   a dictionary about the machine
//! pickle   the object, whose tensors refer to storages
//! pickle   the list of the storages' keys
//! data     for each key the number of values in 8 bytes, then the values
//! ```

use std::collections::HashMap;
use std::io::{BufReader, SeekFrom};

use files::show;

use crate::error::{Error, Result};
use crate::pickle::{
    self,
    heap::{Heap, Storage, Value},
    input::Input,
};
use crate::source::{Place, Source, array};

/// The only protocol that PyTorch ever wrote.
const PROTOCOL: Value = Value::Int(1001);

/// The contents of a file of `length` bytes: its objects, the object at the top, and where the
/// storages are.
pub(crate) fn read(
    source: &mut dyn Source,
    length: u64,
) -> Result<(Heap, Value, HashMap<String, Place>)> {
    source.seek(SeekFrom::Start(0))?;
    let mut heap = Heap::default();
    let mut input = Input::new(BufReader::with_capacity(1 << 16, &mut *source), length);
    if pickle::read(&mut input, &mut heap)? != Value::Magic {
        return Err(input.fault("it does not begin with PyTorch's number"));
    }
    if pickle::read(&mut input, &mut heap)? != PROTOCOL {
        return Err(input.fault("the protocol of the file is not 1001"));
    }
    let machine = pickle::read(&mut input, &mut heap)?;
    if is_big_endian(&heap, machine) {
        return Err(Error::BigEndian);
    }
    let root = pickle::read(&mut input, &mut heap)?;
    let Value::List(keys) = pickle::read(&mut input, &mut heap)? else {
        return Err(input.fault("the list of storages is missing"));
    };
    let data = input.at();
    let storages = storages(source, length, data, &heap, heap.list(keys))?;
    Ok((heap, root, storages))
}

/// Whether the dictionary about the machine says so.
fn is_big_endian(heap: &Heap, machine: Value) -> bool {
    let Value::Dict(machine) = machine else {
        return false;
    };
    heap.dict(machine).iter().any(|&(key, value)| {
        matches!(key, Value::Text(key) if heap.text(key) == "little_endian")
            && value == Value::Bool(false)
    })
}

/// The place of each storage, by its key. They follow each other from `data` to the end of the
/// file.
fn storages(
    source: &mut dyn Source,
    length: u64,
    data: u64,
    heap: &Heap,
    keys: &[Value],
) -> Result<HashMap<String, Place>> {
    let mut known: HashMap<&str, Storage> = HashMap::new();
    for &storage in heap.storages() {
        let other = known.insert(heap.text(storage.key), storage);
        let same = |other: Storage| (other.dtype, other.count) == (storage.dtype, storage.count);
        if !other.is_none_or(same) {
            return Err(Error::Pickle {
                at: data,
                reason: "two descriptions of one storage differ",
            });
        }
    }
    let mut places = HashMap::new();
    let mut at = data;
    let within = |end: u64| match end <= length {
        true => Ok(end),
        false => Err(Error::Truncated {
            what: "a storage",
            expected: end,
            got: length,
        }),
    };
    for &key in keys {
        let Value::Text(key) = key else {
            return Err(Error::Pickle {
                at: data,
                reason: "the key of a storage is not a text",
            });
        };
        let key = heap.text(key);
        let shown = || show::beginning(key, 100);
        let storage = known
            .get(key)
            .ok_or_else(|| Error::MissingStorage { storage: shown() })?;
        let begin = within(at.saturating_add(8))?;
        let count = u64::from_le_bytes(array(source, at)?);
        let bytes = storage.bytes().unwrap_or(u64::MAX);
        if count != storage.count {
            let size = storage.dtype.map_or(1, crate::dtype::DType::bytes) as u64;
            return Err(Error::StorageLength {
                storage: shown(),
                expected: bytes,
                got: count.saturating_mul(size),
            });
        }
        at = within(begin.saturating_add(bytes))?;
        let place = Place {
            offset: begin,
            bytes,
        };
        if places.insert(key.to_owned(), place).is_some() {
            return Err(Error::Pickle {
                at: data,
                reason: "a storage is listed twice",
            });
        }
    }
    match at == length {
        true => Ok(places),
        false => Err(Error::TooLong {
            expected: at,
            got: length,
        }),
    }
}
