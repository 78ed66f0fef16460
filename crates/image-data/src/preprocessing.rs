//! The conversion of pictures to a network's input, as a value that is stored with the model.

mod fitted;
mod visible;

use std::fmt;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::box_map::BoxMap;
use crate::crop_position::CropPosition;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::picture::Picture;
use crate::resize::{Filter, Window, filled, resample};

/// The preparation of pictures for a network, which must be the same as in its training:
///
/// 1. The channels are put in order. Conversion to grey comes before everything else.
/// 2. The picture is resized with a [`Filter`], in bytes; or fitted as darknet does, in `f32`.
/// 3. Its centre is cropped. If the picture is smaller than the crop, it is padded with black, with
///    the odd pixel at the bottom and right. The crop starts at `(picture - crop) / 2`, halves
///    rounded to even.
/// 4. Each byte `b` of channel `c` is normalised to `(b / 255 - mean[c]) / std[c]`, in `f32`.
///
/// These are torchvision's transforms on Pillow's pictures (`Resize`, `CenterCrop`, `ToTensor`,
/// `Normalize`), bit for bit. Only the pixels within the crop are computed.
///
/// A model file stores the value as JSON:
///
/// ```
/// use image_data::{Picture, Preprocessing};
///
/// let preprocessing: Preprocessing = serde_json::from_str(
///     r#"{
///         "resize": { "size": { "shorter_side": 256 }, "filter": "bilinear" },
///         "crop": [224, 224],
///         "channels": "rgb",
///         "mean": [0.485, 0.456, 0.406],
///         "std": [0.229, 0.224, 0.225]
///     }"#,
/// )?;
/// assert_eq!(preprocessing, Preprocessing::imagenet());
///
/// let white = Picture::from_rgb(40, 30, 120, &[255; 3600])?;
/// let input = preprocessing.apply(&white)?;
/// assert_eq!(input.dim(), (3, 224, 224));
/// assert_eq!(input[[0, 100, 100]], (1.0 - 0.485) / 0.229);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The new size of the whole picture; if `None`, the picture keeps its size.
    #[serde(default)]
    pub resize: Option<Resize>,
    /// The size `[h, w]` of the centre crop; if `None`, the whole picture is used.
    #[serde(default)]
    pub crop: Option<[usize; 2]>,
    /// The network's input channels and their order.
    pub channels: ChannelOrder,
    /// The mean that is subtracted from each channel, in the order of [`channels`](Self::channels).
    pub mean: Vec<f64>,
    /// The standard deviation that each channel is divided by, in the same order.
    pub std: Vec<f64>,
}

/// A new size for a picture, and the filter of the resize.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// The size.
    pub size: ResizeTo,
    /// The filter.
    pub filter: Filter,
}

/// The size that a picture is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeTo {
    /// The shorter side is resized to this length, the other to `floor(this * longer / shorter)`.
    ShorterSide(usize),
    /// The size `[h, w]`, without keeping the aspect ratio.
    Exact([usize; 2]),
    /// Within the size `[h, w]`, with grey bars: darknet's [`Letterbox`](crate::Letterbox). The filter has
    /// to be bilinear; it does not average where the picture shrinks.
    Letterbox([usize; 2]),
    /// The size `[h, w]`, without keeping the aspect ratio, by the same arithmetic.
    Stretch([usize; 2]),
}

/// A network's input channels and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: the order in which `OpenCV` reads pictures.
    Bgr,
    /// One channel: `(19595 R + 38470 G + 7471 B) / 65536`, rounded, as in Pillow's mode `L`
    /// (ITU-R 601-2).
    Grey,
}

impl ChannelOrder {
    /// Returns the number of channels.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

impl Preprocessing {
    /// The preprocessing of torchvision's `ResNet` weights: [`imagenet_at`](Self::imagenet_at) 256
    /// and 224.
    #[must_use]
    pub fn imagenet() -> Self {
        Self::imagenet_at(256, 224)
    }

    /// A bilinear resize of the shorter side to `shorter_side`, a square crop with sides of `crop`,
    /// and ImageNet's means and standard deviations. Torchvision's later weights (`IMAGENET1K_V2`)
    /// use 232 and 224.
    #[must_use]
    pub fn imagenet_at(shorter_side: usize, crop: usize) -> Self {
        Self {
            resize: Some(Resize {
                size: ResizeTo::ShorterSide(shorter_side),
                filter: Filter::Bilinear,
            }),
            crop: Some([crop; 2]),
            channels: ChannelOrder::Rgb,
            mean: IMAGENET_MEAN.to_vec(),
            std: IMAGENET_STD.to_vec(),
        }
    }

    /// The preprocessing of torchvision's GoogLeNet weights: 256, 224, mean and standard deviation
    /// 0.5.
    ///
    /// In torchvision, pictures are normalised for ImageNet and the network's `transform_input`
    /// undoes that: `(x - m) / s * (s / 0.5) + (m - 0.5) / 0.5 = (x - 0.5) / 0.5`.
    #[must_use]
    pub fn googlenet() -> Self {
        Self {
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            ..Self::imagenet()
        }
    }

    /// The preprocessing of torchvision's Inception-v3 weights: 342, 299, mean and standard
    /// deviation 0.5, for the same reason as in [`googlenet`](Self::googlenet).
    #[must_use]
    pub fn inception_v3() -> Self {
        Self {
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            ..Self::imagenet_at(342, 299)
        }
    }

    /// CIFAR-10's means and standard deviations, without a resize or crop.
    #[must_use]
    pub fn cifar() -> Self {
        Self {
            resize: None,
            crop: None,
            channels: ChannelOrder::Rgb,
            mean: vec![0.4914, 0.4822, 0.4465],
            std: vec![0.2470, 0.2435, 0.2616],
        }
    }

    /// The preprocessing of darknet's detectors: the picture is fitted into the input, and red, green and blue
    /// run from 0 to 1.
    ///
    /// ```
    /// use image_data::{Letterbox, Picture, Preprocessing, ResizeTo};
    ///
    /// let picture = Picture::from_rgb(40, 30, 120, &[200; 3600])?;
    /// let preprocessing = Preprocessing::detection(ResizeTo::Letterbox([64, 64]));
    /// let input = preprocessing.apply(&picture)?;
    /// let letterbox = Letterbox::new([30, 40], [64, 64])?;
    /// assert_eq!(input.into_raw_vec_and_offset().0, letterbox.apply(&picture)?);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    #[must_use]
    pub fn detection(size: ResizeTo) -> Self {
        Self {
            resize: Some(Resize {
                size,
                filter: Filter::Bilinear,
            }),
            crop: None,
            channels: ChannelOrder::Rgb,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        }
    }

    /// Returns the network's input for a picture, `[c, h, w]`.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check) and [`output_size`](Self::output_size), and
    /// [`Error::NoMemory`].
    pub fn apply(&self, picture: &Picture) -> Result<Array3<f32>> {
        self.check()?;
        let [height, width] = self.output_size(picture.size())?;
        let channels = self.channels.count();
        let mut input = filled(0.0, channels * height * width)?;
        self.apply_into(picture, &mut input)?;
        let got = input.len();
        Array3::from_shape_vec((channels, height, width), input).map_err(|_| Error::Length {
            what: "the network's input",
            got,
            expected: channels * height * width,
        })
    }

    /// Writes the network's input, `[c, h, w]`, into existing memory, such as a picture's part of a
    /// batch.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Self::apply), and [`Error::Length`] if the length of `input` differs from
    /// `c * h * w`.
    pub fn apply_into(&self, picture: &Picture, input: &mut [f32]) -> Result<()> {
        self.apply_crop_into(picture, CropPosition::Centre, input)
    }

    /// Like [`apply_into`](Self::apply_into), with the crop at another place. Without a crop, all
    /// places are the same.
    ///
    /// # Errors
    ///
    /// Those of [`apply_into`](Self::apply_into).
    pub fn apply_crop_into(
        &self,
        picture: &Picture,
        position: CropPosition,
        input: &mut [f32],
    ) -> Result<()> {
        if let Some(letterbox) = self.letterbox(picture.size())? {
            return self.apply_fitted(picture, &letterbox, input);
        }
        match self.channels {
            ChannelOrder::Rgb => self.apply_channels(picture, position, input, |rgb| rgb),
            ChannelOrder::Bgr => {
                self.apply_channels(picture, position, input, |[r, g, b]| [b, g, r])
            }
            ChannelOrder::Grey => self.apply_channels(picture, position, input, |rgb| [grey(rgb)]),
        }
    }

    fn apply_channels<const C: usize>(
        &self,
        picture: &Picture,
        position: CropPosition,
        input: &mut [f32],
        channels: impl Fn([u8; 3]) -> [u8; C],
    ) -> Result<()> {
        let values = self.values()?;
        let [height, width] = self.output_size(picture.size())?;
        if input.len() != C * height * width {
            return Err(Error::Length {
                what: "the network's input",
                got: input.len(),
                expected: C * height * width,
            });
        }
        let pixels = self.pixels(picture, position, channels)?;
        for ((plane, values), channel) in
            input.chunks_exact_mut(height * width).zip(&values).zip(0..)
        {
            for (value, pixel) in plane.iter_mut().zip(&pixels) {
                let pixel: &[u8; C] = pixel;
                *value = values[usize::from(pixel[channel])];
            }
        }
        Ok(())
    }

    /// Returns the picture after the resize and crop alone, and the way that its pixels moved.
    pub(crate) fn resize_and_crop(&self, picture: &Picture) -> Result<(Picture, BoxMap)> {
        let [height, width] = self.output_size(picture.size())?;
        let map = self.box_map(picture.size())?;
        if let Some(letterbox) = self.letterbox(picture.size())? {
            return Ok((fitted::bytes(picture, &letterbox)?, map));
        }
        let pixels = self.pixels(picture, CropPosition::Centre, |rgb| rgb)?;
        let picture = Picture::new(width, height, pixels.into_flattened())?;
        Ok((picture, map))
    }

    /// Returns the way that the pixels of a picture of size `[h, w]` move in the resize and crop.
    pub(crate) fn box_map(&self, picture: [usize; 2]) -> Result<BoxMap> {
        if let Some(letterbox) = self.letterbox(picture)? {
            return Ok(letterbox.box_map());
        }
        let size = self.output_size(picture)?;
        let windows = self.windows(picture, size, CropPosition::Centre);
        let [y, x] = windows.map(|window| window.start as f64);
        let resize = BoxMap::resize(picture, self.resized(picture));
        Ok(resize.then(&BoxMap::window([y, x])))
    }

    /// Returns the part that normalises pictures already resized and cropped.
    pub(crate) fn normalising(&self) -> Self {
        Self {
            resize: None,
            crop: None,
            ..self.clone()
        }
    }

    /// Returns the same for another size `[h, w]` of the input, where that is fixed.
    #[must_use]
    pub fn with_size(&self, size: [usize; 2]) -> Self {
        let mut this = self.clone();
        match (&mut this.crop, &mut this.resize) {
            (Some(crop), _) => *crop = size,
            (None, Some(resize)) => {
                resize.size = match resize.size {
                    ResizeTo::ShorterSide(side) => ResizeTo::ShorterSide(side),
                    ResizeTo::Exact(_) => ResizeTo::Exact(size),
                    ResizeTo::Letterbox(_) => ResizeTo::Letterbox(size),
                    ResizeTo::Stretch(_) => ResizeTo::Stretch(size),
                }
            }
            (None, None) => {}
        }
        this
    }

    /// Returns the pixels `[h, w, C]` after channel order, resize and crop.
    fn pixels<const C: usize>(
        &self,
        picture: &Picture,
        position: CropPosition,
        channels: impl Fn([u8; 3]) -> [u8; C],
    ) -> Result<Vec<[u8; C]>> {
        let size = self.output_size(picture.size())?;
        let (rgb, _) = picture.rgb().as_chunks::<3>();
        if self.resize.is_none() && size == picture.size() {
            return Ok(rgb.iter().map(|&rgb| channels(rgb)).collect());
        }
        let filter = self
            .resize
            .as_ref()
            .map_or(Filter::Bilinear, |resize| resize.filter);
        let width = picture.width();
        resample(
            self.windows(picture.size(), size, position),
            filter,
            |index, row| {
                for (pixel, &rgb) in row.iter_mut().zip(&rgb[index * width..]) {
                    *pixel = channels(rgb);
                }
            },
        )
    }

    /// Returns the red, green and blue bytes that normalisation maps closest to 0.
    pub(crate) fn mean_color(&self) -> [u8; 3] {
        let byte = |channel: usize| {
            let mean = self.mean.get(channel).copied().unwrap_or_default();
            (mean * 255.0).round() as u8
        };
        match self.channels {
            ChannelOrder::Rgb => [byte(0), byte(1), byte(2)],
            ChannelOrder::Bgr => [byte(2), byte(1), byte(0)],
            ChannelOrder::Grey => [byte(0); 3],
        }
    }

    /// Returns the input's size `[h, w]`, or `None` if it depends on the picture.
    #[must_use]
    pub fn fixed_size(&self) -> Option<[usize; 2]> {
        match (&self.crop, self.resize.as_ref().map(|resize| resize.size)) {
            (Some(crop), _) => Some(*crop),
            (
                None,
                Some(ResizeTo::Exact(size) | ResizeTo::Letterbox(size) | ResizeTo::Stretch(size)),
            ) => Some(size),
            (None, Some(ResizeTo::ShorterSide(_)) | None) => None,
        }
    }

    /// Returns the input's size `[h, w]` for a picture of size `[h, w]`.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] for a picture without pixels, [`Error::OverLimit`] if the input would have
    /// more pixels than the default [`Limits`] allow.
    pub fn output_size(&self, picture: [usize; 2]) -> Result<[usize; 2]> {
        if picture.contains(&0) {
            return Err(Error::Zero {
                what: "the picture",
                size: picture,
            });
        }
        let size = self.crop.unwrap_or_else(|| self.resized(picture));
        let limit = Limits::default().max_pixels;
        let got = (size[0] as u64).saturating_mul(size[1] as u64);
        if got > limit {
            return Err(Error::OverLimit {
                what: "the number of pixels after the resize",
                got,
                limit,
            });
        }
        Ok(size)
    }

    /// Returns the picture's size after the resize.
    fn resized(&self, picture: [usize; 2]) -> [usize; 2] {
        let Some(resize) = &self.resize else {
            return picture;
        };
        match resize.size {
            ResizeTo::Exact(size) | ResizeTo::Letterbox(size) | ResizeTo::Stretch(size) => size,
            ResizeTo::ShorterSide(side) => {
                let shorter = picture[0].min(picture[1]) as u128;
                picture.map(|length| {
                    let length = side as u128 * length as u128 / shorter.max(1);
                    usize::try_from(length).unwrap_or(usize::MAX)
                })
            }
        }
    }

    /// Returns the part of the resized picture that the input shows, along both axes.
    fn windows(
        &self,
        picture: [usize; 2],
        size: [usize; 2],
        position: CropPosition,
    ) -> [Window; 2] {
        let resized = self.resized(picture);
        let starts = position.starts(resized, size);
        [0, 1].map(|axis| Window {
            input: picture[axis],
            output: resized[axis],
            start: starts[axis],
            len: size[axis],
        })
    }

    /// Checks every field. [`apply`](Self::apply) does so too.
    ///
    /// # Errors
    ///
    /// [`Error::Preprocessing`] with the field: a size of 0 or over the default [`Limits`], other
    /// than one mean and one standard deviation per channel, a mean that is not finite, or a
    /// standard deviation that is not positive and finite or so small that values overflow.
    pub fn check(&self) -> Result<()> {
        self.values().map(|_| ())
    }

    /// Returns the normalised value of each byte, for each channel.
    fn values(&self) -> Result<Vec<[f32; 256]>> {
        let limits = Limits::default();
        let size_fits = |[height, width]: [usize; 2]| {
            (1..=limits.max_height).contains(&height)
                && (1..=limits.max_width).contains(&width)
                && height as u64 * width as u64 <= limits.max_pixels
        };
        let expected_size = || {
            format!(
                "sides of 1 to {} and at most {} pixels",
                limits.max_height.min(limits.max_width),
                limits.max_pixels
            )
        };
        if let Some(resize) = &self.resize {
            let size = match resize.size {
                ResizeTo::ShorterSide(side) => [side, 1],
                ResizeTo::Exact(size) | ResizeTo::Letterbox(size) | ResizeTo::Stretch(size) => size,
            };
            if !size_fits(size) {
                return Err(wrong("resize", &resize.size, expected_size()));
            }
            self.check_fitted(resize)?;
        }
        if let Some(crop) = self.crop
            && !size_fits(crop)
        {
            return Err(wrong("crop", &crop, expected_size()));
        }

        let count = self.channels.count();
        let numbers = |kind| format!("{count} {kind} for the channels {}", self.channels);
        if self.mean.len() != count || !self.mean.iter().all(|mean| (*mean as f32).is_finite()) {
            return Err(wrong("mean", &self.mean, numbers("finite numbers")));
        }
        let mut values = Vec::with_capacity(count);
        for (mean, std) in self.mean.iter().zip(&self.std) {
            let (mean, std) = (*mean as f32, *std as f32);
            values.push(std::array::from_fn(|byte| {
                (byte as f32 / 255.0 - mean) / std
            }));
        }
        let positive = |std: &f64| *std as f32 > 0.0 && (*std as f32).is_finite();
        let finite = values.iter().flatten().all(|value: &f32| value.is_finite());
        if self.std.len() != count || !self.std.iter().all(positive) || !finite {
            return Err(wrong(
                "std",
                &self.std,
                numbers("positive numbers that keep values finite"),
            ));
        }
        Ok(values)
    }
}

fn wrong(field: &'static str, got: &impl fmt::Debug, expected: String) -> Error {
    Error::Preprocessing {
        field,
        got: format!("{got:?}"),
        expected,
    }
}

fn grey([r, g, b]: [u8; 3]) -> u8 {
    let sum = 19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b);
    ((sum + 0x8000) >> 16) as u8
}

impl fmt::Display for Preprocessing {
    /// Two lines: resize and crop, then channels and normalisation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.resize {
            Some(Resize {
                size: ResizeTo::ShorterSide(side),
                filter,
            }) => {
                write!(f, "resize shorter side to {side} ({filter}), ")?;
            }
            Some(Resize {
                size: ResizeTo::Exact([height, width]),
                filter,
            }) => {
                write!(f, "resize to {height} x {width} ({filter}), ")?;
            }
            Some(Resize {
                size: ResizeTo::Letterbox([height, width]),
                filter: _,
            }) => write!(f, "letterbox {height} x {width}, ")?,
            Some(Resize {
                size: ResizeTo::Stretch([height, width]),
                filter: _,
            }) => write!(f, "stretch to {height} x {width}, ")?,
            None => write!(f, "no resize, ")?,
        }
        match self.crop {
            Some([height, width]) => writeln!(f, "centre crop {height} x {width}")?,
            None => writeln!(f, "no crop")?,
        }
        write!(
            f,
            "{}, mean {:?}, std {:?}",
            self.channels, self.mean, self.std
        )
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        })
    }
}

impl fmt::Display for ChannelOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Grey => "grey",
        })
    }
}
