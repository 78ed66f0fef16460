//! The results of torchvision for a known network, compared with ours.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::ArrayD;
use nn_layers::{Graph, Op, ParamSpec, Params, Shape, Slot, Summary, random_params};
use serde::Deserialize;

use crate::executors::Executor;
use crate::golden;
use crate::random::{pictures, to_f32};

/// The seed of the parameters in `formula.py`.
const SEED: u64 = 1;

/// A golden file of `goldens/models.py`: parameters come from the formula that it shares with
/// [`random_params`], so that only results are stored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkGolden {
    /// The model's name in that script.
    pub model: String,
    /// The number of trainable parameters, including auxiliary heads.
    pub parameters: u64,
    /// Entries of torchvision's state dict, including auxiliary heads and counters.
    pub names: usize,
    /// The multiply-adds of each layer in evaluation, by name, for one picture of the usual size.
    pub multiply_adds: BTreeMap<String, u64>,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    batch: usize,
    size: [usize; 2],
    seed: u64,
    /// Only every `every`-th class is stored.
    every: usize,
    /// The largest magnitude of all logits.
    largest: f64,
    logits: Vec<f64>,
}

impl NetworkGolden {
    /// Reads a file.
    ///
    /// # Panics
    ///
    /// If it cannot be read or is not such a file.
    #[must_use]
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Self {
        golden::read(path.as_ref())
    }

    /// Asserts that the graph that `graph` returns for a picture size has the multiply-adds of
    /// every layer, and that its logits by `executor` are within `1e-4` of the largest logit.
    ///
    /// # Panics
    ///
    /// If one of them differs.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "fails the test that calls it")]
    pub fn check(&self, graph: impl Fn([usize; 2]) -> Graph, executor: Executor<'_>) {
        let usual = self.cases.first().expect("a golden file with cases").size;
        self.check_multiply_adds(&graph(usual), usual);
        for case in &self.cases {
            let (graph, input) = (graph(case.size), case.input());
            let params = random_params(&graph, SEED).unwrap();
            let logits = executor(&graph, params, &[Shape::from(input.shape())])(&[input]);
            let classes = logits[0].shape()[1];
            let got = logits[0].rows().into_iter();
            let got = got.flat_map(|row| row.to_vec().into_iter().step_by(case.every));
            let got: Vec<f32> = got.collect();
            let what = format!("{}, batch {}, {:?}", self.model, case.batch, case.size);
            assert_eq!(got.len(), case.logits.len(), "{what}: {classes} classes");
            let worst = got
                .iter()
                .zip(&case.logits)
                .map(|(&got, expected)| (f64::from(got) - expected).abs())
                .fold(0.0, f64::max);
            assert!(
                worst <= 1e-4 * case.largest,
                "{what}: off by {worst:e} where the largest logit is {}",
                case.largest
            );
        }
    }

    /// Asserts that `graph`, including auxiliary heads, has as many trainable parameters, and that
    /// `fresh`, the saved state of a new model, has as many tensors as torchvision's state dict.
    ///
    /// # Panics
    ///
    /// If one of them differs.
    #[track_caller]
    pub fn check_params(&self, graph: &Graph, fresh: &Params<f32>) {
        let learnt = graph
            .param_specs()
            .filter(|spec| spec.slot() == Slot::Weight);
        let parameters: usize = learnt.map(ParamSpec::elements).sum();
        assert_eq!(parameters as u64, self.parameters, "{}", self.model);
        assert_eq!(fresh.len(), self.names, "{}", self.model);
    }

    #[track_caller]
    #[expect(clippy::expect_used, reason = "fails the test that calls it")]
    fn check_multiply_adds(&self, graph: &Graph, [h, w]: [usize; 2]) {
        let input = &graph.nodes()[graph.inputs()[0].index()];
        let shape = Shape::from([1, input.shape()[1], h, w]);
        let summary = Summary::new(graph, &[shape]).expect("the usual size");
        let counted: BTreeMap<String, u64> = graph
            .nodes()
            .iter()
            .zip(&summary.rows)
            .filter(|(node, _)| matches!(node.op(), Op::Conv2d(_) | Op::Linear(_)))
            .map(|(node, row)| (node.name().to_owned(), row.multiply_adds))
            .collect();
        assert_eq!(counted, self.multiply_adds, "{}", self.model);
    }
}

impl Case {
    fn input(&self) -> ArrayD<f32> {
        to_f32(pictures(self.batch, self.size, self.seed).view())
    }
}
