//! Parameters out of range: the error that names each one.

use super::*;

#[test]
fn parameters_out_of_range_are_named() {
    let ratio = |scale, ratio| {
        Transform::RandomResizedCrop(RandomResizedCrop {
            scale,
            ratio,
            filter: Filter::Bilinear,
        })
    };
    let good = [0.5, 1.0];
    let jitter = ColorJitter::default;
    let fixed = Preprocessing {
        crop: Some([8, 8]),
        ..plain()
    };
    for (step, what, field) in [
        (
            Transform::PadAndCrop(PadAndCrop { padding: 0 }),
            "pad and crop",
            "padding",
        ),
        (
            Transform::PadAndCrop(PadAndCrop {
                padding: usize::MAX,
            }),
            "pad and crop",
            "padding",
        ),
        (
            Transform::HorizontalFlip(HorizontalFlip { probability: 1.1 }),
            "flip",
            "probability",
        ),
        (
            Transform::HorizontalFlip(HorizontalFlip {
                probability: f64::NAN,
            }),
            "flip",
            "probability",
        ),
        (ratio([0.0, 1.0], good), "random resized crop", "scale"),
        (ratio([0.5, 1.1], good), "random resized crop", "scale"),
        (ratio([0.9, 0.5], good), "random resized crop", "scale"),
        (ratio(good, [0.0, 1.0]), "random resized crop", "ratio"),
        (
            ratio(good, [1.0, f64::INFINITY]),
            "random resized crop",
            "ratio",
        ),
        (ratio(good, [2.0, 1.0]), "random resized crop", "ratio"),
        (
            Transform::ColorJitter(ColorJitter {
                brightness: -0.1,
                ..jitter()
            }),
            "colour jitter",
            "brightness",
        ),
        (
            Transform::ColorJitter(ColorJitter {
                contrast: 11.0,
                ..jitter()
            }),
            "colour jitter",
            "contrast",
        ),
        (
            Transform::ColorJitter(ColorJitter {
                saturation: f64::NAN,
                ..jitter()
            }),
            "colour jitter",
            "saturation",
        ),
        (
            Transform::ColorJitter(ColorJitter {
                hue: 0.6,
                ..jitter()
            }),
            "colour jitter",
            "hue",
        ),
        (
            Transform::Cutout(Cutout {
                side: 0,
                probability: 1.0,
            }),
            "cutout",
            "side",
        ),
        (
            Transform::Cutout(Cutout {
                side: usize::MAX,
                probability: 1.0,
            }),
            "cutout",
            "side",
        ),
        (
            Transform::Cutout(Cutout {
                side: 4,
                probability: -1.0,
            }),
            "cutout",
            "probability",
        ),
    ] {
        let error = augmentation(step.clone()).check(&fixed).unwrap_err();
        let Error::Option {
            what: named,
            field: named_field,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!((*named, *named_field), (what, field), "{step:?}");
        assert_eq!(error.to_string().lines().count(), 1);
        let error = augmentation(step).apply(&numbered([8, 8]), &fixed, key(0));
        assert!(matches!(error, Err(Error::Option { .. })));
    }
    for alpha in [0.0, -1.0, f64::NAN, 1e9] {
        let augmentation = Augmentation {
            steps: Vec::new(),
            mosaic: None,
            mixup: Some(Mixup { alpha }),
        };
        assert!(matches!(
            augmentation.check(&fixed),
            Err(Error::Option {
                what: "mixup",
                field: "alpha",
                ..
            })
        ));
    }

    let crop = Augmentation::imagenet().steps.remove(0);
    let late = Augmentation {
        steps: vec![Transform::HorizontalFlip(HorizontalFlip::default()), crop],
        mosaic: None,
        mixup: None,
    };
    assert!(matches!(
        late.check(&fixed),
        Err(Error::Option {
            field: "position",
            ..
        })
    ));
    assert!(matches!(
        Augmentation::imagenet().check(&plain()),
        Err(Error::Option { field: "size", .. })
    ));
    let broken = Preprocessing {
        std: vec![0.0; 3],
        ..plain()
    };
    assert!(matches!(
        Augmentation::default().check(&broken),
        Err(Error::Preprocessing { field: "std", .. })
    ));
}
