//! A network, a batch, and helpers that show what a step has changed.

use std::collections::BTreeSet;

use ndarray::{ArrayD, ArrayViewD, IxDyn};
use nn_layers::{
    BatchNorm2d, Conv2d, Graph, GraphBuilder, Linear, Loss, Padding, Params, PlainTrainer, Result,
    Slot, StepKey, Terms, TrainBackend, TrainSpec, random_params,
};
use testkit::{Projection, distinct_array};

pub(crate) const KEY: StepKey = StepKey { seed: 7, step: 3 };
pub(crate) const LOSS: Projection = Projection { seed: 5 };

/// Returns two stages of a convolution, a batch normalisation, a ReLU and a dropout, with a
/// shortcut around the second one, and a classifier.
pub(crate) fn network() -> Graph {
    let mut b = GraphBuilder::new();
    let stage = |b: &mut GraphBuilder, x| -> Result<_> {
        let conv = Conv2d::new(4, [3, 3])
            .padding(Padding::all(1))
            .without_bias();
        let y = b.conv2d("conv", x, conv)?;
        let y = b.batch_norm2d("bn", y, BatchNorm2d::default())?;
        let y = b.relu("relu", y)?;
        b.dropout("dropout", y, 0.5)
    };
    let x = b.input("image", [1, 3, 6, 5]).unwrap();
    let first = b.scope("stage1", |b| stage(b, x)).unwrap();
    let second = b.scope("stage2", |b| stage(b, first)).unwrap();
    let y = b.add("add", first, second).unwrap();
    let y = b.global_avg_pool2d("pool", y).unwrap();
    let y = b.flatten("flatten", y).unwrap();
    let y = b.linear("fc", y, Linear::new(3)).unwrap();
    b.finish(&[y]).unwrap()
}

/// Returns random parameters and counters, as a checkpoint has them, and a tensor that no node
/// reads.
pub(crate) fn checkpoint(graph: &Graph) -> Params<f64> {
    let mut params = random_params(graph, 3).unwrap().cast();
    for stage in ["stage1", "stage2"] {
        let name = format!("{stage}.bn.num_batches_tracked");
        params.insert(name, Slot::Counter, ArrayD::from_elem(IxDyn(&[]), 4.0));
    }
    params.insert("aux.weight", Slot::Weight, ArrayD::ones(vec![2]));
    params
}

pub(crate) fn image() -> ArrayD<f64> {
    distinct_array(&[2, 3, 6, 5], 9)
}

pub(crate) fn frozen(names: &[&str]) -> TrainSpec {
    TrainSpec {
        frozen: names.iter().map(|&name| name.to_owned()).collect(),
        ..TrainSpec::default()
    }
}

/// Performs a step of gradient descent.
pub(crate) fn descend(trainer: &mut PlainTrainer<f64>) -> Result<()> {
    trainer.update(&mut |_, numbers, gradient| {
        for (number, slope) in numbers.iter_mut().zip(gradient) {
            *number -= 0.01 * slope;
        }
    })
}

/// Returns the names of the tensors whose bits differ.
pub(crate) fn changed(before: &Params<f64>, after: &Params<f64>) -> BTreeSet<String> {
    let bits = |params: &Params<f64>, name: &str| -> Vec<u64> {
        let param = params.get(name).unwrap();
        param.value.iter().map(|x| x.to_bits()).collect()
    };
    assert_eq!(before.len(), after.len());
    before
        .iter()
        .map(|(name, _)| name)
        .filter(|name| bits(before, name) != bits(after, name))
        .map(str::to_owned)
        .collect()
}

pub(crate) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The sum of the outputs: a loss with a gradient of 1 for each value.
pub(crate) struct Sum;

impl Loss<f64> for Sum {
    fn eval(&self, outputs: &[ArrayViewD<'_, f64>], grads: &mut [ArrayD<f64>]) -> Result<Terms> {
        grads.iter_mut().for_each(|grad| grad.fill(1.0));
        Ok(Terms {
            total: outputs.iter().map(|output| output.sum()).sum(),
            parts: vec![("outputs".to_owned(), outputs.len() as f64)],
        })
    }
}
