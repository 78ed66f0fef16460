//! Which format a dataset's labels have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::data_yaml::is_data_yaml;
use super::parsed::has_suffix;
use super::{coco, yolo};
use crate::dataset::tree::{FileId, ROOT, Tree};
use crate::error::Error;
use crate::suffix::picture_format;

/// A format of boxes and classes.
///
/// ```
/// use image_data::AnnotationFormat;
///
/// assert_eq!("coco".parse::<AnnotationFormat>()?, AnnotationFormat::Coco);
/// assert_eq!(AnnotationFormat::Voc.to_string(), "voc");
/// # Ok::<(), image_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationFormat {
    /// Pascal VOC: an XML file for each picture, in pixels.
    Voc,
    /// COCO: a JSON file for each part, in pixels.
    Coco,
    /// YOLO: a text file for each picture, in shares of its size.
    Yolo,
}

impl AnnotationFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Voc, Self::Coco, Self::Yolo];

    /// Its name in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Voc => "voc",
            Self::Coco => "coco",
            Self::Yolo => "yolo",
        }
    }
}

impl fmt::Display for AnnotationFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name in lower case.
impl FromStr for AnnotationFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| Error::Option {
            what: "annotations",
            field: "format",
            got: files::show::one_line(name),
            expected: "voc, coco or yolo",
        })
    }
}

/// The files that define a dataset's labels.
#[derive(Debug, Default)]
pub(super) struct LabelFiles {
    pub(super) voc: bool,
    pub(super) coco: Vec<FileId>,
    pub(super) yolo: Option<yolo::Description>,
}

/// How many bytes of a file tell its format.
const HEAD: usize = 64 << 10;

/// How many of the files of a kind are looked at, which is enough if the first are not what they seem.
const LOOKED_AT: usize = 100;

impl LabelFiles {
    /// Looks for the labels of each format.
    pub(super) fn find(tree: &Tree) -> Self {
        let files = tree.all_files(ROOT);
        let with = |ending: &'static str| {
            let files = files.iter().copied();
            files.filter(move |&file| has_suffix(tree, file, ending))
        };
        let starts_with = |file: FileId, is: &dyn Fn(&[u8]) -> bool| {
            let start = tree.start(file, HEAD);
            start.is_ok_and(|start| is(&start))
        };
        let contains = |text: &[u8], part: &str| {
            text.windows(part.len())
                .any(|window| window == part.as_bytes())
        };
        let voc = with("xml")
            .take(LOOKED_AT)
            .any(|file| starts_with(file, &|start| contains(start, "<annotation")));
        let json = with("json").filter(|&file| starts_with(file, &coco::is_coco));
        let json: Vec<FileId> = json.collect();
        // COCO has captions and key points of the same pictures beside the boxes.
        let is_boxes = |file: &FileId| tree.file_name(*file).starts_with(b"instances_");
        let boxes: Vec<FileId> = json.iter().copied().filter(is_boxes).collect();
        let coco = if boxes.is_empty() { json } else { boxes };

        let yaml = |ending| {
            with(ending).find(|&file| {
                starts_with(file, &|start| is_data_yaml(&String::from_utf8_lossy(start)))
            })
        };
        let data = with("data").find(|&file| {
            let has = |start: &[u8]| contains(start, "train") && contains(start, "names");
            starts_with(file, &has)
        });
        let yaml = yaml("yaml")
            .or_else(|| yaml("yml"))
            .map(yolo::Description::Yaml);
        let described = yaml.or_else(|| data.map(yolo::Description::Darknet));
        let yolo = described.or_else(|| {
            let pictures = files.iter().copied();
            let pictures = pictures.filter(|&file| picture_format(tree.file_name(file)).is_some());
            let mut labels = pictures.filter_map(|picture| yolo::label_file(tree, picture));
            let has_labels = labels.by_ref().take(LOOKED_AT).any(|file| {
                starts_with(file, &|start| {
                    let text = String::from_utf8_lossy(start);
                    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
                    first.is_some_and(|line| yolo::label(line, None).is_ok())
                })
            });
            has_labels.then_some(yolo::Description::Folders(ROOT))
        });
        Self { voc, coco, yolo }
    }

    /// The formats that were found.
    pub(super) fn formats(&self) -> Vec<AnnotationFormat> {
        let has = |format: &AnnotationFormat| match format {
            AnnotationFormat::Voc => self.voc,
            AnnotationFormat::Coco => !self.coco.is_empty(),
            AnnotationFormat::Yolo => self.yolo.is_some(),
        };
        AnnotationFormat::ALL.into_iter().filter(has).collect()
    }
}
