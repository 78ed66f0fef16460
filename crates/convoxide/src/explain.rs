//! `convoxide explain`: what in a picture speaks for a class.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use files::show::{self, one_line};
use image_classify::{Description, Explanation, GradCamOptions};
use image_data::Picture;
use serde::Serialize;

use crate::context::Context;
use crate::error::{Error, Near, Reason};
use crate::model::OptionalModelFlags;
use crate::report::class_number;
use crate::size_warning::size_warning;
use crate::{output, pictures, suffix};

/// Show what in a picture speaks for a class, as a heat map
///
/// The map is the Grad-CAM of one node: it is computed from the node's features and
/// the gradient of the class's score. It has the node's resolution, and is enlarged
/// to the picture's. Bright parts speak for the class; parts that the network does
/// not see, because the preprocessing crops the picture, are darkened.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    model: OptionalModelFlags,
    /// The class, by its name or number [default: the most probable]
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// The node [default: the last one with more than one pixel]
    #[arg(long, value_name = "NODE")]
    layer: Option<String>,
    /// File to write
    #[arg(long, value_name = "FILE.png")]
    output: PathBuf,
    /// The picture
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the model, of the picture and of the output; an unknown class or node.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    suffix::check(&args.output, "a PNG picture", &["png"])?;
    let picture = pictures::open(&args.image).map_err(Error::Photo)?;
    let source = args.model.into_source(context);
    let model = source.classifier(context)?;
    let class = match &args.class {
        Some(name) => Some(class(&model.description, name).map_err(|error| source.fault(error))?),
        None => None,
    };
    let fit = model.description.fit();
    let unexpected = fit.unexpected(picture.size());
    if let Some(expected) = unexpected.filter(|_| !context.quiet) {
        let ([height, width], path) = (picture.size(), show::name(args.image.as_os_str()));
        let pictures = format!("{path} has {width} x {height} pixels");
        output::complain(&size_warning(&pictures, expected));
    }
    let options = GradCamOptions {
        class,
        node: args.layer,
        engine: context.options.clone(),
    };
    let explained = model.explain(&picture, &options);
    let explanation = explained.map_err(|error| source.fault(error))?;
    overlaid(&picture, &explanation)?.save_png(&args.output)?;

    let (map_height, map_width) = explanation.cam.map.dim();
    let report = Report {
        image: args.image.to_string_lossy().into_owned(),
        shown: show::name(args.image.as_os_str()),
        class_id: explanation.cam.class,
        class: model
            .description
            .classes
            .get(explanation.cam.class)
            .cloned(),
        score: explanation.probability,
        layer: explanation.cam.node,
        map: [map_height, map_width],
        output: args.output.to_string_lossy().into_owned(),
    };
    if context.json {
        output::json(&report)?;
    } else {
        output::text(&report)?;
    }
    if explanation.heat.iter().all(|&heat| heat == 0.0) && !context.quiet {
        output::complain(&"nothing at this node speaks for the class: the map is empty");
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds a class by its name, or by its number if no class has that name.
fn class(description: &Description, name: &str) -> Result<usize, Reason> {
    let classes = &description.classes;
    if let Some(class) = classes.iter().position(|class| class == name) {
        return Ok(class);
    }
    let count = description.architecture.classes();
    let number = name.parse().ok().filter(|&class: &usize| class < count);
    number.ok_or_else(|| {
        let near = Near::new(name, classes.iter().map(String::as_str));
        let near = one_line(&near.to_string());
        format!("no class is called {name:?}{near}, nor is it a number below {count}").into()
    })
}

/// The command's JSON, or with [`Display`](fmt::Display) one line.
#[derive(Debug, Serialize)]
struct Report {
    image: String,
    /// The path as messages show it.
    #[serde(skip)]
    shown: String,
    class_id: usize,
    /// The name, if the classes have names.
    class: Option<String>,
    /// The probability.
    score: f32,
    layer: String,
    /// The map's `[h, w]`.
    map: [usize; 2],
    output: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shown,
            score,
            layer,
            map: [height, width],
            ..
        } = self;
        let class = match &self.class {
            Some(class) => one_line(class),
            None => class_number(self.class_id),
        };
        let (percent, layer) = (100.0 * score, one_line(layer));
        write!(
            f,
            "{shown}: {class}, {percent:.3} %; {width} x {height} cells of {layer}"
        )
    }
}

/// Colours of the heat map, from 0 to 1: transparent purple to opaque yellow.
const COLOURS: [[f32; 3]; 5] = [
    [40.0, 10.0, 90.0],
    [150.0, 30.0, 110.0],
    [225.0, 70.0, 60.0],
    [250.0, 150.0, 30.0],
    [255.0, 240.0, 120.0],
];
/// The opacity of the map where it is largest.
const OPACITY: f32 = 0.75;
/// The brightness of the parts that the network does not see.
const UNSEEN: f32 = 0.35;

/// Draws the heat map over the picture, which loses half of its own colour for contrast.
fn overlaid(picture: &Picture, explanation: &Explanation) -> image_data::Result<Picture> {
    let [height, width] = picture.size();
    let mut rgb = Vec::with_capacity(picture.rgb().len());
    let pixels = picture.rgb().chunks_exact(3).zip(&explanation.heat);
    let visible = explanation.visible;
    for (index, (pixel, &heat)) in pixels.enumerate() {
        let [x, y] = [index % width.max(1), index / width.max(1)].map(|at| at as f32 + 0.5);
        let is_seen =
            (visible.x1..=visible.x2).contains(&x) && (visible.y1..=visible.y2).contains(&y);
        let own = [0, 1, 2].map(|channel| f32::from(pixel[channel]));
        let grey = 0.299 * own[0] + 0.587 * own[1] + 0.114 * own[2];
        let colour = colour(heat);
        let opacity = OPACITY * heat;
        for channel in 0..3 {
            let base = 0.5 * (grey + own[channel]);
            let mixed = match is_seen {
                true => (1.0 - opacity) * base + opacity * colour[channel],
                false => UNSEEN * base,
            };
            // From 0 to 255, and saturating.
            rgb.push(mixed.round() as u8);
        }
    }
    Picture::from_rgb(width, height, 3 * width, &rgb)
}

/// The colour of a heat from 0 to 1, between the two nearest of [`COLOURS`].
fn colour(heat: f32) -> [f32; 3] {
    let last = COLOURS.len() - 1;
    let at = heat.clamp(0.0, 1.0) * last as f32;
    let first = (at.floor() as usize).min(last - 1);
    let share = at - first as f32;
    let [from, to] = [COLOURS[first], COLOURS[first + 1]];
    [0, 1, 2].map(|channel| (1.0 - share) * from[channel] + share * to[channel])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colours_run_from_purple_to_yellow() {
        assert_eq!(colour(0.0), COLOURS[0]);
        assert_eq!(colour(1.0), COLOURS[4]);
        assert_eq!(colour(0.125), [95.0, 20.0, 100.0]);
        assert_eq!(colour(f32::NAN.max(0.0)), COLOURS[0]);
    }

    #[test]
    fn a_class_is_found_by_name_before_number() {
        let mut description = Description::named("resnet20").unwrap();
        description.architecture = description.architecture.with_classes(3);
        description.classes = ["cat", "0", "owl"].map(str::to_owned).to_vec();
        assert_eq!(class(&description, "owl").unwrap(), 2);
        assert_eq!(class(&description, "0").unwrap(), 1);
        assert_eq!(class(&description, "2").unwrap(), 2);
        let message = class(&description, "ow").unwrap_err().to_string();
        assert!(message.contains("did you mean owl"), "{message}");
        assert!(class(&description, "3").is_err());
    }
}
