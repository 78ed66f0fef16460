//! Small classifiers.

use image_classify::{Architecture, Description, Model};
use image_data::Preprocessing;
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
