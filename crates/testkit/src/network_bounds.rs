//! Error bounds of a whole network's outputs in f32: each operation's own rounding, and how the
//! later operations propagate it.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD, Axis};
use nn_layers::{Graph, GraphBuilder, Node, NodeId, Op, Params, Plain, Result, Shape};

use crate::close::{compare, dot_bound};
use crate::executors::{Executor, terms};
use crate::sums::Sums;

/// Runs the whole network by the executor, and asserts that each value of its outputs is within the
/// error bound of its arithmetic from the f64 run.
///
/// With bounds `E` of a node's inputs, its output is off by its own rounding, [`dot_bound`] of the
/// magnitudes of its sums, and by the propagation of `E`. For operations that sum, select or move,
/// that is the operation itself on `E` with absolute parameters, without its constants: the maximum
/// of a window moves by at most the largest `E` in it, and a normalisation multiplies `E` by weight
/// over deviation. A sigmoid's slope is at most 1/4. A softmax `y` moves by `y (E + sum of y E)`,
/// to first order; twice that is allowed.
///
/// These bounds add up magnitudes and grow from layer to layer: they suit networks of a few layers.
///
/// # Panics
///
/// If an element is farther off; the message names the output.
#[track_caller]
#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "fails the test that calls it"
)]
pub fn assert_network_agrees(
    graph: &Graph,
    params: &Params<f32>,
    inputs: &[ArrayD<f32>],
    sums: Sums,
    executor: Executor<'_>,
) {
    let wide: Vec<ArrayD<f64>> = inputs.iter().map(|x| x.mapv(f64::from)).collect();
    let bounded =
        bounded_outputs(graph, &params.cast(), &wide, sums).expect("a network and its inputs");
    let shapes: Vec<Shape> = inputs.iter().map(|x| Shape::from(x.shape())).collect();
    let got = executor(graph, params.clone(), &shapes)(inputs);
    assert_eq!(got.len(), bounded.len(), "outputs");
    for (index, (got, Bounded { value, bound })) in got.iter().zip(&bounded).enumerate() {
        let bounds: Vec<f64> = bound.iter().copied().collect();
        if let Err(message) = compare(got.view(), value.view(), |at| bounds[at]) {
            panic!("output {index}: {message}");
        }
    }
}

/// A tensor in f64, and the error bound of each of its values in f32.
#[derive(Clone, Debug)]
struct Bounded {
    value: ArrayD<f64>,
    bound: ArrayD<f64>,
}

fn bounded_outputs(
    graph: &Graph,
    params: &Params<f64>,
    inputs: &[ArrayD<f64>],
    sums: Sums,
) -> Result<Vec<Bounded>> {
    let mut tensors: Vec<Bounded> = Vec::new();
    let mut given = inputs.iter();
    for node in graph.nodes() {
        let tensor = match (node.op(), given.as_slice().first()) {
            (Op::Input, Some(input)) => {
                given.next();
                let (value, bound) = ((*input).clone(), ArrayD::zeros(input.raw_dim()));
                Bounded { value, bound }
            }
            _ => {
                let mut sources = node.inputs().to_vec();
                sources.sort_unstable();
                sources.dedup();
                let read: Vec<&Bounded> = sources
                    .iter()
                    .map(|source| &tensors[source.index()])
                    .collect();
                let alone = alone(graph, node, &sources, &read)?;
                of_node(&alone, node, params, &read, sums)?
            }
        };
        tensors.push(tensor);
    }
    let outputs = graph.outputs().iter();
    Ok(outputs.map(|id| tensors[id.index()].clone()).collect())
}

/// Returns the graph of this node alone at the size of the tensors that it reads; an isolated node
/// would have the size that the whole graph was built with.
fn alone(graph: &Graph, node: &Node, sources: &[NodeId], read: &[&Bounded]) -> Result<Graph> {
    let mut b = GraphBuilder::new();
    let mut made = BTreeMap::new();
    for (&source, tensor) in sources.iter().zip(read) {
        let name = graph.nodes()[source.index()].name();
        made.insert(source, b.input(name, Shape::from(tensor.value.shape()))?);
    }
    let inputs: Vec<NodeId> = node.inputs().iter().map(|input| made[input]).collect();
    let output = b.node(node.name(), node.op().clone(), &inputs)?;
    b.finish(&[output])
}

fn of_node(
    alone: &Graph,
    node: &Node,
    params: &Params<f64>,
    read: &[&Bounded],
    sums: Sums,
) -> Result<Bounded> {
    let mut own = Params::new();
    let mut absolute = Params::new();
    for spec in alone.param_specs() {
        if let Some(param) = params.get(spec.name()) {
            own.insert(spec.name(), param.slot, param.value.clone());
            // The magnitude of a difference is a sum.
            let sign = if spec.local_name() == "running_mean" {
                -1.0
            } else {
                1.0
            };
            let value = param.value.mapv(|x| sign * x.abs());
            absolute.insert(spec.name(), param.slot, value);
        }
    }
    let run = |params: &Params<f64>, inputs: Vec<ArrayD<f64>>| {
        let views: Vec<ArrayViewD<'_, f64>> = inputs.iter().map(|x| x.view()).collect();
        let plain = Plain::new(alone, params.clone())?;
        Ok::<_, nn_layers::Error>(plain.run(&views)?.remove(0))
    };
    let of = |map: &dyn Fn(&Bounded) -> ArrayD<f64>| read.iter().map(|x| map(x)).collect();

    let value = run(&own, of(&|x| x.value.clone()))?;
    let error = &read[0].bound;
    let smallest = f64::from(f32::MIN_POSITIVE);
    let terms = terms(node, read[0].value.shape());
    let rounded = |magnitude: &ArrayD<f64>| {
        magnitude.mapv(|m| terms.map_or(0.0, |terms| dot_bound(terms, m)) + smallest)
    };
    let bound = match node.op() {
        Op::Sigmoid => rounded(&value) + error.mapv(|e| e / 4.0),
        Op::Softmax => {
            let mean = (&value * error).sum_axis(Axis(1)).insert_axis(Axis(1));
            let moved = &value * &(error + &mean) * 2.0;
            rounded(&value) + moved + f64::from(f32::EPSILON)
        }
        Op::Input
        | Op::Conv2d(_)
        | Op::Linear(_)
        | Op::BatchNorm2d(_)
        | Op::Affine
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu { .. }
        | Op::MaxPool2d(_)
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Add
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Dropout { .. }
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => {
            let magnitude = run(&absolute, of(&|x| x.value.mapv(f64::abs)))?;
            let moved = run(&absolute, of(&|x| x.bound.clone()))?;
            let constant = run(&absolute, of(&|x| ArrayD::zeros(x.bound.raw_dim())))?;
            let mut bound = rounded(&magnitude) + moved - constant;
            let weight = node.param("weight").and_then(|spec| own.get(spec.name()));
            let weight = weight.map(|param| &param.value);
            sums.add_to(&mut bound, node, &read[0].value, weight);
            bound
        }
    };
    Ok(Bounded { value, bound })
}

#[cfg(test)]
mod tests {
    use nn_layers::{BatchNorm2d, Conv2d, Infer, Outputs, Padding, random_params};

    use super::*;
    use crate::executors::Run;
    use crate::random::{random_array, to_f32};

    fn network() -> Graph {
        let mut b = GraphBuilder::new();
        let mut x = b.input("x", [1, 3, 7, 6]).unwrap();
        for number in 0..3 {
            let conv = Conv2d::new(5, [3, 3]).padding(Padding::all(1));
            x = b.conv2d(&format!("conv{number}"), x, conv).unwrap();
            x = b
                .batch_norm2d(&format!("norm{number}"), x, BatchNorm2d::default())
                .unwrap();
            x = b.relu(&format!("relu{number}"), x).unwrap();
        }
        let y = b.softmax("y", x).unwrap();
        b.finish(&[x, y]).unwrap()
    }

    /// The plain loops, with a relative error added to each value.
    fn off_by(share: f32) -> impl Fn(&Graph, Params<f32>, &[Shape]) -> Run {
        move |graph, params, _| {
            let mut plain = Plain::new(graph, params).unwrap();
            Box::new(move |inputs| {
                let views: Vec<_> = inputs.iter().map(|x| x.view()).collect();
                let mut outputs = Outputs::new();
                Infer::run(&mut plain, &views, &mut outputs).unwrap();
                let off = |x: &ArrayD<f32>| x.mapv(|x| x * (1.0 + share));
                outputs.tensors.iter().map(off).collect()
            })
        }
    }

    #[test]
    fn the_plain_loops_in_f32_are_within_the_bounds() {
        let (graph, input) = (network(), to_f32(random_array(&[2, 3, 7, 6], 1).view()));
        assert_network_agrees(
            &graph,
            &random_params(&graph, 1).unwrap(),
            &[input],
            Sums::Direct,
            &off_by(0.0),
        );
    }

    #[test]
    #[should_panic(expected = "output 0")]
    fn a_thousandth_is_too_much() {
        let (graph, input) = (network(), to_f32(random_array(&[2, 3, 7, 6], 1).view()));
        assert_network_agrees(
            &graph,
            &random_params(&graph, 1).unwrap(),
            &[input],
            Sums::Direct,
            &off_by(1e-3),
        );
    }
}
