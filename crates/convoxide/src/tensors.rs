//! Writes named tensors of one type as a `.safetensors` file that is data, not a model.

use std::path::Path;

use ndarray::ArrayD;
use nn_layers::Element;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::npy::{self, Reason};

/// An element type of such a file.
pub(crate) trait Number: Element {
    /// The type's name in the format.
    const DTYPE: Dtype;

    /// Appends the number's bytes, lowest first.
    fn append(self, bytes: &mut Vec<u8>);

    /// The number as `f64`, exactly.
    fn wide(self) -> f64;
}

impl Number for f32 {
    const DTYPE: Dtype = Dtype::F32;

    fn append(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }

    fn wide(self) -> f64 {
        self.into()
    }
}

impl Number for f64 {
    const DTYPE: Dtype = Dtype::F64;

    fn append(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }

    fn wide(self) -> f64 {
        self
    }
}

/// Writes the tensors, whole or not at all. The same tensors give the same bytes.
///
/// # Errors
///
/// [`npy::Error`] if the file cannot be written; an existing file is then unchanged.
pub(crate) fn write<T: Number>(
    path: &Path,
    tensors: &[(String, ArrayD<T>)],
) -> Result<(), npy::Error> {
    npy::write_file(path, |file| {
        let fault = |error: safetensors::SafeTensorError| Reason::Archive(error.to_string());
        let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, tensor)| bytes(tensor)).collect();
        let mut views = Vec::with_capacity(tensors.len());
        for ((name, tensor), bytes) in tensors.iter().zip(&bytes) {
            let view = TensorView::new(T::DTYPE, tensor.shape().to_vec(), bytes).map_err(fault)?;
            views.push((name, view));
        }
        let content = safetensors::serialize(views, None).map_err(fault)?;
        Ok(std::io::Write::write_all(file, &content)?)
    })
}

/// The tensor's bytes, in row-major order.
fn bytes<T: Number>(tensor: &ArrayD<T>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of::<T>() * tensor.len());
    tensor.iter().for_each(|number| number.append(&mut bytes));
    bytes
}
