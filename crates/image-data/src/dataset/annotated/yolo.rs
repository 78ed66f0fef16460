//! YOLO's labels: a text file for each picture, with one object in each line.
//!
//! ```text
//! class center_x center_y width height
//! ```
//!
//! The class is a number from 0; the others are shares of the picture's width and height. A picture
//! without objects has an empty file, or none. A line may have an outline instead of a box, as at least
//! three points `x y`; the box around it counts.
//!
//! The labels of `images/a/1.jpg` are in `labels/a/1.txt` or, without a folder `images`, beside it. The
//! parts and the classes' names are in a `.yaml` (of which [`DataYaml`] has the keys), in darknet's
//! `.data`, or else they follow from the folders' names and from a list such as `classes.txt`.
//!
//! Source: darknet's `src/data.c`.

use std::collections::HashSet;

use super::check::{Stated, StatedBox, StatedObject};
use super::data_yaml::DataYaml;
use super::fault::LabelProblem;
use super::parsed::{Entry, Parsed, ParsedPart, Reading, class_names, has_suffix};
use super::parts::part_of;
use super::pictures::{parts, stem};
use crate::dataset::contents::Role;
use crate::dataset::tree::{FileId, FolderId, ROOT, Tree};
use crate::error::Result;
use crate::label::ObjectKind;
use crate::suffix::picture_format;

/// Where the parts and the classes are described.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Description {
    Yaml(FileId),
    /// Darknet's, with lines such as `train = data/train.txt`.
    Darknet(FileId),
    /// By the names of the folders below this one.
    Folders(FolderId),
}

/// The files that may list the classes, in their order.
const CLASS_FILES: [&str; 5] = [
    "classes.txt",
    "obj.names",
    "data.names",
    "_darknet.labels",
    "labels.txt",
];

/// A part as it is described: paths of folders and of lists of pictures.
type Described = Vec<(Role, Vec<String>)>;

/// Reads the labels of all pictures that are described.
pub(super) fn read(reading: &mut Reading<'_>, description: Description) -> Result<Parsed> {
    let tree = reading.tree;
    let mut notes = Vec::new();
    let (classes, mut parts) = match description {
        Description::Yaml(file) => match data_yaml(reading, file)? {
            Some((classes, described, base)) => {
                (Some(classes), listed(reading, file, &described, base)?)
            }
            None => (Some(Vec::new()), Vec::new()),
        },
        Description::Darknet(file) => {
            let (classes, described) = darknet_data(reading, file)?;
            let base = tree.folder_of(file);
            (classes, listed(reading, file, &described, base)?)
        }
        Description::Folders(folder) => {
            let mut parts: Vec<ParsedPart> = Vec::new();
            for picture in pictures_below(tree, folder) {
                let role = part_of(tree, picture);
                let entries = &mut ParsedPart::with_role(&mut parts, role).entries;
                entries.push(unlabelled(tree, picture));
            }
            (class_file(reading, folder)?, parts)
        }
    };
    parts.sort_by_key(|part| part.role);

    let mut used = HashSet::new();
    let mut without = 0;
    let mut most = 0;
    for entry in parts.iter_mut().flat_map(|part| &mut part.entries) {
        match label_file(tree, entry.picture) {
            None => without += 1,
            Some(file) => {
                used.insert(file);
                entry.stated = labels(reading, file, classes.as_deref())?;
                let largest = entry.stated.objects.iter().map(|object| object.class + 1);
                most = largest.fold(most, usize::max);
            }
        }
    }
    report_unused(reading, &used);
    if without > 0 {
        let pictures = files::show::count(without, "picture has", "pictures have");
        notes.push(format!(
            "{pictures} no label file: taken as without objects"
        ));
    }
    let classes = classes.unwrap_or_else(|| {
        let note = "no names of classes found (classes.txt): they are called by their numbers";
        notes.push(note.to_owned());
        (0..most).map(|class| class.to_string()).collect()
    });
    Ok(Parsed {
        classes,
        parts,
        notes,
    })
}

/// The classes and parts of a YAML file, and the folder that its paths begin from.
fn data_yaml(
    reading: &mut Reading<'_>,
    file: FileId,
) -> Result<Option<(Vec<String>, Described, FolderId)>> {
    let tree = reading.tree;
    let Some(text) = reading.text(file)? else {
        return Ok(None);
    };
    let yaml = match DataYaml::parse(&text) {
        Ok(yaml) => yaml,
        Err((line, problem)) => {
            reading.fault_at(&tree.shown(file), line, None, problem);
            return Ok(None);
        }
    };
    let own = tree.folder_of(file);
    let base = yaml
        .path
        .as_deref()
        .and_then(|path| match find(tree, own, path) {
            Some(Found::Folder(folder)) => Some(folder),
            _ => None,
        });
    let described = vec![
        (Role::Train, yaml.train),
        (Role::Valid, yaml.val),
        (Role::Test, yaml.test),
    ];
    // Files are often moved without a change of `path`.
    Ok(Some((yaml.names, described, base.unwrap_or(own))))
}

/// The classes and parts of darknet's description.
fn darknet_data(
    reading: &mut Reading<'_>,
    file: FileId,
) -> Result<(Option<Vec<String>>, Described)> {
    let tree = reading.tree;
    let (mut classes, mut described) = (None, Described::new());
    let Some(text) = reading.text(file)? else {
        return Ok((classes, described));
    };
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim().to_owned();
        match key.trim() {
            "train" => described.push((Role::Train, vec![value])),
            "valid" => described.push((Role::Valid, vec![value])),
            "names" => match find(tree, tree.folder_of(file), &value) {
                Some(Found::File(names)) => {
                    classes = reading.text(names)?.map(|text| class_names(&text));
                }
                _ => {
                    let problem = missing_path("names", &value);
                    reading.fault_at(&tree.shown(file), index + 1, None, problem);
                }
            },
            _ => {}
        }
    }
    Ok((classes, described))
}

/// The pictures of parts that are described by paths.
fn listed(
    reading: &mut Reading<'_>,
    file: FileId,
    described: &Described,
    base: FolderId,
) -> Result<Vec<ParsedPart>> {
    let tree = reading.tree;
    let mut parts = Vec::new();
    for (role, paths) in described {
        for path in paths {
            let found = match find(tree, base, path) {
                Some(Found::Folder(folder)) => pictures_below(tree, folder),
                Some(Found::File(list)) => pictures_of_list(reading, list)?,
                None => {
                    reading.fault(tree.shown(file), missing_path(&role.to_string(), path));
                    continue;
                }
            };
            let entries = &mut ParsedPart::with_role(&mut parts, *role).entries;
            entries.extend(found.into_iter().map(|picture| unlabelled(tree, picture)));
        }
    }
    Ok(parts)
}

fn missing_path(field: &str, path: &str) -> LabelProblem {
    LabelProblem::Field {
        field: field.to_owned(),
        expected: "a folder or a file of the dataset".to_owned(),
        got: files::show::one_line(path),
    }
}

/// The pictures whose paths are in a file, one in each line.
fn pictures_of_list(reading: &mut Reading<'_>, list: FileId) -> Result<Vec<FileId>> {
    let folder = reading.tree.folder_of(list);
    let bases = [folder, reading.tree.parent_of(folder), ROOT];
    let mut pictures = Vec::new();
    let text = reading.text(list)?.unwrap_or_default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        match reading.pictures.of_path(line, &bases) {
            Ok(picture) => pictures.push(picture),
            Err(problem) => {
                let shown = reading.tree.shown(list);
                reading.fault_at(&shown, index + 1, None, problem);
            }
        }
    }
    Ok(pictures)
}

enum Found {
    Folder(FolderId),
    File(FileId),
}

/// A path that a description has, from the folder `base`. Leading parts that do not exist are left out,
/// since datasets are moved: `/data/me/cells/images` and `../images` are found as `images`.
fn find(tree: &Tree, base: FolderId, path: &str) -> Option<Found> {
    let parts = parts(path);
    let starts = (0..parts.len().max(1)).flat_map(|skip| [(base, skip), (ROOT, skip)]);
    let mut starts = starts.map(|(from, skip)| (from, parts.get(skip..).unwrap_or_default()));
    starts.find_map(|(from, parts)| {
        let Some((last, folders)) = parts.split_last() else {
            return Some(Found::Folder(from));
        };
        let step = |folder, part: &&[u8]| match *part {
            b".." => Some(tree.parent_of(folder)),
            name => tree.folder_in(folder, name),
        };
        let folder = folders.iter().try_fold(from, step)?;
        let file = || tree.find(folder, last).map(Found::File);
        step(folder, last).map(Found::Folder).or_else(file)
    })
}

/// The names of the classes, from a list in the folder itself or else in the first one below.
fn class_file(reading: &mut Reading<'_>, folder: FolderId) -> Result<Option<Vec<String>>> {
    for folder in reading.tree.folders_below(folder) {
        if let Some(classes) = reading.class_list(folder, &CLASS_FILES)? {
            return Ok(Some(classes));
        }
    }
    Ok(None)
}

fn pictures_below(tree: &Tree, folder: FolderId) -> Vec<FileId> {
    let mut files = tree.all_files(folder);
    files.retain(|&file| picture_format(tree.file_name(file)).is_some());
    files
}

fn unlabelled(tree: &Tree, picture: FileId) -> Entry {
    let stated = Stated {
        file: tree.shown(picture),
        size: None,
        objects: Vec::new(),
    };
    Entry { picture, stated }
}

/// The file with the labels of a picture.
pub(super) fn label_file(tree: &Tree, picture: FileId) -> Option<FileId> {
    let mut name = stem(tree.file_name(picture)).to_vec();
    name.extend_from_slice(b".txt");
    let folder = tree.folder_of(picture);
    let beside_images = labels_folder(tree, folder).and_then(|folder| tree.find(folder, &name));
    beside_images.or_else(|| tree.find(folder, &name))
}

/// The folder of the labels of the pictures in a folder: the last `images` on its path becomes `labels`.
fn labels_folder(tree: &Tree, folder: FolderId) -> Option<FolderId> {
    let mut below: Vec<&[u8]> = Vec::new();
    let mut at = folder;
    while at != ROOT {
        let name = tree.folder_name(at);
        if name.eq_ignore_ascii_case(b"images") || name.eq_ignore_ascii_case(b"JPEGImages") {
            let labels = tree.folder_in(tree.parent_of(at), b"labels")?;
            let step = |folder, name: &&[u8]| tree.folder_in(folder, name);
            return below.iter().rev().try_fold(labels, step);
        }
        below.push(name);
        at = tree.parent_of(at);
    }
    None
}

/// Reports the label files, in folders in which others were used, whose pictures are missing.
fn report_unused(reading: &mut Reading<'_>, used: &HashSet<FileId>) {
    let tree = reading.tree;
    let folders: HashSet<FolderId> = used.iter().map(|&file| tree.folder_of(file)).collect();
    for file in tree.all_files(ROOT) {
        let is_label = folders.contains(&tree.folder_of(file))
            && has_suffix(tree, file, "txt")
            && !CLASS_FILES
                .iter()
                .any(|name| tree.file_name(file) == name.as_bytes());
        if is_label
            && !used.contains(&file)
            && let Err(problem) = reading.pictures.of_label(file)
        {
            reading.fault(tree.shown(file), problem);
        }
    }
}

/// Reads one label file.
fn labels(reading: &mut Reading<'_>, file: FileId, classes: Option<&[String]>) -> Result<Stated> {
    let mut stated = Stated {
        file: reading.tree.shown(file),
        size: None,
        objects: Vec::new(),
    };
    let text = reading.text(file)?.unwrap_or_default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        match label(line, classes) {
            Ok((class, edges)) => stated.objects.push(StatedObject {
                line: index + 1,
                name: None,
                class,
                place: StatedBox::Shares(edges),
                kind: ObjectKind::Plain,
                area: None,
            }),
            Err(problem) => reading.fault_at(&stated.file, index + 1, None, problem),
        }
    }
    Ok(stated)
}

/// Shares beyond this are not rounded ones: they are pixels.
const LARGEST_SHARE: f64 = 2.0;

/// The class of one line, and the edges `x1, y1, x2, y2` of its box as shares of the picture.
pub(super) fn label(
    line: &str,
    classes: Option<&[String]>,
) -> std::result::Result<(usize, [f64; 4]), LabelProblem> {
    let mut fields = line.split_ascii_whitespace();
    let class = fields.next().unwrap_or_default();
    let number = |text: &str, field: &str, expected: &str| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| LabelProblem::Field {
            field: field.to_owned(),
            expected: expected.to_owned(),
            got: format!("{:?}", files::show::shorten(text, 40)),
        })
    };
    let class_number = number(class, "the class", "a number from 0")?;
    let known = classes.map_or(f64::from(u16::MAX), |classes| classes.len() as f64);
    if class_number.fract() != 0.0 || !(0.0..known).contains(&class_number) {
        return Err(LabelProblem::UnknownClass {
            class: files::show::shorten(class, 40),
            near: Vec::new(),
        });
    }
    let values: Vec<f64> = fields
        .map(|text| number(text, "a coordinate", "a number"))
        .collect::<std::result::Result<_, _>>()?;
    if values.len() != 4 && (values.len() < 6 || !values.len().is_multiple_of(2)) {
        return Err(LabelProblem::Field {
            field: "the line".to_owned(),
            expected: "a class and 4 numbers, or a class and the points of an outline".to_owned(),
            got: files::show::count(values.len() + 1, "number", "numbers"),
        });
    }
    let largest = values
        .iter()
        .fold(0.0, |largest: f64, value| largest.max(value.abs()));
    if largest > LARGEST_SHARE {
        return Err(LabelProblem::PixelUnits {
            got: largest.to_string(),
        });
    }
    let edges = match values[..] {
        [cx, cy, w, h] => [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0],
        _ => around(&values),
    };
    Ok((class_number as usize, edges))
}

/// The box around the points `x y x y ...`.
fn around(points: &[f64]) -> [f64; 4] {
    let start = [
        f64::INFINITY,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NEG_INFINITY,
    ];
    let (points, _) = points.as_chunks::<2>();
    points.iter().fold(start, |[x1, y1, x2, y2], &[x, y]| {
        [x1.min(x), y1.min(y), x2.max(x), y2.max(y)]
    })
}
