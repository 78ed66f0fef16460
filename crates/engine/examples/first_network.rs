//! A first network: it learns to tell eight drawn shapes apart, in less than half a minute.
//!
//! `cargo run --release -p engine --example first_network`

use engine::prelude::*;
use image_data::{Batch, Loader, Preprocessing, Shapes};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Three layers of filters, the strongest answer of each filter, and a score for each class.
    let mut b = GraphBuilder::new();
    let mut x = b.input("image", [1, 3, 32, 32])?;
    for (name, channels, stride) in [("layer1", 32, 2), ("layer2", 64, 2), ("layer3", 128, 1)] {
        x = b.conv_bn_relu(name, x, Conv2d::new(channels, [3, 3]).stride([stride; 2]))?;
    }
    x = b.max_pool2d("strongest", x, MaxPool2d::new([5, 5]))?;
    x = b.flatten("flatten", x)?;
    x = b.linear("scores", x, Linear::new(8))?;
    let mut training = TrainingSession::from_scratch(&b.finish(&[x])?, 1)?;

    // Five times through 9000 pictures, 32 at a time.
    let mut optimiser = Optimiser::new(Adam::default(), &training.export())?;
    let shapes = Loader::shuffled(Shapes::range(0..9000, [32, 32])?, Preprocessing::cifar())?;
    for (step, batch) in (0..).zip(shapes.epochs(0..5)) {
        let Batch { inputs, labels, .. } = batch?;
        training.step(&[inputs.view()], &Classification::new(&labels), step)?;
        optimiser.update(&mut training, 2e-3)?;
    }

    // And 500 pictures that it has not seen.
    let test = Batch::whole(Shapes::range(9000..9500, [32, 32])?, Preprocessing::cifar())?;
    let scores = training.plan()?.run_once(&[test.inputs.view()])?;
    println!("{:.2} right", accuracy(scores[0].view(), &test.labels)?);
    Ok(())
}
