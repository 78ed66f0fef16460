//! `convoxide train` with a disk that fails or a process that is killed, at each point where it writes:
//! there is no panic and no stale or partial file, and a resumed run writes the same bytes as one that
//! was never interrupted.
//!
//! `strace` injects the faults, by default at a sample of the points, with `CONVOXIDE_LONG=1` at all.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nn_layers::{Checkpoint, ModelFile};
use serde_json::Value;

use crate::common::Fixture;

/// Two epochs of two steps.
const RECIPE: &str = r#"
model = "resnet20"
config = { layers = [1, 1, 1], width = 8, shortcut = "zero_padded" }
epochs = 2
batch = 8
[shapes]
train = 16
valid = 8
size = [16, 16]
[preprocessing]
channels = "rgb"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
[optimiser]
method = { sgd = { momentum = 0.9 } }
[schedule]
rate = 0.05
"#;

/// The number of points in the sample for each kind of fault.
const SAMPLE: usize = 4;

/// The system calls that write files.
const CALLS: [&str; 7] = [
    "write",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "openat",
];
/// The faults injected into them.
const FAULTS: [&str; 3] = ["error=ENOSPC", "error=EIO", "signal=KILL"];

struct Training {
    fixture: Fixture,
    /// The files of an uninterrupted run.
    whole: BTreeMap<String, Vec<u8>>,
}

impl Training {
    fn new() -> Self {
        let fixture = Fixture::new();
        fixture.write("recipe.toml", RECIPE);
        let mut training = Self {
            fixture,
            whole: BTreeMap::new(),
        };
        let output = training.train("whole", &[]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        training.whole = training.files("whole");
        assert!(training.whole.len() >= 6, "{:?}", training.whole.keys());
        training
    }

    /// `convoxide train` into a folder, with one thread, so that the order of its calls is fixed.
    fn train(&self, folder: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convoxide"));
        command
            .current_dir(self.fixture.path(""))
            .args(["--threads", "1", "train", "recipe.toml", "--output", folder])
            .args(arguments)
            .env_remove("CONVOXIDE_ISA");
        command
    }

    fn traced(&self, folder: &str, options: &[&str]) -> Command {
        let program = self.train(folder, &[]);
        let mut command = Command::new("strace");
        command
            .current_dir(self.fixture.path(""))
            .args(["-f", "--seccomp-bpf", "-qqq"])
            .args(options)
            .arg(program.get_program())
            .args(program.get_args())
            .env_remove("CONVOXIDE_ISA");
        command
    }

    /// The writing calls of an uninterrupted run, each with its index among the calls of its name.
    fn points(&self) -> Vec<(&'static str, usize)> {
        let calls = CALLS.join(",");
        let output = self
            .traced(
                "traced",
                &[
                    "-o",
                    "trace",
                    "-e",
                    &format!("trace=?{}", calls.replace(',', ",?")),
                ],
            )
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let trace = std::fs::read_to_string(self.fixture.path("trace")).unwrap();
        // The calls of each thread are counted separately.
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut points = Vec::new();
        for line in trace.lines() {
            let Some((thread, call)) = line.split_once(' ') else {
                continue;
            };
            let call = call.trim_start();
            let Some(name) = CALLS.into_iter().find(|&name| {
                call.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('('))
            }) else {
                continue;
            };
            let count = counts.entry((thread, name)).or_default();
            *count += 1;
            if name != "openat" || call.contains("O_CREAT") {
                points.push((name, *count));
            }
        }
        points.sort_unstable();
        points.dedup();
        points
    }

    /// The files of a run, without the lock and the report, which contains times, and without the times
    /// in the log.
    fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(self.fixture.path(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let content = match name.as_str() {
                "lock" | "report.html" => continue,
                "log.jsonl" => format!("{:?}", log(&path)).into_bytes(),
                _ => std::fs::read(&path).unwrap(),
            };
            files.insert(name, content);
        }
        files
    }

    /// Checks the files of an interrupted run, and that the run can be finished.
    fn check(&self, folder: &str, output: &Output, what: &str) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{what}: {said}");
        let killed = output.status.signal() == Some(9);
        // The fault hit the loader of shared libraries, before the program.
        let not_started = output.status.code() == Some(127) && said.contains("shared libraries");
        assert!(
            killed || not_started || matches!(output.status.code(), Some(0 | 1)),
            "{what}: {:?} {said}",
            output.status
        );
        let path = self.fixture.path(folder);
        let mut has_checkpoint = false;
        if path.exists() {
            for entry in std::fs::read_dir(&path).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                // A temporary file of a killed process; the next process removes it.
                if name.starts_with(".convoxide-") {
                    assert!(killed, "{what}: {name}");
                } else if name.ends_with(".safetensors") {
                    assert!(ModelFile::open(&path).is_ok(), "{what}: {name}");
                } else if name.ends_with(".ckpt") {
                    assert!(Checkpoint::<f32>::open(&path).is_ok(), "{what}: {name}");
                    has_checkpoint = true;
                } else if name == "recipe.toml" {
                    assert_eq!(std::fs::read(&path).unwrap(), self.whole[name], "{what}");
                }
            }
        }
        if output.status.success() {
            self.compare(folder, what);
        }
        // A failed start does not prevent the next one.
        let resume: &[&str] = if has_checkpoint { &["--resume"] } else { &[] };
        let finished = self.train(folder, resume).output().unwrap();
        assert!(finished.status.success(), "{what}: then {finished:?}");
        self.compare(folder, what);
        std::fs::remove_dir_all(path).unwrap();
    }

    fn compare(&self, folder: &str, what: &str) {
        let files = self.files(folder);
        for (name, content) in &self.whole {
            let got = files.get(name);
            assert!(got == Some(content), "{what}: {name} differs or is missing");
        }
        let names: Vec<&String> = files.keys().collect();
        assert_eq!(names, self.whole.keys().collect::<Vec<_>>(), "{what}");
    }
}

/// The epochs of a log, without their times.
fn log(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let epoch = |line: &str| {
        let mut epoch: Value = serde_json::from_str(line).ok()?;
        let fields = epoch.as_object_mut()?;
        fields.remove("seconds");
        fields.remove("pictures_per_second");
        Some(epoch)
    };
    text.lines().filter_map(epoch).collect()
}

/// Returns whether `strace` is installed and permitted.
fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    traced.is_ok_and(|status| status.success())
}

#[test]
fn a_failing_disk_and_a_killed_process_lose_nothing_that_was_saved() {
    if !can_trace() {
        eprintln!("skipped: `strace` is not installed or not permitted");
        return;
    }
    let every = std::env::var_os("CONVOXIDE_LONG").is_some();
    let training = Training::new();
    let points = training.points();
    assert!(points.len() > 30, "{points:?}");
    let mut tried = 0;
    for (kind, fault) in FAULTS.into_iter().enumerate() {
        let step = if every {
            1
        } else {
            points.len().div_ceil(SAMPLE)
        };
        // Each kind of fault starts at a different point.
        for &(call, count) in points
            .iter()
            .skip(if every { 0 } else { 3 * kind + 1 })
            .step_by(step)
        {
            // A disk stays full; the other faults occur once.
            for last in if fault == "error=ENOSPC" {
                &["", "+"][..]
            } else {
                &[""]
            } {
                let inject = format!("inject={call}:{fault}:when={count}{last}");
                let trace = format!("trace={call}");
                let options = ["-o", "/dev/null", "-e", &trace, "-e", &inject];
                let output = training.traced("cut", &options).output().unwrap();
                training.check("cut", &output, &inject);
                tried += 1;
            }
        }
    }
    eprintln!("{tried} faults at {} points", points.len());
}

#[test]
fn closed_and_full_outputs_do_not_change_a_run() {
    let training = Training::new();
    let full = || {
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    for verbose in [&[][..], &["-vv"]] {
        let output = training
            .train("full", verbose)
            .stderr(full())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        training.compare("full", "a full standard error");
        std::fs::remove_dir_all(training.fixture.path("full")).unwrap();

        let mut command = training.train("closed", verbose);
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        training.compare("closed", "a closed standard error");
        std::fs::remove_dir_all(training.fixture.path("closed")).unwrap();
    }
    // Without standard output, the command fails, but all files are written.
    let output = training
        .train("mute", &[])
        .stdout(full())
        .stderr(full())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    training.compare("mute", "a full standard output");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_before_training() {
    let training = Training::new();
    training.fixture.write("file", "in the way");
    let output = training.train("file/run", &["--quiet"]).output().unwrap();
    crate::common::assert_one_line(&output, "file/run: ");
}
