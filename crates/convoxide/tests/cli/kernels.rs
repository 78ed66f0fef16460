//! Tests of `convoxide kernels`.

use image_data::{ChannelOrder, Limits, Picture, Preprocessing};
use ndarray::{Array4, ArrayD};
use nn_layers::{Metadata, Params};
use resnet::ResNet;
use serde_json::{Value, json};

use crate::common::{Fixture, complaint, json_lines, keys, resnet20, save, save_resnet20};

const WHITE: [u8; 3] = [255; 3];

/// Returns weights in which each filter's largest magnitude is its index and the signs alternate.
/// Those of filter 0 are all 0.
fn weight(shape: [usize; 4]) -> Array4<f32> {
    Array4::from_shape_fn(shape, |(o, i, y, x)| {
        let place = (i * shape[2] + y) * shape[3] + x;
        let sign = if place.is_multiple_of(2) { 1.0 } else { -1.0 };
        let last = shape[1] * shape[2] * shape[3] - 1;
        sign * o as f32 * place as f32 / last as f32
    })
}

/// Returns the grey level of an element of [`weight`].
fn level(weight: &Array4<f32>, index: [usize; 4]) -> u8 {
    match index[0] {
        0 => 128,
        filter => (127.5 + 127.5 * f64::from(weight[index]) / filter as f64).round() as u8,
    }
}

/// Writes a model file of ResNet-20 whose first layer has these weights.
fn save_model(fixture: &Fixture, first: &Array4<f32>, order: ChannelOrder) -> Params<f32> {
    let model = ResNet {
        in_channels: first.dim().1,
        ..resnet20(10)
    };
    let mut params = model.init(1).unwrap();
    let old = &mut params.get_mut("conv1.weight").unwrap().value;
    assert_eq!(old.shape(), first.shape());
    *old = first.clone().into_dyn();
    let channels = order.count();
    let preprocessing = Preprocessing {
        channels: order,
        mean: vec![0.5; channels],
        std: vec![0.25; channels],
        ..Preprocessing::cifar()
    };
    let metadata = Metadata {
        architecture: "resnet20".to_owned(),
        config: serde_json::to_value(model).unwrap(),
        classes: Vec::new(),
        preprocessing: serde_json::to_value(preprocessing).unwrap(),
        input_size: None,
    };
    save(&fixture.path("m.safetensors"), params, Some(metadata))
}

/// Runs `convoxide kernels` on that file; returns its JSON and the picture.
fn draw(fixture: &Fixture, arguments: &[&str]) -> (Value, Picture) {
    let mut command =
        fixture.command_with(&["kernels", "m.safetensors", "--output", "k.png", "--json"]);
    let output = command.args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let picture = Picture::open(fixture.path("k.png"), &Limits::default()).unwrap();
    let report = json_lines(&output).remove(0);
    assert_eq!(
        json!([report["height"], report["width"]]),
        json!(picture.size())
    );
    (report, picture)
}

/// Checks each pixel of a grid of tiles of 3x3 weights, five pixels each, with one pixel between
/// tiles.
#[track_caller]
fn check(
    picture: &Picture,
    [rows, columns]: [usize; 2],
    colour: impl Fn([usize; 2], [usize; 2]) -> [u8; 3],
) {
    assert_eq!(picture.size(), [1 + 16 * rows, 1 + 16 * columns]);
    let [_, width] = picture.size();
    for (index, pixel) in picture.rgb().chunks(3).enumerate() {
        let [y, x] = [index / width, index % width];
        let expected = match [y % 16, x % 16] {
            [0, _] | [_, 0] => WHITE,
            [i, j] => colour([y / 16, x / 16], [(i - 1) / 5, (j - 1) / 5]),
        };
        assert_eq!(pixel, expected, "row {y}, column {x}");
    }
}

#[test]
fn pixels_are_what_the_kernels_say() {
    let fixture = Fixture::new();
    let colour = weight([16, 3, 3, 3]);
    for (order, name, channels) in [
        (ChannelOrder::Rgb, "rgb", [0, 1, 2]),
        (ChannelOrder::Bgr, "bgr", [2, 1, 0]),
    ] {
        save_model(&fixture, &colour, order);
        let (report, picture) = draw(&fixture, &["--scale", "5"]);
        assert_eq!(report["colours"], name);
        check(&picture, [4, 4], |[row, column], [y, x]| {
            channels.map(|channel| level(&colour, [4 * row + column, channel, y, x]))
        });
    }

    let grey = weight([16, 1, 3, 3]);
    let params = save_model(&fixture, &grey, ChannelOrder::Grey);
    let (report, picture) = draw(&fixture, &["--scale", "5"]);
    assert_eq!(report["colours"], "grey");
    check(&picture, [4, 4], |[row, column], [y, x]| {
        [level(&grey, [4 * row + column, 0, y, x]); 3]
    });

    // Sixteen channels: one row per filter.
    let layer = "layer1.0.conv1";
    let arguments = ["--scale", "5", "--layer", layer];
    let (report, picture) = draw(&fixture, &arguments);
    assert_eq!(report["layer"], layer);
    let weight = &params.get("layer1.0.conv1.weight").unwrap().value;
    check(&picture, [16, 16], |[filter, channel], [y, x]| {
        let largest = weight.outer_iter().nth(filter).unwrap();
        let largest = largest.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let number = f64::from(weight[[filter, channel, y, x]] / largest);
        [(127.5 * (1.0 + number)).round() as u8; 3]
    });
}

#[test]
fn what_was_drawn_is_told() {
    let fixture = Fixture::new();
    save_model(&fixture, &weight([16, 3, 3, 3]), ChannelOrder::Rgb);
    let (report, picture) = draw(&fixture, &[]);
    assert_eq!(
        keys(&report),
        [
            "channels",
            "colours",
            "filters",
            "height",
            "kernel_size",
            "layer",
            "model",
            "output",
            "scale",
            "width"
        ]
    );
    assert_eq!(report["layer"], "conv1");
    assert_eq!(report["filters"], 16);
    assert_eq!(report["channels"], 3);
    assert_eq!(report["kernel_size"], json!([3, 3]));
    assert!((400..=600).contains(&picture.size()[1]), "{report}");

    // Weights without metadata, and darknet's.
    save_resnet20(&fixture.path("w.safetensors"), 7);
    for (arguments, expected) in [
        (
            "kernels resnet20 --weights w.safetensors --output k.png",
            "conv1: 16 filters of 3x3x3 in colour, ",
        ),
        (
            "kernels tiny.cfg --weights tiny.weights --output k.png --scale 2",
            " 8 filters of 3x3x3 in colour, 29 x 15 pixels\n",
        ),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = fixture.command_with(&arguments).output().unwrap();
        let text = crate::common::stdout(&output);
        assert!(text.contains(expected), "{output:?}");
    }
}

#[test]
fn what_cannot_be_drawn_is_named() {
    let fixture = Fixture::new();
    let first = weight([16, 3, 3, 3]);
    save_model(&fixture, &first, ChannelOrder::Rgb);
    let pool = "[net]\nwidth=8\nheight=8\nchannels=3\n[maxpool]\nsize=2\nstride=2\n";
    fixture.write("pool.cfg", pool);
    let mut params = Params::new();
    let odd = ArrayD::<f32>::zeros(vec![16, 3, 3]);
    params.insert("conv1.weight", nn_layers::Slot::Weight, odd);
    save(&fixture.path("odd.safetensors"), params, None);
    for (arguments, expected) in [
        (
            "m.safetensors --layer layer1.0.conv3",
            "m.safetensors: no convolution is called \"layer1.0.conv3\" (did you mean layer1.0.conv",
        ),
        (
            "m.safetensors --layer fc",
            "no convolution is called \"fc\"; `convoxide summary` lists all",
        ),
        (
            "m.safetensors --layer bn1",
            "no convolution is called \"bn1\"",
        ),
        (
            "m.safetensors --layer \u{1b}[31m",
            "no convolution is called \"\\u{1b}[31m\"",
        ),
        (
            "m.safetensors --layer layer2.0.conv1 --scale 1000",
            "m.safetensors: a picture of ",
        ),
        ("odd.safetensors", "odd.safetensors: the file does not say"),
        ("resnet20 --weights odd.safetensors", "conv1.weight"),
        (
            "resnet20",
            "resnet20: an architecture alone has no weights: give --weights",
        ),
        ("resnet19", "resnet19: no such file"),
        ("tiny.cfg", "tiny.cfg: "),
        ("tiny.weights", "tiny.weights: "),
        ("pool.cfg", "pool.cfg: the network has no convolution"),
        ("none.safetensors", "none.safetensors: "),
    ] {
        let mut all = vec!["kernels", "--output", "k.png"];
        all.extend(arguments.split(' '));
        let message = complaint(&fixture, &all);
        assert!(message.contains(expected), "{expected} in {message}");
    }
    assert!(!fixture.path("k.png").exists());
    let message = complaint(
        &fixture,
        &["kernels", "m.safetensors", "--output", "none/k.png"],
    );
    assert!(message.contains("none/k.png: "), "{message}");
}
