//! What a `.safetensors` file of this crate is for, by its text of metadata.

use serde::{Deserialize, de::IgnoredAny};

/// What tells a checkpoint's text, damaged or not.
#[derive(Deserialize)]
struct OfCheckpoint {
    #[serde(rename = "checkpoint")]
    _checkpoint: IgnoredAny,
}

/// What tells a model's.
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
