//! Activations are freed as soon as they are no longer needed.

use ndarray::ArrayD;
use nn_layers::{
    Conv2d, Error, GraphBuilder, MaxPool2d, Padding, PlainTrainer, Result, TrainBackend,
    TrainError, TrainSpec, random_params,
};
use proptest::prelude::*;
use testkit::{distinct_array, graph_recipes};

use crate::common::{KEY, LOSS, changed, frozen};

/// The next convolution reads the ReLU's output anyway, so half the tensors of a chain need not be
/// kept, and most are freed before the gradients of the first layers are computed.
#[test]
fn activations_go_as_soon_as_they_have_been_used() {
    let mut b = GraphBuilder::new();
    let mut x = b.input("x", [1, 8, 8, 8]).unwrap();
    for layer in 0..6 {
        let conv = Conv2d::new(8, [3, 3]).padding(Padding::all(1));
        x = b.conv2d(&format!("conv{layer}"), x, conv).unwrap();
        x = b.relu(&format!("relu{layer}"), x).unwrap();
        x = b.dropout(&format!("dropout{layer}"), x, 0.1).unwrap();
    }
    let x = b.max_pool2d("pool", x, MaxPool2d::new([8, 8])).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let peak = |spec| {
        let params = random_params(&graph, 1).unwrap().cast::<f64>();
        let mut trainer = PlainTrainer::new(&graph, params, spec).unwrap();
        let image = distinct_array(&[1, 8, 8, 8], 1);
        let trace = trainer
            .trace(&[image.view()], &LOSS, KEY, |_, _, _| ())
            .unwrap();
        trace.peak_live_elements
    };
    let tensor = 8 * 8 * 8;
    // The input, and for each layer the tensor that the ReLU and the next convolution (or the pool)
    // read; then the pool's output and its gradient, or the gradients on both sides of the pool.
    assert_eq!(peak(TrainSpec::default()), 13 * tensor + 8 + tensor);
    // If no earlier node is trained, tensors are freed as in evaluation.
    let names: Vec<String> = (0..5).map(|layer| format!("conv{layer}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(peak(frozen(&names)), 3 * tensor + 8 + tensor);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A step keeps fewer tensors than there are, changes no parameter, and always has the same
    /// result.
    #[test]
    fn steps_of_random_graphs(recipe in graph_recipes()) {
        let graph = recipe.build();
        let [h, w] = recipe.nominal;
        let input = recipe.input([2, h, w]);
        let params = random_params(&graph, recipe.seed).unwrap().cast::<f64>();
        let run = || -> Result<_> {
            let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default())?;
            let mut elements = 0;
            let visit = |_, _, tensor: &ArrayD<f64>| elements += tensor.len();
            let trace = trainer.trace(&[input.view()], &LOSS, KEY, visit)?;
            Ok((trace, elements, trainer.gradients(), trainer.export()))
        };
        let (trace, elements, gradients, after) = match run() {
            Ok(done) => done,
            Err(Error::Train(TrainError::OneValuePerChannel { .. })) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let outputs: usize = graph.outputs().iter().map(|&id| graph.node(id).unwrap().shape()[1..].iter().product::<usize>()).sum();
        prop_assert!(trace.peak_live_elements <= elements + 2 * outputs);
        for name in changed(&params, &after) {
            prop_assert!(name.contains("running"), "{}", name);
        }
        prop_assert_eq!(run().unwrap(), (trace, elements, gradients, after));
    }
}
