//! Development only: tolerances, problem generators and golden files for Convoxide's tests.
//!
//! - [`assert_close`] compares against an f64 reference, with one bound for each element, and
//!   [`dot_bound`] is the bound for a sum of products.
//! - [`Conv2dProblem`] and [`PoolProblem`] are whole problems, sizes and options and a seed for
//!   the numbers, with proptest strategies that reach into the corners: one-pixel pictures, sizes
//!   and channels that no tile divides, every padding value, groups of every kind.
//! - [`GraphRecipe`] is a random network; [`assert_layers_agree`] and [`assert_executors_agree`] hold
//!   an executor against the plain loops in f64, layer by layer and as a whole;
//!   [`assert_network_agrees`] derives how near a network of a few layers has to be.
//! - [`GradientCheck`] holds a gradient against difference quotients, [`StepCheck`] those of a whole
//!   graph's training step.
//! - [`node_step`] says how far a training step of one node may be off in f32.
//! - [`random_array`] fills tensors with numbers that depend on a seed alone, [`distinct_array`] with
//!   numbers that keep off ties and 0.
//! - [`cases`] says how many problems a property test tries.
//! - [`Fuzz`] hands a reader mutations of good files: a fuzz target that is an ordinary test.
//! - [`on_threads`] runs work on a number of threads.
//! - [`Golden`] reads the numbers that another program computed; [`NetworkGolden`] what torchvision
//!   computes with a whole network, and [`TrainingGolden`] what PyTorch does in training.
//!
//! The helpers panic where something is wrong, and so fail the test that calls them.

#![forbid(unsafe_code)]

mod cases;
mod close;
mod conv2d_problem;
mod executors;
mod fuzz;
mod golden;
mod gradient_check;
mod graph_recipe;
mod network_bounds;
mod network_golden;
mod pool_problem;
mod random;
mod step_bounds;
mod step_check;
mod threads;
mod training_golden;

pub use cases::{CASES_VARIABLE, cases};
pub use close::{assert_close, compare, dot_bound};
pub use conv2d_problem::{
    Conv2dProblem, Conv2dSpace, Reference, conv2d_problems, conv2d_problems_in, conv2d_reference,
};
pub use executors::{Executor, Run, assert_executors_agree, assert_layers_agree, run_by};
pub use fuzz::{FOLDER_VARIABLE, Fuzz, INPUT_VARIABLE, SECONDS_VARIABLE, SEED_VARIABLE};
pub use golden::Golden;
pub use gradient_check::GradientCheck;
pub use graph_recipe::{GraphRecipe, GraphStep, graph_recipes};
pub use network_bounds::assert_network_agrees;
pub use network_golden::NetworkGolden;
pub use pool_problem::{
    AvgPool2dProblem, MaxPool2dProblem, PoolProblem, avg_pool2d_problems, max_pool2d_problems,
};
pub use random::{distinct_array, pictures, random_array, to_f32};
pub use step_bounds::{NodeStep, node_step};
pub use step_check::{Compared, Projection, StepCheck};
pub use threads::on_threads;
pub use training_golden::TrainingGolden;
