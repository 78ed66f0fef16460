//! Whether a session uses the memory that it reports: measured as the process's resident memory, so
//! this file has a single test, which runs alone.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Options, Plan, TrainingSession};
use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    BatchNorm2d, Conv2d, Graph, GraphBuilder, Infer, Loss, Outputs, Padding, StepKey, Terms,
    TrainSpec, random_params,
};

/// Returns the resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap();
    number.parse::<u64>().unwrap() * 1024
}

/// A picture so large that the allocator and the threads take little beside it, few channels, and a layer with
/// a large weight.
fn graph() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 1, 800, 1200]).unwrap();
    let conv = Conv2d::new(2, [3, 3]).padding(Padding::all(1));
    let x = b.conv2d("conv1", x, conv).unwrap();
    let x = b.batch_norm2d("norm1", x, BatchNorm2d::default()).unwrap();
    let x = b.relu("relu1", x).unwrap();
    let conv = Conv2d::new(17, [3, 3])
        .padding(Padding::all(1))
        .stride([2, 2]);
    let y = b.conv2d("conv2", x, conv).unwrap();
    let wide = Conv2d::new(997, [1, 1]).groups(1).stride([200, 200]);
    let y = b.conv2d("conv3", y, wide).unwrap();
    let groups = Conv2d::new(997, [3, 3])
        .padding(Padding::all(1))
        .groups(997);
    let y = b.conv2d("conv4", y, groups).unwrap();
    b.finish(&[y]).unwrap()
}

struct Ones;

impl Loss<f32> for Ones {
    fn eval(&self, _: &[ArrayViewD<f32>], grads: &mut [ArrayD<f32>]) -> nn_layers::Result<Terms> {
        grads.iter_mut().for_each(|grad| grad.fill(1.0));
        Ok(Terms::default())
    }
}

/// Checks to within an eighth: the allocator and the threads take some memory, too.
fn assert_taken(what: &str, before: u64, said: u64) {
    let taken = resident().saturating_sub(before);
    assert!(
        said.abs_diff(taken) < said / 8,
        "{what}: reported {said} bytes, used {taken}"
    );
}

#[test]
fn sessions_take_the_memory_that_they_say() {
    let graph = graph();
    let x = ArrayD::<f32>::ones(graph.nodes()[0].shape().to_vec());
    let shapes = [graph.nodes()[0].shape().clone()];

    let before = resident();
    let plan = Plan::compile(
        &graph,
        random_params(&graph, 1).unwrap(),
        &Options::default(),
    )
    .unwrap();
    let said = plan.memory(&shapes).unwrap();
    let mut session = plan.session(&shapes).unwrap();
    let mut outputs = Outputs::new();
    session.run(&[x.view()], &mut outputs).unwrap();
    assert_taken("inference", before, said.total());
    drop((session, plan, outputs));

    let before = resident();
    let params = random_params(&graph, 1).unwrap();
    let spec = TrainSpec::default();
    let mut session = TrainingSession::new(&graph, params, spec, &Options::default()).unwrap();
    let said = session.memory(&shapes).unwrap();
    let key = StepKey { seed: 1, step: 0 };
    session.step(&[x.view()], &Ones, key).unwrap();
    assert_taken("training", before, said.total());
}
