//! Writes Pascal VOC's format; [`super::super::voc`] reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use files::show::count;

use super::{Item, Writer, create, write};
use crate::error::Result;
use crate::label::{ObjectBox, ObjectKind};

pub(super) struct Voc<'a> {
    folder: &'a Path,
    classes: &'a [String],
    /// The names of each part's pictures, a line each.
    lists: BTreeMap<String, String>,
    /// The number of crowds.
    crowds: usize,
}

impl<'a> Voc<'a> {
    pub(super) fn new(folder: &'a Path, classes: &'a [String]) -> Self {
        Self {
            folder,
            classes,
            lists: BTreeMap::new(),
            crowds: 0,
        }
    }

    fn object(&self, object: &ObjectBox) -> String {
        let class = self.classes.get(object.class);
        let name = class.map_or_else(|| object.class.to_string().into(), |class| escaped(class));
        let b = object.bbox;
        // Pixels are counted from 1, and a box includes its last pixel.
        let [xmin, ymin] = [b.x1, b.y1].map(|edge| f64::from(edge) + 1.0);
        let [xmax, ymax] = [b.x2, b.y2].map(f64::from);
        let difficult = u8::from(match object.kind {
            ObjectKind::Plain => false,
            ObjectKind::Difficult | ObjectKind::Crowd => true,
        });
        format!(
            "  <object>\n    <name>{name}</name>\n    <pose>Unspecified</pose>\n    \
             <truncated>0</truncated>\n    <difficult>{difficult}</difficult>\n    <bndbox>\n      \
             <xmin>{xmin}</xmin>\n      <ymin>{ymin}</ymin>\n      <xmax>{xmax}</xmax>\n      \
             <ymax>{ymax}</ymax>\n    </bndbox>\n  </object>\n"
        )
    }
}

impl Writer for Voc<'_> {
    fn pictures(&self, _part: &str) -> PathBuf {
        PathBuf::from("JPEGImages")
    }

    fn shares_folder(&self) -> bool {
        true
    }

    fn add(&mut self, part: &str, item: &Item<'_>) -> Result<usize> {
        let [h, w] = item.size;
        let mut text = format!(
            "<annotation>\n  <folder>JPEGImages</folder>\n  <filename>{}</filename>\n  <size>\n    \
             <width>{w}</width>\n    <height>{h}</height>\n    <depth>3</depth>\n  </size>\n  \
             <segmented>0</segmented>\n",
            escaped(item.file)
        );
        for object in item.boxes {
            text.push_str(&self.object(object));
        }
        text.push_str("</annotation>\n");

        let folder = self.folder.join("Annotations");
        create(&folder)?;
        let file = Path::new(item.file);
        write(&folder.join(file.with_extension("xml")), text.as_bytes())?;
        let list = self.lists.entry(part.to_owned()).or_default();
        let stem = file.with_extension("");
        let _ = writeln!(list, "{}", stem.display());
        let crowds = item
            .boxes
            .iter()
            .filter(|object| object.kind == ObjectKind::Crowd);
        self.crowds += crowds.count();
        Ok(item.boxes.len())
    }

    fn finish(&mut self, parts: &[&'static str]) -> Result<Vec<String>> {
        let main = self.folder.join("ImageSets").join("Main");
        create(&main)?;
        for part in parts {
            let list = self.lists.get(*part).map_or("", String::as_str);
            write(&main.join(format!("{part}.txt")), list.as_bytes())?;
        }
        // VOC itself knows its classes; elsewhere, nothing else keeps their order.
        let classes: String = self
            .classes
            .iter()
            .map(|class| format!("{class}\n"))
            .collect();
        write(&self.folder.join("classes.txt"), classes.as_bytes())?;
        if self.crowds == 0 {
            return Ok(Vec::new());
        }
        let crowds = count(
            self.crowds,
            "crowd is a difficult object",
            "crowds are difficult objects",
        );
        Ok(vec![format!("{crowds} now: VOC has no crowds")])
    }
}

/// A text with the characters of XML's own escaped.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>']) {
        return Cow::Borrowed(text);
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    Cow::Owned(text.replace('>', "&gt;"))
}
