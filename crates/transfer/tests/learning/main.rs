//! Learning from a trained network: fine-tuning, features and their cache.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cache;
mod extractor;
mod fine_tune;
mod range_test;
mod stages;

use ndarray::{ArrayD, Axis};
use nn_layers::{
    BatchNorm2d, Conv2d, Graph, GraphBuilder, Linear, Padding, Params, Slot, Targets, initialise,
};
use testkit::{random_array, to_f32};

type Batch = nn_layers::TrainBatch<f32, Targets<f32>>;

const CLASSES: usize = 3;
const SAMPLES: usize = 20;
const BATCH: usize = 6;

/// Two stages with batch normalisation and dropout, and a head.
fn network() -> Graph {
    let mut b = GraphBuilder::new();
    let mut x = b.input("image", [1, 2, 6, 8]).unwrap();
    for stage in ["stage1", "stage2"] {
        x = b
            .scope(stage, |b| {
                let conv = Conv2d::new(8, [3, 3]).padding(Padding::all(1));
                let x = b.conv2d("conv", x, conv.without_bias())?;
                let x = b.batch_norm2d("bn", x, BatchNorm2d::default())?;
                let x = b.relu("relu", x)?;
                b.dropout("dropout", x, 0.1)
            })
            .unwrap();
    }
    let x = b.global_avg_pool2d("pool", x).unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let x = b.dropout("dropout", x, 0.2).unwrap();
    let x = b.linear("fc", x, Linear::new(CLASSES)).unwrap();
    b.finish(&[x]).unwrap()
}

/// Parameters with running statistics and counters, as a trained network has them.
fn params(graph: &Graph) -> Params<f32> {
    let mut params = initialise(graph, 5, |_, _| None).unwrap();
    for (stage, seed) in [("stage1", 1), ("stage2", 2)] {
        let numbers = |seed| to_f32(random_array(&[8], seed).view());
        let name = |local: &str| format!("{stage}.bn.{local}");
        params.insert(name("running_mean"), Slot::Buffer, numbers(seed) * 0.1);
        let variance = numbers(10 + seed).mapv(|x| 0.5 + x.abs());
        params.insert(name("running_var"), Slot::Buffer, variance);
        let counter = ArrayD::from_elem(vec![], 7.0);
        params.insert(name("num_batches_tracked"), Slot::Counter, counter);
    }
    params
}

/// The samples: noise that is brighter in the first channel, in the second, or darker in both.
fn samples() -> Batch {
    let mut pictures = to_f32(random_array(&[SAMPLES, 2, 6, 8], 3).view());
    let labels: Vec<usize> = (0..SAMPLES).map(|n| (n * n + n / 2) % CLASSES).collect();
    for (mut picture, &label) in pictures.axis_iter_mut(Axis(0)).zip(&labels) {
        for (mut channel, by) in picture
            .outer_iter_mut()
            .zip([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]][label])
        {
            channel.mapv_inplace(|x| x + by);
        }
    }
    Batch {
        inputs: vec![pictures],
        targets: Targets::Labels(labels),
    }
}

/// The batch of these samples.
fn batch_of(samples: &Batch, indices: &[usize]) -> Batch {
    let Targets::Labels(labels) = &samples.targets else {
        panic!("soft targets")
    };
    Batch {
        inputs: vec![samples.inputs[0].select(Axis(0), indices)],
        targets: Targets::Labels(indices.iter().map(|&index| labels[index]).collect()),
    }
}

/// All samples in batches, in this order.
fn batches(samples: &Batch, order: &[usize]) -> Vec<Result<Batch, nn_layers::Error>> {
    let batches = order.chunks(BATCH);
    batches
        .map(|indices| Ok(batch_of(samples, indices)))
        .collect()
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The bits of a parameter.
fn bits(params: &Params<f32>, name: &str) -> Vec<u32> {
    let param = params.get(name).unwrap_or_else(|| panic!("{name}"));
    param.value.iter().map(|x| x.to_bits()).collect()
}

/// The names of the tensors whose bits differ.
fn changed(before: &Params<f32>, after: &Params<f32>) -> Vec<String> {
    assert_eq!(before.len(), after.len());
    let names = before.iter().map(|(name, _)| name);
    let names = names.filter(|name| bits(before, name) != bits(after, name));
    names.map(str::to_owned).collect()
}
