//! Invalid cfg files, each with the error that names what is wrong.

use super::*;

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
