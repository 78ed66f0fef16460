//! Development only: tolerances, problem generators and golden files for Convoxide's tests.
//!
//! - [`assert_close`] compares against an f64 reference, with one bound per element, and
//!   [`dot_bound`] is the bound for a sum of products.
//! - [`Conv2dProblem`] and [`PoolProblem`] are whole problems: sizes, options and a seed for the
//!   values, with proptest strategies that reach the corner cases: one-pixel pictures, sizes and
//!   channels that no tile divides, every padding value, groups of every kind.
//! - [`GraphRecipe`] is a random network; [`assert_layers_agree`] and [`assert_executors_agree`]
//!   compare an executor with the plain loops in f64, layer by layer and as a whole;
//!   [`assert_network_agrees`] derives the error bound of a network of a few layers.
//!   [`Sums`] says by which algorithm an executor computes convolutions.
//! - [`GradientCheck`] compares a gradient with difference quotients, [`StepCheck`] those of a
//!   whole graph's training step.
//! - [`node_step`] bounds the error of a training step of one node in f32.
//! - [`random_array`] fills tensors with values that depend only on a seed, [`distinct_array`] with
//!   values that avoid ties and 0.
//! - [`cases`] sets the number of problems that a property test tries.
//! - [`Fuzz`] passes mutations of valid files to a reader: a fuzz target that is an ordinary test.
//! - [`Peak`] measures the memory that a piece of work uses.
//! - [`on_threads`] runs work on a given number of threads.
//! - [`Golden`] reads values that another program computed; [`NetworkGolden`] those that
//!   torchvision computes with a whole network, and [`TrainingGolden`] those that PyTorch computes
//!   in training.
//!
//! The helpers panic on failure, and so fail the test that calls them.

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
mod sums;
mod threads;
mod training_golden;

pub use cases::{CASES_VARIABLE, cases};
pub use close::{assert_close, compare, dot_bound};
pub use conv2d_problem::{
    Conv2dProblem, Conv2dSpace, Reference, conv2d_problems, conv2d_problems_in, conv2d_reference,
};
pub use executors::{Executor, Run, assert_executors_agree, assert_layers_agree, run_by};
pub use fuzz::{FOLDER_VARIABLE, Fuzz, INPUT_VARIABLE, Peak, SECONDS_VARIABLE, SEED_VARIABLE};
pub use golden::Golden;
pub use gradient_check::GradientCheck;
pub use graph_recipe::{GraphRecipe, GraphStep, graph_recipes, graph_recipes_with_winograd};
pub use network_bounds::assert_network_agrees;
pub use network_golden::NetworkGolden;
pub use pool_problem::{
    AvgPool2dProblem, MaxPool2dProblem, PoolProblem, avg_pool2d_problems, max_pool2d_problems,
};
pub use random::{distinct_array, pictures, random_array, to_f32};
pub use step_bounds::{NodeStep, node_step};
pub use step_check::{Compared, Projection, StepCheck};
pub use sums::Sums;
pub use threads::on_threads;
pub use training_golden::TrainingGolden;
