//! Help, version, and errors in the command line.

use crate::common::{Fixture, assert_one_line, convoxide, stderr, stdout};

#[test]
fn wrong_arguments_exit_with_2() {
    let model = ["detect", "--model", "m.cfg", "--weights", "m.weights"];
    for arguments in [
        &["no-such-command"][..],
        &["detect"],
        &["detect", "--weights", "m.weights", "a.png"],
        &model,
        &[&model[..], &["--threshold", "1.5", "a.png"]].concat(),
        &[&model[..], &["--threshold", "NaN", "a.png"]].concat(),
        &[&model[..], &["--nms", "-0.1", "a.png"]].concat(),
        &[&model[..], &["--score-rule", "worst", "a.png"]].concat(),
        &["classify", "--weights", "w.safetensors", "a.png"],
        &["classify", "--classes", "3", "a.png"],
        &["eval", "--data", "pictures"],
        &["classify", "--model", "m.safetensors"],
        &[
            "classify",
            "--model",
            "m.safetensors",
            "--top",
            "0",
            "a.png",
        ],
        &["classify", "--model", "resnet18", "--classes", "0", "a.png"],
        &["run", "resnet18", "--input", "x.npy"],
        &["export", "resnet18"],
        &["export", "resnet18", "--format", "onnx", "--output", "m"],
        &["summary"],
        &["summary", "m.cfg", "--size", "0x416"],
        &["bench", "m.cfg", "--batch", "0"],
        &["bench", "m.cfg", "--runs", "0"],
        &["plot", "--output", "p.svg"],
        &["plot", "run"],
        &["plot", "run", "--output", "p.svg", "--value", "speed"],
        &[&["plot", "--output", "p.svg"][..], &["run"; 9]].concat(),
        &["kernels", "resnet18"],
        &["kernels", "resnet18", "--output", "k.png", "--scale", "0"],
        &["demo", "--threads", "0"],
        &["demo", "--quiet", "--verbose"],
    ] {
        let output = convoxide().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn without_a_command_the_help_is_shown() {
    let output = convoxide().arg("--help").output().unwrap();
    assert!(output.status.success());
    for command in [
        "demo", "detect", "classify", "summary", "bench", "run", "plot", "kernels", "export",
        "list",
    ] {
        assert!(stdout(&output).contains(command), "{command}");
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_convoxide"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("Usage: convoxide"));
}

#[test]
fn common_options_stand_before_or_after_the_command() {
    let fixture = Fixture::new();
    for arguments in [
        ["--json", "summary", "tiny.cfg"],
        ["summary", "tiny.cfg", "--json"],
    ] {
        let output = fixture.command().args(arguments).output().unwrap();
        assert!(stdout(&output).starts_with('{'), "{output:?}");
    }
}

#[test]
fn the_log_tells_what_takes_time() {
    let fixture = Fixture::new();
    let output = fixture.detect().args(["-vv", "photos"]).output().unwrap();
    assert!(output.status.success());
    for span in ["load", "compile", "look{path=photos/a.png}"] {
        let is_told = |line: &str| line.contains(span) && line.contains("time.busy");
        assert!(stderr(&output).lines().any(is_told), "{span}: {output:?}");
    }
    let output = fixture.detect().arg("photos").output().unwrap();
    assert_eq!(stderr(&output), "");
}

#[test]
fn warnings_name_the_line_and_quiet_keeps_them_away() {
    let fixture = Fixture::new();
    fixture.write(
        "tiny.cfg",
        crate::common::CFG.replace("stride=4", "stride=4\nstrid=4"),
    );
    let output = fixture.detect().arg("photos").output().unwrap();
    assert!(output.status.success());
    assert!(
        stderr(&output).contains("tiny.cfg: line 11, [convolutional], strid"),
        "{output:?}"
    );
    let output = fixture
        .detect()
        .args(["photos", "--quiet"])
        .output()
        .unwrap();
    assert_eq!(stderr(&output), "");
}

#[test]
fn an_instruction_set_that_does_not_exist_is_an_error() {
    let fixture = Fixture::new();
    let mut command = fixture.detect();
    let output = command
        .arg("photos")
        .env("CONVOXIDE_ISA", "mmx")
        .output()
        .unwrap();
    assert_one_line(&output, "mmx");
}
