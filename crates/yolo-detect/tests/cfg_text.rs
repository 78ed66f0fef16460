//! Writing cfg files: what was written is read back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use common::{REAL, SMALL, net};
use proptest::prelude::*;
use yolo_detect::cfg::{
    Activation, Cfg, Connected, Convolutional, Layer, MaxPool, Net, Region, Reorg, Route, Shortcut,
    Upsample, Yolo,
};
use yolo_detect::networks::{Nano, YoloV2, YoloV2Tiny, YoloV3Tiny};
use yolo_detect::{Anchor, Matching, Network, RegionLossOptions, YoloLossOptions};

/// The cfg with its own layers, but without what is not theirs: comments, aliases, warnings.
fn plain(cfg: Cfg) -> Cfg {
    Cfg::new(cfg.net, cfg.layers.into_iter().map(|section| section.layer))
}

#[test]
fn cfgs_that_were_read_keep_their_network() {
    let small = net(32, 32, SMALL);
    let texts = REAL.map(|(_, text, _)| text);
    for text in texts.into_iter().chain([small.as_str()]) {
        let cfg = Cfg::parse(text).unwrap();
        let written = Cfg::parse(&cfg.to_string()).unwrap();
        assert_eq!(written, plain(cfg.clone()));
        assert_eq!(
            Network::new(&written).unwrap().graph(),
            Network::new(&cfg).unwrap().graph()
        );
    }
}

#[test]
fn cfgs_that_were_built_are_read_back() {
    for cfg in [
        YoloV2::default().cfg(),
        YoloV2Tiny::voc().cfg(),
        YoloV3Tiny::default().cfg(),
        Nano::default().cfg(),
    ] {
        let cfg = cfg.unwrap();
        assert_eq!(Cfg::parse(&cfg.to_string()).unwrap(), cfg);
    }
}

#[test]
fn the_text_is_as_darknets_files_are() {
    let text = "\
[net]
width=8
height=16
channels=3
letter_box=1

[convolutional]
batch_normalize=1
filters=18
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=1

[yolo]
mask=0,2
anchors=1.5,2, 3,4.25, 5,6
classes=4
num=3
";
    assert_eq!(Cfg::parse(text).unwrap().to_string(), text);
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Linear),
        Just(Activation::Leaky),
        Just(Activation::Relu),
        Just(Activation::Logistic),
    ]
}

/// Any positive finite numbers.
fn anchors(make: fn(f32, f32) -> Anchor) -> impl Strategy<Value = Vec<Anchor>> {
    let side = (1u32..0x7f80_0000).prop_map(f32::from_bits);
    let anchor = (side.clone(), side).prop_map(move |(width, height)| make(width, height));
    prop::collection::vec(anchor, 1..5)
}

/// Those options of a loss that have a key.
fn region_loss() -> impl Strategy<Value = RegionLossOptions> {
    let scale = || prop_oneof![Just(1.0), 0.0..10.0];
    let scales = [scale(), scale(), scale(), scale()];
    let flags = (any::<bool>(), any::<bool>());
    (scales, 0.0..1.0, flags).prop_map(|(scales, ignore_threshold, (rescore, anchors))| {
        let [object_scale, noobject_scale, class_scale, coord_scale] = scales;
        RegionLossOptions {
            object_scale,
            noobject_scale,
            class_scale,
            coord_scale,
            ignore_threshold,
            rescore,
            matching: match anchors {
                true => Matching::Anchors,
                false => Matching::Predictions,
            },
            ..RegionLossOptions::default()
        }
    })
}

fn yolo_loss() -> impl Strategy<Value = YoloLossOptions> {
    (0.0..1.0, prop_oneof![Just(1.0), 0.0..1.0]).prop_map(|(ignore_threshold, truth_threshold)| {
        YoloLossOptions {
            ignore_threshold,
            truth_threshold,
            ..YoloLossOptions::default()
        }
    })
}

/// Any layer that can stand behind `number` others.
fn layer(number: usize) -> BoxedStrategy<Layer> {
    let size = 1usize..=1 << 20;
    let window = 1usize..=1024;
    let convolutional = (
        size.clone(),
        window.clone(),
        size.clone(),
        0usize..=1 << 20,
        size.clone(),
        any::<bool>(),
        activation(),
    );
    let convolutional = convolutional.prop_map(
        |(filters, size, stride, padding, groups, batch_normalize, activation)| {
            // The usual padding too.
            let padding = if padding % 2 == 0 { size / 2 } else { padding };
            Layer::Convolutional(Convolutional {
                filters,
                size,
                stride,
                padding,
                groups,
                batch_normalize,
                activation,
            })
        },
    );
    let max_pool = (window.clone(), window, 0usize..2000).prop_map(|(size, stride, padding)| {
        let padding = if padding % 2 == 0 { size - 1 } else { padding };
        Layer::MaxPool(MaxPool {
            size,
            stride,
            padding,
        })
    });
    let connected = (size.clone(), any::<bool>(), activation()).prop_map(
        |(output, batch_normalize, activation)| {
            Layer::Connected(Connected {
                output,
                batch_normalize,
                activation,
            })
        },
    );
    let region = (
        anchors(Anchor::grid_cells),
        size.clone(),
        any::<bool>(),
        region_loss(),
    );
    let region = region.prop_map(|(anchors, classes, softmax, loss)| {
        Layer::Region(Region {
            anchors,
            classes,
            softmax,
            loss,
        })
    });
    let yolo = (anchors(Anchor::network_pixels), size.clone(), yolo_loss());
    let yolo = yolo.prop_flat_map(|(anchors, classes, loss)| {
        let mask = prop::collection::vec(0..anchors.len(), 1..4);
        mask.prop_map(move |mask| {
            Layer::Yolo(Yolo {
                anchors: anchors.clone(),
                mask,
                classes,
                loss,
            })
        })
    });
    let alone = prop_oneof![
        Just(Layer::AvgPool),
        Just(Layer::Softmax),
        Just(Layer::Cost),
        size.clone()
            .prop_map(|stride| Layer::Upsample(Upsample { stride })),
        size.prop_map(|stride| Layer::Reorg(Reorg { stride })),
        (0.0f32..1.0).prop_map(|probability| Layer::Dropout { probability }),
    ];
    let first = prop_oneof![convolutional, max_pool, connected, region, yolo, alone];
    if number == 0 {
        return first.boxed();
    }
    let route = (
        prop::collection::vec(0..number, 1..4),
        (1usize..9).prop_flat_map(|groups| (Just(groups), 0..groups)),
    );
    let route = route.prop_map(|(layers, (groups, group_id))| {
        Layer::Route(Route {
            layers,
            groups,
            group_id,
        })
    });
    let shortcut = (0..number, activation())
        .prop_map(|(from, activation)| Layer::Shortcut(Shortcut { from, activation }));
    prop_oneof![3 => first, 1 => route, 1 => shortcut].boxed()
}

fn cfg() -> impl Strategy<Value = Cfg> {
    let side = || 1usize..=1 << 20;
    let net = (side(), side(), side(), any::<bool>()).prop_map(
        |(height, width, channels, letter_box)| Net {
            height,
            width,
            channels,
            letter_box,
        },
    );
    let layers = (1usize..8).prop_flat_map(|count| (0..count).map(layer).collect::<Vec<_>>());
    (net, layers).prop_map(|(net, layers)| Cfg::new(net, layers))
}

proptest! {
    /// Whether the layers fit each other is not the text's matter.
    #[test]
    fn what_is_written_is_read_back(cfg in cfg()) {
        prop_assert_eq!(Cfg::parse(&cfg.to_string()).unwrap(), cfg);
    }
}
