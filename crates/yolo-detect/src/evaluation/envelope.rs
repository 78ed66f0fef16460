//! The precision envelope of ranked detections, from which every average precision is computed.

/// The state after a detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// The objects found so far.
    pub(super) found: u64,
    /// The greatest precision here or at any later detection, and thus at this recall or a higher one.
    pub(super) precision: f64,
}

/// The steps of detections by falling score, each of which is a true positive (`true`) or a false one.
pub(super) fn envelope(hits: impl Iterator<Item = bool>) -> Vec<Step> {
    let mut found = 0;
    let mut steps: Vec<Step> = (1_u64..)
        .zip(hits)
        .map(|(counted, hit)| {
            found += u64::from(hit);
            Step {
                found,
                precision: found as f64 / counted as f64,
            }
        })
        .collect();
    let mut greatest = 0.0_f64;
    for step in steps.iter_mut().rev() {
        greatest = greatest.max(step.precision);
        step.precision = greatest;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_never_rises() {
        let steps = envelope([false, true, true, false, true].into_iter());
        // The precisions are 0, 1/2, 2/3, 2/4 and 3/5.
        let expected = [
            (0, 2.0 / 3.0),
            (1, 2.0 / 3.0),
            (2, 2.0 / 3.0),
            (2, 0.6),
            (3, 0.6),
        ];
        assert_eq!(
            steps,
            expected.map(|(found, precision)| Step { found, precision })
        );
        assert!(envelope(std::iter::empty()).is_empty());
    }
}
