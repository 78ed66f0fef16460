//! The objects found in a picture, as a table and as JSON.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use files::show::{count, name, one_line, shorten};
use image_data::BBox;
use serde::Serialize;
use yolo_detect::{ClassNames, Detection, Timings};

use crate::gallery::{Finding, Findings};
use crate::pictures::Failure;

/// The objects of one picture: one line of JSON, or a table of at most 80 columns by
/// [`Display`](fmt::Display).
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The path as text; bytes that are not UTF-8 are shown as `\xNN`.
    image: String,
    width: usize,
    height: usize,
    /// In decreasing order of score.
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

/// The duration of each step, to a thousandth of a millisecond.
#[derive(Debug, Serialize)]
pub(crate) struct Milliseconds {
    decode: f64,
    preprocess: f64,
    network: f64,
    postprocess: f64,
}

impl Milliseconds {
    /// Of decoding; then of preprocessing, the network and postprocessing.
    pub(crate) fn new(decode: Duration, [preprocess, network, postprocess]: [Duration; 3]) -> Self {
        Self {
            decode: milliseconds(decode),
            preprocess: milliseconds(preprocess),
            network: milliseconds(network),
            postprocess: milliseconds(postprocess),
        }
    }

    /// The sum of all steps.
    pub(crate) fn total(&self) -> f64 {
        self.decode + self.preprocess + self.network + self.postprocess
    }
}

/// A picture that could not be read or processed: one line of JSON.
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
            image: text_of(path),
            width,
            height,
            detections: detections.iter().map(object).collect(),
            ms: Milliseconds::new(
                decode,
                [timings.preprocess, timings.network, timings.postprocess],
            ),
        }
    }
}

impl Report {
    /// The boxes in decreasing order of score, each with its objects. Darknet's rule reports a box once
    /// for every class above the threshold.
    pub(crate) fn boxes(&self) -> Vec<Vec<&Object>> {
        let mut boxes: Vec<Vec<&Object>> = Vec::new();
        let mut places = HashMap::new();
        for object in &self.detections {
            let BBox { x1, y1, x2, y2 } = object.bbox;
            let place = *places
                .entry([x1, y1, x2, y2].map(f32::to_bits))
                .or_insert(boxes.len());
            match boxes.get_mut(place) {
                Some(objects) => objects.push(object),
                None => boxes.push(vec![object]),
            }
        }
        boxes
    }
}

/// A path as text: unchanged if it is UTF-8, so that programs can open it, and escaped otherwise.
fn text_of(path: &Path) -> String {
    path.to_str()
        .map_or_else(|| name(path.as_os_str()), str::to_owned)
}

impl Findings for Report {
    fn findings(&self) -> Vec<Finding> {
        let objects = self.detections.iter().map(|object| Finding {
            class: object.name(),
            score: f64::from(object.score),
            bbox: Some(object.bbox),
        });
        objects.collect()
    }
}

impl Object {
    /// The index of the class, which selects the colour.
    pub(crate) fn class_id(&self) -> usize {
        self.class_id
    }

    /// The name of the class, or its number if there are no names.
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

/// The name for a class without one.
pub(crate) fn class_number(class: usize) -> String {
    format!("class {class}")
}

impl From<Failure> for FailureReport {
    fn from(failure: Failure) -> Self {
        Self {
            image: text_of(&failure.path),
            error: failure.reason,
        }
    }
}

/// Rounds to a thousandth of a millisecond; further digits are noise.
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
        let boxes = self.boxes();
        let found = match boxes.len() {
            0 => "nothing found".to_owned(),
            objects => count(objects, "object", "objects"),
        };
        write!(
            f,
            "{image}: {width} x {height} pixels, {total:.1} ms, {found}"
        )?;
        if boxes.is_empty() {
            return Ok(());
        }
        write!(
            f,
            "\n  {:<NAME_COLUMNS$} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "class", "score", "left", "top", "right", "bottom"
        )?;
        for objects in &boxes {
            for (index, object) in objects.iter().enumerate() {
                let percent = object.percent();
                if index == 0 {
                    let name = shorten(&object.name(), NAME_COLUMNS);
                    let BBox { x1, y1, x2, y2 } = object.bbox;
                    write!(
                        f,
                        "\n  {name:<NAME_COLUMNS$} {percent:>6.1} % {x1:>9.1} {y1:>9.1} {x2:>9.1} \
                         {y2:>9.1}"
                    )?;
                } else {
                    let name = format!("  or {}", shorten(&object.name(), NAME_COLUMNS - 5));
                    write!(
                        f,
                        "\n  {name:<NAME_COLUMNS$} {percent:>6.1} %  (the same box)"
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// Statistics over all pictures.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pictures: usize,
    boxes: usize,
    /// The number of boxes by their best class.
    classes: BTreeMap<String, usize>,
    milliseconds: f64,
}

impl Totals {
    pub(crate) fn add(&mut self, report: &Report) {
        self.pictures += 1;
        self.milliseconds += report.ms.total();
        for objects in report.boxes() {
            self.boxes += 1;
            if let Some(best) = objects.first() {
                *self.classes.entry(best.name()).or_default() += 1;
            }
        }
    }

    /// Whether they cover more than one picture; otherwise they only repeat its report.
    pub(crate) fn are_of_several(&self) -> bool {
        self.pictures > 1
    }
}

/// The number of classes that the totals list; the others are added up.
const NAMED_CLASSES: usize = 8;

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pictures = count(self.pictures, "picture", "pictures");
        let objects = count(self.boxes, "object", "objects");
        let mean = self.milliseconds / self.pictures.max(1) as f64;
        write!(f, "{pictures}, {objects}, {mean:.1} ms per picture")?;
        let mut classes: Vec<(&String, usize)> =
            self.classes.iter().map(|(name, &n)| (name, n)).collect();
        // The sort is stable: equal counts stay in the order of the names.
        classes.sort_by_key(|&(_, number)| std::cmp::Reverse(number));
        for (name, number) in classes.iter().take(NAMED_CLASSES) {
            write!(
                f,
                "\n  {:<NAME_COLUMNS$} {number:>8}",
                shorten(name, NAME_COLUMNS)
            )?;
        }
        let others: usize = classes.iter().skip(NAMED_CLASSES).map(|(_, n)| n).sum();
        if others > 0 {
            write!(f, "\n  {:<NAME_COLUMNS$} {others:>8}", "other classes")?;
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
    fn the_table_has_one_line_per_object_in_80_columns() {
        let far = [32_000.0, 32_000.0, 32_768.0, 32_768.0];
        let long = "a class with a name that does not end, or so it seems";
        let near = [31_000.0, 32_000.0, 32_768.0, 32_768.0];
        let text = report(long, &[detection(0, far), detection(0, near)]).to_string();
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

    #[test]
    fn a_box_with_two_classes_is_one_object() {
        let (place, other) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let found = [
            detection(0, place),
            detection(1, other),
            detection(2, place),
        ];
        let report = report("car\ndog\ntruck\u{202e}", &found);
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(", 2 objects"), "{text}");
        assert!(lines[2].starts_with("  car    "), "{text}");
        assert!(lines[3].starts_with("    or truck\\u{202e} "), "{text}");
        assert!(lines[3].ends_with(" 56.2 %  (the same box)"), "{text}");
        assert!(lines[4].starts_with("  dog    "), "{text}");
        assert_eq!(report.boxes().len(), 2);
    }

    #[test]
    fn totals_count_boxes_by_their_best_class() {
        let [a, b, c] = [0.0, 10.0, 20.0].map(|x| [x, x, x + 5.0, x + 5.0]);
        let mut totals = Totals::default();
        totals.add(&report(
            "cat\ndog",
            &[detection(1, a), detection(0, a), detection(1, b)],
        ));
        totals.add(&report("cat\ndog", &[detection(0, c)]));
        assert!(totals.are_of_several());
        let expected = "2 pictures, 3 objects, 29.7 ms per picture\n  \
                        dog                             2\n  \
                        cat                             1";
        assert_eq!(totals.to_string(), expected);
        let mut many = Totals::default();
        let names: String = (0..12).map(|i| format!("{i}\n")).collect();
        for class in 0..12 {
            many.add(&report(&names, &[detection(class, a)]));
        }
        assert!(
            many.to_string()
                .ends_with("other classes                   4"),
            "{many}"
        );
    }
}
