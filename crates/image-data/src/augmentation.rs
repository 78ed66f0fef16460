//! Random changes to training pictures, as a value that is stored in a recipe.

mod color_jitter;
mod cutout;
mod horizontal_flip;
mod hsv_jitter;
mod mixup;
mod mosaic;
mod pad_and_crop;
mod random_placement;
mod random_resized_crop;

use std::borrow::Cow;
use std::fmt;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

pub use self::color_jitter::ColorJitter;
pub use self::cutout::Cutout;
pub use self::horizontal_flip::HorizontalFlip;
pub use self::hsv_jitter::HsvJitter;
pub use self::mixup::Mixup;
pub use self::mosaic::Mosaic;
pub use self::pad_and_crop::PadAndCrop;
pub use self::random_placement::RandomPlacement;
pub use self::random_resized_crop::RandomResizedCrop;
use crate::box_map::BoxMap;
use crate::error::{Error, Result};
use crate::label::Label;
use crate::picture::Picture;
use crate::preprocessing::Preprocessing;
use crate::random::{Purpose, keyed};

/// The random changes to training pictures, different in each epoch.
///
/// A picture passes through the [`Preprocessing`]'s resize and crop, then through the steps in
/// order, and then through the rest of the preprocessing: channel order and normalisation. A
/// [`RandomResizedCrop`] or a [`RandomPlacement`], which must be the first step, replaces the resize and
/// crop. Validation uses the preprocessing alone. Boxes move with the picture.
///
/// All steps operate on bytes. Their random numbers depend on the [`SampleKey`] alone: not on the
/// thread, nor on other samples. [`Mixup`] operates on whole batches and [`Mosaic`] on several samples; a
/// [`Loader`](crate::Loader) applies them.
///
/// As JSON, with all defaults omitted:
///
/// ```
/// use image_data::{Augmentation, Picture, Preprocessing, SampleKey};
///
/// let augmentation: Augmentation = serde_json::from_str(
///     r#"{ "steps": [{ "pad_and_crop": { "padding": 4 } }, { "horizontal_flip": {} }] }"#,
/// )?;
/// assert_eq!(augmentation, Augmentation::cifar());
/// assert_eq!(augmentation.to_string(), "pad 4 and crop, flip 0.5");
///
/// let white = Picture::from_rgb(32, 32, 96, &[255; 3072])?;
/// let key = SampleKey { seed: 0, epoch: 3, sample: 17 };
/// let input = augmentation.apply(&white, &Preprocessing::cifar(), key)?;
/// assert_eq!(input.dim(), (3, 32, 32));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// The changes to each picture, in order.
    pub steps: Vec<Transform>,
    /// The change to each batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<Mixup>,
    /// The combination of several pictures to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mosaic: Option<Mosaic>,
}

/// One change to a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Shifts the picture by a few pixels.
    PadAndCrop(PadAndCrop),
    /// Mirrors the picture, left for right.
    HorizontalFlip(HorizontalFlip),
    /// Crops a random part and resizes it.
    RandomResizedCrop(RandomResizedCrop),
    /// Resizes the picture by random factors and places it at random.
    RandomPlacement(RandomPlacement),
    /// Changes brightness, contrast, saturation and hue.
    ColorJitter(ColorJitter),
    /// Changes hue, saturation and exposure, as darknet does.
    HsvJitter(HsvJitter),
    /// Covers a square of the picture.
    Cutout(Cutout),
}

/// The key of a sample's random numbers: equal keys give equal numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SampleKey {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// The sample's index in its dataset.
    pub sample: u64,
}

impl Augmentation {
    /// The usual augmentation for CIFAR: four pixels of padding and a crop, then a flip (He et al.,
    /// "Deep Residual Learning for Image Recognition", 2015, section 4.2).
    #[must_use]
    pub fn cifar() -> Self {
        Self {
            steps: vec![
                Transform::PadAndCrop(PadAndCrop::default()),
                Transform::HorizontalFlip(HorizontalFlip::default()),
            ],
            ..Self::default()
        }
    }

    /// The usual augmentation for `ImageNet`: a random resized crop, then a flip (Szegedy et al.,
    /// "Going Deeper with Convolutions", 2014, section 6).
    #[must_use]
    pub fn imagenet() -> Self {
        Self {
            steps: vec![
                Transform::RandomResizedCrop(RandomResizedCrop::default()),
                Transform::HorizontalFlip(HorizontalFlip::default()),
            ],
            ..Self::default()
        }
    }

    /// Darknet's augmentation for detectors, with the numbers of `yolov2.cfg`: a random placement, a change of
    /// colours, then a flip.
    #[must_use]
    pub fn detection() -> Self {
        Self {
            steps: vec![
                Transform::RandomPlacement(RandomPlacement::default()),
                Transform::HsvJitter(HsvJitter::default()),
                Transform::HorizontalFlip(HorizontalFlip::default()),
            ],
            ..Self::default()
        }
    }

    /// Checks that every parameter is in its range and that the steps fit the preprocessing.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the step and the parameter, and those of [`Preprocessing::check`].
    pub fn check(&self, preprocessing: &Preprocessing) -> Result<()> {
        preprocessing.check()?;
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Transform::PadAndCrop(step) => step.check()?,
                Transform::HorizontalFlip(step) => step.check()?,
                Transform::ColorJitter(step) => step.check()?,
                Transform::HsvJitter(step) => step.check()?,
                Transform::Cutout(step) => step.check()?,
                Transform::RandomResizedCrop(step) => {
                    step.check()?;
                    check_first(RandomResizedCrop::NAME, index, preprocessing)?;
                }
                Transform::RandomPlacement(step) => {
                    step.check()?;
                    check_first(RandomPlacement::NAME, index, preprocessing)?;
                }
            }
        }
        if let Some(mosaic) = &self.mosaic {
            mosaic.check(preprocessing)?;
        }
        self.mixup.as_ref().map_or(Ok(()), Mixup::check)
    }

    /// Returns the picture before normalisation: resized, cropped and changed by the steps.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check) and [`Preprocessing::apply`].
    pub fn picture(
        &self,
        picture: &Picture,
        preprocessing: &Preprocessing,
        key: SampleKey,
    ) -> Result<Picture> {
        self.check(preprocessing)?;
        Ok(self.changed(picture, preprocessing, key)?.0)
    }

    /// As [`picture`](Self::picture), with the label after the same changes.
    ///
    /// ```
    /// use image_data::{
    ///     Augmentation, BBox, HorizontalFlip, ObjectBox, Picture, Preprocessing, SampleKey, Transform,
    /// };
    ///
    /// let always = HorizontalFlip { probability: 1.0 };
    /// let augmentation = Augmentation {
    ///     steps: vec![Transform::HorizontalFlip(always)],
    ///     ..Augmentation::default()
    /// };
    /// let picture = Picture::from_rgb(40, 30, 120, &[128; 3600])?;
    /// let boxes = vec![ObjectBox::new(0, BBox::from_xyxy(0.0, 0.0, 10.0, 30.0))];
    /// let preprocessing = Preprocessing::cifar();
    /// let (_, boxes) = augmentation.sample(&picture, boxes, &preprocessing, SampleKey::default())?;
    /// assert_eq!(boxes[0].bbox, BBox::from_xyxy(30.0, 0.0, 40.0, 30.0));
    /// # Ok::<(), image_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`picture`](Self::picture).
    pub fn sample<L: Label>(
        &self,
        picture: &Picture,
        label: L,
        preprocessing: &Preprocessing,
        key: SampleKey,
    ) -> Result<(Picture, L)> {
        self.check(preprocessing)?;
        let (picture, map) = self.changed(picture, preprocessing, key)?;
        let label = label.moved(&map, picture.size());
        Ok((picture, label))
    }

    /// As [`picture`](Self::picture), after [`check`](Self::check) has passed, with the way that the pixels
    /// moved.
    pub(crate) fn changed(
        &self,
        picture: &Picture,
        preprocessing: &Preprocessing,
        key: SampleKey,
    ) -> Result<(Picture, BoxMap)> {
        let SampleKey {
            seed,
            epoch,
            sample,
        } = key;
        let random = &mut keyed(Purpose::Augmentation, [seed, epoch, sample]);
        let ((mut picture, mut map), steps) =
            match (self.steps.split_first(), preprocessing.fixed_size()) {
                (Some((Transform::RandomResizedCrop(step), rest)), Some(size)) => {
                    (step.apply(picture, size, random)?, rest)
                }
                (Some((Transform::RandomPlacement(step), rest)), Some(size)) => {
                    (step.apply(picture, size, random)?, rest)
                }
                _ => (preprocessing.resize_and_crop(picture)?, &*self.steps),
            };
        for step in steps {
            let moved = match step {
                Transform::PadAndCrop(step) => {
                    let moved;
                    (picture, moved) = step.apply(&picture, random)?;
                    moved
                }
                Transform::HorizontalFlip(step) => step.apply(&mut picture, random),
                Transform::ColorJitter(step) => {
                    step.apply(&mut picture, random);
                    BoxMap::IDENTITY
                }
                Transform::HsvJitter(step) => {
                    step.apply(&mut picture, random);
                    BoxMap::IDENTITY
                }
                Transform::Cutout(step) => {
                    step.apply(&mut picture, preprocessing.mean_color(), random);
                    BoxMap::IDENTITY
                }
                Transform::RandomResizedCrop(_) | Transform::RandomPlacement(_) => {
                    return Err(Error::Internal {
                        broken: "a random crop or placement is not the first step, or has no size",
                    });
                }
            };
            map = map.then(&moved);
        }
        Ok((picture, map))
    }

    /// Returns the network's input for a picture, `[c, h, w]`; without steps, that of
    /// [`Preprocessing::apply`].
    ///
    /// # Errors
    ///
    /// Those of [`picture`](Self::picture).
    pub fn apply(
        &self,
        picture: &Picture,
        preprocessing: &Preprocessing,
        key: SampleKey,
    ) -> Result<Array3<f32>> {
        self.check(preprocessing)?;
        let (picture, preprocessing, _) =
            self.before_normalising(picture.clone(), preprocessing, key)?;
        preprocessing.apply(&picture)
    }

    /// Returns the picture before normalisation, the preprocessing that normalises it, and the way that the
    /// pixels move in both, after [`check`](Self::check) has passed.
    pub(crate) fn before_normalising<'a>(
        &self,
        picture: Picture,
        preprocessing: &'a Preprocessing,
        key: SampleKey,
    ) -> Result<(Picture, Cow<'a, Preprocessing>, BoxMap)> {
        if self.steps.is_empty() {
            let map = preprocessing.box_map(picture.size())?;
            return Ok((picture, Cow::Borrowed(preprocessing), map));
        }
        let (picture, map) = self.changed(&picture, preprocessing, key)?;
        Ok((picture, Cow::Owned(preprocessing.normalising()), map))
    }
}

/// Checks that a step which replaces the resize and crop is the first, and that the size is known.
fn check_first(what: &'static str, index: usize, preprocessing: &Preprocessing) -> Result<()> {
    let wrong = |field, got, expected| Error::Option {
        what,
        field,
        got,
        expected,
    };
    if index > 0 {
        let step = format!("step {}", index + 1);
        return Err(wrong("position", step, "the first step"));
    }
    if preprocessing.fixed_size().is_none() {
        let expected = "a crop or a resize to one size in the preprocessing";
        return Err(wrong("size", "unknown".to_owned(), expected));
    }
    Ok(())
}

impl fmt::Display for Augmentation {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.iter().map(ToString::to_string);
        let parts: Vec<String> = steps
            .chain(self.mosaic.as_ref().map(ToString::to_string))
            .chain(self.mixup.as_ref().map(ToString::to_string))
            .collect();
        if parts.is_empty() {
            f.write_str("none")
        } else {
            f.write_str(&parts.join(", "))
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PadAndCrop(step) => step.fmt(f),
            Self::HorizontalFlip(step) => step.fmt(f),
            Self::RandomResizedCrop(step) => step.fmt(f),
            Self::RandomPlacement(step) => step.fmt(f),
            Self::ColorJitter(step) => step.fmt(f),
            Self::HsvJitter(step) => step.fmt(f),
            Self::Cutout(step) => step.fmt(f),
        }
    }
}

/// Checks that a step's parameter is in its range, both ends included.
fn check_range(
    what: &'static str,
    field: &'static str,
    got: f64,
    range: [f64; 2],
    expected: &'static str,
) -> Result<()> {
    // False for NaN.
    if range[0] <= got && got <= range[1] {
        return Ok(());
    }
    Err(Error::Option {
        what,
        field,
        got: got.to_string(),
        expected,
    })
}
