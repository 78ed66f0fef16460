//! What pictures are labelled with.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bbox::BBox;
use crate::box_map::BoxMap;

/// The label of a picture: the index of its class, a `usize`, or the boxes of its objects, [`Boxes`].
///
/// ```
/// use image_data::{BBox, BoxMap, Label, ObjectBox};
///
/// let boxes = vec![ObjectBox::new(2, BBox::from_xyxy(10.0, 20.0, 30.0, 40.0))];
/// assert_eq!(boxes.invalid_class(2), Some(2));
///
/// // A picture that is 100 pixels wide is mirrored; its class would stay the same.
/// let mirrored = boxes.moved(&BoxMap::mirror(100), [50, 100]);
/// assert_eq!(mirrored[0].bbox, BBox::from_xyxy(70.0, 20.0, 90.0, 40.0));
/// assert_eq!(7.moved(&BoxMap::mirror(100), [50, 100]), 7);
/// ```
pub trait Label: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The class of the whole picture, if it has one. Samples are balanced, and held out, class by class.
    fn class(&self) -> Option<usize>;

    /// Calls `count` with the class of each object.
    fn for_each_class(&self, count: impl FnMut(usize));

    /// A class that is not below `classes`, if there is one.
    fn invalid_class(&self, classes: usize) -> Option<usize> {
        let mut invalid = None;
        self.for_each_class(|class| {
            if class >= classes {
                invalid.get_or_insert(class);
            }
        });
        invalid
    }

    /// The label after a change of the picture that moves its pixels by `map` into one of `size`
    /// `[h, w]`. Boxes are clipped; those of which too little is left are dropped
    /// ([`LEAST_VISIBLE`]).
    #[must_use]
    fn moved(self, map: &BoxMap, size: [usize; 2]) -> Self;

    /// The label of a mosaic of pictures with these labels: all boxes, or the first class.
    #[must_use]
    fn joined(labels: Vec<Self>) -> Self;
}

/// The objects in a picture; empty for a picture without any.
pub type Boxes = Vec<ObjectBox>;

/// An object: its class and its box.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectBox {
    /// The index of the class.
    pub class: usize,
    /// The box, in pixels of the picture.
    pub bbox: BBox,
    /// What kind of object it is.
    #[serde(default, skip_serializing_if = "ObjectKind::is_plain")]
    pub kind: ObjectKind,
    /// The area of the object in pixels, if the dataset states it, as COCO does for outlines; else the
    /// box's area counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<f64>,
}

/// How an object counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// It has to be found.
    #[default]
    Plain,
    /// Hard to recognise, says the dataset (VOC's `difficult`): it is neither trained on nor missed, and
    /// finding it is no mistake.
    Difficult,
    /// A box around many objects (COCO's `iscrowd`): as difficult, but any number of detections may lie in
    /// it.
    Crowd,
}

impl ObjectKind {
    /// Whether a network is trained to find it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

impl ObjectBox {
    /// A plain object.
    #[must_use]
    pub fn new(class: usize, bbox: BBox) -> Self {
        Self {
            class,
            bbox,
            kind: ObjectKind::Plain,
            area: None,
        }
    }
}

/// The least share of an object's box that must remain in the picture for its label to remain: of less, the
/// object can hardly be recognised.
pub const LEAST_VISIBLE: f32 = 0.1;

impl Label for usize {
    fn class(&self) -> Option<usize> {
        Some(*self)
    }

    fn for_each_class(&self, mut count: impl FnMut(usize)) {
        count(*self);
    }

    fn moved(self, _: &BoxMap, _: [usize; 2]) -> Self {
        self
    }

    fn joined(labels: Vec<Self>) -> Self {
        labels.first().copied().unwrap_or_default()
    }
}

impl Label for Boxes {
    fn class(&self) -> Option<usize> {
        None
    }

    fn for_each_class(&self, count: impl FnMut(usize)) {
        self.iter().map(|object| object.class).for_each(count);
    }

    fn moved(self, map: &BoxMap, size: [usize; 2]) -> Self {
        let moved = self.into_iter().filter_map(|object| {
            let whole = map.apply(object.bbox);
            let bbox = whole.clip(size);
            let is_visible = !bbox.is_empty() && bbox.area() >= LEAST_VISIBLE * whole.area();
            is_visible.then(|| ObjectBox {
                bbox,
                area: object.area.map(|area| area * map.area_factor()),
                ..object
            })
        });
        moved.collect()
    }

    fn joined(labels: Vec<Self>) -> Self {
        labels.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_clipped_and_dropped_where_too_little_is_left() {
        let object = |x1, x2| ObjectBox::new(0, BBox::from_xyxy(x1, 10.0, x2, 20.0));
        // A window of 100 x 100 whose left edge is at 50.
        let map = BoxMap::window([0.0, 50.0]);
        for (x1, x2, expected) in [
            (60.0, 90.0, Some((10.0, 40.0))),
            (40.0, 60.0, Some((0.0, 10.0))),
            // 10 of 100 pixels are left, 9 of 100, none, and none of a box beyond the other edge.
            (-40.0, 60.0, Some((0.0, 10.0))),
            (-41.0, 59.0, None),
            (0.0, 50.0, None),
            (151.0, 160.0, None),
            // No box at all.
            (70.0, 70.0, None),
            (f32::NAN, 70.0, None),
        ] {
            let moved = vec![object(x1, x2)].moved(&map, [100, 100]);
            let expected = expected.map(|(x1, x2)| object(x1, x2));
            assert_eq!(moved, Vec::from_iter(expected), "{x1} {x2}");
        }
    }

    #[test]
    fn an_area_scales_with_the_picture() {
        let mut object = ObjectBox::new(1, BBox::from_xyxy(2.0, 2.0, 6.0, 4.0));
        object.area = Some(5.0);
        object.kind = ObjectKind::Crowd;
        let moved = vec![object].moved(&BoxMap::resize([10, 10], [20, 30]), [20, 30]);
        let expected = ObjectBox {
            bbox: BBox::from_xyxy(6.0, 4.0, 18.0, 8.0),
            area: Some(30.0),
            ..object
        };
        assert_eq!(moved, [expected]);
    }
}
