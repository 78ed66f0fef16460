//! Standard input and output as pipes, including closed and full ones.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::common::Fixture;

#[test]
fn results_come_before_the_next_path_is_read() {
    let fixture = Fixture::new();
    let mut command = fixture.detect();
    command
        .args(["--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for name in ["photos/b.png", "photos/a.png"] {
        writeln!(stdin, "{name}").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains(name), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_output_ends_the_program_quietly() {
    let fixture = Fixture::new();
    for json in [true, false] {
        let mut command = fixture.detect();
        if json {
            command.arg("--json");
        }
        command
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The reader is closed before the first picture is read.
        drop(child.stdout.take());
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"photos/a.png\nphotos/b.png\n")
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let fixture = Fixture::new();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = fixture
        .detect()
        .arg("photos")
        .stdout(full)
        .output()
        .unwrap();
    crate::common::assert_one_line(&output, "standard output: ");
}
