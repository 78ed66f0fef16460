//! ResNet-18 from a model file, on a made-up picture.
//!
//! `cargo run --release -p resnet --example resnet18 model.safetensors` reads torchvision's weights, or
//! any others with the same names. Without an argument it first writes a model with random weights; the
//! classes that it then prints are meaningless.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use engine::{Options, Plan};
use nn_layers::ndarray::Array4;
use nn_layers::{LoadReport, Metadata, ModelFile};
use resnet::ResNet;

fn main() -> Result<(), Box<dyn Error>> {
    let out = &mut io::stdout();
    match std::env::args_os().nth(1).map(PathBuf::from) {
        Some(model) => classify(&model, out),
        None => {
            let model = std::env::temp_dir().join("resnet18.safetensors");
            write_random(&model)?;
            classify(&model, out)
        }
    }
}

/// Writes a ResNet-18 with random weights.
pub(crate) fn write_random(path: &Path) -> Result<(), Box<dyn Error>> {
    let network = ResNet::resnet18();
    let metadata = Metadata {
        architecture: "resnet18".to_owned(),
        config: serde_json::to_value(&network)?,
        ..Metadata::default()
    };
    let model = ModelFile {
        metadata: Some(metadata),
        params: network.init(1)?,
    };
    Ok(model.save(path)?)
}

/// Prints how the file fits the network, and the five classes with the largest scores.
pub(crate) fn classify(path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let model = ModelFile::open(path)?;
    let graph = ResNet::resnet18().graph([224, 224])?;
    let report = LoadReport::new(&model.params, &graph, []);
    writeln!(out, "{report}")?;
    report.strict()?;

    // Red from left to right, green from top to bottom, blue in rings, about 0 and of size 1.
    let picture = Array4::from_shape_fn((1, 3, 224, 224), |(_, channel, y, x)| {
        let [y, x] = [y, x].map(|place| place as f32 / 112.0 - 1.0);
        [x, y, (20.0 * x.hypot(y)).sin()][channel]
    });
    let plan = Plan::compile(&graph, model.params, &Options::default())?;
    let logits = plan.run_once(&[picture.view()])?.remove(0);

    // The softmax of the logits.
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|x| (x - largest).exp()).sum();
    let mut scores: Vec<(usize, f32)> = logits
        .iter()
        .map(|x| (x - largest).exp() / sum)
        .enumerate()
        .collect();
    scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let classes = model
        .metadata
        .map_or(Vec::new(), |metadata| metadata.classes);
    for (class, score) in scores.into_iter().take(5) {
        let name = classes.get(class).map_or("", String::as_str);
        writeln!(out, "class {class:>3} {:>5.1} %  {name}", 100.0 * score)?;
    }
    Ok(())
}
