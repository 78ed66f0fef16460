//! ReLU6 wherever the engine computes it, against the plain loops in f64, on values of which many
//! are above 6.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Isa, Options, Plan, TrainingSession};
use ndarray::ArrayD;
use nn_layers::{
    BatchNorm2d, Conv2d, Graph, GraphBuilder, Infer, Outputs, Padding, Params, Plain, PlainTrainer,
    Shape, StepKey, TrainBackend, TrainSpec, random_params,
};
use testkit::{Projection, random_array, to_f32};

const KEY: StepKey = StepKey { seed: 3, step: 5 };

const LOSS: Projection = Projection { seed: 17 };

/// ReLU6 alone, after a convolution, after its batch normalisation, and after a residual's addition.
fn graphs() -> Vec<(&'static str, Graph)> {
    let graph = |build: &dyn Fn(&mut GraphBuilder) -> nn_layers::Result<nn_layers::NodeId>| {
        let mut b = GraphBuilder::new();
        let y = build(&mut b).unwrap();
        b.finish(&[y]).unwrap()
    };
    let conv = || Conv2d::new(20, [3, 3]).padding(Padding::all(1));
    let input = |b: &mut GraphBuilder| b.input("x", [1, 20, 9, 7]);
    let norm =
        |b: &mut GraphBuilder, name: &str, x| b.batch_norm2d(name, x, BatchNorm2d::default());
    vec![
        (
            "alone",
            graph(&|b| {
                let x = input(b)?;
                b.relu6("relu6", x)
            }),
        ),
        (
            "after a convolution",
            graph(&|b| {
                let x = input(b)?;
                let x = b.conv2d("conv", x, conv())?;
                b.relu6("relu6", x)
            }),
        ),
        (
            "after a batch normalisation",
            graph(&|b| {
                let x = input(b)?;
                let x = b.conv2d("conv", x, conv())?;
                let x = norm(b, "bn", x)?;
                b.relu6("relu6", x)
            }),
        ),
        (
            "after a residual",
            graph(&|b| {
                let x = input(b)?;
                let y = b.conv2d("conv", x, conv())?;
                let y = norm(b, "bn", y)?;
                let y = b.add("add", y, x)?;
                b.relu6("relu6", y)
            }),
        ),
    ]
}

/// Parameters and an input that are large enough to exceed 6 often.
fn large(graph: &Graph) -> (Params<f32>, ArrayD<f64>) {
    let mut params = random_params(graph, 3).unwrap();
    if let Some(weight) = params.get_mut("bn.weight") {
        weight.value.fill(8.0);
    }
    (params, random_array(&[3, 20, 9, 7], 4).mapv(|x| 12.0 * x))
}

fn off(got: &ArrayD<f64>, expected: &ArrayD<f64>) -> f64 {
    let norm = |x: &ArrayD<f64>| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    norm(&(got - expected)) / norm(expected)
}

fn on(isa: Isa) -> Options {
    Options {
        isa: Some(isa),
        ..Options::default()
    }
}

/// A relative error by norm: far above the rounding of sums of 180 products, far below a single value
/// that is not cut off.
const BOUND: f64 = 1e-5;

#[test]
fn inference_cuts_off_at_6() {
    for (name, graph) in graphs() {
        let (params, x) = large(&graph);
        let plain = Plain::new(&graph, params.cast::<f64>()).unwrap();
        let expected = &plain.run(&[x.view()]).unwrap()[0];
        let cut = expected.iter().filter(|&&y| y == 6.0).count();
        assert!(10 * cut > expected.len(), "{name}: {cut} values are 6");
        let narrow = to_f32(x.view());
        for isa in Isa::available() {
            let plan = Plan::compile(&graph, params.clone(), &on(isa)).unwrap();
            let shape = Shape::from(narrow.shape().to_vec());
            let mut outputs = Outputs::new();
            let mut session = plan.session(&[shape]).unwrap();
            session.run(&[narrow.view()], &mut outputs).unwrap();
            let error = off(&outputs.tensors[0].mapv(f64::from), expected);
            assert!(error < BOUND, "{name}, {isa}: {error:.1e}");
        }
    }
}

#[test]
fn no_gradient_passes_above_6() {
    let spec = || TrainSpec {
        grad_input: true,
        ..TrainSpec::default()
    };
    for (name, graph) in graphs() {
        let (params, x) = large(&graph);
        let mut plain = PlainTrainer::new(&graph, params.cast::<f64>(), spec()).unwrap();
        plain.step(&[x.view()], &LOSS, KEY).unwrap();
        let expected = plain.gradients();
        let narrow = to_f32(x.view());
        for isa in Isa::available() {
            let mut fast = TrainingSession::new(&graph, params.clone(), spec(), &on(isa)).unwrap();
            fast.step(&[narrow.view()], &LOSS, KEY).unwrap();
            for (param, gradient) in fast.gradients().cast::<f64>().iter() {
                let expected = &expected.get(param).unwrap().value;
                // Of a bias before a normalisation: rounding alone.
                if param == "conv.bias" && graph.find("bn").is_some() {
                    continue;
                }
                let error = off(&gradient.value, expected);
                assert!(error < BOUND, "{name}, {isa}, {param}: {error:.1e}");
            }
        }
    }
}
