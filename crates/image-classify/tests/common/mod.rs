//! Small classifiers and pictures.

use image_classify::{Architecture, Description, Model};
use image_data::{Picture, Preprocessing};
use nn_layers::random_params;
use resnet::ResNet;

/// A residual network with one block in each of its three stages.
pub(crate) fn description(classes: &[&str]) -> Description {
    let network = ResNet {
        layers: vec![1, 1, 1],
        classes: classes.len(),
        ..ResNet::cifar(1)
    };
    Description {
        name: "resnet20".to_owned(),
        architecture: Architecture::ResNet(network),
        classes: classes.iter().map(|&name| name.to_owned()).collect(),
        preprocessing: Preprocessing::cifar(),
        input_size: Some([32, 32]),
    }
}

/// The same with random parameters.
pub(crate) fn model(classes: &[&str]) -> Model {
    let description = description(classes);
    let params = random_params(&description.architecture.graph().unwrap(), 3).unwrap();
    Model {
        description,
        params,
    }
}

/// A colourful picture of this size `[h, w]`.
pub(crate) fn picture([height, width]: [usize; 2]) -> Picture {
    let pixels: Vec<u8> = (0..3 * height * width)
        .map(|i| (i * i / 7 + i * 37) as u8)
        .collect();
    Picture::from_rgb(width, height, 3 * width, &pixels).unwrap()
}
