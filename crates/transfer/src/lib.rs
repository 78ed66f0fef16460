//! Start from other people's weights.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod dtype;
mod error;
mod legacy;
mod names;
mod pickle;
mod prefix;
mod source;
mod state_dict;
mod style;
mod tensor;
mod weights;
mod zip_file;

pub use error::{Error, Result};
pub use names::Unused;
pub use prefix::RemovedPrefix;
pub use style::{Backbone, StyleLayers, StyleLosses, StyleOptions, StylePictures, StyleTransfer};
pub use weights::{Format, Prefixes, ReadOptions, ReadReport, Weights};
