//! The program `convoxide`: finds objects in pictures and classifies them with convolutional
//! networks, on the CPU.
//!
//! Each command has its own file. Results go to standard output through `output`, everything else to
//! standard error.
#![forbid(unsafe_code)]

mod anchors;
mod bench;
mod chart;
mod classify;
mod completions;
mod context;
mod convert;
mod decode_warnings;
mod demo;
mod detect;
mod drawings;
mod each_picture;
mod error;
mod eval;
mod examples;
mod executor;
mod explain;
mod export;
mod fetch;
mod find_lr;
mod gallery;
mod grad;
mod init;
mod input_shape;
mod kernels;
mod labels;
mod lint;
mod list;
mod logging;
mod man;
mod memory;
mod model;
mod npy;
mod numbers;
mod output;
mod pictures;
mod plot;
mod preview;
mod progress;
mod report;
mod run;
mod size_warning;
mod stylize;
mod suffix;
mod summary;
mod tensors;
mod train;
mod tune;
mod tuning_file;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use context::{Common, Context};
use error::Error;

/// Convolutional networks on the CPU: train them, run them, find objects in pictures
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    max_term_width = 80,
    after_help = examples::PROGRAM
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = examples::DEMO)]
    Demo(demo::Args),
    #[command(after_help = examples::DETECT)]
    Detect(detect::Args),
    #[command(after_help = examples::CLASSIFY)]
    Classify(classify::Args),
    #[command(after_help = examples::EVAL)]
    Eval(eval::Args),
    #[command(after_help = examples::EXPLAIN)]
    Explain(explain::Args),
    #[command(after_help = examples::STYLIZE)]
    Stylize(stylize::Args),
    #[command(after_help = examples::TRAIN)]
    Train(train::Args),
    #[command(after_help = examples::FINE_TUNE)]
    FineTune(train::fine_tune_command::Args),
    #[command(after_help = examples::FIND_LR)]
    FindLr(find_lr::Args),
    #[command(after_help = examples::INIT)]
    Init(init::Args),
    #[command(after_help = examples::LINT)]
    Lint(lint::Args),
    #[command(after_help = examples::CONVERT)]
    Convert(convert::Args),
    #[command(after_help = examples::ANCHORS)]
    Anchors(anchors::Args),
    #[command(after_help = examples::PREVIEW)]
    Preview(preview::Args),
    #[command(after_help = examples::PLOT)]
    Plot(plot::Args),
    #[command(after_help = examples::SUMMARY)]
    Summary(summary::Args),
    #[command(after_help = examples::BENCH)]
    Bench(bench::Args),
    #[command(after_help = examples::TUNE)]
    Tune(tune::Args),
    #[command(after_help = examples::RUN)]
    Run(run::Args),
    #[command(after_help = examples::GRAD)]
    Grad(grad::Args),
    #[command(after_help = examples::KERNELS)]
    Kernels(kernels::Args),
    #[command(after_help = examples::EXPORT)]
    Export(export::Args),
    #[command(after_help = examples::FETCH)]
    Fetch(fetch::Args),
    #[command(after_help = examples::LIST)]
    List(list::Args),
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::Args),
    #[command(after_help = examples::MAN, hide = true)]
    Man(man::Args),
}

/// Exits with 0 on success, 1 on failure, or 2 for wrong arguments.
fn main() -> ExitCode {
    let started = Instant::now();
    keep_quiet_while_decoding();
    let Cli { command, common } = Cli::parse();
    let context = common.into_context(started);
    match context.and_then(|context| run(command, &context)) {
        Ok(code) => code,
        // The reader of our output has stopped reading, as in `convoxide ... | head`.
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.lines() {
                output::complain(&line);
            }
            ExitCode::FAILURE
        }
    }
}

/// Suppresses the report of a panic in a picture's decoder, because it is caught and becomes a
/// one-line error.
fn keep_quiet_while_decoding() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !image_data::is_decoding() {
            report(panic);
        }
    }));
}

/// Runs the command inside a pool of `context.threads` threads.
fn run(command: Command, context: &Context) -> Result<ExitCode, Error> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.threads)
        .build()
        .map_err(Error::Threads)?;
    pool.install(|| match command {
        Command::Demo(args) => demo::run(args, context),
        Command::Detect(args) => detect::run(args, context),
        Command::Classify(args) => classify::run(args, context),
        Command::Eval(args) => eval::run(args, context),
        Command::Explain(args) => explain::run(args, context),
        Command::Stylize(args) => stylize::run(args, context),
        Command::Train(args) => train::run(&args, context),
        Command::FineTune(args) => train::fine_tune_command::run(args, context),
        Command::FindLr(args) => find_lr::run(&args, context),
        Command::Init(args) => init::run(&args, context),
        Command::Lint(args) => lint::run(&args, context),
        Command::Convert(args) => convert::run(&args, context),
        Command::Anchors(args) => anchors::run(&args, context),
        Command::Preview(args) => preview::run(&args, context),
        Command::Plot(args) => plot::run(&args, context),
        Command::Summary(args) => summary::run(&args, context),
        Command::Bench(args) => bench::run(&args, context),
        Command::Tune(args) => tune::run(&args, context),
        Command::Run(args) => run::run(&args, context),
        Command::Grad(args) => grad::run(args, context),
        Command::Kernels(args) => kernels::run(&args, context),
        Command::Export(args) => export::run(args, context),
        Command::Fetch(args) => fetch::run(&args, context),
        Command::List(args) => list::run(&args, context),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_its_help_fits_80_columns() {
        let mut cli = Cli::command();
        cli.clone().debug_assert();
        cli.build();
        for command in cli.get_subcommands_mut() {
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 80, "{line}");
                }
            }
        }
    }
}
