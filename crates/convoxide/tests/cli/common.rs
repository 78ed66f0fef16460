//! Running the program in a folder with a small model and pictures.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image_data::Picture;
use nn_layers::{Metadata, ModelFile, Params, random_params};
use resnet::ResNet;
use serde_json::Value;
use tempfile::TempDir;
use yolo_detect::cfg::Cfg;
use yolo_detect::{Network, Weights, WeightsHeader};

/// A detector of three classes with two anchors on a grid of 4 x 4.
pub(crate) const CFG: &str = "\
[net]
width=32
height=32
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=leaky

[convolutional]
filters=16
size=1
stride=2
activation=linear

[yolo]
mask=0,1
anchors=8,8, 16,12
classes=3
num=2
";

/// Returns the command, without environment variables that affect it.
pub(crate) fn convoxide() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convoxide"));
    command.env_remove("CONVOXIDE_ISA").args(["--threads", "2"]);
    command
}

/// A temporary folder with a model and pictures, which is removed when the value is dropped.
pub(crate) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// Creates `tiny.cfg`, `tiny.weights` and `tiny.names`, and the folder `photos` with `a.png`,
    /// 40 wide and 30 high, and `b.png`, 9 wide and 50 high.
    pub(crate) fn new() -> Self {
        let fixture = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fixture.write("tiny.cfg", CFG);
        fixture.write("tiny.weights", weights(CFG));
        fixture.write("tiny.names", "cat\ndog\ncrème brûlée\n");
        fixture.picture("photos/a.png", [30, 40]);
        fixture.picture("photos/b.png", [50, 9]);
        fixture
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes a PNG with varied pixels; `size` is `[h, w]`.
    pub(crate) fn picture(&self, name: impl AsRef<Path>, [height, width]: [usize; 2]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixels: Vec<u8> = (0..3 * height * width)
            .map(|i| (i * i / 7 + 31 * i) as u8)
            .collect();
        let picture = Picture::from_rgb(width, height, 3 * width, &pixels).unwrap();
        picture.save_png(path).unwrap();
    }

    /// Returns the program, to be run in the folder. Its cache is the folder `cache` in it.
    pub(crate) fn command(&self) -> Command {
        let mut command = convoxide();
        command
            .current_dir(self.folder.path())
            .env("CONVOXIDE_HOME", self.path("cache"));
        command
    }

    /// Returns the program, to be run in the folder with these arguments.
    pub(crate) fn command_with(&self, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.args(arguments);
        command
    }

    /// Returns `convoxide detect` with the model, at threshold 0, at which there are always
    /// detections.
    pub(crate) fn detect(&self) -> Command {
        let mut command = self.command();
        command.args(["detect", "--model", "tiny.cfg", "--weights", "tiny.weights"]);
        command.args(["--names", "tiny.names", "--threshold", "0"]);
        command
    }

    /// Returns the JSON lines of `detect` with these arguments, which must succeed.
    pub(crate) fn detect_json<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Vec<Value> {
        let output = self
            .detect()
            .arg("--json")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        json_lines(&output)
    }
}

/// Saves ResNet-20 with random weights for this many classes, as torchvision would save it.
pub(crate) fn save_resnet20(path: &Path, classes: usize) -> Params<f32> {
    save(path, resnet20(classes).init(1).unwrap(), None)
}

pub(crate) fn resnet20(classes: usize) -> ResNet {
    ResNet {
        classes,
        ..ResNet::named("resnet20").unwrap()
    }
}

/// Writes a model file and returns its parameters.
pub(crate) fn save(path: &Path, params: Params<f32>, metadata: Option<Metadata>) -> Params<f32> {
    let file = ModelFile { metadata, params };
    file.save(path).unwrap();
    file.params
}

/// Limits the command to 512 MiB of address space, where the system can do so; code, stacks and the
/// allocator's reserves take about half of that.
pub(crate) fn limited(command: Command) -> Command {
    if !cfg!(target_os = "linux") {
        return command;
    }
    after("ulimit -v 524288", &command)
}

/// The command in the process of a shell that has run `setting` first.
pub(crate) fn after(setting: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{setting} && exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Returns the single line on standard error of a command, which must fail with exit code 1.
#[track_caller]
pub(crate) fn complaint(fixture: &Fixture, arguments: &[&str]) -> String {
    let output = limited(fixture.command_with(arguments)).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    let message = stderr(&output).to_owned();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

/// Returns a weights file with random values for a cfg.
pub(crate) fn weights(cfg: &str) -> Vec<u8> {
    let network = Network::new(&Cfg::parse(cfg).unwrap()).unwrap();
    let header = WeightsHeader {
        seen: 32_013_312,
        ..WeightsHeader::default()
    };
    let params = random_params(network.graph(), 1).unwrap();
    let mut bytes = Vec::new();
    Weights { header, params }
        .write(&mut bytes, &network)
        .unwrap();
    bytes
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Parses every line of standard output.
pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    stdout(output).lines().map(parse).collect()
}

/// Returns the keys of an object, sorted.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let keys = value.as_object().unwrap().keys();
    let mut keys: Vec<&str> = keys.map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Checks that the command failed with code 1, wrote no result, and gave the reason in one line.
#[track_caller]
pub(crate) fn assert_one_line(output: &Output, expected: &str) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(stdout(output), "");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("convoxide: "), "{message}");
    assert!(
        message.contains(expected),
        "expected {expected:?} in {message}"
    );
}
