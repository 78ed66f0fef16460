//! The files of MNIST and of datasets modelled on it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use files::show;

use super::archive::{read_error, unpacked};
use super::splits::Splits;
use super::splits::only_with;
use super::tree::{FolderId, Tree};
use super::{Dataset, DatasetLimits};
use crate::error::{Error, Result};
use crate::picture::Picture;

/// The classes of Fashion-MNIST (Xiao, Rasul and Vollgraf, "Fashion-MNIST", 2017, table 2).
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

/// Grey pictures of one size and a file of labels: MNIST, Fashion-MNIST and others in the format
/// IDX (<http://yann.lecun.com/exdb/mnist>), compressed by gzip or not.
///
/// The bytes are kept in memory unchanged, one per pixel; a [`Picture`] has the grey value in all
/// of its channels.
pub struct Idx {
    name: String,
    size: [usize; 2],
    /// `[n, h, w]`.
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl Idx {
    /// Reads a file of pictures and a file of labels. Without `classes`, the classes are called `0`,
    /// `1` and so on, up to the largest label and at least to `9`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the path and one of [`Error::Io`], [`Error::Format`] for an
    /// invalid file, [`Error::Truncated`], [`Error::Decode`] for broken gzip,
    /// [`Error::OverLimit`], [`Error::NoPictures`], [`Error::Label`].
    ///
    /// ```
    /// # use image_data::{Dataset, DatasetLimits, Idx};
    /// # let folder = tempfile::tempdir()?;
    /// # let [images, labels] = ["images", "labels"].map(|name| folder.path().join(name));
    /// // Two pictures of one row and three columns; their labels.
    /// std::fs::write(&images, b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03\x01\x02\x03\x04\x05\x06")?;
    /// std::fs::write(&labels, b"\0\0\x08\x01\0\0\0\x02\x07\x09")?;
    /// let dataset = Idx::open(&images, &labels, None, &DatasetLimits::default())?;
    /// assert_eq!(dataset.picture(1)?.rgb(), [4, 4, 4, 5, 5, 5, 6, 6, 6]);
    /// assert_eq!(dataset.classes()[dataset.label(1)], "9");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        images: impl AsRef<Path>,
        labels: impl AsRef<Path>,
        classes: Option<&[&str]>,
        limits: &DatasetLimits,
    ) -> Result<Self> {
        let read = |path: &Path, axes| {
            File::open(path)
                .map_err(Error::Io)
                .and_then(|file| {
                    unpacked(file, limits.max_archive_bytes, |file| {
                        read_idx(file, axes, limits)
                    })
                })
                .map_err(|reason| reason.in_file(path))
        };
        let (images, labels) = (images.as_ref(), labels.as_ref());
        let classes = classes.map(|classes| names_of(classes.iter().copied()));
        let name = images.file_name().unwrap_or_default().to_string_lossy();
        Self::new(&name, read(images, 3)?, read(labels, 1)?, classes)
            .map_err(|reason| reason.in_file(labels))
    }

    /// Finds the files by their official names, if present.
    pub(super) fn in_tree(tree: &Tree) -> Result<Option<Splits>> {
        let names: Vec<String> = file_names("train", "images", 3).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Some(folder) = only_with(tree, &names)? else {
            return Ok(None);
        };
        let called = folder_called(tree, folder);
        let fashion = called.to_lowercase().contains("fashion");
        let classes = fashion.then(|| names_of(FASHION_MNIST_CLASSES));
        let Some(train) = Self::part_of_tree(tree, folder, &["train"], classes)? else {
            return Ok(None);
        };
        let classes = Some(train.classes.clone());
        let valid = Self::part_of_tree(tree, folder, &["t10k", "test"], classes)?;
        let valid = valid.map(|valid| Arc::new(valid) as Arc<dyn Dataset>);
        let mut splits = Splits::new(Arc::new(train), valid).of_files(tree, folder, "t10k");
        if fashion {
            let called = show::one_line(&called);
            let note = format!("the classes are named as Fashion-MNIST's, by the folder {called}");
            splits.contents.notes.push(note);
        }
        Ok(Some(splits))
    }

    /// The pictures, with their labels, of the first of the parts present in a folder.
    fn part_of_tree(
        tree: &Tree,
        folder: FolderId,
        parts: &[&str],
        classes: Option<Vec<String>>,
    ) -> Result<Option<Self>> {
        let read =
            |index, axes| tree.read_unpacked(index, |file| read_idx(file, axes, tree.limits()));
        let find = |content, axes| {
            parts
                .iter()
                .flat_map(|part| file_names(part, content, axes))
                .find_map(|name| tree.find(folder, name.as_bytes()))
        };
        let Some(images) = find("images", 3) else {
            return Ok(None);
        };
        let labels = find("labels", 1).ok_or_else(|| {
            let reason = "the labels of these pictures are missing".to_owned();
            Error::NoDataset { reason }.in_file(tree.path(images))
        })?;
        let name = show::bytes(tree.file_name(images));
        Self::new(&name, read(images, 3)?, read(labels, 1)?, classes)
            .map(Some)
            .map_err(|reason| reason.in_file(tree.path(labels)))
    }

    fn new(
        name: &str,
        images: Contents,
        labels: Contents,
        classes: Option<Vec<String>>,
    ) -> Result<Self> {
        let &[count, height, width] = images.shape.as_slice() else {
            return Err(Error::NoPictures);
        };
        if labels.bytes.len() != count {
            return Err(Error::Format {
                format: "IDX",
                what: "the number of labels",
                got: labels.bytes.len().to_string(),
                expected: format!("{count}, the number of pictures"),
            });
        }
        let largest = labels
            .bytes
            .iter()
            .copied()
            .max()
            .ok_or(Error::NoPictures)?;
        let classes = classes.unwrap_or_else(|| {
            (0..=largest.max(9))
                .map(|label| label.to_string())
                .collect()
        });
        let no_class = |&label: &u8| usize::from(label) >= classes.len();
        if let Some(index) = labels.bytes.iter().position(no_class) {
            return Err(Error::Label {
                index,
                label: usize::from(labels.bytes[index]),
                classes: classes.len(),
            });
        }
        let name = name.strip_suffix(".gz").unwrap_or(name);
        Ok(Self {
            name: name.split(['-', '.']).take(2).collect::<Vec<_>>().join("-"),
            size: [height, width],
            pixels: images.bytes,
            labels: labels.bytes,
            classes,
        })
    }
}

fn names_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// The names of a file in the official datasets and their mirrors.
fn file_names(part: &str, content: &str, axes: usize) -> impl Iterator<Item = String> {
    let stem = format!("{part}-{content}");
    ["-", "."].into_iter().flat_map(move |separator| {
        let stem = stem.clone();
        ["", ".gz"]
            .into_iter()
            .map(move |end| format!("{stem}{separator}idx{axes}-ubyte{end}"))
    })
}

/// The name of the files' folder, or of its parent if it is called `raw`, as in torchvision.
fn folder_called(tree: &Tree, folder: FolderId) -> String {
    let path = tree.folder_path(folder);
    // An archive has only its own name, and `.` has none.
    let path = path.canonicalize().unwrap_or(path);
    let mut names = path.iter().rev().map(|name| name.to_string_lossy());
    let name = names.next().unwrap_or_default();
    let name = if name == "raw" {
        names.next().unwrap_or(name)
    } else {
        name
    };
    name.into_owned()
}

/// The contents of an IDX file.
struct Contents {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Two zeros, the type (8: bytes), the number of axes, each axis' length as four bytes, the highest
/// first, and then the values.
fn read_idx(file: &mut dyn Read, axes: usize, limits: &DatasetLimits) -> Result<Contents> {
    let failed = |error| read_error("IDX", error);
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(failed)?;
    if magic != [0, 0, 8, axes as u8] {
        return Err(Error::Format {
            format: "IDX",
            what: "the beginning",
            got: format!("{magic:02x?}"),
            expected: format!("[00, 00, 08, {axes:02x}], bytes along {axes} axes"),
        });
    }
    let mut shape = Vec::with_capacity(axes);
    for _ in 0..axes {
        let mut length = [0; 4];
        file.read_exact(&mut length).map_err(failed)?;
        shape.push(u32::from_be_bytes(length) as usize);
    }
    if let &[_, height, width] = shape.as_slice()
        && (height == 0 || width == 0)
    {
        return Err(Error::NoPixels { width, height });
    }
    let len = shape
        .iter()
        .try_fold(1u64, |len, &length| len.checked_mul(length as u64))
        .unwrap_or(u64::MAX);
    if len > limits.max_archive_bytes {
        return Err(Error::OverLimit {
            what: "the number of unpacked bytes",
            got: len,
            limit: limits.max_archive_bytes,
        });
    }
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes).map_err(failed)?;
    if (bytes.len() as u64) < len {
        return Err(Error::Truncated { format: "IDX" });
    }
    // Also makes gzip verify its checksum.
    if file.read(&mut [0]).map_err(failed)? != 0 {
        return Err(Error::Format {
            format: "IDX",
            what: "the length",
            got: format!("more than {len} bytes"),
            expected: format!("{len} for the shape {shape:?}"),
        });
    }
    bytes.shrink_to_fit();
    Ok(Contents { shape, bytes })
}

impl Dataset for Idx {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.labels
            .get(index)
            .map_or(self.classes.len(), |&label| usize::from(label))
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let [height, width] = self.size;
        let len = height * width;
        let grey = index
            .checked_mul(len)
            .and_then(|start| self.pixels.get(start..)?.get(..len))
            .ok_or(Error::Index {
                index,
                len: self.len(),
            })?;
        let rgb = grey.iter().flat_map(|&grey| [grey; 3]).collect();
        Picture::new(width, height, rgb)
    }

    fn name(&self, index: usize) -> String {
        format!("{} #{index}", self.name)
    }
}
