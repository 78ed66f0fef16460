//! Known models by name, from a cache folder with files that have the right lengths and other values.

use std::path::Path;

use image_classify::Architecture;
use model_zoo::{KnownModel, find};
use nn_layers::{ModelFile, Params, Slot};
use serde_json::Value;

use crate::common::{
    Fixture, assert_one_line, complaint, json_lines, save_resnet20, stderr, stdout, weights,
};

/// The class that the false MobileNetV2 recognises in everything.
const ESPRESSO: usize = 967;

/// The layers of YOLOv3-tiny, so that its weights have their true length, for small pictures.
fn tiny_cfg() -> String {
    let conv = |filters: usize, size: usize| {
        format!(
            "[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\npad=1\n\
             activation=leaky\n"
        )
    };
    let pool = |stride: usize| format!("[maxpool]\nsize=2\nstride={stride}\n");
    let head = |mask: &str| {
        format!(
            "[convolutional]\nfilters=255\nactivation=linear\n[yolo]\nmask={mask}\nclasses=80\nnum=6\n\
             anchors=10,14, 23,27, 37,58, 81,82, 135,169, 344,319\n"
        )
    };
    let mut text = "[net]\nwidth=64\nheight=64\nchannels=3\n".to_owned();
    for filters in [16, 32, 64, 128, 256] {
        text += &conv(filters, 3);
        text += &pool(2);
    }
    text += &conv(512, 3);
    text += &pool(1);
    text += &[conv(1024, 3), conv(256, 1), conv(512, 3), head("3,4,5")].concat();
    text += "[route]\nlayers=-4\n";
    text += &conv(128, 1);
    text += "[upsample]\nstride=2\n[route]\nlayers=-1,8\n";
    text += &[conv(256, 3), head("0,1,2")].concat();
    text
}

/// The length of a file of a known model, in bytes.
fn length(model: &KnownModel, path: &str) -> usize {
    let file = model.download.files.iter().find(|file| file.path == path);
    usize::try_from(file.unwrap().check.bytes()).unwrap()
}

/// Random parameters of MobileNetV2 with which everything is an espresso.
fn mobilenet() -> Params<f32> {
    let network = Architecture::named("mobilenet_v2").unwrap();
    let mut params = network.init(1).unwrap();
    let bias = params.get_mut("classifier.1.bias").unwrap();
    bias.value[[ESPRESSO]] = 30.0;
    params
}

/// A `.safetensors` file with these parameters and a header so long that the file has `length` bytes.
fn padded(params: &Params<f32>, length: usize) -> Vec<u8> {
    let params: Params<f32> = {
        let mut kept = Params::new();
        for (name, param) in params
            .iter()
            .filter(|(_, param)| param.slot != Slot::Counter)
        {
            kept.insert(name, param.slot, param.value.clone());
        }
        kept
    };
    let bytes: Vec<(&str, Vec<u8>)> = params
        .iter()
        .map(|(name, param)| {
            (
                name,
                param.value.iter().flat_map(|x| x.to_le_bytes()).collect(),
            )
        })
        .collect();
    let views = params
        .iter()
        .zip(&bytes)
        .map(|((name, param), (_, bytes))| {
            let shape = param.value.shape().to_vec();
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes);
            (name, view.unwrap())
        });
    let mut file = safetensors::serialize(views, None).unwrap();
    let header = u64::from_le_bytes(*file.first_chunk().unwrap());
    let missing = length.checked_sub(file.len()).unwrap();
    file[..8].copy_from_slice(&(header + missing as u64).to_le_bytes());
    let end = 8 + usize::try_from(header).unwrap();
    file.splice(end..end, std::iter::repeat_n(b' ', missing));
    file
}

impl Fixture {
    /// Puts the false MobileNetV2 into the cache.
    fn with_mobilenet(&self) {
        let path = "models/mobilenet_v2/mobilenet_v2-b0353104.pth";
        let length = length(find("mobilenet_v2").unwrap(), path);
        self.write(Path::new("cache").join(path), padded(&mobilenet(), length));
    }

    /// Puts a false YOLOv3-tiny into the cache. Its classes are `00` to `79`.
    fn with_yolov3_tiny(&self) {
        let model = find("yolov3-tiny").unwrap();
        let write = |path: &str, mut content: Vec<u8>, fill: u8| {
            let length = length(model, path);
            assert!(content.len() <= length, "{path}: {}", content.len());
            content.resize(length, fill);
            self.write(Path::new("cache").join(path), content);
        };
        let cfg = tiny_cfg();
        let weights = weights(&cfg);
        let names: String = (0..80).map(|class| format!("{class:02}\n")).collect();
        assert_eq!(
            weights.len(),
            length(model, "models/yolov3-tiny/yolov3-tiny.weights")
        );
        write("models/yolov3-tiny/yolov3-tiny.weights", weights, 0);
        write(
            "models/yolov3-tiny/yolov3-tiny.cfg",
            (cfg + "#").into_bytes(),
            b'-',
        );
        write("models/yolov3-tiny/coco.names", names.into_bytes(), b'\n');
    }

    /// The JSON lines of a command, which must succeed, and its standard error.
    fn json(&self, arguments: &[&str]) -> (Vec<Value>, String) {
        let output = self.command_with(arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (json_lines(&output), stderr(&output).to_owned())
    }
}

#[test]
fn a_model_that_is_not_fetched_names_the_command_and_the_place() {
    let fixture = Fixture::new();
    for arguments in [
        &["classify", "--model", "mobilenet_v2", "photos/a.png"][..],
        &["classify", "--quiet", "photos/a.png"],
        &["eval", "--model", "mobilenet_v2", "--data", "photos"],
        &["export", "mobilenet_v2", "--output", "m.safetensors"],
        &["kernels", "mobilenet_v2", "--output", "k.png"],
        &["summary", "mobilenet_v2", "--weights", "mobilenet_v2"],
        &["detect", "--model", "yolov3-tiny", "photos/a.png"],
        &["detect", "--quiet", "photos/a.png"],
        &["summary", "yolov3-tiny"],
    ] {
        let name = match arguments.contains(&"detect") || arguments.contains(&"yolov3-tiny") {
            true => "yolov3-tiny",
            false => "mobilenet_v2",
        };
        let message = complaint(&fixture, arguments);
        let command =
            format!("{name} is not in the cache; `convoxide fetch {name}` downloads it (");
        assert!(
            message.starts_with(&format!("convoxide: {command}")),
            "{message}"
        );
        assert!(
            message.contains("to place the files by hand, take "),
            "{message}"
        );
        let folder = Path::new("cache/models").join(name);
        assert!(message.contains(folder.to_str().unwrap()), "{message}");
    }
    fixture.write(
        "cache/models/mobilenet_v2/mobilenet_v2-b0353104.pth",
        "short",
    );
    let message = complaint(
        &fixture,
        &["classify", "--model", "mobilenet_v2", "photos/a.png"],
    );
    assert!(
        message.contains("mobilenet_v2 is damaged in the cache"),
        "{message}"
    );
}

#[test]
fn an_architecture_that_is_not_fetched_can_still_be_measured() {
    let fixture = Fixture::new();
    let output = fixture
        .command_with(&["bench", "mobilenet_v2", "--runs", "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        stderr(&output),
        "convoxide: no --weights given: the weights are random numbers (`convoxide fetch \
         mobilenet_v2` downloads trained ones)\n"
    );
    // Other classes than the known ones: an architecture without weights.
    let arguments = [
        "classify",
        "--model",
        "mobilenet_v2",
        "--classes",
        "3",
        "photos/a.png",
    ];
    assert!(complaint(&fixture, &arguments).contains("give --weights"));
}

#[test]
fn a_known_classifier_has_its_weights_classes_and_preprocessing() {
    let fixture = Fixture::new();
    fixture.with_mobilenet();
    let classify = |arguments: &[&str]| {
        let arguments = [&["classify", "photos/a.png"], arguments].concat();
        let (mut lines, messages) = fixture.json(&arguments);
        let mut line = lines.remove(0);
        line.as_object_mut().unwrap().remove("ms");
        (line, messages)
    };
    let (named, messages) = classify(&["--model", "mobilenet_v2"]);
    assert_eq!(messages, "");
    assert_eq!(named["top"][0]["class"], "espresso");
    assert_eq!(named["top"][0]["class_id"], ESPRESSO);

    // Without a model it is the default, which is said.
    let (alone, messages) = classify(&[]);
    assert_eq!(alone, named);
    assert_eq!(
        messages,
        "convoxide: no --model given: mobilenet_v2 is used\n"
    );
    let (_, messages) = classify(&["--quiet"]);
    assert_eq!(messages, "");

    // The same weights from a file, which has no names.
    let params = mobilenet();
    let file = ModelFile {
        metadata: None,
        params,
    };
    file.save(fixture.path("w.safetensors")).unwrap();
    let (file, _) = classify(&["--model", "mobilenet_v2", "--weights", "w.safetensors"]);
    assert_eq!(file["top"][0]["score"], named["top"][0]["score"]);
    assert!(file["top"][0]["class"].is_null());
    // By name as the weights of the architecture.
    let (weights, _) = classify(&["--model", "mobilenet_v2", "--weights", "mobilenet_v2"]);
    assert_eq!(weights, named);

    // Exported, it keeps them.
    let export = ["export", "mobilenet_v2", "--output", "m.safetensors"];
    assert!(fixture.command_with(&export).status().unwrap().success());
    let (exported, _) = classify(&["--model", "m.safetensors"]);
    assert_eq!(exported, named);
    let metadata = ModelFile::open(fixture.path("m.safetensors"))
        .unwrap()
        .metadata
        .unwrap();
    assert_eq!(metadata.classes[ESPRESSO], "espresso");
    assert_eq!(
        metadata.preprocessing["resize"]["size"]["shorter_side"],
        256
    );

    for (arguments, said) in [
        (
            &["detect", "--model", "mobilenet_v2", "photos/a.png"][..],
            "`convoxide classify`",
        ),
        (
            &["summary", "resnet18", "--weights", "mobilenet_v2"],
            "mobilenet_v2: its weights are not those of resnet18",
        ),
        (
            &[
                "summary",
                "yolov3_tiny_backbone",
                "--weights",
                "mobilenet_v2",
            ],
            "mobilenet_v2: its weights are not those of yolov3_tiny_backbone",
        ),
    ] {
        let message = complaint(&fixture, arguments);
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn eval_matches_the_classes_of_a_known_model_by_name() {
    let fixture = Fixture::new();
    fixture.with_mobilenet();
    // The folders are sorted by name, so their order is not that of the model.
    for name in model_zoo::imagenet::names() {
        fixture.write(format!("data/train/{name}/x.png"), "");
    }
    for name in ["espresso/a", "espresso/b", "espresso/c", "tabby/d"] {
        fixture.picture(format!("data/valid/{name}.png"), [30, 40]);
    }
    let eval = ["eval", "--model", "mobilenet_v2", "--data", "data"];
    let (mut lines, _) = fixture.json(&eval);
    let report = lines.remove(0);
    assert_eq!(report["classes_matched_by"], "name");
    assert_eq!(
        (&report["pictures"], &report["top1"]),
        (&4.into(), &0.75.into())
    );

    let data = |name: &str| fixture.path(format!("data/train/{name}"));
    std::fs::rename(data("espresso"), data("aaa espresso")).unwrap();
    std::fs::remove_dir_all(fixture.path("data/valid/espresso")).unwrap();
    let message = complaint(&fixture, &eval);
    assert!(message.contains("espresso"), "{message}");
}

#[test]
fn a_known_detector_has_its_cfg_weights_and_names() {
    let fixture = Fixture::new();
    fixture.with_yolov3_tiny();
    let detect = |arguments: &[&str]| {
        let arguments = [&["detect", "photos/a.png", "--threshold", "0"], arguments].concat();
        let (mut lines, messages) = fixture.json(&arguments);
        (lines.remove(0)["detections"].clone(), messages)
    };
    let (named, messages) = detect(&["--model", "yolov3-tiny"]);
    assert_eq!(messages, "");
    let first = &named[0];
    let class = first["class_id"].as_u64().unwrap();
    assert_eq!(first["class"], format!("{class:02}"));

    let (alone, messages) = detect(&[]);
    assert_eq!(alone, named);
    assert_eq!(
        messages,
        "convoxide: no --model given: yolov3-tiny is used\n"
    );

    let folder = "cache/models/yolov3-tiny/yolov3-tiny";
    let [cfg, weights] = ["cfg", "weights"].map(|suffix| format!("{folder}.{suffix}"));
    let (files, _) = detect(&["--model", &cfg, "--weights", &weights]);
    assert_eq!(files[0]["box"], first["box"]);
    assert!(files[0]["class"].is_null());
    let (mixed, _) = detect(&["--model", &cfg, "--weights", "yolov3-tiny"]);
    assert_eq!(mixed, files);

    let (some, _) = detect(&["--class", &format!("{class:02}")]);
    assert!(!some.as_array().unwrap().is_empty());
    assert!(
        some.as_array()
            .unwrap()
            .iter()
            .all(|one| one["class_id"] == class)
    );
    let message = complaint(&fixture, &["detect", "--model", "tiny.cfg", "photos/a.png"]);
    assert!(
        message.contains("tiny.cfg: a cfg has no weights: give --weights"),
        "{message}"
    );
    let arguments = "detect --model tiny.cfg --weights tiny.weights --class cat photos/a.png";
    let message = complaint(&fixture, &arguments.split(' ').collect::<Vec<_>>());
    assert!(message.contains("give --names"), "{message}");

    for (arguments, said) in [
        (
            &["classify", "--model", "yolov3-tiny", "photos/a.png"][..],
            "`convoxide detect`",
        ),
        (
            &["summary", "resnet18", "--weights", "yolov3-tiny"],
            "yolov3-tiny: its weights are not those of resnet18: it is a detector",
        ),
        // A backbone has no classifier yet.
        (
            &[
                "summary",
                "yolov3_tiny_backbone",
                "--weights",
                "yolov3-tiny",
            ],
            "fc.weight",
        ),
    ] {
        let message = complaint(&fixture, arguments);
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_word_is_a_name_and_a_path_is_a_file() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    let export = "export resnet20 --weights w.safetensors --output m.safetensors";
    let export: Vec<&str> = export.split(' ').collect();
    assert!(fixture.command_with(&export).status().unwrap().success());
    // A file in the current folder with the name of an architecture, and one with no known name.
    for copy in ["resnet20", "mine", "runs/a/best.safetensors"] {
        fixture.write(copy, std::fs::read(fixture.path("m.safetensors")).unwrap());
    }
    fixture.write("runs/a/last.safetensors", "");
    let classes = |model: &str| {
        let (mut lines, messages) = fixture.json(&["summary", model]);
        (lines.remove(0)["classes"].as_u64().unwrap(), messages)
    };
    for path in [
        "./resnet20",
        "mine",
        "./mine",
        "runs/a",
        "runs/a/",
        "m.safetensors",
    ] {
        assert_eq!(classes(path), (3, String::new()), "{path}");
    }
    let (count, messages) = classes("resnet20");
    assert_eq!(count, 10);
    assert!(
        messages.contains("write ./resnet20 for the file"),
        "{messages}"
    );
    // As weights, a run's folder is its best model, too.
    let (mut lines, _) = fixture.json(&["summary", "resnet20", "--weights", "runs/a"]);
    assert_eq!(lines.remove(0)["classes"], 3);

    for (arguments, expected) in [
        (
            ["summary", "nothing"],
            "nothing: no such file, and no architecture of this name",
        ),
        (["summary", "yolov3-tin"], "did you mean yolov3-tiny"),
    ] {
        assert_one_line(
            &fixture.command_with(&arguments).output().unwrap(),
            expected,
        );
    }
    let arguments = ["summary", "resnet32", "--weights", "nothing"];
    let expected = "nothing: no such file, and no known model of this name";
    assert_one_line(
        &fixture.command_with(&arguments).output().unwrap(),
        expected,
    );
}

#[test]
fn weights_that_were_not_used_whole_are_reported() {
    let fixture = Fixture::new();
    let mut params = Params::new();
    let network = Architecture::named("resnet20").unwrap().init(1).unwrap();
    for (name, param) in network.iter() {
        params.insert(format!("module.{name}"), param.slot, param.value.clone());
    }
    let file = ModelFile {
        metadata: None,
        params,
    };
    file.save(fixture.path("w.safetensors")).unwrap();
    let summary = ["summary", "resnet20", "--weights", "w.safetensors"];
    let output = fixture.command_with(&summary).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report = stderr(&output);
    assert!(
        report.contains("\nprefix        module. removed from "),
        "{report}"
    );
    assert!(report.contains("\nloaded        "), "{report}");
    let output = fixture
        .command_with(&summary)
        .arg("--quiet")
        .output()
        .unwrap();
    assert_eq!(stderr(&output), "");
    assert!(!stdout(&output).is_empty());
}
