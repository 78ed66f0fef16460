//! The transfer as a whole, on small networks with random parameters.

use std::cell::RefCell;

use nn_layers::{Conv2d, GraphBuilder, PlainTrainer, random_params};
use testkit::{GradientCheck, random_array};

use super::*;

fn network() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, 16, 20]).unwrap();
    let x = b.conv2d("conv1", x, Conv2d::new(6, [3, 3])).unwrap();
    // Without a kink, so that difference quotients exist.
    let x = b.sigmoid("sigmoid1", x).unwrap();
    let x = b
        .conv2d("conv2", x, Conv2d::new(5, [3, 3]).stride([2, 2]))
        .unwrap();
    let pool = b.global_avg_pool2d("pool", x).unwrap();
    let flat = b.flatten("flat", pool).unwrap();
    b.finish(&[flat]).unwrap()
}

fn picture(size: [usize; 2], value: impl Fn(usize) -> u8) -> Picture {
    let [height, width] = size;
    let rgb: Vec<u8> = (0..3 * height * width).map(value).collect();
    Picture::from_rgb(width, height, 3 * width, &rgb).unwrap()
}

fn transfer(layers: &StyleLayers, options: &StyleOptions) -> Result<StyleTransfer> {
    let graph = network();
    let params = random_params(&graph, 1).unwrap();
    let preprocessing = Preprocessing::imagenet();
    let backbone = Backbone {
        graph: &graph,
        params: &params,
        preprocessing: &preprocessing,
    };
    let content = picture([16, 20], |i| (i % 60 * 4) as u8);
    let style = picture([12, 30], |i| if i / 7 % 2 == 0 { 240 } else { 10 });
    let pictures = StylePictures {
        content: &content,
        style: &style,
    };
    StyleTransfer::new(backbone, pictures, layers, options, &Options::default())
}

fn layers() -> StyleLayers {
    StyleLayers::new(["conv2"], ["sigmoid1", "conv2"])
}

#[test]
fn the_picture_starts_as_the_content_picture_and_takes_the_style() {
    let options = StyleOptions {
        steps: 60,
        style_weight: 100.0,
        smoothness: 0.0,
        ..StyleOptions::default()
    };
    let mut transfer = transfer(&layers(), &options).unwrap();
    let first = transfer.losses().unwrap();
    // The compiled plan and the training session sum in different orders.
    assert!(first.content < 1e-10, "{first:?}");
    assert!(transfer.distance() > 0.01, "{}", transfer.distance());
    let mut seen = Vec::new();
    transfer.run(|step, _| seen.push(step)).unwrap();
    assert_eq!(seen, (1..=60).collect::<Vec<_>>());
    let last = transfer.losses().unwrap();
    assert!(last.style < 0.1 * first.style, "{first:?} {last:?}");
    assert!(last.total < first.total);
    assert_eq!(transfer.picture().unwrap().size(), [16, 20]);
}

#[test]
fn a_larger_picture_is_made_smaller() {
    let options = StyleOptions {
        size: 15,
        ..StyleOptions::default()
    };
    let transfer = transfer(&layers(), &options).unwrap();
    assert_eq!(transfer.picture().unwrap().size(), [12, 15]);
}

#[test]
fn the_gradient_of_the_input_agrees_with_differences_in_f64() {
    let graph = network();
    let (graph, nodes) = Nodes::select(&graph, &layers()).unwrap();
    let target = random_array(&[1, 5, 6, 8], 2);
    let style = [
        random_array(&[1, 6, 5, 8], 3),
        random_array(&[1, 5, 4, 6], 4),
    ];
    let loss = StyleLoss {
        nodes,
        content: vec![target],
        style: style.iter().map(|tensor| gram(&tensor.view())).collect(),
        content_weight: 1.0,
        style_weight: 3.0,
    };
    let spec = TrainSpec {
        frozen: vec!["conv1".to_owned(), "conv2".to_owned()],
        grad_input: true,
        ..TrainSpec::default()
    };
    let params = random_params(&graph, 1).unwrap().cast::<f64>();
    let mut trainer = PlainTrainer::new(&graph, params, spec).unwrap();
    let image = random_array(&[1, 3, 16, 20], 5);
    let key = StepKey::default();
    let terms = trainer.step(&[image.view()], &loss, key).unwrap();
    let gradients = trainer.gradients();
    let gradient = &gradients.get("input").unwrap().value;
    let check = GradientCheck {
        step: 1e-5,
        terms: 2000,
        magnitude: terms.total,
        seed: 0,
    };
    let trainer = RefCell::new(trainer);
    let value = |x: ndarray::ArrayViewD<'_, f64>| {
        let terms = trainer.borrow_mut().step(&[x], &loss, key);
        terms.unwrap().total
    };
    check.assert(value, image.view(), gradient.view());
}

#[test]
fn layers_and_options_out_of_range_are_errors_that_name_them() {
    let usual = StyleOptions::default();
    let refused =
        |layers: &StyleLayers, options: &StyleOptions| transfer(layers, options).unwrap_err();
    match refused(&StyleLayers::new(["conv3"], ["conv1"]), &usual) {
        Error::UnknownNode { name, near } => {
            assert_eq!(name, "conv3");
            assert_eq!(near, ["conv1", "conv2"]);
        }
        other => panic!("{other}"),
    }
    match refused(&StyleLayers::new(["conv2"], ["flat"]), &usual) {
        Error::NotFeatures { name, got } => assert_eq!((name.as_str(), got), ("flat", vec![1, 5])),
        other => panic!("{other}"),
    }
    let nothing: [&str; 0] = [];
    let bad = |change: fn(&mut StyleOptions)| {
        let mut options = StyleOptions::default();
        change(&mut options);
        options
    };
    for (layers, options, expected) in [
        (
            StyleLayers::new(nothing, ["conv1"]),
            usual.clone(),
            "number of content nodes",
        ),
        (
            StyleLayers::new(["conv1"], nothing),
            usual,
            "number of style nodes",
        ),
        (layers(), bad(|options| options.size = 0), "size"),
        (
            layers(),
            bad(|options| options.content_weight = f64::INFINITY),
            "content weight",
        ),
        (
            layers(),
            bad(|options| options.style_weight = 0.0),
            "style weight",
        ),
        (
            layers(),
            bad(|options| options.style_weight = f64::NAN),
            "style weight",
        ),
        (
            layers(),
            bad(|options| options.smoothness = -1.0),
            "smoothness",
        ),
        (layers(), bad(|options| options.rate = 0.0), "rate"),
    ] {
        match refused(&layers, &options) {
            Error::StyleOption { option, .. } => assert_eq!(option, expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_leaves_the_picture_unchanged() {
    let mut transfer = transfer(&layers(), &StyleOptions::default()).unwrap();
    let before = transfer.picture().unwrap();
    for tensor in &mut transfer.loss.content {
        tensor.fill(f32::NAN);
    }
    assert!(matches!(transfer.step(), Err(Error::Loss { .. })));
    assert_eq!(transfer.picture().unwrap(), before);
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let result = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let options = StyleOptions {
                steps: 3,
                ..StyleOptions::default()
            };
            let mut transfer = transfer(&layers(), &options).unwrap();
            transfer.run(|_, _| ()).unwrap();
            transfer.pixels.values
        })
    };
    assert_eq!(result(1), result(3));
}
