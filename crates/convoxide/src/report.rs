//! What was found in a picture, as a table and as JSON.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use files::show::{one_line, shorten};
use image_data::BBox;
use serde::Serialize;
use yolo_detect::{ClassNames, Detection, Timings};

use crate::pictures::Failure;

/// One picture's objects: one line of JSON, or with [`Display`](fmt::Display) a table of at most
/// 80 columns.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The path, with a sign in place of what is no Unicode.
    image: String,
    width: usize,
    height: usize,
    /// By falling score.
    pub(crate) detections: Vec<Object>,
    ms: Milliseconds,
}

/// One object.
#[derive(Debug, Serialize)]
pub(crate) struct Object {
    class_id: usize,
    /// The class's name, if there is a names file.
    class: Option<String>,
    score: f32,
    #[serde(rename = "box")]
    pub(crate) bbox: BBox,
}

/// How long each step took, to a thousandth.
#[derive(Debug, Serialize)]
pub(crate) struct Milliseconds {
    decode: f64,
    preprocess: f64,
    network: f64,
    postprocess: f64,
}

impl Milliseconds {
    pub(crate) fn new(decode: Duration, timings: Timings) -> Self {
        Self {
            decode: milliseconds(decode),
            preprocess: milliseconds(timings.preprocess),
            network: milliseconds(timings.network),
            postprocess: milliseconds(timings.postprocess),
        }
    }

    /// All steps together.
    pub(crate) fn total(&self) -> f64 {
        self.decode + self.preprocess + self.network + self.postprocess
    }
}

/// A picture that could not be looked at: one line of JSON.
#[derive(Debug, Serialize)]
pub(crate) struct FailureReport {
    image: String,
    error: String,
}

impl Report {
    /// `size` is `[h, w]`.
    pub(crate) fn new(
        path: &Path,
        size: [usize; 2],
        detections: &[Detection],
        names: &ClassNames,
        decode: Duration,
        timings: Timings,
    ) -> Self {
        let [height, width] = size;
        let object = |detection: &Detection| Object {
            class_id: detection.class,
            class: names.get(detection.class).map(str::to_owned),
            score: detection.score,
            bbox: detection.bbox,
        };
        Self {
            image: path.to_string_lossy().into_owned(),
            width,
            height,
            detections: detections.iter().map(object).collect(),
            ms: Milliseconds::new(decode, timings),
        }
    }
}

impl Object {
    /// The class's number, which chooses the colour.
    pub(crate) fn class_id(&self) -> usize {
        self.class_id
    }

    /// What to call it: the class's name, or its number where there are no names.
    pub(crate) fn name(&self) -> String {
        match &self.class {
            Some(name) => one_line(name),
            None => class_number(self.class_id),
        }
    }

    /// The score in percent.
    pub(crate) fn percent(&self) -> f32 {
        100.0 * self.score
    }
}

/// What a class is called that has no name.
pub(crate) fn class_number(class: usize) -> String {
    format!("class {class}")
}

impl From<Failure> for FailureReport {
    fn from(failure: Failure) -> Self {
        Self {
            image: failure.path.to_string_lossy().into_owned(),
            error: failure.reason,
        }
    }
}

/// To a thousandth; what follows is noise.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The widest class name in the table.
const NAME_COLUMNS: usize = 24;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, .. } = self;
        let total = self.ms.total();
        let image = one_line(&self.image);
        write!(f, "{image}: {width} x {height} pixels, {total:.1} ms, ")?;
        match self.detections.len() {
            0 => return write!(f, "nothing found"),
            1 => write!(f, "1 object")?,
            count => write!(f, "{count} objects")?,
        }
        write!(
            f,
            "\n  {:<NAME_COLUMNS$} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "class", "score", "left", "top", "right", "bottom"
        )?;
        for object in &self.detections {
            let name = shorten(&object.name(), NAME_COLUMNS);
            let percent = object.percent();
            let BBox { x1, y1, x2, y2 } = object.bbox;
            write!(
                f,
                "\n  {name:<NAME_COLUMNS$} {percent:>6.1} % {x1:>9.1} {y1:>9.1} {x2:>9.1} {y2:>9.1}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(names: &str, detections: &[Detection]) -> Report {
        let timings = Timings {
            preprocess: Duration::from_micros(2500),
            network: Duration::from_nanos(20_123_456),
            postprocess: Duration::from_micros(40),
        };
        let names = ClassNames::parse(names).unwrap();
        let decode = Duration::from_millis(7);
        Report::new(
            Path::new("a\n.png"),
            [480, 640],
            detections,
            &names,
            decode,
            timings,
        )
    }

    fn detection(class: usize, [x1, y1, x2, y2]: [f32; 4]) -> Detection {
        let bbox = BBox::from_xyxy(x1, y1, x2, y2);
        Detection {
            class,
            score: 0.5625,
            bbox,
        }
    }

    #[test]
    fn json_has_the_fields_in_their_order() {
        let report = report("cat\ndog", &[detection(1, [1.5, 2.0, 30.25, 400.0])]);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"image":"a\n.png","width":640,"height":480,"detections":[{"class_id":1,"#
                .to_owned()
                + r#""class":"dog","score":0.5625,"box":{"x1":1.5,"y1":2.0,"x2":30.25,"y2":400.0}}],"#
                + r#""ms":{"decode":7.0,"preprocess":2.5,"network":20.123,"postprocess":0.04}}"#
        );
    }

    #[test]
    fn without_names_the_class_is_null() {
        let report = report("", &[detection(7, [0.0; 4])]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["detections"][0]["class"], serde_json::Value::Null);
        assert!(report.to_string().contains("class 7"));
    }

    #[test]
    fn the_table_has_one_line_an_object_in_80_columns() {
        let far = [32_000.0, 32_000.0, 32_768.0, 32_768.0];
        let long = "a class with a name that does not end, or so it seems";
        let text = report(long, &[detection(0, far), detection(0, far)]).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with("a\\n.png: 640 x 480 pixels, 29.7 ms, 2 objects"));
        assert!(
            lines.iter().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert_eq!(lines[1].len(), lines[2].len(), "{text}");
        assert!(report("", &[]).to_string().ends_with("nothing found"));
    }
}
