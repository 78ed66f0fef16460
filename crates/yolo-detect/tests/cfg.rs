//! Reading cfg files, valid and invalid ones.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

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

/// Layers below a `[net]` of 8 x 8 x 3 (lines 1 to 4), with the line, the key and the variant of
/// the error.
const HOSTILE: &[(&str, usize, &str, &str)] = &[
    // Impossible values.
    ("[conv]\nfilters=99999999", 6, "filters", "OutOfRange"),
    ("[conv]\nfilters=-1", 6, "filters", "OutOfRange"),
    ("[conv]\nfilters=0", 6, "filters", "OutOfRange"),
    ("[conv]\nfilters=1e3", 6, "filters", "Number"),
    ("[conv]\nfilters=many", 6, "filters", "Number"),
    ("[conv]\nfilters=255.5", 6, "filters", "Number"),
    ("[conv]\nfilters=.0", 6, "filters", "Number"),
    ("[conv]\nfilters=2.0.0", 6, "filters", "Number"),
    ("[conv]\nsize=1025", 6, "size", "OutOfRange"),
    ("[maxpool]\nsize=1025\nstride=1", 6, "size", "OutOfRange"),
    ("[maxpool]\nstride=1048576", 6, "stride", "OutOfRange"),
    (
        "[conv]\nfilters=9223372036854775808",
        6,
        "filters",
        "Number",
    ),
    ("[conv]\nsize=0", 6, "size", "OutOfRange"),
    ("[conv]\nstride=0", 6, "stride", "OutOfRange"),
    ("[conv]\nstride=-1", 6, "stride", "OutOfRange"),
    ("[conv]\npadding=-1", 6, "padding", "OutOfRange"),
    ("[conv]\ngroups=0", 6, "groups", "OutOfRange"),
    ("[conv]\npad=yes", 6, "pad", "Number"),
    ("[maxpool]\nsize=0", 6, "size", "OutOfRange"),
    ("[maxpool]\nstride=0", 6, "stride", "OutOfRange"),
    ("[reorg]\nstride=0", 6, "stride", "OutOfRange"),
    ("[upsample]\nstride=0", 6, "stride", "OutOfRange"),
    ("[upsample]\nstride=-2", 6, "stride", "OutOfRange"),
    ("[connected]\noutput=0", 6, "output", "OutOfRange"),
    ("[dropout]\nprobability=1", 6, "probability", "OutOfRange"),
    ("[dropout]\nprobability=nan", 6, "probability", "Number"),
    // Settings that compute something else.
    ("[conv]\nactivation=mish", 6, "activation", "Activation"),
    ("[conv]\nbinary=1", 6, "binary", "NotSupported"),
    ("[conv]\nxnor=1", 6, "xnor", "NotSupported"),
    ("[conv]\nflipped=1", 6, "flipped", "NotSupported"),
    ("[conv]\ndilation=2", 6, "dilation", "NotSupported"),
    ("[conv]\nstride_x=1", 6, "stride_x", "NotSupported"),
    ("[conv]\ndontload=1", 6, "dontload", "NotSupported"),
    (
        "[conv]\ndontloadscales=1",
        6,
        "dontloadscales",
        "NotSupported",
    ),
    ("[conv]\nnumload=8", 6, "numload", "NotSupported"),
    ("[upsample]\nscale=2", 6, "scale", "NotSupported"),
    ("[reorg]\nreverse=1", 6, "reverse", "NotSupported"),
    ("[reorg]\nflatten=1", 6, "flatten", "NotSupported"),
    ("[reorg]\nextra=1", 6, "extra", "NotSupported"),
    ("[softmax]\ngroups=2", 6, "groups", "NotSupported"),
    ("[softmax]\ntemperature=2", 6, "temperature", "NotSupported"),
    ("[softmax]\ntree=data/9k.tree", 6, "tree", "NotSupported"),
    ("[shortcut]\nfrom=-1\nalpha=2", 7, "alpha", "NotSupported"),
    ("[region]\ntree=data/9k.tree", 6, "tree", "NotSupported"),
    ("[region]\nmap=data/coco9k.map", 6, "map", "NotSupported"),
    ("[region]\nbackground=1", 6, "background", "NotSupported"),
    ("[region]\ncoords=5", 6, "coords", "NotSupported"),
    ("[yolo]\nmap=data/openimages.map", 6, "map", "NotSupported"),
    ("[yolo]\nscale_x_y=1.05", 6, "scale_x_y", "NotSupported"),
    ("[local]", 5, "", "UnsupportedSection"),
    ("[detection]", 5, "", "UnsupportedSection"),
    ("[convolutionl]", 5, "", "UnknownSection"),
    ("[net]\nwidth=8", 5, "", "SecondNet"),
    // References.
    ("[route]", 5, "layers", "Missing"),
    ("[route]\nlayers=-1", 6, "layers", "LayerReference"),
    ("[route]\nlayers=0", 6, "layers", "LayerReference"),
    ("[conv]\n[route]\nlayers=1", 7, "layers", "LayerReference"),
    ("[conv]\n[route]\nlayers=2", 7, "layers", "LayerReference"),
    ("[conv]\n[route]\nlayers=-2", 7, "layers", "LayerReference"),
    (
        "[conv]\n[route]\nlayers=0,99",
        7,
        "layers",
        "LayerReference",
    ),
    (
        "[conv]\n[route]\nlayers=-9223372036854775808",
        7,
        "layers",
        "LayerReference",
    ),
    ("[conv]\n[route]\nlayers=0,", 7, "layers", "Number"),
    ("[conv]\n[route]\nlayers=x", 7, "layers", "Number"),
    (
        "[conv]\nfilters=6\n[route]\nlayers=0\ngroups=2\ngroup_id=2",
        10,
        "group_id",
        "OutOfRange",
    ),
    (
        "[conv]\nfilters=6\n[route]\nlayers=0\ngroups=4",
        7,
        "groups",
        "Groups",
    ),
    (
        "[conv]\n[maxpool]\nstride=2\n[route]\nlayers=0,1",
        8,
        "layers",
        "RouteShape",
    ),
    (
        "[conv]\n[connected]\n[route]\nlayers=0,1",
        7,
        "layers",
        "RouteShape",
    ),
    ("[shortcut]", 5, "from", "Missing"),
    ("[shortcut]\nfrom=0", 6, "from", "LayerReference"),
    ("[conv]\n[shortcut]\nfrom=-1,-1", 7, "from", "NotSupported"),
    (
        "[conv]\n[conv]\nfilters=2\n[shortcut]\nfrom=-2",
        8,
        "from",
        "ShortcutShape",
    ),
    (
        "[conv]\n[maxpool]\nstride=2\n[shortcut]\nfrom=0",
        8,
        "from",
        "ShortcutShape",
    ),
    // Heads.
    (
        "[yolo]\nnum=3\nmask=0,3\nanchors=1,1,2,2,3,3",
        7,
        "mask",
        "OutOfRange",
    ),
    (
        "[yolo]\nnum=3\nmask=-1\nanchors=1,1,2,2,3,3",
        7,
        "mask",
        "OutOfRange",
    ),
    (
        "[yolo]\nnum=3\nanchors=1,1,2,2",
        7,
        "anchors",
        "AnchorCount",
    ),
    (
        "[region]\nnum=1\nanchors=1,1,2",
        7,
        "anchors",
        "AnchorCount",
    ),
    ("[region]\nanchors=1,x", 6, "anchors", "Number"),
    ("[region]\nanchors=1,0", 6, "anchors", "OutOfRange"),
    ("[region]\nanchors=1,-1", 6, "anchors", "OutOfRange"),
    ("[region]\nanchors=1,inf", 6, "anchors", "Number"),
    ("[region]\nnum=1048576", 6, "num", "OutOfRange"),
    ("[region]\nclasses=0", 6, "classes", "OutOfRange"),
    ("[region]\nclasses=80", 5, "", "HeadChannels"),
    (
        "[conv]\nfilters=255\n[yolo]\nclasses=81\nnum=3",
        7,
        "",
        "HeadChannels",
    ),
    ("[connected]\noutput=6\n[yolo]\nclasses=1", 7, "", "Input"),
    (
        "[conv]\nfilters=6\n[yolo]\nclasses=1\n[conv]",
        9,
        "",
        "ReadsHead",
    ),
    (
        "[conv]\nfilters=6\n[yolo]\nclasses=1\n[cost]\n[conv]",
        10,
        "",
        "ReadsHead",
    ),
    (
        "[conv]\nfilters=6\n[yolo]\nclasses=1\n[route]\nlayers=-1",
        9,
        "layers",
        "ReadsHead",
    ),
    // Shapes that do not match.
    ("[conv]\ngroups=2", 5, "groups", "Groups"),
    ("[conv]\nfilters=4\ngroups=3", 5, "filters", "Groups"),
    ("[conv]\nsize=9", 5, "", "Graph"),
    ("[maxpool]\nsize=9\npadding=0", 5, "", "Graph"),
    ("[reorg]\nstride=3", 5, "", "Graph"),
    ("[connected]\n[conv]", 6, "", "Input"),
    ("[connected]\n[maxpool]", 6, "", "Graph"),
    // Sizes over a limit.
    (
        "[conv]\nsize=1024\npad=1\nfilters=1048576",
        5,
        "",
        "TooLarge",
    ),
    // 300 filters on 128 x 128 pixels, each of 3 x 1023 x 1023 taps.
    (
        "[upsample]\nstride=16\n[conv]\nsize=1023\npad=1\nfilters=300",
        7,
        "",
        "TooLarge",
    ),
    (
        "[conv]\nfilters=1048576\n[upsample]\nstride=32",
        7,
        "",
        "TooLarge",
    ),
    ("[upsample]\nstride=1048576", 5, "", "TooLarge"),
    (
        "[upsample]\nstride=1024\n[connected]\noutput=1048576",
        7,
        "",
        "TooLarge",
    ),
    ("[conv]\npadding=1048576", 5, "", "TooLarge"),
    // Text.
    ("[conv", 5, "", "Syntax"),
    ("[conv]\nfilters", 6, "", "Syntax"),
    ("[conv]\nfilters=", 6, "filters", "Number"),
    ("[conv]\nactivation=", 6, "activation", "Activation"),
    ("[conv]\n=5", 6, "", "Syntax"),
    ("[]", 5, "", "Syntax"),
    ("[\u{1b}[31m]", 5, "", "Syntax"),
];

#[test]
fn hostile_layers_are_named_errors() {
    for &(layers, line, key, kind) in HOSTILE {
        let error = cfg_error(&net(8, 8, layers));
        let (got, got_key) = ((error.line, variant(&error)), error.key.as_deref());
        assert_eq!(got, (line, kind.to_owned()), "{layers}\n{error}");
        assert_eq!(got_key.unwrap_or_default(), key, "{layers}\n{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert!(
            error.to_string().starts_with(&format!("line {line}")),
            "{error}"
        );
    }
}

#[test]
fn hostile_files_are_named_errors() {
    let many = format!("{}{}", net(8, 8, ""), "[cost]\n".repeat(4097));
    for (text, line, kind) in [
        ("", 0, "Empty"),
        ("# nothing\n\n", 0, "Empty"),
        ("width=8", 1, "KeyOutsideSection"),
        ("[conv]\nfilters=1", 1, "FirstSection"),
        ("[net]\nheight=8\nchannels=3\n[conv]", 1, "Missing"),
        (
            "[net]\nwidth=0\nheight=8\nchannels=3\n[conv]",
            2,
            "OutOfRange",
        ),
        (
            "[net]\nwidth=8\nheight=8\nchannels=3\ninputs=191\n[conv]",
            5,
            "OutOfRange",
        ),
        ("[net]\nwidth=8\nheight=8\nchannels=3", 0, "NoLayers"),
        (
            "[net]\nwidth=60000\nheight=60000\nchannels=3\n[conv]",
            0,
            "TooLarge",
        ),
        (
            "[net]\nwidth=1048576\nheight=1048576\nchannels=1048576\n[conv]",
            0,
            "TooLarge",
        ),
        (&many, 0, "TooLarge"),
    ] {
        let error = cfg_error(text);
        assert_eq!(
            (error.line, variant(&error)),
            (line, kind.to_owned()),
            "{error}"
        );
    }
}

#[test]
fn messages_can_be_acted_on() {
    for (layers, message) in [
        (
            "[convolutional]\nfilters=99999999",
            "line 6, [convolutional] (layer 0), filters: 99999999 is out of range, \
             expected 1 to 1048576",
        ),
        (
            "[conv]\n[route]\nlayers=-3",
            "line 7, [route] (layer 1), layers: -3 means layer -2, \
             expected one of the 1 layer before this one",
        ),
        (
            "[conv]\nfilters=254\n[yolo]\nclasses=80\nnum=3\nmask=0,1,2",
            "line 7, [yolo] (layer 1): the layer before has 254 channels, \
             expected 255 = 3 anchors x (5 + 80 classes)",
        ),
        (
            "[conv]\n[conv]\nfilters=2\n[shortcut]\nfrom=0",
            "line 8, [shortcut] (layer 2), from: layer 0 is 1x1x8x8, expected 1x2x8x8 \
             as the layer before: a shortcut between different shapes is not supported",
        ),
    ] {
        assert_eq!(cfg_error(&net(8, 8, layers)).to_string(), message);
    }
}
