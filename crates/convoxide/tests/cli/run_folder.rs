//! The folder of a run: its lock, its files, and its state after a signal.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nn_layers::ModelFile;

#[cfg(target_os = "linux")]
use crate::common::after;
use crate::common::{Fixture, assert_one_line, stderr, stdout};

/// Starts a training that runs until it is stopped, and waits for its first epoch.
fn long_run(fixture: &Fixture, folder: &str) -> Child {
    start(fixture, long_command(fixture, folder), folder)
}

fn long_command(fixture: &Fixture, folder: &str) -> Command {
    let mut command = fixture.command_with(&["train", "recipe.toml", "--data", "data", "--quiet"]);
    command.args(["--epochs", "100000", "--output", folder]);
    command
}

fn start(fixture: &Fixture, mut command: Command, folder: &str) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let saved = fixture.path(format!("{folder}/best.safetensors"));
    while !saved.exists() {
        assert_eq!(child.try_wait().unwrap(), None, "the run has ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn resume(fixture: &Fixture, arguments: &[&str]) -> std::process::Output {
    let mut command = fixture.command_with(&["train", "recipe.toml", "--data", "data", "--quiet"]);
    command
        .args(["--output", "run", "--resume"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_second_process_is_refused_until_the_first_has_died() {
    let fixture = Fixture::with_shapes();
    let mut first = long_run(&fixture, "run");
    let message = "run: another process is training in this folder";
    assert_one_line(&resume(&fixture, &["--epochs", "100000"]), message);
    let start = [
        "train",
        "recipe.toml",
        "--data",
        "data",
        "--output",
        "run",
        "--quiet",
    ];
    assert_one_line(&fixture.command_with(&start).output().unwrap(), message);
    // Without a chance to clean up.
    first.kill().unwrap();
    first.wait().unwrap();
    let output = resume(&fixture, &["--epochs", "100000", "--seed", "4"]);
    assert_one_line(&output, "seed differs");
}

#[cfg(unix)]
#[test]
fn each_signal_saves_the_run_and_sets_the_exit_code() {
    let fixture = Fixture::with_shapes();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0);
    for (name, number) in [("HUP", 1), ("INT", 2), ("TERM", 15)] {
        if name == "HUP" && ignored & 1 == 1 {
            continue;
        }
        let mut child = long_run(&fixture, name);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{name}");
        assert!(fixture.path(format!("{name}/last.ckpt")).exists());
    }
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill")
        .args([format!("-{name}"), child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

/// `nohup` starts a program with SIGHUP ignored.
#[cfg(target_os = "linux")]
#[test]
fn a_hang_up_that_the_parent_ignores_stays_ignored() {
    let fixture = Fixture::with_shapes();
    let ignoring = after("trap '' HUP", &long_command(&fixture, "run"));
    let mut child = start(&fixture, ignoring, "run");
    signal(&child, "HUP");
    let epochs = || {
        // The first line of the log follows the first model.
        let log = std::fs::read(fixture.path("run/log.jsonl")).unwrap_or_default();
        log.iter().filter(|&&byte| byte == b'\n').count()
    };
    // A run that obeys the signal ends within two epochs.
    let later = epochs() + 3;
    while epochs() < later && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn resuming_restores_stale_and_missing_models() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "run"]);
    let [best, last] = ["best", "last"].map(|name| format!("run/{name}.safetensors"));
    let before = [fixture.bytes(&best), fixture.bytes(&last)];
    std::fs::remove_file(fixture.path(&last)).unwrap();
    let model = ModelFile::open(fixture.path(&best)).unwrap();
    let mut stale = model.clone();
    stale.metadata.as_mut().unwrap().classes.reverse();
    stale.save(fixture.path(&best)).unwrap();
    let output = resume(&fixture, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(before == [fixture.bytes(&best), fixture.bytes(&last)]);
    assert_eq!(model.metadata.unwrap().input_size, Some([16, 16]));
}

#[cfg(unix)]
#[test]
fn files_in_the_way_are_named_and_not_touched() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "whole"]);
    // A folder with the name of the best model.
    std::fs::create_dir_all(fixture.path("run/best.safetensors/in-use")).unwrap();
    let arguments = [
        "train",
        "recipe.toml",
        "--data",
        "data",
        "--output",
        "run",
        "--quiet",
    ];
    let refused = fixture.command_with(&arguments).output().unwrap();
    assert_one_line(&refused, "contains a run");
    std::fs::remove_dir_all(fixture.path("run")).unwrap();

    // A log that is a link is neither followed nor truncated.
    fixture.write("precious.txt", "mine");
    fixture.train(&["--output", "run", "--epochs", "3"]);
    std::fs::remove_file(fixture.path("run/log.jsonl")).unwrap();
    std::os::unix::fs::symlink(fixture.path("precious.txt"), fixture.path("run/log.jsonl"))
        .unwrap();
    assert_one_line(&resume(&fixture, &[]), "log.jsonl: is a symbolic link");
    assert_eq!(fixture.bytes("precious.txt"), b"mine");
    std::fs::remove_file(fixture.path("run/log.jsonl")).unwrap();
    let pipe = Command::new("mkfifo")
        .arg(fixture.path("run/log.jsonl"))
        .status();
    if pipe.is_ok_and(|status| status.success()) {
        assert_one_line(&resume(&fixture, &[]), "log.jsonl: is a pipe");
        let plot = fixture
            .command_with(&["plot", "run", "--output", "p.svg"])
            .output()
            .unwrap();
        assert_one_line(&plot, "log.jsonl: is not a regular file");
    }
}

#[cfg(unix)]
#[test]
fn arguments_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let fixture = Fixture::with_shapes();
    let folder = OsStr::from_bytes(b"r\xfft");
    let output = fixture
        .command_with(&[
            "train",
            "recipe.toml",
            "--data",
            "data",
            "--epochs",
            "1",
            "--output",
        ])
        .arg(folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("r\\xFFt"), "{}", stdout(&output));
    let report = std::fs::read_to_string(fixture.path(folder).join("report.html")).unwrap();
    assert!(report.contains("--output r\\xFFt"));
}

#[test]
fn the_summary_names_the_report_and_the_next_command() {
    let fixture = Fixture::with_shapes();
    let arguments = [
        "train",
        "recipe.toml",
        "--data",
        "data",
        "--out",
        "run",
        "--epochs",
        "1",
    ];
    let output = fixture.command_with(&arguments).output().unwrap();
    let (end, said) = (stdout(&output), stderr(&output));
    assert!(end.starts_with("finished after 1 epoch and "), "{end}");
    assert!(end.contains("\nreport: run/report.html\n"), "{end}");
    let next = end
        .lines()
        .last()
        .unwrap()
        .strip_prefix("next:   convoxide ")
        .unwrap();
    let next: Vec<&str> = next.split(' ').collect();
    assert!(
        fixture
            .command_with(&next)
            .output()
            .unwrap()
            .status
            .success(),
        "{end}"
    );
    assert!(said.contains("train: 80 pictures of 8 classes\n"), "{said}");
    assert!(said.contains("valid: 24 pictures of 8 classes\n"), "{said}");
    assert!(said.contains("memory: network "), "{said}");
    assert!(said.contains("epoch 1/1: loss "), "{said}");
    assert!(
        said.lines().all(|line| line.chars().count() <= 80),
        "{said}"
    );
}
