//! The weights that training starts from.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use files::show;
use image_classify::Description;
use image_data::Preprocessing;
use nn_layers::{Graph, Params};
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::error::Reason;
use crate::model::weights::Weights;
use crate::output;

/// The parameters at the start of a run that continues from other weights.
pub(super) struct Start {
    pub(super) params: Params<f32>,
    /// The SHA-256 of the file, in hexadecimal.
    pub(super) sha256: String,
}

/// Reads the weights of this name and fits them to the network of a run. Parameters that they lack, or
/// have in another shape, keep their `initial` values. Prints what was loaded.
///
/// If the weights have names of classes that differ from the data's, the head begins afresh, since its
/// outputs have another meaning.
///
/// # Errors
///
/// A name that is neither a file nor a known model, a file that cannot be read, and weights of which
/// nothing fits.
pub(super) fn start(
    name: &str,
    graph: &Graph,
    network: &Description,
    initial: Params<f32>,
    context: &Context,
) -> Result<Start, Reason> {
    let weights = Weights::find(Path::new(name), &network.name, &network.architecture)?;
    let sha256 = sha256(&weights.found.path)?;
    let say = |text: &str| {
        if !context.quiet {
            for line in text.lines() {
                output::note(&show::one_line(line));
            }
        }
    };
    let from = match weights.known {
        Some(known) => known.name().to_owned(),
        None => show::name(weights.found.path.as_os_str()),
    };
    say(&format!("weights       {from}"));
    if let Some(report) = &weights.report {
        say(&report.to_string());
    }
    let mut params = weights.file.params;
    let (classes, preprocessing) = match (&weights.file.metadata, weights.known) {
        (Some(metadata), _) => {
            let of_file = Description::from_metadata(metadata)?;
            (of_file.classes, Some(of_file.preprocessing))
        }
        (None, Some(known)) => {
            let names = known.classes.names().unwrap_or_default();
            let usual = Description::named(&network.name)?;
            let names = names.into_iter().map(str::to_owned).collect();
            (names, Some(usual.preprocessing))
        }
        (None, None) => (Vec::new(), None),
    };
    if let Some(preprocessing) = preprocessing
        && !context.quiet
    {
        for difference in differences(&preprocessing, &network.preprocessing) {
            output::complain(&format!(
                "the preprocessing is not that of the weights: {difference}"
            ));
        }
    }
    if !classes.is_empty() && classes != network.classes {
        let stages = network.architecture.stages()?;
        let head = stages.last().into_iter().flatten();
        let in_head: Vec<String> = head
            .flat_map(|scope| {
                let within = format!("{scope}.");
                let names = params.iter().map(|(name, _)| name.to_owned());
                names.filter(move |name| name.starts_with(&within))
            })
            .collect();
        for name in in_head {
            params.remove(&name);
        }
        say("classes       differ from those of the weights, so the head begins afresh");
    }
    let known = network.architecture.aux_params()?;
    let (params, report) = params.warm_start(graph, initial, &known)?;
    say(&report.to_string());
    Ok(Start { params, sha256 })
}

/// What differs between the values that the weights were trained on and those of a run. Another size is
/// common, and no reason to warn.
fn differences(weights: &Preprocessing, run: &Preprocessing) -> Vec<String> {
    let mut differences = Vec::new();
    if weights.channels != run.channels {
        let (run, weights) = (run.channels, weights.channels);
        differences.push(format!("channels {run:?}, not {weights:?}"));
    }
    let values = [
        ("mean", &run.mean, &weights.mean),
        ("std", &run.std, &weights.std),
    ];
    for (name, run, weights) in values {
        if run != weights {
            differences.push(format!("{name} {run:?}, not {weights:?}"));
        }
    }
    differences
}

fn sha256(path: &Path) -> Result<String, Reason> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    let digits = hash.finalize();
    Ok(digits.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let hash = sha256(file.path()).unwrap();
        assert!(
            hash.starts_with("ba7816bf8f01cfea414140de5dae2223"),
            "{hash}"
        );
    }
}
