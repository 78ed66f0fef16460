//! Phrases that are not idiomatic English: "for who wants to check", "whoever looks", "nobody asked",
//! "after so many epochs". `docs/style.md` has the rule and says what to write instead.

/// Phrases that are never right in our text, in lower case.
const PHRASES: [&str; 9] = [
    "whoever",
    "nobody",
    "for who ",
    "to who ",
    "by who ",
    "of who ",
    "from who ",
    "and who ",
    "; who ",
];

/// Every line of prose with such a phrase: in Markdown outside code, in Rust in comments.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let is_rust = path.ends_with(".rs");
    let mut problems = Vec::new();
    let mut in_code = false;
    let mut last_word = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let prose = if is_rust { comment(line) } else { Some(line) };
        let Some(prose) = prose else {
            in_code = false;
            last_word.clear();
            continue;
        };
        if prose.starts_with("```") {
            in_code = !in_code;
            last_word.clear();
            continue;
        }
        if in_code {
            continue;
        }
        // With the word before, because a phrase may be broken between two lines.
        let words = format!("{last_word} {prose} ");
        problems.extend(
            found(&words).map(|phrase| format!("{path}:{number}: \"{phrase}\" (docs/style.md)")),
        );
        last_word = prose.rsplit(' ').next().unwrap_or_default().to_owned();
    }
    problems
}

/// The text of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    let text = line.strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!']).trim())
}

/// The phrases of a line. Its first word is the last one of the line before.
fn found(words: &str) -> impl Iterator<Item = &'static str> {
    let lower = words.to_lowercase();
    let has = move |phrase: &str| {
        lower.match_indices(phrase).any(|(at, _)| {
            let before = lower[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric())
        })
    };
    // "Who wants this does that"; but a question may begin with "Who".
    let subject = !words.contains('?')
        && [". Who ", ": Who ", "! Who "]
            .iter()
            .any(|start| words.contains(start))
        || words.starts_with(" Who ") && !words.contains('?');
    // "so many rows that it pays" is idiomatic.
    let many = has("so many ") && !words.contains(" that");
    PHRASES
        .into_iter()
        .filter(move |phrase| has(phrase))
        .chain(subject.then_some("Who"))
        .chain(many.then_some("so many"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_the_old_kind_are_found() {
        for (text, phrase) in [
            (
                "writes the gradients, for who wants to check a port",
                "for who ",
            ),
            ("written for\nwho knows the paper", "for who "),
            ("*Reason: whoever looks for max pooling*", "whoever"),
            ("computes what nobody asked for", "nobody"),
            ("for its user. Who knows the architecture parses it.", "Who"),
            ("Who holds one may call it.", "Who"),
            ("ends after so many epochs", "so many"),
        ] {
            let problems = check("a.md", text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(
                problems[0].contains(&format!("\"{phrase}\"")),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn other_sentences_are_not() {
        for text in [
            "anyone who wants to check a port",
            "people who know the paper",
            "so many rows that reading the weights pays",
            "Who is it for? Everybody.",
            "```text\nwhoever\n```",
        ] {
            assert_eq!(check("a.md", text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn in_rust_only_comments_are_prose() {
        assert_eq!(check("a.rs", "let nobody = 1;\nf(); // fine").len(), 0);
        let problems = check(
            "a.rs",
            "//! Text.\n/// For nobody.\nfn f() {\n    // nobody\n}",
        );
        let lines: Vec<&str> = problems
            .iter()
            .filter_map(|problem| problem.split(' ').next())
            .collect();
        assert_eq!(lines, ["a.rs:2:", "a.rs:4:"]);
    }
}
