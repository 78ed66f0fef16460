//! Telling the code of a Rust file from its comments and literals.

/// The source with comments and the insides of literals turned into spaces; lines stay lines.
pub(super) fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !part_of_a_name(before)) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_char_literal(rest) {
            quoted(rest, '\'')
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            before = first;
            continue;
        };
        code.extend(
            rest[..skip]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' }),
        );
        rest = &rest[skip..];
        before = ' ';
    }
    code
}

/// The identifiers and keywords of a line of code.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !part_of_a_name(c))
        .filter(|word| !word.is_empty())
}

fn part_of_a_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Length of a block comment, those inside it included.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of a raw string literal (`r"…"`, `br#"…"#`, `cr"…"`), if the text starts with one.
fn raw_string(text: &str) -> Option<usize> {
    let opened = text
        .strip_prefix(['b', 'c'])
        .unwrap_or(text)
        .strip_prefix('r')?;
    let content = opened.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(opened.len() - content.len()));
    let content = content.strip_prefix('"')?;
    let start = text.len() - content.len();
    Some(
        content
            .find(&end)
            .map_or(text.len(), |length| start + length + end.len()),
    )
}

/// Length of a literal between two quotes, with backslashes as in Rust.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// Whether a quote begins a literal such as `'a'` or `'\n'`, and not a lifetime.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(source: &str) -> Vec<String> {
        let code = code_only(source);
        assert_eq!(
            code.lines().count(),
            source.lines().count(),
            "lines stay lines"
        );
        words(&code).map(str::to_owned).collect()
    }

    #[test]
    fn comments_are_no_code() {
        assert_eq!(left("a // b\nc"), ["a", "c"]);
        assert_eq!(left("/// a\n//! b\nc"), ["c"]);
        assert_eq!(left("a /* b /* c */ d\ne */ f"), ["a", "f"]);
        assert_eq!(left("a /* never closed"), ["a"]);
    }

    #[test]
    fn the_insides_of_literals_are_no_code() {
        assert_eq!(left(r#"a("b \" c", "d")e"#), ["a", "e"]);
        assert_eq!(left("a(\"b\nc // d\") e"), ["a", "e"]);
        assert_eq!(left(r###"a(r#"b " c"#, br"d\", 2) e"###), ["a", "2", "e"]);
        assert_eq!(left(r"a('b', '\'', '\u{e9}', b'c') d"), ["a", "b", "d"]);
        assert_eq!(left("'\"' a '\"'"), ["a"]);
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(
            left("fn a<'b>(c: &'b str)"),
            ["fn", "a", "b", "c", "b", "str"]
        );
        assert_eq!(left("r#match + bar\"c\" + d"), ["r", "match", "bar", "d"]);
    }
}
