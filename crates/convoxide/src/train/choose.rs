//! A recipe for a dataset, for training without one.

use std::path::Path;

use files::show::count;
use image_classify::Description;
use image_data::{
    Augmentation, Dataset, HorizontalFlip, PadAndCrop, Preprocessing, RandomResizedCrop, Transform,
};
use model_zoo::Task;
use transfer::Weights;

use super::data::Data;
use super::recipe::{Keys, PreprocessingKeys, ResizeKey};
use crate::error::Reason;
use crate::model::find_weights;

/// The share of the pictures that is held out where there is no part to validate on.
pub(super) const HOLD_OUT: f64 = 0.2;

/// The number of pictures whose size is looked at.
const LOOKED_AT: usize = 100;
/// Pictures up to this length keep their size if all are equal.
const SMALL: usize = 64;
/// The largest sizes for training from scratch and from other weights.
const LARGEST: [usize; 2] = [128, 224];
/// The sizes are multiples of this.
const STEP: usize = 32;
/// About as many steps as a small network needs, and the epochs that this may take.
const STEPS: usize = 1500;
const EPOCHS: [usize; 2] = [10, 50];
/// The same for fine-tuning.
const FINE_TUNE_STEPS: usize = 600;
const FINE_TUNE_EPOCHS: [usize; 2] = [5, 20];

/// The recipe for this data, where `given` has the keys that flags have set, and what was chosen in
/// words.
///
/// # Errors
///
/// Weights that cannot be read, or that do not tell their architecture.
pub(super) fn recipe(data: &Data, given: Keys) -> Result<(Keys, String), Reason> {
    let mut keys = given;
    keys.hold_out = data.is_held_out.then_some(HOLD_OUT);
    let sizes = sizes(&*data.train)?;
    let start = keys.weights.as_deref().map(Start::of).transpose()?;
    let largest = LARGEST[usize::from(start.is_some())];
    let size = Size::of(&sizes, largest);
    if keys.model.is_none() {
        match &start {
            Some(Start::Known(model)) => keys.model = Some(model.clone()),
            Some(Start::Described(network)) => {
                keys.model = Some(network.name.clone());
                keys.config = config(network)?;
                keys.preprocessing = all(&network.preprocessing);
            }
            Some(Start::Params) => {
                return Err("the weights do not tell their architecture: give --model".into());
            }
            None => {
                keys.model = Some("resnet20".to_owned());
                if size.side() > SMALL {
                    keys.config = for_photos();
                }
            }
        }
    }
    if keys.preprocessing == PreprocessingKeys::default() {
        keys.resize = match size {
            Size::Kept(_) => Some(ResizeKey::None),
            Size::Square(side) => Some(ResizeKey::Square(side)),
        };
    }
    let crop = match size {
        // Four pixels for CIFAR's 32, as is usual.
        Size::Kept(size) => Transform::PadAndCrop(PadAndCrop {
            padding: (size[0].min(size[1]) / 8).max(1),
        }),
        Size::Square(_) => Transform::RandomResizedCrop(RandomResizedCrop::default()),
    };
    keys.augmentation = Augmentation {
        steps: vec![crop, Transform::HorizontalFlip(HorizontalFlip::default())],
        mosaic: None,
        mixup: None,
    };
    let batch = *keys.batch.get_or_insert(32);
    let steps = data.train.len().div_ceil(batch).max(1);
    let (wanted, [least, most]) = match keys.fine_tune {
        Some(_) => (FINE_TUNE_STEPS, FINE_TUNE_EPOCHS),
        None => (STEPS, EPOCHS),
    };
    let epochs = wanted.div_ceil(steps).clamp(least, most);
    let epochs = *keys.epochs.get_or_insert(epochs);
    let told = format!(
        "no recipe, so chosen for these pictures: {} {}, {}",
        keys.model.as_deref().unwrap_or_default(),
        match size {
            Size::Kept([height, width]) => format!("at {height}x{width}"),
            Size::Square(side) => format!("at {side}x{side}, resized"),
        },
        count(epochs, "epoch", "epochs")
    );
    Ok((keys, told))
}

/// What the weights say about their network.
enum Start {
    /// The architecture of a known model.
    Known(String),
    /// A model file's description.
    Described(Box<Description>),
    /// Nothing.
    Params,
}

impl Start {
    fn of(name: &str) -> Result<Self, Reason> {
        let found = find_weights(Path::new(name))?;
        match found.known {
            Some((known, _)) if known.task == Task::Classifier => {
                return Ok(Self::Known(known.architecture.to_owned()));
            }
            Some(_) => return Ok(Self::Params),
            None => {}
        }
        match Weights::open(found.path)?.metadata {
            Some(metadata) => {
                let network = Description::from_metadata(&metadata)?;
                Ok(Self::Described(Box::new(network)))
            }
            None => Ok(Self::Params),
        }
    }
}

/// The fields of a configuration that differ from those of its name.
fn config(network: &Description) -> Result<toml::Table, Reason> {
    let usual = Description::named(&network.name)?.architecture.config()?;
    let config = network.architecture.config()?;
    let mut table = toml::Table::new();
    for (name, value) in config.as_object().into_iter().flatten() {
        if name != "classes" && usual.get(name) != Some(value) {
            table.insert(name.clone(), toml::Value::try_from(value)?);
        }
    }
    Ok(table)
}

/// A preprocessing as keys.
fn all(preprocessing: &Preprocessing) -> PreprocessingKeys {
    PreprocessingKeys {
        resize: preprocessing.resize.clone(),
        crop: preprocessing.crop,
        channels: Some(preprocessing.channels),
        mean: Some(preprocessing.mean.clone()),
        std: Some(preprocessing.std.clone()),
    }
}

/// A residual network with a large stem, so that photos do not take too long.
fn for_photos() -> toml::Table {
    let mut config = toml::Table::new();
    config.insert("stem".to_owned(), "imagenet".into());
    config.insert("output_stride".to_owned(), 16.into());
    config.insert("layers".to_owned(), vec![2; 3].into());
    config.insert("width".to_owned(), 32.into());
    config
}

/// The size of the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// All pictures have this size `[h, w]`, and keep it.
    Kept([usize; 2]),
    /// All pictures are resized and cropped to a square.
    Square(usize),
}

impl Size {
    /// The size for pictures of these sizes: the median of the shorter sides, rounded to a multiple of
    /// 32.
    fn of(sizes: &[[usize; 2]], largest: usize) -> Self {
        if let Some((&first, rest)) = sizes.split_first()
            && rest.iter().all(|&size| size == first)
            && first.into_iter().all(|length| length <= SMALL)
        {
            return Self::Kept(first);
        }
        let mut sides: Vec<usize> = sizes.iter().map(|size| size[0].min(size[1])).collect();
        sides.sort_unstable();
        let median = sides.get(sides.len() / 2).copied().unwrap_or(SMALL);
        let rounded = (median.saturating_add(STEP / 2)) / STEP * STEP;
        Self::Square(rounded.clamp(STEP, largest))
    }

    fn side(self) -> usize {
        match self {
            Self::Kept([height, width]) => height.min(width),
            Self::Square(side) => side,
        }
    }
}

/// The sizes `[h, w]` of some pictures, evenly distributed over the dataset. Pictures that cannot be
/// read are reported when they are needed.
///
/// # Errors
///
/// The error of the first picture if none can be read.
fn sizes(dataset: &dyn Dataset) -> Result<Vec<[usize; 2]>, Reason> {
    let step = dataset.len().div_ceil(LOOKED_AT).max(1);
    let pictures = (0..dataset.len()).step_by(step);
    let sizes: Vec<_> = pictures
        .filter_map(|index| Some(dataset.picture(index).ok()?.size()))
        .collect();
    if sizes.is_empty() {
        dataset.picture(0)?;
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_follows_the_median_of_the_shorter_sides() {
        for (sizes, largest, expected) in [
            (&[[32, 32]; 3][..], 128, Size::Kept([32, 32])),
            (&[[28, 20]; 3], 128, Size::Kept([28, 20])),
            (&[[64, 65]; 3], 128, Size::Square(64)),
            (&[[32, 32], [33, 32]], 128, Size::Square(32)),
            (&[[8, 9], [9, 8]], 128, Size::Square(32)),
            (&[[480, 640], [640, 480], [100, 90]], 128, Size::Square(128)),
            (&[[480, 640], [640, 480], [100, 90]], 224, Size::Square(224)),
            (&[[90, 200], [100, 400], [110, 111]], 224, Size::Square(96)),
        ] {
            assert_eq!(Size::of(sizes, largest), expected, "{sizes:?}");
        }
    }

    #[test]
    fn the_configuration_of_a_description_is_what_differs() {
        let mut network = Description::named("resnet20").unwrap();
        assert!(config(&network).unwrap().is_empty());
        network.architecture = network.architecture.with_classes(3);
        assert!(config(&network).unwrap().is_empty());
        let mut other = network.architecture.config().unwrap();
        other["width"] = 8.into();
        network.architecture = network.architecture.configured(other).unwrap();
        assert_eq!(config(&network).unwrap().to_string(), "width = 8\n");
    }
}
