//! Pictures with boxes, in the formats of Pascal VOC, COCO and YOLO.

mod any;
mod check;
mod coco;
mod data_yaml;
mod fault;
mod format;
mod parsed;
mod parts;
mod pictures;
mod voc;
mod write;
mod yolo;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use files::show::count;
use serde::{Deserialize, Serialize};

use self::check::{is_usable, size_problem};
use self::format::LabelFiles;
use self::parsed::{Entry, ParsedPart, Reading, has_suffix};
use super::contents::{Contents, LeftOut, Part, Reason, Role};
use super::fault::Fault;
use super::splits::Splits;
use super::tree::{FileId, ROOT, Tree};
use super::{Dataset, DatasetLimits};
use crate::decode::{Turn, read_file, upright_size};
use crate::error::{Error, Result};
use crate::label::Boxes;
use crate::lint::Severity;
use crate::picture::Picture;

pub use any::AnySplits;
pub use fault::{LabelFault, LabelProblem};
pub use format::AnnotationFormat;
pub use write::Written;

/// Pictures with the boxes of their objects, from files.
///
/// [`Splits::annotated`] opens them.
pub struct Annotated {
    tree: Arc<Tree>,
    classes: Arc<[String]>,
    samples: Vec<Sample>,
}

struct Sample {
    picture: FileId,
    size: [usize; 2],
    boxes: Boxes,
}

/// How the labels of a dataset are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnnotationOptions {
    /// The format; by default, the only one that is found.
    pub format: Option<AnnotationFormat>,
    /// What becomes of labels that cannot be used as they are.
    pub faulty: Faulty,
    /// The limits.
    pub limits: DatasetLimits,
}

/// What becomes of labels that cannot be used as they are.
///
/// A box that reaches less than a pixel beyond its picture is clipped in any case, as it is probably only
/// rounded; a label that is there twice counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Faulty {
    /// The dataset is refused.
    #[default]
    Refuse,
    /// A box that reaches beyond its picture is clipped. Labels of which nothing remains, and pictures
    /// whose labels are for another size, are left out.
    Clip,
    /// Each of these labels is left out, also those that could be clipped.
    Drop,
}

impl Splits<Boxes> {
    /// Opens a dataset with boxes: a folder, a `.tar`, `.tar.gz` or `.zip`, or, of a folder, the `.yaml`,
    /// `.data` or `.json` file that describes it.
    ///
    /// - Pascal VOC: `.xml` files. Parts are in `ImageSets/Main`, or follow from the folders' names;
    /// - COCO: a `.json` for each part, whose name or folder says which;
    /// - YOLO: `.txt` files beside the pictures, or in `labels` beside `images`, with a `.yaml`, darknet's
    ///   `.data`, or a list of the classes.
    ///
    /// Pictures without objects belong to a dataset. Those of VOC and COCO that no file mentions do not.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the path and one of [`Error::Io`], [`Error::NoDataset`] if there are no labels
    /// or those of several formats, [`Error::Layout`] for parts that are unclear, [`Error::Labels`] for
    /// labels that cannot be used, if these are [refused](Faulty::Refuse), and those of archives.
    ///
    /// ```
    /// use image_data::{AnnotationOptions, Picture, Splits};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path();
    /// # Picture::from_rgb(40, 20, 120, &[9; 40 * 20 * 3])?.save_png(path.join("1.png"))?;
    /// std::fs::write(path.join("1.txt"), "0 0.5 0.5 0.25 0.5\n")?;
    /// std::fs::write(path.join("classes.txt"), "star\n")?;
    /// let splits = Splits::annotated(path, &AnnotationOptions::default())?;
    /// let object = &splits.train.label(0)[0];
    /// assert_eq!(splits.train.classes()[object.class], "star");
    /// assert_eq!((object.bbox.x1, object.bbox.x2), (15.0, 25.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn annotated(path: impl AsRef<Path>, options: &AnnotationOptions) -> Result<Self> {
        let path = path.as_ref();
        Self::survey_annotated(path, options)?.checked(path, options.faulty)
    }

    /// As [`annotated`](Self::annotated), but with the faults of the layout and of the labels in the
    /// contents, so that all can be reported.
    ///
    /// # Errors
    ///
    /// Those of [`annotated`](Self::annotated), without [`Error::Labels`].
    pub fn survey_annotated(path: impl AsRef<Path>, options: &AnnotationOptions) -> Result<Self> {
        let path = path.as_ref();
        let (tree, only) = open(path, &options.limits)?;
        read(&Arc::new(tree), only, options).map_err(|reason| reason.in_file_unless_named(path))
    }

    /// An error for the first fault of the layout, or of labels if these are to be refused.
    fn checked(self, path: &Path, faulty: Faulty) -> Result<Self> {
        if let Some(fault) = self.contents.faults.first() {
            return Err(Error::Layout(fault.clone()).in_file(path));
        }
        let faults = self.contents.labels.iter();
        let mut faults = faults.filter(|fault| fault.severity() == Severity::Error);
        match (faulty, faults.next()) {
            (Faulty::Refuse, Some(first)) => {
                let first = Box::new(first.clone());
                let count = 1 + faults.count();
                Err(Error::Labels { count, first }.in_file(path))
            }
            (Faulty::Refuse | Faulty::Clip | Faulty::Drop, _) => Ok(self),
        }
    }
}

/// The files of a dataset and, if the path is that of a file that describes it, the file's name.
fn open(path: &Path, limits: &DatasetLimits) -> Result<(Tree, Option<String>)> {
    let describes = |ending: &str| {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case(ending))
    };
    let is_description = ["yaml", "yml", "data", "json"].into_iter().any(describes);
    if !is_description || !path.is_file() {
        return Ok((Tree::open(path, limits)?, None));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Ok((Tree::open(folder, limits)?, name))
}

/// The label files of a tree; with the name of one, only that.
fn label_files(tree: &Tree, only: Option<&str>) -> LabelFiles {
    let Some(file) = only.and_then(|name| tree.find(ROOT, name.as_bytes())) else {
        return LabelFiles::find(tree);
    };
    let mut files = LabelFiles::default();
    if has_suffix(tree, file, "json") {
        files.coco = vec![file];
    } else if has_suffix(tree, file, "data") {
        files.yolo = Some(yolo::Description::Darknet(file));
    } else {
        files.yolo = Some(yolo::Description::Yaml(file));
    }
    files
}

fn read(
    tree: &Arc<Tree>,
    only: Option<String>,
    options: &AnnotationOptions,
) -> Result<Splits<Boxes>> {
    let label_files = label_files(tree, only.as_deref());
    let format = match (options.format, &label_files.formats()[..]) {
        (Some(format), _) => format,
        (None, [format]) => *format,
        (None, []) => {
            return Err(Error::NoDataset {
                reason: "no labels of boxes found: expected VOC's .xml, COCO's .json, or YOLO's \
                         .txt files"
                    .to_owned(),
            });
        }
        (None, several) => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            return Err(Error::NoDataset {
                reason: format!(
                    "labels in several formats: {}; choose one",
                    several.join(", ")
                ),
            });
        }
    };
    let mut reading = Reading::new(tree, options);
    let parsed = match format {
        AnnotationFormat::Voc => voc::read(&mut reading, ROOT)?,
        AnnotationFormat::Coco => coco::read(&mut reading, &label_files.coco)?,
        AnnotationFormat::Yolo => {
            let folders = yolo::Description::Folders(ROOT);
            yolo::read(&mut reading, label_files.yolo.unwrap_or(folders))?
        }
    };

    let classes: Arc<[String]> = parsed.classes.into();
    let mut contents = Contents {
        notes: vec![format!("labels: {format}")],
        left_out: tree.left_out().to_vec(),
        ..Contents::default()
    };
    contents.notes.extend(parsed.notes);
    let mut parts = Vec::new();
    for ParsedPart { role, entries } in with_roles(parsed.parts, &mut contents.notes) {
        let samples = entries.into_iter();
        let samples = samples
            .filter_map(|entry| sample(&mut reading, entry))
            .collect();
        let dataset = Annotated {
            tree: Arc::clone(tree),
            classes: Arc::clone(&classes),
            samples,
        };
        parts.push((role, dataset));
    }
    contents.labels = reading.faults;
    let used = parts
        .iter()
        .flat_map(|(_, part)| part.samples.iter().map(|s| s.picture));
    leave_out_unused(tree, &mut contents, used);
    say_what_was_done(&mut contents, options.faulty);
    if parts.is_empty() {
        return Err(match contents.labels.first() {
            None => Error::NoPictures,
            Some(first) => Error::Labels {
                count: contents.labels.len(),
                first: Box::new(first.clone()),
            },
        });
    }
    if parts
        .iter()
        .all(|(role, _)| !matches!(role, Role::All | Role::Train))
    {
        if let [(role, _)] = &mut parts[..] {
            *role = Role::All;
        } else {
            let found = parts.iter().map(|(role, _)| role.to_string()).collect();
            contents.faults.push(Fault::NoTraining { found });
        }
    }
    contents.parts = parts
        .iter()
        .map(|(role, part)| Part::of(*role, part))
        .collect();
    let mut datasets = parts
        .into_iter()
        .map(|(_, part)| Arc::new(part) as Arc<dyn Dataset<Boxes>>);
    Ok(Splits {
        train: datasets.next().ok_or(Error::NoPictures)?,
        valid: datasets.next(),
        test: datasets.next(),
        contents,
    })
}

/// The parts in the order of their roles. Pictures that are in none of them are not used if there are
/// any.
fn with_roles(mut parts: Vec<ParsedPart>, notes: &mut Vec<String>) -> Vec<ParsedPart> {
    parts.retain(|part| !part.entries.is_empty());
    parts.sort_by_key(|part| part.role);
    if let [all, _, ..] = &parts[..]
        && all.role == Role::All
    {
        let pictures = count(all.entries.len(), "picture is", "pictures are");
        notes.push(format!("{pictures} in none of the parts, and not used"));
        parts.remove(0);
    }
    parts
}

/// A sample, unless its picture cannot be read or its labels are for another picture.
fn sample(reading: &mut Reading<'_>, entry: Entry) -> Option<Sample> {
    let Entry { picture, stated } = entry;
    let (size, turn) = match size_of(reading.tree, picture) {
        Ok(found) => found,
        Err(error) => {
            let reason = error.to_string();
            reading.fault(
                reading.tree.shown(picture),
                LabelProblem::Unreadable { reason },
            );
            return None;
        }
    };
    // A picture without labels has none that could be for another size.
    let turn = match stated.objects.is_empty() {
        true => Turn::None,
        false => turn,
    };
    if let Some(problem) = size_problem(stated.size, size, turn) {
        let usable = is_usable(&problem);
        let file = match stated.size {
            Some(_) => stated.file.clone(),
            None => reading.tree.shown(picture),
        };
        reading.faults.push(LabelFault {
            file,
            line: None,
            object: stated
                .size
                .map(|_| files::show::bytes(reading.tree.file_name(picture))),
            problem,
        });
        if !usable {
            return None;
        }
    }
    let faulty = reading.options.faulty;
    let boxes = stated.boxes(size, faulty, &mut reading.faults);
    Some(Sample {
        picture,
        size,
        boxes,
    })
}

/// How much of a picture's file usually contains its header.
const HEAD: usize = 64 << 10;

/// A picture's `[h, w]` as [`Picture::open`] returns it, and how its EXIF orientation turned it.
fn size_of(tree: &Tree, picture: FileId) -> Result<([usize; 2], Turn)> {
    let start = tree.start(picture, HEAD)?;
    upright_size(&start).or_else(|_| {
        let limits = &tree.limits().pictures;
        let bytes = tree.read(picture, |path| read_file(path, limits))?;
        upright_size(&bytes)
    })
}

/// Lists the pictures without labels.
fn leave_out_unused(tree: &Tree, contents: &mut Contents, used: impl Iterator<Item = FileId>) {
    let mut is_used = vec![false; tree.file_count()];
    for file in used {
        is_used[file] = true;
    }
    for file in tree.all_files(ROOT) {
        let name = tree.file_name(file);
        let reason = if is_used[file] {
            continue;
        } else if crate::suffix::picture_format(name).is_some() {
            Reason::NoLabels
        } else if crate::suffix::is_unread_picture(name) {
            super::class_folders::left_out_file(tree, file, false).reason
        } else {
            continue;
        };
        let name = tree.shown(file);
        contents.left_out.push(LeftOut { name, reason });
    }
    contents.left_out.sort_unstable();
}

/// Notes how many labels were changed or left out.
fn say_what_was_done(contents: &mut Contents, faulty: Faulty) {
    let bad = contents.labels.iter();
    let bad = bad.filter(|fault| fault.severity() == Severity::Error);
    let (partly, others): (Vec<&LabelFault>, Vec<_>) =
        bad.partition(|fault| matches!(fault.problem, LabelProblem::PartlyOutside { .. }));
    let twice = contents.labels.iter();
    let twice = twice.filter(|fault| matches!(fault.problem, LabelProblem::Duplicate { .. }));
    let twice = twice.count();
    let (clipped, dropped) = match faulty {
        Faulty::Refuse => return,
        Faulty::Clip => (partly.len(), others.len()),
        Faulty::Drop => (0, partly.len() + others.len()),
    };
    for (number, what) in [
        (clipped, "clipped to their pictures"),
        (dropped, "left out, because they cannot be used"),
        (twice, "left out, because they are there twice"),
    ] {
        if number > 0 {
            contents.notes.push(format!("labels {what}: {number}"));
        }
    }
}

impl Annotated {
    fn sample(&self, index: usize) -> Result<&Sample> {
        self.samples.get(index).ok_or(Error::Index {
            index,
            len: self.samples.len(),
        })
    }

    fn bytes(&self, sample: &Sample) -> Result<Cow<'_, [u8]>> {
        let limits = &self.tree.limits().pictures;
        self.tree
            .read(sample.picture, |path| read_file(path, limits))
    }
}

impl Dataset<Boxes> for Annotated {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Boxes {
        let sample = self.samples.get(index);
        sample.map_or_else(Boxes::new, |sample| sample.boxes.clone())
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let sample = self.sample(index)?;
        let decoded = self
            .bytes(sample)
            .and_then(|bytes| Picture::decode(&bytes, &self.tree.limits().pictures));
        let checked = decoded.and_then(|picture| match picture.size() == sample.size {
            true => Ok(picture),
            // The file has been replaced since the labels were read.
            false => Err(Error::SizeChanged {
                got: picture.size(),
                expected: sample.size,
            }),
        });
        checked.map_err(|reason| reason.in_file(self.tree.path(sample.picture)))
    }

    fn size(&self, index: usize) -> Result<[usize; 2]> {
        Ok(self.sample(index)?.size)
    }

    fn name(&self, index: usize) -> String {
        match self.sample(index) {
            Ok(sample) => self.tree.shown(sample.picture),
            Err(_) => format!("#{index}"),
        }
    }

    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let sample = self.sample(index)?;
        self.bytes(sample)
            .map(Some)
            .map_err(|reason| reason.in_file(self.tree.path(sample.picture)))
    }
}
