//! Fitting pictures into a network's input as darknet does.

use super::{ChannelOrder, Preprocessing, Resize, ResizeTo, grey, wrong};
use crate::error::Result;
use crate::letterbox::Letterbox;
use crate::picture::Picture;
use crate::resize::Filter;

impl Preprocessing {
    /// Returns the letterbox of a picture of size `[h, w]`, if the resize is darknet's.
    pub(super) fn letterbox(&self, picture: [usize; 2]) -> Result<Option<Letterbox>> {
        match self.resize.as_ref().map(|resize| resize.size) {
            Some(ResizeTo::Letterbox(size)) => Letterbox::new(picture, size).map(Some),
            Some(ResizeTo::Stretch(size)) => Letterbox::stretched(picture, size).map(Some),
            Some(ResizeTo::Exact(_) | ResizeTo::ShorterSide(_)) | None => Ok(None),
        }
    }

    /// Checks what a resize of darknet's can be combined with.
    pub(super) fn check_fitted(&self, resize: &Resize) -> Result<()> {
        match resize.size {
            ResizeTo::ShorterSide(_) | ResizeTo::Exact(_) => return Ok(()),
            ResizeTo::Letterbox(_) | ResizeTo::Stretch(_) => {}
        }
        if resize.filter != Filter::Bilinear {
            let expected = "bilinear, as darknet's arithmetic is".to_owned();
            return Err(wrong("filter", &resize.filter, expected));
        }
        if let Some(crop) = self.crop {
            let expected = "none with a letterbox or a stretch".to_owned();
            return Err(wrong("crop", &crop, expected));
        }
        Ok(())
    }

    /// Writes the normalised input.
    pub(super) fn apply_fitted(
        &self,
        picture: &Picture,
        letterbox: &Letterbox,
        input: &mut [f32],
    ) -> Result<()> {
        self.check()?;
        let [height, width] = letterbox.network();
        let plane = height * width;
        match self.channels {
            ChannelOrder::Rgb => letterbox.apply_into(picture, input)?,
            ChannelOrder::Bgr => {
                letterbox.apply_into(picture, input)?;
                let (red, rest) = input.split_at_mut(plane);
                red.swap_with_slice(&mut rest[plane..]);
            }
            ChannelOrder::Grey => {
                // As in all of the preprocessing, conversion to grey comes first.
                let (pixels, _) = picture.rgb().as_chunks::<3>();
                let grey = pixels.iter().flat_map(|&rgb| [grey(rgb); 3]).collect();
                let grey = Picture::new(picture.width(), picture.height(), grey)?;
                let planes = letterbox.apply(&grey)?;
                if input.len() != plane {
                    return Err(crate::Error::Length {
                        what: "the network's input",
                        got: input.len(),
                        expected: plane,
                    });
                }
                input.copy_from_slice(&planes[..plane]);
            }
        }
        let planes = input.chunks_exact_mut(plane);
        for (plane, (mean, std)) in planes.zip(self.mean.iter().zip(&self.std)) {
            let (mean, std) = (*mean as f32, *std as f32);
            if (mean, std) != (0.0, 1.0) {
                plane
                    .iter_mut()
                    .for_each(|value| *value = (*value - mean) / std);
            }
        }
        Ok(())
    }
}

/// The fitted picture, rounded to bytes.
pub(super) fn bytes(picture: &Picture, letterbox: &Letterbox) -> Result<Picture> {
    let [height, width] = letterbox.network();
    let planes = letterbox.apply(picture)?;
    let (red, rest) = planes.split_at(height * width);
    let (green, blue) = rest.split_at(height * width);
    let byte = |value: f32| (value * 255.0).round() as u8;
    let pixels = red.iter().zip(green).zip(blue);
    let rgb = pixels.flat_map(|((&r, &g), &b)| [r, g, b].map(byte));
    Picture::new(width, height, rgb.collect())
}
