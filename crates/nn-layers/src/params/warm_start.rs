//! The start of training from parameters that were trained elsewhere.

use super::{Params, error::ParamsError, load_report::LoadReport};
use crate::{
    error::Result,
    graph::{Graph, param_spec::ParamSpec},
};

impl<T> Params<T> {
    /// Combines these tensors, usually from a file, with the `initial` parameters of a graph: each
    /// parameter is taken from this store if it is there in the right shape, and otherwise from
    /// `initial`. So the layers of a network that the file's network has too are trained already,
    /// and the others, such as the classifier for other classes, begin afresh.
    ///
    /// Counters of batches and everything else that the graph does not read are dropped. `known` is
    /// that of [`LoadReport::new`]. The report lists what was left at its initial values as
    /// [`reinitialised`](LoadReport::reinitialised).
    ///
    /// # Errors
    ///
    /// [`ParamsError::NothingMatched`] if no tensor fits, and [`ParamsError::Misfits`] if `initial`
    /// lacks a parameter of the graph or has it in another shape.
    ///
    /// ```
    /// use ndarray::ArrayD;
    /// use nn_layers::{GraphBuilder, Linear, Slot, random_params};
    ///
    /// let network = |classes| {
    ///     let mut b = GraphBuilder::new();
    ///     let x = b.input("x", [1, 4])?;
    ///     let x = b.linear("hidden", x, Linear::new(8))?;
    ///     let x = b.linear("fc", x, Linear::new(classes))?;
    ///     b.finish(&[x])
    /// };
    /// let trained = random_params(&network(1000)?, 1)?;
    ///
    /// let graph = network(3)?;
    /// let (params, report) = trained.warm_start(&graph, random_params(&graph, 2)?, [])?;
    /// assert_eq!(report.loaded, 2);
    /// assert_eq!(report.reinitialised, ["fc.weight", "fc.bias"]);
    /// params.check(&graph)?;
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    pub fn warm_start<'a>(
        mut self,
        graph: &Graph,
        mut initial: Self,
        known: impl IntoIterator<Item = &'a ParamSpec>,
    ) -> Result<(Self, LoadReport)> {
        initial.check(graph)?;
        let mut report = LoadReport::new(&self, graph, known);
        let expected = graph.param_specs().map(|spec| spec.name().to_owned());
        if report.loaded == 0 {
            return Err(ParamsError::NothingMatched {
                found: self.iter().map(|(name, _)| name.to_owned()).collect(),
                expected: expected.collect(),
                prefix: report.prefix,
            }
            .into());
        }
        let mut params = Self::new();
        for spec in graph.param_specs() {
            let fits = self.misfit(spec.name(), spec.shape()).is_none();
            if !fits {
                report.reinitialised.push(spec.name().to_owned());
            }
            let source = if fits { &mut self } else { &mut initial };
            if let Some(param) = source.remove(spec.name()) {
                params.insert(spec.name(), spec.slot(), param.value);
            }
        }
        Ok((params, report))
    }
}
