//! Writes pictures with boxes as a dataset in any of the formats.

mod coco;
mod file_names;
mod voc;
mod yolo;

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use files::show::count;
use serde::Serialize;

use self::file_names::FileNames;
use super::format::AnnotationFormat;
use crate::dataset::Dataset;
use crate::dataset::contents::Role;
use crate::dataset::splits::Splits;
use crate::decode::{Turn, upright_size};
use crate::error::{Error, Result};
use crate::label::Boxes;
use crate::picture::Picture;

/// What [`Splits::write_annotated`] wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The number of pictures.
    pub pictures: usize,
    /// The number of objects.
    pub objects: usize,
    /// What the format could not express, and what was written in another form, one sentence each.
    pub notes: Vec<String>,
}

/// A picture and its objects, as they are written.
struct Item<'a> {
    /// The name of the picture's file, without its folder.
    file: &'a str,
    /// The picture's `[h, w]`.
    size: [usize; 2],
    boxes: &'a Boxes,
}

/// A writer of one format.
trait Writer {
    /// The folder of the pictures of a part, below the dataset's.
    fn pictures(&self, part: &str) -> PathBuf;

    /// Whether the pictures of all parts are in one folder.
    fn shares_folder(&self) -> bool;

    /// Adds a picture; returns the number of its objects that the format can express.
    fn add(&mut self, part: &str, item: &Item<'_>) -> Result<usize>;

    /// Writes the files that describe the whole, once all pictures of these parts have been added. Returns
    /// notes for [`Written`].
    fn finish(&mut self, parts: &[&'static str]) -> Result<Vec<String>>;
}

impl Splits<Boxes> {
    /// Writes all parts as a dataset in `format` into `folder`, which must be empty or not there yet.
    /// `written` is called after each picture.
    ///
    /// - Pascal VOC: `JPEGImages`, `Annotations`, `ImageSets/Main`, and `classes.txt`;
    /// - COCO: `annotations/instances_PART.json` and the pictures in `PART`;
    /// - YOLO: `data.yaml`, `images/PART` and `labels/PART`.
    ///
    /// The parts are `train`, `val` and `test`; a dataset without parts is `train`. The files of pictures are
    /// copied, and get other names where two would have the same. A picture without a file, and one that is
    /// turned by its EXIF orientation, which not every program knows, is written upright as PNG. YOLO has
    /// neither difficult objects nor crowds: these are left out.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for a folder that is not empty, and the errors of reading and writing.
    ///
    /// ```
    /// use image_data::{AnnotationFormat, AnnotationOptions, Picture, Splits};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let (path, out) = (&folder.path().join("in"), &folder.path().join("out"));
    /// # std::fs::create_dir(path)?;
    /// # Picture::from_rgb(40, 20, 120, &[9; 40 * 20 * 3])?.save_png(path.join("1.png"))?;
    /// # std::fs::write(path.join("1.txt"), "0 0.5 0.5 0.25 0.5\n")?;
    /// # std::fs::write(path.join("classes.txt"), "star\n")?;
    /// let splits = Splits::annotated(path, &AnnotationOptions::default())?;
    /// let written = splits.write_annotated(out, AnnotationFormat::Coco, &|| {})?;
    /// assert_eq!((written.pictures, written.objects), (1, 1));
    /// assert!(out.join("annotations/instances_train.json").is_file());
    ///
    /// let again = Splits::annotated(out, &AnnotationOptions::default())?;
    /// assert_eq!(again.train.label(0), splits.train.label(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_annotated(
        &self,
        folder: impl AsRef<Path>,
        format: AnnotationFormat,
        written: &dyn Fn(),
    ) -> Result<Written> {
        let folder = folder.as_ref();
        claim(folder)?;
        let classes = self.train.classes();
        let mut writer: Box<dyn Writer> = match format {
            AnnotationFormat::Voc => Box::new(voc::Voc::new(folder, classes)),
            AnnotationFormat::Coco => Box::new(coco::Coco::new(folder, classes)),
            AnnotationFormat::Yolo => Box::new(yolo::Yolo::new(folder, classes)),
        };
        let mut done = Written::default();
        let mut turned = 0;
        let mut parts: Vec<&'static str> = Vec::new();
        let mut names = FileNames::default();
        for (part, dataset) in self.parts() {
            let part = part_name(part.role);
            parts.push(part);
            if !writer.shares_folder() {
                names = FileNames::default();
            }
            let pictures = folder.join(writer.pictures(part));
            create(&pictures)?;
            for index in 0..dataset.len() {
                let source = Source::of(dataset, index)?;
                let name = names.free(&dataset.name(index), source.ending());
                turned += usize::from(matches!(source, Source::Upright(_)));
                write(&pictures.join(&name), &source.bytes()?)?;
                let item = Item {
                    file: &name,
                    size: source.size(),
                    boxes: &dataset.label(index),
                };
                done.objects += writer.add(part, &item)?;
                done.pictures += 1;
                written();
            }
        }
        done.notes = writer.finish(&parts)?;
        if turned > 0 {
            let pictures = count(turned, "picture is", "pictures are");
            done.notes.push(format!(
                "{pictures} written upright as PNG: their EXIF orientation turns them, which not \
                 every program knows"
            ));
        }
        Ok(done)
    }
}

/// The name of a part, as most programs have it.
fn part_name(role: Role) -> &'static str {
    match role {
        Role::All | Role::Train => "train",
        Role::Valid => "val",
        Role::Test => "test",
    }
}

/// Where a picture's bytes come from.
enum Source<'a> {
    /// Its file, as it is.
    File {
        bytes: Cow<'a, [u8]>,
        size: [usize; 2],
    },
    /// Its pixels, since the file turns them.
    Upright(Picture),
    /// Its pixels, since it has no file.
    Pixels(Picture),
}

impl<'a> Source<'a> {
    fn of(dataset: &'a dyn Dataset<Boxes>, index: usize) -> Result<Self> {
        let Some(bytes) = dataset.file(index)? else {
            return Ok(Self::Pixels(dataset.picture(index)?));
        };
        let size = upright_size(&bytes);
        let (size, turn) = size.map_err(|error| error.in_file(dataset.name(index)))?;
        match turn {
            Turn::None => Ok(Self::File { bytes, size }),
            Turn::SidesKept | Turn::SidesExchanged => Ok(Self::Upright(dataset.picture(index)?)),
        }
    }

    fn size(&self) -> [usize; 2] {
        match self {
            Self::File { size, .. } => *size,
            Self::Upright(picture) | Self::Pixels(picture) => picture.size(),
        }
    }

    /// The suffix that the file must have; `None` for the one that it has.
    fn ending(&self) -> Option<&'static str> {
        match self {
            Self::File { .. } => None,
            Self::Upright(_) | Self::Pixels(_) => Some("png"),
        }
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        Ok(match self {
            Self::File { bytes, .. } => Cow::Borrowed(bytes),
            Self::Upright(picture) | Self::Pixels(picture) => Cow::Owned(picture.to_png()?),
        })
    }
}

/// Creates the folder; one that is there must be empty.
fn claim(folder: &Path) -> Result<()> {
    create(folder)?;
    let mut entries = fs::read_dir(folder).map_err(|error| Error::from(error).in_file(folder))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::NotEmpty.in_file(folder)),
    }
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| Error::from(error).in_file(folder))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| Error::from(error).in_file(path))
}
