//! Files: `.safetensors` as a container, and the model file that it makes.

pub(crate) mod container;
mod digest;
pub(crate) mod error;
mod header;
pub(crate) mod model_file;
pub(crate) mod purpose;
pub(crate) mod tensor;
