//! A network's description: by name, as JSON, and from hostile sources.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nn_layers::{GraphError, Shape};
use proptest::prelude::*;
use resnet::{Block, Error, ResNet, Shortcut, Stem};
use serde_json::{Value, json};

#[test]
fn every_name_is_a_network_that_survives_json() {
    for &name in ResNet::NAMES {
        let network = ResNet::named(name).unwrap();
        let text = serde_json::to_string(&network).unwrap();
        assert_eq!(
            serde_json::from_str::<ResNet>(&text).unwrap(),
            network,
            "{name}"
        );
        let graph = network.graph(network.input_size()).unwrap();
        assert_eq!(graph.nodes()[0].name(), "image");
        assert_eq!(graph.node(graph.outputs()[0]).unwrap().name(), "fc");
    }
    let mut names = ResNet::NAMES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ResNet::NAMES.len());
    for name in ["", "resnet", "ResNet50", "resnet50 ", "resnet1202"] {
        assert_eq!(ResNet::named(name), None, "{name:?}");
    }
}

#[test]
fn the_json_form() {
    let expected = json!({
        "block": "bottleneck",
        "layers": [3, 4, 6, 3],
        "width": 64,
        "groups": 32,
        "width_per_group": 4,
        "stem": "imagenet",
        "shortcut": "projection",
        "pre_activation": false,
        "output_stride": 32,
        "zero_init_residual": false,
        "in_channels": 3,
        "classes": 1000,
    });
    let network = ResNet::resnext50_32x4d();
    assert_eq!(serde_json::to_value(&network).unwrap(), expected);
    assert_eq!(
        json!([Stem::Cifar, Block::Basic]),
        json!(["cifar", "basic"])
    );
    let shortcuts = [Shortcut::Projection, Shortcut::ZeroPadded, Shortcut::None];
    assert_eq!(
        json!(shortcuts),
        json!(["projection", "zero_padded", "none"])
    );
}

#[test]
fn a_field_too_many_or_too_few_is_an_error_that_names_it() {
    let good = serde_json::to_value(ResNet::resnet18()).unwrap();
    for field in good.as_object().unwrap().keys() {
        let mut less = good.clone();
        less.as_object_mut().unwrap().remove(field);
        let error = serde_json::from_value::<ResNet>(less)
            .unwrap_err()
            .to_string();
        assert_eq!(error, format!("missing field `{field}`"));
    }
    let mut more = good.clone();
    more["dropout"] = json!(0.5);
    let error = serde_json::from_value::<ResNet>(more)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("unknown field `dropout`"), "{error}");
    for (field, value) in [
        ("layers", json!([2, -1])),
        ("classes", json!(1e30)),
        ("block", json!("basement")),
        ("stem", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(serde_json::from_value::<ResNet>(bad).is_err(), "{field}");
    }
}

#[test]
fn what_no_network_has_is_an_error_that_names_it() {
    let good = ResNet::resnet50;
    let blocks = "the number of blocks in layers";
    for (network, field, got) in [
        (
            ResNet {
                layers: vec![],
                ..good()
            },
            blocks,
            0,
        ),
        (
            ResNet {
                layers: vec![1025],
                ..good()
            },
            blocks,
            1025,
        ),
        (
            ResNet {
                layers: vec![1; 1 << 20],
                ..good()
            },
            blocks,
            1 << 20,
        ),
        (
            ResNet {
                layers: vec![1 << 60; 4],
                ..good()
            },
            blocks,
            1 << 62,
        ),
        (
            ResNet {
                layers: vec![usize::MAX; 4],
                ..good()
            },
            blocks,
            usize::MAX,
        ),
        (
            ResNet {
                output_stride: 0,
                ..good()
            },
            "output_stride",
            0,
        ),
        (
            ResNet {
                output_stride: 2,
                ..good()
            },
            "output_stride",
            2,
        ),
        (
            ResNet {
                output_stride: 12,
                ..good()
            },
            "output_stride",
            12,
        ),
        (
            ResNet {
                output_stride: 64,
                ..good()
            },
            "output_stride",
            64,
        ),
        (
            ResNet {
                output_stride: usize::MAX,
                ..good()
            },
            "output_stride",
            usize::MAX,
        ),
        (
            ResNet {
                output_stride: 32,
                ..ResNet::cifar(3)
            },
            "output_stride",
            32,
        ),
        (
            ResNet {
                groups: 2,
                ..ResNet::resnet18()
            },
            "groups",
            2,
        ),
        (
            ResNet {
                width_per_group: 128,
                ..ResNet::resnet18()
            },
            "width_per_group",
            128,
        ),
    ] {
        let error = network.graph([64, 64]).unwrap_err();
        assert!(
            matches!(error, Error::Field { field: f, got: g, .. } if (f, g) == (field, got)),
            "{field}: {error}"
        );
    }
    for (network, node) in [
        (ResNet { width: 0, ..good() }, "conv1"),
        (
            ResNet {
                groups: 0,
                ..good()
            },
            "layer1.0.conv1",
        ),
        (
            ResNet {
                width_per_group: 0,
                ..good()
            },
            "layer1.0.conv1",
        ),
        (
            ResNet {
                in_channels: 0,
                ..good()
            },
            "image",
        ),
        (
            ResNet {
                classes: 0,
                ..good()
            },
            "fc",
        ),
    ] {
        let error = network.graph([64, 64]).unwrap_err();
        assert!(
            matches!(&error, Error::Graph(nn_layers::Error::Graph(GraphError::Zero { node: n, .. })) if n == node),
            "{node}: {error}"
        );
    }
    let error = ResNet {
        layers: vec![3, 0, 2],
        ..good()
    }
    .graph([64, 64])
    .unwrap_err();
    assert_eq!(
        error,
        Error::EmptyStage {
            stage: 1,
            stages: 3
        }
    );
    assert_eq!(
        ResNet {
            output_stride: 12,
            ..good()
        }
        .graph([64, 64])
        .unwrap_err()
        .to_string(),
        "output_stride is 12, expected 4 or 8 or 16 or 32"
    );
}

#[test]
fn what_is_too_large_is_refused_before_memory_is_taken() {
    let good = ResNet::resnet50;
    for network in [
        ResNet {
            classes: 1 << 40,
            ..good()
        },
        ResNet {
            in_channels: 1 << 40,
            ..good()
        },
        ResNet {
            layers: vec![1; 12],
            output_stride: 4 << 11,
            ..good()
        },
        ResNet {
            width_per_group: 1 << 20,
            ..good()
        },
    ] {
        for error in [
            network.graph([64, 64]).unwrap_err(),
            network.init(1).unwrap_err(),
        ] {
            assert!(
                matches!(error, Error::TooManyParameters { got, limit } if got > limit),
                "{network:?}: {error}"
            );
        }
    }
    for network in [
        ResNet {
            width: usize::MAX,
            ..good()
        },
        ResNet {
            classes: usize::MAX,
            ..good()
        },
        ResNet {
            in_channels: usize::MAX,
            ..good()
        },
        ResNet {
            width_per_group: usize::MAX,
            ..good()
        },
        ResNet {
            layers: vec![1; 70],
            output_stride: 4,
            ..good()
        },
    ] {
        let error = network.graph([64, 64]).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Graph(nn_layers::Error::Graph(GraphError::TooLarge { .. }))
            ),
            "{network:?}: {error}"
        );
    }
}

#[test]
fn a_branch_cannot_start_from_zeros_everywhere() {
    for network in [
        ResNet {
            shortcut: Shortcut::None,
            ..ResNet::resnet18()
        },
        ResNet {
            pre_activation: true,
            ..ResNet::resnet50()
        },
    ] {
        let network = ResNet {
            zero_init_residual: true,
            ..network
        };
        assert!(matches!(network.init(1), Err(Error::ZeroInit { .. })));
    }
}

/// A size: realistic and unrealistic ones.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1..=64_usize,
        1 => Just(0),
        1 => any::<usize>(),
        1 => Just(usize::MAX),
        1 => (0..63_u32).prop_map(|shift| 1 << shift),
    ]
}

/// Named networks with a few fields changed, some of them with other options.
fn networks() -> impl Strategy<Value = ResNet> {
    let names = [
        "resnet18",
        "resnet50",
        "resnext50_32x4d",
        "resnet20",
        "plain20",
    ];
    let shortcuts = [Shortcut::Projection, Shortcut::ZeroPadded, Shortcut::None];
    (
        prop::sample::select(names.to_vec()),
        prop::sample::select(shortcuts.to_vec()),
        any::<[bool; 2]>(),
        prop::option::of(prop::collection::vec(sizes(), 0..6)),
        prop::collection::vec((0..6_usize, sizes()), 0..=2),
    )
        .prop_map(|(name, shortcut, flags, layers, changes)| {
            let mut network = ResNet::named(name).unwrap();
            network.shortcut = shortcut;
            [network.pre_activation, network.zero_init_residual] = flags;
            if let Some(layers) = layers {
                network.layers = layers;
            }
            for (field, size) in changes {
                let fields = [
                    &mut network.width,
                    &mut network.groups,
                    &mut network.width_per_group,
                    &mut network.output_stride,
                    &mut network.in_channels,
                    &mut network.classes,
                ];
                if let Some(value) = fields.into_iter().nth(field) {
                    *value = size;
                }
            }
            network
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_configuration_panics_and_each_survives_json(
        network in networks(),
        size in [sizes(), sizes()],
    ) {
        let text = serde_json::to_string(&network).unwrap();
        prop_assert_eq!(&serde_json::from_str::<ResNet>(&text).unwrap(), &network);
        if let Ok(graph) = network.graph(size) {
            let parameters: usize = graph.param_specs().map(nn_layers::ParamSpec::elements).sum();
            prop_assert!(parameters <= ResNet::MAX_PARAMETERS);
            let input = Shape::from([2, network.in_channels, 1, 3]);
            let shapes = graph.infer(&[input]).unwrap();
            let output = &shapes[graph.outputs()[0].index()];
            prop_assert_eq!(output, &Shape::from([2, network.classes]));
        }
    }
}
