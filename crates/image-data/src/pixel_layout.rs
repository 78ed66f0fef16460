//! Converts a decoder's pixels to 8-bit RGB.

use image::ColorType;

use crate::decode::zeros;
use crate::error::Result;

/// The layout of a decoder's pixels.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    channels: usize,
    sample_bytes: usize,
}

impl Layout {
    pub(crate) fn of(color: ColorType) -> Option<Self> {
        let (channels, sample_bytes) = match color {
            ColorType::L8 => (1, 1),
            ColorType::La8 => (2, 1),
            ColorType::Rgb8 => (3, 1),
            ColorType::Rgba8 => (4, 1),
            ColorType::L16 => (1, 2),
            ColorType::La16 => (2, 2),
            ColorType::Rgb16 => (3, 2),
            ColorType::Rgba16 => (4, 2),
            _ => return None,
        };
        Some(Self {
            channels,
            sample_bytes,
        })
    }

    fn pixel_bytes(self) -> usize {
        self.channels * self.sample_bytes
    }

    /// Whether a pixel has at least three bytes, so that it can be converted in place.
    pub(crate) fn in_place(self) -> bool {
        self.pixel_bytes() >= 3
    }

    /// Returns the red, green and blue of one stored pixel.
    fn rgb(self, pixel: &[u8]) -> [u8; 3] {
        // Samples are in the machine's byte order.
        let high = if cfg!(target_endian = "little") {
            self.sample_bytes - 1
        } else {
            0
        };
        let sample = |channel: usize| pixel[channel * self.sample_bytes + high];
        if self.channels < 3 {
            [sample(0); 3]
        } else {
            [sample(0), sample(1), sample(2)]
        }
    }

    pub(crate) fn into_rgb(self, mut stored: Vec<u8>, pixels: u64) -> Result<Vec<u8>> {
        if self.pixel_bytes() == 3 {
            return Ok(stored);
        }
        if !self.in_place() {
            let mut rgb = zeros(pixels.saturating_mul(3))?;
            for (to, from) in rgb
                .chunks_exact_mut(3)
                .zip(stored.chunks_exact(self.pixel_bytes()))
            {
                to.copy_from_slice(&self.rgb(from));
            }
            return Ok(rgb);
        }
        let size = self.pixel_bytes();
        let count = stored.len() / size;
        for i in 0..count {
            let rgb = self.rgb(&stored[i * size..][..size]);
            stored[i * 3..][..3].copy_from_slice(&rgb);
        }
        stored.truncate(count * 3);
        stored.shrink_to_fit();
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_keep_the_high_byte_and_alpha_is_dropped() {
        let bytes = |samples: &[u16]| samples.iter().flat_map(|v| v.to_ne_bytes()).collect();
        for (color, stored, expected) in [
            (ColorType::L8, vec![7, 200], vec![7, 7, 7, 200, 200, 200]),
            (
                ColorType::La8,
                vec![7, 0, 200, 9],
                vec![7, 7, 7, 200, 200, 200],
            ),
            (
                ColorType::Rgb8,
                vec![1, 2, 3, 4, 5, 6],
                vec![1, 2, 3, 4, 5, 6],
            ),
            (
                ColorType::Rgba8,
                vec![1, 2, 3, 0, 4, 5, 6, 9],
                vec![1, 2, 3, 4, 5, 6],
            ),
            (
                ColorType::L16,
                bytes(&[0x12ff, 0xff00]),
                vec![0x12, 0x12, 0x12, 0xff, 0xff, 0xff],
            ),
            (
                ColorType::La16,
                bytes(&[0x12ff, 0, 0x80, 1]),
                vec![0x12, 0x12, 0x12, 0, 0, 0],
            ),
            (
                ColorType::Rgb16,
                bytes(&[0x1ff, 0x200, 0x3aa]),
                vec![1, 2, 3],
            ),
            (
                ColorType::Rgba16,
                bytes(&[0x1ff, 0x200, 0x3aa, 0, 0x400, 0x5ff, 0x600, 7]),
                vec![1, 2, 3, 4, 5, 6],
            ),
        ] {
            let layout = Layout::of(color).unwrap();
            let pixels = expected.len() as u64 / 3;
            assert_eq!(
                layout.into_rgb(stored, pixels).unwrap(),
                expected,
                "{color:?}"
            );
        }
        assert!(Layout::of(ColorType::Rgb32F).is_none());
    }
}
