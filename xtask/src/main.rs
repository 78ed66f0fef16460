//! The workspace's tasks. `cargo xtask` prints the list, `cargo xtask TASK` runs one.
//!
//! One file per task. Continuous integration does everything by calling this program, so that anyone can
//! run the same checks locally.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod bench;
mod ci;
mod crops;
mod demo;
mod docs;
mod fetch;
mod figures;
mod fuzz;
mod goldens;
mod isa;
mod man;
mod memory;
mod process;
mod programs;
mod python;
mod test;
mod tidy;

/// An error, as one line for the terminal.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// The tasks of the Convoxide workspace
#[derive(Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Detect objects in a photo (drawn in demo.png here), and classify it
    Demo,
    /// Run all tests, including those in the documentation
    Test {
        /// Arguments for `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run all checks that a change must pass, in order
    Ci,
    /// Run the benchmarks, or compare with other libraries
    Bench(bench::Options),
    /// Build the documentation; warnings are errors
    Docs {
        /// Open it in the browser
        #[arg(long)]
        open: bool,
    },
    /// Write the program's manual pages into target/man
    Man,
    /// Draw the tutorial's figures again
    Figures,
    /// Check the project's rules that the compiler does not
    Tidy,
    /// Run the fuzz targets for longer, with limited memory
    Fuzz(fuzz::Options),
    /// Run unsafe code under Miri and a sanitizer (needs nightly Rust)
    Memory,
    /// Download the pretrained files and the demo photo into the cache
    Fetch,
    /// Cut the boxes out of a detection dataset, to classify them
    Crops(crops::Options),
    /// Regenerate the golden files of torchvision, Pillow and pycocotools
    Goldens {
        /// Compare with the existing files instead of writing them
        #[arg(long)]
        check: bool,
        /// Only this model; may be repeated
        #[arg(long = "model", value_name = "NAME")]
        models: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        None => Cli::command().print_help().map_err(Error::from),
        Some(Task::Demo) => demo::run(),
        Some(Task::Test { args }) => test::run(&args),
        Some(Task::Ci) => ci::run(),
        Some(Task::Bench(options)) => bench::run(&options),
        Some(Task::Docs { open }) => docs::run(open),
        Some(Task::Tidy) => tidy::run(),
        Some(Task::Man) => man::run(),
        Some(Task::Figures) => figures::run(),
        Some(Task::Fuzz(options)) => fuzz::run(&options),
        Some(Task::Memory) => memory::run(),
        Some(Task::Fetch) => fetch::run(),
        Some(Task::Crops(options)) => crops::run(&options),
        Some(Task::Goldens { check, models }) => goldens::run(check, &models),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_list_of_tasks_fits_into_80_columns() {
        let help = Cli::command().render_help().to_string();
        let wide: Vec<&str> = help
            .lines()
            .filter(|line| line.chars().count() > 80)
            .collect();
        assert_eq!(wide, Vec::<&str>::new());
    }

    #[test]
    fn benchmarks_have_arguments_or_peers() {
        for line in [
            "xtask bench",
            "xtask bench resnet --save-baseline a",
            "xtask bench --peers",
            "xtask bench --peers --networks resnet18,yolov2 --threads 2 --batch 1,8 --rounds 3",
            "xtask bench --peers ncnn,mnn --layers --record",
            "xtask bench --write-layers",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
        }
        for line in [
            "xtask bench --networks resnet18",
            "xtask bench --layers",
            "xtask bench --peers --rounds 0",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn arguments_are_handed_on_as_they_are() {
        let cli = Cli::parse_from(["xtask", "test", "-p", "engine", "--", "--nocapture"]);
        let Some(Task::Test { args }) = cli.task else {
            panic!("not the task `test`")
        };
        assert_eq!(args, ["-p", "engine", "--", "--nocapture"]);
    }
}
