//! Random changes to training pictures, as a value that is stored in a recipe.

mod color_jitter;
mod cutout;
mod horizontal_flip;
mod mixup;
mod pad_and_crop;
mod random_resized_crop;

use std::borrow::Cow;
use std::fmt;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

pub use self::color_jitter::ColorJitter;
pub use self::cutout::Cutout;
pub use self::horizontal_flip::HorizontalFlip;
pub use self::mixup::Mixup;
pub use self::pad_and_crop::PadAndCrop;
pub use self::random_resized_crop::RandomResizedCrop;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::preprocessing::Preprocessing;
use crate::random::{Purpose, keyed};

/// The random changes to training pictures, different in each epoch.
///
/// A picture passes through the [`Preprocessing`]'s resize and crop, then through the steps in
/// order, and then through the rest of the preprocessing: channel order and normalisation. A
/// [`RandomResizedCrop`], which must be the first step, replaces the resize and crop. Validation
/// uses the preprocessing alone.
///
/// All steps operate on bytes. Their random numbers depend on the [`SampleKey`] alone: not on the
/// thread, nor on other samples. [`Mixup`] operates on whole batches; a [`Loader`](crate::Loader)
/// applies it.
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
    /// Changes brightness, contrast, saturation and hue.
    ColorJitter(ColorJitter),
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
            mixup: None,
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
            mixup: None,
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
                Transform::Cutout(step) => step.check()?,
                Transform::RandomResizedCrop(step) => {
                    step.check()?;
                    let wrong = |field, got, expected| Error::Option {
                        what: RandomResizedCrop::NAME,
                        field,
                        got,
                        expected,
                    };
                    if index > 0 {
                        return Err(wrong(
                            "position",
                            format!("step {}", index + 1),
                            "the first step",
                        ));
                    }
                    if preprocessing.fixed_size().is_none() {
                        let expected = "a crop or an exact resize in the preprocessing";
                        return Err(wrong("size", "unknown".to_owned(), expected));
                    }
                }
            }
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
        self.changed(picture, preprocessing, key)
    }

    /// As [`picture`](Self::picture), after [`check`](Self::check) has passed.
    fn changed(
        &self,
        picture: &Picture,
        preprocessing: &Preprocessing,
        key: SampleKey,
    ) -> Result<Picture> {
        let SampleKey {
            seed,
            epoch,
            sample,
        } = key;
        let random = &mut keyed(Purpose::Augmentation, [seed, epoch, sample]);
        let (mut picture, steps) = match (self.steps.split_first(), preprocessing.fixed_size()) {
            (Some((Transform::RandomResizedCrop(step), rest)), Some(size)) => {
                (step.apply(picture, size, random)?, rest)
            }
            _ => (preprocessing.resize_and_crop(picture)?, &*self.steps),
        };
        for step in steps {
            match step {
                Transform::PadAndCrop(step) => picture = step.apply(&picture, random)?,
                Transform::HorizontalFlip(step) => step.apply(&mut picture, random),
                Transform::ColorJitter(step) => step.apply(&mut picture, random),
                Transform::Cutout(step) => {
                    step.apply(&mut picture, preprocessing.mean_color(), random);
                }
                Transform::RandomResizedCrop(_) => {
                    return Err(Error::Internal {
                        broken: "a random resized crop is not the first step, or has no size",
                    });
                }
            }
        }
        Ok(picture)
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
        let (picture, preprocessing) = self.before_normalising(picture, preprocessing, key)?;
        preprocessing.apply(&picture)
    }

    /// Returns the picture before normalisation and the preprocessing that normalises it, after
    /// [`check`](Self::check) has passed.
    pub(crate) fn before_normalising<'a>(
        &self,
        picture: &'a Picture,
        preprocessing: &'a Preprocessing,
        key: SampleKey,
    ) -> Result<(Cow<'a, Picture>, Cow<'a, Preprocessing>)> {
        if self.steps.is_empty() {
            return Ok((Cow::Borrowed(picture), Cow::Borrowed(preprocessing)));
        }
        let picture = self.changed(picture, preprocessing, key)?;
        let normalise = Preprocessing {
            resize: None,
            crop: None,
            ..preprocessing.clone()
        };
        Ok((Cow::Owned(picture), Cow::Owned(normalise)))
    }
}

impl fmt::Display for Augmentation {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.iter().map(ToString::to_string);
        let parts: Vec<String> = steps
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
            Self::ColorJitter(step) => step.fmt(f),
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
