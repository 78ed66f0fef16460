//! Parameters, and the store that holds them by name.

pub(crate) mod error;
mod fit;
pub(crate) mod init;
pub(crate) mod load_report;
pub(crate) mod random;
mod warm_start;

use std::collections::BTreeMap;

use conv_core::Element;
use ndarray::ArrayD;

use crate::graph::Graph;
use crate::graph::param_spec::Slot;

/// A tensor in a [`Params`] store.
#[derive(Clone, Debug, PartialEq)]
pub struct Param<T> {
    /// Whether it is trained, estimated or counted.
    pub slot: Slot,
    /// Its values.
    pub value: ArrayD<T>,
}

/// Named tensors, sorted by name.
///
/// The names are those of the graph's parameters (`layer1.0.conv1.weight`). A store may hold more
/// tensors than a graph reads, such as counters, or an auxiliary head's weights in inference.
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

    /// Inserts a tensor and returns the one that it replaces, if any.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        slot: Slot,
        value: ArrayD<T>,
    ) -> Option<Param<T>> {
        self.entries.insert(name.into(), Param { slot, value })
    }

    /// The tensor of this name, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Param<T>> {
        self.entries.get(name)
    }

    /// The tensor of this name, if there is one, for changes.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Param<T>> {
        self.entries.get_mut(name)
    }

    /// Removes a tensor and returns it, so that its memory can be freed as soon as it has been
    /// used.
    pub fn remove(&mut self, name: &str) -> Option<Param<T>> {
        self.entries.remove(name)
    }

    /// All names and tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param<T>)> {
        self.entries
            .iter()
            .map(|(name, param)| (name.as_str(), param))
    }

    /// The number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no tensors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T: Element> Params<T> {
    /// The parameters that a graph reads, as far as they are here: those of a part of a network, for
    /// example.
    ///
    /// ```
    /// use nn_layers::{GraphBuilder, Linear, random_params};
    ///
    /// let mut b = GraphBuilder::new();
    /// let x = b.input("x", [1, 8])?;
    /// let features = b.linear("features", x, Linear::new(4))?;
    /// let logits = b.linear("logits", features, Linear::new(2))?;
    /// let graph = b.finish(&[logits])?;
    /// let params = random_params(&graph, 1)?;
    ///
    /// let own = params.read_by(&graph.with_outputs(&[features])?);
    /// assert_eq!((params.len(), own.len()), (4, 2));
    /// assert_eq!(own.get("features.weight"), params.get("features.weight"));
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    #[must_use]
    pub fn read_by(&self, graph: &Graph) -> Self {
        let mut own = Self::new();
        for spec in graph.param_specs() {
            if let Some(param) = self.get(spec.name()) {
                own.insert(spec.name(), param.slot, param.value.clone());
            }
        }
        own
    }

    /// The same tensors in another precision, with each value rounded to the nearest.
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
