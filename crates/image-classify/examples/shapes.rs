//! Trains a small network on drawn shapes, saves it, and classifies a picture with the file.
//!
//! `cargo run --release -p image-classify --example shapes`

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::{Options, Plan, SessionsOptions, TrainingSession};
use image_classify::{
    Architecture, Classifier, ClassifierOptions, Description, EvaluationOptions, Model, evaluate,
    train_batches,
};
use image_data::{Cached, Dataset, Loader, Preprocessing, Shapes};
use nn_layers::{
    Adam, ClassificationObjective, Evaluation, OneCycle, OptimiserOptions, Policy, Schedule,
    TrainBackend, TrainSpec, Trainer, TrainerOptions,
};
use resnet::{ResNet, Stem};

/// How often the network sees every picture.
const EPOCHS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let model = std::env::temp_dir().join("shapes.safetensors");
    train(&model, &mut io::stdout())?;
    classify(&model, &mut io::stdout())
}

/// Trains a network and writes it to `model`.
pub(crate) fn train(model: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let pictures = Shapes::range(0..8000, [64, 64])?;
    let valid: Arc<dyn Dataset> = Arc::new(Shapes::range(8000..8400, [64, 64])?);

    // A residual network with a 7x7 convolution and one block in each of its three stages.
    let network = ResNet {
        stem: Stem::ImageNet,
        output_stride: 16,
        layers: vec![1, 1, 1],
        classes: pictures.classes().len(),
        ..ResNet::cifar(1)
    };
    let description = Description {
        name: "resnet20".to_owned(),
        architecture: Architecture::ResNet(network),
        classes: pictures.classes().to_vec(),
        preprocessing: Preprocessing::cifar(),
        input_size: Some([64, 64]),
    };
    let graph = description.architecture.training_graph([64, 64])?;
    let inference = description.architecture.graph()?;
    let params = description.architecture.init(1)?;
    let (spec, engine) = (TrainSpec::default(), Options::default());
    let mut session = TrainingSession::new(&graph, params, spec, &engine)?;

    // Drawn once and kept.
    let pictures = Cached::new(pictures);
    let loader = Loader::shuffled(pictures, description.preprocessing.clone())?;
    let steps = EPOCHS * loader.batches() as u64;
    let options = TrainerOptions {
        optimiser: OptimiserOptions {
            method: Adam::default().into(),
            ..OptimiserOptions::default()
        },
        ..TrainerOptions::new(
            EPOCHS,
            Schedule {
                policy: Policy::OneCycle(OneCycle::new(steps)),
                ..Schedule::constant(5e-3)
            },
        )
    };
    let mut trainer = Trainer::new(options, &session)?;
    trainer.run(
        &mut session,
        &ClassificationObjective::default(),
        |epoch, first| train_batches(&loader, epoch, first),
        |params, epoch| {
            let plan = Plan::compile(&inference, params.clone(), &engine)?;
            let preprocessing = &description.preprocessing;
            let options = EvaluationOptions::default();
            let mut sessions = plan.sessions(SessionsOptions::default());
            let evaluation = evaluate(&mut sessions, &valid, preprocessing, &options, |_| ())?;
            let percent = 100.0 * evaluation.top1;
            writeln!(out, "epoch {}: {percent:.1} % right", epoch + 1)?;
            Ok(Some(Evaluation {
                score: evaluation.top1,
                parts: Vec::new(),
            }))
        },
        &mut (),
        &AtomicBool::new(false),
    )?;

    let params = session.export();
    let trained = Model {
        description,
        params,
    };
    Ok(trained.into_file()?.save(model)?)
}

/// Classifies a picture of another size than those of the training.
pub(crate) fn classify(model: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut classifier = Classifier::open(model, &ClassifierOptions::default())?;
    let shapes = Shapes::range(9000..9001, [96, 72])?;
    let truth = &shapes.classes()[shapes.label(0)];
    writeln!(out, "a picture of a {truth}:")?;
    let probabilities = classifier.classify(&shapes.picture(0)?)?;
    for one in probabilities.top(3) {
        let name = &classifier.description().classes[one.class];
        writeln!(out, "  {name:<10} {:>5.1} %", 100.0 * one.probability)?;
    }
    Ok(())
}
