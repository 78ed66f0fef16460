//! The interface of every executor of a network: from inputs to outputs.

use ndarray::{ArrayD, ArrayViewD, IxDyn};

use crate::{
    error::{Error, Result},
    graph::{error::GraphError, shape::Shape},
};

/// Something that computes a network's outputs from its inputs, in f32.
///
/// [`Plain<f32>`](crate::Plain) is the one that defines the results; faster ones agree with it.
///
/// ```
/// use ndarray::ArrayD;
/// use nn_layers::{Conv2d, GraphBuilder, Infer, Outputs, Plain, random_params};
///
/// /// The mean of a network's first output, by whatever computes it.
/// fn mean<E: Infer>(network: &mut E, picture: &ArrayD<f32>) -> Result<Option<f32>, E::Error> {
///     let mut outputs = Outputs::new();
///     network.run(&[picture.view()], &mut outputs)?;
///     Ok(outputs.tensors.first().and_then(|output| output.mean()))
/// }
///
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 3, 8, 8])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]).without_bias())?;
/// let graph = b.finish(&[conv])?;
/// let mut plain = Plain::<f32>::new(&graph, random_params(&graph, 1)?)?;
/// assert_eq!(mean(&mut plain, &ArrayD::zeros(vec![2, 3, 8, 8]))?, Some(0.0));
/// # Ok::<(), nn_layers::Error>(())
/// ```
pub trait Infer {
    /// Why a run can fail.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Computes the outputs for `inputs`, one tensor for each of the graph's inputs and outputs in
    /// its order. What `outputs` held before is replaced; executors reuse its memory where they can.
    ///
    /// # Errors
    ///
    /// Inputs that do not fit the network; `outputs` then holds no result.
    fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut Outputs,
    ) -> Result<(), Self::Error>;
}

/// A network's output tensors, kept from call to call so that their memory is reused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// One tensor for each output of the graph, in its order.
    pub tensors: Vec<ArrayD<f32>>,
}

impl Outputs {
    /// No tensors yet; the first run makes them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the tensors have these shapes, for an executor to fill. Where the shapes are those of
    /// the last call, nothing is allocated and the previous values remain.
    ///
    /// # Errors
    ///
    /// [`GraphError::TooLarge`] for a shape whose elements cannot be counted,
    /// [`Error::OutOfMemory`] where the system refuses the memory. The tensors may then have
    /// any shape.
    pub fn prepare<'a>(
        &mut self,
        shapes: impl ExactSizeIterator<Item = &'a Shape>,
    ) -> Result<&mut [ArrayD<f32>]> {
        self.tensors.resize_with(shapes.len(), empty);
        for (tensor, shape) in self.tensors.iter_mut().zip(shapes) {
            if *tensor.shape() == **shape && tensor.is_standard_layout() {
                continue;
            }
            let len = shape.elements().ok_or_else(|| GraphError::TooLarge {
                node: "an output".to_owned(),
                what: "the tensor",
            })?;
            let (mut values, _) = std::mem::replace(tensor, empty()).into_raw_vec_and_offset();
            values.clear();
            if values.try_reserve_exact(len).is_err() {
                return Err(Error::OutOfMemory {
                    what: format!("an output of shape {shape}"),
                    bytes: len.saturating_mul(size_of::<f32>()),
                });
            }
            values.resize(len, 0.0);
            let made = ArrayD::from_shape_vec(IxDyn(shape), values);
            *tensor = made.map_err(|error| Error::Internal {
                what: format!("an output of shape {shape} does not have its elements: {error}"),
            })?;
        }
        Ok(&mut self.tensors)
    }
}

/// A tensor without elements.
fn empty() -> ArrayD<f32> {
    ArrayD::zeros(IxDyn(&[0]))
}
