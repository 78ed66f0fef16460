//! The data of a training: opened, looked through, split, and told of.

use std::sync::Arc;

use files::show::{self, count};
use image_data::{Cached, Dataset, DatasetLimits, Shapes, Splits, Subset};
use rayon::prelude::*;
use serde_json::Value;

use super::Args;
use super::fingerprint::Fingerprint;
use super::recipe::Recipe;
use crate::architectures::Reason;
use crate::context::Context;
use crate::error::Error;
use crate::output;
use crate::progress::Progress;

/// What a training learns from and what it is measured on.
pub(super) struct Data {
    pub(super) train: Arc<dyn Dataset>,
    /// With the classes of `train`.
    pub(super) valid: Option<Arc<dyn Dataset>>,
    /// How many pictures were left out because they could not be read.
    pub(super) skipped: usize,
}

impl Data {
    /// Opens the data, and tells what they are. Pictures are decoded once where they fit into memory.
    ///
    /// # Errors
    ///
    /// Those of the dataset; a recipe that needs data and has none; parts with different classes.
    pub(super) fn open(args: &Args, recipe: &Recipe, context: &Context) -> Result<Self, Error> {
        let fault = |error: Reason| Error::Training {
            path: args.data.clone().unwrap_or_else(|| args.recipe.clone()),
            error,
        };
        let splits = match (&recipe.shapes, &args.data) {
            (_, Some(data)) => Splits::open(data, &DatasetLimits::default())?,
            (Some(shapes), None) => Shapes::splits(shapes.options(), shapes.valid)?,
            (None, None) => return Err(fault("the recipe needs data: give --data".into())),
        };
        let say = |line: &str| {
            if !context.quiet {
                output::note(&line);
            }
        };
        say(&show_lines(&splits.contents.to_string()));
        let mut data = Self {
            train: cached(splits.train),
            valid: splits.valid.map(cached),
            skipped: 0,
        };
        data.check_classes().map_err(fault)?;
        if args.skip_bad {
            data.skip_bad(context).map_err(fault)?;
        }
        match (recipe.hold_out, &data.valid) {
            (Some(share), None) => {
                let splits = Splits::hold_out(data.train, share, recipe.seed)?;
                data.train = splits.train;
                data.valid = splits.valid;
                let held = data.valid.as_ref().map_or(0, Dataset::len);
                say(&format!(
                    "held out: {} to validate on, {} left to train on",
                    count(held, "picture", "pictures"),
                    data.train.len()
                ));
            }
            (Some(_), Some(_)) => say("hold_out is not used: the data have a part to validate on"),
            (None, None) => say(
                "there is nothing to validate on, so accuracy is not measured: the recipe's key \
                 hold_out = 0.1 sets a tenth aside",
            ),
            (None, Some(_)) => {}
        }
        if let (Some(_), None) = (recipe.patience, &data.valid) {
            let reason =
                "patience needs pictures to validate on: hold_out = 0.1 sets a tenth aside";
            return Err(fault(reason.into()));
        }
        Ok(data)
    }

    /// What a checkpoint says of the data.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(
            &self.train,
            self.valid.as_ref().map(|valid| valid as &dyn Dataset),
        )
    }

    pub(super) fn fingerprint_value(&self) -> Result<Value, Reason> {
        Ok(serde_json::to_value(self.fingerprint())?)
    }

    /// A label is a place in the list of classes, so the two lists must be one.
    fn check_classes(&self) -> Result<(), Reason> {
        let train = self.train.classes();
        match &self.valid {
            Some(valid) if valid.classes() != train => {
                let list = |classes: &[String]| show::one_line(&classes.join(", "));
                Err(format!(
                    "the classes to train on are {}, those to validate on are {}",
                    list(train),
                    list(valid.classes())
                )
                .into())
            }
            _ => Ok(()),
        }
    }

    /// Leaves out what cannot be read, which takes reading everything once.
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
                output::complain(&format!("left out: {error}"));
            }
            if bad.len() > NAMED {
                let more = count(bad.len() - NAMED, "picture", "pictures");
                output::complain(&format!("left out: {more} more that cannot be read"));
            }
        }
        Ok(())
    }
}

/// How many pictures that cannot be read are named.
const NAMED: usize = 10;

/// The pictures of a part that can be read, and what is wrong with the others.
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

fn cached(dataset: Arc<dyn Dataset>) -> Arc<dyn Dataset> {
    Arc::new(Cached::new(dataset))
}

/// Lines of names from outside, made fit to print.
fn show_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(show::one_line).collect();
    lines.join("\n")
}
