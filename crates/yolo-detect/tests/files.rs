//! Models from their files, and files that are not what they should be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use std::path::PathBuf;

use common::{NAMES, RandomWeights, SMALL, noise, small_network};
use yolo_detect::{Detector, DetectorFiles, DetectorOptions, Error};

/// A folder with a good model, and files that are not what they are given as.
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
        let contents: [(&str, &[u8]); 12] = [
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
}

#[test]
fn hostile_files_are_one_line_errors_that_name_the_file() {
    let files = Files::new();
    let good = ["good.cfg", "good.weights", "good.names"];
    // Which of the three is replaced, with what, and what the message says of it.
    for (which, name, reason) in [
        (0, "good.weights", "not a cfg file: byte "),
        (
            0,
            "good.names",
            "line 1: expected [section] or key=value, got \"cat\"",
        ),
        (0, "empty", "the file has no sections"),
        (0, "page.html", "not a cfg file but an HTML page"),
        (0, "latin1", "not a cfg file: byte 3 is not UTF-8"),
        (
            0,
            "huge",
            "the file has 2097152 bytes, expected at most 262144",
        ),
        (0, "classifier.cfg", "no [region] or [yolo] layer"),
        (0, "none", "cannot be read: "),
        (0, ".", "not a regular file"),
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
        (1, "short.weights", "1 bytes are missing"),
        (1, "long.weights", "4 bytes are left over"),
        (1, "huge", "not a weights file: it begins with the text"),
        (1, "none", "cannot be read: "),
        (1, ".", "not a regular file"),
        (
            2,
            "good.cfg",
            "32 class names, but the network tells 3 classes apart",
        ),
        (2, "good.weights", "not a names file: byte "),
        (
            2,
            "empty",
            "0 class names, but the network tells 3 classes apart",
        ),
        (2, "page.html", "not a names file but an HTML page"),
        (
            2,
            "four.names",
            "4 class names, but the network tells 3 classes apart",
        ),
        (2, "gap.names", "line 2 of the names is empty"),
        (2, "latin1", "not a names file: byte 3"),
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
