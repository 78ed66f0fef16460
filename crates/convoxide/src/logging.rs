//! The log on standard error: one line per event, whatever characters file names contain.

use std::io::{self, Write};

use files::show;
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts the log with events of `level` and above.
pub(crate) fn start(level: Level) {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(|| OneLine)
        .with_max_level(level)
        // A span logs its duration when it ends.
        .with_span_events(FmtSpan::CLOSE)
        .with_target(false)
        // No time of day.
        .with_timer(())
        .finish();
    // This fails only if a subscriber is already set, which is not the case here.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// A writer to standard error that writes each event in one call. It never returns an error, because
/// the log would report it with a macro that panics.
struct OneLine;

impl Write for OneLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let _ = writeln!(io::stderr().lock(), "{}", line(event));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The event as one line without control characters and without its newline.
fn line(event: &[u8]) -> String {
    show::bytes(event.strip_suffix(b"\n").unwrap_or(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(line(b" INFO a\nb\x1b[31m\n"), " INFO a\\nb\\u{1b}[31m");
        assert_eq!(line("photo\u{202e}gpj\n".as_bytes()), "photo\\u{202e}gpj");
    }
}
