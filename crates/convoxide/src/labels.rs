//! Options of the commands that read datasets with boxes.

use clap::ValueEnum;
use image_data::{AnnotationFormat, AnnotationOptions, Faulty};

/// How the labels of a dataset with boxes are read.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Boxes")]
pub(crate) struct Labels {
    /// Format of the dataset's boxes: voc, coco or yolo [default: the one found]
    #[arg(long, value_name = "FORMAT")]
    from: Option<AnnotationFormat>,
    /// Boxes that are wrong: refuse the dataset; clip them to their pictures and drop the
    /// rest; or drop all of them
    #[arg(
        long, value_name = "refuse|clip|drop",
        value_enum, hide_possible_values = true, default_value_t = Choice::Refuse
    )]
    faulty: Choice,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    Refuse,
    Clip,
    Drop,
}

impl From<Labels> for AnnotationOptions {
    fn from(Labels { from, faulty }: Labels) -> Self {
        Self {
            format: from,
            faulty: match faulty {
                Choice::Refuse => Faulty::Refuse,
                Choice::Clip => Faulty::Clip,
                Choice::Drop => Faulty::Drop,
            },
            ..Self::default()
        }
    }
}
