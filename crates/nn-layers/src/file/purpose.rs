//! The purpose of a `.safetensors` file, judged by this crate's metadata in it.

use serde::{Deserialize, de::IgnoredAny};

/// The key that identifies a checkpoint's metadata, even if the rest is invalid.
#[derive(Deserialize)]
struct OfCheckpoint {
    #[serde(rename = "checkpoint")]
    _checkpoint: IgnoredAny,
}

/// The key that identifies a model's metadata.
#[derive(Deserialize)]
struct OfModel {
    #[serde(rename = "architecture")]
    _architecture: IgnoredAny,
}

/// Whether a file's metadata are those of a checkpoint.
pub(crate) fn is_checkpoint(text: &str) -> bool {
    serde_json::from_str::<OfCheckpoint>(text).is_ok()
}

/// Whether a file's metadata are those of a model.
pub(crate) fn is_model(text: &str) -> bool {
    serde_json::from_str::<OfModel>(text).is_ok()
}
