//! A tensor that two operations read, against the plain loops in f64: its gradient is the sum of
//! both parts, whether the backward pass of an operation can add to a gradient or only overwrite one.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Isa, Options, TrainingSession};
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use nn_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Element, Graph, GraphBuilder, MaxPool2d, Op, Padding,
    PaddingValue, PlainTrainer, StepKey, TrainBackend, TrainSpec, random_params,
};
use testkit::{Projection, random_array, to_f32};

const KEY: StepKey = StepKey { seed: 3, step: 5 };

const LOSS: Projection = Projection { seed: 17 };

/// An operation for each way in which gradients are computed, with how often it reads its input.
fn readers() -> Vec<(Op, usize)> {
    let conv = || Conv2d::new(5, [3, 3]).padding(Padding::all(1));
    let padding = [1, 0, 2, 1];
    let once = [
        Op::Conv2d(conv()),
        Op::Conv2d(conv().padding_value(PaddingValue::Reflect)),
        Op::BatchNorm2d(BatchNorm2d::default()),
        Op::Affine,
        Op::Relu,
        Op::Relu6,
        Op::LeakyRelu { slope: -0.5 },
        Op::Sigmoid,
        Op::Softmax,
        Op::MaxPool2d(MaxPool2d::new([2, 3])),
        Op::AvgPool2d(AvgPool2d::new([2, 3])),
        Op::AdaptiveAvgPool2d([3, 2]),
        Op::Slice { start: 2, len: 3 },
        Op::PadChannels {
            before: 1,
            after: 2,
        },
        Op::Flatten,
        Op::Dropout { probability: 0.5 },
        Op::Upsample { scale: [2, 1] },
        Op::Reorg { stride: 2 },
        Op::Pad {
            padding,
            value: PaddingValue::Replicate,
        },
    ];
    let twice = [Op::Add, Op::Concat];
    let once = once.into_iter().map(|op| (op, 1));
    once.chain(twice.into_iter().map(|op| (op, 2))).collect()
}

/// Returns the gradient of the input.
fn gradient<T: Element, B: TrainBackend<T>>(mut backend: B, x: ArrayViewD<'_, T>) -> ArrayD<T> {
    assert!(backend.step(&[x], &LOSS, KEY).is_ok());
    backend.gradients().get("input").unwrap().value.clone()
}

fn check(graph: &Graph, what: &str) {
    let params = random_params(graph, 1).unwrap();
    let spec = || TrainSpec {
        grad_input: true,
        ..TrainSpec::default()
    };
    let x = random_array(&[2, 8, 4, 6], 5);
    let plain = PlainTrainer::new(graph, params.cast::<f64>(), spec()).unwrap();
    let expected = gradient(plain, x.view());
    let norm = |x: &ArrayD<f64>| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for isa in Isa::available() {
        let options = Options {
            isa: Some(isa),
            ..Options::default()
        };
        let session = TrainingSession::new(graph, params.clone(), spec(), &options).unwrap();
        let got = gradient(session, to_f32(x.view()).view()).mapv(f64::from);
        let off = norm(&(&got - &expected)) / norm(&expected);
        assert!(off < 1e-5, "{isa}, {what}: off by {off:.1e}");
    }
    assert_eq!(expected.raw_dim(), IxDyn(&[2, 8, 4, 6]));
}

#[test]
fn gradients_of_two_readers_add_up() {
    for (first, first_reads) in readers() {
        for (second, second_reads) in readers() {
            let mut b = GraphBuilder::new();
            let x = b.input("x", [2, 8, 4, 6]).unwrap();
            let what = format!("{first} beside {second}");
            let first = b.node("first", first.clone(), &vec![x; first_reads]);
            let second = b.node("second", second, &vec![x; second_reads]);
            let graph = b.finish(&[first.unwrap(), second.unwrap()]).unwrap();
            check(&graph, &what);
        }
    }
}
