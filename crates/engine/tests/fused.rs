//! What is fused into a convolution gives the bits of the steps on their own, for pictures of every size.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use conv_core::{MaxPool2dOptions, Padding};
use engine::{Memory, Options, Plan, Precision};
use ndarray::ArrayD;
use nn_layers::{Conv2d, Graph, GraphBuilder, NodeId, Shape, random_params};

/// Builds a graph from an input `x` `[1, 3, 33, 40]`; with `all`, every value is an output, so that nothing can
/// be fused.
fn graph(all: bool, build: impl Fn(&mut GraphBuilder, NodeId) -> Vec<NodeId>) -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 3, 33, 40]).unwrap();
    let values = build(&mut b, x);
    let last = values.last().copied().unwrap();
    let outputs: Vec<NodeId> = match all {
        true => values,
        false => vec![last],
    };
    b.finish(&outputs).unwrap()
}

/// Asserts that both forms have the same last output, and that the fused one has `expected` steps less.
fn assert_same_bits(
    expected: usize,
    options: &Options,
    build: impl Fn(&mut GraphBuilder, NodeId) -> Vec<NodeId>,
) {
    let [alone, fused] = [true, false].map(|all| {
        let graph = graph(all, &build);
        let params = random_params(&graph, 7).unwrap();
        Plan::compile(&graph, params, options).unwrap()
    });
    for [batch, height, width] in [[1, 33, 40], [3, 20, 17], [2, 9, 9], [1, 2, 3]] {
        let shape = [batch, 3, height, width];
        let steps = |plan: &Plan| plan.listing(&[Shape::from(shape)]).unwrap().steps.len();
        assert_eq!(steps(&alone), steps(&fused) + expected);
        let input: ArrayD<f32> = testkit::random_array(&shape, 5).mapv(|x| x as f32);
        let alone = alone.run_once(&[input.view()]).unwrap();
        let fused = fused.run_once(&[input.view()]).unwrap();
        assert_eq!(alone.last(), fused.last(), "{shape:?}");
    }
}

#[test]
fn a_fused_pool_gives_the_bits_of_a_pool_after_the_convolution() {
    let same = |channels, kernel| Conv2d::new(channels, [kernel; 2]).padding(Padding::Same);
    for options in [
        Options::default(),
        Options {
            memory: Memory::Small,
            ..Options::default()
        },
        Options {
            precision: Precision::Exact,
            ..Options::default()
        },
    ] {
        for padding in [Padding::Valid, Padding::Explicit([0, 0, 1, 1])] {
            let halving = MaxPool2dOptions::new([2, 2]).padding(padding);
            // The first convolution reads planar pictures; by Winograd's algorithm, or directly, the second
            // follows the pool's result.
            assert_same_bits(1, &options, |b, x| {
                let first = b.conv2d("first", x, same(32, 3)).unwrap();
                let pool = b.max_pool2d("pool", first, halving).unwrap();
                vec![first, pool]
            });
            assert_same_bits(2, &options, |b, x| {
                let first = b.conv2d("first", x, same(24, 1)).unwrap();
                let relu = b.relu("relu", first).unwrap();
                let second = b.conv2d("second", relu, same(32, 3)).unwrap();
                let pool = b.max_pool2d("pool", second, halving).unwrap();
                vec![first, second, pool]
            });
        }
    }
}

#[test]
fn merged_siblings_give_the_bits_of_the_layers_alone() {
    let same = |channels| Conv2d::new(channels, [3, 3]).padding(Padding::Same);
    let graph = graph(true, |b, x| {
        let x = b.conv2d("x32", x, Conv2d::new(32, [1, 1])).unwrap();
        let one = b.conv2d("one", x, Conv2d::new(32, [1, 1])).unwrap();
        let two = Conv2d::new(24, [1, 1]).without_bias();
        let two = b.conv2d("two", x, two).unwrap();
        let wide = b.conv2d("wide", one, same(16)).unwrap();
        vec![one, two, wide, b.conv2d("narrow", two, same(16)).unwrap()]
    });
    let params = random_params(&graph, 7).unwrap();
    let plan = |graph: &Graph| {
        let params = params.read_by(graph);
        Plan::compile(graph, params, &Options::default()).unwrap()
    };
    let both = plan(&graph);
    for shape in [[1, 3, 33, 40], [3, 3, 20, 17], [2, 3, 1, 2]] {
        let listing = both.listing(&[Shape::from(shape)]).unwrap();
        let merged = listing
            .steps
            .iter()
            .filter(|step| step.computes.contains("of 2 layers"));
        assert_eq!(merged.count(), 1);
        let input: ArrayD<f32> = testkit::random_array(&shape, 5).mapv(|x| x as f32);
        let got = both.run_once(&[input.view()]).unwrap();
        for (&node, got) in graph.outputs().iter().zip(&got) {
            let alone = plan(&graph.with_outputs(&[node]).unwrap());
            assert_eq!(
                &alone.run_once(&[input.view()]).unwrap()[0],
                got,
                "{shape:?}"
            );
        }
    }
}
