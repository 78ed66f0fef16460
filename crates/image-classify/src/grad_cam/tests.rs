//! Grad-CAM by hand and against difference quotients.

use ndarray::{Array4, array};
use nn_layers::{Conv2d, GraphBuilder, Linear, Padding, Plain, Slot, random_params};
use testkit::random_array;

use super::*;

/// Convolutions with a residual connection, so that the tensor of `conv2` is bypassed.
fn residual() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, 6, 8]).unwrap();
    let same = Conv2d::new(4, [3, 3]).padding(Padding::all(1));
    let first = b.conv2d("conv1", x, same.clone()).unwrap();
    let x = b.sigmoid("sigmoid1", first).unwrap();
    let x = b.conv2d("conv2", x, same.clone()).unwrap();
    let x = b.sigmoid("sigmoid2", x).unwrap();
    let x = b.add("sum", x, first).unwrap();
    let x = b.sigmoid("sigmoid3", x).unwrap();
    let pool = b.global_avg_pool2d("pool", x).unwrap();
    let flat = b.flatten("flat", pool).unwrap();
    let logits = b.linear("fc", flat, Linear::new(3)).unwrap();
    let unused = b.conv2d("unused", x, same).unwrap();
    b.finish(&[logits, unused]).unwrap()
}

fn input() -> Array4<f32> {
    let random = random_array(&[1, 3, 6, 8], 7).mapv(|x| x as f32);
    random.into_dimensionality().unwrap()
}

fn explain(class: Option<usize>, node: Option<&str>) -> Result<GradCam> {
    let graph = residual();
    let params = random_params(&graph, 1).unwrap();
    let options = GradCamOptions {
        class,
        node: node.map(str::to_owned),
        ..GradCamOptions::default()
    };
    grad_cam(&graph, &params, input().view(), &options)
}

#[test]
fn the_weights_agree_with_differences_at_every_node() {
    let graph = residual();
    let params = random_params(&graph, 1).unwrap();
    let wide = params.cast::<f64>();
    let image = input().mapv(f64::from).into_dyn();
    for name in ["conv1", "conv2", "sigmoid2", "sum", "sigmoid3"] {
        let class = 1;
        let cam = explain(Some(class), Some(name)).unwrap();
        assert_eq!((cam.node.as_str(), cam.class), (name, class));
        // The layers after the node in f64, with the tensor that the layers before it compute.
        let id = graph.find(name).unwrap();
        let lower = graph.with_outputs(&[id]).unwrap();
        let tensor = Plain::new(&lower, wide.read_by(&lower)).unwrap();
        let tensor = tensor.run(&[image.view()]).unwrap().remove(0);
        let upper = graph.with_inputs(&[id]).unwrap();
        let plain = Plain::new(&upper, wide.read_by(&upper)).unwrap();
        let logit = |tensor: &ArrayD<f64>| {
            let inputs: Vec<_> = input_names(&upper)
                .map(|input| {
                    if input == name {
                        tensor.view()
                    } else {
                        image.view()
                    }
                })
                .collect();
            plain.run(&inputs).unwrap()[0][[0, class]]
        };
        let pixels = 48.0;
        let mut map = Array2::<f64>::zeros((6, 8));
        for channel in 0..4 {
            // All pixels of a channel together: the sum of their partial derivatives.
            let shifted = |by: f64| {
                let mut moved = tensor.clone();
                moved
                    .index_axis_mut(Axis(1), channel)
                    .mapv_inplace(|x| x + by);
                logit(&moved)
            };
            let step = 1e-4;
            let expected = (shifted(step) - shifted(-step)) / (2.0 * step) / pixels;
            let got = f64::from(cam.weights[channel]);
            // The network is smooth and its values are about 1: the error of the quotient is about the
            // square of the step, that of the gradient in f32 some hundred roundings.
            assert!(
                (got - expected).abs() < 1e-7 + 1e-5 * expected.abs(),
                "{name} {got} {expected}"
            );
            assert!(
                expected.abs() > 1e-5,
                "{name}: a weight of nearly 0 shows nothing"
            );
            let plane = tensor.index_axis(Axis(0), 0);
            map.scaled_add(
                expected,
                &plane
                    .index_axis(Axis(0), channel)
                    .into_dimensionality::<ndarray::Ix2>()
                    .unwrap(),
            );
        }
        map.mapv_inplace(|x| x.max(0.0));
        for (got, expected) in cam.map.iter().zip(&map) {
            assert!(
                (f64::from(*got) - expected).abs() < 1e-5,
                "{name}: {got} {expected}"
            );
        }
    }
}

#[test]
fn the_default_is_the_last_node_with_pixels_and_the_most_probable_class() {
    let cam = explain(None, None).unwrap();
    assert_eq!(cam.node, "sigmoid3");
    let largest = cam.logits.iter().copied().fold(f32::MIN, f32::max);
    assert_eq!(cam.logits[cam.class], largest);
    assert_eq!(cam.map.dim(), (6, 8));
}

#[test]
fn only_what_speaks_for_the_class_is_hot() {
    // The logits are the mean of the picture and its negative.
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 1, 2, 3]).unwrap();
    let pool = b.global_avg_pool2d("pool", x).unwrap();
    let flat = b.flatten("flat", pool).unwrap();
    let logits = b.linear("fc", flat, Linear::new(2)).unwrap();
    let graph = b.finish(&[logits]).unwrap();
    let mut params = Params::new();
    params.insert("fc.weight", Slot::Weight, array![[6.0], [-6.0]].into_dyn());
    params.insert("fc.bias", Slot::Weight, array![0.5, 0.0].into_dyn());
    let input = array![[[[1.0, -2.0, 3.0], [0.0, 5.0, -1.0]]]];
    let of = |class| {
        let options = GradCamOptions {
            class: Some(class),
            ..GradCamOptions::default()
        };
        grad_cam(&graph, &params, input.view(), &options).unwrap()
    };
    assert_eq!(of(0).logits, [6.5, -6.0]);
    assert_eq!(of(0).weights, [1.0]);
    assert_eq!(of(0).map, array![[1.0, 0.0, 3.0], [0.0, 5.0, 0.0]]);
    assert_eq!(of(1).map, array![[0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]);
}

#[test]
fn options_that_do_not_suit_the_network_are_errors_that_say_so() {
    match explain(None, Some("conv3")).unwrap_err() {
        Error::UnknownNode { name, near } => assert_eq!((name.as_str(), near.len()), ("conv3", 2)),
        other => panic!("{other}"),
    }
    assert!(matches!(
        explain(None, Some("flat")).unwrap_err(),
        Error::NoPixels { name, got } if name == "flat" && got == [1, 4]
    ));
    assert!(matches!(
        explain(None, Some("fc")).unwrap_err(),
        Error::NoPixels { name, .. } if name == "fc"
    ));
    assert!(matches!(
        explain(None, Some("unused")).unwrap_err(),
        Error::NodeUnused { name } if name == "unused"
    ));
    assert!(matches!(
        explain(Some(3), None).unwrap_err(),
        Error::ClassIndex { got: 3, classes: 3 }
    ));
}

#[test]
fn a_map_is_enlarged_around_the_centres_of_its_cells() {
    let map = array![[0.0, 4.0]];
    let whole = BBox::from_xyxy(0.0, 0.0, 4.0, 2.0);
    let expected = array![[0.0, 0.25, 0.75, 1.0], [0.0, 0.25, 0.75, 1.0]];
    assert_eq!(enlarged(&map, [2, 4], whole), expected);
    // The network sees the middle two columns.
    let middle = BBox::from_xyxy(1.0, 0.0, 3.0, 2.0);
    let expected = array![[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    assert_eq!(enlarged(&map, [2, 4], middle), expected);
    assert_eq!(
        enlarged(&(map * 0.0), [2, 4], whole),
        Array2::<f32>::zeros([2, 4])
    );
}
