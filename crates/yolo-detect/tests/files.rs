//! Models read from their files, and files of a wrong kind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use std::path::PathBuf;

use common::{NAMES, RandomWeights, SMALL, noise, small_network};
use yolo_detect::{ClassNames, Detector, DetectorFiles, DetectorOptions, Error, Fit, Warning};

/// A folder with a valid model and with files of a wrong kind.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let network = small_network();
        let weights = RandomWeights::default().bytes(&network);
        let cfg = common::net(32, 32, SMALL);
        let html = "<!DOCTYPE html>\n<html><body>Not found</body></html>\n".repeat(40);
        let longer = [weights.as_slice(), &[0; 4]].concat();
        let contents: [(&str, &[u8]); 19] = [
            ("good.cfg", cfg.as_bytes()),
            ("good.weights", &weights),
            ("good.names", NAMES.as_bytes()),
            ("empty", b""),
            ("page.html", html.as_bytes()),
            ("short.weights", &weights[..weights.len() - 1]),
            ("long.weights", &longer),
            ("latin1", b"caf\xe9\n"),
            ("four.names", b"a\nb\nc\nd\n"),
            ("gap.names", b"a\n\nc\n"),
            (
                "classifier.cfg",
                b"[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\n",
            ),
            ("huge", &vec![b'a'; 2 << 20]),
            // A header of 64 bytes, padded beyond the size limit of a text file.
            (
                "model.safetensors",
                &[
                    b"\x40\0\0\0\0\0\0\0{\"a\":{",
                    vec![b' '; 2 << 20].as_slice(),
                ]
                .concat(),
            ),
            (
                "pointer",
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            ),
            ("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
            ("old.pth", b"\x80\x02}q\x00(X\x05\0"),
            // Person, car and dog in GBK.
            ("gbk.names", b"\xc8\xcb\n\xb3\xb5\n\xb9\xb7\n"),
            ("utf16.names", b"\xff\xfec\0a\0t\0\r\0\n\0"),
            ("cars.names", b"BMW\nAudi\nFord\n"),
        ];
        for (name, content) in contents {
            std::fs::write(files.path(name), content).unwrap();
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, cfg: &str, weights: &str, names: &str) -> Result<Detector, Error> {
        let (cfg, weights) = (self.path(cfg), self.path(weights));
        let files = DetectorFiles {
            cfg,
            weights,
            names: Some(self.path(names)),
        };
        Detector::open(&files, DetectorOptions::default())
    }
}

#[test]
fn a_good_model_opens() {
    let mut detector = Files::new()
        .open("good.cfg", "good.weights", "good.names")
        .unwrap();
    assert_eq!(detector.names().get(1), Some("dog"));
    let (_, timings) = detector.detect_timed(&noise(9, 9, 1)).unwrap();
    assert!(timings.network > std::time::Duration::ZERO);
    assert_eq!(detector.warnings(), []);
}

#[test]
fn names_may_begin_like_a_picture() {
    let detector = Files::new()
        .open("good.cfg", "good.weights", "cars.names")
        .unwrap();
    assert_eq!(detector.names().get(0), Some("BMW"));
}

#[test]
fn what_is_odd_about_a_model_is_a_value() {
    let files = Files::new();
    let text = |warning: &Warning| warning.to_string();
    for (letter_box, stretches) in [(false, true), (true, false)] {
        let key = if letter_box { "letter_box=1\n" } else { "" };
        let cfg = common::net(32, 32, &format!("{key}wombat=1\n{SMALL}"));
        std::fs::write(files.path("good.cfg"), cfg).unwrap();
        let mut weights = RandomWeights::default();
        weights.header.revision = 5;
        let weights = weights.bytes(&small_network());
        std::fs::write(files.path("good.weights"), weights).unwrap();
        let detector = files
            .open("good.cfg", "good.weights", "good.names")
            .unwrap();
        let [cfg, fork] = detector.warnings() else {
            panic!("{:?}", detector.warnings())
        };
        assert!(matches!(cfg, Warning::Cfg { path, .. } if *path == files.path("good.cfg")));
        assert!(text(cfg).ends_with(", [net], wombat: unknown key, ignored"));
        let Warning::Fork {
            path,
            revision: 5,
            letter_box: read,
            fit: Fit::Letterbox,
        } = fork
        else {
            panic!("{fork:?}")
        };
        assert_eq!((path, *read), (&files.path("good.weights"), letter_box));
        assert_eq!(text(fork).contains("stretches"), stretches, "{fork}");
        assert!(text(fork).contains("sqrt(variance + 0.00001)"), "{fork}");
        assert_eq!(text(fork).lines().count(), 1);
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_a_models_place_is_not_waited_for() {
    let files = Files::new();
    let pipe = files.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for given in [
        ["pipe", "good.weights", "good.names"],
        ["good.cfg", "pipe", "good.names"],
        ["good.cfg", "good.weights", "pipe"],
    ] {
        let error = files.open(given[0], given[1], given[2]).unwrap_err();
        let Error::File { error, .. } = error else {
            panic!("{error}")
        };
        assert!(matches!(
            *error,
            Error::NotAFile {
                what: "a pipe or a device"
            }
        ));
    }
}

#[test]
fn a_hostile_path_is_printed_as_one_line() {
    let error = ClassNames::open("a\nb\u{202e}.names").unwrap_err();
    assert!(
        error.to_string().starts_with("a\\nb\\u{202e}.names: "),
        "{error}"
    );
}

#[test]
fn hostile_files_are_one_line_errors_that_name_the_file() {
    let files = Files::new();
    let good = ["good.cfg", "good.weights", "good.names"];
    // Which of the three files is replaced, by which, and what the message says about it.
    for (which, name, reason) in [
        (0, "good.weights", "not a cfg file: it holds binary data"),
        (
            0,
            "good.names",
            "line 1: expected [section] or key=value, got \"cat\"",
        ),
        (0, "empty", "the file has no sections"),
        (0, "page.html", "not a cfg file but an HTML page"),
        (
            0,
            "latin1",
            "line 1: not UTF-8 text but in an encoding such as Latin-1",
        ),
        (
            0,
            "utf16.names",
            "line 1 is not UTF-8 text but in UTF-16: convert the file to UTF-8",
        ),
        (
            0,
            "model.safetensors",
            "not a cfg file but a .safetensors file",
        ),
        (
            0,
            "pointer",
            "not a cfg file but a git-lfs pointer: fetch the file itself",
        ),
        (0, "photo.jpg", "not a cfg file but a JPEG picture"),
        (
            0,
            "huge",
            "the file has 2097152 bytes, expected at most 262144",
        ),
        (0, "classifier.cfg", "no [region] or [yolo] layer"),
        (0, "none", "cannot be read: "),
        (0, ".", "is a folder, not a file"),
        (
            1,
            "good.cfg",
            "not a weights file: it begins with the text \"[net]",
        ),
        (
            1,
            "good.names",
            "not a weights file: it begins with the text \"cat\\ndog",
        ),
        (1, "empty", "ends inside its header: 0 bytes"),
        (1, "page.html", "not a weights file but an HTML page"),
        (
            1,
            "model.safetensors",
            "not a weights file but a .safetensors file",
        ),
        (1, "old.pth", "not a weights file but a Python pickle"),
        (1, "pointer", "not a weights file but a git-lfs pointer"),
        (1, "short.weights", "1 bytes are missing"),
        (1, "long.weights", "4 bytes are left over"),
        (1, "huge", "not a weights file: it begins with the text"),
        (1, "none", "cannot be read: "),
        (1, ".", "is a folder, not a file"),
        (
            2,
            "good.cfg",
            "32 class names (from [net] to anchors=20,30,40,20), but the network has 3 classes",
        ),
        (2, "good.weights", "not a names file: it holds binary data"),
        (2, "empty", "0 class names, but the network has 3 classes"),
        (2, "photo.jpg", "not a names file but a JPEG picture"),
        (
            2,
            "gbk.names",
            "line 1 is not UTF-8 text but in an encoding such as GBK, Shift-JIS or Windows-1251: \
             convert the file to UTF-8, for example with `iconv -f GBK -t UTF-8`",
        ),
        (2, "utf16.names", "line 1 is not UTF-8 text but in UTF-16"),
        (2, "page.html", "not a names file but an HTML page"),
        (
            2,
            "four.names",
            "4 class names (a, b, c, d), but the network has 3 classes",
        ),
        (2, "gap.names", "line 2 of the names is empty"),
        (
            2,
            "latin1",
            "line 1 is not UTF-8 text but in an encoding such as Latin-1",
        ),
        (
            2,
            "huge",
            "the file has 2097152 bytes, expected at most 1048576",
        ),
        (2, "none", "cannot be read: "),
    ] {
        let mut given = good;
        given[which] = name;
        let error = files.open(given[0], given[1], given[2]).unwrap_err();
        assert!(
            matches!(&error, Error::File { path, .. } if *path == files.path(name)),
            "{error}"
        );
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("{}: ", files.path(name).display())),
            "{message}"
        );
        assert!(message.contains(reason), "{name}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
