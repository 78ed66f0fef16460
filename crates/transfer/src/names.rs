//! The entries of a state dict: which are parameters, and which are not used.

use std::collections::HashSet;
use std::fmt;

use files::show;
use nn_layers::Slot;

use crate::error::{Error, Result};
use crate::pickle::heap::{Heap, Id, Tensor, Value};

/// The most bytes of a name, as in a model file.
const LONGEST: usize = 512;

/// An entry of a state dict that is not a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Its name in the file.
    pub name: String,
    /// What it is: the element type of a tensor, or a kind of value.
    pub what: &'static str,
}

/// The name and what it is, safe to print.
impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", show::beginning(&self.name, 100), self.what)
    }
}

/// The entries of a state dict, in its order.
#[derive(Default)]
pub(crate) struct Entries<'a> {
    /// The parameters by name.
    pub(crate) params: Vec<(&'a str, &'a Tensor)>,
    /// Everything else.
    pub(crate) unused: Vec<Unused>,
}

/// Tells the parameters of a state dict from its other entries.
pub(crate) fn sort(heap: &Heap, dict: Id) -> Result<Entries<'_>> {
    let mut entries = Entries::default();
    let mut seen = HashSet::new();
    for &(key, value) in heap.dict(dict) {
        let tensor = match value {
            Value::Tensor(id) => heap.tensor(id),
            _ => None,
        };
        let name = match key {
            Value::Text(name) => heap.text(name),
            _ if tensor.is_none() => continue,
            _ => return Err(fault("", "is not a text")),
        };
        let what = match tensor {
            None => value.what(),
            Some(tensor) if is_param(name, tensor) => {
                check(name, seen.insert(name))?;
                entries.params.push((name, tensor));
                continue;
            }
            Some(tensor) => tensor.dtype.name(),
        };
        entries.unused.push(Unused {
            name: name.to_owned(),
            what,
        });
    }
    Ok(entries)
}

/// Whether a tensor holds floats, or counts batches.
fn is_param(name: &str, tensor: &Tensor) -> bool {
    tensor.dtype.is_float() || (tensor.dtype.is_integer() && Slot::of_name(name) == Slot::Counter)
}

/// Refuses names that a model file could not have.
fn check(name: &str, is_new: bool) -> Result<()> {
    if name.is_empty() {
        Err(fault(name, "is empty"))
    } else if name == "__metadata__" {
        Err(fault(name, "is reserved by .safetensors"))
    } else if name.len() > LONGEST {
        Err(fault(name, "is longer than 512 bytes"))
    } else if name.chars().any(char::is_control) {
        Err(fault(name, "contains a control character"))
    } else if !is_new {
        Err(fault(name, "occurs twice"))
    } else {
        Ok(())
    }
}

fn fault(name: &str, what: &'static str) -> Error {
    Error::Name {
        tensor: name.chars().take(64).collect(),
        what,
    }
}
