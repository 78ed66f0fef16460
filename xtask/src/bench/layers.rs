//! The shape files: the distinct convolutions of each network, and how often each occurs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Options;
use super::measure::Job;
use super::networks::{NETWORKS, Network};
use crate::process::output;
use crate::{Error, Result};

/// A line of a shape file: `4 64 56x56 64 3x3 1x1 1x1 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How often the layer occurs.
    times: usize,
    in_channels: usize,
    /// `[h, w]` of the input.
    size: [usize; 2],
    /// The fields as they stand there, without `times`.
    fields: String,
}

const HEADER: &str = "\
# Each distinct convolution of the network, in the order of its first appearance; written by
# `cargo xtask bench --write-layers`. The fields: times that it occurs, input channels, input size HxW,
# output channels, kernel size, stride, padding (top and bottom x left and right), groups.
";

/// The file of a network.
fn path(root: &Path, network: &Network) -> PathBuf {
    let folder = root.join("benchmarks").join("layers");
    folder.join(format!("{}.txt", network.name))
}

/// Reads a shape file. Lines that begin with `#` are comments.
///
/// # Errors
/// The first line that is not as described, with its number.
pub(crate) fn parse(text: &str) -> Result<Vec<Shape>> {
    let lines = (1..).zip(text.lines());
    lines
        .filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty())
        .map(|(number, line)| {
            shape(line).ok_or_else(|| Error::from(format!("line {number}: {line:?} is no layer")))
        })
        .collect()
}

fn shape(line: &str) -> Option<Shape> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [times, c, size, o, kernel_size, stride, padding, groups] = fields[..] else {
        return None;
    };
    let numbers = [times, c, o, groups].map(|text| text.parse::<usize>().ok().filter(|&n| n > 0));
    let [times, in_channels, ..] = numbers;
    for field in [size, kernel_size, stride, padding] {
        pair(field)?;
    }
    numbers.iter().all(Option::is_some).then_some(())?;
    Some(Shape {
        times: times?,
        in_channels: in_channels?,
        size: pair(size)?,
        fields: fields[1..].join(" "),
    })
}

fn pair(text: &str) -> Option<[usize; 2]> {
    let (h, w) = text.split_once('x')?;
    Some([h.parse().ok()?, w.parse().ok()?])
}

/// A job for each distinct layer of the networks, batch and number of threads.
///
/// # Errors
/// Shape files that cannot be read.
pub(crate) fn jobs(
    root: &Path,
    networks: &[&'static Network],
    options: &Options,
) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for network in networks {
        let path = path(root, network);
        let in_file = |error: Error| Error::from(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| in_file(error.into()))?;
        for shape in parse(&text).map_err(in_file)? {
            let [h, w] = shape.size;
            for &batch in &options.batch {
                for &threads in &options.threads {
                    jobs.push(Job {
                        name: format!("layer-{}", shape.fields.replace(' ', "-")),
                        network: network.name,
                        input: [batch, shape.in_channels, h, w],
                        cfg: None,
                        times: shape.times,
                        threads,
                    });
                }
            }
        }
    }
    Ok(jobs)
}

/// Writes all shape files from the networks' graphs, which our worker knows.
///
/// # Errors
/// Those of the worker and of the files.
pub(crate) fn write(root: &Path, worker: &Path) -> Result<()> {
    for network in &NETWORKS {
        let mut command = Command::new(worker);
        command.args(["layers", network.name]);
        command.args(network.cfg.map(|cfg| root.join(cfg)));
        let layers = output(&mut command)?;
        parse(&layers)?;
        std::fs::write(path(root, network), format!("{HEADER}{layers}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::workspace_root;

    #[test]
    fn a_shape_file_is_parsed() {
        let text = "# A comment.\n4 64 56x28 128 3x1 1x2 1x0 1\n\n1 3 8x8 8 1x1 1x1 0x0 1\n";
        let shapes = parse(text).unwrap();
        let first = Shape {
            times: 4,
            in_channels: 64,
            size: [56, 28],
            fields: "64 56x28 128 3x1 1x2 1x0 1".to_owned(),
        };
        assert_eq!(shapes.len(), 2);
        assert_eq!(shapes[0], first);
        for bad in [
            "4 64 56x56 64 3x3 1x1 1x1",
            "4 64 56 64 3x3 1x1 1x1 1",
            "0 64 56x56 64 3x3 1x1 1x1 1",
            "4 64 56x56 -1 3x3 1x1 1x1 1",
            "4 64 56x56 64 3x3x3 1x1 1x1 1",
            "4 64 56x56 64 3x3 1x1 1x1 1 1",
        ] {
            let error = parse(&format!("# A comment.\n{bad}")).unwrap_err();
            assert_eq!(error.to_string(), format!("line 2: {bad:?} is no layer"));
        }
    }

    #[test]
    fn the_committed_files_have_the_numbers_of_layers_of_the_papers() {
        let count = |name: &str| {
            let network = NETWORKS
                .iter()
                .find(|network| network.name == name)
                .unwrap();
            let text = std::fs::read_to_string(path(&workspace_root(), network)).unwrap();
            parse(&text)
                .unwrap()
                .iter()
                .map(|shape| shape.times)
                .sum::<usize>()
        };
        // Convolutions, those of shortcuts included, dense layers excluded.
        for (name, convolutions) in [
            ("resnet18", 20),
            ("resnet50", 53),
            ("googlenet", 57),
            ("inception_v3", 94),
            ("mobilenet_v2", 52),
            ("yolov2", 23),
            ("tiny-yolov2", 9),
        ] {
            assert_eq!(count(name), convolutions, "{name}");
        }
    }
}
