//! `convoxide train` and `convoxide eval`: the files of a run, exact resuming, errors in one line.

use std::path::Path;

use image_data::{Dataset, Shapes, ShapesOptions};
use serde_json::Value;

use crate::common::{Fixture, assert_one_line, json_lines, stderr, stdout};

/// Three epochs of a network with three blocks on pictures of 16x16.
const RECIPE: &str = r#"
model = "resnet20"
config = { layers = [1, 1, 1], shortcut = "zero_padded" }
seed = 3
epochs = 3
batch = 16

[preprocessing]
channels = "rgb"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]

[augmentation]
steps = [{ pad_and_crop = { padding = 2 } }, { horizontal_flip = {} }]

[optimiser]
method = { sgd = { momentum = 0.9 } }
weight_decay = { l2 = 1e-4 }

[schedule]
rate = 0.05
policy = { cosine = {} }
"#;

impl Fixture {
    /// Writes `recipe.toml`, and drawn shapes in class folders in `data/train` and `data/valid`.
    pub(crate) fn with_shapes() -> Self {
        let fixture = Self::new();
        fixture.write("recipe.toml", RECIPE);
        for (part, first, len) in [("train", 0, 80), ("valid", 80, 24)] {
            let shapes = Shapes::new(ShapesOptions {
                first,
                len,
                size: [16, 16],
                ..ShapesOptions::default()
            })
            .unwrap();
            for index in 0..len {
                let class = &shapes.classes()[shapes.label(index)];
                let path = fixture.path(format!("data/{part}/{class}/{index}.png"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                shapes.picture(index).unwrap().save_png(path).unwrap();
            }
        }
        fixture
    }

    /// Runs `convoxide train recipe.toml`, which must succeed, and returns its JSON.
    pub(crate) fn train(&self, arguments: &[&str]) -> Value {
        let output = self
            .command_with(&[
                "train",
                "recipe.toml",
                "--data",
                "data",
                "--json",
                "--quiet",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        json_lines(&output).remove(0)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

#[test]
fn the_models_the_log_and_the_report_of_a_run_agree() {
    let fixture = Fixture::with_shapes();
    let summary = fixture.train(&["--output", "run"]);
    assert_eq!(summary["outcome"], "finished");
    assert_eq!(summary["epochs"], 3);
    let mut files: Vec<String> = std::fs::read_dir(fixture.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let fixed = [
        "best.safetensors",
        "last.ckpt",
        "last.safetensors",
        "log.jsonl",
        "recipe.toml",
        "report.html",
    ];
    for file in fixed {
        assert!(files.iter().any(|name| name == file), "{file} in {files:?}");
    }

    let log = String::from_utf8(fixture.bytes("run/log.jsonl")).unwrap();
    let epochs: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(epochs.len(), 3);
    assert_eq!(epochs[2]["steps"], 15);
    assert_eq!(epochs[2]["valid_accuracy"], summary["last_accuracy"]);
    let losses: Vec<f64> = epochs
        .iter()
        .map(|epoch| epoch["train_loss"].as_f64().unwrap())
        .collect();
    assert!(losses[2] < losses[0], "{losses:?}");

    // The saved model has the accuracy in the log.
    let output = fixture
        .command_with(&[
            "eval",
            "--model",
            "run/last.safetensors",
            "--data",
            "data",
            "--json",
        ])
        .output()
        .unwrap();
    let evaluation = json_lines(&output).remove(0);
    assert_eq!(evaluation["pictures"], 24);
    assert_eq!(evaluation["top1"], epochs[2]["valid_accuracy"]);
    let confusion = evaluation["confusion"].as_array().unwrap();
    let counts = confusion.iter().flat_map(|row| row.as_array().unwrap());
    assert_eq!(counts.map(|count| count.as_u64().unwrap()).sum::<u64>(), 24);

    let report = String::from_utf8(fixture.bytes("run/report.html")).unwrap();
    let cells = report.matches("class=\"cell\"").count();
    assert_eq!(cells, confusion.len() * confusion.len());
    assert!(report.contains("<h1>resnet20 on data</h1>"));
}

#[test]
fn the_bytes_depend_on_the_seed_but_not_on_threads_or_workers() {
    let fixture = Fixture::with_shapes();
    let run = |out: &str, threads: &str, arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_convoxide"))
            .current_dir(fixture.path(""))
            .args([
                "train",
                "recipe.toml",
                "--data",
                "data",
                "--quiet",
                "--epochs",
                "1",
            ])
            .args(["--output", out, "--threads", threads])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        fixture.bytes(&format!("{out}/last.safetensors"))
    };
    let one = run("one", "1", &["--workers", "1"]);
    assert_eq!(one, run("two", "2", &["--workers", "3"]));
    assert_eq!(one, run("four", "4", &["--workers", "2"]));
    assert_ne!(one, run("other", "2", &["--seed", "4"]));
}

/// Interrupts a run after its first checkpoint. Returns its exit code: 0 if it had already ended, else
/// 128 plus the signal's number.
#[cfg(unix)]
fn interrupted(fixture: &Fixture, folder: &str) -> Option<i32> {
    let mut child = fixture
        .command_with(&["train", "recipe.toml", "--data", "data", "--quiet"])
        .args(["--output", folder])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let checkpoint = fixture.path(format!("{folder}/last.ckpt"));
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
    code
}

/// A run that is interrupted and resumed writes the same bytes as one that is not.
#[test]
#[cfg(unix)]
fn an_interrupted_run_continues_to_the_same_bytes() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "whole"]);
    // On a busy machine, a run may end before it is interrupted; then there is another.
    while interrupted(&fixture, "cut") == Some(0) {
        std::fs::remove_dir_all(fixture.path("cut")).unwrap();
    }
    fixture.train(&["--output", "cut", "--resume"]);
    for file in ["last.safetensors", "best.safetensors", "last.ckpt"] {
        assert_eq!(
            fixture.bytes(&format!("whole/{file}")),
            fixture.bytes(&format!("cut/{file}")),
            "{file}"
        );
    }
    let epochs = |run: &str| {
        String::from_utf8(fixture.bytes(&format!("{run}/log.jsonl")))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(epochs("whole"), epochs("cut"));

    // A damaged checkpoint is reported, and the run continues from the one before.
    fixture.write("cut/last.ckpt", "not any more");
    let output = fixture
        .command_with(&["train", "recipe.toml", "--data", "data", "--output", "cut"])
        .args(["--resume", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // The reported time is that of the whole run.
    let log = String::from_utf8(fixture.bytes("cut/log.jsonl")).unwrap();
    let seconds = |json: &str| {
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        json["seconds"].as_f64().unwrap()
    };
    let told = seconds(&String::from_utf8(output.stdout.clone()).unwrap());
    assert!(told >= log.lines().map(seconds).sum::<f64>(), "{told}");
    let said = stderr(&output);
    assert!(said.contains("skipped a damaged checkpoint: "), "{said}");
    assert!(said.contains("last.ckpt"), "{said}");
    assert_eq!(
        fixture.bytes("whole/last.ckpt"),
        fixture.bytes("cut/last.ckpt")
    );
}

#[test]
fn an_error_is_one_line_that_names_its_place() {
    let fixture = Fixture::with_shapes();
    let train = |recipe: &str, arguments: &[&str]| {
        fixture.write("other.toml", recipe);
        fixture
            .command_with(&["train", "other.toml"])
            .args(arguments)
            .output()
            .unwrap()
    };
    let data = ["--data", "data", "--output", "run", "--quiet"];
    let change = |from: &str, to: &str| {
        assert!(RECIPE.contains(from));
        RECIPE.replace(from, to)
    };
    for (recipe, expected) in [
        (
            change("batch = 16", "batches = 16"),
            "line 6: unknown field `batches`",
        ),
        (
            change("epochs = 3", "epochs = 0"),
            "epochs is 0, expected 1 to 1000000",
        ),
        (
            change("\"resnet20\"", "\"resnet21\""),
            "\"resnet21\" is unknown (did you mean resnet20",
        ),
        (
            change("\"zero_padded\"", "\"none_such\""),
            "the configuration of resnet20",
        ),
        (change("rate = 0.05", "rate = -1.0"), "rate"),
        (change("momentum = 0.9", "momentum = nan"), "momentum"),
        (change("mean = [0.5, 0.5, 0.5]", "mean = [0.5]"), "mean"),
        (change("padding = 2", "padding = -2"), "line"),
        ("[".repeat(5000), "line 1"),
        (String::new(), "missing field `model`"),
    ] {
        let output = train(&recipe, &data);
        assert_one_line(&output, expected);
        assert!(
            stderr(&output).contains("other.toml"),
            "{}",
            stderr(&output)
        );
    }
    assert_one_line(&train(RECIPE, &["--output", "run"]), "give --data");
    assert_one_line(
        &train(RECIPE, &["--data", "photos", "--output", "run"]),
        "photos",
    );
    // A rate at which training diverges.
    let output = train(&change("rate = 0.05", "rate = 1e30"), &data);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("step"), "{}", stderr(&output));
    // Nothing was saved, so there is no folder.
    assert!(!Path::new(&fixture.path("run")).exists());
    // A folder that contains a run.
    assert_eq!(train(RECIPE, &data).status.code(), Some(0));
    assert_one_line(&train(RECIPE, &data), "contains a run: give --resume");
}
