//! The tables of a record, as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::measure::{Comparison, Side};
use super::networks::NETWORKS;
use super::record::Record;
use super::statistics::median;

/// The comparisons of one row: a network or layer at one batch and number of threads, with every peer.
type Row<'a> = Vec<&'a Comparison>;

/// All tables, each with its heading.
pub(crate) fn markdown(record: &Record) -> String {
    let mut text = heading(record);
    let settings: BTreeSet<_> = (record.comparisons.iter())
        .map(|comparison| (comparison.batch, comparison.threads))
        .collect();
    for (batch, threads) in settings {
        let rows = rows(record, batch, threads);
        let plural = if threads == 1 { "" } else { "s" };
        let _ = write!(text, "\n### Batch {batch}, {threads} thread{plural}\n\n");
        if record.layers {
            for network in &NETWORKS {
                let rows: Vec<Row<'_>> = (rows.iter())
                    .filter(|row| row.iter().any(|of| of.network == network.name))
                    .cloned()
                    .collect();
                if !rows.is_empty() {
                    let _ = write!(text, "{}:\n\n{}\n", network.title, times(&rows));
                }
            }
        } else {
            text += &times(&rows);
            text += "\nTime to the first result in ms, and peak memory of the process in MiB (in brackets, \
                     before the network is loaded):\n\n";
            text += &costs(&rows);
        }
    }
    text
}

/// The machine and the versions.
fn heading(record: &Record) -> String {
    let mut versions = BTreeSet::new();
    for comparison in &record.comparisons {
        let Side { name, version, .. } = &comparison.theirs;
        versions.insert(format!("{name} {version}"));
    }
    let versions: Vec<String> = versions.into_iter().collect();
    let cores = record.cores;
    format!(
        "{}, commit {}: {}, {cores} core{}, {}, {} rounds. {}.\n",
        record.date,
        record.commit,
        record.processor,
        if cores == 1 { "" } else { "s" },
        record.isa,
        record.rounds,
        versions.join(", ")
    )
}

/// The rows of a batch and number of threads, in the record's order.
fn rows(record: &Record, batch: usize, threads: usize) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    let of = (record.comparisons.iter())
        .filter(|comparison| (comparison.batch, comparison.threads) == (batch, threads));
    for comparison in of {
        let same = |row: &&mut Row<'_>| {
            row.iter().any(|other| {
                (&other.network, &other.layer) == (&comparison.network, &comparison.layer)
            })
        };
        match rows.iter_mut().find(same) {
            Some(row) => row.push(comparison),
            None => rows.push(vec![comparison]),
        }
    }
    rows
}

/// The names of the peers of some rows, in the order of their first appearance.
fn peers<'a>(rows: &[Row<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for comparison in rows.iter().flatten() {
        let name = comparison.theirs.name.as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The comparison of a row with the peer that is fastest.
pub(crate) fn fastest<'a>(row: &[&'a Comparison]) -> Option<&'a Comparison> {
    row.iter()
        .copied()
        .min_by(|a, b| a.ratio.median.total_cmp(&b.ratio.median))
}

/// Times in ms and ratios.
fn times(rows: &[Row<'_>]) -> String {
    let peers = peers(rows);
    let mut text = format!(
        "| | GFLOP | Convoxide | share of the peak | {} | fastest / Convoxide |\n|---|---|---|---|{}---|\n",
        peers.join(" | "),
        "---|".repeat(peers.len())
    );
    for row in rows {
        let Some(fastest) = fastest(row) else {
            continue;
        };
        let ours = ours(row, |side| Some(side.ms.median));
        let rate = fastest.gflop / (ours / 1e3);
        let peak = row.iter().map(|of| of.peak_gflops).fold(0.0, f64::max);
        let _ = write!(
            text,
            "| {} | {} | {} | {:.0} % |",
            title(fastest),
            short(fastest.gflop),
            short(ours),
            100.0 * rate / peak
        );
        for cell in cells(row, &peers, |of| short(of.theirs.ms.median)) {
            let _ = write!(text, " {cell} |");
        }
        let ratio = fastest.ratio;
        let _ = writeln!(
            text,
            " **{:.2}** ({:.2} to {:.2}), {} |",
            ratio.median, ratio.low, ratio.high, fastest.theirs.name
        );
    }
    text
}

/// Times to the first result and memory.
fn costs(rows: &[Row<'_>]) -> String {
    let peers = peers(rows);
    let mut text = format!(
        "| | Convoxide | {} |\n|---|---|{}\n",
        peers.join(" | "),
        "---|".repeat(peers.len())
    );
    for row in rows {
        let Some(first) = row.first() else { continue };
        let _ = write!(
            text,
            "| {} | {} |",
            title(first),
            cost(
                ours(row, |side| Some(side.first_ms)),
                Some(ours(row, |side| side.peak_mib)),
                Some(ours(row, |side| side.start_mib))
            )
        );
        for cell in cells(row, &peers, |of| {
            let Side {
                first_ms,
                peak_mib,
                start_mib,
                ..
            } = of.theirs;
            cost(first_ms, peak_mib, start_mib)
        }) {
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}

fn cost(first_ms: f64, peak_mib: Option<f64>, start_mib: Option<f64>) -> String {
    let mib = |value: Option<f64>| match value {
        Some(value) if value.is_finite() => format!("{value:.0}"),
        _ => "?".to_owned(),
    };
    format!("{first_ms:.0} ms, {} ({})", mib(peak_mib), mib(start_mib))
}

/// The median of one of our values over the comparisons of a row.
fn ours(row: &[&Comparison], value: impl Fn(&Side) -> Option<f64>) -> f64 {
    let values: Vec<f64> = row.iter().filter_map(|of| value(&of.ours)).collect();
    median(&values)
}

/// A cell for each peer; a dash where it was not compared.
fn cells<'a>(
    row: &'a [&Comparison],
    peers: &'a [&str],
    cell: impl Fn(&Comparison) -> String + 'a,
) -> impl Iterator<Item = String> + 'a {
    peers.iter().map(move |peer| {
        let found = row.iter().find(|of| of.theirs.name == *peer);
        found.map_or_else(|| "-".to_owned(), |of| cell(of))
    })
}

/// The name of a row.
fn title(comparison: &Comparison) -> String {
    let network = NETWORKS
        .iter()
        .find(|network| network.name == comparison.network);
    let network = network.map_or(&comparison.network[..], |network| network.title);
    match &comparison.layer {
        None => network.to_owned(),
        Some(layer) => {
            let fields = layer.trim_start_matches("layer-").replace('-', " ");
            format!("{} x `{fields}`", comparison.times)
        }
    }
}

/// A number with about three digits.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{comparison, record};
    use super::*;

    #[test]
    fn a_table_has_the_fastest_peer_last() {
        let text = markdown(&record(vec![
            comparison("resnet18", "ncnn", 12.5, 10.0),
            comparison("resnet18", "MNN", 12.5, 25.0),
            comparison("googlenet", "MNN", 20.0, 30.0),
        ]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "2026-11-29, commit 0123456: AMD EPYC (family 25, model 17), 2 cores, avx2, 9 rounds. \
             MNN 1.2, ncnn 1.2."
        );
        assert_eq!(lines[2], "### Batch 1, 2 threads");
        assert_eq!(
            lines[4..8],
            [
                "| | GFLOP | Convoxide | share of the peak | ncnn | MNN | fastest / Convoxide |",
                "|---|---|---|---|---|---|---|",
                "| ResNet-18 | 2.00 | 12.5 | 80 % | 10.0 | 25.0 | **0.80** (0.80 to 0.80), ncnn |",
                "| GoogLeNet | 2.00 | 20.0 | 50 % | - | 30.0 | **1.50** (1.50 to 1.50), MNN |",
            ]
        );
        assert!(
            text.contains("| ResNet-18 | 125 ms, 100 (20) | 100 ms, 100 (20) | 250 ms, 100 (20) |")
        );
    }

    #[test]
    fn layers_are_told_by_network() {
        let mut layer = comparison("resnet18", "ncnn", 0.5, 1.0);
        layer.layer = Some("layer-64-56x56-64-3x3-1x1-1x1-1".to_owned());
        layer.times = 4;
        let mut record = record(vec![layer]);
        record.layers = true;
        let text = markdown(&record);
        assert!(text.contains("\nResNet-18:\n"), "{text}");
        assert!(
            text.contains("| 4 x `64 56x56 64 3x3 1x1 1x1 1` | 2.00 | 0.500 |"),
            "{text}"
        );
        assert!(!text.contains("first result"), "{text}");
    }
}
