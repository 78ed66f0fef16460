//! The weights that training starts from.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use files::{cache, did_you_mean, nearest, show};
use image_classify::Description;
use model_zoo::{MODELS, Role, Task};
use nn_layers::{Graph, Params};
use sha2::{Digest, Sha256};
use transfer::Weights;

use crate::context::Context;
use crate::error::{Error, Reason};
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
    let path = find(name)?;
    let mut weights = Weights::open(&path)?;
    let sha256 = sha256(weights.report.file.as_deref().unwrap_or(&path))?;
    let say = |text: &str| {
        if !context.quiet {
            for line in text.lines() {
                output::note(&show::one_line(line));
            }
        }
    };
    say(&format!("weights       {}", show::one_line(name)));
    say(&weights.report.to_string());
    let classes = weights.metadata.as_ref().map(|metadata| &metadata.classes);
    let is_other = |classes: &&Vec<String>| !classes.is_empty() && **classes != network.classes;
    if classes.filter(is_other).is_some() {
        let stages = network.architecture.stages()?;
        let head = stages.last().into_iter().flatten();
        let in_head: Vec<String> = head
            .flat_map(|scope| {
                let within = format!("{scope}.");
                let names = weights.params.iter().map(|(name, _)| name.to_owned());
                names.filter(move |name| name.starts_with(&within))
            })
            .collect();
        for name in in_head {
            weights.params.remove(&name);
        }
        say("classes       differ from those of the weights, so the head begins afresh");
    }
    let known = network.architecture.aux_params()?;
    let (params, report) = weights.params.warm_start(graph, initial, &known)?;
    say(&report.to_string());
    Ok(Start { params, sha256 })
}

/// The path of a file or folder of this name, or of the weights of the known model of this name.
///
/// # Errors
///
/// Neither exists, a model that is not a classifier, and one that has not been fetched.
pub(super) fn find(name: &str) -> Result<PathBuf, Reason> {
    let path = Path::new(name);
    if path.exists() {
        return Ok(path.to_owned());
    }
    let classifiers = MODELS.iter().filter(|model| model.task == Task::Classifier);
    let Some(model) = model_zoo::find(name) else {
        let near = nearest(name, classifiers.map(model_zoo::KnownModel::name));
        return Err(format!(
            "weights: {}: no such file, and no known model of this name{}",
            show::one_line(name),
            did_you_mean(&near)
        )
        .into());
    };
    if model.task != Task::Classifier {
        return Err(format!("weights: {name} is not a classifier").into());
    }
    let home = cache::home().ok_or(Error::NoCache)?;
    model.require(&home)?;
    let file = model.download.file(Role::Weights);
    let file = file.ok_or_else(|| format!("weights: {name} has no weights"))?;
    Ok(file.place(&home))
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

    #[test]
    fn names_that_are_no_weights_say_what_to_do() {
        let error = find("mobilenet_v3").unwrap_err().to_string();
        assert!(error.contains("did you mean mobilenet_v2"), "{error}");
        let error = find("yolov3-tiny").unwrap_err().to_string();
        assert!(error.contains("not a classifier"), "{error}");
    }
}
