//! The binary files of CIFAR-10 and CIFAR-100.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::archive::{read_error, unpacked};
use super::splits::Splits;
use super::splits::only_with;
use super::tree::Tree;
use super::{Dataset, DatasetLimits};
use crate::error::{Error, Result};
use crate::picture::Picture;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// The binary version of CIFAR-10 or CIFAR-100 (Krizhevsky, "Learning Multiple Layers of Features
/// from Tiny Images", 2009): records of one or two labels, then the red, green and blue planes of
/// a 32x32 picture.
pub struct Cifar {
    /// For naming pictures: each file's name, and the index of its first picture.
    files: Vec<(String, usize)>,
    /// `[n, 3, 32, 32]`.
    planes: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
}

/// The labels that a record has, and the one that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CifarLabels {
    /// The single label of CIFAR-10.
    Ten,
    /// The second of CIFAR-100's two: 100 classes.
    Fine,
    /// The first of CIFAR-100's two: 20 groups of five classes.
    Coarse,
}

impl CifarLabels {
    /// The number of labels in a record.
    fn count(self) -> usize {
        match self {
            Self::Ten => 1,
            Self::Fine | Self::Coarse => 2,
        }
    }

    fn classes(self) -> Vec<String> {
        let names = match self {
            Self::Ten => TEN,
            Self::Fine => FINE,
            Self::Coarse => COARSE,
        };
        names.split_whitespace().map(str::to_owned).collect()
    }
}

impl Cifar {
    /// Reads the files in order; each may be compressed by gzip.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the path and one of [`Error::Io`], [`Error::Format`] for a length that is
    /// not a multiple of a record's or a label that is not a class, [`Error::Decode`] for broken gzip,
    /// [`Error::OverLimit`]; [`Error::NoPictures`].
    ///
    /// ```
    /// # use image_data::{Cifar, CifarLabels, Dataset, DatasetLimits};
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("data_batch_1.bin");
    /// let mut record = vec![3]; // a cat
    /// record.extend([200; 1024]); // red
    /// record.extend([100; 1024]); // green
    /// record.extend([50; 1024]); // blue
    /// std::fs::write(&file, &record)?;
    /// let dataset = Cifar::open(&[file], CifarLabels::Ten, &DatasetLimits::default())?;
    /// assert_eq!(dataset.classes()[dataset.label(0)], "cat");
    /// assert_eq!(dataset.picture(0)?.rgb()[..3], [200, 100, 50]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        files: &[impl AsRef<Path>],
        labels: CifarLabels,
        limits: &DatasetLimits,
    ) -> Result<Self> {
        let mut cifar = Self::new(labels);
        for path in files {
            let path = path.as_ref();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let left = limits
                .max_archive_bytes
                .saturating_sub(cifar.planes.len() as u64);
            File::open(path)
                .map_err(Error::Io)
                .and_then(|file| unpacked(file, left, |file| cifar.add(&name, file, labels)))
                .map_err(|reason| reason.in_file(path))?;
        }
        cifar.finish()
    }

    /// Finds the files by their official names, if present.
    pub(super) fn in_tree(tree: &Tree, hundred: CifarLabels) -> Result<Option<Splits>> {
        let batches = ["1", "2", "3", "4", "5"].map(|batch| format!("data_batch_{batch}.bin"));
        let (folder, labels, train, test) = if let Some(folder) = only_with(tree, &[&batches[0]])? {
            (folder, CifarLabels::Ten, batches.to_vec(), "test_batch.bin")
        } else if let Some(folder) = only_with(tree, &["train.bin"])? {
            (folder, hundred, vec!["train.bin".to_owned()], "test.bin")
        } else {
            return Ok(None);
        };
        let find = |name: &str| tree.find(folder, name.as_bytes());
        let mut part = Self::new(labels);
        for name in &train {
            let index = find(name).ok_or_else(|| {
                let reason = format!("{name} is missing");
                Error::NoDataset { reason }.in_file(tree.folder_path(folder))
            })?;
            tree.read_unpacked(index, |file| part.add(name, file, labels))?;
        }
        let train = part
            .finish()
            .map_err(|error| error.in_file(tree.folder_path(folder)))?;
        let valid = match find(test) {
            Some(index) => {
                let mut part = Self::new(labels);
                tree.read_unpacked(index, |file| part.add(test, file, labels))?;
                Some(part.finish().map_err(|e| e.in_file(tree.path(index)))?)
            }
            None => None,
        };
        let valid = valid.map(|valid| Arc::new(valid) as Arc<dyn Dataset>);
        let splits = Splits::new(Arc::new(train), valid);
        Ok(Some(splits.of_files(tree, folder, "test")))
    }

    fn new(labels: CifarLabels) -> Self {
        Self {
            files: Vec::new(),
            planes: Vec::new(),
            labels: Vec::new(),
            classes: labels.classes(),
        }
    }

    /// Reads all records of a file.
    fn add(&mut self, name: &str, file: &mut dyn Read, labels: CifarLabels) -> Result<()> {
        self.files.push((name.to_owned(), self.labels.len()));
        let label_count = labels.count();
        let mut record = vec![0; label_count + 3 * PLANE];
        for index in 0.. {
            let len = read_full(file, &mut record)?;
            if len == 0 {
                break;
            }
            if len < record.len() {
                return Err(Error::Format {
                    format: "CIFAR",
                    what: "the last record's length in bytes",
                    got: len.to_string(),
                    expected: format!("{} for {labels:?}", record.len()),
                });
            }
            let label = match labels {
                CifarLabels::Ten | CifarLabels::Coarse => record[0],
                CifarLabels::Fine => record[1],
            };
            if usize::from(label) >= self.classes.len() {
                return Err(Error::Format {
                    format: "CIFAR",
                    what: "a label",
                    got: format!("{label} in record {index}"),
                    expected: format!("less than {} for {labels:?}", self.classes.len()),
                });
            }
            let planes = &record[label_count..];
            self.planes
                .try_reserve(planes.len())
                .map_err(|_| Error::Memory { what: "CIFAR file" })?;
            self.labels.push(label);
            self.planes.extend_from_slice(planes);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Self> {
        if self.labels.is_empty() {
            return Err(Error::NoPictures);
        }
        self.planes.shrink_to_fit();
        Ok(self)
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read_error("CIFAR", error)),
        }
    }
    Ok(filled)
}

impl Dataset for Cifar {
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
        let planes = index
            .checked_mul(3 * PLANE)
            .and_then(|start| self.planes.get(start..)?.get(..3 * PLANE))
            .ok_or(Error::Index {
                index,
                len: self.len(),
            })?;
        let rgb = (0..3 * PLANE)
            .map(|at| planes[at % 3 * PLANE + at / 3])
            .collect();
        Picture::new(SIDE, SIDE, rgb)
    }

    fn name(&self, index: usize) -> String {
        let after = self.files.partition_point(|(_, first)| *first <= index);
        let file = after.checked_sub(1).and_then(|file| self.files.get(file));
        let (name, first) = file.map_or(("", 0), |(name, first)| (name, *first));
        format!("{name} #{}", index - first)
    }
}

const TEN: &str = "airplane automobile bird cat deer dog frog horse ship truck";

const FINE: &str = "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy \
    bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud \
    cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster \
    house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle \
    mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree \
    plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew \
    skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank \
    telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf \
    woman worm";

const COARSE: &str = "aquatic_mammals fish flowers food_containers fruit_and_vegetables \
    household_electrical_devices household_furniture insects large_carnivores \
    large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores \
    medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 \
    vehicles_2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_a_name() {
        for (labels, count) in [
            (CifarLabels::Ten, 10),
            (CifarLabels::Fine, 100),
            (CifarLabels::Coarse, 20),
        ] {
            let mut classes = labels.classes();
            assert!(classes.is_sorted());
            classes.dedup();
            assert_eq!(classes.len(), count);
        }
    }
}
