//! Makes text from outside safe to print: names of files, classes, layers and tensors may contain
//! any characters.

use std::ffi::OsStr;
use std::fmt::Write;

/// The text with every character escaped that breaks a line, controls a terminal, or changes how
/// the surrounding text is displayed: control characters, line and paragraph separators, marks of
/// writing direction, and zero-width characters.
///
/// ```
/// use files::show::one_line;
///
/// assert_eq!(one_line("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
/// assert_eq!(one_line("photo\u{202e}gpj.exe"), "photo\\u{202e}gpj.exe");
/// assert_eq!(one_line("zoë's \"犬\".png"), "zoë's \"犬\".png");
/// ```
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// A file name as text: [`one_line`], with each byte that is not UTF-8 as `\xNN`, so that
/// different names stay different.
///
/// ```
/// use files::show::name;
///
/// assert_eq!(name("犬".as_ref()), "犬");
/// # #[cfg(unix)] {
/// use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
/// assert_eq!(name(OsStr::from_bytes(b"\xc8\xcb.png")), "\\xC8\\xCB.png");
/// # }
/// ```
#[must_use]
pub fn name(name: &OsStr) -> String {
    bytes(name.as_encoded_bytes())
}

/// [`name`] for the raw bytes of a name, as stored in an archive.
#[must_use]
pub fn bytes(name: &[u8]) -> String {
    let mut line = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        line += &one_line(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(line, "\\x{byte:02X}");
        }
    }
    line
}

/// Whether a character is invisible but may change how its neighbours are displayed.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text, with its middle left out if it has more than `columns` characters. The end is kept
/// because names often differ there.
///
/// ```
/// use files::show::shorten;
///
/// assert_eq!(shorten("layer4.2.conv3.weight", 12), "layer..eight");
/// assert_eq!(shorten("fc.weight", 12), "fc.weight");
/// ```
#[must_use]
pub fn shorten(text: &str, columns: usize) -> String {
    const GAP: &str = "..";
    let len = text.chars().count();
    if len <= columns {
        return text.to_owned();
    }
    let kept = columns.saturating_sub(GAP.len());
    let tail = kept.div_ceil(2);
    let head: String = text.chars().take(kept - tail).collect();
    let tail: String = text.chars().skip(len - tail).collect();
    format!("{head}{GAP}{tail}")
}

/// The most characters of a message, because it may quote a name of megabytes.
const LONGEST_MESSAGE: usize = 5000;

/// A message as [`one_line`], cut to a bounded length.
#[must_use]
pub fn message(text: &str) -> String {
    beginning(text, LONGEST_MESSAGE)
}

/// The beginning of a text as [`one_line`], at most `columns` characters, followed by `...` if text
/// was left out.
///
/// ```
/// use files::show::beginning;
///
/// assert_eq!(beginning("one\ntwo", 8), "one\\ntwo");
/// assert_eq!(beginning("one\ntwo", 5), "one\\n...");
/// ```
#[must_use]
pub fn beginning(text: &str, columns: usize) -> String {
    let start: String = text.chars().take(columns).collect();
    let escaped = one_line(&start);
    let mut line: String = escaped.chars().take(columns).collect();
    if start.len() < text.len() || line.len() < escaped.len() {
        line.push_str("...");
    }
    line
}

/// A count with its noun in the singular or plural.
///
/// ```
/// use files::show::count;
///
/// assert_eq!(count(1, "class", "classes"), "1 class");
/// assert_eq!(count(0, "class", "classes"), "0 classes");
/// ```
#[must_use]
pub fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_the_terminal_is_escaped_and_all_else_stays() {
        for (text, line) in [
            ("a\nb\r\u{1b}[31m\u{9b}", "a\\nb\\r\\u{1b}[31m\\u{9b}"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            (
                "\u{202e}\u{2066}\u{200b}\u{feff}",
                "\\u{202e}\\u{2066}\\u{200b}\\u{feff}",
            ),
            ("zoë's \"犬\".png", "zoë's \"犬\".png"),
        ] {
            assert_eq!(one_line(text), line);
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_told_apart() {
        assert_eq!(bytes(b"\xc8\xcb\n"), "\\xC8\\xCB\\n");
        assert_eq!(bytes(b"a\xff"), "a\\xFF");
        assert_ne!(bytes(b"\xc8"), bytes(b"\xcb"));
    }

    #[test]
    fn a_long_message_is_cut() {
        let line = message(&"x\n".repeat(10_000));
        assert!(line.ends_with("..."), "{}", line.len());
        assert!(!line.contains('\n'));
    }
}
