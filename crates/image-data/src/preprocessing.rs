//! From a picture to the input of a classifier: a value that travels with the model.

use std::fmt;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::picture::Picture;
use crate::resize::{Filter, Window, filled, resample};

/// How pictures were prepared when a network was trained, and so how they have to be now:
///
/// 1. The channels are put in order; grey is made before anything else.
/// 2. The picture is resized by a [`Filter`], in bytes.
/// 3. Its centre is cropped. Where the picture is smaller than the crop, black is added around it,
///    the odd pixel at the bottom and right. Where the margins differ by one, the crop starts at
///    `(picture - crop) / 2`, halves rounded to even.
/// 4. Each byte `b` of channel `c` becomes `(b / 255 - mean[c]) / std[c]`, in `f32`.
///
/// These are torchvision's transforms on Pillow's pictures (`Resize`, `CenterCrop`, `ToTensor`,
/// `Normalize`), bit for bit. Only the pixels that the crop leaves are resized.
///
/// The value is written as JSON into a model file:
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
    /// The new size of the whole picture; without it, the picture stays as large as it is.
    #[serde(default)]
    pub resize: Option<Resize>,
    /// The size `[h, w]` of the part in the middle that is used; without it, all of it is.
    #[serde(default)]
    pub crop: Option<[usize; 2]>,
    /// What the network's input channels are.
    pub channels: ChannelOrder,
    /// What is taken from each channel, in the order of [`channels`](Self::channels).
    pub mean: Vec<f64>,
    /// What each channel is divided by, in the same order.
    pub std: Vec<f64>,
}

/// A new size for a picture, and how its pixels are weighed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// The size.
    pub size: ResizeTo,
    /// The weights.
    pub filter: Filter,
}

/// The size that a picture is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeTo {
    /// The shorter side becomes this long, the other `floor(this * longer / shorter)`.
    ShorterSide(usize),
    /// `[h, w]`, whatever that does to the proportions.
    Exact([usize; 2]),
}

/// The order of a network's input channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, the order in which `OpenCV` reads pictures.
    Bgr,
    /// One channel: `(19595 R + 38470 G + 7471 B) / 65536`, rounded, as Pillow's mode `L`
    /// (ITU-R 601-2).
    Grey,
}

impl ChannelOrder {
    /// How many channels there are.
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
    /// What torchvision's `ResNet` weights expect: [`imagenet_at`](Self::imagenet_at) 256 and 224.
    #[must_use]
    pub fn imagenet() -> Self {
        Self::imagenet_at(256, 224)
    }

    /// The shorter side resized to `shorter_side`, bilinear, a square of `crop`, and ImageNet's
    /// means and deviations. Later weights of torchvision (`IMAGENET1K_V2`) take 232 and 224.
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

    /// What torchvision's GoogLeNet weights expect: 256, 224, mean and deviation 0.5.
    ///
    /// There, the pictures are normalised for ImageNet and the network's `transform_input` takes
    /// that back: `(x - m) / s * (s / 0.5) + (m - 0.5) / 0.5 = (x - 0.5) / 0.5`.
    #[must_use]
    pub fn googlenet() -> Self {
        Self {
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            ..Self::imagenet()
        }
    }

    /// What torchvision's Inception-v3 weights expect: 342, 299, mean and deviation 0.5, for the
    /// reason of [`googlenet`](Self::googlenet).
    #[must_use]
    pub fn inception_v3() -> Self {
        Self {
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            ..Self::imagenet_at(342, 299)
        }
    }

    /// Pictures of CIFAR-10 as they are, with that dataset's means and deviations.
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

    /// The network's input for a picture, `[c, h, w]`.
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

    /// Writes the network's input, `[c, h, w]`, into memory that is there: a picture's part of a
    /// batch.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Self::apply), and [`Error::Length`] where `input` has another length.
    pub fn apply_into(&self, picture: &Picture, input: &mut [f32]) -> Result<()> {
        match self.channels {
            ChannelOrder::Rgb => self.apply_channels(picture, input, |rgb| rgb),
            ChannelOrder::Bgr => self.apply_channels(picture, input, |[r, g, b]| [b, g, r]),
            ChannelOrder::Grey => self.apply_channels(picture, input, |rgb| [grey(rgb)]),
        }
    }

    fn apply_channels<const C: usize>(
        &self,
        picture: &Picture,
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
        let pixels = self.pixels(picture, channels)?;
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

    /// The picture after resize and crop, and before all else.
    pub(crate) fn resize_and_crop(&self, picture: &Picture) -> Result<Picture> {
        let [height, width] = self.output_size(picture.size())?;
        let pixels = self.pixels(picture, |rgb| rgb)?;
        Picture::new(width, height, pixels.into_flattened())
    }

    /// The pixels `[h, w, C]` after resize and crop, from pixels whose channels are put in order.
    fn pixels<const C: usize>(
        &self,
        picture: &Picture,
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
        resample(self.windows(picture.size(), size), filter, |index, row| {
            for (pixel, &rgb) in row.iter_mut().zip(&rgb[index * width..]) {
                *pixel = channels(rgb);
            }
        })
    }

    /// The red, green and blue that normalisation makes 0, as near as bytes come.
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

    /// The input's size `[h, w]`, where it is the same for every picture.
    #[must_use]
    pub fn fixed_size(&self) -> Option<[usize; 2]> {
        match (&self.crop, &self.resize) {
            (Some(crop), _) => Some(*crop),
            (
                None,
                Some(Resize {
                    size: ResizeTo::Exact(size),
                    ..
                }),
            ) => Some(*size),
            _ => None,
        }
    }

    /// The input's size `[h, w]` for a picture of this size.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] for a picture without pixels, [`Error::OverLimit`] where the input would
    /// have more pixels than a picture may have by default.
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
                what: "a number of pixels after the resize",
                got,
                limit,
            });
        }
        Ok(size)
    }

    /// The picture's size after the resize.
    fn resized(&self, picture: [usize; 2]) -> [usize; 2] {
        let Some(resize) = &self.resize else {
            return picture;
        };
        match resize.size {
            ResizeTo::Exact(size) => size,
            ResizeTo::ShorterSide(side) => {
                let shorter = picture[0].min(picture[1]) as u128;
                picture.map(|length| {
                    let length = side as u128 * length as u128 / shorter.max(1);
                    usize::try_from(length).unwrap_or(usize::MAX)
                })
            }
        }
    }

    /// Which part of the resized picture the input shows, along both axes.
    fn windows(&self, picture: [usize; 2], size: [usize; 2]) -> [Window; 2] {
        let resized = self.resized(picture);
        [0, 1].map(|axis| Window {
            input: picture[axis],
            output: resized[axis],
            start: centred(resized[axis], size[axis]),
            len: size[axis],
        })
    }

    /// Whether the parts fit together; [`apply`](Self::apply) asks too.
    ///
    /// # Errors
    ///
    /// [`Error::Preprocessing`], which names the field: a size of 0 or larger than a picture may be
    /// by default, a mean or deviation for each channel that is missing or one too many, a mean
    /// that is not finite, a deviation that is not positive, or so small that values overflow.
    pub fn check(&self) -> Result<()> {
        self.values().map(|_| ())
    }

    /// What each byte becomes, for each channel.
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
                ResizeTo::Exact(size) => size,
            };
            if !size_fits(size) {
                return Err(wrong("resize", &resize.size, expected_size()));
            }
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

/// Where a run of `len` begins that lies in the middle of `side` pixels.
fn centred(side: usize, len: usize) -> isize {
    if len > side {
        return -(((len - side) / 2) as isize);
    }
    let margin = side - len;
    // Half of an odd margin lies between two numbers; the even one is taken.
    (margin / 2 + usize::from(margin % 4 == 3)) as isize
}

impl fmt::Display for Preprocessing {
    /// Two lines: what happens to the size, and what to the values.
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
