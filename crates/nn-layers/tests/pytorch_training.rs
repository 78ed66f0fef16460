//! Training steps of a small network compared with PyTorch's, in f64.
//!
//! The golden file is one of `crates/testkit/goldens/gradients.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nn_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Epsilon, Graph, GraphBuilder, Linear, MaxPool2d, Padding,
    PaddingValue, Result,
};
use testkit::TrainingGolden;

/// Transcribes the class `Tiny` of that script line by line.
fn tiny(classes: usize, [h, w]: [usize; 2]) -> Result<Graph> {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, h, w])?;
    let conv1 = Conv2d::new(8, [3, 3])
        .stride([2, 2])
        .padding(Padding::all(1))
        .without_bias();
    let y = b.conv2d("conv1", x, conv1)?;
    let y = b.batch_norm2d("bn1", y, BatchNorm2d::default())?;
    let y = b.relu("relu", y)?;
    let pool = MaxPool2d {
        stride: [2, 2],
        padding: Padding::all(1),
        ..MaxPool2d::new([3, 3])
    };
    let shallow = b.max_pool2d("maxpool", y, pool)?;
    let conv2 = Conv2d::new(12, [3, 3])
        .padding(Padding::all(2))
        .dilation([2, 2])
        .groups(2)
        .without_bias();
    let y = b.conv2d("conv2", shallow, conv2)?;
    let epsilon = Epsilon::Inside(1e-3);
    let y = b.batch_norm2d("bn2", y, BatchNorm2d { epsilon })?;
    let middle = b.leaky_relu("leaky", y, 0.1)?;
    let conv3 = Conv2d::new(8, [1, 3])
        .padding(Padding::Explicit([0, 1, 0, 1]))
        .padding_value(PaddingValue::Reflect);
    let y = b.conv2d("conv3", middle, conv3)?;
    let y = b.sigmoid("sigmoid", y)?;
    let sum = b.add("c", shallow, y)?;
    let pool = AvgPool2d {
        stride: [2, 2],
        padding: Padding::all(1),
        ceil_mode: true,
        count_include_pad: false,
        ..AvgPool2d::new([3, 3])
    };
    let sum = b.avg_pool2d("avgpool", sum, pool)?;
    let pooled = b.adaptive_avg_pool2d("d", middle, [4, 3])?;
    let joined = b.concat("e", &[sum, pooled])?;
    let joined = b.upsample("upsample", joined, [2, 2])?;
    let conv4 = Conv2d::new(6, [3, 3]).stride([2, 2]).without_bias();
    let joined = b.conv2d("conv4", joined, conv4)?;
    let joined = b.batch_norm2d("bn4", joined, BatchNorm2d::default())?;
    let joined = b.softmax("softmax", joined)?;
    let y = b.global_avg_pool2d("global", joined)?;
    let y = b.flatten("flatten", y)?;
    let logits = b.linear("fc", y, Linear::new(classes))?;
    let y = b.adaptive_avg_pool2d("aux_pool", shallow, [2, 2])?;
    let y = b.flatten("aux_flatten", y)?;
    let aux = b.linear("aux", y, Linear::new(classes))?;
    b.finish(&[logits, aux])
}

#[test]
fn a_small_network_of_many_operations_trains_as_in_pytorch() {
    let golden = TrainingGolden::open(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/goldens/tiny_gradients.json"
    ));
    golden.check(&tiny(golden.classes, golden.size).unwrap(), 10);
}
