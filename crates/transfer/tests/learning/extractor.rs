//! The outputs of nodes against the plain loops.

use engine::Options;
use nn_layers::Plain;
use testkit::{assert_close, dot_bound};
use transfer::{Error, FeatureExtractor};

use crate::{network, params, samples};

#[test]
fn any_nodes_output_is_that_of_the_plain_loops() {
    let graph = network();
    let nodes = ["fc", "stage1.bn", "image", "stage2.dropout", "stage1.relu"];
    let mut extractor =
        FeatureExtractor::new(&graph, params(&graph), &nodes, &Options::default()).unwrap();
    let plain = Plain::<f64>::new(&graph, params(&graph).cast()).unwrap();
    let all = samples().inputs.remove(0);
    for count in [1, 5, 5, 20] {
        let input = all.slice_axis(ndarray::Axis(0), (..count).into());
        let mut expected = vec![None; nodes.len()];
        let wide = input.mapv(f64::from);
        plain
            .trace(&[wide.view()], |id, tensor| {
                let name = graph.node(id).unwrap().name();
                if let Some(at) = nodes.iter().position(|node| *node == name) {
                    expected[at] = Some(tensor.clone());
                }
            })
            .unwrap();
        let got = extractor.run(&[input]).unwrap();
        assert_eq!(got.len(), nodes.len());
        for ((got, expected), node) in got.iter().zip(expected).zip(nodes) {
            let expected = expected.unwrap();
            let largest = expected.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
            // Two convolutions of at most 9 x 8 products each, a mean of 48 and a dense layer.
            let bound = dot_bound(2 * 72 + 48 + 8, 4.0 * largest);
            let wide = got.mapv(f64::from);
            assert_eq!(wide.shape(), expected.shape(), "{node}");
            assert_close(wide.view(), expected.view(), |_| bound);
        }
    }
}

#[test]
fn an_unknown_node_is_an_error_with_near_names() {
    let graph = network();
    let refuse = |name: &str| {
        let nodes = ["fc", name];
        FeatureExtractor::new(&graph, params(&graph), &nodes, &Options::default()).unwrap_err()
    };
    match refuse("stage1.rleu") {
        Error::UnknownNode { name, near } => {
            assert_eq!((&*name, &near[0][..]), ("stage1.rleu", "stage1.relu"));
        }
        other => panic!("{other:?}"),
    }
    // A scope has no output.
    match refuse("stage1") {
        Error::UnknownNode { name, .. } => assert_eq!(name, "stage1"),
        other => panic!("{other:?}"),
    }
    let none: [&str; 0] = [];
    match FeatureExtractor::new(&graph, params(&graph), &none, &Options::default()) {
        Err(Error::Tensors(nn_layers::Error::Graph(nn_layers::GraphError::NoOutputs))) => {}
        other => panic!("{other:?}"),
    }
}
