//! Finds the parts of a dataset for training and evaluation.

use std::path::Path;
use std::sync::Arc;

use super::class_folders::{Found, left_out_file, left_out_folder, unread_files};
use super::contents::{Contents, Part, Role};
use super::layout::Layout;
use super::tree::{FolderId, Tree};
use super::{Cifar, CifarLabels, ClassFolders, Dataset, DatasetLimits, Idx};
use crate::error::{Error, Result};
use crate::label::Label;

/// A dataset's parts and its contents.
///
/// ```
/// use image_data::{DatasetLimits, Picture, Splits};
///
/// # let folder = tempfile::tempdir()?;
/// # for file in ["Train/cat/1.png", "Train/dog/1.png", "Test/cat/2.png", "Train/dog/2.heic"] {
/// #     let file = folder.path().join(file);
/// #     std::fs::create_dir_all(file.parent().unwrap())?;
/// #     Picture::from_rgb(1, 1, 3, &[9; 3])?.save_png(file)?;
/// # }
/// # let path = folder.path();
/// let splits = Splits::open(path, &DatasetLimits::default())?;
/// assert_eq!(splits.train.classes(), ["cat", "dog"]);
/// assert_eq!(splits.evaluation().len(), 1);
///
/// // train (Train): 2 pictures of 2 classes
/// // test (Test): 1 picture of 1 of 2 classes
/// // left out: 1, pictures in .heic are not read: data/Train/dog/2.heic
/// let contents = splits.contents.to_string();
/// # let path = path.display();
/// # assert_eq!(contents, format!("train (Train): 2 pictures of 2 classes
/// # test (Test): 1 picture of 1 of 2 classes
/// # left out: 1, pictures in .heic are not read: {path}/Train/dog/2.heic"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Splits<L: Label = usize> {
    /// The part for training.
    pub train: Arc<dyn Dataset<L>>,
    /// The part for evaluation, with the classes of [`train`](Self::train). If the only other part
    /// of a dataset is for tests, it is used here.
    pub valid: Option<Arc<dyn Dataset<L>>>,
    /// A part for tests beside [`valid`](Self::valid), with the same classes.
    pub test: Option<Arc<dyn Dataset<L>>>,
    /// What was found, and what is left out.
    pub contents: Contents,
}

impl<L: Label> Splits<L> {
    /// Makes splits from parts that were not found in a folder.
    #[must_use]
    pub fn new(train: Arc<dyn Dataset<L>>, valid: Option<Arc<dyn Dataset<L>>>) -> Self {
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

    /// The dataset for evaluation: [`valid`](Self::valid) or, without it, all samples.
    #[must_use]
    pub fn evaluation(&self) -> &Arc<dyn Dataset<L>> {
        self.valid.as_ref().unwrap_or(&self.train)
    }

    /// The name in messages of the part for [evaluation](Self::evaluation), such as `valid (Dev)`.
    #[must_use]
    pub fn evaluation_title(&self) -> String {
        let part = usize::from(self.valid.is_some());
        let part = self.contents.parts.get(part);
        part.map_or_else(String::new, Part::title)
    }

    /// All parts, each with its contents.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&Part, &dyn Dataset<L>)> {
        let datasets = [Some(&self.train), self.valid.as_ref(), self.test.as_ref()];
        let datasets = datasets.into_iter().flatten().map(|dataset| &**dataset);
        self.contents.parts.iter().zip(datasets)
    }
}

impl Splits {
    /// Opens the dataset in a folder or in a `.tar`, `.tar.gz` or `.zip`:
    ///
    /// - [`Idx`], if there is a `train-images-idx3-ubyte`, with or without `.gz`; its test
    ///   files are the second part. The classes are those of Fashion-MNIST if the name of the
    ///   files' folder (or of its parent, if it is called `raw`) says so, otherwise digits;
    /// - [`Cifar`], if there is a `data_batch_1.bin` (CIFAR-10) or a `train.bin` (CIFAR-100, with
    ///   its fine labels); its test file is the second part;
    /// - otherwise [`ClassFolders`]. Folders called `train` or `training`; `valid`, `val`,
    ///   `validation`, `validate`, `dev` or `eval`; `test` or `testing`, in any case and also as
    ///   the first or last word of a name, as in `seg_train`, are parts. Without any of them, the
    ///   folders are the classes. Another folder with pictures beside the parts is an error; but if
    ///   it and the `train` beside it directly contain pictures, both are classes.
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
    /// contents, so that all can be reported. Such a dataset can be inspected, but not trained on:
    /// its parts may differ in their classes, with those of `train` first.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), but [`Error::Layout`] only if nothing can be inspected.
    pub fn survey(path: impl AsRef<Path>, limits: &DatasetLimits) -> Result<Self> {
        let path = path.as_ref();
        Self::survey_tree(&Arc::new(Tree::open(path, limits)?), path)
    }

    /// [`survey`](Self::survey) of the files of `path`.
    pub(super) fn survey_tree(tree: &Arc<Tree>, path: &Path) -> Result<Self> {
        if let Some(splits) = Idx::in_tree(tree)? {
            return Ok(splits);
        }
        if let Some(splits) = Cifar::in_tree(tree, CifarLabels::Fine)? {
            return Ok(splits);
        }
        Self::class_folders(tree).map_err(|reason| reason.in_file(path))
    }

    /// Names the parts after the files' folder and, for the second part, after its file.
    pub(super) fn of_files(mut self, tree: &Tree, folder: FolderId, test: &str) -> Self {
        let below = tree.shown_below(folder);
        for part in &mut self.contents.parts {
            part.name.clone_from(&below);
            if part.role == Role::Valid {
                part.role = Role::Test;
                part.name = if below.is_empty() {
                    test.to_owned()
                } else {
                    format!("{below}/{test}")
                };
            }
        }
        self.contents.left_out = tree.left_out().to_vec();
        self
    }

    fn class_folders(tree: &Arc<Tree>) -> Result<Self> {
        let layout = Layout::find(tree)?;
        let mut contents = Contents {
            left_out: tree.left_out().to_vec(),
            faults: layout.faults,
            ..Contents::default()
        };
        let mut datasets: Vec<Arc<dyn Dataset>> = Vec::new();
        for &(role, folder) in &layout.parts {
            let classes = datasets.first().map(Dataset::classes);
            let Found {
                dataset,
                part,
                left_out,
                faults,
            } = ClassFolders::in_tree(Arc::clone(tree), role, folder, classes)?;
            datasets.push(Arc::new(dataset));
            contents.parts.push(part);
            contents.left_out.extend(left_out);
            contents.faults.extend(faults);
        }
        if layout
            .parts
            .iter()
            .all(|&(_, folder)| folder != layout.root)
        {
            let beside = tree.files_in(layout.root);
            let beside = beside.map(|file| left_out_file(tree, file, true));
            contents.left_out.extend(beside);
        }
        for (folder, reason) in layout.left_out {
            contents
                .left_out
                .push(left_out_folder(tree, folder, reason));
            contents.left_out.extend(unread_files(tree, folder));
        }
        contents.left_out.sort_unstable();
        if let [_, valid, test] = &contents.parts[..] {
            let note = format!(
                "evaluated on {}; to evaluate on {}, open it by itself",
                valid.title(),
                test.title()
            );
            contents.notes.push(note);
        }
        let mut datasets = datasets.into_iter();
        Ok(Self {
            train: datasets.next().ok_or(Error::Internal {
                broken: "a dataset has no part",
            })?,
            valid: datasets.next(),
            test: datasets.next(),
            contents,
        })
    }
}

/// The only folder with a file of one of these names, or `None`.
pub(super) fn only_with(tree: &Tree, names: &[&str]) -> Result<Option<FolderId>> {
    let has = |&folder: &FolderId| {
        names
            .iter()
            .any(|name| tree.find(folder, name.as_bytes()).is_some())
    };
    let mut folders = (0..tree.folder_count()).filter(has);
    let first = folders.next();
    if let (Some(first), Some(second)) = (first, folders.next()) {
        let [first, second] = [first, second].map(|folder| tree.shown_below(folder));
        let reason = format!(
            "{} in {first:?} and in {second:?}: open one of these folders",
            names[0]
        );
        return Err(Error::NoDataset { reason }.in_file(tree.root()));
    }
    Ok(first)
}
