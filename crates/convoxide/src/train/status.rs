//! The lines printed during training, in at most 80 columns.

use engine::MemoryUse;

use crate::numbers::number;

/// The progress of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) loss: f64,
    /// From 0 to 1.
    pub(super) accuracy: f64,
    pub(super) pictures_per_second: f64,
    /// The expected seconds for the rest of this epoch's steps.
    pub(super) epoch_left: f64,
    /// The expected seconds for the rest of the run.
    pub(super) run_left: f64,
}

/// The text beside the bar.
pub(super) fn step(step: &Progress) -> String {
    format!(
        "loss {}, {:.1} %, {:.0}/s; {} left of {}",
        loss(step.loss),
        100.0 * step.accuracy,
        step.pictures_per_second,
        rough(step.epoch_left),
        rough(step.run_left),
    )
}

/// The results of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    /// Counted from 1.
    pub(super) epoch: usize,
    pub(super) epochs: usize,
    pub(super) loss: f64,
    /// From 0 to 1.
    pub(super) train_accuracy: f64,
    pub(super) valid_accuracy: Option<f64>,
    /// The seconds that it took.
    pub(super) seconds: f64,
    /// The expected seconds for the rest of the run.
    pub(super) run_left: f64,
}

/// The line for an epoch.
pub(super) fn epoch(epoch: &Finished) -> String {
    let mut line = format!(
        "epoch {}/{}: loss {}, train {:.2} %",
        epoch.epoch,
        epoch.epochs,
        loss(epoch.loss),
        100.0 * epoch.train_accuracy
    );
    if let Some(accuracy) = epoch.valid_accuracy {
        line += &format!(", valid {:.2} %", 100.0 * accuracy);
    }
    line += &format!(", {}", rough(epoch.seconds));
    // Unknown if this process has trained no step.
    if epoch.epoch < epoch.epochs && epoch.run_left.is_finite() {
        line += &format!(", {} left", rough(epoch.run_left));
    }
    line
}

/// The line before training: the memory that is compared with `--memory-limit`.
pub(super) fn memory(memory: MemoryUse) -> String {
    let network = memory.total().saturating_sub(memory.optimiser);
    format!(
        "memory: network {}, optimiser {}, plus checkpoints and pictures",
        size(network),
        size(memory.optimiser)
    )
}

/// A size in at most 10 columns, up to 100 TiB.
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib {
        ..9999.95 => format!("{mib:.1} MiB"),
        _ => format!("{:.0} GiB", mib / 1024.0),
    }
}

/// Four decimals below 100.
fn loss(loss: f64) -> String {
    match loss.abs() < 100.0 {
        true => format!("{loss:.4}"),
        false => number(loss),
    }
}

/// A time in the largest unit that it exceeds by half, such as `80 min`.
pub(super) fn rough(seconds: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)];
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let unit = UNITS.iter().find(|(_, length)| seconds > 1.5 * length);
    let &(unit, length) = unit.unwrap_or(&UNITS[3]);
    let count = (seconds / length).max(0.0);
    match count {
        // One decimal for hours and days.
        ..9.95 if length > 60.0 => format!("{count:.1} {unit}"),
        _ => format!("{count:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rough() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.7, "1 s"),
            (12.4, "12 s"),
            (90.0, "90 s"),
            (91.0, "2 min"),
            (5_400.0, "90 min"),
            (5_401.0, "1.5 h"),
            (40_000.0, "11 h"),
            (200_000.0, "2.3 d"),
            (1e7, "116 d"),
            (f64::NAN, "?"),
            (f64::INFINITY, "?"),
        ] {
            assert_eq!(rough(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn lines_fit_80_columns() {
        let wide = Finished {
            epoch: 999,
            epochs: 1_000,
            loss: 0.000_975_5,
            train_accuracy: 1.0,
            valid_accuracy: Some(1.0),
            seconds: 5_000.0,
            run_left: 5_000.0,
        };
        assert_eq!(
            epoch(&wide),
            "epoch 999/1000: loss 0.0010, train 100.00 %, valid 100.00 %, 83 min, 83 min left"
        );
        assert_eq!(epoch(&wide).len(), 80);

        for bytes in [10_000 << 20, 100 << 40] {
            for largest in [bytes - 1, bytes] {
                let wide = MemoryUse {
                    activations: largest,
                    optimiser: largest,
                    ..MemoryUse::default()
                };
                assert!(memory(wide).len() <= 80, "{}", memory(wide));
            }
        }

        let wide = Progress {
            loss: 0.000_975_5,
            accuracy: 1.0,
            pictures_per_second: 10_000.0,
            epoch_left: 5_000.0,
            run_left: 5_000.0,
        };
        // Before the message: "epoch 100/100 ", the bar of 12 columns and a space.
        let text = step(&wide);
        assert!(14 + 12 + 1 + text.chars().count() <= 80, "{text}");
    }

    #[test]
    fn the_last_epoch_has_no_time_left() {
        let last = Finished {
            epoch: 3,
            epochs: 3,
            loss: 1.25,
            train_accuracy: 0.5,
            valid_accuracy: None,
            seconds: 2.0,
            run_left: 0.0,
        };
        assert_eq!(epoch(&last), "epoch 3/3: loss 1.2500, train 50.00 %, 2 s");
    }

    #[test]
    fn the_optimiser_s_memory_is_counted_once() {
        let needed = MemoryUse {
            parameters: 3 << 20,
            gradients: 1 << 20,
            optimiser: (5 << 20) / 2,
            ..MemoryUse::default()
        };
        assert_eq!(
            memory(needed),
            "memory: network 4.0 MiB, optimiser 2.5 MiB, plus checkpoints and pictures"
        );
    }
}
