//! The memory limit of a session: the total is checked before it is allocated, and the error names
//! it.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Error, MemoryUse, Options, Plan, TrainingSession};
use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    BatchNorm2d, Conv2d, Graph, GraphBuilder, Loss, Padding, Params, Shape, StepKey, Terms,
    TrainSpec, random_params,
};

/// Layers of one channel, which are padded to sixteen.
fn narrow() -> Graph {
    let mut b = GraphBuilder::new();
    let mut x = b.input("image", [1, 1, 40, 50]).unwrap();
    for number in 0..4 {
        let conv = Conv2d::new(1, [3, 3]).padding(Padding::all(1));
        x = b.conv2d(&format!("conv{number}"), x, conv).unwrap();
        x = b
            .batch_norm2d(&format!("norm{number}"), x, BatchNorm2d::default())
            .unwrap();
        x = b.sigmoid(&format!("act{number}"), x).unwrap();
    }
    b.finish(&[x]).unwrap()
}

/// Groups that fit into blocks of sixteen only when merged: the weight is packed with zeros
/// between.
fn grouped() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 37, 9, 9]).unwrap();
    let conv = Conv2d::new(37, [3, 3]).groups(37).padding(Padding::Same);
    let x = b.conv2d("conv", x, conv).unwrap();
    b.finish(&[x]).unwrap()
}

fn limited(memory_limit: u64) -> Options {
    Options {
        memory_limit,
        ..Options::default()
    }
}

struct Ones;

impl Loss<f32> for Ones {
    fn eval(&self, _: &[ArrayViewD<f32>], grads: &mut [ArrayD<f32>]) -> nn_layers::Result<Terms> {
        grads.iter_mut().for_each(|grad| grad.fill(1.0));
        Ok(Terms::default())
    }
}

#[test]
fn a_session_may_take_exactly_its_limit_and_not_a_byte_more() {
    for graph in [narrow(), grouped()] {
        let params = || random_params(&graph, 1);
        let shapes = [graph.nodes()[0].shape().clone()];
        let needed = Plan::compile(&graph, params(), &Options::default())
            .unwrap()
            .memory(&shapes)
            .unwrap();
        let total = needed.total();
        let plan = Plan::compile(&graph, params(), &limited(total)).unwrap();
        let session = plan.session(&shapes).unwrap();
        assert_eq!(session.memory(), needed);
        assert_eq!(session.memory().activations, session.arena_bytes() as u64);

        let plan = Plan::compile(&graph, params(), &limited(total - 1)).unwrap();
        let limit = total - 1;
        assert_eq!(
            plan.session(&shapes).unwrap_err(),
            Error::MemoryLimit { needed, limit }
        );
    }
}

#[test]
fn a_plan_checks_each_new_size() {
    let graph = narrow();
    let plan = Plan::compile(&graph, random_params(&graph, 1), &limited(1 << 20)).unwrap();
    plan.session(&[Shape::from([1, 1, 40, 50])]).unwrap();
    let shapes = [Shape::from([1, 1, 4000, 5000])];
    let error = plan.session(&shapes).unwrap_err();
    let Error::MemoryLimit { needed, limit } = &error else {
        panic!("{error}");
    };
    assert_eq!(*limit, 1 << 20);
    // Two tensors of sixteen channels at a time, and the output.
    assert!(needed.total() > 2 * 16 * 4000 * 5000 * 4, "{error}");
    let message = error.to_string();
    for part in ["2.5 GiB", "1.0 MiB", "activations", "memory limit"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn weights_are_counted_as_they_are_packed_and_before_they_are() {
    let graph = grouped();
    let params = || random_params(&graph, 1);
    let plan = Plan::compile(&graph, params(), &Options::default()).unwrap();
    let memory = plan.memory(&[Shape::from([1, 37, 9, 9])]).unwrap();
    let numbers: usize = params().iter().map(|(_, param)| param.value.len()).sum();
    assert!(memory.parameters > 4 * numbers as u64);

    let limit = memory.parameters;
    Plan::compile(&graph, params(), &limited(limit)).unwrap();
    let error = Plan::compile(&graph, params(), &limited(limit - 1)).unwrap_err();
    let needed = MemoryUse {
        parameters: limit,
        ..MemoryUse::default()
    };
    assert_eq!(
        error,
        Error::MemoryLimit {
            needed,
            limit: limit - 1
        }
    );
}

#[test]
fn a_training_session_counts_gradients_and_checks_each_batch() {
    for graph in [narrow(), grouped()] {
        let start = |params: Params<f32>, limit| {
            TrainingSession::new(&graph, params, TrainSpec::default(), &limited(limit))
        };
        let params = || random_params(&graph, 1);
        let shape = graph.nodes()[0].shape().clone();
        let needed = start(params(), u64::MAX)
            .unwrap()
            .memory(std::slice::from_ref(&shape))
            .unwrap();
        assert!(needed.gradients > 0);
        let total = needed.total();

        let x = ArrayD::<f32>::ones(shape.to_vec());
        let key = StepKey { seed: 1, step: 0 };
        let mut session = start(params(), total).unwrap();
        session.step(&[x.view()], &Ones, key).unwrap();
        let larger = ArrayD::<f32>::ones(vec![3, shape[1], shape[2], shape[3]]);
        let error = session.step(&[larger.view()], &Ones, key).unwrap_err();
        assert!(matches!(error, Error::MemoryLimit { .. }), "{error}");
        // The session remains usable.
        session.step(&[x.view()], &Ones, key).unwrap();

        let mut session = start(params(), total - 1).unwrap();
        let error = session.step(&[x.view()], &Ones, key).unwrap_err();
        let limit = total - 1;
        assert_eq!(error, Error::MemoryLimit { needed, limit });

        let fixed = needed.parameters + needed.gradients;
        let error = start(params(), fixed - 1).unwrap_err();
        assert!(matches!(error, Error::MemoryLimit { .. }), "{error}");
    }
}
