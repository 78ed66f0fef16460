//! Reading cfg files, valid and invalid ones.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

#[path = "cfg/errors.rs"]
mod errors;

use common::{REAL, YOLOV2, YOLOV3_TINY, net};
use yolo_detect::cfg::{Activation, Cfg, CfgError, Layer, WarningKind};
use yolo_detect::{Anchor, Error, Network};

/// Reads a cfg and builds its network.
fn build(text: &str) -> Result<Network, Error> {
    Network::new(&Cfg::parse(text)?)
}

/// Returns the error of an invalid cfg.
fn cfg_error(text: &str) -> CfgError {
    match build(text) {
        Err(Error::Cfg(error)) => *error,
        other => panic!("{text}\n{other:?}"),
    }
}

/// Returns the name of the problem's variant.
fn variant(error: &CfgError) -> String {
    format!("{:?}", error.problem)
        .split([' ', '{', '('])
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn real_files_are_read_without_a_warning() {
    for (name, text, layers) in REAL {
        let cfg = Cfg::parse(text).unwrap();
        assert_eq!(cfg.warnings, [], "{name}");
        assert_eq!(cfg.layers.len(), layers.lines().count() - 1, "{name}");
    }
    let cfg = Cfg::parse(YOLOV3_TINY).unwrap();
    assert_eq!(
        [cfg.net.channels, cfg.net.height, cfg.net.width],
        [3, 416, 416]
    );
    assert_eq!(cfg.layers[0].line, 25);
    let Layer::Convolutional(first) = cfg.layers[0].layer else {
        panic!("{:?}", cfg.layers[0])
    };
    assert_eq!(
        (first.filters, first.size, first.stride, first.padding),
        (16, 3, 1, 1)
    );
    assert!(first.batch_normalize);
    assert_eq!(first.activation, Activation::Leaky);
    let Layer::Yolo(yolo) = &cfg.layers[23].layer else {
        panic!("{:?}", cfg.layers[23])
    };
    assert_eq!(
        (yolo.mask.as_slice(), yolo.classes),
        ([0, 1, 2].as_slice(), 80)
    );
    assert_eq!(yolo.anchors[5], Anchor::network_pixels(344.0, 319.0));
    let Layer::Route(route) = &cfg.layers[20].layer else {
        panic!("{:?}", cfg.layers[20])
    };
    assert_eq!(route.layers, [19, 8]);
    let cfg = Cfg::parse(YOLOV2).unwrap();
    let Layer::Region(region) = &cfg.layers[31].layer else {
        panic!("{:?}", cfg.layers[31])
    };
    assert_eq!(region.anchors[4], Anchor::grid_cells(9.77052, 9.16828));
    assert!(region.softmax);
}

#[test]
fn carriage_returns_and_a_byte_order_mark_change_nothing() {
    let windows = format!("\u{feff}{}", YOLOV3_TINY.replace('\n', "\r\n"));
    assert_eq!(
        Cfg::parse(&windows).unwrap(),
        Cfg::parse(YOLOV3_TINY).unwrap()
    );
}

#[test]
fn aliases_and_defaults_are_darknets() {
    let cfg = Cfg::parse(
        "[network]\nwidth=8\nheight=8\nchannels=3\ninputs=192\n\
         [conv]\n[max]\nstride=2\n[avg]\n[conn]\n[soft]\n[upsample]\n[reorg]\n[dropout]\n[yolo]\n[region]",
    )
    .unwrap();
    let layers: Vec<&Layer> = cfg.layers.iter().map(|section| &section.layer).collect();
    let Layer::Convolutional(conv) = layers[0] else {
        panic!("{:?}", layers[0])
    };
    assert_eq!(
        (
            conv.filters,
            conv.size,
            conv.stride,
            conv.padding,
            conv.groups
        ),
        (1, 1, 1, 0, 1)
    );
    assert_eq!(
        (conv.batch_normalize, conv.activation),
        (false, Activation::Logistic)
    );
    let Layer::MaxPool(pool) = layers[1] else {
        panic!("{:?}", layers[1])
    };
    assert_eq!((pool.size, pool.stride, pool.padding), (2, 2, 1));
    assert!(matches!(layers[2], Layer::AvgPool));
    let Layer::Connected(connected) = layers[3] else {
        panic!("{:?}", layers[3])
    };
    assert_eq!(
        (connected.output, connected.activation),
        (1, Activation::Logistic)
    );
    assert!(matches!(layers[4], Layer::Softmax));
    assert!(matches!(layers[5], Layer::Upsample(upsample) if upsample.stride == 2));
    assert!(matches!(layers[6], Layer::Reorg(reorg) if reorg.stride == 1));
    assert!(matches!(layers[7], Layer::Dropout { probability: 0.5 }));
    let Layer::Yolo(yolo) = layers[8] else {
        panic!("{:?}", layers[8])
    };
    assert_eq!(
        (yolo.anchors.as_slice(), yolo.classes),
        ([Anchor::network_pixels(0.5, 0.5)].as_slice(), 20)
    );
    let Layer::Region(region) = layers[9] else {
        panic!("{:?}", layers[9])
    };
    assert_eq!(
        (region.anchors.as_slice(), region.softmax),
        ([Anchor::grid_cells(0.5, 0.5)].as_slice(), false)
    );
    let kinds: Vec<_> = cfg
        .warnings
        .iter()
        .map(|warning| (warning.line, warning.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (15, WarningKind::DefaultAnchors),
            (16, WarningKind::DefaultAnchors)
        ]
    );
}

#[test]
fn pad_means_half_the_size_and_goes_before_padding() {
    for (keys, expected) in [
        ("pad=1\npadding=7", 2),
        ("pad=0\npadding=7", 7),
        ("padding=7", 7),
        ("", 0),
    ] {
        let cfg = Cfg::parse(&net(9, 9, &format!("[conv]\nsize=5\n{keys}"))).unwrap();
        let Layer::Convolutional(conv) = cfg.layers[0].layer else {
            panic!("{cfg:?}")
        };
        assert_eq!(conv.padding, expected, "{keys}");
    }
}

#[test]
fn unknown_keys_are_warnings_and_training_keys_are_not() {
    let text = net(
        4,
        4,
        "[conv]\nfliters=3\nlearning_rate=x\n[dropout]\njitter=1\n\n",
    );
    let cfg = Cfg::parse(&format!("{text}wombat=0")).unwrap();
    let lines: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "line 6, [conv], fliters: unknown key, ignored",
            "line 9, [dropout], jitter: unknown key, ignored",
            "line 11, [dropout], wombat: unknown key, ignored",
        ]
    );
}

#[test]
fn numbers_that_darknet_reads_as_meant_are_read() {
    let layers = "[conv]\nfilters=255.0\nsize=3.\nstride=+2\npad=1.0\nactivation=linear\n\
                  [yolo]\nnum=3\nmask=0,1,2.0\nanchors=10,13, 16.5,30, 33,23,\n";
    let cfg = Cfg::parse(&net(9, 9, layers)).unwrap();
    let Layer::Convolutional(conv) = cfg.layers[0].layer else {
        panic!("{cfg:?}")
    };
    assert_eq!(
        (conv.filters, conv.size, conv.stride, conv.padding),
        (255, 3, 2, 1)
    );
    let Layer::Yolo(yolo) = &cfg.layers[1].layer else {
        panic!("{cfg:?}")
    };
    assert_eq!(yolo.anchors.len(), 3);
    assert_eq!(yolo.anchors[2], Anchor::network_pixels(33.0, 23.0));
    let [warning] = &cfg.warnings[..] else {
        panic!("{:?}", cfg.warnings)
    };
    assert_eq!(
        warning.to_string(),
        "line 14, [yolo], anchors: the comma at the end is ignored"
    );
    // In a list of layers or masks, darknet would read the text after the last comma as layer 0 or
    // anchor 0.
    for layers in ["[conv]\n[route]\nlayers=0,", "[yolo]\nmask=0,"] {
        assert_eq!(variant(&cfg_error(&net(8, 8, layers))), "Number");
    }
}

#[test]
fn a_training_key_without_a_value_is_a_warning() {
    let text = format!("{}\n", net(4, 4, "[conv]\nlearning_rate=\nwombat="));
    let text = text.replacen("[net]\n", "[net]\nangle=\n", 1);
    let cfg = Cfg::parse(&text).unwrap();
    let lines: Vec<String> = cfg.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "line 2, [net], angle: no value, ignored",
            "line 7, [conv], learning_rate: no value, ignored",
            "line 8, [conv], wombat: unknown key, ignored",
        ]
    );
}

#[test]
fn only_keys_and_values_have_to_be_utf8() {
    let plain = Cfg::parse(YOLOV3_TINY).unwrap();
    // "For training" in GBK, "settings" in Latin-1, and Windows-1251 after a value.
    for comment in [
        &b"# \xd1\xb5\xc1\xb7\xd3\xc3\n"[..],
        b"; r\xe9glages\n",
        b"# \xed\xe0\xf1\xf2\xf0\xee\xe9\xea\xe8\r\n",
    ] {
        let text = [comment, YOLOV3_TINY.as_bytes()].concat();
        let cfg = Cfg::parse_bytes(&text).unwrap();
        assert_eq!((cfg.net, cfg.layers.len()), (plain.net, plain.layers.len()));
        let behind = YOLOV3_TINY.replacen("width=416", "width=416 # @", 1);
        let (before, after) = behind.split_once('@').unwrap();
        let comment = comment.trim_ascii_end();
        let behind = [before.as_bytes(), comment, after.as_bytes()].concat();
        assert_eq!(Cfg::parse_bytes(&behind).unwrap(), plain);
    }
    for text in [
        &b"[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=\xb0\xcb"[..],
        b"[net]\nwidth=8\n\n\n\n\xbf\xed=8",
    ] {
        let Err(Error::Cfg(error)) = Cfg::parse_bytes(text) else {
            panic!()
        };
        assert_eq!((error.line, variant(&error)), (6, "Encoding".to_owned()));
    }
}

#[test]
fn letter_box_is_read() {
    for (key, expected) in [
        ("", false),
        ("letter_box=0\n", false),
        ("letter_box=1\n", true),
    ] {
        let text = net(8, 8, &format!("{key}[conv]"));
        let cfg = Cfg::parse(&text).unwrap();
        assert_eq!(cfg.net.letter_box, expected);
        assert_eq!(cfg.warnings, []);
    }
}
