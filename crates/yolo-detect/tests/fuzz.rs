//! Fuzz targets for darknet's files. Any bytes yield a value or a one-line error.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use common::{NAMES, RandomWeights, SMALL, YOLOV2_TINY, YOLOV3_TINY, net, small_network};
use testkit::Fuzz;
use yolo_detect::cfg::{Cfg, limits};
use yolo_detect::{ClassNames, Error, Model, Network, Weights, WeightsHeader};

/// Returns whether a result is a value. An error must be one line that a terminal can show.
fn accepted<T>(result: &Result<T, Error>) -> bool {
    if let Err(error) = result {
        let line = error.to_string();
        assert!(
            !line.is_empty() && !line.contains(char::is_control),
            "{line:?}"
        );
    }
    result.is_ok()
}

#[test]
fn fuzz_cfg() {
    let every_layer = net(
        16,
        16,
        "[conv]\nfilters=8\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=leaky\n\
         [conv]\nfilters=8\nsize=3\npad=1\ngroups=2\nactivation=linear\n\
         [shortcut]\nfrom=-2\nactivation=linear\n[dropout]\nprobability=.5\n\
         [reorg]\nstride=2\n[upsample]\nstride=2\n[route]\nlayers=-1,-3\n\
         [maxpool]\nsize=2\nstride=2\n[avgpool]\n[connected]\noutput=10\nactivation=linear\n\
         [softmax]\ngroups=1\n",
    );
    let corpus = [
        net(32, 32, SMALL),
        every_layer,
        YOLOV3_TINY.to_owned(),
        YOLOV2_TINY.to_owned(),
    ];
    Fuzz::new("cfg", corpus.map(String::into_bytes))
        .dictionary([
            "[convolutional]\n",
            "[maxpool]\n",
            "[avgpool]\n",
            "[route]\n",
            "[shortcut]\n",
            "[upsample]\n",
            "[reorg]\n",
            "[connected]\n",
            "[softmax]\n",
            "[dropout]\n",
            "[cost]\n",
            "[yolo]\n",
            "[region]\n",
            "[local]\n",
            "[net]\n",
        ])
        .dictionary([
            "groups=64\n",
            "layers=-1,-2\n",
            "layers=99999\n",
            "from=-3\n",
            "padding=3\n",
            "stride=2\n",
            "stride=0\n",
            "size=5\n",
            "size=65536\n",
            "filters=1048576\n",
            "num=2\n",
            "mask=0,1,2,99\n",
            "anchors=1,2,3\n",
            "classes=80\n",
            "width=1\n",
            "activation=mish\n",
            "#",
            ";",
            "=",
            "\r\n",
        ])
        .inputs(1500)
        .run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let network = Cfg::parse(&text).and_then(|cfg| Network::new(&cfg));
            for layer in network.iter().flat_map(Network::layers) {
                let elements = layer.shape.elements().unwrap_or(usize::MAX) as u64;
                assert!(elements <= limits::MAX_ACTIVATION, "{elements}");
            }
            accepted(&network)
        });
}

#[test]
fn fuzz_weights() {
    let network = small_network();
    let file = |minor| {
        let header = WeightsHeader {
            major: 0,
            minor,
            revision: 0,
            seen: 7,
        };
        let weights = RandomWeights {
            header,
            ..RandomWeights::default()
        };
        weights.bytes(&network)
    };
    Fuzz::new("weights", [file(1), file(2)])
        .dictionary([f32::NAN, f32::INFINITY, -1.0, f32::MIN_POSITIVE / 2.0].map(f32::to_le_bytes))
        .inputs(5000)
        .max_memory(8 << 20)
        .run(|bytes| {
            // The length that the system reports may be wrong.
            let length = bytes.len() as u64;
            accepted(&Weights::read(bytes, length.wrapping_add(4), &network));
            accepted(&Weights::read(bytes, u64::MAX, &network));
            accepted(&Weights::read(bytes, length, &network))
        });
}

#[test]
fn fuzz_names() {
    Fuzz::new("names", [NAMES.as_bytes().to_vec()])
        .dictionary(["\r\n", "\u{feff}", "\n\n", " ", "\u{85}", "\u{2028}"])
        .inputs(20_000)
        .max_memory(8 << 20)
        .run(|bytes| {
            let names = ClassNames::parse(&String::from_utf8_lossy(bytes));
            if let Ok(names) = &names {
                for name in names.iter() {
                    assert!(!name.is_empty());
                    assert!(!names.find(name).unwrap().is_empty());
                }
            }
            accepted(&names)
        });
}

/// The description of a detector in a model file. Its tensors have a digest.
#[test]
fn fuzz_model_description() {
    let cfg = Cfg::parse(&net(32, 32, SMALL)).unwrap();
    let params = RandomWeights::default().make(&small_network()).params;
    let names = ClassNames::parse(NAMES).unwrap();
    let file = Model::new(cfg, params, names).unwrap().into_file().unwrap();
    let description = serde_json::to_vec(&file.metadata).unwrap();
    Fuzz::new("model-description", [description])
        .dictionary([
            "\"cfg\"",
            "null",
            "[]",
            "{}",
            "-1",
            "1e99",
            "\"letterbox\"",
            "\"stretch\"",
            "\\n",
            "[yolo]",
            "filters=16",
            "classes=4",
            "width=64",
        ])
        .inputs(3000)
        .run(|bytes| {
            let Ok(metadata) = serde_json::from_slice(bytes) else {
                return false;
            };
            let file = nn_layers::ModelFile {
                metadata: Some(metadata),
                params: file.params.clone(),
            };
            let model = Model::from_file(file, "m.safetensors".as_ref());
            if let Ok(model) = &model {
                let again = model.clone().into_file().unwrap();
                let again = Model::from_file(again, "m.safetensors".as_ref()).unwrap();
                assert_eq!(&again, model);
            }
            accepted(&model)
        });
}
