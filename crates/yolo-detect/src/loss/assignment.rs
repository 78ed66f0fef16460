//! Which anchor of which cell is trained for which object: the one place for both losses.
//!
//! The rules are darknet's (`forward_region_layer` in `src/region_layer.c`, `forward_yolo_layer` in
//! `src/yolo_layer.c`):
//!
//! 1. An object belongs to the cell in which its centre is, and there to the anchor whose shape is most
//!    similar to its own: the **responsible anchor**. For `[yolo]`, it is the best of the anchors of
//!    all heads, so a single head trains it, at its own grid.
//! 2. All other anchors are background, unless their predicted box has an IoU with some object above
//!    the **ignore threshold**. Such a box is not so wrong that it should be unlearnt.
//! 3. Where several objects have the same responsible anchor, the last one counts. With independent
//!    classes, the anchor is trained for the classes of all.
//!
//! Darknet knows no difficult objects and no crowds. Here they follow the same rules up to the point at
//! which they would be trained: their responsible anchors, and predictions that overlap them, are
//! ignored, unless a plain object makes them responsible. As a crowd's box surrounds many objects, the
//! overlap with it is the share of the predicted box that is inside, as in COCO's evaluation.

use std::collections::BTreeMap;

use image_data::ObjectKind;
use ndarray::{Array3, ArrayView3};
use nn_layers::Element;

use super::centre_box::CentreBox;
use super::ciou;
use super::grid::{Grid, Place};
use super::head_loss::{HeadLoss, Rule};
use super::options::BoxLoss;
use super::targets::Object;
use super::{region, yolo};
use crate::head::ClassActivation;

/// What the anchors of all heads are trained for, for one batch and its outputs.
///
/// It also holds what a loss computes from the outputs and then treats as constant: the IoUs that are
/// targets of the objectness, and the `alpha` of CIoU.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    pub(super) heads: Vec<HeadAssignment>,
}

impl Assignment {
    /// The responsible anchors of head number `head` for picture number `picture`, ordered by place;
    /// none if there is no such head or picture.
    #[must_use]
    pub fn responsible(&self, head: usize, picture: usize) -> &[Responsible] {
        self.picture(head, picture)
            .map_or(&[], |picture| &picture.responsible)
    }

    /// What an anchor of a cell is trained for; `None` if there is no such head, picture or place.
    #[must_use]
    pub fn role(&self, head: usize, picture: usize, place: Place) -> Option<Role> {
        let roles = &self.picture(head, picture)?.roles;
        roles.get([place.anchor, place.row, place.column]).copied()
    }

    fn picture(&self, head: usize, picture: usize) -> Option<&PictureAssignment> {
        self.heads.get(head)?.pictures.get(picture)
    }
}

/// What an anchor of a cell is trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Its objectness should be 0.
    Background,
    /// Nothing.
    Ignored,
    /// It should predict an object.
    Responsible,
}

/// An anchor that is responsible for an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Responsible {
    /// Where.
    pub place: Place,
    /// The number of the object in the picture's list.
    pub object: usize,
    /// What `logistic(tx)`, `logistic(ty)`, `tw` and `th` should be.
    pub target: [f64; 4],
    /// The factor of centre and size: `2 - w h`, in shares of the network's input, so that small boxes
    /// count more.
    pub scale: f64,
    /// What `logistic(to)` should be.
    pub objectness: f64,
    /// The classes whose probability should be 1, in rising order.
    pub classes: Vec<usize>,
    /// The IoU of the predicted box and the object.
    pub iou: f64,
    /// The weight of the aspect ratio in CIoU.
    pub(super) alpha: f64,
    /// The object, in shares of the network's input.
    pub(super) bbox: CentreBox,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeadAssignment {
    pub(super) grid: Grid,
    /// Whether the prior acts on this batch.
    pub(super) has_prior: bool,
    pub(super) pictures: Vec<PictureAssignment>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct PictureAssignment {
    /// `[anchor, row, column]`
    pub(super) roles: Array3<Role>,
    /// Ordered by place.
    pub(super) responsible: Vec<Responsible>,
}

/// Assigns one picture's objects, whose classes the head has.
pub(super) fn assign<T: Element>(
    head: &HeadLoss,
    grid: &Grid,
    objects: &[Object],
    output: &ArrayView3<'_, T>,
) -> PictureAssignment {
    let [rows, columns] = grid.cells;
    let mut roles = Array3::from_elem((grid.anchors.len(), rows, columns), Role::Background);
    let mut assigner = Assigner {
        head,
        grid,
        objects,
        output,
        taken: BTreeMap::new(),
    };
    if !objects.is_empty() {
        for ((anchor, row, column), role) in roles.indexed_iter_mut() {
            let place = Place {
                anchor,
                row,
                column,
            };
            let overlap = Overlap::new(grid.predicted(output, place), objects);
            if overlap.largest > head.ignore_threshold() {
                *role = Role::Ignored;
            }
            if overlap.iou > head.truth_threshold() {
                assigner.take(overlap.object, place);
            }
        }
    }
    for (index, object) in objects.iter().enumerate() {
        let Some(place) = assigner.responsible_place(object.bbox) else {
            continue;
        };
        match object.kind {
            ObjectKind::Plain => assigner.take(index, place),
            ObjectKind::Difficult | ObjectKind::Crowd => {
                roles[[place.anchor, place.row, place.column]] = Role::Ignored;
            }
        }
    }
    for place in assigner.taken.keys() {
        roles[[place.anchor, place.row, place.column]] = Role::Responsible;
    }
    PictureAssignment {
        roles,
        responsible: assigner.taken.into_values().collect(),
    }
}

/// How much a predicted box overlaps a picture's objects.
struct Overlap {
    /// The largest IoU with a plain object.
    iou: f64,
    /// The number of that object, the first of equal ones.
    object: usize,
    /// The largest overlap with any object.
    largest: f64,
}

impl Overlap {
    fn new(predicted: CentreBox, objects: &[Object]) -> Self {
        let (mut best, mut largest) = ((0.0, 0), 0.0_f64);
        for (index, object) in objects.iter().enumerate() {
            let overlap = match object.kind {
                ObjectKind::Plain | ObjectKind::Difficult => predicted.iou(object.bbox),
                ObjectKind::Crowd => predicted.share_inside(object.bbox),
            };
            if object.kind.is_plain() && overlap > best.0 {
                best = (overlap, index);
            }
            largest = largest.max(overlap);
        }
        Self {
            iou: best.0,
            object: best.1,
            largest,
        }
    }
}

/// One picture's responsible anchors while they are found.
struct Assigner<'a, T> {
    head: &'a HeadLoss,
    grid: &'a Grid,
    objects: &'a [Object],
    output: &'a ArrayView3<'a, T>,
    taken: BTreeMap<Place, Responsible>,
}

impl<T: Element> Assigner<'_, T> {
    /// The anchor and cell that are responsible for a box, if they are this head's.
    fn responsible_place(&self, bbox: CentreBox) -> Option<Place> {
        let grid = self.grid;
        let cell = grid.cell(bbox);
        let anchor = match &self.head.rule {
            Rule::Region(options) => {
                region::best_anchor(options.matching, grid, bbox, cell, self.output)
            }
            Rule::Yolo { shapes, mask, .. } => {
                yolo::own_anchor(shapes, mask, bbox.scaled(grid.pixels))?
            }
        };
        let [row, column] = cell;
        Some(Place {
            anchor,
            row,
            column,
        })
    }

    /// Makes an anchor responsible for an object. Of an object that had it before, only the class
    /// remains, and only where classes are independent.
    fn take(&mut self, index: usize, place: Place) {
        let (head, grid) = (self.head, self.grid);
        let Object { class, bbox, .. } = self.objects[index];
        let mut classes = match (self.taken.remove(&place), head.head.class_activation) {
            (Some(before), ClassActivation::Logistic) => before.classes,
            (Some(_), ClassActivation::Softmax) | (None, _) => Vec::new(),
        };
        if let Err(at) = classes.binary_search(&class) {
            classes.insert(at, class);
        }
        let predicted = grid.predicted(self.output, place);
        let iou = predicted.iou(bbox);
        let in_pixels = [predicted, bbox].map(|bbox| bbox.scaled(grid.pixels));
        let alpha = match head.scales().box_loss {
            BoxLoss::CentreAndSize => 0.0,
            BoxLoss::Ciou => ciou::alpha(in_pixels[0], in_pixels[1]),
        };
        let responsible = Responsible {
            place,
            object: index,
            target: grid.encode(bbox, place),
            scale: 2.0 - bbox.w * bbox.h,
            objectness: if head.rescores() { iou } else { 1.0 },
            classes,
            iou,
            alpha,
            bbox,
        };
        self.taken.insert(place, responsible);
    }
}
