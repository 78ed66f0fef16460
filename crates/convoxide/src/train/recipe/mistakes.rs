//! Reads a recipe and finds all its mistakes at once, each with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use files::show;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::Recipe;
use super::keys::Keys;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    line: Option<usize>,
    /// The key that it is about, with dots; empty if the text names it.
    key: &'static str,
    text: String,
}

impl Mistake {
    /// A mistake in the value of a key; `text` continues the sentence that starts with the key.
    pub(crate) fn new(key: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            line: None,
            key,
            text,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        let space = match self.key.is_empty() || self.text.starts_with(':') {
            true => "",
            false => " ",
        };
        write!(f, "{}{space}{}", self.key, self.text)
    }
}

/// All mistakes of a recipe, in the order of their lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistakes(pub(super) Vec<Mistake>);

/// The largest number of mistakes that are listed.
const TOLD: usize = 20;

impl Mistakes {
    /// One line per mistake.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        let more = lines.len().saturating_sub(TOLD);
        lines.truncate(TOLD);
        if more > 0 {
            lines.push(format!(
                "and {}",
                show::count(more, "more mistake", "more mistakes")
            ));
        }
        lines
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("; "))
    }
}

impl std::error::Error for Mistakes {}

/// A recipe that was read, with its mistakes so far. Flags may still change its keys.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) keys: Keys,
    mistakes: Vec<Mistake>,
    /// The line of each key, whose path has dots.
    lines: BTreeMap<String, usize>,
    /// A syntax error: then the keys mean nothing.
    is_broken: bool,
}

impl From<Keys> for Draft {
    /// A recipe that is not from a file.
    fn from(keys: Keys) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }
}

impl Draft {
    /// Parses a recipe. A value of the wrong type and an unknown key are noted and left out, so that
    /// the others can be checked as well.
    pub(crate) fn parse(text: &str) -> Self {
        let (mut table, errors) = DeTable::parse_recoverable(text);
        let mut draft = Self::default();
        if !errors.is_empty() {
            let mistakes = errors.iter().map(|error| mistake(error, text));
            draft.mistakes = mistakes.collect();
            // One slip can cause several errors in a line.
            draft.mistakes.dedup_by_key(|mistake| mistake.line);
            draft.is_broken = true;
            return draft;
        }
        draft.note_lines(table.get_ref(), "", text);
        let mut left_out: Vec<Range<usize>> = Vec::new();
        loop {
            let error = match Keys::deserialize(toml::de::Deserializer::from(table.clone())) {
                Ok(keys) => {
                    draft.keys = keys;
                    return draft;
                }
                Err(error) => error,
            };
            let span = error.span().unwrap_or_default();
            // A value that lacks what was left out is not another mistake.
            let is_new = !left_out.iter().any(|inner| covers(&span, inner));
            if is_new {
                draft.mistakes.push(mistake(&error, text));
            }
            match leave_out(table.get_mut(), &span) {
                Some(removed) => left_out.push(removed),
                None => {
                    draft.is_broken = true;
                    return draft;
                }
            }
        }
    }

    /// The recipe.
    ///
    /// # Errors
    ///
    /// All mistakes.
    pub(crate) fn recipe(self) -> Result<Recipe, Mistakes> {
        let Self {
            keys,
            mut mistakes,
            lines,
            is_broken,
        } = self;
        let mut found = None;
        if !is_broken {
            let (recipe, contradictions) = keys.resolve();
            let mut others = contradictions;
            others.extend(recipe.mistakes());
            for mistake in &mut others {
                mistake.line = line_of(&lines, mistake.key);
            }
            // A model that was left out is not missing.
            let is_left_out = keys.model.is_none() && lines.contains_key("model");
            others.retain(|mistake| !(is_left_out && mistake.key.is_empty()));
            mistakes.extend(others);
            found = Some(recipe);
        }
        mistakes.sort_by_key(|mistake| mistake.line);
        match found {
            Some(recipe) if mistakes.is_empty() => Ok(recipe),
            _ => Err(Mistakes(mistakes)),
        }
    }

    fn note_lines(&mut self, table: &DeTable<'_>, prefix: &str, text: &str) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            if let DeValue::Table(table) = value.get_ref() {
                self.note_lines(table, &format!("{path}."), text);
            }
            self.lines.insert(path, line(text, key.span().start));
        }
    }
}

/// The line of a key, or of the table that it is in.
fn line_of(lines: &BTreeMap<String, usize>, key: &str) -> Option<usize> {
    let table = key.split_once('.').map_or(key, |(table, _)| table);
    // The short forms of the keys.
    let short = match table {
        "preprocessing" => "resize",
        "optimiser" => "method",
        _ => table,
    };
    let mut keys = [key, table, short].into_iter();
    keys.find_map(|key| lines.get(key).copied())
}

fn line(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.matches('\n').count() + 1
}

fn mistake(error: &toml::de::Error, text: &str) -> Mistake {
    let told = error.message();
    // "unknown field `a`, expected one of `b`, `c`"
    let mut quoted = told.split('`').skip(1).step_by(2);
    let near = match quoted.next() {
        Some(name) if told.starts_with("unknown ") => files::nearest(name, quoted),
        _ => Vec::new(),
    };
    let told = match (near.is_empty(), told.split_once(", expected")) {
        (false, Some((unknown, _))) => {
            format!("{unknown} (did you mean {}?)", near.join(" or "))
        }
        _ => told.to_owned(),
    };
    Mistake {
        line: error.span().map(|span| line(text, span.start)),
        key: "",
        text: show::one_line(&told),
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Removes the innermost entry whose key or value has the error, and returns the entry's span.
fn leave_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<Range<usize>> {
    for (_, value) in table.iter_mut() {
        if let DeValue::Table(table) = value.get_mut()
            && let Some(removed) = leave_out(table, span)
        {
            return Some(removed);
        }
    }
    let (key, removed) = table.iter().find_map(|(key, value)| {
        let has_error = covers(&key.span(), span) || covers(&value.span(), span);
        let entry = key.span().start..value.span().end.max(key.span().end);
        has_error.then(|| (key.clone(), entry))
    })?;
    table.remove(&key);
    Some(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        Draft::parse(text).recipe().unwrap_err().lines()
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines() {
        let text = r#"model = "resnet21"
epoch = 5
batch = 0
hold_out = 1.5
resize = true

[optimiser]
method = { sgd = { momentom = 0.9, nestrov = true } }
weight_decay = { l2 = "much" }

[schedule]
rate = -1.0
policy = { one_cicle = {} }

[augmentation]
steps = [{ horizontal_flip = {} }, { cutout = 3 }]
"#;
        let told = mistakes(text);
        for (told, (start, has)) in told.iter().zip([
            ("line 1: model: ", "resnet20"),
            ("line 2: unknown field `epoch`", "did you mean epochs"),
            ("line 3: batch is 0", "expected 1 to 1000000"),
            ("line 4: hold_out is 1.5", "between 0 and 1"),
            ("line 5: ", "a length such as 64"),
            ("line 8: unknown field `momentom`", "momentum"),
            ("line 8: unknown field `nestrov`", "nesterov"),
            ("line 9: ", "\"much\""),
            ("line 12: schedule.rate is -1", "above 0"),
            ("line 13: unknown variant `one_cicle`", "one_cycle"),
            ("line 16: ", ""),
        ]) {
            assert!(told.starts_with(start) && told.contains(has), "{told}");
        }
        assert_eq!(told.len(), 11, "{told:#?}");
    }

    #[test]
    fn keys_that_contradict_each_other_are_named() {
        let text = "model = \"resnet20\"\nresize = 64\nmethod = \"sgd\"\n\
                    [preprocessing]\ncrop = [3, 3]\n[optimiser]\nmethod = { adam = {} }\n\
                    [schedule]\nrate = 0.1\n[fine_tune]\n";
        let told = mistakes(text).join("\n");
        assert_eq!(
            told,
            "line 5: preprocessing.crop cannot be set together with resize: leave one out\n\
             line 7: optimiser.method cannot be set together with method: leave one out\n\
             line 9: schedule.rate cannot be set together with fine_tune: leave one out"
        );
    }

    #[test]
    fn syntax_errors_have_lines() {
        let told = mistakes("model = \"resnet20\"\nbatch = \nepochs = 3 4\n");
        assert!(told[0].starts_with("line 2: "), "{told:?}");
        assert!(told.last().unwrap().starts_with("line 3: "), "{told:?}");
        assert_eq!(
            mistakes(""),
            ["missing field `model`: the architecture's name"]
        );
        assert_eq!(mistakes("model = 3").len(), 1);
    }

    #[test]
    fn many_mistakes_are_cut_off() {
        let text: String = (0..50).map(|key| format!("key{key} = 1\n")).collect();
        let told = mistakes(&text);
        assert_eq!(told.len(), 21);
        assert_eq!(told[20], "and 31 more mistakes");
    }
}
