//! `log.jsonl`: what each epoch of a training run came to, one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

/// What one epoch came to.
///
/// Accuracies are shares, from 0 to 1. In the file, what is no finite number is `null`, and what was
/// not measured is left out; a `null` is read as NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    /// Counted from 1.
    pub(crate) epoch: usize,
    /// Steps since training began.
    pub(crate) steps: u64,
    /// The learning rate of the last step.
    #[serde(deserialize_with = "number")]
    pub(crate) rate: f64,
    /// The mean over the epoch's pictures, while the network learnt from them.
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
    /// The share of pictures whose class is among the five of the largest logits.
    #[serde(default, deserialize_with = "measured")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_top5: Option<f64>,
    /// How long the epoch took, validation included.
    #[serde(deserialize_with = "number")]
    pub(crate) seconds: f64,
    /// Of training alone.
    #[serde(deserialize_with = "number")]
    pub(crate) pictures_per_second: f64,
}

/// What a curve shows of an epoch; `None` where it was not measured.
pub(crate) type Quantity = fn(&Epoch) -> Option<f64>;

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn measured<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    number(deserializer).map(Some)
}

/// Why a log was refused.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    reason: Reason,
}

/// What was wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line} is no epoch: {error}")]
    Line {
        line: usize,
        error: serde_json::Error,
    },
    #[error("over the limit of {MOST_BYTES} bytes for a log")]
    Length,
}

/// Far over what any run writes.
const MOST_BYTES: u64 = 1 << 26;

/// A log that is being written.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    /// Where the last whole line ends.
    end: u64,
}

impl Log {
    /// Begins a log; one that is there is replaced.
    ///
    /// # Errors
    ///
    /// What the system says.
    #[cfg(test)]
    fn create(path: &Path) -> Result<Self, Error> {
        Self::resume(path, 0).map(|(log, _)| log)
    }

    /// Goes on with a log after so many epochs, which it returns. What the log says of later ones is
    /// cut off, because they will be run again; where there is no log, one begins.
    ///
    /// # Errors
    ///
    /// What the system says, a line that is no epoch and has its end, or a file that is far too long.
    pub(crate) fn resume(path: &Path, epochs: usize) -> Result<(Self, Vec<Epoch>), Error> {
        let run = || {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).open(path)?;
            let mut kept = match epochs {
                // Whatever stood there need not be a log.
                0 => Vec::new(),
                _ => lines(&mut file)?,
            };
            let is_later = |(epoch, _): &(Epoch, u64)| epoch.epoch > epochs;
            kept.truncate(kept.iter().position(is_later).unwrap_or(kept.len()));
            let end = kept.last().map_or(0, |&(_, end)| end);
            file.set_len(end)?;
            let kept = kept.into_iter().map(|(epoch, _)| epoch).collect();
            let path = path.to_owned();
            Ok((Self { path, file, end }, kept))
        };
        run().map_err(|reason| at(path, reason))
    }

    /// Adds a line, which is in the file when this returns.
    ///
    /// # Errors
    ///
    /// What the system says; what it wrote of the line is taken back.
    pub(crate) fn append(&mut self, epoch: &Epoch) -> Result<(), Error> {
        let mut run = || {
            let mut line = serde_json::to_vec(epoch).map_err(io::Error::from)?;
            line.push(b'\n');
            self.file.write_all(&line)?;
            self.file.flush()?;
            Ok(line.len() as u64)
        };
        match run() {
            Ok(length) => {
                self.end += length;
                Ok(())
            }
            Err(reason) => {
                // Best effort: `read` gets along with a cut line at the end, too.
                let _ = self.file.set_len(self.end);
                Err(at(&self.path, reason))
            }
        }
    }
}

/// Reads the epochs of a log. A last line that was cut short counts for nothing.
///
/// # Errors
///
/// What the system says, a line that is no epoch and has its end, or a file that is far too long.
pub(crate) fn read(path: &Path) -> Result<Vec<Epoch>, Error> {
    let run = || lines(&mut File::open(path)?);
    let lines = run().map_err(|reason| at(path, reason))?;
    Ok(lines.into_iter().map(|(epoch, _)| epoch).collect())
}

/// Each epoch, and where its line ends.
fn lines(file: &mut File) -> Result<Vec<(Epoch, u64)>, Reason> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Reason::Length);
    }
    let mut epochs = Vec::new();
    let mut end = 0;
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        end += line.len();
        match serde_json::from_slice(line) {
            // Without its line end, the next epoch would be written behind it.
            Ok(epoch) if line.ends_with(b"\n") => epochs.push((epoch, end as u64)),
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

    /// An epoch of a run that goes well.
    pub(in super::super) fn epoch(epoch: usize) -> Epoch {
        let share = 1.0 - 1.0 / (epoch + 1) as f64;
        Epoch {
            epoch,
            steps: 390 * epoch as u64,
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
    fn what_is_no_finite_number_is_null_and_what_was_not_measured_is_absent() {
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
    fn a_line_that_is_no_epoch_is_named() {
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
}
