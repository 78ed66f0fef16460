//! The sizes of a dataset's boxes in a network's input.

use image_data::{Boxes, Dataset};

use crate::error::Result;
use crate::fit::Fit;

/// The `(width, height)` of each box that is trained on, in pixels of a network's input of size `network`
/// (`[h, w]`), into which the pictures are brought by `fit`: what
/// [`AnchorClusters::k_means`](crate::AnchorClusters::k_means) takes.
///
/// ```
/// use image_data::{ShapeScenes, ShapesOptions};
/// use yolo_detect::{AnchorClusters, Fit, KMeansOptions, box_sizes};
///
/// let scenes = ShapeScenes::new(ShapesOptions { len: 50, ..ShapesOptions::default() })?;
/// let sizes = box_sizes(&scenes, [416, 416], Fit::Letterbox)?;
/// let clusters = AnchorClusters::k_means(sizes, 3, &KMeansOptions::default())?;
/// assert!(clusters.average_iou > 0.6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::Picture`](crate::Error::Picture) if a picture's size cannot be read.
pub fn box_sizes(
    dataset: &(impl Dataset<Boxes> + ?Sized),
    network: [usize; 2],
    fit: Fit,
) -> Result<Vec<(f32, f32)>> {
    let mut sizes = Vec::new();
    for index in 0..dataset.len() {
        let boxes = dataset.label(index);
        if boxes.is_empty() {
            continue;
        }
        let picture = dataset.size(index).map_err(Box::new)?;
        let [y, x] = [0, 1].map(|axis| network[axis] as f32 / picture[axis] as f32);
        let [y, x] = match fit {
            Fit::Letterbox => [y.min(x); 2],
            Fit::Stretch => [y, x],
        };
        let trained = boxes.iter().filter(|object| object.kind.is_plain());
        sizes.extend(trained.map(|object| (object.bbox.width() * x, object.bbox.height() * y)));
    }
    Ok(sizes)
}
