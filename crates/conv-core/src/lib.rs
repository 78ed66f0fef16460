//! Convolution, cross-correlation and pooling on `ndarray`, in pure Rust.
//!
//! **Cross-correlation** slides a kernel over a picture as it is and sums the products;
//! **convolution** rotates the kernel by 180 degrees first. Neural networks say "convolution" and
//! mean cross-correlation, and so does every `conv2d` here: it does *not* flip its weight. For
//! plain 2-D arrays, both are available, as [`cross_correlate2d`] and [`convolve2d`].
//!
//! ```
//! use conv_core::{CorrelateOptions, convolve2d, cross_correlate2d};
//! use conv_core::ndarray::array;
//!
//! let (input, kernel) = (array![[1.0, 2.0, 4.0]], array![[1.0, 0.0, -1.0]]);
//! let options = CorrelateOptions::default();
//! assert_eq!(cross_correlate2d(input.view(), kernel.view(), &options)?, array![[-3.0]]);
//! assert_eq!(convolve2d(input.view(), kernel.view(), &options)?, array![[3.0]]);
//! # Ok::<(), conv_core::Error>(())
//! ```
//!
//! - [`plain`] defines every operation with nested loops, for f32 and f64.
//! - [`conv2d`] is the fast convolution, with register-tiled kernels for AVX-512, AVX2, NEON or
//!   portable code, selected at run time; [`PackedConv2d`](blocked::PackedConv2d) packs its weights
//!   once for many runs, and [`blocked`] has the layout, the pools and the other operations of a
//!   network.
//! - [`Window`] is the geometry that convolutions and pools share: output sizes, padding, and the
//!   pixel that each tap reads.
//!
//! Axes are always `[h, w]`, pictures `[N, C, H, W]`, weights `[O, C / groups, Kh, Kw]`, paddings
//! `[top, left, bottom, right]`. Views may have any strides. Arguments that do not fit together
//! return an [`Error`] that names the operation, the axis, and the expected and actual sizes.
//!
//! Work is split across the rayon pool of the calling thread. The order of each sum depends on the
//! problem alone, so results are bit-identical for any number of threads.

#![deny(unsafe_code)]
#![allow(
    clippy::needless_range_loop,
    reason = "loops over axes and taps read like their formulas"
)]

mod activation;
mod arrays;
#[expect(
    unsafe_code,
    reason = "the direct convolution drives the micro-kernels by pointers"
)]
pub mod blocked;
mod conv2d;
mod conv2d_shape;
mod conv_transpose2d_shape;
mod correlate;
mod element;
mod error;
mod geometry;
mod options;
pub mod plain;
mod pool_span;
#[expect(unsafe_code, reason = "vector instructions and the micro-kernels")]
mod simd;

pub use activation::Activation;
pub use conv2d::{conv2d, conv2d_on};
pub use conv2d_shape::Conv2dShape;
pub use correlate::{convolve2d, cross_correlate2d};
pub use element::Element;
pub use error::{Error, Result};
pub use geometry::{Padding, PaddingValue, Placement, Window, checked_len};
pub use ndarray;
pub use options::{
    AvgPool2dOptions, Conv2dOptions, ConvTranspose2dOptions, CorrelateOptions, MaxPool2dOptions,
    POOL_KERNEL_LIMIT,
};
pub use simd::{ISA_VARIABLE, Isa};
