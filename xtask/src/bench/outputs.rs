//! The outputs of two sides, compared.

use std::path::Path;

use crate::{Error, Result};

/// The largest accepted difference, as a share of the largest element.
const TOLERANCE: f64 = 1e-3;

/// The values of a file of bare f32.
///
/// # Errors
/// A file that cannot be read, or is no such file.
pub(crate) fn read(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    let (values, rest) = bytes.as_chunks::<4>();
    match rest {
        [] => Ok(values.iter().copied().map(f32::from_le_bytes).collect()),
        _ => Err(format!("{} is no file of f32", path.display()).into()),
    }
}

/// The largest difference as a share of the largest of our elements.
///
/// # Errors
/// Different lengths, values that are not finite, outputs of zeros.
pub(crate) fn difference(ours: &[f32], theirs: &[f32]) -> Result<f64> {
    if ours.len() != theirs.len() {
        let lengths = format!("{} values, ours has {}", theirs.len(), ours.len());
        return Err(format!("the output has {lengths}").into());
    }
    if let Some(odd) = ours.iter().chain(theirs).find(|value| !value.is_finite()) {
        return Err(format!("an output has the value {odd}").into());
    }
    let largest = ours.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    if largest == 0.0 {
        return Err("our output is zero everywhere".into());
    }
    let most = |most: f64, (a, b): (&f32, &f32)| most.max((f64::from(*a) - f64::from(*b)).abs());
    Ok(ours.iter().zip(theirs).fold(0.0, most) / f64::from(largest))
}

/// Checks that both sides compute the same from each input, and returns the largest difference.
///
/// # Errors
/// As of [`difference`], and a difference of more than the tolerance; two inputs that we cannot tell apart,
/// because then the comparison would show nothing.
pub(crate) fn check(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> Result<f64> {
    if let [first, second] = ours {
        let apart = difference(first, second)?;
        if apart < 10.0 * TOLERANCE {
            return Err(format!("our outputs for two inputs differ by {apart:.1e} only").into());
        }
    }
    let mut worst = 0.0_f64;
    for (ours, theirs) in ours.iter().zip(theirs) {
        worst = worst.max(difference(ours, theirs)?);
    }
    match worst <= TOLERANCE {
        true => Ok(worst),
        false => Err(Error::from(format!(
            "its output differs from ours by {worst:.1e} of the largest element; \
             {TOLERANCE:.0e} is permitted"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_relative_to_the_largest_element() {
        assert_eq!(difference(&[1.0, -4.0], &[1.0, -4.0]).unwrap(), 0.0);
        assert_eq!(difference(&[1.0, -4.0], &[2.0, -4.0]).unwrap(), 0.25);
        for (theirs, message) in [
            (&[1.0][..], "the output has 1 values, ours has 2"),
            (&[1.0, f32::NAN], "an output has the value NaN"),
        ] {
            let error = difference(&[1.0, -4.0], theirs).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        assert!(difference(&[0.0], &[0.0]).is_err());
    }

    #[test]
    fn another_output_is_an_error() {
        let ours = [vec![1.0, -4.0], vec![2.0, 3.0]];
        assert_eq!(check(&ours, &ours).unwrap(), 0.0);
        let close = [vec![1.0, -4.0], vec![2.0, 3.001]];
        assert!(check(&ours, &close).unwrap() > 3e-4);
        let swapped = [ours[1].clone(), ours[0].clone()];
        let error = check(&ours, &swapped).unwrap_err().to_string();
        assert!(
            error.starts_with("its output differs from ours by"),
            "{error}"
        );
        let same = [ours[0].clone(), ours[0].clone()];
        let error = check(&same, &same).unwrap_err().to_string();
        assert!(error.starts_with("our outputs for two inputs"), "{error}");
    }
}
