//! A fingerprint of the data: checkpoints contain it, and resuming compares it.

use files::show;
use image_data::Dataset;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Reason;

/// The classes, and the number and names of their pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    classes: Vec<String>,
    train: Vec<Class>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid: Option<Vec<Class>>,
}

/// The pictures of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Class {
    pictures: u64,
    /// A hash of the file names in order, in hexadecimal.
    names: String,
}

/// The largest number of differences that are listed.
const TOLD: usize = 5;

/// The result of comparing a checkpoint's data with the current data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    /// The checkpoint has no fingerprint: an older version wrote it.
    Unknown,
    /// The training pictures differ; the differences in words.
    OtherPictures(String),
    /// Only the validation pictures differ, which the parameters do not depend on.
    OtherValidation(String),
}

impl Fingerprint {
    pub(super) fn new(train: &dyn Dataset, valid: Option<&dyn Dataset>) -> Self {
        Self {
            classes: train.classes().to_vec(),
            train: classes(train),
            valid: valid.map(classes),
        }
    }

    /// Compares this fingerprint with the one in a checkpoint.
    ///
    /// # Errors
    ///
    /// Different classes, with both lists, because the outputs of the network would change their
    /// meaning, and a value that is not a fingerprint.
    pub(super) fn compare(&self, saved: &Value) -> Result<Comparison, Reason> {
        if saved.is_null() {
            return Ok(Comparison::Unknown);
        }
        let saved: Self = serde_json::from_value(saved.clone())
            .map_err(|error| format!("the checkpoint's description of its data: {error}"))?;
        if saved.classes != self.classes {
            return Err(format!(
                "the checkpoint's classes are {}, those of the data are {}; a run cannot continue with \
                 other classes",
                list(&saved.classes),
                list(&self.classes)
            )
            .into());
        }
        let mut differences = Vec::new();
        self.differences(
            "train",
            Some(&saved.train),
            Some(&self.train),
            &mut differences,
        );
        let is_train = !differences.is_empty();
        let (before, now) = (saved.valid.as_deref(), self.valid.as_deref());
        self.differences("valid", before, now, &mut differences);
        Ok(match differences.len() {
            0 => Comparison::Same,
            count => {
                let more = count.saturating_sub(TOLD);
                differences.truncate(TOLD);
                let mut text = differences.join(", ");
                if more > 0 {
                    text += &format!(", and {}", show::count(more, "more class", "more classes"));
                }
                match is_train {
                    true => Comparison::OtherPictures(text),
                    false => Comparison::OtherValidation(text),
                }
            }
        })
    }

    fn differences(
        &self,
        part: &str,
        before: Option<&[Class]>,
        now: Option<&[Class]>,
        into: &mut Vec<String>,
    ) {
        let (before, now) = match (before, now) {
            (None, None) => return,
            (Some(_), None) => return into.push(format!("{part} is missing")),
            (None, Some(_)) => return into.push(format!("{part} is new")),
            (Some(before), Some(now)) => (before, now),
        };
        for (name, (before, now)) in self.classes.iter().zip(before.iter().zip(now)) {
            let class = format!("{part}/{}", show::one_line(name));
            if before.pictures != now.pictures {
                let (before, now) = (before.pictures, now.pictures);
                into.push(format!("{class} has {now} pictures instead of {before}"));
            } else if before != now {
                into.push(format!("{class} has pictures with other names"));
            }
        }
    }
}

fn list(classes: &[String]) -> String {
    let text = classes.join(", ");
    show::shorten(&show::one_line(&text), 300)
}

/// Returns the pictures of each class. A label out of range is an error later, when the picture is
/// read.
fn classes(dataset: &dyn Dataset) -> Vec<Class> {
    let mut pictures = vec![(0u64, Fnv::default()); dataset.classes().len()];
    for index in 0..dataset.len() {
        if let Some((count, hash)) = pictures.get_mut(dataset.label(index)) {
            // Only the file name: the data may have moved to another folder.
            let name = dataset.name(index);
            let name = name
                .rsplit(std::path::is_separator)
                .next()
                .unwrap_or_default();
            *count += 1;
            hash.add(name.as_bytes());
            hash.add(&[0]);
        }
    }
    let class = |(pictures, hash): (u64, Fnv)| Class {
        pictures,
        names: format!("{:016x}", hash.0),
    };
    pictures.into_iter().map(class).collect()
}

/// 64-bit FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo): the same on every machine and in every version of
/// the program. It need not resist deliberate collisions.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use image_data::{Shapes, ShapesOptions, Subset};

    use super::*;

    fn shapes(samples: std::ops::Range<usize>) -> Subset {
        let shapes = Shapes::new(ShapesOptions::default()).unwrap();
        Subset::new(Arc::new(shapes), samples.collect()).unwrap()
    }

    #[test]
    fn the_hash_is_the_published_one() {
        let mut hash = Fnv::default();
        hash.add(b"foobar");
        assert_eq!(hash.0, 0x85944171f73967e8);
    }

    #[test]
    fn what_differs_is_named() {
        let now = Fingerprint::new(&shapes(0..16), Some(&shapes(16..24)));
        let compare =
            |before: Fingerprint| now.compare(&serde_json::to_value(before).unwrap()).unwrap();
        let other = |text: &str| Comparison::OtherPictures(text.to_owned());
        assert_eq!(compare(now.clone()), Comparison::Same);
        assert_eq!(
            compare(Fingerprint::new(&shapes(0..17), Some(&shapes(16..24)))),
            other("train/circle has 2 pictures instead of 3")
        );
        assert_eq!(
            compare(Fingerprint::new(&shapes(0..16), None)),
            Comparison::OtherValidation("valid is new".to_owned())
        );
        assert_eq!(
            compare(Fingerprint::new(&shapes(8..24), Some(&shapes(16..24)))),
            other(
                "train/circle has pictures with other names, train/crescent has pictures with other \
                 names, train/cross has pictures with other names, train/heart has pictures with \
                 other names, train/ring has pictures with other names, and 3 more classes"
            )
        );
        assert_eq!(now.compare(&Value::Null).unwrap(), Comparison::Unknown);
        assert!(now.compare(&Value::from(7)).is_err());
    }

    #[test]
    fn other_classes_are_an_error_that_lists_both() {
        let before = Fingerprint::new(&shapes(0..16), None);
        let mut now = before.clone();
        now.classes[0] = "zebra".to_owned();
        let saved = serde_json::to_value(&before).unwrap();
        let error = now.compare(&saved).unwrap_err().to_string();
        assert!(error.contains("classes are circle, crescent"), "{error}");
        assert!(error.contains("are zebra, crescent"), "{error}");
    }
}
