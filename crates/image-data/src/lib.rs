//! Pictures, boxes and datasets for neural networks: decoding within limits, letterbox,
//! preprocessing, augmentation, batches, drawing.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod augmentation;
mod bbox;
mod box_map;
mod complete;
mod crop_position;
mod dataset;
mod decode;
mod draw;
mod error;
mod format;
mod label;
mod letterbox;
mod limits;
mod lint;
mod loader;
mod picture;
mod pixel_layout;
mod preprocessing;
mod random;
mod resize;
mod suffix;
mod text;
mod thumbnail;

pub use augmentation::{
    Augmentation, ColorJitter, Cutout, HorizontalFlip, HsvJitter, Mixup, Mosaic, PadAndCrop,
    RandomPlacement, RandomResizedCrop, SampleKey, Transform,
};
pub use bbox::BBox;
pub use box_map::BoxMap;
pub use crop_position::CropPosition;
pub use dataset::{
    Annotated, AnnotationFormat, AnnotationOptions, AnySplits, Cached, Cifar, CifarLabels,
    ClassFolders, Contents, Dataset, DatasetLimits, FASHION_MNIST_CLASSES, Fault, Faulty, Idx,
    LabelFault, LabelProblem, LeftOut, LeftOutFor, OfClasses, Part, Reason, Role, ShapeScenes,
    Shapes, ShapesOptions, Splits, Subset, Written, class_counts,
};
pub use decode::is_decoding;
pub use draw::{DrawnBox, draw_boxes};
pub use error::{Error, Result};
pub use label::{Boxes, LEAST_VISIBLE, Label, ObjectBox, ObjectKind};
pub use letterbox::Letterbox;
pub use limits::Limits;
pub use lint::{
    Finding, LintOptions, LintReport, PartSummary, Place, Same, Severity, lint, lint_with,
};
pub use loader::{Batch, Epoch, LastBatch, Loader, LoaderOptions, MultiScale, Order};
pub use picture::{DecodeWarning, Picture};
pub use preprocessing::{ChannelOrder, Preprocessing, Resize, ResizeTo};
pub use resize::Filter;
pub use suffix::{picture_format, picture_suffixes};
