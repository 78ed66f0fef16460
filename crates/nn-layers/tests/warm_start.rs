//! Parameters from a file combined with initial ones.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use ndarray::ArrayD;
use nn_layers::{
    BatchNorm2d, Conv2d, Error, Graph, GraphBuilder, Linear, Params, ParamsError, Slot,
    random_params,
};

/// Returns a network of a convolution, a normalisation and a classifier.
fn network(classes: usize) -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, 8, 8]).unwrap();
    let x = b.conv2d("conv", x, Conv2d::new(4, [3, 3])).unwrap();
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let x = b.global_avg_pool2d("pool", x).unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let x = b.linear("fc", x, Linear::new(classes)).unwrap();
    b.finish(&[x]).unwrap()
}

#[test]
fn what_fits_is_taken_and_the_rest_is_initialised() {
    let graph = network(2);
    let mut trained = random_params(&network(5), 1).unwrap();
    let counter = "bn.num_batches_tracked";
    trained.insert(counter, Slot::Counter, ArrayD::zeros(vec![]));
    trained.insert("extra", Slot::Weight, ArrayD::zeros(vec![1]));
    trained.remove("conv.bias").unwrap();
    let initial = random_params(&graph, 2).unwrap();

    let (params, report) = trained
        .clone()
        .warm_start(&graph, initial.clone(), [])
        .unwrap();
    assert_eq!(report.loaded, 5);
    assert_eq!(
        report.reinitialised,
        ["conv.bias", "fc.weight", "fc.bias"],
        "in the graph's order"
    );
    assert_eq!(report.misfits.len(), 3);
    assert_eq!(report.unexpected, ["extra"]);
    assert_eq!(report.known_unused, [counter]);
    assert_eq!(params.len(), 8);
    for (name, param) in params.iter() {
        let fresh = report.reinitialised.iter().any(|other| other == name);
        let source = if fresh { &initial } else { &trained };
        assert_eq!(Some(param), source.get(name), "{name}");
    }
    let text = report.to_string();
    let line = "\ninitialised   3: conv.bias, fc.weight, fc.bias";
    assert!(text.contains(line), "{text}");
}

#[test]
fn weights_of_another_architecture_are_an_error_of_their_own() {
    let graph = network(2);
    let initial = random_params(&graph, 2).unwrap();
    let mut other = Params::new();
    other.insert("features.0.weight", Slot::Weight, ArrayD::zeros(vec![1]));
    other.insert("fc.weight", Slot::Weight, ArrayD::zeros(vec![7]));
    let error = other.warm_start(&graph, initial.clone(), []).unwrap_err();
    let Error::Params(ParamsError::NothingMatched {
        found,
        expected,
        prefix: None,
    }) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(found, &["fc.weight", "features.0.weight"]);
    assert_eq!((expected.len(), &*expected[0]), (8, "conv.weight"));
    assert_eq!(
        error.to_string(),
        "no tensor fits the graph: found 2 tensors (fc.weight, features.0.weight), expected 8 \
         (conv.weight, conv.bias, bn.weight, bn.bias, bn.running_mean, bn.running_var, fc.weight, \
         fc.bias): are the weights those of another architecture?"
    );

    let error = Params::new().warm_start(&graph, initial.clone(), []);
    assert!(matches!(
        error,
        Err(Error::Params(ParamsError::NothingMatched { found, .. })) if found.is_empty()
    ));

    // A wrapper's prefix is named.
    let mut wrapped = Params::new();
    for (name, param) in initial.iter() {
        wrapped.insert(format!("module.{name}"), param.slot, param.value.clone());
    }
    let error = wrapped.warm_start(&graph, initial, []).unwrap_err();
    assert!(error.to_string().contains("without the prefix module."));
    assert!(matches!(
        error,
        Error::Params(ParamsError::NothingMatched { prefix: Some(prefix), .. }) if prefix == "module."
    ));
}

#[test]
fn initial_parameters_have_to_be_those_of_the_graph() {
    let graph = network(2);
    let trained = random_params(&graph, 1).unwrap();
    let initial = random_params(&network(3), 2).unwrap();
    let error = trained.warm_start(&graph, initial, []).unwrap_err();
    assert!(matches!(
        error,
        Error::Params(ParamsError::Misfits(misfits)) if misfits.len() == 2
    ));
}
