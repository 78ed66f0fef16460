//! `log.jsonl`: the results of each epoch of a training run, one JSON object per line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use files::whole_file;
use serde::{Deserialize, Deserializer, Serialize};

/// The results of one epoch.
///
/// Accuracies are shares, from 0 to 1. In the file, a value that is not finite is `null`, and a value
/// that was not measured is absent; `null` is read as NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    /// Counted from 1.
    pub(crate) epoch: usize,
    /// The number of steps since training began.
    pub(crate) steps: u64,
    /// The SHA-256 of the weights that the run started from; in the first epoch's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<String>,
    /// The learning rate of the last step.
    #[serde(deserialize_with = "number")]
    pub(crate) rate: f64,
    /// The mean over the epoch's pictures, each measured in its training step.
    #[serde(deserialize_with = "number")]
    pub(crate) train_loss: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) train_accuracy: f64,
    #[serde(default, deserialize_with = "measured")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_loss: Option<f64>,
    #[serde(default, deserialize_with = "measured")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_accuracy: Option<f64>,
    /// The share of pictures whose class is among the five with the largest logits.
    #[serde(default, deserialize_with = "measured")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_top5: Option<f64>,
    /// The duration of the epoch, including validation.
    #[serde(deserialize_with = "number")]
    pub(crate) seconds: f64,
    /// The speed of training, without validation.
    #[serde(deserialize_with = "number")]
    pub(crate) pictures_per_second: f64,
}

/// A quantity of an epoch, for a curve; `None` if it was not measured.
pub(crate) type Quantity = fn(&Epoch) -> Option<f64>;

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn measured<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    number(deserializer).map(Some)
}

/// An error in a log, with its path.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    reason: Reason,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("line {line} is not an epoch: {error}")]
    Line {
        line: usize,
        error: serde_json::Error,
    },
    #[error("over the limit of {MOST_BYTES} bytes for a log")]
    Length,
}

/// Far more than any run writes.
const MOST_BYTES: u64 = 1 << 26;

/// A log to which epochs are appended.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// The length of the file up to the end of its last complete line.
    end: u64,
}

impl Log {
    /// Creates a log, replacing an existing one.
    ///
    /// # Errors
    ///
    /// The system's errors.
    #[cfg(test)]
    fn create(path: &Path) -> Result<Self, Error> {
        Self::resume(path, 0).map(|(log, _)| log)
    }

    /// Continues a log after its first `epochs` epochs, and returns them. Later epochs are removed,
    /// because they will be run again. If there is no log, the first appended epoch creates it.
    ///
    /// # Errors
    ///
    /// The system's errors, a path that is not a regular file, a complete line that is not an epoch,
    /// and a file over the length limit.
    pub(crate) fn resume(path: &Path, epochs: usize) -> Result<(Self, Vec<Epoch>), Error> {
        let run = || {
            let is_there = whole_file::check(path)?.is_some();
            let bytes = match is_there {
                // A new run keeps nothing of an older file.
                true if epochs > 0 => content(&mut File::open(path)?)?,
                _ => Vec::new(),
            };
            let mut kept: Vec<Epoch> = Vec::new();
            let mut text = Vec::with_capacity(bytes.len());
            for (epoch, line) in lines(&bytes)? {
                let before = kept.last().map_or(0, |last| last.epoch);
                if (before + 1..=epochs).contains(&epoch.epoch) {
                    kept.push(epoch);
                    text.extend(line);
                }
            }
            if is_there && (epochs == 0 || text != bytes) {
                whole_file::replace::<Reason>(path, |file| Ok(file.write_all(&text)?))?;
            }
            let (path, end) = (path.to_owned(), text.len() as u64);
            Ok((Self { path, end }, kept))
        };
        run().map_err(|reason| at(path, reason))
    }

    /// Appends a line; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// The system's errors; a partly written line is removed.
    pub(crate) fn append(&mut self, epoch: &Epoch) -> Result<(), Error> {
        let run = || {
            let mut line = serde_json::to_vec(epoch).map_err(io::Error::from)?;
            line.push(b'\n');
            whole_file::check(&self.path)?;
            let mut options = OpenOptions::new();
            let mut file = options.append(true).create(true).open(&self.path)?;
            if let Err(error) = file.write_all(&line).and_then(|()| file.sync_data()) {
                // Best effort: an incomplete last line is ignored.
                let _ = file.set_len(self.end);
                return Err(error.into());
            }
            Ok(line.len() as u64)
        };
        self.end += run().map_err(|reason| at(&self.path, reason))?;
        Ok(())
    }
}

/// Reads the epochs of a log. An incomplete last line is ignored.
///
/// # Errors
///
/// The system's errors, a complete line that is not an epoch, and a file over the length limit.
pub(crate) fn read(path: &Path) -> Result<Vec<Epoch>, Error> {
    let run = || {
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(Reason::NotAFile);
        }
        let bytes = content(&mut File::open(path)?)?;
        Ok(lines(&bytes)?.into_iter().map(|(epoch, _)| epoch).collect())
    };
    run().map_err(|reason| at(path, reason))
}

/// Reads all bytes of a file, up to the limit.
fn content(file: &mut File) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Reason::Length);
    }
    Ok(bytes)
}

/// Parses the epochs; each is returned with its line.
fn lines(bytes: &[u8]) -> Result<Vec<(Epoch, &[u8])>, Reason> {
    let mut epochs = Vec::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            // An epoch without its line end is incomplete: the next would be appended to the line.
            Ok(epoch) if line.ends_with(b"\n") => epochs.push((epoch, line)),
            Err(error) if line.ends_with(b"\n") => {
                let line = index + 1;
                return Err(Reason::Line { line, error });
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(epochs)
}

fn at(path: &Path, reason: Reason) -> Error {
    Error {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An epoch of a successful run.
    pub(in super::super) fn epoch(epoch: usize) -> Epoch {
        let share = 1.0 - 1.0 / (epoch + 1) as f64;
        Epoch {
            epoch,
            steps: 390 * epoch as u64,
            weights: None,
            rate: 0.1 / epoch as f64,
            train_loss: 2.0 / epoch as f64,
            train_accuracy: share,
            valid_loss: Some(2.1 / epoch as f64),
            valid_accuracy: Some(0.9 * share),
            valid_top5: None,
            seconds: 24.5,
            pictures_per_second: 2041.25,
        }
    }

    fn written(epochs: &[Epoch]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut log = Log::create(&path).unwrap();
        for epoch in epochs {
            log.append(epoch).unwrap();
        }
        (folder, path)
    }

    #[test]
    fn an_epoch_is_a_line_with_the_fields_in_their_order() {
        let (_folder, path) = written(&[epoch(1)]);
        let expected = r#"{"epoch":1,"steps":390,"rate":0.1,"train_loss":2.0,"#.to_owned()
            + r#""train_accuracy":0.5,"valid_loss":2.1,"valid_accuracy":0.45,"#
            + r#""seconds":24.5,"pictures_per_second":2041.25}"#
            + "\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(read(&path).unwrap(), [epoch(1)]);
    }

    #[test]
    fn values_that_are_not_finite_are_null_and_missing_ones_are_absent() {
        let odd = Epoch {
            train_loss: f64::INFINITY,
            valid_loss: Some(f64::NAN),
            valid_accuracy: None,
            ..epoch(1)
        };
        let (_folder, path) = written(&[odd]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#""train_loss":null,"#), "{text}");
        assert!(text.contains(r#""valid_loss":null,"#), "{text}");
        assert!(!text.contains("valid_accuracy"), "{text}");
        let read = read(&path).unwrap();
        assert!(read[0].train_loss.is_nan());
        assert!(read[0].valid_loss.unwrap().is_nan());
        assert_eq!(read[0].valid_accuracy, None);
    }

    #[test]
    fn a_log_cut_anywhere_in_its_last_line_has_the_epochs_before() {
        let (_folder, path) = written(&[epoch(1), epoch(2)]);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for length in first..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&path).unwrap(), [epoch(1)], "{length} bytes");
            let (mut log, before) = Log::resume(&path, 1).unwrap();
            assert_eq!(before, [epoch(1)]);
            log.append(&epoch(2)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{length} bytes");
        }
    }

    #[test]
    fn a_line_that_is_not_an_epoch_is_named() {
        let (_folder, path) = written(&[epoch(1), epoch(2)]);
        let text = std::fs::read_to_string(&path).unwrap();
        for broken in ["{\"epoch\":-1}", "\u{0}", "", "[1, 2]", &"[".repeat(1000)] {
            for (content, expected) in [
                (format!("{broken}\n{text}"), 1),
                (format!("{text}{broken}\n"), 3),
            ] {
                std::fs::write(&path, content).unwrap();
                let error = read(&path).unwrap_err();
                assert!(
                    matches!(error.reason, Reason::Line { line, .. } if line == expected),
                    "{broken:?}: {error}"
                );
            }
        }
        assert!(matches!(
            read(Path::new("no such folder/log.jsonl"))
                .unwrap_err()
                .reason,
            Reason::Io(_)
        ));
    }

    #[test]
    fn resuming_forgets_later_epochs_and_beginning_forgets_all() {
        let (_folder, path) = written(&[epoch(1), epoch(2), epoch(3)]);
        let (mut log, before) = Log::resume(&path, 2).unwrap();
        assert_eq!(before, [epoch(1), epoch(2)]);
        log.append(&epoch(3)).unwrap();
        assert_eq!(read(&path).unwrap(), [epoch(1), epoch(2), epoch(3)]);

        std::fs::write(&path, "something else\n").unwrap();
        Log::create(&path).unwrap().append(&epoch(1)).unwrap();
        assert_eq!(read(&path).unwrap(), [epoch(1)]);

        std::fs::remove_file(&path).unwrap();
        let (_, before) = Log::resume(&path, 5).unwrap();
        assert_eq!(before, []);
    }

    #[test]
    fn doubled_epochs_are_dropped() {
        let (_folder, path) = written(&[epoch(1), epoch(2), epoch(1), epoch(2), epoch(3)]);
        let (_, before) = Log::resume(&path, 3).unwrap();
        assert_eq!(before, [epoch(1), epoch(2), epoch(3)]);
        assert_eq!(read(&path).unwrap(), before);
    }

    #[cfg(unix)]
    #[test]
    fn a_log_that_is_a_link_is_refused_and_its_target_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (
            folder.path().join("target"),
            folder.path().join("log.jsonl"),
        );
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        for epochs in [0, 3] {
            let error = Log::resume(&path, epochs).unwrap_err();
            assert!(matches!(error.reason, Reason::File(_)), "{error}");
        }
        // A link that appears during a run is refused, too.
        std::fs::remove_file(&path).unwrap();
        let (mut log, _) = Log::resume(&path, 0).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(
            log.append(&epoch(1)).unwrap_err().reason,
            Reason::File(_)
        ));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }
}
