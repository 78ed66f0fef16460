//! How a picture is brought to the size of a network's input.

use image_data::Letterbox;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How a picture is brought to the size of a network's input. A network works best on pictures that are
/// fitted as those were that it was trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The proportions are kept, and grey bars fill the rest ([`Letterbox::new`]): J. Redmon's darknet.
    #[default]
    Letterbox,
    /// Height and width are scaled by themselves ([`Letterbox::stretched`]): A. Bochkovskiy's fork.
    Stretch,
}

impl Fit {
    /// The place of a picture of size `picture` in an input of size `network`, both `[h, w]`.
    pub(crate) fn place(self, picture: [usize; 2], network: [usize; 2]) -> Result<Letterbox> {
        let place = match self {
            Self::Letterbox => Letterbox::new(picture, network),
            Self::Stretch => Letterbox::stretched(picture, network),
        };
        Ok(place.map_err(Box::new)?)
    }
}
