//! The YAML file that describes a YOLO dataset.
//!
//! ```text
//! path: cells            # the folder of the others, relative to this file; optional
//! train: images/train    # a folder of pictures, a list of pictures, or several of these
//! val: images/val
//! names: [RBC, WBC]      # or a map from numbers to names
//! ```

use saphyr_parser::{Event, Parser};

use super::fault::LabelProblem;

/// What the file says that matters to a reader of boxes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DataYaml {
    pub(super) path: Option<String>,
    pub(super) train: Vec<String>,
    pub(super) val: Vec<String>,
    pub(super) test: Vec<String>,
    pub(super) names: Vec<String>,
}

/// A problem, with its line.
type AtLine<T> = Result<T, (usize, LabelProblem)>;

/// The value of a key of the file's own map. What is nested more deeply does not matter to a reader.
enum Value {
    Scalar(String),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

impl DataYaml {
    pub(super) fn parse(text: &str) -> AtLine<Self> {
        let mut found = Self::default();
        let mut names = None;
        for (key, line, value) in entries(text)? {
            match &*key {
                "path" => found.path = texts(&key, line, value)?.into_iter().next(),
                "train" => found.train = texts(&key, line, value)?,
                "val" | "valid" | "validation" => found.val = texts(&key, line, value)?,
                "test" => found.test = texts(&key, line, value)?,
                "names" => names = Some((line, value)),
                _ => {}
            }
        }
        let (line, value) = names.ok_or((1, missing("names")))?;
        found.names = class_names(line, value)?;
        Ok(found)
    }
}

/// Whether a text looks like such a file: it has the key `names`, and a part.
pub(super) fn is_data_yaml(text: &str) -> bool {
    let has = |key: &str| {
        let mut lines = text.lines();
        lines.any(|line| {
            line.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with(':'))
        })
    };
    has("names") && (has("train") || has("val") || has("test"))
}

/// The keys of the file's own map, with their lines and values.
fn entries(text: &str) -> AtLine<Vec<(String, usize, Value)>> {
    let mut parser = Parser::new_from_str(text);
    let mut entries: Vec<(String, usize, Value)> = Vec::new();
    // The number of open maps and lists, and the key whose value comes next: of the file's map, and of one
    // within it.
    let mut depth = 0_usize;
    let mut key: Option<(String, usize)> = None;
    let mut inner_key: Option<String> = None;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let reason = files::show::one_line(error.info());
            (error.marker().line(), LabelProblem::Syntax { reason })
        })?;
        let line = span.start.line();
        match event {
            Event::Scalar(text, ..) => match (depth, &mut key) {
                (1, None) => key = Some((text.into_owned(), line)),
                (1, Some(_)) => {
                    let value = Value::Scalar(text.into_owned());
                    entries.extend(key.take().map(|(key, line)| (key, line, value)));
                }
                (2, _) => match entries.last_mut().map(|(_, _, value)| value) {
                    Some(Value::List(list)) => list.push(text.into_owned()),
                    Some(Value::Map(map)) => match inner_key.take() {
                        None => inner_key = Some(text.into_owned()),
                        Some(key) => map.push((key, text.into_owned())),
                    },
                    Some(Value::Scalar(_)) | None => {}
                },
                _ => {}
            },
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let value = match event {
                    Event::SequenceStart(..) => Value::List(Vec::new()),
                    _ => Value::Map(Vec::new()),
                };
                match depth {
                    0 if matches!(value, Value::List(_)) => break,
                    1 => entries.extend(key.take().map(|(key, line)| (key, line, value))),
                    // The value of the inner key is of no interest.
                    2 => inner_key = None,
                    _ => {}
                }
                depth += 1;
            }
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            // Files that use them could refer to themselves over and over.
            Event::Alias(_) => {
                let reason = "aliases (*) are not supported".to_owned();
                return Err((line, LabelProblem::Syntax { reason }));
            }
            // The rest would be another document.
            Event::DocumentEnd => break,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
    }
    Ok(entries)
}

fn texts(key: &str, line: usize, value: Value) -> AtLine<Vec<String>> {
    let texts = match value {
        Value::Scalar(text) => vec![text],
        Value::List(texts) => texts,
        Value::Map(_) => return Err((line, field(key, "a path, or a list of paths", "a map"))),
    };
    // An empty value, or YAML's words for none.
    let is_some = |text: &String| !matches!(&**text, "" | "~" | "null");
    Ok(texts.into_iter().filter(is_some).collect())
}

/// The classes' names: a list, or a map from the numbers 0, 1, ... in any order.
fn class_names(line: usize, value: Value) -> AtLine<Vec<String>> {
    let map = match value {
        Value::List(names) => return Ok(names.iter().map(|name| shown(name)).collect()),
        Value::Scalar(_) => return Err((line, field("names", "a list or a map", "one value"))),
        Value::Map(map) => map,
    };
    let mut names = vec![None; map.len()];
    for (number, name) in &map {
        let slot = number.parse::<usize>().ok();
        let slot = slot.and_then(|number| names.get_mut(number));
        match slot {
            Some(slot @ None) => *slot = Some(shown(name)),
            _ => {
                let expected = format!("each number from 0 to {} once", map.len() - 1);
                let got = files::show::one_line(number);
                return Err((line, field("names", &expected, &got)));
            }
        }
    }
    Ok(names.into_iter().flatten().collect())
}

fn shown(name: &str) -> String {
    files::show::one_line(name.trim())
}

fn field(field: &str, expected: &str, got: &str) -> LabelProblem {
    LabelProblem::Field {
        field: field.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
    }
}

fn missing(field: &str) -> LabelProblem {
    LabelProblem::Missing {
        field: field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_are_read_in_each_form() {
        let expected = DataYaml {
            path: Some("../cells".to_owned()),
            train: vec!["images/train".to_owned()],
            val: vec!["a.txt".to_owned(), "b".to_owned()],
            test: Vec::new(),
            names: vec!["red cell".to_owned(), "no".to_owned()],
        };
        for text in [
            "path: ../cells\ntrain: images/train\nval: [a.txt, b]\ntest:\nnc: 2\nnames: [red cell, no]\n",
            "# c\nnames:\n  1: no\n  0: 'red cell'\nval:\n  - a.txt\n  - b\ntest: null\n\
             train: images/train\npath: ../cells\nx: {a: {b: [1, 2]}, names: 3}\ny: [[1], {z: 2}]\n",
            "---\ntrain: \"images/train\"\nvalid: [a.txt, b]\nnames: ['red cell', 'no']\npath: ../cells\n---\nnames: 3",
        ] {
            assert_eq!(DataYaml::parse(text).unwrap(), expected, "{text}");
            assert!(is_data_yaml(text), "{text}");
        }
        assert!(!is_data_yaml("name: x\non: push\n"));
    }

    #[test]
    fn faults_are_named_with_their_line() {
        for (text, line, problem) in [
            ("train: a\n", 1, missing("names")),
            ("", 1, missing("names")),
            ("[names]", 1, missing("names")),
            (
                "train: {a: b}\nnames: [c]",
                1,
                field("train", "a path, or a list of paths", "a map"),
            ),
            (
                "a: b\nnames: c",
                2,
                field("names", "a list or a map", "one value"),
            ),
            (
                "names: {0: a, 2: b}",
                1,
                field("names", "each number from 0 to 1 once", "2"),
            ),
            (
                "names: {0: a, 0: b}",
                1,
                field("names", "each number from 0 to 1 once", "0"),
            ),
            (
                "names: {x: a}",
                1,
                field("names", "each number from 0 to 0 once", "x"),
            ),
        ] {
            assert_eq!(DataYaml::parse(text), Err((line, problem)), "{text}");
        }
        let alias = "a: &a [x, x]\nb: &b [*a, *a]\nnames: *b";
        for text in [alias, "names: [a", "a: b: c", "a: \"b"] {
            let error = DataYaml::parse(text);
            assert!(
                matches!(error, Err((_, LabelProblem::Syntax { .. }))),
                "{text}: {error:?}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        for open in ["[", "{a: ", "- ", "? "] {
            let text = format!("names: [a]\nx: {}", open.repeat(100_000));
            let _ = DataYaml::parse(&text);
            let _ = DataYaml::parse(&open.repeat(100_000));
        }
    }
}
