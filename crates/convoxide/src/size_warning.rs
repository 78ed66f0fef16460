//! The warning about pictures of another size than the network expects.

use image_classify::ExpectedSize;

/// The warning; `pictures` begins the sentence.
pub(crate) fn size_warning(pictures: &str, expected: ExpectedSize) -> String {
    match expected {
        ExpectedSize::Trained([height, width]) => format!(
            "{pictures}, but the network was trained on {width} x {height}: resized to that"
        ),
        ExpectedSize::Usual([height, width]) => format!(
            "{pictures}, and the model does not state its training size (usually {width} x \
             {height}): not resized, so the result may be meaningless"
        ),
    }
}
