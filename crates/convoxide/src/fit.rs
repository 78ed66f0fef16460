//! Pictures whose size differs from the size a network was trained on.

use image_data::{Filter, Preprocessing, Resize, ResizeTo};

/// A model's preprocessing, extended to pictures of an unexpected size.
///
/// A preprocessing with a resize or a crop handles any size. One without either, as for CIFAR, was
/// used on pictures of a single size: other pictures are resized to it with a bilinear filter,
/// regardless of their proportions, so that the network sees the whole picture. If that size is
/// unknown, they are not resized.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fit {
    preprocessing: Preprocessing,
    expected: Option<Expected>,
}

/// A size `[h, w]` that pictures should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The network was trained on it.
    Trained([usize; 2]),
    /// Networks of its kind are usually trained on it.
    Usual([usize; 2]),
}

impl Fit {
    /// For a model with this preprocessing, the size it was trained on, and the usual size of its
    /// kind.
    pub(crate) fn new(
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
                Some(Expected::Trained(trained))
            }
            (None, None, None) => Some(Expected::Usual(usual)),
            (Some(_), _, _) | (_, Some(_), _) => None,
        };
        Self {
            preprocessing,
            expected,
        }
    }

    pub(crate) fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Whether a picture of this size `[h, w]` differs from the size the network expects.
    pub(crate) fn is_unexpected(&self, picture: [usize; 2]) -> bool {
        match self.expected {
            Some(Expected::Trained(size) | Expected::Usual(size)) => picture != size,
            None => false,
        }
    }

    /// Whether pictures of an unexpected size are resized.
    pub(crate) fn resizes(&self) -> bool {
        matches!(self.expected, Some(Expected::Trained(_)))
    }

    /// The warning for pictures of an unexpected size; `pictures` begins the sentence.
    pub(crate) fn warning(&self, pictures: &str) -> Option<String> {
        Some(match self.expected? {
            Expected::Trained([height, width]) => format!(
                "{pictures}, but the network was trained on {width} x {height}: resized to that"
            ),
            Expected::Usual([height, width]) => format!(
                "{pictures}, and the model does not state its training size (usually \
                 {width} x {height}): not resized, so the result may be meaningless"
            ),
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
        assert!(!fit.is_unexpected([30, 40]) && fit.warning("a").is_none());

        let unknown = Fit::new(Preprocessing::cifar(), None, [32, 32]);
        assert_eq!(unknown.preprocessing(), &Preprocessing::cifar());
        assert!(unknown.is_unexpected([30, 40]) && !unknown.resizes());
        assert!(!unknown.is_unexpected([32, 32]));
    }

    #[test]
    fn a_picture_of_the_training_size_stays_as_it_is_and_another_gets_that_size() {
        let fit = Fit::new(Preprocessing::cifar(), Some([8, 6]), [32, 32]);
        let picture = |height: usize, width: usize| {
            let pixels: Vec<u8> = (0..3 * height * width).map(|i| (i * 37) as u8).collect();
            Picture::from_rgb(width, height, 3 * width, &pixels).unwrap()
        };
        let same = picture(8, 6);
        assert!(!fit.is_unexpected(same.size()));
        assert_eq!(
            fit.preprocessing().apply(&same).unwrap(),
            Preprocessing::cifar().apply(&same).unwrap()
        );
        let photo = picture(30, 40);
        assert!(fit.is_unexpected(photo.size()));
        assert_eq!(fit.preprocessing().apply(&photo).unwrap().dim(), (3, 8, 6));
    }
}
