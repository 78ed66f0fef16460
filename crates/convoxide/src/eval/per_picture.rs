//! The results of an evaluation picture by picture: as lines, as a gallery, and counted by class.

use std::path::{Path, PathBuf};

use files::show::one_line;
use image_classify::{Evaluation, Prediction};
use image_data::Dataset;
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::gallery::{Finding, Gallery, Heading, MOST_PICTURES, Truth};
use crate::numbers::{counted, percent};
use crate::output;

/// The result of one picture: one line of JSON, or of text.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// The picture's name in the dataset.
    image: String,
    /// The true class.
    class: &'a str,
    predicted: &'a str,
    /// The probability of the predicted class.
    score: f64,
}

/// The counts of one class.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct PerClass<'a> {
    class: &'a str,
    /// The number of pictures of the class.
    pub(super) pictures: u64,
    /// The number of them that were predicted as the class.
    correct: u64,
    /// The number of all pictures that were predicted as the class.
    predicted: u64,
}

/// Prints one line for each picture, in the dataset's order: its name, the true class, the predicted class
/// and the probability of the latter. In text they are separated by tabs.
///
/// # Errors
///
/// Those of standard output.
pub(super) fn print(
    evaluation: &Evaluation,
    dataset: &dyn Dataset,
    context: &Context,
) -> Result<(), Error> {
    for prediction in &evaluation.predictions {
        let line = Line {
            image: dataset.name(prediction.index),
            class: name(dataset.classes(), prediction.label),
            predicted: name(dataset.classes(), prediction.predicted),
            score: prediction.score,
        };
        if context.json {
            output::json(&line)?;
        } else {
            let [image, class, predicted] = [&line.image, line.class, line.predicted].map(one_line);
            output::text(format_args!(
                "{image}\t{class}\t{predicted}\t{:.4}",
                line.score
            ))?;
        }
    }
    Ok(())
}

/// Counts by class, in the order of the classes.
pub(super) fn per_class<'a>(classes: &'a [String], confusion: &[Vec<u64>]) -> Vec<PerClass<'a>> {
    let count = |class: usize| PerClass {
        class: name(classes, class),
        pictures: confusion.get(class).map_or(0, |row| row.iter().sum()),
        correct: confusion
            .get(class)
            .and_then(|row| row.get(class))
            .copied()
            .unwrap_or(0),
        predicted: confusion.iter().filter_map(|row| row.get(class)).sum(),
    };
    (0..classes.len()).map(count).collect()
}

/// Writes the gallery: the mistakes first, the most certain first, then the other pictures, the least
/// certain first.
///
/// # Errors
///
/// A picture that cannot be read any more, and the errors of writing.
pub(super) fn gallery(
    path: Option<PathBuf>,
    model: &Path,
    evaluation: &Evaluation,
    dataset: &dyn Dataset,
) -> Result<(), Error> {
    let pictures = counted(dataset.len() as u128, "picture", "pictures");
    let heading = Heading {
        result: format!(
            "{} of {pictures} classified correctly.",
            percent(evaluation.top1)
        ),
        order: "The mistakes come first, the most certain first; then the other pictures, the least \
                certain first.",
        ..Heading::of(model)
    };
    let Some(mut gallery) = Gallery::new(path, heading)? else {
        return Ok(());
    };
    let classes = dataset.classes();
    for prediction in instructive_first(&evaluation.predictions)
        .iter()
        .take(MOST_PICTURES)
    {
        let &Prediction {
            index,
            label,
            predicted,
            score,
        } = prediction;
        let truth = Truth {
            class: name(classes, label).to_owned(),
            is_right: label == predicted,
        };
        let finding = Finding {
            class: name(classes, predicted).to_owned(),
            score,
            bbox: None,
        };
        let picture = dataset.picture(index)?;
        gallery.add(dataset.name(index), &picture, Some(truth), vec![finding])?;
    }
    gallery.leave_out(evaluation.predictions.len().saturating_sub(MOST_PICTURES));
    gallery.write()
}

/// The mistakes by falling certainty, then the others by rising certainty.
fn instructive_first(predictions: &[Prediction]) -> Vec<Prediction> {
    let (mut wrong, mut right): (Vec<_>, Vec<_>) = predictions
        .iter()
        .copied()
        .partition(|prediction| prediction.label != prediction.predicted);
    // The sorts are stable: equal ones stay in the dataset's order.
    wrong.sort_by(|a, b| b.score.total_cmp(&a.score));
    right.sort_by(|a, b| a.score.total_cmp(&b.score));
    wrong.append(&mut right);
    wrong
}

fn name(classes: &[String], class: usize) -> &str {
    classes.get(class).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted_by_rows_and_columns() {
        let classes = ["cat", "dog"].map(str::to_owned);
        let counts = per_class(&classes, &[vec![6, 2], vec![1, 3]]);
        let of = |class, pictures, correct, predicted| PerClass {
            class,
            pictures,
            correct,
            predicted,
        };
        assert_eq!(counts, [of("cat", 8, 6, 7), of("dog", 4, 3, 5)]);
    }

    #[test]
    fn the_most_instructive_pictures_come_first() {
        let of = |index, predicted, score| Prediction {
            index,
            label: 0,
            predicted,
            score,
        };
        let all = [
            of(0, 0, 0.9),
            of(1, 1, 0.6),
            of(2, 0, 0.5),
            of(3, 1, 0.8),
            of(4, 1, 0.6),
        ];
        let order: Vec<usize> = instructive_first(&all)
            .iter()
            .map(|one| one.index)
            .collect();
        assert_eq!(order, [3, 1, 4, 2, 0]);
    }
}
