//! `convoxide preview`: pictures as training sees them, with their labels drawn on them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::RangedU64ValueParser;
use files::show::{count, name, one_line};
use image_data::{
    AnySplits, Augmentation, BBox, Batch, Boxes, Dataset, DrawnBox, Label, Loader, LoaderOptions,
    Mosaic, Picture, Preprocessing, ResizeTo, draw_boxes,
};

use crate::context::Context;
use crate::error::Error;
use crate::labels::Labels;
use crate::output;
use crate::train::recipe::{Draft, Recipe};

/// Draw batches of training pictures, augmented, with their labels
///
/// Shows what a network is trained on: look for boxes that miss their objects and
/// for objects that no one could recognise. Each batch is one PNG file.
///
/// Datasets with boxes are augmented as detectors are trained by default: scaled,
/// shifted, mirrored and with other colours. Class folders need a --recipe.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Labelled pictures: class folders, Pascal VOC, COCO or YOLO, in a folder or an archive
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
    /// Folder for the pictures
    #[arg(long, alias = "output", value_name = "DIR")]
    out: PathBuf,
    /// Recipe with the preprocessing, the augmentation, the batch size and the seed
    #[arg(long, value_name = "RECIPE.toml")]
    recipe: Option<PathBuf>,
    /// Number of batches
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    batches: usize,
    /// Pictures in a batch [default: 16]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=256))]
    batch: Option<usize>,
    /// Seed of the augmentation and of the pictures' order [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Size of a detector's input, in pixels
    #[arg(long, value_name = "N", default_value_t = 416, value_parser = RangedU64ValueParser::<usize>::new().range(32..=4096))]
    size: usize,
    /// Share of a detector's pictures that are mosaics of four
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    mosaic: f64,
    #[command(flatten)]
    labels: Labels,
}

/// Runs the command.
///
/// # Errors
///
/// A dataset or recipe that cannot be read, class folders without a recipe, and errors of writing.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let recipe = args.recipe.as_deref().map(recipe).transpose()?;
    let splits = AnySplits::open(&args.dataset, &args.labels.into())?;
    let options = LoaderOptions {
        batch_size: args
            .batch
            .or(recipe.as_ref().map(|r| r.batch))
            .unwrap_or(16),
        seed: args.seed.or(recipe.as_ref().map(|r| r.seed)).unwrap_or(1),
        ..LoaderOptions::default()
    };
    match splits {
        AnySplits::Classes(splits) => {
            let Some(recipe) = recipe else {
                let reason =
                    "class folders need --recipe RECIPE.toml, which says how they are trained on";
                return Err(fault(&args.dataset, reason.into()));
            };
            let classes = splits.train.classes().len();
            let architecture = recipe.architecture(classes);
            let architecture = architecture.map_err(|error| fault(&args.dataset, error))?;
            let preprocessing = recipe.preprocessing(&architecture);
            let options = LoaderOptions {
                augmentation: recipe.augmentation,
                ..options
            };
            draw(args, context, splits.train, preprocessing, options)
        }
        AnySplits::Boxes(splits) => {
            let options = LoaderOptions {
                augmentation: Augmentation {
                    mosaic: (args.mosaic != 0.0).then_some(Mosaic {
                        probability: args.mosaic,
                    }),
                    ..Augmentation::detection()
                },
                ..options
            };
            let size = ResizeTo::Letterbox([args.size; 2]);
            draw(
                args,
                context,
                splits.train,
                Preprocessing::detection(size),
                options,
            )
        }
    }
}

fn recipe(path: &Path) -> Result<Recipe, Error> {
    let draft = Draft::open(path).map_err(|error| fault(path, error))?;
    draft.recipe().map_err(|mistakes| Error::Recipe {
        path: path.to_owned(),
        mistakes,
    })
}

fn fault(path: &Path, error: crate::error::Reason) -> Error {
    Error::Training {
        path: path.to_owned(),
        error,
    }
}

fn draw<L: Drawn>(
    args: &Args,
    context: &Context,
    dataset: Arc<dyn Dataset<L>>,
    preprocessing: Preprocessing,
    options: LoaderOptions,
) -> Result<ExitCode, Error> {
    let classes = dataset.classes().to_vec();
    let loader = Loader::new(dataset, preprocessing.clone(), options)?;
    std::fs::create_dir_all(&args.out).map_err(|error| fault(&args.out, error.into()))?;
    let mut files = Vec::new();
    for batch in loader.epochs(0..u64::MAX).take(args.batches) {
        let sheet = sheet(&batch?, &preprocessing, &classes)?;
        let file = args.out.join(format!("batch-{:03}.png", files.len()));
        sheet.save_png(&file)?;
        files.push(file);
    }
    if context.json {
        output::json(&serde_json::json!({ "files": files }))?;
    } else {
        let batches = count(files.len(), "batch", "batches");
        let out = name(args.out.as_os_str());
        output::text(one_line(&format!("drew {batches} in {out}")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A label that can be drawn.
trait Drawn: Label {
    /// The boxes that show it, on a picture of `size`, `[h, w]`.
    fn drawn(&self, classes: &[String], size: [usize; 2]) -> Vec<DrawnBox>;
}

impl Drawn for usize {
    /// The class, in the picture's corner.
    fn drawn(&self, classes: &[String], [h, w]: [usize; 2]) -> Vec<DrawnBox> {
        vec![DrawnBox {
            bbox: BBox::from_xyxy(0.0, 0.0, w as f32, h as f32),
            text: classes.get(*self).cloned().unwrap_or_default(),
            color_index: *self,
        }]
    }
}

impl Drawn for Boxes {
    fn drawn(&self, classes: &[String], _size: [usize; 2]) -> Vec<DrawnBox> {
        let drawn = |object: &image_data::ObjectBox| DrawnBox {
            bbox: object.bbox,
            text: classes.get(object.class).cloned().unwrap_or_default(),
            color_index: object.class,
        };
        self.iter().map(drawn).collect()
    }
}

/// The space between two pictures, in pixels.
const GAP: usize = 4;

/// The pictures of a batch, in rows, with their labels.
fn sheet<L: Drawn>(
    batch: &Batch<L>,
    preprocessing: &Preprocessing,
    classes: &[String],
) -> Result<Picture, Error> {
    let (number, _, h, w) = batch.inputs.dim();
    let columns = (1..=number).find(|side| side * side >= number).unwrap_or(1);
    let rows = number.div_ceil(columns);
    let width = columns * (w + GAP) - GAP;
    let height = rows * (h + GAP) - GAP;
    let mut sheet = vec![255; height * width * 3];
    for (index, label) in batch.labels.iter().enumerate() {
        let picture = picture(batch, index, preprocessing)?;
        let picture = draw_boxes(&picture, &label.drawn(classes, [h, w]))?;
        let [top, left] = [index / columns * (h + GAP), index % columns * (w + GAP)];
        for (y, row) in picture.rgb().chunks_exact(w * 3).enumerate() {
            let start = ((top + y) * width + left) * 3;
            sheet[start..start + w * 3].copy_from_slice(row);
        }
    }
    Ok(Picture::from_rgb(width, height, width * 3, &sheet)?)
}

/// A network's input as a picture: mean and standard deviation undone, grey in all channels.
fn picture<L: Label>(
    batch: &Batch<L>,
    index: usize,
    preprocessing: &Preprocessing,
) -> Result<Picture, Error> {
    let (_, channels, h, w) = batch.inputs.dim();
    let mut rgb = Vec::with_capacity(h * w * 3);
    for y in 0..h {
        for x in 0..w {
            for channel in 0..3 {
                let channel = channel.min(channels - 1);
                let of = |values: &[f64]| values.get(channel).copied();
                let mean = of(&preprocessing.mean).unwrap_or(0.0);
                let std = of(&preprocessing.std).unwrap_or(1.0);
                let value = f64::from(batch.inputs[[index, channel, y, x]]) * std + mean;
                rgb.push((value * 255.0).round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    Ok(Picture::from_rgb(w, h, w * 3, &rgb)?)
}
