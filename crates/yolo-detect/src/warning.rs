//! What is odd about a model's files.

use std::fmt;
use std::path::PathBuf;

use files::show::name;

use crate::cfg;
use crate::fit::Fit;

/// Something about a model that does not stop it from running, but may change what it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Something odd in the cfg.
    Cfg {
        /// The cfg file.
        path: PathBuf,
        /// What is odd.
        warning: cfg::Warning,
    },
    /// The weights were written by A. Bochkovskiy's fork of darknet
    /// (<https://github.com/AlexeyAB/darknet>). The network was trained with that program's
    /// arithmetic, which differs from that of J. Redmon's darknet, followed here.
    Fork {
        /// The weights file.
        path: PathBuf,
        /// The header's `revision`, by which the fork is recognised.
        revision: i32,
        /// Whether the cfg has `letter_box=1`, with which the fork letterboxes pictures too.
        letter_box: bool,
        /// How the model fits pictures to the network's input.
        fit: Fit,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cfg { path, warning } => write!(f, "{}: {warning}", name(path.as_os_str())),
            Self::Fork {
                path,
                revision,
                letter_box,
                fit,
            } => {
                let path = name(path.as_os_str());
                write!(
                    f,
                    "{path}: revision {revision} means that AlexeyAB's fork of darknet wrote these \
                     weights, so results may differ from the fork's: "
                )?;
                if !letter_box && *fit == Fit::Letterbox {
                    f.write_str(
                        "it stretches pictures to the network's input unless the cfg has \
                         letter_box=1, whereas here their proportions are kept; ",
                    )?;
                }
                f.write_str(
                    "its batch normalisation divides by sqrt(variance + 0.00001), whereas here it \
                     divides by sqrt(variance) + 0.000001",
                )
            }
        }
    }
}
