//! Random small graphs: shape inference, the executor and surgery have to agree.

#![expect(clippy::unwrap_used, reason = "what a test cannot build fails it")]

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{Graph, NodeId, Plain, Shape, Summary, random_params};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use testkit::graph_recipes;

/// Returns the shape and the bits of a tensor, which are equal where the arithmetic is the same.
fn bits(tensor: &ArrayD<f64>) -> (Vec<usize>, Vec<u64>) {
    (
        tensor.shape().to_vec(),
        tensor.iter().map(|x| x.to_bits()).collect(),
    )
}

/// Runs a part of a graph on the tensors that its inputs have in the whole run, and compares every
/// output with that run's.
fn check_part(plain: &Plain<f64>, part: &Graph, tensors: &[ArrayD<f64>]) {
    let whole = plain.graph();
    let of = |id: &NodeId| {
        let name = part.node(*id).unwrap().name();
        &tensors[whole.find(name).unwrap().index()]
    };
    let inputs: Vec<ArrayViewD<'_, f64>> = part.inputs().iter().map(|id| of(id).view()).collect();
    let outputs = Plain::new(part, plain.params().clone())
        .unwrap()
        .run(&inputs)
        .unwrap();
    for (id, output) in part.outputs().iter().zip(&outputs) {
        assert_eq!(
            bits(output),
            bits(of(id)),
            "{}",
            part.node(*id).unwrap().name()
        );
    }
    assert_eq!(outputs.len(), part.outputs().len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn inference_says_what_the_executor_does(recipe in graph_recipes()) {
        let graph = recipe.build();
        let [h, w] = recipe.nominal;
        let shapes = graph.infer(&[Shape::from(recipe.input([1, h, w]).shape())]).unwrap();
        for (node, shape) in graph.nodes().iter().zip(&shapes) {
            prop_assert_eq!(node.shape(), shape);
        }

        let plain = Plain::new(&graph, random_params(&graph, recipe.seed).unwrap().cast()).unwrap();
        let [other_h, other_w] = recipe.size;
        for (batch, h, w) in [(1, h, w), (recipe.batch, other_h, other_w)] {
            let input = recipe.input([batch, h, w]);
            let shape = Shape::from(input.shape());
            // At another size, a window may not fit; both must then return the same error.
            let shapes = match graph.infer(std::slice::from_ref(&shape)) {
                Ok(shapes) => shapes,
                Err(error) => {
                    prop_assert_eq!(plain.run(&[input.view()]).unwrap_err(), error);
                    continue;
                }
            };
            let mut seen = Vec::new();
            let trace = plain.trace(&[input.view()], |id, tensor| {
                seen.push((id.index(), Shape::from(tensor.shape())));
            }).unwrap();
            prop_assert_eq!(seen, shapes.iter().cloned().enumerate().collect::<Vec<_>>());
            for (id, output) in graph.outputs().iter().zip(&trace.outputs) {
                prop_assert_eq!(output.shape(), &*shapes[id.index()]);
            }
            let summary = Summary::new(&graph, &[shape]).unwrap();
            prop_assert_eq!(summary.peak_activation_bytes, 4 * trace.peak_live_elements as u64);
            prop_assert!(summary.peak_activation_bytes <= summary.activation_bytes);
        }
    }

    #[test]
    fn parts_compute_what_the_whole_does(recipe in graph_recipes(), ends in any::<[prop::sample::Index; 2]>()) {
        let graph = recipe.build();
        let plain = Plain::new(&graph, random_params(&graph, recipe.seed).unwrap().cast()).unwrap();
        let [h, w] = recipe.nominal;
        let mut tensors = Vec::new();
        plain.trace(&[recipe.input([2, h, w]).view()], |_, tensor| tensors.push(tensor.clone())).unwrap();

        for (id, node) in graph.iter() {
            let alone = graph.isolate(id).unwrap();
            let itself = alone.nodes().last().unwrap();
            prop_assert_eq!((itself.name(), itself.op()), (node.name(), node.op()));
            prop_assert_eq!(alone.outputs().len(), 1);
            check_part(&plain, &alone, &tensors);

            let up_to = graph.with_outputs(&[id]).unwrap();
            let readers = up_to.readers();
            let read = |id: NodeId| !readers[id.index()].is_empty() || up_to.outputs() == [id];
            prop_assert!(up_to.iter().all(|(id, _)| read(id)));
            check_part(&plain, &up_to, &tensors);
        }

        let ids: Vec<NodeId> = graph.iter().map(|(id, _)| id).collect();
        let [a, b] = ends.map(|end| *end.get(&ids));
        check_part(&plain, &graph.subgraph(a.min(b), a.max(b)).unwrap(), &tensors);
    }
}

/// The properties above say little if most attempts are rejected.
#[test]
fn the_recipes_use_every_operation() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..512 {
        let recipe = graph_recipes().new_tree(&mut runner).unwrap().current();
        for node in recipe.build().nodes() {
            *used.entry(node.op().kind()).or_default() += 1;
        }
    }
    assert_eq!(used.len(), 23, "{used:?}");
    assert!(used.values().all(|&times| times >= 15), "{used:?}");
}
