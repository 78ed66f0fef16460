//! How parameters fit a graph.

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
    /// Checks that every parameter the graph reads is here with the right shape. More than the
    /// graph reads is no fault.
    ///
    /// # Errors
    ///
    /// [`ParamsError::Misfits`] with every parameter that is missing or misshapen.
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

impl LoadReport {
    /// Compares `params` with `graph`. `known` are parameters that the architecture has and the
    /// graph may leave out; if one is missing, that is no misfit.
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

    /// The report itself, if every parameter of the graph is there and nothing unexpected is.
    ///
    /// # Errors
    ///
    /// [`ParamsError::Load`] with the report where there are misfits or unexpected tensors.
    pub fn strict(self) -> Result<Self> {
        if self.misfits.is_empty() && self.unexpected.is_empty() {
            Ok(self)
        } else {
            Err(ParamsError::Load(Box::new(self)).into())
        }
    }
}

/// What all of the graph's parameters have in front of their names in `params`.
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

/// The name of the counter beside a batch normalisation, which has one `running_mean`.
fn counter(spec: &ParamSpec) -> Option<String> {
    let node = spec.name().strip_suffix(".running_mean")?;
    Some(format!("{node}.num_batches_tracked"))
}
