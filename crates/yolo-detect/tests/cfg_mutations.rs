//! Real cfg files with random changes never cause a panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use common::REAL;
use proptest::prelude::*;
use yolo_detect::cfg::Cfg;
use yolo_detect::{Error, Network};

/// Reads a cfg and builds its network.
fn build(text: &str) -> Result<Network, Error> {
    Network::new(&Cfg::parse(text)?)
}

/// One change to a cfg.
#[derive(Clone, Debug)]
enum Mutation {
    /// Replaces the value of a `key=value` line.
    Value(prop::sample::Index, String),
    /// Removes a line.
    Remove(prop::sample::Index),
    /// Copies a line to another place.
    Copy(prop::sample::Index, prop::sample::Index),
    /// Inserts a line.
    Insert(prop::sample::Index, String),
    /// Cuts the text off at any position.
    Truncate(prop::sample::Index),
    /// Inserts characters at any position.
    Splice(prop::sample::Index, String),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    let number = prop_oneof![
        Just("0"),
        Just("-1"),
        Just("1"),
        Just("2"),
        Just("3"),
        Just("7"),
        Just("64"),
        Just("65536"),
        Just("1048576"),
        Just("99999999"),
        Just("2147483648"),
        Just("-9223372036854775808"),
        Just("18446744073709551615"),
        Just("1e999"),
        Just("nan"),
        Just("-inf"),
        Just(".5"),
        Just("0,0"),
        Just("-1,-2"),
        Just("3,4,5,6,7,8"),
        Just(","),
        Just("leaky"),
        Just("x"),
        Just("é"),
    ];
    let line = prop_oneof![
        Just("[convolutional]"),
        Just("[maxpool]"),
        Just("[avgpool]"),
        Just("[route]"),
        Just("[shortcut]"),
        Just("[upsample]"),
        Just("[reorg]"),
        Just("[connected]"),
        Just("[softmax]"),
        Just("[dropout]"),
        Just("[cost]"),
        Just("[yolo]"),
        Just("[region]"),
        Just("[net]"),
        Just("[local]"),
        Just("groups=2"),
        Just("groups=64"),
        Just("layers=-1,-2"),
        Just("from=-3"),
        Just("padding=3"),
        Just("stride=2"),
        Just("size=5"),
        Just("num=2"),
    ];
    prop_oneof![
        4 => (index(), number).prop_map(|(at, value)| Mutation::Value(at, value.to_owned())),
        2 => index().prop_map(Mutation::Remove),
        2 => (index(), index()).prop_map(|(from, to)| Mutation::Copy(from, to)),
        2 => (index(), line).prop_map(|(at, line)| Mutation::Insert(at, line.to_owned())),
        1 => index().prop_map(Mutation::Truncate),
        1 => (index(), "\\PC{0,8}").prop_map(|(at, text)| Mutation::Splice(at, text)),
    ]
}

fn mutate(text: &str, mutation: &Mutation) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let count = lines.len().max(1);
    let char_at = |index: &prop::sample::Index| {
        let at = index.index(text.len() + 1);
        (0..=at)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0)
    };
    match mutation {
        Mutation::Value(at, value) => {
            // The next line that has a value.
            let start = at.index(count);
            if let Some(line) = lines.iter_mut().skip(start).find(|line| line.contains('=')) {
                let key = line.split('=').next().unwrap_or_default().to_owned();
                *line = format!("{key}={value}");
            }
        }
        Mutation::Remove(at) if !lines.is_empty() => drop(lines.remove(at.index(count))),
        Mutation::Remove(_) => {}
        Mutation::Copy(from, to) => {
            let line = lines.get(from.index(count)).cloned().unwrap_or_default();
            lines.insert(to.index(lines.len() + 1), line);
        }
        Mutation::Insert(at, line) => lines.insert(at.index(lines.len() + 1), line.clone()),
        Mutation::Truncate(at) => return text[..char_at(at)].to_owned(),
        Mutation::Splice(at, extra) => {
            let at = char_at(at);
            return format!("{}{extra}{}", &text[..at], &text[at..]);
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// There is no panic, no endless loop and no network over the limits.
    #[test]
    fn mutated_real_files_build_or_fail_by_name(
        file in 0..REAL.len(),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let text = mutations.iter().fold(REAL[file].1.to_owned(), |text, m| mutate(&text, m));
        match build(&text) {
            Ok(network) => {
                for layer in network.layers() {
                    let elements = layer.shape.elements().unwrap_or(usize::MAX) as u64;
                    prop_assert!(elements <= yolo_detect::cfg::limits::MAX_ACTIVATION);
                }
                let count = network.graph().param_specs().count();
                prop_assert_eq!(network.parameters().len(), count);
            }
            Err(Error::Cfg(error)) => prop_assert_eq!(error.to_string().lines().count(), 1),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(\\[|\\]|=|#|\n|net|width|conv|1|\\PC){0,60}") {
        let result = build(&text);
        prop_assert!(matches!(result, Ok(_) | Err(Error::Cfg(_))));
    }
}
