//! The classifier against the plain loops, and what it refuses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;

use common::model;
use engine::{Options, Plan, SessionsOptions};
use image_classify::{
    Classifier, ClassifierOptions, Error, EvaluationOptions, ExpectedSize, Model, Probabilities,
    Views, evaluate,
};
use image_data::{
    ChannelOrder, CropPosition, Dataset, Filter, Picture, Preprocessing, Resize, ResizeTo,
};
use nn_layers::ndarray::Axis;
use nn_layers::{ModelFile, Plain};
use testkit::{assert_close, dot_bound};

const CLASSES: [&str; 4] = ["ant", "bee", "cat", "dog"];

/// A colourful picture of this size `[h, w]`.
fn picture([height, width]: [usize; 2]) -> Picture {
    let pixels: Vec<u8> = (0..3 * height * width)
        .map(|i| (i * i / 7 + i * 37) as u8)
        .collect();
    Picture::from_rgb(width, height, 3 * width, &pixels).unwrap()
}

fn classifier(model: Model) -> Classifier {
    Classifier::new(model, &ClassifierOptions::default()).unwrap()
}

/// The softmax of the logits that the plain loops compute in f64, and a bound for f32.
fn by_plain_loops(model: &Model, picture: &Picture) -> (Vec<f64>, f64) {
    let graph = model.description.architecture.graph().unwrap();
    let plain = Plain::<f64>::new(&graph, model.params.cast()).unwrap();
    let input = model
        .description
        .fit()
        .preprocessing()
        .apply(picture)
        .unwrap();
    let input = input.mapv(f64::from).insert_axis(Axis(0)).into_dyn();
    let logits = plain.run(&[input.view()]).unwrap().remove(0);
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = logits.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    // Seven convolutions of at most 9 x 64 products each, one after the other; a probability moves by
    // less than the logits do.
    let magnitude = logits.iter().map(|x| x.abs()).fold(1.0, f64::max);
    let bound = dot_bound(7 * 9 * 64, magnitude);
    (powers.iter().map(|power| power / sum).collect(), bound)
}

fn assert_agrees(got: &Probabilities, model: &Model, picture: &Picture) {
    let (expected, bound) = by_plain_loops(model, picture);
    let got: Vec<f64> = got.values.iter().map(|&x| f64::from(x)).collect();
    let view = |values: &[f64]| nn_layers::ndarray::Array1::from_vec(values.to_vec());
    assert_close(view(&got).view(), view(&expected).view(), |_| bound);
    // The classes are not all equally probable, which would hide mistakes.
    let [low, high] = [f64::min, f64::max].map(|pick| expected.iter().copied().reduce(pick));
    assert!(high.unwrap() - low.unwrap() > 0.01, "{expected:?}");
}

#[test]
fn the_probabilities_are_those_of_the_plain_loops_for_pictures_of_any_size() {
    let mut model = model(&CLASSES);
    // The training size is unknown, so the input has the picture's size, and each size its session.
    model.description.input_size = None;
    let mut classifier = classifier(model.clone());
    for size in [[32, 32], [20, 44], [20, 44], [44, 20], [32, 32]] {
        let picture = picture(size);
        let probabilities = classifier.classify(&picture).unwrap();
        assert_agrees(&probabilities, &model, &picture);
        let usual = (size != [32, 32]).then_some(ExpectedSize::Usual([32, 32]));
        assert_eq!(probabilities.unexpected_size, usual);
    }
}

#[test]
fn a_picture_of_another_size_than_in_training_is_resized_and_the_result_says_so() {
    let model = model(&CLASSES);
    let mut classifier = classifier(model.clone());
    for size in [[32, 32], [30, 60]] {
        let picture = picture(size);
        let probabilities = classifier.classify(&picture).unwrap();
        assert_agrees(&probabilities, &model, &picture);
        let trained = (size != [32, 32]).then_some(ExpectedSize::Trained([32, 32]));
        assert_eq!(probabilities.unexpected_size, trained);
    }
}

#[test]
fn the_preprocessing_of_the_file_decides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut model = model(&CLASSES);
    let mut answers = Vec::new();
    for std in [0.2, 0.4] {
        model.description.preprocessing = Preprocessing {
            std: vec![std; 3],
            ..Preprocessing::cifar()
        };
        model.clone().into_file().unwrap().save(&path).unwrap();
        let mut classifier = Classifier::open(&path, &ClassifierOptions::default()).unwrap();
        assert_eq!(classifier.description(), &model.description);
        let picture = picture([32, 32]);
        let probabilities = classifier.classify(&picture).unwrap();
        assert_agrees(&probabilities, &model, &picture);
        answers.push(probabilities);
    }
    assert_ne!(answers[0], answers[1]);
}

/// Photos of different sizes, all of one class.
struct Photos(Vec<String>);

impl Dataset for Photos {
    fn len(&self) -> usize {
        4
    }

    fn classes(&self) -> &[String] {
        &self.0
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn picture(&self, index: usize) -> image_data::Result<Picture> {
        Ok(picture([40 + 9 * index, 70 - 11 * index]))
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }
}

#[test]
fn a_picture_gets_the_bits_that_validation_gave_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let photos: Arc<dyn Dataset> = Arc::new(Photos(CLASSES.map(str::to_owned).to_vec()));
    let mut model = model(&CLASSES);
    let mut scores = Vec::new();
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        let preprocessing = Preprocessing {
            resize: Some(Resize {
                size: ResizeTo::ShorterSide(36),
                filter,
            }),
            crop: Some([32, 32]),
            ..Preprocessing::cifar()
        };
        // What a training does at the end of an epoch.
        let graph = model.description.architecture.graph().unwrap();
        let plan = Plan::compile(&graph, model.params.clone(), &Options::default()).unwrap();
        let options = EvaluationOptions {
            batch_size: 1,
            predictions: true,
            ..EvaluationOptions::default()
        };
        let mut sessions = plan.sessions(SessionsOptions::default());
        let validation =
            evaluate(&mut sessions, &photos, &preprocessing, &options, |_| ()).unwrap();

        model.description.preprocessing = preprocessing;
        model.clone().into_file().unwrap().save(&path).unwrap();
        let mut classifier = Classifier::open(&path, &ClassifierOptions::default()).unwrap();
        for prediction in &validation.predictions {
            let photo = photos.picture(prediction.index).unwrap();
            let probabilities = classifier.classify(&photo).unwrap();
            let best = &probabilities.top(1)[0];
            assert_eq!(best.class, prediction.predicted);
            assert!(
                (f64::from(best.probability) - prediction.score).abs() <= f64::from(f32::EPSILON)
            );
            scores.push(best.probability);
        }
    }
    let (bilinear, bicubic) = scores.split_at(photos.len());
    assert!(bilinear.iter().zip(bicubic).all(|(a, b)| a != b));
}

#[test]
fn a_clone_and_a_second_look_give_the_same_bits() {
    let mut classifier = classifier(model(&CLASSES));
    let picture = picture([32, 32]);
    let (first, _) = classifier.classify_timed(&picture).unwrap();
    assert_eq!(classifier.classify(&picture).unwrap(), first);
    assert_eq!(classifier.clone().classify(&picture).unwrap(), first);
}

#[test]
fn a_model_file_without_class_names_classifies_by_index() {
    let mut model = model(&CLASSES);
    let picture = picture([32, 32]);
    let named = classifier(model.clone()).classify(&picture).unwrap();
    model.description.classes.clear();
    let bytes = model.into_file().unwrap().to_bytes().unwrap();
    let file = ModelFile::from_bytes(&bytes).unwrap();
    let mut classifier = classifier(Model::from_file(file).unwrap());
    assert!(classifier.description().classes.is_empty());
    assert_eq!(classifier.classify(&picture).unwrap(), named);
    assert_eq!(named.top(9).len(), 4);
}

#[test]
fn an_output_that_is_not_finite_is_an_error_with_its_class() {
    let mut model = model(&CLASSES);
    let weight = model.params.get_mut("fc.weight").unwrap();
    let black = Picture::from_rgb(32, 32, 96, &[0; 3072]).unwrap();
    weight.value.fill(f32::MAX);
    let mut classifier = classifier(model);
    match classifier.classify(&black) {
        Err(Error::OutputNotFinite { class: 0, got }) => assert!(!got.is_finite()),
        other => panic!("{other:?}"),
    }
    let error = classifier.classify(&black).unwrap_err().to_string();
    assert!(error.contains("not finite (class 0: "), "{error}");
}

#[test]
fn a_preprocessing_with_other_channels_than_the_network_is_refused() {
    let mut model = model(&CLASSES);
    model.description.preprocessing = Preprocessing {
        channels: ChannelOrder::Grey,
        mean: vec![0.5],
        std: vec![0.5],
        ..Preprocessing::cifar()
    };
    match Classifier::new(model, &ClassifierOptions::default()) {
        Err(Error::Channels {
            expected: 3,
            got: ChannelOrder::Grey,
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_memory_limit_is_obeyed() {
    let options = ClassifierOptions {
        engine: engine::Options {
            memory_limit: 1000,
            ..engine::Options::default()
        },
        ..ClassifierOptions::default()
    };
    match Classifier::new(model(&CLASSES), &options) {
        Err(Error::Engine(error)) => {
            assert!(
                matches!(*error, engine::Error::MemoryLimit { limit: 1000, .. }),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_leaves_the_classifier_usable() {
    let mut model = model(&CLASSES);
    model.description.input_size = None;
    let options = ClassifierOptions {
        engine: engine::Options {
            memory_limit: 4 << 20,
            ..engine::Options::default()
        },
        ..ClassifierOptions::default()
    };
    let mut classifier = Classifier::new(model, &options).unwrap();
    let small = picture([32, 32]);
    let before = classifier.classify(&small).unwrap();
    // Its activations alone are over the limit.
    match classifier.classify(&picture([400, 600])) {
        Err(Error::Engine(error)) => {
            assert!(
                matches!(*error, engine::Error::MemoryLimit { .. }),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(classifier.classify(&small).unwrap(), before);
}

fn with_views(model: Model, views: Views) -> Result<Classifier, Error> {
    let options = ClassifierOptions {
        views,
        ..ClassifierOptions::default()
    };
    Classifier::new(model, &options)
}

/// The softmax of the plain loops' logits for an input `[c, h, w]`.
fn plain_softmax(model: &Model, input: &nn_layers::ndarray::Array3<f32>) -> Vec<f64> {
    let graph = model.description.architecture.graph().unwrap();
    let plain = Plain::<f64>::new(&graph, model.params.cast()).unwrap();
    let input = input.mapv(f64::from).insert_axis(Axis(0)).into_dyn();
    let logits = plain.run(&[input.view()]).unwrap().remove(0);
    let powers: Vec<f64> = logits.iter().map(|x| x.exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn assert_is_mean(got: &Probabilities, of: &[Vec<f64>], bound: f64) {
    for (class, &got) in got.values.iter().enumerate() {
        let expected = of.iter().map(|one| one[class]).sum::<f64>() / of.len() as f64;
        assert!(
            (f64::from(got) - expected).abs() < bound,
            "{got} {expected}"
        );
    }
}

fn mirrored(input: &nn_layers::ndarray::Array3<f32>) -> nn_layers::ndarray::Array3<f32> {
    let mut mirrored = input.clone();
    mirrored.invert_axis(Axis(2));
    mirrored
}

#[test]
fn with_a_flip_the_result_is_the_mean_over_the_picture_and_its_mirror_image() {
    let model = model(&CLASSES);
    // Dark on the left and bright on the right.
    let pixels = (0..32 * 32 * 3).map(|i| (8 * (i / 3 % 32)) as u8);
    let picture = Picture::from_rgb(32, 32, 96, &pixels.collect::<Vec<u8>>()).unwrap();
    let (one, bound) = by_plain_loops(&model, &picture);
    let input = Preprocessing::cifar().apply(&picture).unwrap();
    let other = plain_softmax(&model, &mirrored(&input));
    assert!(
        one.iter()
            .zip(&other)
            .any(|(a, b)| (a - b).abs() > 10.0 * bound),
        "{one:?} {other:?} {bound}"
    );
    let mut classifier = with_views(model, Views::Flip).unwrap();
    let got = classifier.classify(&picture).unwrap();
    assert_is_mean(&got, &[one, other], bound);
    assert_eq!(classifier.clone().classify(&picture).unwrap(), got);
}

/// The crops are cut by hand out of the whole resized input.
#[test]
fn with_five_crops_the_result_is_the_mean_over_ten_views() {
    let mut model = model(&CLASSES);
    let [h, w] = [24, 28];
    let whole = Preprocessing {
        resize: Preprocessing::imagenet_at(36, 24).resize,
        ..Preprocessing::cifar()
    };
    model.description.preprocessing = Preprocessing {
        crop: Some([h, w]),
        ..whole.clone()
    };
    let picture = picture([72, 100]);
    let resized = whole.apply(&picture).unwrap();
    let (_, height, width) = resized.dim();
    assert_eq!([height, width], [36, 50]);
    let [bottom, right] = [height - h, width - w];
    let mut views = Vec::new();
    for [top, left] in [
        [bottom / 2, right / 2],
        [0, 0],
        [0, right],
        [bottom, 0],
        [bottom, right],
    ] {
        let crop = resized.slice(nn_layers::ndarray::s![.., top..top + h, left..left + w]);
        let crop = crop.to_owned();
        views.push(plain_softmax(&model, &crop));
        views.push(plain_softmax(&model, &mirrored(&crop)));
    }
    let (_, bound) = by_plain_loops(&model, &picture);
    assert!(
        views[0]
            .iter()
            .zip(&views[2])
            .any(|(a, b)| (a - b).abs() > 100.0 * bound)
    );
    let mut classifier = with_views(model.clone(), Views::FlipAndFiveCrops).unwrap();
    assert_is_mean(&classifier.classify(&picture).unwrap(), &views, bound);
    assert_eq!(
        Views::FlipAndFiveCrops.count(),
        2 * CropPosition::FIVE.len()
    );

    // A picture smaller than the crop is padded: all five crops are the centre.
    model.description.preprocessing.resize = None;
    let small = self::picture([20, 20]);
    let mut flip = with_views(model.clone(), Views::Flip).unwrap();
    let mut crops = with_views(model, Views::FlipAndFiveCrops).unwrap();
    let [flip, crops] = [&mut flip, &mut crops].map(|classifier| classifier.classify(&small));
    for (a, b) in flip.unwrap().values.iter().zip(crops.unwrap().values) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn five_crops_of_a_preprocessing_without_a_crop_are_refused() {
    match with_views(model(&CLASSES), Views::FlipAndFiveCrops) {
        Err(Error::NoCrop) => {}
        other => panic!("{other:?}"),
    }
}
