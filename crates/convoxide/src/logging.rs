//! The log on standard error: a line an event, whatever stands in the names that it tells of.

use std::io::{self, Write};

use files::show;
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts the log; what is less important than `level` is left out.
pub(crate) fn start(level: Level) {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(|| OneLine)
        .with_max_level(level)
        // A span says how long it took when it ends.
        .with_span_events(FmtSpan::CLOSE)
        .with_target(false)
        // No time of day.
        .with_timer(())
        .finish();
    // Fails where there is a subscriber already, and nothing has set one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Standard error for whole events, each written at once. It never fails: the log would report that
/// by a macro that panics.
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

/// The event as one line that controls no terminal, without its end.
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
