//! The short forms of a first program do what the long ones do, to the last bit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::nn_layers::{
    Adam, Classification, Conv2d, CrossEntropy, Graph, GraphBuilder, Infer, Linear, Method,
    Optimiser, OptimiserOptions, Outputs, Rates, Shape, StepKey, TrainBackend, TrainSpec,
    initialise,
};
use engine::{Options, Plan, TrainingSession};
use ndarray::{Array4, ArrayD, s};

/// Two inputs, a picture and a few values that belong to it; one output, the scores of three classes.
fn two_inputs() -> Graph {
    let mut b = GraphBuilder::new();
    let image = b.input("image", [1, 2, 6, 8]).unwrap();
    let numbers = b.input("numbers", [1, 5]).unwrap();
    let x = b
        .conv_bn_relu("layer", image, Conv2d::new(4, [3, 3]))
        .unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let x = b.dropout("dropout", x, 0.5).unwrap();
    let x = b.linear("seen", x, Linear::new(3)).unwrap();
    let y = b.linear("told", numbers, Linear::new(3)).unwrap();
    let scores = b.add("scores", x, y).unwrap();
    b.finish(&[scores]).unwrap()
}

/// The same with the picture alone.
fn one_input() -> Graph {
    let mut b = GraphBuilder::new();
    let image = b.input("image", [1, 2, 6, 8]).unwrap();
    let x = b
        .conv_bn_relu("layer", image, Conv2d::new(4, [3, 3]))
        .unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let x = b.dropout("dropout", x, 0.5).unwrap();
    let x = b.linear("seen", x, Linear::new(3)).unwrap();
    b.finish(&[x]).unwrap()
}

fn numbers(shape: &[usize]) -> ArrayD<f32> {
    testkit::random_array(shape, 5).mapv(|x| x as f32)
}

/// Every second picture of ten, so that the view is not in standard layout.
fn pictures() -> Array4<f32> {
    numbers(&[10, 2, 6, 8]).into_dimensionality().unwrap()
}

#[test]
fn running_once_gives_the_outputs_of_a_session() {
    let pictures = pictures();
    let pictures = pictures.slice(s![..;2, .., .., ..]);
    let told = numbers(&[5, 5]);
    for (graph, inputs) in [
        (one_input(), vec![pictures.into_dyn()]),
        (two_inputs(), vec![pictures.into_dyn(), told.view()]),
    ] {
        let params = initialise(&graph, 1, |_, _| None).unwrap();
        let plan = Plan::compile(&graph, params, &Options::default()).unwrap();
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape().into()).collect();
        let mut session = plan.session(&shapes).unwrap();
        let mut outputs = Outputs::new();
        session.run(&inputs, &mut outputs).unwrap();
        assert_eq!(plan.run_once(&inputs).unwrap(), outputs.tensors);
        assert_eq!(session.run_once(&inputs).unwrap(), outputs.tensors);
    }
    // With the number of axes in the type.
    let graph = one_input();
    let params = initialise(&graph, 1, |_, _| None).unwrap();
    let plan = Plan::compile(&graph, params, &Options::default()).unwrap();
    let expected = plan.run_once(&[pictures.into_dyn()]).unwrap();
    assert_eq!(plan.run_once(&[pictures]).unwrap(), expected);
}

#[test]
fn a_short_training_is_the_long_one() {
    let (graph, labels) = (one_input(), [0, 1, 2, 1, 0]);
    let pictures = pictures();
    let pictures = pictures.slice(s![..;2, .., .., ..]);

    let mut short = TrainingSession::from_scratch(&graph, 7).unwrap();
    let mut optimiser = Optimiser::new(Adam::default(), &short.export()).unwrap();
    let mut short_losses = Vec::new();
    for step in 0..4 {
        let loss = Classification::new(&labels);
        short_losses.push(short.step(&[pictures], &loss, step).unwrap());
        optimiser.update(&mut short, 0.01).unwrap();
    }

    let params = initialise(&graph, 7, |_, _| None).unwrap();
    let options = OptimiserOptions {
        method: Method::Adam(Adam::default()),
        ..OptimiserOptions::default()
    };
    let mut optimiser = Optimiser::new(options, &params).unwrap();
    let spec = TrainSpec::default();
    let mut long = TrainingSession::new(&graph, params, spec, &Options::default()).unwrap();
    let mut losses = Vec::new();
    for step in 0..4 {
        let loss = Classification {
            labels: &labels,
            options: &CrossEntropy::default(),
            aux_weight: 0.0,
        };
        let key = StepKey { seed: 0, step };
        let terms = TrainBackend::step(&mut long, &[pictures.into_dyn()], &loss, key).unwrap();
        losses.push(terms);
        optimiser
            .update_scaled(&mut long, Rates::new(0.01), 1.0)
            .unwrap();
    }
    assert_eq!(short_losses, losses);
    assert_eq!(short.export(), long.export());

    // The session's plan includes its parameters.
    let plan = Plan::compile(&graph, long.export(), &Options::default()).unwrap();
    let expected = plan.run_once(&[pictures]).unwrap();
    assert_eq!(
        short.plan().unwrap().run_once(&[pictures]).unwrap(),
        expected
    );
}
