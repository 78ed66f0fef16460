//! Writes COCO's format; [`super::super::coco`] reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Item, Writer, create, write};
use crate::error::{Error, Result};
use crate::label::ObjectKind;

pub(super) struct Coco<'a> {
    folder: &'a Path,
    classes: &'a [String],
    parts: BTreeMap<String, Part>,
}

/// What differs from part to part. Ids count from 1, as tools take 0 for none.
#[derive(Default)]
struct Part {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
struct File<'a> {
    // Some tools ask for both.
    info: Info,
    licenses: [(); 0],
    images: &'a [Image],
    annotations: &'a [Annotation],
    categories: Vec<Category<'a>>,
}

#[derive(Serialize)]
struct Info {}

#[derive(Serialize)]
struct Image {
    id: usize,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Serialize)]
struct Annotation {
    id: usize,
    image_id: usize,
    category_id: usize,
    /// `x, y, w, h`.
    bbox: [f64; 4],
    area: f64,
    iscrowd: u8,
    #[serde(skip_serializing_if = "is_0")]
    ignore: u8,
    segmentation: [(); 0],
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_0(flag: &u8) -> bool {
    *flag == 0
}

#[derive(Serialize)]
struct Category<'a> {
    id: usize,
    name: &'a str,
}

impl<'a> Coco<'a> {
    pub(super) fn new(folder: &'a Path, classes: &'a [String]) -> Self {
        Self {
            folder,
            classes,
            parts: BTreeMap::new(),
        }
    }
}

impl Writer for Coco<'_> {
    fn pictures(&self, part: &str) -> PathBuf {
        PathBuf::from(part)
    }

    fn shares_folder(&self) -> bool {
        false
    }

    fn add(&mut self, part: &str, item: &Item<'_>) -> Result<usize> {
        let part = self.parts.entry(part.to_owned()).or_default();
        let image_id = part.images.len() + 1;
        let [height, width] = item.size;
        part.images.push(Image {
            id: image_id,
            file_name: item.file.to_owned(),
            width,
            height,
        });
        for object in item.boxes {
            let b = object.bbox;
            let [x1, y1, x2, y2] = [b.x1, b.y1, b.x2, b.y2].map(f64::from);
            let [w, h] = [x2 - x1, y2 - y1];
            part.annotations.push(Annotation {
                id: part.annotations.len() + 1,
                image_id,
                category_id: object.class + 1,
                bbox: [x1, y1, w, h],
                area: object.area.unwrap_or(w * h),
                iscrowd: u8::from(object.kind == ObjectKind::Crowd),
                ignore: u8::from(object.kind == ObjectKind::Difficult),
                segmentation: [],
            });
        }
        Ok(item.boxes.len())
    }

    fn finish(&mut self, parts: &[&'static str]) -> Result<Vec<String>> {
        let folder = self.folder.join("annotations");
        create(&folder)?;
        let empty = Part::default();
        for part in parts {
            let Part {
                images,
                annotations,
            } = self.parts.get(*part).unwrap_or(&empty);
            let categories = self.classes.iter().enumerate();
            let file = File {
                info: Info {},
                licenses: [],
                images,
                annotations,
                categories: categories
                    .map(|(index, name)| Category {
                        id: index + 1,
                        name,
                    })
                    .collect(),
            };
            let json = serde_json::to_vec(&file).map_err(|error| Error::Io(error.into()))?;
            write(&folder.join(format!("instances_{part}.json")), &json)?;
        }
        Ok(Vec::new())
    }
}
