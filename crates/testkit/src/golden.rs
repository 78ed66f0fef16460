//! Values that another program computed, from a JSON file.

use std::fs;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A JSON object of a golden file: the file itself or one of its cases.
///
/// A tensor is written `{"shape": [2, 2], "values": [1, 2, 3, null]}`, where `null` stands for NaN.
///
/// ```
/// use testkit::Golden;
///
/// let text = r#"{"cases": [{"op": "pad", "by": [1, 2], "x": {"shape": [1, 2], "values": [3, 4]}}]}"#;
/// for case in Golden::parse(text).cases() {
///     assert_eq!(case.text("op"), "pad");
///     assert_eq!(case.sizes::<2>("by"), [1, 2]);
///     assert_eq!(case.tensor("x")[[0, 1]], 4.0);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Golden(Value);

/// Reads a golden file of any type.
#[track_caller]
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).map_err(|error| error.to_string());
    text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
        .unwrap_or_else(|error| fail(&format!("{}: {error}", path.display())))
}

impl Golden {
    /// Reads a file.
    ///
    /// # Panics
    ///
    /// If the file cannot be read or is not JSON.
    #[must_use]
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Self {
        Self(read(path.as_ref()))
    }

    /// Reads a text.
    ///
    /// # Panics
    ///
    /// If the text is not JSON.
    #[must_use]
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(value) => Self(value),
            Err(error) => fail(&format!("not JSON: {error}")),
        }
    }

    /// Returns the elements of the array `cases`, at least one.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn cases(&self) -> Vec<Self> {
        let cases: Vec<_> = self.array("cases").iter().cloned().map(Self).collect();
        assert!(!cases.is_empty(), "a golden file without cases");
        cases
    }

    /// Returns whether there is something other than `null` under `key`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    /// Returns the tensor under `key`.
    ///
    /// # Panics
    ///
    /// If there is none, or its values do not fill its shape.
    #[must_use]
    #[track_caller]
    pub fn tensor(&self, key: &str) -> ArrayD<f64> {
        let tensor = Self(self.get(key).clone());
        let shape: Vec<usize> = tensor.array("shape").iter().map(size).collect();
        let values = tensor.array("values").iter().map(|value| match value {
            Value::Null => f64::NAN,
            value => number(value),
        });
        match ArrayD::from_shape_vec(IxDyn(&shape), values.collect()) {
            Ok(tensor) => tensor,
            Err(error) => fail(&format!("{key}: {error}")),
        }
    }

    /// Returns the `R` sizes under `key`.
    ///
    /// # Panics
    ///
    /// If there are not `R` of them.
    #[must_use]
    #[track_caller]
    pub fn sizes<const R: usize>(&self, key: &str) -> [usize; R] {
        let sizes: Vec<usize> = self.array(key).iter().map(size).collect();
        match sizes.try_into() {
            Ok(sizes) => sizes,
            Err(sizes) => fail(&format!("{key}: {} sizes, expected {R}", sizes.len())),
        }
    }

    /// Returns the number under `key`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn number(&self, key: &str) -> f64 {
        number(self.get(key))
    }

    /// Returns the text under `key`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn text(&self, key: &str) -> &str {
        let value = self.get(key);
        value
            .as_str()
            .unwrap_or_else(|| fail(&format!("{key}: {value} is not a text")))
    }

    /// Returns the `true` or `false` under `key`.
    ///
    /// # Panics
    ///
    /// If there is neither.
    #[must_use]
    #[track_caller]
    pub fn flag(&self, key: &str) -> bool {
        let value = self.get(key);
        value
            .as_bool()
            .unwrap_or_else(|| fail(&format!("{key}: {value} is not a flag")))
    }

    #[track_caller]
    fn get(&self, key: &str) -> &Value {
        self.0
            .get(key)
            .unwrap_or_else(|| fail(&format!("no {key} in {}", self.0)))
    }

    #[track_caller]
    fn array(&self, key: &str) -> &[Value] {
        let value = self.get(key);
        value
            .as_array()
            .unwrap_or_else(|| fail(&format!("{key}: {value} is not an array")))
    }
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| fail(&format!("{value} is not a number")))
}

#[track_caller]
fn size(value: &Value) -> usize {
    let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
    size.unwrap_or_else(|| fail(&format!("{value} is not a size")))
}

#[track_caller]
#[expect(
    clippy::panic,
    reason = "a golden file that cannot be read fails the test that reads it"
)]
fn fail(why: &str) -> ! {
    panic!("golden file: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_nan() {
        let golden = Golden::parse(r#"{"x": {"shape": [2], "values": [null, -1.5]}}"#);
        let x = golden.tensor("x");
        assert!(x[0].is_nan());
        assert_eq!(x[1], -1.5);
    }

    #[test]
    #[should_panic(expected = "golden file: x:")]
    fn values_have_to_fill_the_shape() {
        let _ = Golden::parse(r#"{"x": {"shape": [3], "values": [1, 2]}}"#).tensor("x");
    }

    #[test]
    #[should_panic(expected = "without cases")]
    fn a_file_without_cases_tests_nothing() {
        let _ = Golden::parse(r#"{"cases": []}"#).cases();
    }
}
