//! A folder for each class, on disk or inside an archive.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::tree::{Tree, below, join};
use super::{Dataset, DatasetLimits, Skipped, is_picture_name};
use crate::decode::read_file;
use crate::error::{Error, Result};
use crate::picture::Picture;

/// A folder for each class, with pictures in it or in folders below it.
///
/// The classes are the folders' names, sorted by their bytes; so are the pictures of each class, by
/// their path. A picture is a file that is called so (`.jpg`, `.jpeg`, `.png`, `.bmp`, `.pnm`,
/// `.pbm`, `.pgm`, `.ppm`, in any case); other files are [skipped](Dataset::skipped), and so is
/// what is hidden. A class without a picture is still a class.
///
/// The folder may lie inside a `.tar` or `.tar.gz`, which is read into memory once, without being
/// unpacked to disk. Its links, devices, sparse files and paths with `..` are skipped.
pub struct ClassFolders {
    tree: Arc<Tree>,
    classes: Vec<String>,
    samples: Vec<Sample>,
    skipped: Vec<Skipped>,
}

struct Sample {
    /// Its index in the tree.
    file: usize,
    label: usize,
}

impl ClassFolders {
    /// From a folder or an archive. Where all lies in one single folder, as in most archives, that
    /// is gone into.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the path and one of [`Error::Io`], [`Error::NoDataset`] where there is
    /// no folder, [`Error::NoPictures`], and for archives [`Error::OverLimit`],
    /// [`Error::Truncated`], [`Error::Decode`].
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
        let folder = only_folder(&tree, "");
        Self::in_tree(tree, &folder, None).map_err(|reason| reason.in_file(path))
    }

    /// From a folder of a tree. With `classes`, which are sorted, labels are counted by
    /// these.
    pub(super) fn in_tree(
        tree: Arc<Tree>,
        folder: &str,
        classes: Option<&[String]>,
    ) -> Result<Self> {
        let found: Vec<&str> = tree
            .folders_in(folder)
            .filter(|name| !is_hidden(name))
            .collect();
        if found.is_empty() {
            return Err(Error::NoDataset {
                reason: "expected a folder for each class".to_owned(),
            });
        }
        let classes = match classes {
            Some(classes) => classes.to_vec(),
            None => found.iter().map(|&name| name.to_owned()).collect(),
        };
        if let Some(class) = found
            .iter()
            .find(|&&name| classes.iter().all(|class| class != name))
        {
            return Err(Error::UnknownClass {
                class: (*class).to_owned(),
                classes: classes.len(),
            });
        }

        let mut samples = Vec::new();
        let mut skipped = tree.skipped().to_vec();
        for (file, path) in tree.paths().enumerate() {
            let Some(path_in_folder) = below(path, folder) else {
                continue;
            };
            let class = path_in_folder.split_once('/').and_then(|(class, _)| {
                classes
                    .binary_search_by(|name| name.as_str().cmp(class))
                    .ok()
            });
            let reason = match class {
                _ if path_in_folder.split('/').any(is_hidden) => "hidden",
                None => "not in a class's folder",
                Some(_) if !is_picture_name(path) => "not called like a picture",
                Some(label) => {
                    samples.push(Sample { file, label });
                    continue;
                }
            };
            skipped.push(Skipped {
                name: path.to_owned(),
                reason: reason.to_owned(),
            });
        }
        samples.sort_by_key(|sample: &Sample| sample.label);
        for skipped in &mut skipped {
            skipped.name = tree.name_of(&skipped.name).display().to_string();
        }
        skipped.sort_by(|a, b| a.name.cmp(&b.name));
        if samples.is_empty() {
            return Err(Error::NoPictures);
        }
        Ok(Self {
            tree,
            classes,
            samples,
            skipped,
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
            .map_err(|reason| reason.in_file(self.tree.name(sample.file)))
    }

    fn name(&self, index: usize) -> String {
        match self.sample(index) {
            Ok(sample) => self.tree.name(sample.file).display().to_string(),
            Err(_) => format!("#{index}"),
        }
    }

    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let sample = self.sample(index)?;
        self.bytes(sample)
            .map(Some)
            .map_err(|reason| reason.in_file(self.tree.name(sample.file)))
    }

    fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

/// What file managers and archivers leave behind.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

/// The folder to begin with: `at`, or where that has nothing but one folder, which has folders
/// itself, that one.
pub(super) fn only_folder(tree: &Tree, at: &str) -> String {
    let has_pictures = |folder: &str| {
        tree.paths()
            .filter_map(|path| below(path, folder))
            .any(|path| !path.contains('/') && is_picture_name(path))
    };
    let mut folders = tree.folders_in(at).filter(|name| !is_hidden(name));
    if let (Some(only), None) = (folders.next(), folders.next()) {
        let inner = join(at, only);
        if !has_pictures(at) && !has_pictures(&inner) && tree.folders_in(&inner).next().is_some() {
            return only_folder(tree, &inner);
        }
    }
    at.to_owned()
}
