//! The header of a `.npy` file.

use super::Reason;

/// Decodes a number from its bytes, lowest first.
pub(super) type Decode<T> = fn(&[u8]) -> Option<T>;

/// The header of a `.npy` file: a Python dictionary with these three keys.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Header {
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

impl Header {
    /// Whether numbers are big-endian, their size in bytes, and the function that decodes them.
    pub(super) fn kind<T>(
        &self,
        decode: impl Fn(&[u8]) -> Option<Decode<T>>,
    ) -> Option<(bool, usize, Decode<T>)> {
        let &[order, ref kind @ ..] = self.descr.as_bytes() else {
            return None;
        };
        let decode = decode(kind)?;
        let size = usize::from(kind.get(1)?.checked_sub(b'0')?);
        match order {
            b'<' | b'=' | b'|' => Some((false, size, decode)),
            b'>' => Some((true, size, decode)),
            _ => None,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let mut parser = Parser { text, at: 0 };
        let mut header = Self::default();
        let mut keys = [false; 3];
        parser.expect("{", "is not a dictionary")?;
        while !parser.accept("}") {
            let key = parser.string()?;
            parser.expect(":", "has no colon after a key")?;
            match key {
                "descr" => {
                    header.descr = parser.string()?.to_owned();
                    keys[0] = true;
                }
                "fortran_order" => {
                    header.fortran_order = parser.accept("True");
                    if !header.fortran_order {
                        parser.expect("False", "has neither True nor False as fortran_order")?;
                    }
                    keys[1] = true;
                }
                "shape" => {
                    header.shape = parser.tuple()?;
                    keys[2] = true;
                }
                _ => return Err(parser.fault("has an unknown key")),
            }
            if !parser.accept(",") {
                parser.expect("}", "has no comma after a value")?;
                break;
            }
        }
        if keys == [true; 3] {
            Ok(header)
        } else {
            Err(parser.fault("lacks descr, fortran_order or shape"))
        }
    }
}

/// A parser for the Python literals that occur in headers.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn fault(&self, what: &'static str) -> Reason {
        Reason::Header {
            what,
            at: self.at,
            text: self.text.trim_end().chars().take(200).collect(),
        }
    }

    /// The remaining text, without leading white space.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn accept(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn expect(&mut self, word: &str, what: &'static str) -> Result<(), Reason> {
        if self.accept(word) {
            Ok(())
        } else {
            Err(self.fault(what))
        }
    }

    /// `'text'` or `"text"`; a structured or object dtype is a list, not a string.
    fn string(&mut self) -> Result<&'a str, Reason> {
        let rest = self.rest();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let quote = quote.ok_or_else(|| self.fault("lacks a quoted string"))?;
        let inside = &rest[1..];
        let end = inside
            .find(quote)
            .ok_or_else(|| self.fault("has a string without a closing quote"))?;
        self.at += end + 2;
        Ok(&inside[..end])
    }

    /// `()`, `(3,)` or `(1, 3, 224, 224)`.
    fn tuple(&mut self) -> Result<Vec<usize>, Reason> {
        self.expect("(", "has a shape that is not a tuple")?;
        let mut sizes = Vec::new();
        while !self.accept(")") {
            let rest = self.rest();
            let digits = rest.find(|c: char| !c.is_ascii_digit());
            let digits = &rest[..digits.unwrap_or(rest.len())];
            let size = digits
                .parse()
                .map_err(|_| self.fault("has a size that is not a number"))?;
            self.at += digits.len();
            sizes.push(size);
            if !self.accept(",") {
                self.expect(")", "has no comma after a size")?;
                break;
            }
        }
        Ok(sizes)
    }
}
