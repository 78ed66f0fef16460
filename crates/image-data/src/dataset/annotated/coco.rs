//! COCO's annotations: one JSON file for each part.
//!
//! ```text
//! {"images": [{"id": 1, "file_name": "1.jpg", "height": 480, "width": 640}, ...],
//!  "annotations": [{"id": 7, "image_id": 1, "category_id": 3, "bbox": [x, y, w, h], "iscrowd": 0,
//!                   "area": 105.5}, ...],
//!  "categories": [{"id": 3, "name": "car"}, ...]}
//! ```
//!
//! Boxes are in pixels, on continuous axes. Classes are numbered in the order of the categories' ids.
//!
//! Source: the format of the data of <https://cocodataset.org>.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::check::{Stated, StatedBox, StatedObject};
use super::fault::LabelProblem;
use super::parsed::{Entry, Parsed, ParsedPart, Reading, bytes_of, decoded};
use super::parts::{part_of, role_in};
use crate::dataset::contents::Role;
use crate::dataset::fault::Fault;
use crate::dataset::tree::{FileId, FolderId, ROOT, Tree};
use crate::error::{Error, Result};
use crate::label::ObjectKind;

/// The keys that tell the format, at the beginning of a file.
pub(super) fn is_coco(start: &[u8]) -> bool {
    let has = |key: &str| {
        let key = format!("\"{key}\"");
        start
            .windows(key.len())
            .any(|window| window == key.as_bytes())
    };
    let images = has("images") && (has("file_name") || has("annotations"));
    images || has("annotations") && (has("image_id") || has("categories"))
}

/// The whole file. Each entry is read by itself, so that one that is broken does not hide the others.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(borrow)]
    annotations: Vec<&'a RawValue>,
    #[serde(borrow)]
    categories: Vec<&'a RawValue>,
}

/// COCO's ids are numbers; some programs write texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(String),
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(&files::show::one_line(text)),
        }
    }
}

#[derive(Deserialize)]
struct Image {
    id: Id,
    file_name: String,
    #[serde(default)]
    height: usize,
    #[serde(default)]
    width: usize,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    id: Option<Id>,
    image_id: Id,
    category_id: Id,
    bbox: [f64; 4],
    #[serde(default)]
    area: Option<f64>,
    #[serde(default)]
    iscrowd: Flag,
    /// Not COCO's own, but of tools that follow it: neither trained on nor missed.
    #[serde(default)]
    ignore: Flag,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(untagged)]
enum Flag {
    #[default]
    Unset,
    Number(i64),
    Bool(bool),
}

impl Flag {
    fn is_set(self) -> bool {
        match self {
            Self::Unset => false,
            Self::Number(number) => number != 0,
            Self::Bool(set) => set,
        }
    }
}

#[derive(Deserialize)]
struct Category {
    id: Id,
    name: String,
}

/// Reads these files, one for each part.
pub(super) fn read(reading: &mut Reading<'_>, files: &[FileId]) -> Result<Parsed> {
    let tree = reading.tree;
    let mut parts: Vec<ParsedPart> = Vec::new();
    let mut classes: Vec<String> = Vec::new();
    let mut by_role: Vec<(Role, FileId)> = files.iter().map(|&f| (role_of(tree, f), f)).collect();
    // The classes are numbered as in the training part.
    by_role.sort_by_key(|(role, _)| *role);
    for same in by_role.chunk_by(|(a, _), (b, _)| a == b) {
        if let [(role, _), _, ..] = same {
            let folders = same.iter().map(|&(_, file)| tree.shown(file)).collect();
            return Err(Error::Layout(Fault::SamePart {
                folders,
                what: role.to_string(),
            }));
        }
    }
    for (role, file) in by_role {
        let bytes = bytes_of(tree, file, reading.options.limits.max_archive_bytes)?;
        let text = match decoded(bytes) {
            Ok(text) => text,
            Err(problem) => {
                reading.fault(tree.shown(file), problem);
                continue;
            }
        };
        let entries = read_file(reading, file, role, &text, &mut classes);
        parts.push(ParsedPart { role, entries });
    }
    Ok(Parsed {
        classes,
        parts,
        notes: Vec::new(),
    })
}

/// The part that a file describes: by its own name, or by its folder's.
fn role_of(tree: &Tree, file: FileId) -> Role {
    let name = super::pictures::stem(tree.file_name(file));
    role_in(name).unwrap_or_else(|| part_of(tree, file))
}

/// The folders in which a file's pictures usually are: its own, those beside and in it that are called like
/// its part, and `images` in one of these.
fn picture_folders(tree: &Tree, file: FileId, role: Role) -> Vec<FolderId> {
    let own = tree.folder_of(file);
    let parent = tree.parent_of(own);
    let mut folders = vec![own];
    for near in [own, parent] {
        let called =
            tree.folders_in(near).iter().copied().filter(|&folder| {
                role != Role::All && role_in(tree.folder_name(folder)) == Some(role)
            });
        folders.extend(called.take(MOST_FOLDERS));
    }
    folders.extend([parent, ROOT]);
    let images = |&folder: &FolderId| tree.folder_in(folder, b"images");
    let images: Vec<FolderId> = folders.iter().filter_map(images).collect();
    folders.extend(images);
    folders
}

/// The most folders of one part in which pictures are looked for.
const MOST_FOLDERS: usize = 8;

/// Where a text's lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = ends.map(|(at, _)| at + 1).collect();
        Self { text, starts }
    }

    /// The line, from 1, of a value that was read from the text.
    fn of_value(&self, value: &RawValue) -> usize {
        let at = value.get().as_ptr() as usize - self.text.as_ptr() as usize;
        self.starts.partition_point(|&start| start <= at) + 1
    }
}

fn read_file(
    reading: &mut Reading<'_>,
    file: FileId,
    role: Role,
    text: &str,
    classes: &mut Vec<String>,
) -> Vec<Entry> {
    let shown = reading.tree.shown(file);
    let contents: File<'_> = match serde_json::from_str(text) {
        Ok(contents) => contents,
        Err(error) => {
            let problem = syntax(&error);
            reading.fault_at(&shown, error.line().max(1), None, problem);
            return Vec::new();
        }
    };
    let lines = Lines::of(text);
    let class_of = categories(reading, &shown, &lines, &contents.categories, classes);

    let mut entries: Vec<Entry> = Vec::new();
    // The entry of each image; none for an image whose picture is missing, which has been reported.
    let mut entry_of: HashMap<Id, Option<usize>> = HashMap::new();
    let mut seen: HashMap<FileId, ()> = HashMap::new();
    let folders = picture_folders(reading.tree, file, role);
    for value in &contents.images {
        let line = lines.of_value(value);
        let image: Image = match serde_json::from_str(value.get()) {
            Ok(image) => image,
            Err(error) => {
                reading.fault_at(&shown, line, Some("an image"), syntax(&error));
                continue;
            }
        };
        let name = format!("image {}", image.id);
        let found = reading.pictures.of_path(&image.file_name, &folders);
        let found = found.and_then(|picture| match seen.insert(picture, ()) {
            None => Ok(picture),
            Some(()) => Err(LabelProblem::LabelledTwice {
                picture: files::show::one_line(&image.file_name),
            }),
        });
        let entry = match found {
            Ok(picture) => {
                let size = [image.height, image.width];
                let stated = Stated {
                    file: shown.clone(),
                    size: (!size.contains(&0)).then_some(size),
                    objects: Vec::new(),
                };
                entries.push(Entry { picture, stated });
                Some(entries.len() - 1)
            }
            Err(problem) => {
                reading.fault_at(&shown, line, Some(&name), problem);
                None
            }
        };
        entry_of.insert(image.id, entry);
    }

    for value in &contents.annotations {
        let line = lines.of_value(value);
        let annotation: Annotation = match serde_json::from_str(value.get()) {
            Ok(annotation) => annotation,
            Err(error) => {
                reading.fault_at(&shown, line, Some("an annotation"), syntax(&error));
                continue;
            }
        };
        let name = annotation.id.as_ref().map(|id| format!("annotation {id}"));
        match object(&annotation, line, name.clone(), &entry_of, &class_of) {
            Ok(Some((entry, object))) => entries[entry].stated.objects.push(object),
            // Its picture is missing, which has been reported.
            Ok(None) => {}
            Err(problem) => reading.fault_at(&shown, line, name.as_deref(), problem),
        }
    }
    entries
}

/// The entry that an annotation belongs to, and its object.
fn object(
    annotation: &Annotation,
    line: usize,
    name: Option<String>,
    entry_of: &HashMap<Id, Option<usize>>,
    class_of: &HashMap<Id, usize>,
) -> std::result::Result<Option<(usize, StatedObject)>, LabelProblem> {
    let entry = entry_of.get(&annotation.image_id);
    let entry = entry.ok_or_else(|| LabelProblem::Field {
        field: "image_id".to_owned(),
        expected: "the id of an image".to_owned(),
        got: annotation.image_id.to_string(),
    })?;
    let class = class_of.get(&annotation.category_id);
    let class = class.ok_or_else(|| LabelProblem::UnknownClass {
        class: annotation.category_id.to_string(),
        near: Vec::new(),
    })?;
    let [x, y, w, h] = annotation.bbox;
    let object = StatedObject {
        line,
        name,
        class: *class,
        place: StatedBox::Pixels([x, y, x + w, y + h]),
        kind: if annotation.iscrowd.is_set() {
            ObjectKind::Crowd
        } else if annotation.ignore.is_set() {
            ObjectKind::Difficult
        } else {
            ObjectKind::Plain
        },
        // A box without an outline has its own area.
        area: annotation
            .area
            .filter(|area| *area > 0.0 && (*area - w * h).abs() > 1e-9 * w * h),
    };
    Ok(entry.map(|entry| (entry, object)))
}

/// The class of each category. Categories of the first file define the classes, in the order of their
/// ids; those of another file have to have the same names.
fn categories(
    reading: &mut Reading<'_>,
    shown: &str,
    lines: &Lines<'_>,
    values: &[&RawValue],
    classes: &mut Vec<String>,
) -> HashMap<Id, usize> {
    let is_first = classes.is_empty();
    let mut found: Vec<(Id, String, usize)> = Vec::new();
    for value in values {
        let line = lines.of_value(value);
        match serde_json::from_str::<Category>(value.get()) {
            Ok(category) => {
                let name = files::show::one_line(category.name.trim());
                found.push((category.id, name, line));
            }
            Err(error) => reading.fault_at(shown, line, Some("a category"), syntax(&error)),
        }
    }
    found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    if is_first {
        classes.extend(found.iter().map(|(_, name, _)| name.clone()));
    }
    let mut class_of = HashMap::new();
    for (index, (id, name, line)) in found.into_iter().enumerate() {
        let class = match is_first {
            true => Some(index),
            false => classes.iter().position(|class| *class == name),
        };
        match class {
            Some(class) => drop(class_of.insert(id, class)),
            None => {
                let problem = reading.unknown_class(&name, classes);
                reading.fault_at(shown, line, Some("a category"), problem);
            }
        }
    }
    class_of
}

/// The parser's message, without its place, which counts from the entry.
fn syntax(error: &serde_json::Error) -> LabelProblem {
    let text = error.to_string();
    let reason = match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason,
        None => &text,
    };
    LabelProblem::Syntax {
        reason: files::show::one_line(reason),
    }
}
