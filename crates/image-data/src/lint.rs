//! Finds the faults of a dataset, by file.

mod finding;
mod look;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::finding::{Finding, Place, Same, Severity};
use self::look::{Look, Seen, look_at_all};
use crate::dataset::{Dataset, Fault, Splits, class_counts};
use crate::error::{Error, Result};
use crate::label::Label;
use crate::picture::DecodeWarning;

/// The thresholds of [`lint`], and its threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LintOptions {
    /// A class is small if the largest class has more than this many times its samples, or objects.
    /// Default 10.
    pub imbalance: f64,
    /// A size is odd if its area is more than this many times the median, or less than the
    /// median divided by it. Default 16.
    pub area: f64,
    /// Proportions are odd if width over height is more than this many times the median, or less
    /// than the median divided by it. Default 3.
    pub aspect: f64,
    /// The number of threads, from 1 to 1024. Default 2.
    pub workers: usize,
}

impl Default for LintOptions {
    fn default() -> Self {
        Self {
            imbalance: 10.0,
            area: 16.0,
            aspect: 3.0,
            workers: 2,
        }
    }
}

/// The result of examining every sample of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LintReport {
    /// The parts for training and validation.
    pub parts: Vec<PartSummary>,
    /// The findings, by kind, in the order of the samples.
    pub findings: Vec<Finding>,
}

/// A summary of a part of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSummary {
    /// Its title: [`Part::title`](crate::Part::title).
    pub part: String,
    /// Its number of samples.
    pub samples: usize,
    /// The classes, each with its number of samples; of boxes, the number of objects.
    pub classes: Vec<(String, usize)>,
    /// The smallest and the largest height and width of the pictures that could be read.
    pub sizes: Option<[[usize; 2]; 2]>,
}

/// The share of the pictures below which grey ones, or those in colour, are listed individually.
const FEW: f64 = 0.1;

/// Reads every picture of a dataset, and reports those that are broken, duplicate or unusual.
///
/// Two pictures are the same if their pixels are equal, even if their files differ. Each picture is
/// read once; a few hundred bytes for each stay in memory. Faults of the layout and of labels are reported,
/// too, if the dataset comes from [`Splits::survey`] or [`Splits::survey_annotated`].
///
/// # Errors
///
/// [`Error::Label`] if a label is not the index of a class, [`Error::Option`] for an option out of
/// its range. A picture that cannot be read is a finding, not an error.
///
/// ```
/// use image_data::{LintOptions, Shapes, ShapesOptions, lint};
///
/// let shapes = Shapes::splits(ShapesOptions { len: 40, ..ShapesOptions::default() }, 8)?;
/// let report = lint(&shapes, &LintOptions::default())?;
/// assert_eq!(report.parts[0].classes[6], ("star".to_owned(), 5));
/// assert!(report.findings.is_empty());
/// # Ok::<(), image_data::Error>(())
/// ```
pub fn lint<L: Label>(splits: &Splits<L>, options: &LintOptions) -> Result<LintReport> {
    lint_with(splits, options, &|| {})
}

/// Like [`lint`], and calls `looked_at`, on any thread, after each picture has been examined.
///
/// # Errors
///
/// Those of [`lint`].
pub fn lint_with<L: Label>(
    splits: &Splits<L>,
    options: &LintOptions,
    looked_at: &(dyn Fn() + Sync),
) -> Result<LintReport> {
    options.check()?;
    let parts: Vec<(String, &dyn Dataset<L>)> = splits
        .parts()
        .map(|(part, dataset)| (part.title(), dataset))
        .collect();
    let contents = &splits.contents;
    let mut findings: Vec<Finding> = contents
        .faults
        .iter()
        .map(|fault| Finding::Layout {
            fault: fault.clone(),
        })
        .collect();
    findings.extend(contents.labels.iter().map(|fault| Finding::Label {
        fault: fault.clone(),
    }));

    let mut summaries = Vec::new();
    let mut samples = Vec::new();
    for (part, dataset) in &parts {
        let counts = class_counts(*dataset)?;
        findings.extend(classes(part, *dataset, &counts, &contents.faults, options));
        let looks = look_at_all(*dataset, options.workers, looked_at);
        summaries.push(PartSummary {
            part: part.clone(),
            samples: dataset.len(),
            classes: dataset.classes().iter().cloned().zip(counts).collect(),
            sizes: sizes(&looks),
        });
        samples.extend(looks.into_iter().enumerate().map(|(index, look)| Sample {
            part,
            dataset: *dataset,
            index,
            look,
        }));
    }

    findings.extend(samples.iter().flat_map(broken));
    findings.extend(duplicates(&samples));
    findings.extend(mixed_sizes(&samples));
    findings.extend(odd(&samples, options));
    findings.extend(colors(&samples));
    let missed = contents.left_out.iter();
    let missed = missed.filter(|left_out| left_out.reason.may_hide_pictures());
    findings.extend(missed.map(|left_out| Finding::Skipped {
        file: left_out.name.clone(),
        reason: left_out.reason.to_string(),
    }));
    let others = contents.by_reason().into_iter();
    let others = others.filter(|group| !group.reason.may_hide_pictures());
    findings.extend(others.map(|group| Finding::LeftOut { group }));
    let notes = contents.notes.iter().cloned();
    findings.extend(notes.map(|note| Finding::Choice { note }));
    Ok(LintReport {
        parts: summaries,
        findings,
    })
}

impl LintReport {
    /// The number of findings of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        let findings = self.findings.iter();
        findings
            .filter(|finding| finding.severity() == severity)
            .count()
    }
}

impl LintOptions {
    fn check(&self) -> Result<()> {
        for (field, got) in [
            ("imbalance", self.imbalance),
            ("area", self.area),
            ("aspect", self.aspect),
        ] {
            if !(got >= 1.0 && got.is_finite()) {
                return Err(wrong(field, got.to_string(), "at least 1"));
            }
        }
        if !(1..=1024).contains(&self.workers) {
            return Err(wrong("workers", self.workers.to_string(), "1 to 1024"));
        }
        Ok(())
    }
}

fn wrong(field: &'static str, got: String, expected: &'static str) -> Error {
    Error::Option {
        what: "lint",
        field,
        got,
        expected,
    }
}

/// A sample, and the result of examining it.
struct Sample<'a, L> {
    part: &'a str,
    dataset: &'a dyn Dataset<L>,
    index: usize,
    look: Look,
}

impl<L: Label> Sample<'_, L> {
    fn file(&self) -> String {
        self.dataset.name(self.index)
    }

    /// The class of the whole picture, if it has one.
    fn class(&self) -> Option<String> {
        let class = self.dataset.label(self.index).class()?;
        self.dataset.classes().get(class).cloned()
    }

    fn seen(&self) -> Option<&Seen> {
        self.look.seen.as_ref().ok()
    }
}

/// The smallest and the largest height and width.
fn sizes(looks: &[Look]) -> Option<[[usize; 2]; 2]> {
    let sizes = looks
        .iter()
        .filter_map(|look| Some(look.seen.as_ref().ok()?.size));
    sizes
        .map(|size| [size, size])
        .reduce(|[low, high], [size, _]| {
            [
                [low[0].min(size[0]), low[1].min(size[1])],
                [high[0].max(size[0]), high[1].max(size[1])],
            ]
        })
}

fn classes<L: Label>(
    part: &str,
    dataset: &dyn Dataset<L>,
    counts: &[usize],
    faults: &[Fault],
    options: &LintOptions,
) -> Vec<Finding> {
    // An empty class that is a fault is reported as a fault.
    let faults: BTreeSet<&str> = faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::EmptyClass {
                part: of, class, ..
            } if of == part => Some(&**class),
            _ => None,
        })
        .collect();
    let largest = counts.iter().copied().max().unwrap_or(0);
    let named = dataset.classes().iter().zip(counts);
    let finding = |(class, &samples): (&String, &usize)| {
        let [part, class] = [part, class].map(str::to_owned);
        if faults.contains(&*class) {
            None
        } else if samples == 0 {
            Some(Finding::EmptyClass { part, class })
        } else if largest as f64 > options.imbalance * samples as f64 {
            Some(Finding::SmallClass {
                part,
                class,
                samples,
                largest,
            })
        } else {
            None
        }
    };
    named.filter_map(finding).collect()
}

/// The findings about a single file.
fn broken<L: Label>(sample: &Sample<'_, L>) -> Vec<Finding> {
    let file = sample.file();
    let mut findings = Vec::new();
    if let Some(format) = sample.look.other_format {
        findings.push(Finding::WrongExtension {
            file: file.clone(),
            format: format.to_owned(),
        });
    }
    if let Err(error) = &sample.look.seen {
        // The finding already contains the name.
        let reason = match error {
            Error::File { reason, .. } => reason,
            other => other,
        };
        findings.push(match reason {
            Error::Empty => Finding::EmptyFile { file },
            Error::Truncated { .. } => Finding::Truncated { file },
            reason => Finding::Unreadable {
                file,
                reason: reason.to_string(),
            },
        });
        return findings;
    }
    match sample.seen().and_then(|seen| seen.warning) {
        Some(DecodeWarning::NoEndMark { format }) => findings.push(Finding::NoEndMark {
            file: file.clone(),
            format: format.to_owned(),
        }),
        None => {}
    }
    if sample.look.alpha {
        findings.push(Finding::Alpha { file });
    }
    findings
}

fn duplicates<L: Label>(samples: &[Sample<'_, L>]) -> Vec<Finding> {
    let mut by_pixels: BTreeMap<[u8; 32], Vec<&Sample<'_, L>>> = BTreeMap::new();
    for sample in samples {
        if let Some(seen) = sample.seen() {
            by_pixels.entry(seen.pixels).or_default().push(sample);
        }
    }
    let mut groups: Vec<_> = by_pixels
        .into_values()
        .filter(|same| same.len() > 1)
        .collect();
    // Sorted by the first sample of each, not by hash.
    groups.sort_by_key(|same| (same[0].part, same[0].index));
    let finding = |same: Vec<&Sample<'_, L>>| {
        let bytes = same[0].look.bytes;
        let all_bytes = bytes.is_some() && same.iter().all(|sample| sample.look.bytes == bytes);
        let place = |sample: &&Sample<'_, L>| Place {
            file: sample.file(),
            part: sample.part.to_owned(),
            class: sample.class(),
        };
        let label = |sample: &Sample<'_, L>| sample.dataset.label(sample.index);
        let first = label(same[0]);
        Finding::Duplicates {
            labels_differ: same.iter().any(|sample| label(sample) != first),
            same: if all_bytes { Same::Bytes } else { Same::Pixels },
            samples: same.iter().map(place).collect(),
        }
    };
    groups.into_iter().map(finding).collect()
}

/// Whether pictures that are cropped or resized have several sizes; those with boxes are letterboxed.
fn mixed_sizes<L: Label>(samples: &[Sample<'_, L>]) -> Option<Finding> {
    let sizes: BTreeSet<[usize; 2]> = samples
        .iter()
        .filter(|sample| sample.class().is_some())
        .filter_map(Sample::seen)
        .map(|seen| seen.size)
        .collect();
    let by_area = |size: &&[usize; 2]| size[0] as u128 * size[1] as u128;
    let (smallest, largest) = (
        sizes.iter().min_by_key(by_area),
        sizes.iter().max_by_key(by_area),
    );
    smallest
        .zip(largest)
        .filter(|_| sizes.len() > 1)
        .map(|(smallest, largest)| Finding::MixedSizes {
            sizes: sizes.len(),
            smallest: *smallest,
            largest: *largest,
        })
}

/// Sizes and proportions far from the median.
fn odd<L: Label>(samples: &[Sample<'_, L>], options: &LintOptions) -> Vec<Finding> {
    let median = |value: &dyn Fn(&Seen) -> f64| {
        let mut values: Vec<f64> = samples.iter().filter_map(Sample::seen).map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(1.0)
    };
    let area = |seen: &Seen| seen.size[0] as f64 * seen.size[1] as f64;
    let aspect = |seen: &Seen| seen.size[1] as f64 / seen.size[0] as f64;
    let (median_area, median_aspect) = (median(&area), median(&aspect));
    let far = |ratio: f64, factor: f64| ratio > factor || ratio < 1.0 / factor;
    let mut findings = Vec::new();
    for sample in samples {
        let Some(seen) = sample.seen() else { continue };
        if far(area(seen) / median_area, options.area) {
            findings.push(Finding::OddSize {
                file: sample.file(),
                size: seen.size,
            });
        }
        if far(aspect(seen) / median_aspect, options.aspect) {
            findings.push(Finding::OddAspect {
                file: sample.file(),
                size: seen.size,
            });
        }
    }
    findings
}

/// Grey pictures among those in colour, or the other way round.
fn colors<L: Label>(samples: &[Sample<'_, L>]) -> Vec<Finding> {
    let readable: Vec<_> = samples
        .iter()
        .filter_map(|sample| Some((sample, sample.seen()?.grey)))
        .collect();
    let grey = readable.iter().filter(|(_, grey)| *grey).count();
    let few = |count: usize| count as f64 <= FEW * readable.len() as f64;
    let named = |wanted: bool, finding: fn(String) -> Finding| {
        readable
            .iter()
            .filter(|(_, grey)| *grey == wanted)
            .map(|(sample, _)| finding(sample.file()))
            .collect()
    };
    let colored = readable.len() - grey;
    if grey == 0 || colored == 0 {
        Vec::new()
    } else if few(grey) {
        named(true, |file| Finding::Grey { file })
    } else if few(colored) {
        named(false, |file| Finding::Colored { file })
    } else {
        vec![Finding::MixedColors { grey, colored }]
    }
}
