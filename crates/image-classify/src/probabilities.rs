//! From a network's logits to the probabilities of its classes.

use ndarray::{ArrayView1, ArrayView2, Ix2};
use nn_layers::Outputs;

use crate::error::{Error, Result};
use crate::fit::ExpectedSize;

/// The probability of every class for one picture: the softmax of the network's logits.
///
/// ```
/// # let mut classifier = {
/// #     use image_classify::{Architecture, Classifier, ClassifierOptions, Description, Model};
/// #     let mut description = Description::named("resnet20")?;
/// #     description.classes = ["ant", "bee", "cat", "dog"].map(str::to_owned).to_vec();
/// #     description.architecture = description.architecture.with_classes(4);
/// #     let params = description.architecture.init(1)?;
/// #     Classifier::new(Model { description, params }, &ClassifierOptions::default())?
/// # };
/// # let picture = image_data::Picture::from_rgb(32, 32, 96, &[128; 3072])?;
/// let probabilities = classifier.classify(&picture)?;
/// let best = &probabilities.top(3)[0];
/// let name = &classifier.description().classes[best.class];
/// println!("{name}: {:.1} %", 100.0 * best.probability);
/// # assert!((probabilities.values.iter().sum::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilities {
    /// One probability for each class, in the order of the model's classes. Their sum is 1, up to
    /// rounding.
    pub values: Vec<f32>,
    /// The size that the picture should have had, if it had another: a warning that the result may be
    /// worse than on pictures of that size. See [`Fit`](crate::Fit).
    pub unexpected_size: Option<ExpectedSize>,
}

/// A class and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassProbability {
    /// The index of the class.
    pub class: usize,
    /// Its probability.
    pub probability: f32,
}

impl Probabilities {
    /// The `count` most probable classes, by falling probability; of equal ones, the lower index
    /// first. Fewer if there are not as many classes.
    #[must_use]
    pub fn top(&self, count: usize) -> Vec<ClassProbability> {
        let values = self.values.iter().enumerate();
        let mut classes: Vec<ClassProbability> = values
            .map(|(class, &probability)| ClassProbability { class, probability })
            .collect();
        classes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        classes.truncate(count);
        classes
    }
}

/// The logits of a batch, `[n, classes]`: a network's first output.
pub(crate) fn rows(outputs: &Outputs, expected: [usize; 2]) -> Result<ArrayView2<'_, f32>> {
    let first = outputs.tensors.first();
    let got = || first.map_or(Vec::new(), |output| output.shape().to_vec());
    let rows = first.and_then(|output| output.view().into_dimensionality::<Ix2>().ok());
    rows.filter(|rows| *rows.shape() == expected)
        .ok_or_else(|| Error::OutputShape {
            got: got(),
            expected,
        })
}

/// Refuses logits that are not finite.
pub(crate) fn check_finite(logits: ArrayView1<'_, f32>) -> Result<()> {
    let mut logits = logits.indexed_iter();
    match logits.find(|(_, logit)| !logit.is_finite()) {
        None => Ok(()),
        Some((class, &got)) => Err(Error::OutputNotFinite { class, got }),
    }
}

/// Returns the mean of the rows' softmax.
///
/// # Errors
///
/// [`Error::OutputNotFinite`].
pub(crate) fn mean_softmax(rows: ArrayView2<'_, f32>) -> Result<Vec<f32>> {
    let (count, classes) = rows.dim();
    if count == 1 {
        return softmax(rows.row(0));
    }
    let mut sums = vec![0.0; classes];
    for row in rows.outer_iter() {
        for (sum, probability) in sums.iter_mut().zip(softmax(row)?) {
            *sum += f64::from(probability);
        }
    }
    Ok(sums.iter().map(|sum| (sum / count as f64) as f32).collect())
}

/// Returns `exp(x_i) / sum over j of exp(x_j)`, computed in f64.
///
/// # Errors
///
/// [`Error::OutputNotFinite`].
pub(crate) fn softmax(logits: ArrayView1<'_, f32>) -> Result<Vec<f32>> {
    check_finite(logits)?;
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let powers = logits.map(|&logit| (f64::from(logit) - f64::from(largest)).exp());
    let sum = powers.sum();
    Ok(powers.iter().map(|power| (power / sum) as f32).collect())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, ArrayD};

    use super::*;

    fn of(logits: &[f32]) -> Result<Vec<f32>> {
        softmax(Array1::from_vec(logits.to_vec()).view())
    }

    #[test]
    fn probabilities_by_hand() {
        assert_eq!(of(&[7.0; 4]).unwrap(), [0.25; 4]);
        let thirds = of(&[0.0, 2f32.ln()]).unwrap();
        // A logarithm rounded to f32 and a quotient rounded once.
        assert!((thirds[1] - 2.0 / 3.0).abs() < 2.0 * f32::EPSILON);
        // Far outside the range of exp.
        assert_eq!(of(&[f32::MAX, f32::MIN]).unwrap(), [1.0, 0.0]);
        assert!(of(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_logit_that_is_not_finite_is_an_error_with_its_class() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            match of(&[1.0, 2.0, bad]) {
                Err(Error::OutputNotFinite { class: 2, got }) => assert!(!got.is_finite()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_most_probable_come_first_and_of_equal_ones_the_lower_index() {
        let probabilities = Probabilities {
            values: vec![0.1, 0.3, 0.3, 0.2, 0.1],
            unexpected_size: None,
        };
        let top = |count| -> Vec<usize> {
            let top = probabilities.top(count);
            top.iter().map(|one| one.class).collect()
        };
        assert_eq!(top(3), [1, 2, 3]);
        assert_eq!(top(9), [1, 2, 3, 0, 4]);
        assert!(top(0).is_empty());
    }

    #[test]
    fn an_output_of_another_shape_is_an_error_with_both() {
        let refuse = |tensors: Vec<ArrayD<f32>>| match rows(&Outputs { tensors }, [2, 3]) {
            Err(Error::OutputShape { got, expected }) => (got, expected),
            other => panic!("{other:?}"),
        };
        assert_eq!(refuse(vec![]), (vec![], [2, 3]));
        for shape in [vec![2, 4], vec![1, 3], vec![2, 3, 1, 1]] {
            let output = ArrayD::zeros(shape.clone());
            assert_eq!(refuse(vec![output]), (shape, [2, 3]));
        }
    }
}
