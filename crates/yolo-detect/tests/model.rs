//! Models: darknet's files and model files, written as they were read.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use std::path::{Path, PathBuf};

use common::{NAMES, REAL, RandomWeights, SMALL, net, network, noise};
use image_data::Picture;
use nn_layers::{ModelFile, ParamsError, Slot};
use serde_json::json;
use yolo_detect::cfg::Cfg;
use yolo_detect::networks::Nano;
use yolo_detect::{
    ClassNames, Detector, DetectorFiles, DetectorOptions, Encoding, Error, Fit, Model, Settings,
    Warning, Weights, WeightsHeader,
};

/// Writes darknet's files with these texts and weights.
fn files(folder: &Path, cfg: &[u8], weights: &[u8], names: Option<&str>) -> DetectorFiles {
    let write = |suffix: &str, content: &[u8]| -> PathBuf {
        let path = folder.join(format!("given.{suffix}"));
        std::fs::write(&path, content).unwrap();
        path
    };
    DetectorFiles {
        cfg: write("cfg", cfg),
        weights: write("weights", weights),
        names: names.map(|names| write("names", names.as_bytes())),
    }
}

fn small() -> Model {
    let cfg = Cfg::parse(&net(32, 32, SMALL)).unwrap();
    let params = RandomWeights::default()
        .make(&common::small_network())
        .params;
    Model::new(cfg, params, ClassNames::parse(NAMES).unwrap()).unwrap()
}

/// Writes the model file and reads it back.
fn through_a_file(folder: &Path, model: &Model) -> Model {
    let path = folder.join("m.safetensors");
    model.clone().into_file().unwrap().save(&path).unwrap();
    Model::open(&path).unwrap()
}

fn darknet_bytes(folder: &Path, model: &Model) -> [Vec<u8>; 2] {
    let files = model.save_darknet(folder, "written").unwrap();
    [files.cfg, files.weights].map(|path| std::fs::read(path).unwrap())
}

#[test]
fn what_was_read_is_written_byte_for_byte_also_through_a_model_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let small = net(32, 32, SMALL);
    let windows = format!("\u{feff}# Réglages\r\n{}", small.replace('\n', "\r\n"));
    let nano = Nano {
        width: 0.25,
        ..Nano::default()
    };
    let nano = nano.cfg().unwrap().to_string();
    let header = |major, minor, revision, seen| WeightsHeader {
        major,
        minor,
        revision,
        seen,
    };
    for (cfg, header) in [
        (REAL[1].1, header(0, 1, 0, 32_013_312)),
        (REAL[2].1, header(0, 2, 0, 1 << 40 | 7)),
        (&small, header(0, 2, 5, u64::MAX)),
        (&windows, header(0, 1001, 3, 5)),
        (&nano, WeightsHeader::default()),
    ] {
        let weights = RandomWeights {
            header,
            ..RandomWeights::default()
        };
        let weights = weights.bytes(&network(cfg));
        let given = files(folder, cfg.as_bytes(), &weights, None);
        let model = Model::open_darknet(&given).unwrap();
        assert_eq!(model.cfg_text(), cfg.as_bytes());
        let [written_cfg, written_weights] = darknet_bytes(folder, &model);
        assert!(written_cfg == cfg.as_bytes() && written_weights == weights);

        let again = through_a_file(folder, &model);
        assert_eq!(
            (&again.weights, &again.names),
            (&model.weights, &model.names)
        );
        let [written_cfg, written_weights] = darknet_bytes(folder, &again);
        assert!(written_cfg == cfg.as_bytes() && written_weights == weights);
    }
}

/// A classifier's weights, too, and a network too large for a model file in a test.
#[test]
fn weights_of_every_cfg_are_written_as_they_were_read() {
    let classifier = net(
        16,
        16,
        "[conv]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\n[avgpool]\n\
         [connected]\noutput=7\nbatch_normalize=1\n[connected]\noutput=3\n[softmax]\n[cost]\n",
    );
    for cfg in REAL
        .map(|(_, cfg, _)| cfg)
        .into_iter()
        .chain([&*classifier])
    {
        let network = network(cfg);
        let params = nn_layers::random_params(network.graph(), 5).unwrap();
        let header = WeightsHeader::default();
        let mut bytes = Vec::new();
        Weights { header, params }
            .write(&mut bytes, &network)
            .unwrap();
        let read = Weights::read(&*bytes, bytes.len() as u64, &network).unwrap();
        let mut written = Vec::with_capacity(bytes.len());
        read.write(&mut written, &network).unwrap();
        assert!(written == bytes);
    }
}

#[test]
fn another_value_changes_its_own_bytes_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = small();
    let [cfg, before] = darknet_bytes(folder.path(), &model);
    let bias = model.weights.params.get_mut("1.conv.bias").unwrap();
    bias.value[[3]] = 0.75;
    let [cfg_after, after] = darknet_bytes(folder.path(), &model);
    assert_eq!(cfg, cfg_after);
    assert_eq!(before.len(), after.len());
    // Behind a header of 20 bytes and the 8 filters of the first layer: four numbers and 27 weights each.
    let place = 20 + 4 * (8 * (4 + 27) + 3);
    let changed = (0..before.len()).filter(|&at| before[at] != after[at]);
    let changed: Vec<usize> = changed.collect();
    assert!(!changed.is_empty() && changed.iter().all(|at| (place..place + 4).contains(at)));
    assert_eq!(after[place..place + 4], 0.75_f32.to_le_bytes());
}

#[test]
fn a_model_file_keeps_names_settings_and_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = small();
    assert_eq!(model.settings, Settings::default());
    assert_eq!(model.options(), DetectorOptions::default());
    model.settings = Settings {
        threshold: 0.1,
        nms: 0.6,
        fit: Fit::Stretch,
    };
    let again = through_a_file(folder.path(), &model);
    assert_eq!(again, model);
    let options = again.options();
    assert_eq!(
        (options.threshold, options.nms, options.fit),
        (0.1, 0.6, Fit::Stretch)
    );
    let found = again.save_darknet(folder.path(), "s").unwrap();
    assert_eq!(
        std::fs::read_to_string(found.names.unwrap()).unwrap(),
        NAMES
    );
    // The same bytes again.
    let bytes = |model: Model| model.into_file().unwrap().to_bytes().unwrap();
    assert!(bytes(again) == bytes(model.clone()));

    // What is odd about the cfg and the weights is told of the model file, too.
    let cfg = net(32, 32, &SMALL.replace("stride=4", "stride=4\nwombat=1"));
    let weights = RandomWeights {
        header: WeightsHeader {
            revision: 5,
            ..WeightsHeader::default()
        },
        ..RandomWeights::default()
    };
    let weights = weights.bytes(&network(&cfg));
    let given = files(folder.path(), cfg.as_bytes(), &weights, None);
    let model = Model::open_darknet(&given).unwrap();
    for model in [through_a_file(folder.path(), &model), model] {
        let [
            Warning::Cfg { warning, .. },
            Warning::Fork { revision: 5, .. },
        ] = model.warnings()
        else {
            panic!("{:?}", model.warnings())
        };
        assert_eq!(warning.key, "wombat");
    }
}

#[test]
fn the_detector_of_a_model_file_finds_what_that_of_darknets_files_finds() {
    let folder = tempfile::tempdir().unwrap();
    let cfg = net(32, 32, SMALL);
    let weights = RandomWeights::default().bytes(&network(&cfg));
    let given = files(folder.path(), cfg.as_bytes(), &weights, Some(NAMES));
    let options = DetectorOptions {
        threshold: 0.1,
        ..DetectorOptions::default()
    };
    let mut expected = Detector::open(&given, options.clone()).unwrap();
    let model = through_a_file(folder.path(), &Model::open_darknet(&given).unwrap());
    let mut detector = Detector::from_model(model, options).unwrap();
    assert_eq!(detector.names(), expected.names());
    let picture = noise(50, 40, 3);
    let found = detector.detect(&picture).unwrap();
    assert!(!found.is_empty());
    assert_eq!(found, expected.detect(&picture).unwrap());
}

/// A picture in one colour is the same in the network, whatever its proportions were.
#[test]
fn a_stretched_picture_has_stretched_boxes() {
    let detect = |fit, [height, width]: [usize; 2]| {
        let bytes = vec![200; 3 * height * width];
        let picture = Picture::from_rgb(width, height, 3 * width, &bytes).unwrap();
        let options = DetectorOptions {
            threshold: 0.1,
            fit,
            ..DetectorOptions::default()
        };
        let found = Detector::from_model(small(), options)
            .unwrap()
            .detect(&picture);
        found.unwrap()
    };
    let square = detect(Fit::Letterbox, [32, 32]);
    assert!(!square.is_empty());
    assert_eq!(detect(Fit::Stretch, [32, 32]), square);
    let wide = detect(Fit::Stretch, [32, 64]);
    let mut expected = square;
    for detection in &mut expected {
        detection.bbox.x1 *= 2.0;
        detection.bbox.x2 *= 2.0;
    }
    assert_eq!(wide, expected);
    assert_ne!(detect(Fit::Letterbox, [32, 64]), expected);
}

#[test]
fn a_cfg_with_other_comments_than_utf8_has_no_model_file() {
    let folder = tempfile::tempdir().unwrap();
    let small = net(32, 32, SMALL);
    let cfg = [small.as_bytes(), b"# r\xe9glages\n"].concat();
    let weights = RandomWeights::default().bytes(&network(&small));
    let model = Model::open_darknet(&files(folder.path(), &cfg, &weights, None)).unwrap();
    let [written, _] = darknet_bytes(folder.path(), &model);
    assert_eq!(written, cfg);
    let error = model.into_file().unwrap_err();
    let line = small.lines().count() + 1;
    assert!(
        matches!(error, Error::Encoding { line: at, encoding: Encoding::Latin } if at == line),
        "{error}"
    );
}

/// Returns the name of an error's variant, which is in the file.
fn fault(result: Result<Model, Error>) -> String {
    let Err(Error::File { path, error }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(path, Path::new("m.safetensors"));
    assert!(!error.to_string().contains(char::is_control), "{error}");
    format!("{error:?}")
        .split([' ', '{', '('])
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn a_file_that_describes_no_detector_is_an_error() {
    type Change = fn(&mut ModelFile);
    let file = small().into_file().unwrap();
    let cases: [(&str, Change); 26] = [
        ("NoDescription", |file| file.metadata = None),
        ("OtherArchitecture", |file| {
            of(file).architecture = "resnet18".into();
        }),
        ("OtherArchitecture", |file| of(file).architecture.clear()),
        ("Description", |file| of(file).config = json!(null)),
        ("Description", |file| of(file).config["cfg"] = json!(7)),
        ("Description", |file| of(file).config["wombat"] = json!(7)),
        ("Description", |file| {
            of(file)
                .config
                .as_object_mut()
                .unwrap()
                .remove("iou_threshold");
        }),
        ("Description", |file| {
            of(file).config["weights"]["seen"] = json!(-1);
        }),
        ("Description", |file| {
            of(file).config["weights"]["major"] = json!(1u64 << 40);
        }),
        ("Description", |file| {
            of(file).config["score_threshold"] = json!(null);
        }),
        ("Description", |file| of(file).preprocessing = json!(null)),
        ("Description", |file| {
            of(file).preprocessing["fit"] = json!("squeeze");
        }),
        ("Description", |file| {
            of(file).preprocessing["mean"] = json!([0, 0, 0]);
        }),
        ("Option", |file| {
            of(file).config["score_threshold"] = json!(1.5);
        }),
        ("Option", |file| {
            of(file).config["iou_threshold"] = json!(-0.1);
        }),
        // Infinite as an f32.
        ("Option", |file| {
            of(file).config["iou_threshold"] = json!(1e300);
        }),
        ("Cfg", |file| of(file).config["cfg"] = json!("")),
        ("Cfg", |file| {
            of(file).config["cfg"] = json!("[net]\nwidth=0");
        }),
        ("FileTooLarge", |file| {
            of(file).config["cfg"] = json!("#".repeat(1 << 20));
        }),
        ("NoHead", |file| {
            of(file).config["cfg"] = json!(net(32, 32, "[conv]"));
            file.params = RandomWeights::default()
                .make(&network(&net(32, 32, "[conv]")))
                .params;
        }),
        ("InputSize", |file| of(file).input_size = Some([32, 64])),
        ("NamesCount", |file| of(file).classes.truncate(2)),
        ("EmptyName", |file| of(file).classes[1].clear()),
        ("NameLine", |file| of(file).classes[1].push('\n')),
        ("NameLine", |file| of(file).classes[0].insert(0, '\u{feff}')),
        ("NameLine", |file| of(file).classes[2] = "a\nb".into()),
    ];
    for (index, (expected, change)) in cases.into_iter().enumerate() {
        let mut changed = file.clone();
        change(&mut changed);
        let result = Model::from_file(changed, "m.safetensors".as_ref());
        assert_eq!(fault(result), expected, "case {index}");
    }
    // As it is, and without names and without the size.
    let mut good = file;
    of(&mut good).classes.clear();
    of(&mut good).input_size = None;
    assert!(Model::from_file(good, "m.safetensors".as_ref()).is_ok());
}

fn of(file: &mut ModelFile) -> &mut nn_layers::Metadata {
    file.metadata.as_mut().unwrap()
}

#[test]
fn parameters_that_do_not_fit_are_an_error_when_read_and_when_written() {
    type Change = fn(&mut nn_layers::Params<f32>);
    let cases: [Change; 3] = [
        |params| {
            params.remove("1.conv.bias");
        },
        |params| {
            params.insert(
                "1.conv.bias",
                Slot::Weight,
                ndarray::ArrayD::zeros(vec![15]),
            );
        },
        |params| {
            params.insert(
                "99.conv.bias",
                Slot::Weight,
                ndarray::ArrayD::zeros(vec![2]),
            );
        },
    ];
    for change in cases {
        let mut model = small();
        let mut file = model.clone().into_file().unwrap();
        change(&mut file.params);
        let result = Model::from_file(file, "m.safetensors".as_ref());
        let Err(Error::File { error, .. }) = result else {
            panic!("{result:?}")
        };
        assert!(
            matches!(&*error, Error::Layers(error) if is_misfit(error)),
            "{error:?}"
        );
        change(&mut model.weights.params);
        let error = model.into_file().unwrap_err();
        assert!(
            matches!(&error, Error::Layers(error) if is_misfit(error)),
            "{error:?}"
        );
    }
}

fn is_misfit(error: &nn_layers::Error) -> bool {
    matches!(error, nn_layers::Error::Params(ParamsError::Load(_)))
}

#[test]
fn a_damaged_file_is_an_error() {
    let bytes = small().into_file().unwrap().to_bytes().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let huge = [&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat();
    for (name, damaged) in [
        ("Length", bytes[..bytes.len() - 1].to_vec()),
        ("Length", [&bytes[..], &[0]].concat()),
        ("Length", bytes[..20].to_vec()),
        ("Header", [&8_u64.to_le_bytes()[..], b"{\"cfg\": "].concat()),
        ("HeaderTooLarge", huge),
        ("HeaderTooLarge", b"[net]\nwidth=8\n".to_vec()),
        ("NotSafetensors", b"<!DOCTYPE html><html></html>".to_vec()),
        ("Digest", flipped),
    ] {
        std::fs::write(&path, damaged).unwrap();
        let error = Model::open(&path).unwrap_err();
        let Error::Layers(error) = error else {
            panic!("{error:?}")
        };
        let nn_layers::Error::InFile { error, .. } = *error else {
            panic!("{error:?}")
        };
        let nn_layers::Error::File(error) = *error else {
            panic!("{error:?}")
        };
        assert!(format!("{error:?}").starts_with(name), "{name}: {error:?}");
    }
}

#[test]
fn a_model_of_parts_that_do_not_fit_is_an_error() {
    let cfg = || Cfg::parse(&net(32, 32, SMALL)).unwrap();
    let params = small().weights.params;
    let names = |text| ClassNames::parse(text).unwrap();
    let error = Model::new(cfg(), params.clone(), names("cat\n")).unwrap_err();
    assert!(matches!(
        error,
        Error::NamesCount {
            names: 1,
            classes: 3,
            ..
        }
    ));
    assert!(Model::new(cfg(), params.clone(), names("")).is_ok());

    let mut short = params.clone();
    short.remove("0.conv.weight");
    let error = Model::new(cfg(), short, names(NAMES)).unwrap_err();
    assert!(matches!(error, Error::MissingParameter { parameter } if parameter == "0.conv.weight"));
    let mut other = params.clone();
    other.insert(
        "0.conv.weight",
        Slot::Weight,
        ndarray::ArrayD::zeros(vec![1]),
    );
    let error = Model::new(cfg(), other, names(NAMES)).unwrap_err();
    assert!(matches!(error, Error::ParameterShape { .. }));

    // Parameters of training are not darknet's.
    let mut more = params.clone();
    more.insert(
        "0.bn.num_batches_tracked",
        Slot::Counter,
        ndarray::ArrayD::zeros(vec![]),
    );
    assert_eq!(Model::new(cfg(), more, names(NAMES)).unwrap(), small());

    let classifier = Cfg::parse(&net(8, 8, "[conv]\n[avgpool]\n")).unwrap();
    let params = RandomWeights::default()
        .make(&network(&net(8, 8, "[conv]\n[avgpool]\n")))
        .params;
    let error = Model::new(classifier, params, names("")).unwrap_err();
    assert!(matches!(error, Error::NoHead));
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_the_file() {
    let error = small().save_darknet("/no/such/folder", "m").unwrap_err();
    let Error::File { path, error } = error else {
        panic!("{error:?}")
    };
    assert_eq!(path, Path::new("/no/such/folder/m.cfg"));
    assert!(matches!(*error, Error::Write(_)), "{error:?}");
}
