//! The networks that are built in Rust: darknet's own, layer by layer, and Nano.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use common::{YOLOV2, YOLOV2_TINY, YOLOV3_TINY};
use nn_layers::{Shape, Summary};
use yolo_detect::cfg::{Activation, Cfg, Layer, Net};
use yolo_detect::networks::{Nano, YoloV2, YoloV2Tiny, YoloV3Tiny};
use yolo_detect::{Anchor, Error, Network};

const YOLOV2_VOC: &str = include_str!("cfg/yolov2-voc.cfg");
const YOLOV2_TINY_VOC: &str = include_str!("cfg/yolov2-tiny-voc.cfg");

fn parts(cfg: &Cfg) -> (Net, Vec<&Layer>) {
    let layers = cfg.layers.iter().map(|section| &section.layer);
    (cfg.net, layers.collect())
}

fn summary(cfg: &Cfg) -> Summary {
    let network = Network::new(cfg).unwrap();
    let [channels, height, width] = network.input();
    let input = Shape::from([1, channels, height, width]);
    Summary::new(network.graph(), &[input]).unwrap()
}

#[test]
fn darknets_networks_are_those_of_its_files() {
    for (name, built, file) in [
        ("yolov2", YoloV2::default().cfg(), YOLOV2),
        ("yolov2-voc", YoloV2::voc().cfg(), YOLOV2_VOC),
        ("yolov2-tiny", YoloV2Tiny::default().cfg(), YOLOV2_TINY),
        ("yolov2-tiny-voc", YoloV2Tiny::voc().cfg(), YOLOV2_TINY_VOC),
        ("yolov3-tiny", YoloV3Tiny::default().cfg(), YOLOV3_TINY),
    ] {
        let (built, mut file) = (built.unwrap(), Cfg::parse(file).unwrap());
        // All are trained with rescoring; of the files, yolov2-tiny.cfg alone has rescore=0.
        for section in &mut file.layers {
            if let Layer::Region(region) = &mut section.layer {
                assert_eq!(region.loss.rescore, name != "yolov2-tiny", "{name}");
                region.loss.rescore = true;
            }
        }
        let ((net, layers), (file_net, file_layers)) = (parts(&built), parts(&file));
        assert_eq!(net, file_net, "{name}");
        assert_eq!(layers.len(), file_layers.len(), "{name}");
        for (number, (built, file)) in layers.iter().zip(file_layers).enumerate() {
            assert_eq!(*built, file, "{name}, layer {number}");
        }
        // The layers' names come from the cfg; those of the files are darknet's, too.
        let (built, file) = (Network::new(&built).unwrap(), Network::new(&file).unwrap());
        assert_eq!(built, file, "{name}");
    }
}

/// The numbers in the published weights files, after a header of 16 or 20 bytes.
#[test]
fn parameters_are_as_many_as_in_the_published_weights() {
    for (cfg, bytes, header) in [
        (YoloV2::default().cfg(), 203_934_260, 16),
        (YoloV2::voc().cfg(), 202_704_260, 16),
        (YoloV2Tiny::default().cfg(), 44_948_600, 20),
        (YoloV2Tiny::voc().cfg(), 63_471_556, 16),
        (YoloV3Tiny::default().cfg(), 35_434_956, 20),
    ] {
        let summary = summary(&cfg.unwrap());
        assert_eq!(summary.parameters + summary.buffers, (bytes - header) / 4);
    }
}

#[test]
fn another_number_of_classes_changes_what_enters_the_heads_only() {
    let usual = YoloV3Tiny::default();
    let few = YoloV3Tiny {
        classes: 3,
        input: [320, 640],
        ..usual.clone()
    };
    let (few, usual) = (few.cfg().unwrap(), usual.cfg().unwrap());
    assert_eq!([few.net.height, few.net.width], [320, 640]);
    for (number, (few, usual)) in few.layers.iter().zip(&usual.layers).enumerate() {
        let differs = [15, 16, 22, 23].contains(&number);
        assert_eq!(few.layer != usual.layer, differs, "layer {number}");
    }
    let network = Network::new(&few).unwrap();
    let [coarse, fine] = network.heads() else {
        panic!("{:?}", network.heads())
    };
    assert_eq!([coarse.shape(), fine.shape()], [[24, 10, 20], [24, 20, 40]]);
}

#[test]
fn anchors_are_converted_and_shared_between_the_heads() {
    let pixels = [16.0, 32.0, 48.0, 64.0, 80.0].map(|side| Anchor::network_pixels(side, side));
    let cells = [0.5, 1.0, 1.5, 2.0, 2.5].map(|side| Anchor::grid_cells(side, side));
    for given in [&pixels, &cells] {
        let anchors = given.to_vec();
        let v2 = YoloV2 {
            anchors: anchors.clone(),
            ..YoloV2::voc()
        };
        let v2 = Network::new(&v2.cfg().unwrap()).unwrap();
        assert_eq!(v2.heads()[0].anchors, cells);
        let nano = Nano {
            anchors,
            ..Nano::default()
        };
        let nano = Network::new(&nano.cfg().unwrap()).unwrap();
        // The coarse head first, with the larger anchors.
        assert_eq!(nano.heads()[0].anchors, pixels[2..]);
        assert_eq!(nano.heads()[1].anchors, pixels[..2]);
        assert_eq!(nano.heads()[0].stride(), [32, 32]);
        assert_eq!(nano.heads()[1].stride(), [16, 16]);
    }
}

#[test]
fn options_out_of_range_are_errors_that_name_them() {
    let option = |result: Result<Cfg, Error>| match result {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    for input in [[0, 32], [32, 0], [416, 415], [1 << 21, 32]] {
        let network = YoloV2 {
            input,
            ..YoloV2::default()
        };
        assert_eq!(option(network.cfg()), "input");
    }
    for classes in [0, 1 << 20, usize::MAX] {
        let network = YoloV3Tiny {
            classes,
            ..YoloV3Tiny::default()
        };
        assert_eq!(option(network.cfg()), "classes");
    }
    let pixel = Anchor::network_pixels;
    for anchors in [
        vec![],
        vec![pixel(1.0, 1.0)],
        vec![pixel(9.0, 9.0), pixel(8.0, 8.0)],
        vec![pixel(0.0, 8.0), pixel(8.0, 8.0)],
        vec![pixel(8.0, 8.0), pixel(f32::NAN, 8.0)],
        vec![pixel(8.0, 8.0), pixel(8.0, f32::INFINITY)],
        // Larger than an f32 in pixels.
        vec![pixel(8.0, 8.0), Anchor::grid_cells(f32::MAX, 1.0)],
        vec![pixel(8.0, 8.0); 1025],
    ] {
        let network = Nano {
            anchors,
            ..Nano::default()
        };
        assert_eq!(option(network.cfg()), "anchors");
    }
    for width in [0.0, -1.0, 16.5, f32::NAN, f32::INFINITY] {
        let network = Nano {
            width,
            ..Nano::default()
        };
        assert_eq!(option(network.cfg()), "width");
    }
    for last_channels in [0, 1 << 21] {
        let network = YoloV2Tiny {
            last_channels,
            ..YoloV2Tiny::default()
        };
        assert_eq!(option(network.cfg()), "last_channels");
    }
}

#[test]
fn nano_is_small_and_its_channels_are_whole_blocks() {
    let nano = Nano::default();
    let whole = summary(&nano.cfg().unwrap());
    assert_eq!(whole.parameters, 1_346_126);
    assert!(whole.multiply_adds < 550_000_000, "{}", whole.multiply_adds);
    let small = Nano {
        classes: 5,
        width: 0.375,
        ..nano.clone()
    };
    let small = summary(&small.cfg().unwrap());
    assert!(small.parameters < 250_000, "{}", small.parameters);

    for width in [1e-6, 0.25, 0.375, 0.5, 1.0, 1.3, 16.0] {
        let network = Nano {
            width,
            ..nano.clone()
        };
        let cfg = network.cfg().unwrap();
        for section in &cfg.layers {
            if let Layer::Convolutional(conv) = section.layer
                && conv.activation != Activation::Linear
            {
                assert!(conv.filters >= 16 && conv.filters % 16 == 0, "{conv:?}");
            }
        }
        assert_eq!(Network::new(&cfg).unwrap().classes().unwrap(), 80);
    }
}
