//! The comparison of parameters with a graph.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Params,
    load_report::{LoadReport, Misfit},
};
use crate::{
    error::Result,
    graph::{Graph, param_spec::ParamSpec},
    params::error::ParamsError,
};

impl<T> Params<T> {
    /// Checks that this store holds every parameter that the graph reads, in the right shape.
    /// Additional tensors are allowed.
    ///
    /// # Errors
    ///
    /// [`ParamsError::Misfits`] with all parameters that are missing or have a wrong shape.
    pub fn check(&self, graph: &Graph) -> Result<()> {
        let misfits: Vec<_> = graph
            .param_specs()
            .filter_map(|spec| self.misfit(&spec.name, &spec.shape))
            .collect();
        if misfits.is_empty() {
            Ok(())
        } else {
            Err(ParamsError::Misfits(misfits).into())
        }
    }

    /// The misfit of the tensor of this name, if it is missing or does not have this shape.
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

impl LoadReport {
    /// Compares `params` with `graph`. `known` lists the parameters that the architecture has but
    /// the graph may leave out. One of them that is missing is not a misfit.
    pub fn new<'a, T>(
        params: &Params<T>,
        graph: &Graph,
        known: impl IntoIterator<Item = &'a ParamSpec>,
    ) -> Self {
        let mut report = Self::default();
        let mut read = BTreeSet::new();
        for spec in graph.param_specs() {
            read.insert(spec.name());
            match params.misfit(spec.name(), spec.shape()) {
                None => report.loaded += 1,
                Some(misfit) => report.misfits.push(misfit),
            }
        }

        let known: Vec<&ParamSpec> = known.into_iter().collect();
        let counters = graph.param_specs().chain(known.iter().copied());
        let counters: Vec<String> = counters.filter_map(counter).collect();
        let mut unused: BTreeMap<&str, &[usize]> =
            counters.iter().map(|name| (&**name, &[][..])).collect();
        unused.extend(known.iter().map(|spec| (spec.name(), spec.shape())));

        for (name, _) in params.iter().filter(|(name, _)| !read.contains(name)) {
            match unused.get(name).map(|shape| params.misfit(name, shape)) {
                Some(None) => report.known_unused.push(name.to_owned()),
                Some(Some(misfit)) => report.misfits.push(misfit),
                None => report.unexpected.push(name.to_owned()),
            }
        }
        if !report.misfits.is_empty() {
            report.prefix = prefix(params, graph);
        }
        report
    }

    /// Returns the report itself if there are no misfits and no unexpected tensors.
    ///
    /// # Errors
    ///
    /// [`ParamsError::Load`] with the report if there are misfits or unexpected tensors.
    pub fn strict(self) -> Result<Self> {
        if self.misfits.is_empty() && self.unexpected.is_empty() {
            Ok(self)
        } else {
            Err(ParamsError::Load(Box::new(self)).into())
        }
    }
}

/// The common prefix, if any, with which `params` holds all of the graph's parameters.
fn prefix<T>(params: &Params<T>, graph: &Graph) -> Option<String> {
    let first = graph.param_specs().next()?;
    let prefixes = params.iter().filter_map(|(name, _)| {
        let prefix = name.strip_suffix(first.name())?;
        prefix.ends_with('.').then_some(prefix)
    });
    let fits = |prefix: &&str| {
        graph.param_specs().all(|spec| {
            let name = format!("{prefix}{}", spec.name());
            params.misfit(&name, spec.shape()).is_none()
        })
    };
    prefixes.into_iter().find(fits).map(str::to_owned)
}

/// The name of a batch normalisation's counter, from its `running_mean`; `None` for other
/// parameters.
fn counter(spec: &ParamSpec) -> Option<String> {
    let node = spec.name().strip_suffix(".running_mean")?;
    Some(format!("{node}.num_batches_tracked"))
}
