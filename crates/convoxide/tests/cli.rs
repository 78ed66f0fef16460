//! The program as users run it: the built binary, on small models and pictures that the tests
//! generate.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

#[path = "cli/common.rs"]
mod common;

#[path = "cli/architectures.rs"]
mod architectures;
#[path = "cli/arguments.rs"]
mod arguments;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/boxes.rs"]
mod boxes;
#[path = "cli/classify.rs"]
mod classify;
#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/detect.rs"]
mod detect;
#[path = "cli/drawings.rs"]
mod drawings;
#[path = "cli/eval.rs"]
mod eval;
#[path = "cli/export.rs"]
mod export;
#[cfg(target_os = "linux")]
#[path = "cli/faults.rs"]
mod faults;
#[path = "cli/fetch.rs"]
mod fetch;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/find_lr.rs"]
mod find_lr;
#[path = "cli/grad.rs"]
mod grad;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/hostile.rs"]
mod hostile;
#[path = "cli/kernels.rs"]
mod kernels;
#[path = "cli/known.rs"]
mod known;
#[path = "cli/lint.rs"]
mod lint;
#[path = "cli/model_files.rs"]
mod model_files;
#[path = "cli/pipes.rs"]
mod pipes;
#[path = "cli/plot.rs"]
mod plot;
#[path = "cli/recipes.rs"]
mod recipes;
#[path = "cli/run_folder.rs"]
mod run_folder;
#[path = "cli/seeing.rs"]
mod seeing;
#[path = "cli/summary.rs"]
mod summary;
#[path = "cli/train.rs"]
mod train;
#[path = "cli/training_data.rs"]
mod training_data;
#[path = "cli/tune.rs"]
mod tune;
