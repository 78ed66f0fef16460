//! Pictures whose size differs from the size a network was trained on.

use image_data::{Filter, Preprocessing, Resize, ResizeTo};

/// A model's preprocessing, extended to pictures of an unexpected size.
///
/// A preprocessing with a resize or a crop handles any size. One without either, as for CIFAR, was
/// used on pictures of a single size: other pictures are resized to it with a bilinear filter,
/// regardless of their proportions, so that the network sees the whole picture. If that size is
/// unknown, they are not resized.
///
/// ```
/// use image_classify::{ExpectedSize, Fit};
/// use image_data::Preprocessing;
///
/// let fit = Fit::new(Preprocessing::cifar(), Some([32, 32]), [32, 32]);
/// assert_eq!(fit.unexpected([32, 32]), None);
/// assert_eq!(fit.unexpected([480, 640]), Some(ExpectedSize::Trained([32, 32])));
/// assert_eq!(fit.preprocessing().fixed_size(), Some([32, 32]));
///
/// // ImageNet's preprocessing resizes and crops by itself.
/// let fit = Fit::new(Preprocessing::imagenet(), Some([224, 224]), [224, 224]);
/// assert_eq!(fit.unexpected([480, 640]), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    preprocessing: Preprocessing,
    expected: Option<ExpectedSize>,
}

/// A size `[h, w]` that pictures should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpectedSize {
    /// The network was trained on it, so pictures of another size are resized to it.
    Trained([usize; 2]),
    /// Networks of its kind are usually trained on it. Pictures of another size are not resized, since
    /// the true size is unknown, and the result may be meaningless.
    Usual([usize; 2]),
}

impl Fit {
    /// For a model with this preprocessing, the size `[h, w]` it was trained on, and the usual size of
    /// its kind.
    #[must_use]
    pub fn new(
        mut preprocessing: Preprocessing,
        trained: Option<[usize; 2]>,
        usual: [usize; 2],
    ) -> Self {
        let expected = match (&preprocessing.resize, preprocessing.crop, trained) {
            (None, None, Some(trained)) => {
                preprocessing.resize = Some(Resize {
                    size: ResizeTo::Exact(trained),
                    filter: Filter::Bilinear,
                });
                Some(ExpectedSize::Trained(trained))
            }
            (None, None, None) => Some(ExpectedSize::Usual(usual)),
            (Some(_), _, _) | (_, Some(_), _) => None,
        };
        Self {
            preprocessing,
            expected,
        }
    }

    /// The extended preprocessing.
    #[must_use]
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The size that pictures should have; `None` if the preprocessing handles any size.
    #[must_use]
    pub fn expected(&self) -> Option<ExpectedSize> {
        self.expected
    }

    /// The size that a picture of size `picture`, `[h, w]`, should have; `None` if it has it, or if any
    /// size will do.
    #[must_use]
    pub fn unexpected(&self, picture: [usize; 2]) -> Option<ExpectedSize> {
        self.expected.filter(|expected| match expected {
            ExpectedSize::Trained(size) | ExpectedSize::Usual(size) => picture != *size,
        })
    }
}

#[cfg(test)]
mod tests {
    use image_data::Picture;

    use super::*;

    #[test]
    fn only_a_preprocessing_without_a_resize_or_crop_gets_a_resize() {
        let fit = Fit::new(Preprocessing::imagenet(), Some([64, 64]), [224, 224]);
        assert_eq!(fit.preprocessing(), &Preprocessing::imagenet());
        assert_eq!((fit.unexpected([30, 40]), fit.expected()), (None, None));

        let unknown = Fit::new(Preprocessing::cifar(), None, [32, 32]);
        assert_eq!(unknown.preprocessing(), &Preprocessing::cifar());
        let usual = Some(ExpectedSize::Usual([32, 32]));
        assert_eq!(unknown.unexpected([30, 40]), usual);
        assert_eq!(unknown.unexpected([32, 32]), None);
    }

    #[test]
    fn a_picture_of_the_training_size_stays_as_it_is_and_another_gets_that_size() {
        let fit = Fit::new(Preprocessing::cifar(), Some([8, 6]), [32, 32]);
        let picture = |height: usize, width: usize| {
            let pixels: Vec<u8> = (0..3 * height * width).map(|i| (i * 37) as u8).collect();
            Picture::from_rgb(width, height, 3 * width, &pixels).unwrap()
        };
        let same = picture(8, 6);
        assert_eq!(fit.unexpected(same.size()), None);
        assert_eq!(
            fit.preprocessing().apply(&same).unwrap(),
            Preprocessing::cifar().apply(&same).unwrap()
        );
        let photo = picture(30, 40);
        let trained = Some(ExpectedSize::Trained([8, 6]));
        assert_eq!(fit.unexpected(photo.size()), trained);
        assert_eq!(fit.preprocessing().apply(&photo).unwrap().dim(), (3, 8, 6));
    }
}
