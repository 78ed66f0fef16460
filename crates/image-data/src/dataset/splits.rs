//! What to train on and what to validate on, found in one place.

use std::path::Path;
use std::sync::Arc;

use super::class_folders::{is_hidden, only_folder};
use super::contents::{Contents, Part, Role};
use super::tree::{Tree, join};
use super::{Cifar, CifarLabels, ClassFolders, Dataset, DatasetLimits, Idx};
use crate::error::{Error, Result};

/// A dataset's parts.
pub struct Splits {
    /// What a network learns from.
    pub train: Arc<dyn Dataset>,
    /// What it is measured on; with the classes of [`train`](Self::train). Where a dataset has a part
    /// for tests only, it is that one.
    pub valid: Option<Arc<dyn Dataset>>,
    /// A part for tests beside [`valid`](Self::valid).
    pub test: Option<Arc<dyn Dataset>>,
    /// What was found, and what of it is not used.
    pub contents: Contents,
}

/// Names of the folder to train on, and of the one to validate on, the first found of each.
const TRAIN: [&str; 2] = ["train", "training"];
const VALID: [&str; 4] = ["valid", "val", "validation", "test"];

impl Splits {
    /// Parts that were not found in a folder, but made.
    #[must_use]
    pub fn new(train: Arc<dyn Dataset>, valid: Option<Arc<dyn Dataset>>) -> Self {
        let parts = [(Role::Train, Some(&train)), (Role::Valid, valid.as_ref())];
        let parts = parts
            .into_iter()
            .filter_map(|(role, part)| Some((role, &**part?)));
        let contents = Contents::of(parts);
        Self {
            train,
            valid,
            test: None,
            contents,
        }
    }

    /// What a network is measured on: [`valid`](Self::valid), or, where there is none, all.
    #[must_use]
    pub fn measured(&self) -> &Arc<dyn Dataset> {
        self.valid.as_ref().unwrap_or(&self.train)
    }

    /// What messages call the part that a network is [measured](Self::measured) on, such as
    /// `valid (Test)`.
    #[must_use]
    pub fn measured_title(&self) -> String {
        let part = usize::from(self.valid.is_some());
        self.contents
            .parts
            .get(part)
            .map_or_else(String::new, Part::title)
    }

    /// Opens whatever dataset lies in a folder or in a `.tar` or `.tar.gz`:
    ///
    /// - [`Idx`], where there is a `train-images-idx3-ubyte`, with or without `.gz`; its test
    ///   files are the second part. The classes are those of Fashion-MNIST where the path has
    ///   `fashion` in it, and else digits;
    /// - [`Cifar`], where there is a `data_batch_1.bin` (CIFAR-10) or a `train.bin` (CIFAR-100, of
    ///   which the fine labels are taken); its test file is the second part;
    /// - else [`ClassFolders`]: below a folder `train` or `training`, if there is one, with
    ///   `valid`, `val`, `validation` or `test` beside it; or the folder itself, without a second
    ///   part.
    ///
    /// # Errors
    ///
    /// Those of the three, with the path, and [`Error::Layout`] for the first of the
    /// [faults](Contents::faults).
    pub fn open(path: impl AsRef<Path>, limits: &DatasetLimits) -> Result<Self> {
        let path = path.as_ref();
        let splits = Self::survey(path, limits)?;
        match splits.contents.faults.first() {
            None => Ok(splits),
            Some(fault) => Err(Error::Layout(fault.clone()).in_file(path)),
        }
    }

    /// As [`open`](Self::open), but with the [faults](Contents::faults) of the layout in the
    /// contents, to name them all. Such a dataset is good to be looked at, but not to train on.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) but for [`Error::Layout`].
    pub fn survey(path: impl AsRef<Path>, limits: &DatasetLimits) -> Result<Self> {
        let path = path.as_ref();
        let tree = Arc::new(Tree::open(path, limits)?);
        if let Some(splits) = Idx::in_tree(&tree)? {
            return Ok(splits);
        }
        if let Some(splits) = Cifar::in_tree(&tree, CifarLabels::Fine)? {
            return Ok(splits);
        }
        Self::class_folders(tree).map_err(|reason| reason.in_file(path))
    }

    fn class_folders(tree: Arc<Tree>) -> Result<Self> {
        let root = only_folder(&tree, "");
        let folder_called = |names: &[&str]| {
            let name = names
                .iter()
                .find(|&&name| tree.folders_in(&root).any(|folder| folder == name))?;
            Some(join(&root, name))
        };
        // A class may be called `train` too, but then has no folders in it.
        let train = folder_called(&TRAIN)
            .filter(|train| tree.folders_in(train).any(|name| !is_hidden(name)));
        let Some(train) = train else {
            let train = ClassFolders::in_tree(tree, &root, None)?;
            return Ok(Self::new(Arc::new(train), None));
        };
        let valid = folder_called(&VALID);
        let train = ClassFolders::in_tree(Arc::clone(&tree), &train, None)?;
        let valid = match valid {
            Some(valid) => Some(ClassFolders::in_tree(tree, &valid, Some(train.classes()))?),
            None => None,
        };
        let valid = valid.map(|valid| Arc::new(valid) as Arc<dyn Dataset>);
        Ok(Self::new(Arc::new(train), valid))
    }
}
