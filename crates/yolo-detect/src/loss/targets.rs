//! What a batch's pictures contain, as the heads need it.

use image_data::{ObjectBox, ObjectKind};

use super::centre_box::CentreBox;
use crate::error::{Error, Result};

/// The objects of a batch's pictures: the targets of a [`DetectionLoss`](super::DetectionLoss).
///
/// Boxes are converted once per batch, from pixels of the network's input to centres and sizes as shares
/// of it, which mean the same to every head.
///
/// Objects that are [difficult](ObjectKind::Difficult) or a [crowd](ObjectKind::Crowd) are not trained
/// on. Their places are not background either: there, a network may find an object or not.
///
/// ```
/// use image_data::{BBox, ObjectBox};
/// use yolo_detect::DetectionTargets;
///
/// // The first picture has one object, the second none.
/// let boxes = [vec![ObjectBox::new(7, BBox::from_xyxy(32.0, 32.0, 96.0, 64.0))], vec![]];
/// let targets = DetectionTargets::new(&boxes, [416, 416], 0)?;
/// assert_eq!((targets.pictures(), targets.objects()), (2, 1));
/// # Ok::<(), yolo_detect::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionTargets {
    size: [usize; 2],
    seen: u64,
    pictures: Vec<Vec<Object>>,
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Object {
    pub(super) class: usize,
    /// In shares of the network's input.
    pub(super) bbox: CentreBox,
    pub(super) kind: ObjectKind,
}

impl DetectionTargets {
    /// The targets of a batch: for each picture its objects, in pixels of the network's input, whose size
    /// is `size` (`[h, w]`).
    ///
    /// `seen` is the number of pictures on which the network has been trained before this batch: YOLOv2's
    /// loss differs for the [first ones](super::RegionLossOptions::prior_pictures). As it is a part
    /// of the batch, a resumed run needs to remember nothing. A darknet weights file stores the number,
    /// too.
    ///
    /// # Errors
    ///
    /// [`Error::TargetBox`] for a box that is empty, not finite or not inside the picture. A
    /// [`Label`](image_data::Label) that has moved with its picture is clipped, and so is always valid.
    pub fn new<B: AsRef<[ObjectBox]>>(boxes: &[B], size: [usize; 2], seen: u64) -> Result<Self> {
        let [height, width] = size.map(|side| side as f64);
        let mut pictures = Vec::with_capacity(boxes.len());
        for (picture, objects) in boxes.iter().enumerate() {
            let convert = |(index, object): (usize, &ObjectBox)| {
                let [x1, y1, x2, y2] = [
                    object.bbox.x1,
                    object.bbox.y1,
                    object.bbox.x2,
                    object.bbox.y2,
                ]
                .map(f64::from);
                // False for NaN.
                let is_inside =
                    0.0 <= x1 && x1 < x2 && x2 <= width && 0.0 <= y1 && y1 < y2 && y2 <= height;
                if !is_inside {
                    return Err(Error::TargetBox {
                        picture,
                        object: index,
                        bbox: object.bbox,
                        size,
                    });
                }
                let bbox = CentreBox {
                    cx: (x1 + x2) / 2.0 / width,
                    cy: (y1 + y2) / 2.0 / height,
                    w: (x2 - x1) / width,
                    h: (y2 - y1) / height,
                };
                Ok(Object {
                    class: object.class,
                    bbox,
                    kind: object.kind,
                })
            };
            let objects = objects.as_ref().iter().enumerate().map(convert);
            pictures.push(objects.collect::<Result<Vec<_>>>()?);
        }
        Ok(Self {
            size,
            seen,
            pictures,
        })
    }

    /// The number of pictures.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    /// The number of objects that are trained on.
    #[must_use]
    pub fn objects(&self) -> usize {
        let objects = self.pictures.iter().flatten();
        objects.filter(|object| object.kind.is_plain()).count()
    }

    /// The size of the network's input in pixels, `[h, w]`.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The number of pictures that have been trained on when this batch is done.
    pub(super) fn seen_with_these(&self) -> u64 {
        self.seen.saturating_add(self.pictures.len() as u64)
    }

    /// The objects of each picture.
    pub(super) fn objects_by_picture(&self) -> &[Vec<Object>] {
        &self.pictures
    }

    /// Refuses objects of classes that a head does not have.
    pub(super) fn check_classes(&self, classes: usize) -> Result<()> {
        for (picture, objects) in self.pictures.iter().enumerate() {
            let unknown = |object: &Object| object.class >= classes;
            if let Some(object) = objects.iter().position(unknown) {
                return Err(Error::TargetClass {
                    picture,
                    object,
                    got: objects.get(object).map_or(0, |object| object.class),
                    classes,
                });
            }
        }
        Ok(())
    }
}
