//! The summary at the end of the command.

use std::path::Path;

use files::show::{self, count};
use serde::Serialize;

use super::Args;
use super::status::rough;

/// The summary of a run, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) outcome: &'static str,
    pub(super) epochs: usize,
    pub(super) best_accuracy: Option<f64>,
    pub(super) last_accuracy: Option<f64>,
    /// The number of pictures skipped because they cannot be read.
    pub(super) skipped: usize,
    pub(super) seconds: f64,
    pub(super) folder: String,
    /// Whether there are pictures to validate on.
    #[serde(skip)]
    pub(super) is_measured: bool,
    /// Whether they were held out from those for training.
    #[serde(skip)]
    pub(super) is_held_out: bool,
}

impl Summary {
    /// The summary as text, with a suggestion for the next command.
    pub(super) fn text(&self, args: &Args) -> String {
        let percent = |share: Option<f64>| match share {
            Some(share) => format!("{:.2} %", 100.0 * share),
            None => "not measured".to_owned(),
        };
        let mut text = format!(
            "{} after {} and {}: accuracy {}",
            self.outcome,
            count(self.epochs, "epoch", "epochs"),
            rough(self.seconds),
            percent(self.last_accuracy),
        );
        if self.best_accuracy.is_some() {
            text += &format!(", at best {}", percent(self.best_accuracy));
        }
        if self.skipped > 0 {
            let pictures = count(self.skipped, "picture", "pictures");
            text += &format!("; {pictures} skipped");
        }
        let folder = args.folder();
        let report = shell(&folder.join("report.html"));
        match self.epochs {
            0 => text += &format!("\nfolder: {}", shell(&folder)),
            _ => text += &format!("\nreport: {report}"),
        }
        format!("{text}\nnext:   {}", self.next(args, &folder))
    }

    fn next(&self, args: &Args, folder: &Path) -> String {
        if self.outcome == "stopped" {
            let name = match args.fine_tune {
                Some(_) => "fine-tune",
                None => "train",
            };
            let mut command = format!("convoxide {name}");
            if let Some(recipe) = &args.recipe {
                command += &format!(" {}", shell(recipe));
            }
            let paths = [("--data", &args.data), ("--output", &args.output)];
            for (flag, path) in paths {
                if let Some(path) = path {
                    command += &format!(" {flag} {}", shell(path));
                }
            }
            return command + &self.overrides(args) + " --resume";
        }
        let model = match self.is_measured {
            true => "best.safetensors",
            false => "last.safetensors",
        };
        let model = shell(&folder.join(model));
        match &args.data {
            Some(data) if self.is_measured && !self.is_held_out => {
                format!("convoxide eval --model {model} --data {}", shell(data))
            }
            _ => format!("convoxide classify --model {model} PICTURE"),
        }
    }

    /// The flags that must be repeated, because they change the recipe or the data.
    fn overrides(&self, args: &Args) -> String {
        let flags = [
            ("--model", args.model.as_ref().map(|model| quoted(model))),
            (
                "--weights",
                args.weights.as_ref().map(|weights| quoted(weights)),
            ),
            ("--epochs", args.epochs.map(|epochs| epochs.to_string())),
            ("--batch", args.batch.map(|batch| batch.to_string())),
            ("--rate", args.rate.map(|rate| rate.to_string())),
            (
                "--freeze-epochs",
                args.fine_tune
                    .and_then(|flags| flags.freeze_epochs)
                    .map(|epochs| epochs.to_string()),
            ),
            ("--seed", args.seed.map(|seed| seed.to_string())),
            ("--skip-bad", args.skip_bad.then(String::new)),
        ];
        let given = flags.into_iter().filter_map(|(flag, value)| {
            let value = value?;
            let space = if value.is_empty() { "" } else { " " };
            Some(format!(" {flag}{space}{value}"))
        });
        given.collect()
    }
}

/// Quotes a path for a shell.
fn shell(path: &Path) -> String {
    quoted(&show::name(path.as_os_str()))
}

fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/\\._-+,:@%=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(arguments: &[&str]) -> Args {
        let arguments = ["train"].iter().chain(arguments);
        let matches = <Cli as clap::CommandFactory>::command().get_matches_from(arguments);
        Cli::from_arg_matches(&matches).unwrap().args
    }

    fn summary(outcome: &'static str, epochs: usize, best: Option<f64>) -> Summary {
        Summary {
            outcome,
            epochs,
            best_accuracy: best,
            last_accuracy: best,
            skipped: 0,
            seconds: 12.0,
            folder: "runs/a".to_owned(),
            is_measured: best.is_some(),
            is_held_out: false,
        }
    }

    #[test]
    fn the_end_names_the_report_and_the_next_command() {
        let args = args(&["my recipe.toml", "--data", "data", "--out", "runs/a"]);
        assert_eq!(
            summary("finished", 1, Some(0.5)).text(&args),
            "finished after 1 epoch and 12 s: accuracy 50.00 %, at best 50.00 %\n\
             report: runs/a/report.html\n\
             next:   convoxide eval --model runs/a/best.safetensors --data data"
        );
        assert_eq!(
            summary("finished", 2, None).text(&args),
            "finished after 2 epochs and 12 s: accuracy not measured\n\
             report: runs/a/report.html\n\
             next:   convoxide classify --model runs/a/last.safetensors PICTURE"
        );
    }

    #[test]
    fn a_stopped_run_continues_with_the_same_flags() {
        let args = args(&["it's.toml", "--epochs", "7", "--rate", "0.5", "--skip-bad"]);
        let text = summary("stopped", 0, None).text(&args);
        assert!(
            text.ends_with(
                "\nfolder: 'runs/it'\\''s'\nnext:   convoxide train 'it'\\''s.toml' --epochs 7 \
                 --rate 0.5 --skip-bad --resume"
            ),
            "{text}"
        );
    }
}
