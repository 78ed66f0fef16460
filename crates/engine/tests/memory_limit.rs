//! The memory limit of a session: the total is checked before it is allocated, and the error names
//! it.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Error, Memory, MemoryUse, Options, Plan, Precision, TrainingSession};
use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    Adam, BatchNorm2d, Conv2d, Graph, GraphBuilder, Loss, Method, Optimiser, Padding, Params,
    RmsProp, Sgd, Shape, StepKey, Terms, TrainBackend, TrainSpec, random_params,
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
        let params = || random_params(&graph, 1).unwrap();
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
    let plan = Plan::compile(&graph, random_params(&graph, 1).unwrap(), &limited(1 << 20)).unwrap();
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
    let params = || random_params(&graph, 1).unwrap();
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
        let params = || random_params(&graph, 1).unwrap();
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

#[test]
fn steps_of_two_shapes_take_exactly_what_is_reported_for_both() {
    let mut b = GraphBuilder::new();
    let mut x = b.input("image", [4, 3, 9, 11]).unwrap();
    for number in 0..3 {
        let conv = Conv2d::new(20, [3, 3]).padding(Padding::all(1));
        x = b.conv2d(&format!("conv{number}"), x, conv).unwrap();
    }
    let graph = b.finish(&[x]).unwrap();
    let session = |limit| {
        let params = random_params(&graph, 1).unwrap();
        TrainingSession::new(&graph, params, TrainSpec::default(), &limited(limit)).unwrap()
    };
    let [full, short] = [4, 1].map(|batch| [Shape::from([batch, 3, 9, 11])]);
    let both = [&full[..], &short[..]];
    let needed = session(u64::MAX).memory_of_steps(&both).unwrap();
    // Both read the same turned weights.
    assert_eq!(needed, session(u64::MAX).memory(&full).unwrap());

    let run = |limit, shapes: [&[Shape]; 2]| {
        let mut session = session(limit);
        // The first shape again: its plan was kept.
        for inputs in [shapes[0], shapes[1], shapes[0]] {
            let x = ArrayD::<f32>::ones(inputs[0].to_vec());
            session.step(&[x.view()], &Ones, StepKey::default())?;
        }
        Ok::<(), Error>(())
    };
    for shapes in [both, [&short, &full]] {
        run(needed.total(), shapes).unwrap();
    }
    let error = run(needed.total() - 1, [&short, &full]).unwrap_err();
    assert!(matches!(error, Error::MemoryLimit { .. }), "{error}");
}

/// Where no limit refuses a batch, the system does, and that is an error, too. A broadcast view takes
/// no memory itself.
#[test]
fn a_batch_beyond_memory_is_an_error_without_a_limit() {
    let graph = narrow();
    let params = || random_params(&graph, 1).unwrap();
    let batch = 1 << 40;
    let out_of_memory = |error: &Error| matches!(error, Error::OutOfMemory { what: "activations", bytes } if *bytes > 1 << 50);

    let plan = Plan::compile(&graph, params(), &limited(u64::MAX)).unwrap();
    let error = plan
        .session(&[Shape::from([batch, 1, 40, 50])])
        .unwrap_err();
    assert!(out_of_memory(&error), "{error}");

    let spec = TrainSpec::default();
    let mut session = TrainingSession::new(&graph, params(), spec, &limited(u64::MAX)).unwrap();
    let x = ArrayD::<f32>::ones(vec![1, 1, 40, 50]);
    let many = x.broadcast(vec![batch, 1, 40, 50]).unwrap();
    let key = StepKey { seed: 1, step: 0 };
    let error = session.step(&[many], &Ones, key).unwrap_err();
    assert!(out_of_memory(&error), "{error}");
    // The session remains usable.
    session.step(&[x.view()], &Ones, key).unwrap();
}

#[test]
fn an_optimiser_counts_its_moments_in_the_session_s_layout() {
    let momentum = Sgd {
        momentum: 0.9,
        nesterov: false,
    };
    let methods: [(Method, u64); 4] = [
        (Sgd::default().into(), 0),
        (momentum.into(), 1),
        (RmsProp::default().into(), 1),
        (Adam::default().into(), 2),
    ];
    for graph in [narrow(), grouped()] {
        let params = random_params(&graph, 1).unwrap();
        let frozen: Vec<String> = vec![graph.nodes()[1].name().to_owned()];
        for frozen in [Vec::new(), frozen] {
            let spec = TrainSpec {
                frozen,
                ..TrainSpec::default()
            };
            let options = Options::default();
            let mut session = TrainingSession::new(&graph, params.clone(), spec, &options).unwrap();
            let optimisers = methods.map(|(method, moments)| {
                let optimiser = Optimiser::new(method, &params).unwrap();
                (optimiser.state_bytes(&session).unwrap(), moments)
            });
            let x = ArrayD::<f32>::ones(graph.nodes()[0].shape().to_vec());
            session
                .step(&[x.view()], &Ones, StepKey::default())
                .unwrap();
            let mut updated = 0;
            let rule =
                &mut |_: &str, numbers: &mut [f32], _: &[f32]| updated += numbers.len() as u64;
            session.update(rule).unwrap();
            for (bytes, moments) in optimisers {
                assert_eq!(bytes, moments * updated * 4);
            }
        }
    }
}

#[test]
fn the_optimiser_s_state_is_part_of_the_total_and_of_the_message() {
    let needed = MemoryUse {
        activations: 3 << 20,
        optimiser: 2 << 20,
        ..MemoryUse::default()
    };
    assert_eq!(needed.total(), 5 << 20);
    let message = Error::MemoryLimit { needed, limit: 1 }.to_string();
    let expected = "5.0 MiB (activations 3.0 MiB, optimiser 2.0 MiB)";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn with_small_memory_weights_take_little_more_than_in_direct_sums() {
    let network = resnet::ResNet::named("resnet18").unwrap();
    let graph = network.graph(network.input_size()).unwrap();
    let parameters = |options: &Options| {
        let params = random_params(&graph, 1).unwrap();
        let plan = Plan::compile(&graph, params, options).unwrap();
        let shapes = [graph.nodes()[0].shape().clone()];
        plan.memory(&shapes).unwrap().parameters
    };
    let default = Options::default();
    let exact = Options {
        precision: Precision::Exact,
        ..Options::default()
    };
    let small = Options {
        memory: Memory::Small,
        ..Options::default()
    };
    let [default, exact, small] = [&default, &exact, &small].map(parameters);
    assert!(default > exact + exact / 2, "{default} {exact}");
    assert!(small > exact, "{small} {exact}");
    assert!(small <= exact + exact / 50, "{small} {exact}");
}
