//! Backbones: the same features as in the whole network, and files cut at a layer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use common::{SMALL, YOLOV2, YOLOV3_TINY, net};
use engine::{Options, Plan};
use ndarray::ArrayD;
use nn_layers::{Graph, Infer, Outputs, Params, Shape, random_params};
use yolo_detect::cfg::Cfg;
use yolo_detect::{Backbone, Error, Network, Weights, WeightsHeader};

/// Returns what the graph computes of this input, with the engine.
fn run(graph: &Graph, params: &Params<f32>, input: &ArrayD<f32>) -> Vec<u32> {
    let plan = Plan::compile(graph, params.clone(), &Options::default()).unwrap();
    let mut session = plan
        .session(&[Shape::from(input.shape().to_vec())])
        .unwrap();
    let mut outputs = Outputs::new();
    session.run(&[input.view()], &mut outputs).unwrap();
    outputs.tensors[0].iter().map(|x| x.to_bits()).collect()
}

/// Returns a file with these weights.
fn file(weights: &Weights, network: &Network) -> Vec<u8> {
    let mut bytes = Vec::new();
    weights.write(&mut bytes, network).unwrap();
    bytes
}

/// YOLOv3-tiny for pictures of 64 x 96 pixels.
fn tiny() -> Cfg {
    let text = YOLOV3_TINY.replace("width=416", "width=96");
    Cfg::parse(&text.replace("height=416", "height=64")).unwrap()
}

fn random_weights(network: &Network) -> Weights {
    Weights {
        header: WeightsHeader::default(),
        params: random_params(network.graph(), 7).unwrap(),
    }
}

#[test]
fn the_features_are_those_of_the_layer_in_the_whole_network_bit_for_bit() {
    let cfg = tiny();
    let whole = Network::new(&cfg).unwrap();
    let weights = random_weights(&whole);
    let bytes = file(&weights, &whole);
    let shape = vec![1, 3, 64, 96];
    let input = ArrayD::from_shape_fn(shape, |at| {
        ((at[1] * 7 + at[2] * 31 + at[3] * 13) % 101) as f32 / 101.0
    });
    for layers in [1, 2, 9, 12, 13, 16] {
        let backbone = Backbone::new(&cfg, layers).unwrap();
        let params = backbone.read(&*bytes, bytes.len() as u64).unwrap();
        let graph = backbone.network().graph();
        params.check(graph).unwrap();
        let layer = whole.layers()[layers - 1].node;
        let expected = whole.graph().with_outputs(&[layer]).unwrap();
        assert_eq!(
            run(graph, &params, &input),
            run(&expected, &weights.params, &input),
            "{layers}"
        );
    }
}

#[test]
fn a_file_may_be_cut_at_the_layer_or_at_any_later_one() {
    let cfg = tiny();
    let whole = Network::new(&cfg).unwrap();
    let weights = random_weights(&whole);
    let backbone = Backbone::new(&cfg, 9).unwrap();
    let expected = backbone.cut(&weights).unwrap().params;
    for layers in [9, 11, 13, 16] {
        let longer = Backbone::new(&cfg, layers).unwrap();
        let bytes = file(&longer.cut(&weights).unwrap(), longer.network());
        let params = backbone.read(&*bytes, bytes.len() as u64).unwrap();
        assert_eq!(params, expected, "{layers}");
    }
    let shorter = Backbone::new(&cfg, 7).unwrap();
    let bytes = file(&shorter.cut(&weights).unwrap(), shorter.network());
    let whole_bytes = file(&weights, &whole).len() as u64;
    match backbone.read(&*bytes, bytes.len() as u64) {
        Err(Error::BackboneLength {
            layers: 9,
            expected,
            whole,
            got,
        }) => {
            assert!(got < expected && expected < whole);
            assert_eq!((got, whole), (bytes.len() as u64, whole_bytes));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_ends_within_a_layer_or_behind_the_last_is_refused() {
    let cfg = Cfg::parse(&net(32, 32, SMALL)).unwrap();
    let whole = Network::new(&cfg).unwrap();
    let bytes = file(&random_weights(&whole), &whole);
    let backbone = Backbone::new(&cfg, 1).unwrap();
    for length in [bytes.len() - 4, bytes.len() + 4, 24, 20] {
        let mut bytes = bytes.clone();
        bytes.resize(length, 0);
        let read = backbone.read(&*bytes, length as u64);
        assert!(
            matches!(read, Err(Error::BackboneLength { layers: 1, .. })),
            "{read:?}"
        );
    }
    let short = backbone.read(&bytes[..15], 15);
    assert!(
        matches!(short, Err(Error::WeightsHeader { .. })),
        "{short:?}"
    );
    // The length is right, but not the file's own.
    let cut = backbone.read(&bytes[..40], bytes.len() as u64);
    assert!(matches!(cut, Err(Error::Read(_))), "{cut:?}");
}

#[test]
fn a_backbone_ends_before_the_first_head() {
    let cfg = tiny();
    for (layers, head) in [(17, 16), (20, 16), (24, 16)] {
        let error = Backbone::new(&cfg, layers).unwrap_err();
        assert!(
            matches!(error, Error::CutBehindHead { got, head: found } if got == layers && found == head),
            "{error}"
        );
    }
    for layers in [0, 25, usize::MAX] {
        let error = Backbone::new(&cfg, layers).unwrap_err();
        assert!(
            matches!(error, Error::Cut { got, layers: 24 } if got == layers),
            "{error}"
        );
    }
}

#[test]
fn the_first_23_layers_of_yolov2_are_the_convolutions_of_darknet19() {
    let cfg = Cfg::parse(YOLOV2).unwrap();
    let backbone = Backbone::new(&cfg, 23).unwrap();
    let convolutions = backbone.network().parameters().iter();
    let convolutions = convolutions.filter(|spec| spec.name().ends_with("conv.weight"));
    assert_eq!(convolutions.count(), 18);
    let last = backbone.network().layers().last().unwrap();
    assert_eq!(last.shape.get(1), Some(&1024));
}
