//! The answers of a worker, a line of JSON each.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The worker's first line, before it has loaded a network.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Hello {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Resident memory of the process, libraries included.
    pub(crate) memory_mib: Option<f64>,
}

/// The answer to `first`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct First {
    /// The time to load, compile and run.
    pub(crate) first_ms: f64,
    /// The instruction set; ours says it.
    pub(crate) isa: Option<String>,
    /// Of the whole batch; ours says it.
    pub(crate) multiply_adds: Option<u64>,
}

/// The answer to `answer`.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {}

/// The answer to `run`.
#[derive(Debug, Deserialize)]
pub(crate) struct Times {
    pub(crate) ms: Vec<f64>,
}

/// The answer to `memory`.
#[derive(Debug, Deserialize)]
pub(crate) struct Memory {
    pub(crate) peak_mib: Option<f64>,
}

/// The answer to `peak`.
#[derive(Debug, Deserialize)]
pub(crate) struct Peak {
    pub(crate) gflops: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Failure { error: String },
    Success(T),
}

/// Reads an answer.
///
/// # Errors
/// The error that the worker tells, and a line that is not an answer of this kind.
pub(crate) fn parse<T: DeserializeOwned>(line: &str) -> Result<T> {
    match serde_json::from_str(line) {
        Ok(Answer::Success(answer)) => Ok(answer),
        Ok(Answer::Failure { error }) => Err(error.into()),
        Err(_) => Err(Error::from(format!("unexpected answer {line:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        let hello = parse::<Hello>(r#"{"name": "a", "version": "1.2", "memory_mib": null}"#);
        let expected = Hello {
            name: "a".to_owned(),
            version: "1.2".to_owned(),
            memory_mib: None,
        };
        assert_eq!(hello.unwrap(), expected);
        let first: First =
            parse(r#"{"first_ms": 4.5, "isa": "avx2", "multiply_adds": 8}"#).unwrap();
        assert_eq!(first.isa.as_deref(), Some("avx2"));
        assert_eq!(
            parse::<First>(r#"{"first_ms": 4}"#).unwrap().multiply_adds,
            None
        );
        assert_eq!(
            parse::<Times>(r#"{"ms": [1.5, 2]}"#).unwrap().ms,
            [1.5, 2.0]
        );
        parse::<Done>("{}").unwrap();
    }

    #[test]
    fn a_told_error_is_an_error_of_every_answer() {
        let line = r#"{"error": "no such file"}"#;
        assert_eq!(parse::<Done>(line).unwrap_err().to_string(), "no such file");
        assert_eq!(
            parse::<Times>(line).unwrap_err().to_string(),
            "no such file"
        );
    }

    #[test]
    fn another_line_is_an_error_that_quotes_it() {
        for line in ["", "ready", r#"{"ms": 1.5}"#, r#"{"ms": [null]}"#] {
            let error = parse::<Times>(line).unwrap_err().to_string();
            assert_eq!(error, format!("unexpected answer {line:?}"));
        }
    }
}
