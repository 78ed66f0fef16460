//! A cfg file's text as sections of `key=value` lines, and typed reading of the values.
//!
//! As in darknet, spaces and tabs are ignored everywhere in a line, and a line that begins with `#`
//! or `;` is a comment. A comment after a value is cut off too, where darknet's number parser stops.
//! A byte order mark and carriage returns are ignored.
//!
//! Darknet reads numbers with C's `atoi` and `atof`, which take as much of the text as is a number.
//! Here a text that is a number as a whole, or clearly means one (`255.0` for 255), is read as
//! darknet reads it; any other (`1e3`, of which darknet reads 1) is an error.

use std::ops::RangeInclusive;

use super::{CfgError, CfgProblem, Warning, WarningKind};
use crate::encoding::Encoding;
use crate::error::Result;
use crate::loss::is_at_least_0;

/// `[kind]` and the lines below it.
#[derive(Debug)]
pub(super) struct Section {
    /// The name, without brackets.
    pub(super) kind: String,
    /// The line of the name, from 1.
    pub(super) line: usize,
    entries: Vec<Entry>,
}

/// One `key=value`.
#[derive(Debug)]
struct Entry {
    key: String,
    value: String,
    line: usize,
}

/// Splits a cfg text into its sections. Comments may be in any encoding in which `#`, `;` and the
/// line feed are bytes of their own; UTF-8, GBK, Shift-JIS and those of one byte per letter are.
pub(super) fn split(text: &[u8]) -> Result<Vec<Section>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut sections: Vec<Section> = Vec::new();
    for (index, raw) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = index + 1;
        let code = raw.split(|byte| matches!(byte, b'#' | b';')).next();
        let code = code.unwrap_or_default();
        let fail = |section: Option<&Section>, problem| {
            let section = section.map(|section| section.kind.clone());
            Box::new(CfgError {
                line,
                section,
                layer: None,
                key: None,
                problem,
            })
        };
        let code = std::str::from_utf8(code).map_err(|_| {
            let encoding = Encoding::guess(code);
            fail(sections.last(), CfgProblem::Encoding { encoding })
        })?;
        let content: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        if content.is_empty() {
            continue;
        }
        let syntax = || CfgProblem::Syntax {
            text: content.chars().take(40).collect(),
        };
        if content.starts_with('[') {
            let kind = content
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            let kind = kind.filter(|kind| is_word(kind));
            let kind = kind.ok_or_else(|| fail(None, syntax()))?.to_owned();
            sections.push(Section {
                kind,
                line,
                entries: Vec::new(),
            });
            continue;
        }
        let pair = content.split_once('=').filter(|(key, _)| is_word(key));
        let (key, value) = pair.ok_or_else(|| fail(sections.last(), syntax()))?;
        match sections.last_mut() {
            None => return Err(fail(None, CfgProblem::KeyOutsideSection).into()),
            Some(section) => {
                section.entries.push(Entry {
                    key: key.to_owned(),
                    value: value.to_owned(),
                    line,
                });
            }
        }
    }
    Ok(sections)
}

/// Whether this can be a section's name or a key, which messages show as it is.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic())
}

/// Reads one section's values by key, and records which keys were asked for.
pub(super) struct Fields<'a> {
    section: &'a Section,
    layer: Option<usize>,
    known: Vec<bool>,
}

impl<'a> Fields<'a> {
    /// The fields of `section`, which describes darknet's layer number `layer`.
    pub(super) fn new(section: &'a Section, layer: Option<usize>) -> Self {
        Self {
            section,
            layer,
            known: vec![false; section.entries.len()],
        }
    }

    /// An error about the section as a whole.
    pub(super) fn fail(&self, problem: CfgProblem) -> Box<CfgError> {
        self.error(self.section.line, None, problem)
    }

    /// An error about `key`, at its line if it is there.
    pub(super) fn fail_at(&self, key: &str, problem: CfgProblem) -> Box<CfgError> {
        self.error(self.line_of(key), Some(key), problem)
    }

    /// The line of `key`, or of the section where there is no such key.
    fn line_of(&self, key: &str) -> usize {
        let entry = self.section.entries.iter().find(|entry| entry.key == key);
        entry.map_or(self.section.line, |entry| entry.line)
    }

    fn error(&self, line: usize, key: Option<&str>, problem: CfgProblem) -> Box<CfgError> {
        Box::new(CfgError {
            line,
            section: Some(self.section.kind.clone()),
            layer: self.layer,
            key: key.map(str::to_owned),
            problem,
        })
    }

    /// The first value of `key`, as in darknet.
    pub(super) fn text(&mut self, key: &str) -> Option<&'a str> {
        let mut first = None;
        for (entry, known) in self.section.entries.iter().zip(&mut self.known) {
            if entry.key == key {
                *known = true;
                first = first.or(Some(entry.value.as_str()));
            }
        }
        first
    }

    /// A whole number within `range`, or `default` where the key is missing.
    pub(super) fn size(
        &mut self,
        key: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let number = self.whole(key, text)?;
        usize::try_from(number)
            .ok()
            .filter(|size| range.contains(size))
            .ok_or_else(|| {
                let expected = format!("{} to {}", range.start(), range.end());
                self.fail_at(
                    key,
                    CfgProblem::OutOfRange {
                        got: number.to_string(),
                        expected,
                    },
                )
                .into()
            })
    }

    /// A whole number that is true where it is not 0, or false where the key is missing.
    pub(super) fn flag(&mut self, key: &str) -> Result<bool> {
        let Some(text) = self.text(key) else {
            return Ok(false);
        };
        Ok(self.whole(key, text)? != 0)
    }

    /// A finite number, or `default` where the key is missing.
    pub(super) fn number(&mut self, key: &str, default: f32) -> Result<f32> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        self.finite(key, text)
    }

    /// A number of at least 0 that only training uses, or `default` where the key is missing. A network
    /// can run without it, so anything else is a warning, and the default counts.
    pub(super) fn training_number(
        &mut self,
        key: &str,
        default: f64,
        warnings: &mut Vec<Warning>,
    ) -> f64 {
        let read = |text: &str| text.parse().ok().filter(|&number| is_at_least_0(number));
        self.training_value(key, default, read, warnings)
    }

    /// A [`flag`](Self::flag) that only training uses; a value that is no whole number is a warning.
    pub(super) fn training_flag(&mut self, key: &str, warnings: &mut Vec<Warning>) -> bool {
        let read = |text: &str| whole_number(text).map(|number| number != 0);
        self.training_value(key, false, read, warnings)
    }

    fn training_value<V>(
        &mut self,
        key: &str,
        default: V,
        read: impl Fn(&str) -> Option<V>,
        warnings: &mut Vec<Warning>,
    ) -> V {
        // An empty value is warned about at the end, as for all keys of training.
        let Some(text) = self.text(key).filter(|text| !text.is_empty()) else {
            return default;
        };
        read(text).unwrap_or_else(|| {
            let line = self.line_of(key);
            warnings.push(self.warn_at(line, key, WarningKind::TrainingValue));
            default
        })
    }

    /// Whole numbers between commas, or `None` where the key is missing.
    pub(super) fn whole_list(&mut self, key: &str) -> Result<Option<Vec<i64>>> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        text.split(',')
            .map(|item| self.whole(key, item))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// Finite numbers between commas, or `None` where the key is missing. A comma at the end is
    /// ignored with a warning.
    pub(super) fn number_list(
        &mut self,
        key: &str,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Vec<f32>>> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        let list = text.strip_suffix(',').unwrap_or(text);
        if list.len() < text.len() {
            let line = self.line_of(key);
            warnings.push(self.warn_at(line, key, WarningKind::TrailingComma));
        }
        list.split(',')
            .map(|item| self.finite(key, item))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// Refuses `key` where its value is another number than `neutral`, the one that changes
    /// nothing.
    pub(super) fn only(&mut self, key: &str, neutral: f32, expected: &'static str) -> Result<()> {
        match self.text(key) {
            Some(text) if text.parse() != Ok(neutral) => {
                Err(self.not_supported(key, text, expected))
            }
            _ => Ok(()),
        }
    }

    /// Refuses `key` whatever its value.
    pub(super) fn refuse(&mut self, key: &str) -> Result<()> {
        match self.text(key) {
            Some(text) => Err(self.not_supported(key, text, "the key left out")),
            None => Ok(()),
        }
    }

    /// Accepts keys, separated by spaces, that mean nothing when a network only runs.
    pub(super) fn accept(&mut self, keys: &str) {
        for (entry, known) in self.section.entries.iter().zip(&mut self.known) {
            *known |= keys.split_whitespace().any(|key| key == entry.key);
        }
    }

    /// Warns about keys that were not asked for, about values that an earlier line overrides, and about
    /// keys without a value.
    pub(super) fn finish(self, warnings: &mut Vec<Warning>) {
        let mut seen = std::collections::HashSet::new();
        for (entry, known) in self.section.entries.iter().zip(self.known) {
            let first = seen.insert(entry.key.as_str());
            let kind = match (known, first) {
                (false, _) => WarningKind::UnknownKey,
                (true, false) => WarningKind::DuplicateKey,
                // Readers of a value have refused an empty one.
                (true, true) if entry.value.is_empty() => WarningKind::NoValue,
                (true, true) => continue,
            };
            let (section, key) = (self.section.kind.clone(), entry.key.clone());
            warnings.push(Warning {
                line: entry.line,
                section,
                key,
                kind,
            });
        }
    }

    /// A warning about a key that is missing.
    pub(super) fn warn(&self, key: &str, kind: WarningKind) -> Warning {
        self.warn_at(self.section.line, key, kind)
    }

    fn warn_at(&self, line: usize, key: &str, kind: WarningKind) -> Warning {
        Warning {
            line,
            section: self.section.kind.clone(),
            key: key.to_owned(),
            kind,
        }
    }

    fn whole(&self, key: &str, text: &str) -> Result<i64> {
        whole_number(text).ok_or_else(|| self.not_a_number(key, text, "a whole number"))
    }

    fn finite(&self, key: &str, text: &str) -> Result<f32> {
        let number = text.parse::<f32>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| self.not_a_number(key, text, "a finite number"))
    }

    fn not_supported(&self, key: &str, text: &str, expected: &'static str) -> crate::Error {
        let value = text.chars().take(40).collect();
        self.fail_at(key, CfgProblem::NotSupported { value, expected })
            .into()
    }

    fn not_a_number(&self, key: &str, text: &str, expected: &'static str) -> crate::Error {
        let value = text.chars().take(40).collect();
        self.fail_at(key, CfgProblem::Number { value, expected })
            .into()
    }
}

fn whole_number(text: &str) -> Option<i64> {
    // `255.0` and `255.`, as programs in Python write.
    let digits = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    };
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn only_section(text: &str) -> Section {
        split(text.as_bytes()).unwrap().pop().unwrap()
    }

    #[test]
    fn spaces_comments_carriage_returns_and_a_byte_order_mark_do_not_count() {
        let text = "\u{feff}# c\r\n[ n e t ]\r\n\t wi dth\t= 4 1 6 # c\r\n;c\r\n\r\nheight=8;c";
        let section = only_section(text);
        let mut fields = Fields::new(&section, None);
        assert_eq!(fields.size("width", 0, 1..=1000).unwrap(), 416);
        assert_eq!(fields.size("height", 0, 1..=1000).unwrap(), 8);
        assert_eq!((section.kind.as_str(), section.line), ("net", 2));
    }

    #[test]
    fn the_first_of_two_values_counts_and_the_second_is_warned_about() {
        let section = only_section("[net]\nwidth=1\nwidth=2\nwidht=3");
        let mut fields = Fields::new(&section, None);
        assert_eq!(fields.size("width", 0, 1..=9).unwrap(), 1);
        let mut warnings = Vec::new();
        fields.finish(&mut warnings);
        let found: Vec<_> = warnings
            .iter()
            .map(|w| (w.line, w.key.as_str(), w.kind))
            .collect();
        let expected = [
            (3, "width", WarningKind::DuplicateKey),
            (4, "widht", WarningKind::UnknownKey),
        ];
        assert_eq!(found, expected);
        assert_eq!(
            warnings[1].to_string(),
            "line 4, [net], widht: unknown key, ignored"
        );
    }

    #[test]
    fn malformed_lines_are_errors_with_their_line() {
        for (text, line) in [
            ("[net", 1),
            ("[net]\nwidth", 2),
            ("[net]\n=5", 2),
            ("[net]x", 1),
            ("<html>", 1),
        ] {
            match split(text.as_bytes()) {
                Err(Error::Cfg(error)) => {
                    assert!(matches!(error.problem, CfgProblem::Syntax { .. }), "{text}");
                    assert_eq!(error.line, line, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(
            split(b"width=5"),
            Err(Error::Cfg(error)) if matches!(error.problem, CfgProblem::KeyOutsideSection)
        ));
    }

    #[test]
    fn malformed_numbers_are_errors_with_their_line() {
        for value in [
            "x",
            "1x",
            "0x10",
            "1.5",
            "99999999999999999999",
            "1,2",
            "--1",
            "1e3",
        ] {
            let section = only_section(&format!("[net]\n\nwidth={value}"));
            match Fields::new(&section, None).size("width", 0, 0..=9) {
                Err(Error::Cfg(error)) => {
                    assert!(
                        matches!(error.problem, CfgProblem::Number { .. }),
                        "{value}"
                    );
                    assert_eq!(error.line, 3);
                }
                other => panic!("{value}: {other:?}"),
            }
        }
        for value in ["x", "nan", "inf", "1e99", "1,2", "0.1f"] {
            let section = only_section(&format!("[net]\nhue={value}"));
            match Fields::new(&section, None).number("hue", 0.0) {
                Err(Error::Cfg(error)) => {
                    assert!(
                        matches!(error.problem, CfgProblem::Number { .. }),
                        "{value}"
                    );
                }
                other => panic!("{value}: {other:?}"),
            }
        }
        for value in ["-1", "10", "-9223372036854775808"] {
            let section = only_section(&format!("[net]\nwidth={value}"));
            match Fields::new(&section, None).size("width", 0, 0..=9) {
                Err(Error::Cfg(error)) => {
                    assert!(
                        matches!(error.problem, CfgProblem::OutOfRange { .. }),
                        "{value}"
                    );
                }
                other => panic!("{value}: {other:?}"),
            }
        }
    }
}
