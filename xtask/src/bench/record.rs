//! The record of a run, as JSON.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::machine::{self, DIRTY, Processor};
use super::measure::Comparison;
use super::networks::NETWORKS;
use crate::{Error, Result};

/// Everything that a run has measured, or several runs one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) processor: String,
    /// The number of processors that the run could use.
    pub(crate) cores: usize,
    /// Our instruction set.
    pub(crate) isa: String,
    pub(crate) rounds: u32,
    /// Whether single layers were compared rather than networks.
    pub(crate) layers: bool,
    pub(crate) comparisons: Vec<Comparison>,
    #[serde(skip)]
    short_processor: String,
}

impl Record {
    /// An empty record of this machine and commit.
    ///
    /// # Errors
    /// Those of the programs `date` and `git`.
    pub(crate) fn new(root: &Path, rounds: u32, layers: bool) -> Result<Self> {
        let Processor { name, short } = Processor::here();
        Ok(Self {
            date: machine::date()?,
            commit: machine::commit(root)?,
            processor: name,
            cores: machine::cores(),
            isa: String::new(),
            rounds,
            layers,
            comparisons: Vec::new(),
            short_processor: short,
        })
    }

    /// Adds a comparison.
    pub(crate) fn add(&mut self, comparison: Comparison) {
        self.isa.clone_from(&comparison.isa);
        self.comparisons.push(comparison);
    }

    /// Adds what is in the file that this record is to be written to, unless this one has it too. A record of
    /// another commit, of changed files, or of another number of rounds is not continued.
    ///
    /// # Errors
    /// A file that is no record, and those of the file system.
    pub(crate) fn continue_file(&mut self, root: &Path) -> Result<()> {
        let path = self.file(root);
        if !path.exists() {
            return Ok(());
        }
        let earlier: Self = serde_json::from_str(&std::fs::read_to_string(&path)?)
            .map_err(|error| Error::from(format!("{}: {error}", path.display())))?;
        let is_same = (&earlier.commit, earlier.rounds) == (&self.commit, self.rounds);
        if !is_same || self.commit.ends_with(DIRTY) {
            return Ok(());
        }
        for comparison in earlier.comparisons {
            if !self.comparisons.iter().any(|of| of.repeats(&comparison)) {
                self.comparisons.push(comparison);
            }
        }
        let number = |name: &str| NETWORKS.iter().position(|network| network.name == name);
        self.comparisons.sort_by_key(|of| number(&of.network));
        Ok(())
    }

    /// The name of the record's file in `benchmarks/record`.
    pub(crate) fn file(&self, root: &Path) -> PathBuf {
        let folder = root.join("benchmarks").join("record");
        let (date, processor, isa) = (&self.date, &self.short_processor, &self.isa);
        let what = if self.layers { "-layers" } else { "" };
        folder.join(format!("{date}-{processor}-{isa}{what}.json"))
    }

    /// Writes the record, a line for each comparison.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let mut value = serde_json::to_value(self)?;
        let comparisons = value["comparisons"].take();
        let lines: Vec<String> = comparisons
            .as_array()
            .into_iter()
            .flatten()
            .map(|comparison| format!("  {comparison}"))
            .collect();
        let head = serde_json::to_string_pretty(&value)?;
        let list = format!("\"comparisons\": [\n{}\n  ]", lines.join(",\n"));
        let text = head.replace("\"comparisons\": null", &list);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, text + "\n")?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::measure::Side;
    use super::super::statistics::estimate;
    use super::*;

    /// A comparison in which each run of ours takes `ours`, and each of theirs `theirs` milliseconds.
    pub(crate) fn comparison(network: &str, peer: &str, ours: f64, theirs: f64) -> Comparison {
        let side = |name: &str, ms: f64| Side {
            name: name.to_owned(),
            version: "1.2".to_owned(),
            ms: estimate(&[ms]),
            first_ms: 10.0 * ms,
            start_mib: Some(20.0),
            peak_mib: Some(100.0),
        };
        Comparison {
            network: network.to_owned(),
            layer: None,
            times: 1,
            batch: 1,
            threads: 2,
            difference: 1e-6,
            gflop: 2.0,
            peak_gflops: 200.0,
            isa: "avx2".to_owned(),
            ours: side("Convoxide", ours),
            theirs: side(peer, theirs),
            ratio: estimate(&[theirs / ours]),
            rounds: vec![[ours, theirs]],
        }
    }

    /// A record of these comparisons.
    pub(crate) fn record(comparisons: Vec<Comparison>) -> Record {
        let mut record = Record {
            date: "2026-11-29".to_owned(),
            commit: "0123456".to_owned(),
            processor: "AMD EPYC (family 25, model 17)".to_owned(),
            cores: 2,
            isa: String::new(),
            rounds: 9,
            layers: false,
            comparisons: Vec::new(),
            short_processor: "amd-epyc-25-17".to_owned(),
        };
        for comparison in comparisons {
            record.add(comparison);
        }
        record
    }

    #[test]
    fn a_record_is_json_with_a_line_per_comparison() {
        let folder = tempfile::tempdir().unwrap();
        let record = record(vec![
            comparison("resnet18", "ncnn", 10.0, 12.0),
            comparison("resnet18", "MNN", 10.0, 15.0),
        ]);
        let path = record.file(folder.path());
        assert!(path.ends_with("benchmarks/record/2026-11-29-amd-epyc-25-17-avx2.json"));
        record.save(&path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            text.lines()
                .filter(|line| line.contains("resnet18"))
                .count(),
            2
        );
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["comparisons"][1]["theirs"]["name"], "MNN");
        assert_eq!(value["comparisons"][0]["ratio"]["low"], 1.2);
        assert_eq!(value["rounds"], 9);
    }

    #[test]
    fn a_record_continues_that_of_its_commit() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let earlier = record(vec![
            comparison("resnet18", "ncnn", 10.0, 12.0),
            comparison("resnet18", "MNN", 10.0, 15.0),
        ]);
        earlier.save(&earlier.file(root)).unwrap();
        let again = || comparison("resnet18", "ncnn", 10.0, 13.0);
        let new = || record(vec![comparison("resnet50", "ncnn", 1.0, 2.0), again()]);
        let ratios = |record: &Record| -> Vec<f64> {
            let all = record.comparisons.iter();
            all.map(|comparison| comparison.ratio.median).collect()
        };

        let mut continued = new();
        continued.continue_file(root).unwrap();
        assert_eq!(ratios(&continued), [1.3, 1.5, 2.0]);

        let mut of_other_commit = new();
        of_other_commit.commit = "fedcba9".to_owned();
        of_other_commit.continue_file(root).unwrap();
        assert_eq!(ratios(&of_other_commit), [2.0, 1.3]);

        let dirty = |mut record: Record| {
            record.commit += DIRTY;
            record
        };
        let earlier = dirty(earlier);
        earlier.save(&earlier.file(root)).unwrap();
        let mut of_changed_files = dirty(new());
        of_changed_files.continue_file(root).unwrap();
        assert_eq!(ratios(&of_changed_files), [2.0, 1.3]);

        std::fs::write(earlier.file(root), "{}").unwrap();
        let error = new().continue_file(root).unwrap_err();
        assert!(error.to_string().contains("avx2.json: missing field"));
    }
}
