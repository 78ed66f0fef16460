//! Start from other people's weights.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cache;
mod dtype;
mod error;
mod extractor;
mod fine_tune;
mod legacy;
mod names;
mod pickle;
mod prefix;
mod run_folder;
mod source;
mod stages;
mod state_dict;
mod style;
mod tensor;
mod weights;
mod zip_file;

pub use cache::{FeatureCache, FeatureCacheOptions};
pub use error::{Error, Result};
pub use extractor::FeatureExtractor;
pub use fine_tune::{Batches, FineTune, FineTuned, fine_tune};
pub use names::Unused;
pub use prefix::RemovedPrefix;
pub use run_folder::best_model;
pub use stages::Stages;
pub use style::{Backbone, StyleLayers, StyleLosses, StyleOptions, StylePictures, StyleTransfer};
pub use weights::{Format, Prefixes, ReadOptions, ReadReport, Weights};
