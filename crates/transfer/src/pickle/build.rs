//! Storages and tensors from the arguments that a pickle has for them.

use super::heap::{Class, Heap, Storage, Tensor, Value};
use crate::error::{Error, Result};

/// The storage of a persistent id: `("storage", class, key, location, count)`, in old files with a
/// sixth element that describes a view.
pub(crate) fn storage(heap: &Heap, id: Value) -> Result<Storage, &'static str> {
    let Value::Tuple(id) = id else {
        return Err("a reference that is not a tuple");
    };
    let (class, key, count) = match *heap.tuple(id) {
        [Value::Text(kind), class, key, _, count]
        | [Value::Text(kind), class, key, _, count, Value::None]
            if heap.text(kind) == "storage" =>
        {
            (class, key, count)
        }
        [_, _, _, _, _, _] => {
            return Err("a view of a storage, as no release of PyTorch writes it");
        }
        _ => return Err("a reference to something other than a storage"),
    };
    let (Value::Class(Class::Storage(dtype)), Value::Text(key), Value::Int(count)) =
        (class, key, count)
    else {
        return Err("a storage without a class, a key or a length");
    };
    let count = u64::try_from(count).map_err(|_| "a storage of negative length")?;
    Ok(Storage { key, dtype, count })
}

/// What a call of a permitted name returns. `fault` makes the error.
pub(crate) fn call(
    heap: &mut Heap,
    class: Value,
    arguments: Value,
    fault: impl Fn(&'static str) -> Error,
) -> Result<Value> {
    let (Value::Class(class), Value::Tuple(arguments)) = (class, arguments) else {
        return Err(fault("a call of a value that is not a function"));
    };
    match (class, heap.tuple(arguments)) {
        (Class::OrderedDict | Class::Counter, []) => heap.new_dict(),
        (Class::Counter, &[counts @ Value::Dict(_)]) => Ok(counts),
        (Class::Set, []) => heap.new_list(),
        (Class::Set, &[elements @ Value::List(_)]) => Ok(elements),
        (Class::Bytes, _) => Ok(Value::Bytes),
        (Class::OrderedDict, &[Value::List(pairs)]) => {
            let entry = |&pair: &Value| match pair {
                Value::List(pair) => <[Value; 2]>::try_from(heap.list(pair)).ok(),
                Value::Tuple(pair) => <[Value; 2]>::try_from(heap.tuple(pair)).ok(),
                _ => None,
            };
            let pairs = heap.list(pairs);
            heap.check(2 * size_of_val(pairs))?;
            let entries: Option<Vec<_>> = pairs
                .iter()
                .map(|pair| entry(pair).map(|[key, value]| (key, value)))
                .collect();
            let entries = entries.ok_or_else(|| fault("an entry that is not a pair"))?;
            let dict = heap.new_dict()?;
            if let Value::Dict(dict) = dict {
                heap.set(dict, entries)?;
            }
            Ok(dict)
        }
        (Class::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
            let tensor = tensor(heap, [storage, offset, shape, strides], None).map_err(fault)?;
            heap.new_tensor(tensor)
        }
        (Class::RebuildTensorOfType, &[storage, offset, shape, strides, _, _, dtype, ..]) => {
            let tensor =
                tensor(heap, [storage, offset, shape, strides], Some(dtype)).map_err(fault)?;
            heap.new_tensor(tensor)
        }
        (Class::RebuildParameter, &[tensor @ Value::Tensor(_), ..]) => Ok(tensor),
        (Class::Size, &[sizes @ Value::Tuple(_)]) => Ok(sizes),
        (Class::Device, _) => Ok(Value::Device),
        (Class::Storage(_) | Class::DType(_), _) => Err(fault("a call of a type")),
        (
            Class::OrderedDict
            | Class::Counter
            | Class::Set
            | Class::RebuildTensor
            | Class::RebuildTensorOfType
            | Class::RebuildParameter
            | Class::Size,
            _,
        ) => Err(fault("a call with the wrong arguments")),
    }
}

/// A tensor from its storage, offset, shape and strides, and from its element type where the
/// storage has none.
fn tensor(
    heap: &Heap,
    [storage, offset, shape, strides]: [Value; 4],
    dtype: Option<Value>,
) -> Result<Tensor, &'static str> {
    let storage = match storage {
        Value::Storage(id) => heap.storage(id).copied(),
        _ => None,
    };
    let storage = storage.ok_or("a tensor without a storage")?;
    let dtype = match dtype {
        None => storage.dtype,
        Some(Value::Class(Class::DType(dtype))) => Some(dtype),
        Some(_) => None,
    };
    let dtype = dtype.ok_or("a tensor without an element type")?;
    let Value::Int(offset) = offset else {
        return Err("a tensor whose offset is not an integer");
    };
    let offset = u64::try_from(offset).map_err(|_| "a tensor with a negative offset")?;
    let sizes = |value| {
        let sizes = match value {
            Value::Tuple(id) => heap.tuple(id),
            Value::List(id) => heap.list(id),
            _ => return Err("a tensor without a shape or strides"),
        };
        let size = |&size: &Value| match size {
            Value::Int(size) => usize::try_from(size).map_err(|_| "a negative size or stride"),
            _ => Err("a size or stride that is not an integer"),
        };
        if sizes.len() > MOST_AXES {
            return Err("a tensor with more than 64 axes");
        }
        sizes.iter().map(size).collect::<Result<Vec<_>, _>>()
    };
    let (shape, strides) = (sizes(shape)?, sizes(strides)?);
    if shape.len() != strides.len() {
        return Err("a tensor with another number of sizes than of strides");
    }
    Ok(Tensor {
        storage,
        dtype,
        offset,
        shape,
        strides,
    })
}

/// The most axes of a tensor in PyTorch.
const MOST_AXES: usize = 64;
