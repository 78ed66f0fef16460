//! Which encoding a text has that is not UTF-8.

use std::fmt;

/// What a text that is not UTF-8 seems to be. Bytes do not say it, so this is a guess that helps to
/// choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// UTF-16, in which Windows programs save as "Unicode".
    Utf16,
    /// Letters beyond ASCII stand together: East Asian text, or text in another alphabet.
    OtherScript,
    /// Single letters beyond ASCII: Western European text.
    Latin,
}

impl Encoding {
    /// What `iconv -f` calls the most common encoding of this kind.
    #[must_use]
    pub fn iconv(self) -> &'static str {
        match self {
            Self::Utf16 => "UTF-16",
            Self::OtherScript => "GBK",
            Self::Latin => "LATIN1",
        }
    }

    /// The encoding of a text that is not UTF-8.
    pub(crate) fn guess(text: &[u8]) -> Self {
        if is_utf16(text) {
            return Self::Utf16;
        }
        let high = |byte: u8| !byte.is_ascii();
        let all = text.iter().filter(|&&byte| high(byte)).count();
        let pairs = text
            .windows(2)
            .filter(|pair| high(pair[0]) && high(pair[1]));
        // A run of n letters has n - 1 pairs.
        if 3 * pairs.count() >= all {
            Self::OtherScript
        } else {
            Self::Latin
        }
    }
}

/// Whether a text begins with UTF-16's byte order mark, or has zeros in every other byte only.
pub(crate) fn is_utf16(text: &[u8]) -> bool {
    let start = text.get(..64).unwrap_or(text);
    let zeros = |offset: usize| {
        let bytes = start.iter().skip(offset).step_by(2);
        bytes.filter(|&&byte| byte == 0).count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    let is_every_other = even.min(odd) == 0 && 4 * even.max(odd) > start.len();
    start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") || is_every_other
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf16 => "UTF-16",
            Self::OtherScript => "an encoding such as GBK, Shift-JIS or Windows-1251",
            Self::Latin => "an encoding such as Latin-1 or Windows-1252",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_by_how_their_letters_stand() {
        for (text, expected) in [
            (&b"caf\xe9\nr\xe9glages\n"[..], Encoding::Latin),
            // People and car, in GBK; a table, in Windows-1251.
            (b"\xc8\xcb\n\xb3\xb5\n", Encoding::OtherScript),
            (b"\xf1\xf2\xee\xeb\n", Encoding::OtherScript),
            (b"\xff\xfec\0a\0t\0\n\0", Encoding::Utf16),
            (b"\0c\0a\0t\0\n", Encoding::Utf16),
        ] {
            assert_eq!(Encoding::guess(text), expected, "{text:?}");
        }
        // A weights file's header.
        assert!(!is_utf16(&[0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]));
    }
}
