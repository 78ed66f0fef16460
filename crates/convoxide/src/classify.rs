//! `convoxide classify`: the most probable classes of a picture.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use files::show::{self, one_line, shorten};
use image_classify::{ClassList, Classifier, ClassifierOptions, Probabilities, check_order};
use image_data::Picture;
use serde::Serialize;

use crate::context::Context;
use crate::each_picture::{Pictures, each_picture};
use crate::error::Error;
use crate::executor::ExecutorFlag;
use crate::gallery::{self, Finding, Findings, Gallery, Heading};
use crate::model::{self, OptionalModelFlags, Source};
use crate::output;
use crate::pictures::{self, Failure};
use crate::report::{Milliseconds, class_number};
use crate::size_warning::size_warning;

/// Classify pictures: a table, or lines of JSON
///
/// The preprocessing is that of the model file, or otherwise the usual one of the
/// architecture. If it has no resize or crop, pictures of another size than the
/// network was trained on are resized to that size, with a warning. Class names
/// are those of the model file or of the known model, or of --names for weights
/// without names. Scores are probabilities: the softmax of the network's output.
/// `convoxide fetch --list` lists the known models.
///
/// A picture that cannot be read is reported, and the other pictures follow. The
/// exit code is 0 if any picture could be read, otherwise 1. With --strict it is 0
/// only if all could be read and none was left out of a folder.
///
/// In a folder, the files with the suffix of a picture are read; pictures with
/// other suffixes are counted. Standard input has one path per line.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    model: OptionalModelFlags,
    /// The names of the classes, one per line
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Number of classes to show, the most probable first
    #[arg(
        long, value_name = "K", default_value_t = 5,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000)
    )]
    top: usize,
    /// Page to write with the pictures and their classes
    #[arg(long, value_name = "FILE.html")]
    gallery: Option<PathBuf>,
    #[command(flatten)]
    executor: ExecutorFlag,
    #[command(flatten)]
    pictures: Pictures,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the model, of standard output and of the gallery. An error of a single picture is reported and affects
/// only the exit code.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    Gallery::check(args.gallery.as_deref())?;
    let source = args.model.into_source(context);
    let options = ClassifierOptions {
        engine: context.options.clone(),
        executor: args.executor.into(),
        ..ClassifierOptions::default()
    };
    let mut viewer = Viewer::load(&source, args.names.as_deref(), args.top, &options, context)?;
    let heading = Heading::of(&source.model);
    let mut gallery = Gallery::new(args.gallery, heading)?;
    let (inputs, strictness) = args.pictures.open();
    let code = each_picture(inputs, strictness, context, |path| {
        let looked = viewer.look(path);
        gallery::keep(gallery.as_mut(), path, looked).map(|(_, report)| report)
    })?;
    gallery.map_or(Ok(()), |gallery| gallery.write())?;
    Ok(code)
}

/// A classifier, and how its results are shown.
struct Viewer {
    classifier: Classifier,
    /// Whether the warning about pictures of an unexpected size is suppressed; it is printed once.
    is_silent: bool,
    /// The number of classes to show.
    top: usize,
}

impl Viewer {
    fn load(
        source: &Source,
        names: Option<&Path>,
        top: usize,
        options: &ClassifierOptions,
        context: &Context,
    ) -> Result<Self, Error> {
        let mut model = source.classifier(context)?;
        if let Some(path) = names {
            let list = ClassList {
                owner: "the names file",
                names: model::names(path, Some(model.description.architecture.classes()))?,
            };
            check_order(&model.description.classes, &list).map_err(|error| Error::Network {
                path: path.to_owned(),
                error: error.into(),
            })?;
            model.description.classes = list.names;
        }
        Ok(Self {
            classifier: Classifier::new(model, options).map_err(|error| source.fault(error))?,
            is_silent: context.quiet,
            top,
        })
    }

    /// Reads a picture and classifies it.
    fn look(&mut self, path: &Path) -> Result<(Picture, Report), Failure> {
        let _span = tracing::debug_span!("look", path = %show::name(path.as_os_str())).entered();
        let start = Instant::now();
        let picture = pictures::open(path)?;
        let decode = start.elapsed();

        let size = picture.size();
        self.warn_of_size(path, size);
        let (probabilities, timings) = self
            .classifier
            .classify_timed(&picture)
            .map_err(|error| Failure::new(path, &error))?;
        let [height, width] = size;
        let report = Report {
            image: path.to_string_lossy().into_owned(),
            shown: show::name(path.as_os_str()),
            size: [width, height],
            top: self.best(&probabilities),
            ms: Milliseconds::new(
                decode,
                [timings.preprocess, timings.network, timings.postprocess],
            ),
        };
        Ok((picture, report))
    }

    /// Warns of the first picture of another size than the network was trained on.
    fn warn_of_size(&mut self, path: &Path, size: [usize; 2]) {
        let expected = self.classifier.fit().unexpected(size);
        if let Some(expected) = expected.filter(|_| !self.is_silent) {
            self.is_silent = true;
            let [height, width] = size;
            let path = show::name(path.as_os_str());
            let pictures = format!("{path} has {width} x {height} pixels");
            output::complain(&size_warning(&pictures, expected));
        }
    }

    /// Returns the most probable classes with their names.
    fn best(&self, probabilities: &Probabilities) -> Vec<Class> {
        let names = &self.classifier.description().classes;
        let top = probabilities.top(self.top).into_iter();
        top.map(|one| Class {
            class_id: one.class,
            class: names.get(one.class).cloned(),
            score: one.probability,
        })
        .collect()
    }
}

/// The result for one picture: one line of JSON, or with [`Display`](fmt::Display) a table of at most
/// 80 columns.
#[derive(Debug, Serialize)]
struct Report {
    /// The path, with U+FFFD in place of what is not Unicode.
    image: String,
    /// The path as messages show it.
    #[serde(skip)]
    shown: String,
    /// Width and height.
    #[serde(skip)]
    size: [usize; 2],
    /// By falling score.
    top: Vec<Class>,
    ms: Milliseconds,
}

/// A class and its probability.
#[derive(Debug, Serialize)]
struct Class {
    class_id: usize,
    /// The name, if the classes have names.
    class: Option<String>,
    /// The probability.
    score: f32,
}

impl Findings for Report {
    fn findings(&self) -> Vec<Finding> {
        let classes = self.top.iter().map(|class| Finding {
            class: (class.class.clone()).unwrap_or_else(|| class_number(class.class_id)),
            score: f64::from(class.score),
            bbox: None,
        });
        classes.collect()
    }
}

/// The widest class name in the table.
const NAME_COLUMNS: usize = 60;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (image, [width, height]) = (&self.shown, self.size);
        let total = self.ms.total();
        write!(f, "{image}: {width} x {height} pixels, {total:.1} ms")?;
        for class in &self.top {
            let name = match &class.class {
                Some(name) => shorten(&one_line(name), NAME_COLUMNS),
                None => class_number(class.class_id),
            };
            write!(f, "\n  {:>7.3} %  {name}", 100.0 * class.score)?;
        }
        Ok(())
    }
}
