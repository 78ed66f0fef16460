//! A folder for each class, on disk or inside an archive.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use files::nearest;
use files::show::{bytes, one_line};

use super::contents::{Contents, LeftOut, Part, Reason, Role};
use super::fault::Fault;
use super::layout::{is_runs, only_folder};
use super::tree::{FileId, FolderId, Tree};
use super::{Dataset, DatasetLimits};
use crate::decode::read_file;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::suffix::{is_unread_picture, picture_format, suffix};

/// A folder for each class, with pictures in it or in folders below it.
///
/// The classes are the folders' names, in their order as text; the pictures of each class are in the
/// order of their paths' bytes. A name that is not UTF-8 is shown with its bytes escaped, as `\xC8`.
/// A picture is a file whose name ends in one of the [suffixes](crate::picture_suffixes), in any
/// case; other files are left out, as are hidden files and an operating system's own. A folder
/// without pictures is an error, because it is unlikely to be a class.
///
/// The folder may lie inside a `.tar`, `.tar.gz` or `.zip`, which is read into memory once, without
/// being unpacked to disk. Symbolic links, devices, sparse files and paths with `..` in it are left
/// out.
pub struct ClassFolders {
    tree: Arc<Tree>,
    classes: Vec<String>,
    /// Sorted by class, then by path.
    samples: Vec<Sample>,
}

struct Sample {
    file: FileId,
    label: usize,
}

/// The contents found in a folder of classes.
pub(super) struct Found {
    pub(super) dataset: ClassFolders,
    pub(super) part: Part,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) faults: Vec<Fault>,
}

impl ClassFolders {
    /// Opens a folder or an archive. If everything is in a single folder, as in most archives, that
    /// folder is used. [`Splits::open`](super::Splits::open) finds parts for training and validation,
    /// too, and lists what was left out.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the path and one of [`Error::Io`], [`Error::NoDataset`] if there is
    /// no folder, [`Error::NoPictures`], [`Error::Layout`] for a folder without pictures and for
    /// two that are printed alike, and for archives [`Error::OverLimit`], [`Error::Truncated`],
    /// [`Error::Decode`], [`Error::NotADataset`].
    ///
    /// ```
    /// # use image_data::{ClassFolders, Dataset, DatasetLimits, Picture};
    /// # let folder = tempfile::tempdir()?;
    /// for (class, grey) in [("moon", 200), ("night", 10)] {
    ///     std::fs::create_dir(folder.path().join(class))?;
    ///     let file = folder.path().join(class).join("1.png");
    ///     Picture::from_rgb(2, 1, 6, &[grey; 6])?.save_png(file)?;
    /// }
    /// let dataset = ClassFolders::open(folder.path(), &DatasetLimits::default())?;
    /// assert_eq!(dataset.classes(), ["moon", "night"]);
    /// assert_eq!((dataset.len(), dataset.label(1)), (2, 1));
    /// assert_eq!(dataset.picture(1)?.rgb(), [10; 6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, limits: &DatasetLimits) -> Result<Self> {
        let path = path.as_ref();
        let tree = Arc::new(Tree::open(path, limits)?);
        let (folder, role) = only_folder(&tree);
        let found = Self::in_tree(tree, role, folder, None).map_err(|e| e.in_file(path))?;
        match found.faults.into_iter().next() {
            None => Ok(found.dataset),
            Some(fault) => Err(Error::Layout(fault).in_file(path)),
        }
    }

    /// Reads a folder of a tree. With `known` classes, which are sorted, labels are indices of these;
    /// other classes come after them, and are faults.
    pub(super) fn in_tree(
        tree: Arc<Tree>,
        role: Role,
        folder: FolderId,
        known: Option<&[String]>,
    ) -> Result<Found> {
        let title = Part::title_of(&tree, role, folder);
        let mut left_out = Vec::new();
        let mut faults = Vec::new();
        let mut found: Vec<(String, FolderId)> = Vec::new();
        for &id in tree.folders_in(folder) {
            if is_runs(&tree, id) {
                left_out.push(left_out_folder(&tree, id, Reason::Runs));
            } else {
                found.push((bytes(tree.folder_name(id)), id));
            }
        }
        if found.is_empty() {
            return Err(Error::NoDataset {
                reason: "expected a folder for each class".to_owned(),
            });
        }
        if tree.pictures_below(folder) == tree.pictures(folder) {
            return Err(no_pictures(&tree, folder));
        }
        found.sort();
        for alike in found.chunk_by(|(a, _), (b, _)| a == b) {
            if alike.len() > 1 {
                faults.push(Fault::AlikeClasses {
                    part: title.clone(),
                    class: alike[0].0.clone(),
                    folders: alike.len(),
                });
            }
        }

        let mut classes = known.map_or_else(Vec::new, <[String]>::to_vec);
        let known = known.map(<[String]>::len);
        let mut labelled: Vec<(usize, FolderId)> = Vec::new();
        for (class, id) in found {
            let pictures = tree.pictures_below(id);
            let label = known.and_then(|known| classes[..known].binary_search(&class).ok());
            let empty = Fault::EmptyClass {
                part: title.clone(),
                class: class.clone(),
                files: tree.files_below(id),
            };
            match (label, known) {
                // A class may have no samples for evaluation.
                (Some(label), _) => labelled.push((label, id)),
                (None, Some(_)) if pictures == 0 => {
                    left_out.push(left_out_folder(&tree, id, Reason::EmptyFolder));
                    left_out.extend(unread_files(&tree, id));
                }
                (None, Some(known)) => {
                    faults.push(Fault::UnknownClass {
                        part: title.clone(),
                        near: near(&class, &classes[..known], &faults),
                        class: class.clone(),
                        pictures,
                        classes: known,
                    });
                    labelled.push((classes.len(), id));
                    classes.push(class);
                }
                (None, None) => {
                    if pictures == 0 {
                        faults.push(empty);
                    }
                    labelled.push((classes.len(), id));
                    classes.push(class);
                }
            }
        }
        labelled.sort_unstable();

        let mut samples = Vec::new();
        for file in tree.files_in(folder) {
            left_out.push(left_out_file(&tree, file, true));
        }
        for (label, id) in labelled {
            for file in tree.all_files(id) {
                if picture_format(tree.file_name(file)).is_some() {
                    samples.push(Sample { file, label });
                } else {
                    left_out.push(left_out_file(&tree, file, false));
                }
            }
        }
        let name = tree.shown_below(folder);
        let dataset = Self {
            tree,
            classes,
            samples,
        };
        Ok(Found {
            part: Part {
                name,
                ..Part::of(role, &dataset)
            },
            dataset,
            left_out,
            faults,
        })
    }

    fn sample(&self, index: usize) -> Result<&Sample> {
        self.samples.get(index).ok_or(Error::Index {
            index,
            len: self.samples.len(),
        })
    }

    /// The bytes of a sample's file, without its name in the error.
    fn bytes(&self, sample: &Sample) -> Result<Cow<'_, [u8]>> {
        let limits = &self.tree.limits().pictures;
        self.tree.read(sample.file, |path| read_file(path, limits))
    }
}

/// The most classes for which similar names are searched: each is compared with all.
const MOST_COMPARED: usize = 10;

fn near(class: &str, known: &[String], faults: &[Fault]) -> Vec<String> {
    if faults.len() >= MOST_COMPARED {
        return Vec::new();
    }
    let near = nearest(class, known.iter().map(String::as_str));
    near.into_iter().map(str::to_owned).collect()
}

/// Why a file is not a sample. `beside` the class folders, not even a picture is one.
pub(super) fn left_out_file(tree: &Tree, file: FileId, beside: bool) -> LeftOut {
    let name = tree.file_name(file);
    let ending = || {
        let ending = suffix(name).unwrap_or_default().to_ascii_lowercase();
        // There may be as many extensions as files.
        if ending.len() <= 8 {
            bytes(&ending)
        } else {
            String::new()
        }
    };
    let reason = if is_unread_picture(name) {
        Reason::Format(ending())
    } else if beside && picture_format(name).is_some() {
        Reason::NoClass
    } else {
        Reason::Other(ending())
    };
    LeftOut {
        name: tree.shown(file),
        reason,
    }
}

pub(super) fn left_out_folder(tree: &Tree, folder: FolderId, reason: Reason) -> LeftOut {
    LeftOut {
        name: files::show::name(tree.folder_path(folder).as_os_str()),
        reason,
    }
}

/// The pictures of unsupported formats in a folder that is left out.
pub(super) fn unread_files(tree: &Tree, folder: FolderId) -> Vec<LeftOut> {
    let mut files = tree.all_files(folder);
    files.retain(|&file| is_unread_picture(tree.file_name(file)));
    let left_out = files
        .into_iter()
        .map(|file| left_out_file(tree, file, false));
    left_out.collect()
}

/// The error for no pictures, listing files in another format or in the wrong place.
fn no_pictures(tree: &Tree, folder: FolderId) -> Error {
    let beside = tree.files_in(folder);
    let files = tree.all_files(folder).into_iter();
    let left_out = files.map(|file| left_out_file(tree, file, beside.contains(&file)));
    let contents = Contents {
        left_out: left_out
            .chain(tree.left_out().iter().cloned())
            .filter(|left_out| left_out.reason.may_hide_pictures())
            .collect(),
        ..Contents::default()
    };
    if contents.left_out.is_empty() {
        return Error::NoPictures;
    }
    let reason = format!("no pictures; {contents}").replace('\n', "; ");
    Error::NoDataset {
        reason: one_line(&reason),
    }
}

impl Dataset for ClassFolders {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.samples
            .get(index)
            .map_or(self.classes.len(), |sample| sample.label)
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let sample = self.sample(index)?;
        self.bytes(sample)
            .and_then(|bytes| Picture::decode(&bytes, &self.tree.limits().pictures))
            .map_err(|reason| reason.in_file(self.tree.path(sample.file)))
    }

    fn name(&self, index: usize) -> String {
        match self.sample(index) {
            Ok(sample) => self.tree.shown(sample.file),
            Err(_) => format!("#{index}"),
        }
    }

    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let sample = self.sample(index)?;
        self.bytes(sample)
            .map(Some)
            .map_err(|reason| reason.in_file(self.tree.path(sample.file)))
    }
}
