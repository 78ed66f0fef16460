//! The picture as the parameter of a style transfer.

use image_data::{ChannelOrder, Filter, Picture, Preprocessing, Resize, ResizeTo};
use ndarray::{ArrayD, Axis};

use crate::error::Result;

/// A picture as values from 0, black, to 1, white.
#[derive(Clone, Debug)]
pub(super) struct Pixels {
    /// `[1, C, H, W]`, in the network's order of channels.
    pub(super) values: ArrayD<f32>,
    order: ChannelOrder,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Pixels {
    /// Resizes a picture to `size`, `[h, w]`.
    pub(super) fn new(
        picture: &Picture,
        size: [usize; 2],
        preprocessing: &Preprocessing,
    ) -> Result<Self> {
        preprocessing.check()?;
        let order = preprocessing.channels;
        let unchanged = Preprocessing {
            resize: (picture.size() != size).then_some(Resize {
                size: ResizeTo::Exact(size),
                filter: Filter::Bilinear,
            }),
            crop: None,
            channels: order,
            mean: vec![0.0; order.count()],
            std: vec![1.0; order.count()],
        };
        let values = unchanged.apply(picture)?.insert_axis(Axis(0)).into_dyn();
        let narrow = |values: &[f64]| values.iter().map(|&x| x as f32).collect();
        Ok(Self {
            values,
            order,
            mean: narrow(&preprocessing.mean),
            std: narrow(&preprocessing.std),
        })
    }

    /// The network's input, `(x - mean) / std`.
    pub(super) fn input(&self) -> ArrayD<f32> {
        let mut input = self.values.clone();
        let channels = self.mean.iter().zip(&self.std);
        for (mut plane, (&mean, &std)) in input.axis_iter_mut(Axis(1)).zip(channels) {
            plane.mapv_inplace(|x| (x - mean) / std);
        }
        input
    }

    /// The gradient of the values from that of the input.
    pub(super) fn gradient(&self, of_input: &ArrayD<f32>) -> ArrayD<f32> {
        let mut gradient = of_input.clone();
        for (mut plane, &std) in gradient.axis_iter_mut(Axis(1)).zip(&self.std) {
            plane.mapv_inplace(|x| x / std);
        }
        gradient
    }

    /// The picture, each value rounded to the nearest byte.
    pub(super) fn picture(&self) -> Result<Picture> {
        let order = match self.order {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
            ChannelOrder::Grey => [0, 0, 0],
        };
        let [height, width] = [2, 3].map(|axis| self.values.len_of(Axis(axis)));
        let mut rgb = Vec::with_capacity(3 * height * width);
        for y in 0..height {
            for x in 0..width {
                // From 0 to 255, and saturating.
                rgb.extend(
                    order.map(|channel| (255.0 * self.values[[0, channel, y, x]]).round() as u8),
                );
            }
        }
        Ok(Picture::from_rgb(width, height, 3 * width, &rgb)?)
    }
}

/// The size `[h, w]` of a picture that is made smaller, with its proportions kept, until no side is longer
/// than `longest`.
pub(super) fn size_within(size: [usize; 2], longest: usize) -> [usize; 2] {
    let side = size[0].max(size[1]).max(1);
    if side <= longest {
        return size;
    }
    let scale = longest as f64 / side as f64;
    size.map(|length| ((length as f64 * scale).round() as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_proportions_and_never_grow() {
        for (size, longest, expected) in [
            ([100, 50], 200, [100, 50]),
            ([100, 50], 50, [50, 25]),
            ([3, 1000], 100, [1, 100]),
            ([1000, 1], 10, [10, 1]),
            ([7, 7], 1, [1, 1]),
        ] {
            assert_eq!(size_within(size, longest), expected, "{size:?}");
        }
    }

    #[test]
    fn a_picture_survives_in_every_order_of_channels() {
        let rgb: Vec<u8> = (0..36).map(|i| (i * 7) as u8).collect();
        let picture = Picture::from_rgb(4, 3, 12, &rgb).unwrap();
        for channels in [ChannelOrder::Rgb, ChannelOrder::Bgr] {
            let preprocessing = Preprocessing {
                channels,
                ..Preprocessing::imagenet()
            };
            let pixels = Pixels::new(&picture, [3, 4], &preprocessing).unwrap();
            assert_eq!(pixels.picture().unwrap(), picture, "{channels:?}");
            // The input is what the preprocessing itself makes, up to the rounding of two operations.
            let expected = Preprocessing {
                resize: None,
                crop: None,
                ..preprocessing
            };
            let expected = expected.apply(&picture).unwrap().insert_axis(Axis(0));
            let off = pixels.input() - expected.into_dyn();
            assert!(off.iter().all(|x| x.abs() <= 4.0 * f32::EPSILON), "{off}");
        }
    }

    #[test]
    fn the_gradient_is_scaled_by_the_deviation() {
        let picture = Picture::from_rgb(2, 2, 6, &[100; 12]).unwrap();
        let mut preprocessing = Preprocessing::cifar();
        preprocessing.std = vec![0.5, 0.25, 0.125];
        let pixels = Pixels::new(&picture, [2, 2], &preprocessing).unwrap();
        let gradient = pixels.gradient(&ArrayD::ones(pixels.values.raw_dim()));
        for (channel, expected) in [2.0, 4.0, 8.0].into_iter().enumerate() {
            assert_eq!(gradient[[0, channel, 1, 1]], expected);
        }
    }
}
