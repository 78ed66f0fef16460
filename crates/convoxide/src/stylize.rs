//! `convoxide stylize`: the content of one picture in the style of another.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use files::show;
use image_data::{ChannelOrder, Picture, Preprocessing};
use nn_layers::Graph;
use serde::Serialize;
use transfer::{Backbone, StyleLayers, StyleOptions, StylePictures, StyleTransfer};

use crate::context::Context;
use crate::error::Error;
use crate::model::Source;
use crate::numbers::short;
use crate::progress::Progress;
use crate::{output, pictures, suffix};

/// Give a picture the colours, textures and patterns of another
///
/// The result starts as the content picture. Step by step, its pixels change until
/// the features of a trained network have the correlations (Gram matrices) of the
/// style picture's features, while staying near the content picture's features.
///
/// The losses are relative: of the style loss, 0 is the style picture's style; of
/// the content loss, 0 is the content picture.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The picture whose content is kept
    #[arg(long, value_name = "A")]
    content: PathBuf,
    /// The picture whose style is taken
    #[arg(long, value_name = "B")]
    style: PathBuf,
    /// File to write
    #[arg(long, value_name = "C.png")]
    output: PathBuf,
    /// The network: a known model, a model file, a darknet cfg
    #[arg(long, value_name = "MODEL", default_value = "mobilenet_v2")]
    model: PathBuf,
    /// Its weights, unless the model has them
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Longest side of the result; larger pictures are made smaller
    #[arg(
        long, value_name = "N", default_value_t = StyleOptions::default().size,
        value_parser = RangedU64ValueParser::<usize>::new().range(16..=4096)
    )]
    size: usize,
    /// Weight of the style against the content
    #[arg(long, value_name = "S", default_value_t = StyleOptions::default().style_weight, value_parser = positive)]
    strength: f64,
    /// Weight of smoothness, which keeps the result from becoming noisy
    #[arg(long, value_name = "S", default_value_t = StyleOptions::default().smoothness, value_parser = not_negative)]
    smoothness: f64,
    /// Number of steps
    #[arg(
        long, value_name = "N", default_value_t = StyleOptions::default().steps,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    steps: u64,
    /// A node that describes the content; may be repeated [default: by network]
    #[arg(long, value_name = "NODE", requires = "style_layer")]
    content_layer: Vec<String>,
    /// A node that describes the style; may be repeated [default: by network]
    #[arg(long, value_name = "NODE", requires = "content_layer")]
    style_layer: Vec<String>,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .ok_or_else(|| "expected a number above 0".to_owned())
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| "expected a number that is not negative".to_owned())
}

/// Layers whose results look good, content and style, for the networks that have all of these nodes.
const USUAL_LAYERS: [[&[&str]; 2]; 2] = [
    // MobileNetV2: the first convolution, and the widest tensors at 1/2, 1/4 and 1/8 of the size.
    [
        &["features.7.conv.0.2"],
        &[
            "features.0.2",
            "features.2.conv.0.2",
            "features.4.conv.0.2",
            "features.7.conv.0.2",
        ],
    ],
    // YOLOv3-tiny: the activations at full size, 1/2, 1/4, 1/8 and 1/16 of it.
    [&["6.act"], &["0.act", "2.act", "4.act", "6.act", "8.act"]],
];

/// Runs the command.
///
/// # Errors
///
/// Those of the pictures, of the network and of the output.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    suffix::check(&args.output, "a PNG picture", &["png"])?;
    let start = Instant::now();
    let open = |path: &Path| pictures::open(path).map_err(Error::Photo);
    let (content, style) = (open(&args.content)?, open(&args.style)?);
    let source = Source {
        model: args.model,
        weights: args.weights,
        classes: None,
    };
    let model = source.load(context)?;
    let params = model
        .params
        .as_ref()
        .ok_or_else(|| source.no_weights(model.not_fetched))?;
    let preprocessing = match &model.description {
        Some(description) => description.preprocessing.clone(),
        None => darknet(),
    };
    let layers = match (&args.content_layer[..], &args.style_layer[..]) {
        ([], []) => usual_layers(&model.graph).ok_or_else(|| {
            source.fault(
                "there are no usual layers for this network: name them as --content-layer and \
                 --style-layer; `convoxide summary` lists all",
            )
        })?,
        (content, style) => StyleLayers {
            content: content.to_vec(),
            style: style.to_vec(),
        },
    };
    let options = StyleOptions {
        steps: args.steps,
        size: args.size,
        style_weight: args.strength,
        smoothness: args.smoothness,
        ..StyleOptions::default()
    };
    let backbone = Backbone {
        graph: &model.graph,
        params,
        preprocessing: &preprocessing,
    };
    let pictures = StylePictures {
        content: &content,
        style: &style,
    };
    let in_model = |error: transfer::Error| source.fault(error);
    let engine = context.options.clone();
    let transfer = StyleTransfer::new(backbone, pictures, &layers, &options, &engine);
    let mut transfer = transfer.map_err(in_model)?;

    let first = transfer.losses().map_err(in_model)?;
    let progress = Progress::of_steps(context, args.steps);
    let ran = transfer.run(|_, losses| progress.step_with(losses.style));
    drop(progress);
    ran.map_err(in_model)?;
    let last = transfer.losses().map_err(in_model)?;
    let result = transfer.picture().map_err(in_model)?;
    result.save_png(&args.output)?;

    let report = Report {
        output: args.output.to_string_lossy().into_owned(),
        shown: show::name(args.output.as_os_str()),
        model: source.model.to_string_lossy().into_owned(),
        steps: transfer.steps(),
        style: Ratio::new(last.style, first.style),
        content: Ratio::new(last.content, transfer.distance()),
        ..Report::of(&result, start)
    };
    if context.json {
        output::json(&report)?;
    } else {
        output::text(report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Darknet's preprocessing without its letterbox: values from 0 to 1.
fn darknet() -> Preprocessing {
    Preprocessing {
        resize: None,
        crop: None,
        channels: ChannelOrder::Rgb,
        mean: vec![0.0; 3],
        std: vec![1.0; 3],
    }
}

/// The usual layers of the first network in the table whose nodes the graph has.
fn usual_layers(graph: &Graph) -> Option<StyleLayers> {
    let mut usual = USUAL_LAYERS.into_iter();
    let has_all = |layers: &[&[&str]; 2]| {
        let mut names = layers.iter().copied().flatten();
        names.all(|name| graph.find(name).is_some())
    };
    let [content, style] = usual.find(has_all)?;
    Some(StyleLayers::new(
        content.iter().copied(),
        style.iter().copied(),
    ))
}

/// The command's JSON, or with [`Display`](fmt::Display) three lines.
#[derive(Debug, Default, Serialize)]
struct Report {
    output: String,
    /// The output's path as messages show it.
    #[serde(skip)]
    shown: String,
    model: String,
    width: usize,
    height: usize,
    steps: u64,
    seconds: f64,
    /// Against the style loss of the content picture.
    style: Ratio,
    /// Against the content loss of the style picture.
    content: Ratio,
}

/// A loss and the value that it is compared with.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Ratio {
    loss: f64,
    of: f64,
    ratio: f64,
}

impl Ratio {
    fn new(loss: f64, of: f64) -> Self {
        // A picture in its own style has no loss to compare with.
        let ratio = if of > 0.0 { loss / of } else { 0.0 };
        Self { loss, of, ratio }
    }
}

impl Report {
    fn of(result: &Picture, start: Instant) -> Self {
        let [height, width] = result.size();
        Self {
            width,
            height,
            seconds: (start.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            ..Self::default()
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shown,
            width,
            height,
            steps,
            seconds,
            style,
            content,
            ..
        } = self;
        let steps = show::count(*steps as usize, "step", "steps");
        writeln!(
            f,
            "{shown}: {width} x {height} pixels, {steps}, {seconds:.1} s"
        )?;
        writeln!(
            f,
            "  style loss    {:>9}  {:.3} times that at the start, {}",
            short(style.loss),
            style.ratio,
            short(style.of),
        )?;
        write!(
            f,
            "  content loss  {:>9}  {:.3} times that of the style picture, {}",
            short(content.loss),
            content.ratio,
            short(content.of),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_their_usual_layers() {
        let mobilenet = image_classify::Architecture::named("mobilenet_v2").unwrap();
        let layers = usual_layers(&mobilenet.graph().unwrap()).unwrap();
        assert!(layers.content[0].starts_with("features."), "{layers:?}");
        let resnet = image_classify::Architecture::named("resnet18").unwrap();
        assert_eq!(usual_layers(&resnet.graph().unwrap()), None);
    }

    #[test]
    fn weights_are_positive_numbers() {
        for bad in ["0", "-1", "NaN", "inf", "much", ""] {
            assert!(positive(bad).is_err(), "{bad}");
        }
        assert_eq!((positive("0.5"), not_negative("0")), (Ok(0.5), Ok(0.0)));
        assert!(not_negative("-0.1").is_err());
    }

    #[test]
    fn a_picture_in_its_own_style_has_a_ratio() {
        let report = Report {
            shown: "c.png".to_owned(),
            width: 40,
            height: 30,
            steps: 1,
            style: Ratio::new(0.0, 0.0),
            content: Ratio::new(0.25, 1.0),
            ..Report::default()
        };
        let text = report.to_string();
        assert!(
            text.starts_with("c.png: 40 x 30 pixels, 1 step, 0.0 s\n"),
            "{text}"
        );
        assert!(
            text.contains("0.25  0.250 times that of the style picture, 1"),
            "{text}"
        );
    }
}
