//! The samples of some of a dataset's classes.

use std::borrow::Cow;
use std::sync::Arc;

use files::nearest;

use super::{Dataset, Subset};
use crate::error::{Error, Result};
use crate::picture::Picture;

/// The samples of some of a dataset's classes, as a dataset of these classes only. The classes keep the
/// dataset's order, and so do the samples.
///
/// ```
/// use std::sync::Arc;
///
/// use image_data::{Dataset, OfClasses, Shapes, ShapesOptions};
///
/// let shapes = Arc::new(Shapes::new(ShapesOptions::default())?);
/// let two = OfClasses::new(shapes, &["star", "circle"])?;
/// assert_eq!((two.classes(), two.len()), (&["circle".to_owned(), "star".to_owned()][..], 250));
/// # Ok::<(), image_data::Error>(())
/// ```
pub struct OfClasses {
    samples: Subset,
    classes: Vec<String>,
    /// The new label for each label of the dataset; those of other classes do not occur.
    labels: Vec<usize>,
}

impl OfClasses {
    /// Chooses the samples of the classes with these names.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownClass`] for a name that is not a class of the dataset.
    pub fn new(dataset: Arc<dyn Dataset>, names: &[impl AsRef<str>]) -> Result<Self> {
        let all = dataset.classes();
        for name in names.iter().map(AsRef::as_ref) {
            if !all.iter().any(|class| class == name) {
                let near = nearest(name, all.iter().map(String::as_str));
                return Err(Error::UnknownClass {
                    class: name.to_owned(),
                    near: near.into_iter().map(str::to_owned).collect(),
                });
            }
        }
        let mut classes = Vec::new();
        let labels: Vec<Option<usize>> = all
            .iter()
            .map(|class| {
                names.iter().any(|name| name.as_ref() == class).then(|| {
                    classes.push(class.clone());
                    classes.len() - 1
                })
            })
            .collect();
        let label = |sample| labels.get(dataset.label(sample)).copied().flatten();
        let samples = (0..dataset.len()).filter(|&sample| label(sample).is_some());
        let samples = Subset::new(Arc::clone(&dataset), samples.collect())?;
        // An invalid label stays invalid.
        let labels = labels
            .into_iter()
            .map(|label| label.unwrap_or(classes.len()));
        Ok(Self {
            samples,
            labels: labels.collect(),
            classes,
        })
    }
}

impl Dataset for OfClasses {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        let label = self.labels.get(self.samples.label(index));
        label.copied().unwrap_or(self.classes.len())
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        self.samples.picture(index)
    }

    fn name(&self, index: usize) -> String {
        self.samples.name(index)
    }

    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        self.samples.file(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Shapes, ShapesOptions};

    fn shapes() -> Arc<dyn Dataset> {
        Arc::new(Shapes::new(ShapesOptions::default()).unwrap())
    }

    #[test]
    fn samples_keep_their_pictures_and_get_new_labels() {
        let all = shapes();
        let names = [&all.classes()[5], &all.classes()[2]];
        let two = OfClasses::new(Arc::clone(&all), &names).unwrap();
        assert_eq!(two.classes(), [names[1].clone(), names[0].clone()]);
        let kept: Vec<usize> = (0..all.len())
            .filter(|&sample| [2, 5].contains(&all.label(sample)))
            .collect();
        assert_eq!(two.len(), kept.len());
        for (index, &sample) in kept.iter().enumerate() {
            assert_eq!(two.label(index), usize::from(all.label(sample) == 5));
            assert_eq!(two.name(index), all.name(sample));
        }
        assert_eq!(two.picture(3).unwrap(), all.picture(kept[3]).unwrap());
        assert_eq!(two.label(two.len()), 2);
        assert!(two.picture(two.len()).is_err());
    }

    #[test]
    fn a_name_that_is_no_class_is_an_error_with_the_nearest() {
        let error = OfClasses::new(shapes(), &["stra"]).err().unwrap();
        let Error::UnknownClass { class, near } = error else {
            panic!("{error}");
        };
        assert_eq!((class.as_str(), near), ("stra", vec!["star".to_owned()]));
    }
}
