//! The pages of `docs/tutorial`. Their examples, and those of the READMEs, are this crate's tests.
//!
//! [one]: cross_correlation
//! [two]: padding_and_size
//! [three]: one_layer
//! [four]: pooling
//! [five]: sharing_and_sparsity
//! [six]: detection
//! [seven]: residual_blocks
//! [eight]: inception_modules
//! [nine]: back_propagation
//! [ten]: first_training
//! [eleven]: depth
//! [twelve]: batch_normalisation
//! [thirteen]: softmax_and_cross_entropy
//! [fourteen]: overfitting
//! [fifteen]: transfer_learning
//! [sixteen]: style_transfer
#![cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/README.md"))]
#![forbid(unsafe_code)]
#![allow(
    clippy::doc_markdown,
    reason = "the pages are prose: ReLU and IoU are words there"
)]
// Each page ends with link definitions that lead to files of the project. Of two definitions
// Markdown takes the first, so those in front of the pages here make the same links lead to items.

/// [`cross_correlate2d`]: conv_core::cross_correlate2d
/// [`convolve2d`]: conv_core::convolve2d
/// [next]: crate::padding_and_size
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/1-cross-correlation.md"))]
pub mod cross_correlation {}

/// [`Window::place`]: conv_core::Window::place
/// [`GraphBuilder`]: nn_layers::GraphBuilder
/// [`Graph`]: nn_layers::Graph
/// [`Summary`]: nn_layers::Summary
/// [next]: crate::one_layer
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/2-padding-and-size.md"))]
pub mod padding_and_size {}

/// [`Plain`]: nn_layers::Plain
/// [next]: crate::pooling
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/3-one-layer.md"))]
pub mod one_layer {}

/// [`max_pool2d`]: conv_core::plain::max_pool2d
/// [`avg_pool2d`]: conv_core::plain::avg_pool2d
/// [next]: crate::sharing_and_sparsity
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/4-pooling.md"))]
pub mod pooling {}

/// [`Summary`]: nn_layers::Summary
/// [next]: crate::detection
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/5-sharing-and-sparsity.md"))]
pub mod sharing_and_sparsity {}

/// [`Head`]: yolo_detect::Head
/// [`Anchor`]: yolo_detect::Anchor
/// [`Detector`]: yolo_detect::Detector
/// [`Letterbox`]: image_data::Letterbox
/// [next]: crate::residual_blocks
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/6-detection.md"))]
pub mod detection {}

/// [`basic_block`]: resnet::basic_block
/// [`bottleneck`]: resnet::bottleneck
/// [`ResNet`]: resnet::ResNet
/// [next]: crate::inception_modules
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/7-residual-blocks.md"))]
pub mod residual_blocks {}

/// [`CifarInception`]: inception::CifarInception
/// [`InceptionModule`]: inception::InceptionModule
/// [`GoogLeNet`]: inception::GoogLeNet
/// [`Summary`]: nn_layers::Summary
/// [next]: crate::back_propagation
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/8-inception.md"))]
pub mod inception_modules {}

/// [`PlainTrainer`]: nn_layers::PlainTrainer
/// [`TrainBackend`]: nn_layers::TrainBackend
/// [`TrainingSession`]: engine::TrainingSession
/// [one]: crate::cross_correlation
/// [next]: crate::first_training
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/9-back-propagation.md"))]
pub mod back_propagation {}

/// [one]: crate::cross_correlation
/// [nine]: crate::back_propagation
/// [`Schedule`]: nn_layers::Schedule
/// [next]: crate::depth
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/10-first-training.md"))]
pub mod first_training {}

/// [seven]: crate::residual_blocks
/// [next]: crate::batch_normalisation
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/11-depth.md"))]
pub mod depth {}

/// [`TrainSpec`]: nn_layers::TrainSpec
/// [eleven]: crate::depth
/// [fifteen]: crate::transfer_learning
/// [next]: crate::softmax_and_cross_entropy
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/12-batch-normalisation.md"))]
pub mod batch_normalisation {}

/// [`CrossEntropy`]: nn_layers::CrossEntropy
/// [`Classification`]: nn_layers::Classification
/// [ten]: crate::first_training
/// [next]: crate::overfitting
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/13-softmax-and-cross-entropy.md"))]
pub mod softmax_and_cross_entropy {}

/// [ten]: crate::first_training
/// [list]: crate
/// [next]: crate::transfer_learning
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/14-overfitting.md"))]
pub mod overfitting {}

/// [twelve]: crate::batch_normalisation
/// [list]: crate
/// [next]: crate::style_transfer
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/15-transfer-learning.md"))]
pub mod transfer_learning {}

/// [`Loss`]: nn_layers::Loss
/// [nine]: crate::back_propagation
/// [next]: crate
#[cfg_attr(any(doc, doctest), doc = include_str!("../../../docs/tutorial/16-style-transfer.md"))]
pub mod style_transfer {}

/// The READMEs whose examples are not compiled by their own crates.
#[cfg(doctest)]
mod readmes {
    #[cfg_attr(any(doc, doctest), doc = include_str!("../../../README.md"))]
    struct Project;

    #[cfg_attr(any(doc, doctest), doc = include_str!("../../conv-core/README.md"))]
    struct ConvCore;

    #[cfg_attr(any(doc, doctest), doc = include_str!("../../engine/README.md"))]
    struct Engine;
}
