//! Files: the `.safetensors` container, and the model file stored in it.

pub(crate) mod container;
mod digest;
pub(crate) mod error;
mod header;
pub(crate) mod model_file;
pub(crate) mod purpose;
pub(crate) mod tensor;
