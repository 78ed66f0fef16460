//! The summary's counts and its table.

#![expect(clippy::unwrap_used, reason = "what a test cannot build fails it")]

use nn_layers::{
    BatchNorm2d, Conv2d, Graph, GraphBuilder, Linear, MaxPool2d, Padding, Shape, Summary,
};

/// Returns the first layers of darknet's reference network, a grouped convolution and a dense
/// layer.
fn graph() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, 416, 416]).unwrap();
    let conv = Conv2d::new(32, [3, 3])
        .padding(Padding::all(1))
        .without_bias();
    let x = b.conv2d("0.conv", x, conv).unwrap();
    let x = b.batch_norm2d("0.bn", x, BatchNorm2d::default()).unwrap();
    let x = b
        .max_pool2d("1.maxpool", x, MaxPool2d::new([2, 2]))
        .unwrap();
    let grouped = Conv2d::new(64, [1, 3]).stride([2, 1]).groups(4);
    let x = b
        .conv2d(
            "a.very.long.name.of.a.node.in.a.deeply.nested.module.conv",
            x,
            grouped,
        )
        .unwrap();
    let x = b.adaptive_avg_pool2d("pool", x, [1, 1]).unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let y = b.linear("fc", x, Linear::new(10)).unwrap();
    b.finish(&[y]).unwrap()
}

fn summary(batch: usize) -> Summary {
    Summary::new(&graph(), &[Shape::from([batch, 3, 416, 416])]).unwrap()
}

#[test]
fn counts_by_hand() {
    let summary = summary(1);
    let costs: Vec<_> = summary
        .rows
        .iter()
        .map(|row| (row.kind, row.parameters, row.buffers, row.multiply_adds))
        .collect();
    // Darknet prints 0.299 BFLOP for layer 0 of YOLOv2 at 416.
    assert_eq!(
        costs,
        [
            ("input", 0, 0, 0),
            ("conv2d", 32 * 3 * 9, 0, 32 * 416 * 416 * 27),
            ("batch_norm2d", 64, 64, 0),
            ("max_pool2d", 0, 0, 0),
            // From 208 x 208 to 104 x 206; each output reads 32 / 4 channels.
            ("conv2d", 64 * 8 * 3 + 64, 0, 64 * 104 * 206 * 8 * 3),
            ("adaptive_avg_pool2d", 0, 0, 0),
            ("flatten", 0, 0, 0),
            ("linear", 64 * 10 + 10, 0, 64 * 10),
        ]
    );
    assert_eq!(summary.parameters, 864 + 64 + 1600 + 650);
    assert_eq!(summary.buffers, 64);
    assert_eq!(summary.multiply_adds, 149_520_384 + 32_907_264 + 640);
    assert_eq!(summary.flops, 2 * summary.multiply_adds);
    // The convolution and the normalisation together, 32 x 416 x 416 each.
    assert_eq!(summary.peak_activation_bytes, 4 * 2 * 32 * 416 * 416);
}

#[test]
fn a_batch_multiplies_the_work_and_not_the_parameters() {
    let [one, four] = [1, 4].map(summary);
    assert_eq!(four.multiply_adds, 4 * one.multiply_adds);
    assert_eq!(four.activation_bytes, 4 * one.activation_bytes);
    assert_eq!(four.peak_activation_bytes, 4 * one.peak_activation_bytes);
    assert_eq!(four.parameters, one.parameters);
}

#[test]
fn the_table_fits_a_terminal() {
    let text = summary(1).to_string();
    let expected = "\
node                   operation             output        parameters  mult-adds
image                  input                 1x3x416x416            -          -
0.conv                 conv2d 3x3            1x32x416x416         864   149.52 M
0.bn                   batch_norm2d          1x32x416x416          64          -
1.maxpool              max_pool2d 2x2 /2     1x32x208x208           -          -
a.very.lo..odule.conv  conv2d 1x3 /2x1 g4    1x64x104x206       1,600    32.91 M
pool                   adaptive_..ool2d 1x1  1x64x1x1               -          -
flatten                flatten               1x64                   -          -
fc                     linear                1x10                 650        640

parameters     3,178
buffers        64
multiply-adds  182.43 M (364.86 MFLOP)
activations    54.7 MiB in all, 42.2 MiB at a time, as NCHW in f32";
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| line.len() <= 80));
}

#[test]
fn wide_tables_are_cut_in_the_middle() {
    let mut b = GraphBuilder::new();
    let mut x = b.input("input", [64, 1024, 608, 608]).unwrap();
    for layer in 0..3 {
        let conv = Conv2d::new(16384, [13, 11])
            .stride([2, 3])
            .dilation([2, 2])
            .groups(1024);
        let name = format!("bückwärts.eingebettetes.modul.nummer.{layer}");
        x = b.conv2d(&name, x, conv.padding(Padding::Same)).unwrap();
    }
    let graph = b.finish(&[x]).unwrap();
    let text = Summary::new(&graph, &[Shape::from([64, 1024, 608, 608])])
        .unwrap()
        .to_string();
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    // The ends, in which the names differ, are shown.
    for layer in 0..3 {
        assert!(text.contains(&format!("nummer.{layer} ")), "{text}");
    }
}

#[test]
fn json_has_the_same_numbers() {
    let summary = summary(1);
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["multiply_adds"], summary.multiply_adds);
    assert_eq!(json["inputs"], serde_json::json!([[1, 3, 416, 416]]));
    assert_eq!(
        json["rows"][1],
        serde_json::json!({
            "name": "0.conv",
            "kind": "conv2d",
            "op": "conv2d 3x3",
            "output": [1, 32, 416, 416],
            "parameters": 864,
            "buffers": 0,
            "multiply_adds": 149_520_384,
        })
    );
}
