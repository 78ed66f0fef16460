//! Help, shell completions and the manual.

use crate::common::{Fixture, assert_one_line, convoxide, stderr, stdout};

#[test]
fn help_fits_80_columns_and_ends_with_examples() {
    let output = convoxide().arg("--help").output().unwrap();
    let help = stdout(&output).to_owned();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        names.contains(&"completions") && !names.contains(&"man"),
        "{names:?}"
    );
    for name in names {
        let output = convoxide().args([name, "--help"]).output().unwrap();
        let help = stdout(&output);
        assert!(
            help.lines().all(|line| line.chars().count() <= 80),
            "{help}"
        );
        assert!(name == "help" || help.contains("Examples:\n  "), "{help}");
    }
}

#[test]
fn what_a_command_refuses_its_help_does_not_offer() {
    for (command, takes_a_cfg) in [("export", true), ("grad", false), ("run", true)] {
        let output = convoxide().args([command, "-h"]).output().unwrap();
        let help = stdout(&output);
        let usage = help.split("Examples").next().unwrap();
        assert_eq!(usage.contains("darknet cfg\n"), takes_a_cfg, "{help}");
    }
}

#[test]
fn completions_know_the_commands_and_their_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = convoxide().args(["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let script = stdout(&output);
        for word in ["classify", "memory-limit", "score-rule"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let output = convoxide().args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn completions_that_cannot_be_written_are_an_error() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = convoxide();
    let output = command
        .args(["completions", "bash"])
        .stdout(full)
        .output()
        .unwrap();
    assert_one_line(&output, "standard output: ");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let fixture = Fixture::new();
    let output = fixture
        .command_with(&["man", "--output", "man"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for page in ["convoxide", "convoxide-detect", "convoxide-eval"] {
        let text = std::fs::read_to_string(fixture.path(format!("man/{page}.1"))).unwrap();
        assert!(
            text.contains(".SH NAME") && text.contains(page.trim_start_matches("convoxide-")),
            "{text}"
        );
        assert!(text.contains("Examples"), "{text}");
    }
    assert!(!fixture.path("man/convoxide-man.1").exists());
}

#[cfg(unix)]
#[test]
fn the_log_is_a_line_an_event_whatever_a_name_holds() {
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::new();
    let photo = std::fs::read(fixture.path("photos/a.png")).unwrap();
    let name = std::ffi::OsStr::from_bytes("a\nb\u{202e}gnp\u{1b}[31m.png".as_bytes());
    fixture.write(name, photo);
    let output = fixture.detect().arg("-vv").arg(name).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let log = stderr(&output);
    assert!(log.contains("a\\nb\\u{202e}gnp\\u{1b}[31m.png"), "{log}");
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "{log}");
    let is_event = |line: &str| {
        let level = line.split_whitespace().next();
        level.is_some_and(|level| ["DEBUG", "INFO", "WARN"].contains(&level))
    };
    assert!(log.lines().all(is_event), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_changes_nothing() {
    let fixture = Fixture::new();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = fixture
        .detect()
        .args(["-vv", "photos"])
        .stderr(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("photos/b.png"));
}
