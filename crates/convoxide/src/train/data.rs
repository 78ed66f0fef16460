//! The data of a training run: opened, checked, split and described.

use std::sync::Arc;

use files::show::{self, count};
use image_data::{Cached, Dataset, DatasetLimits, OfClasses, Shapes, Splits, Subset};
use rayon::prelude::*;
use serde_json::Value;

use super::Args;
use super::fingerprint::Fingerprint;
use super::recipe::Recipe;
use crate::context::Context;
use crate::decode_warnings::DecodeWarnings;
use crate::error::Error;
use crate::error::Reason;
use crate::output::{self, show_lines};
use crate::progress::Progress;

/// The pictures to train on and those to validate on.
pub(super) struct Data {
    pub(super) train: Arc<dyn Dataset>,
    /// Has the classes of `train`.
    pub(super) valid: Option<Arc<dyn Dataset>>,
    /// The number of pictures skipped because they cannot be read.
    pub(super) skipped: usize,
    /// Whether the validation pictures were held out from those for training.
    pub(super) is_held_out: bool,
    /// The warnings of the pictures decoded so far.
    pub(super) warnings: DecodeWarnings,
}

impl Data {
    /// Opens the data and prints what it contains. Pictures are decoded only once if they fit in
    /// memory.
    ///
    /// # Errors
    ///
    /// Those of the dataset, missing data, and parts with different classes.
    pub(super) fn open(args: &Args, recipe: &Recipe, context: &Context) -> Result<Self, Error> {
        let fault = |error: Reason| Error::Training {
            path: args.data.clone().unwrap_or_else(|| args.subject()),
            error,
        };
        let splits = match (&recipe.shapes, &args.data) {
            (_, Some(data)) => Splits::open(data, &DatasetLimits::default())?,
            (Some(shapes), None) => Shapes::splits(shapes.options(), shapes.valid)?,
            (None, None) => return Err(fault("the recipe draws no pictures: give --data".into())),
        };
        let say = |line: &str| {
            if !context.quiet {
                output::note(&line);
            }
        };
        say(&show_lines(&splits.contents.to_string()));
        let warnings = DecodeWarnings::default();
        let cached = |part| -> Arc<dyn Dataset> { Arc::new(Cached::new(warnings.watch(part))) };
        let mut data = Self {
            train: cached(splits.train),
            valid: splits.valid.map(cached),
            skipped: 0,
            is_held_out: false,
            warnings: warnings.clone(),
        };
        data.check_classes().map_err(fault)?;
        if !recipe.classes.is_empty() {
            data.keep_classes(&recipe.classes)?;
        }
        if args.skip_bad {
            data.skip_bad(context).map_err(fault)?;
        }
        match (recipe.hold_out, &data.valid) {
            (Some(share), None) => {
                let splits = Splits::hold_out(data.train, share, recipe.seed)?;
                data.train = splits.train;
                data.valid = splits.valid;
                data.is_held_out = true;
                let held = data.valid.as_ref().map_or(0, Dataset::len);
                say(&format!(
                    "held out: {} to validate on, {} left to train on",
                    count(held, "picture", "pictures"),
                    data.train.len()
                ));
            }
            // Without a recipe, it was not asked for.
            (Some(_), Some(_)) if args.recipe.is_none() => {}
            (Some(_), Some(_)) => say("hold_out is ignored: the data has a part to validate on"),
            (None, None) => say(
                "nothing to validate on, so accuracy is not measured: hold_out = 0.1 in the recipe \
                 sets a tenth aside",
            ),
            (None, Some(_)) => {}
        }
        if let Some(most) = recipe.per_class {
            data.train = Arc::new(Subset::first_of_each_class(data.train, most));
        }
        if !recipe.classes.is_empty() || recipe.per_class.is_some() {
            say(&format!(
                "used: {} of {} to train on",
                count(data.train.len(), "picture", "pictures"),
                count(data.train.classes().len(), "class", "classes"),
            ));
        }
        if let (Some(_), None) = (recipe.patience, &data.valid) {
            let reason =
                "patience needs pictures to validate on: hold_out = 0.1 sets a tenth aside";
            return Err(fault(reason.into()));
        }
        Ok(data)
    }

    /// The fingerprint of the data for checkpoints.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(
            &self.train,
            self.valid.as_ref().map(|valid| valid as &dyn Dataset),
        )
    }

    pub(super) fn fingerprint_value(&self) -> Result<Value, Reason> {
        Ok(serde_json::to_value(self.fingerprint())?)
    }

    /// Checks that both parts have the same list of classes, since a label is an index into it.
    fn check_classes(&self) -> Result<(), Reason> {
        let train = self.train.classes();
        match &self.valid {
            Some(valid) if valid.classes() != train => {
                let list = |classes: &[String]| show::one_line(&classes.join(", "));
                Err(format!(
                    "the training classes are {}, but the validation classes are {}",
                    list(train),
                    list(valid.classes())
                )
                .into())
            }
            _ => Ok(()),
        }
    }

    /// Keeps the samples of these classes.
    fn keep_classes(&mut self, classes: &[String]) -> image_data::Result<()> {
        for part in std::iter::once(&mut self.train).chain(&mut self.valid) {
            *part = Arc::new(OfClasses::new(Arc::clone(part), classes)?);
        }
        Ok(())
    }

    /// Removes the pictures that cannot be read. This reads all of them.
    fn skip_bad(&mut self, context: &Context) -> Result<(), Reason> {
        let parts = std::iter::once(&mut self.train).chain(&mut self.valid);
        let mut bad = Vec::new();
        for part in parts {
            let (readable, unreadable) = readable(part, context)?;
            *part = readable;
            bad.extend(unreadable);
        }
        self.skipped = bad.len();
        if !context.quiet {
            for error in bad.iter().take(NAMED) {
                output::complain(&format!("skipped: {error}"));
            }
            if bad.len() > NAMED {
                let more = count(bad.len() - NAMED, "picture", "pictures");
                output::complain(&format!("skipped: {more} more that cannot be read"));
            }
        }
        Ok(())
    }
}

/// The largest number of unreadable pictures that are named.
const NAMED: usize = 10;

/// Returns the readable pictures of a part and the errors of the others.
fn readable(
    part: &Arc<dyn Dataset>,
    context: &Context,
) -> Result<(Arc<dyn Dataset>, Vec<image_data::Error>), Reason> {
    let progress = Progress::new(context, Some(part.len() as u64));
    let errors: Vec<(usize, image_data::Error)> = (0..part.len())
        .into_par_iter()
        .filter_map(|index| {
            let error = part.picture(index).err();
            progress.step();
            Some((index, error?))
        })
        .collect();
    if errors.is_empty() {
        return Ok((Arc::clone(part), Vec::new()));
    }
    let mut bad = errors.iter().map(|&(index, _)| index).peekable();
    let good = (0..part.len()).filter(|index| bad.next_if_eq(index).is_none());
    let good = Subset::new(Arc::clone(part), good.collect())?;
    Ok((
        Arc::new(good),
        errors.into_iter().map(|(_, error)| error).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use image_data::Picture;

    use super::*;

    /// A dataset with these classes and no samples.
    struct Classes(Vec<String>);

    impl Dataset for Classes {
        fn len(&self) -> usize {
            0
        }

        fn classes(&self) -> &[String] {
            &self.0
        }

        fn label(&self, _: usize) -> usize {
            self.0.len()
        }

        fn picture(&self, index: usize) -> image_data::Result<Picture> {
            Err(image_data::Error::Index { index, len: 0 })
        }

        fn name(&self, index: usize) -> String {
            format!("#{index}")
        }
    }

    #[test]
    fn the_parts_need_the_same_classes_in_the_same_order() {
        let check = |valid: &[&str]| {
            let classes = |names: &[&str]| -> Arc<dyn Dataset> {
                Arc::new(Classes(names.iter().map(ToString::to_string).collect()))
            };
            let data = Data {
                train: classes(&["cat", "dog"]),
                valid: Some(classes(valid)),
                skipped: 0,
                is_held_out: false,
                warnings: DecodeWarnings::default(),
            };
            data.check_classes().map_err(|error| error.to_string())
        };
        check(&["cat", "dog"]).unwrap();
        for (valid, shown) in [
            (&["cat", "fox"][..], "cat, fox"),
            (&["dog", "cat"], "dog, cat"),
            (&["cat", "dog", "fox"], "cat, dog, fox"),
            (&["cat"], "cat"),
            // Control characters are escaped.
            (&["cat", "d\u{1b}g"], "cat, d\\u{1b}g"),
        ] {
            let expected = format!(
                "the training classes are cat, dog, but the validation classes are {shown}"
            );
            assert_eq!(check(valid), Err(expected));
        }
    }
}
