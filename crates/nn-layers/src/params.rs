//! Parameters: what a node asks for, and the named store that holds them.

pub(crate) mod init;
pub(crate) mod load_report;
pub(crate) mod random;

use std::{collections::BTreeMap, fmt};

use conv_core::Element;
use ndarray::ArrayD;

use crate::{
    error::{Error, Result},
    graph::{Graph, shape::join},
};

/// What a tensor of a network is to training and to a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Learnt by gradient descent.
    Weight,
    /// Estimated from the data, such as running statistics: saved, never given a gradient.
    Buffer,
    /// Counted, such as `num_batches_tracked`: found in checkpoints, read by no graph.
    Counter,
}

/// A parameter that a node reads: its full name, shape and slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) slot: Slot,
}

impl ParamSpec {
    /// The name in a checkpoint: the node's name, a dot, and `weight`, `bias`, ...
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part of the name behind the node's: `weight`, `bias`, `running_mean` or `running_var`.
    #[must_use]
    pub fn local_name(&self) -> &str {
        self.name
            .rsplit_once('.')
            .map_or(&self.name, |(_, local)| local)
    }

    /// The shape: OIHW for a convolution's weight, `[O, I]` for a dense one, `[C]` for the rest.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The slot.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// How many numbers it holds.
    #[must_use]
    pub fn elements(&self) -> usize {
        // The builder has checked that the product does not overflow.
        self.shape.iter().product()
    }
}

/// A tensor in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Param<T> {
    /// What it is to training.
    pub slot: Slot,
    /// Its numbers.
    pub value: ArrayD<T>,
}

/// Tensors by name, in the order of their names.
///
/// The names are the checkpoint's (`layer1.0.conv1.weight`). A store may hold more than a graph
/// reads: an auxiliary head's weights when inferring, counters.
///
/// ```
/// use ndarray::ArrayD;
/// use nn_layers::{Params, Slot};
///
/// let mut params = Params::new();
/// params.insert("fc.bias", Slot::Weight, ArrayD::<f32>::zeros(vec![10]));
/// assert_eq!(params.get("fc.bias").map(|param| param.value.len()), Some(10));
/// assert_eq!(params.cast::<f64>().len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Params<T> {
    entries: BTreeMap<String, Param<T>>,
}

impl<T> Default for Params<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
        }
    }
}

impl<T> Params<T> {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a tensor in; returns the one that had the name before.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        slot: Slot,
        value: ArrayD<T>,
    ) -> Option<Param<T>> {
        self.entries.insert(name.into(), Param { slot, value })
    }

    /// The tensor of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Param<T>> {
        self.entries.get(name)
    }

    /// The tensor of this name, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Param<T>> {
        self.entries.get_mut(name)
    }

    /// Takes a tensor out, so that its memory can go as soon as it has been used.
    pub fn remove(&mut self, name: &str) -> Option<Param<T>> {
        self.entries.remove(name)
    }

    /// All names and tensors, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param<T>)> {
        self.entries
            .iter()
            .map(|(name, param)| (name.as_str(), param))
    }

    /// How many tensors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks that every parameter the graph reads is here with the right shape. More than the
    /// graph reads is no fault.
    ///
    /// # Errors
    ///
    /// [`Error::Params`] with every parameter that is missing or misshapen.
    pub fn check(&self, graph: &Graph) -> Result<()> {
        let misfits: Vec<_> = graph
            .param_specs()
            .filter_map(|spec| self.misfit(&spec.name, &spec.shape))
            .collect();
        if misfits.is_empty() {
            Ok(())
        } else {
            Err(Error::Params(misfits))
        }
    }

    /// What is wrong with the tensor of this name, if it should have this shape.
    pub(crate) fn misfit(&self, name: &str, expected: &[usize]) -> Option<Misfit> {
        let (name, expected) = (name.to_owned(), expected.to_vec());
        match self.get(&name) {
            None => Some(Misfit::Missing { name, expected }),
            Some(param) if param.value.shape() != expected => Some(Misfit::Shape {
                name,
                expected,
                got: param.value.shape().to_vec(),
            }),
            Some(_) => None,
        }
    }
}

impl<T: Element> Params<T> {
    /// The same tensors in another precision, each number rounded to the nearest.
    #[must_use]
    pub fn cast<U: Element>(&self) -> Params<U> {
        let cast = |param: &Param<T>| Param {
            slot: param.slot,
            // `to_f64` is exact and never `None` for f32 and f64.
            value: param
                .value
                .mapv(|x| U::from_f64(x.to_f64().unwrap_or(f64::NAN))),
        };
        Params {
            entries: self
                .entries
                .iter()
                .map(|(name, param)| (name.clone(), cast(param)))
                .collect(),
        }
    }
}

/// A parameter that does not fit its graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The store has none of this name.
    Missing {
        /// The name.
        name: String,
        /// The shape that the graph asks for.
        expected: Vec<usize>,
    },
    /// The store's has another shape.
    Shape {
        /// The name.
        name: String,
        /// The shape that the graph asks for.
        expected: Vec<usize>,
        /// The store's.
        got: Vec<usize>,
    },
}

impl Misfit {
    /// The parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Missing { name, .. } | Self::Shape { name, .. } => name,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, expected } => {
                write!(f, "{name} is missing, expected shape {}", join(expected))
            }
            Self::Shape {
                name,
                expected,
                got,
            } => {
                write!(
                    f,
                    "{name} has shape {}, expected {}",
                    join(got),
                    join(expected)
                )
            }
        }
    }
}
