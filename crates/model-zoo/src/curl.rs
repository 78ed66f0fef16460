//! Downloading an address with the ordinary `curl` client.
//!
//! `curl` writes to a pipe that is read here. So a download is checked while it arrives and stopped as
//! soon as it is too long, which `curl` itself cannot do if the server does not state the length. This is
//! also why a failed attempt is repeated here and not by `curl`, which could not take back what it wrote.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::download::KnownFile;
use crate::error::{Error, Result};
use crate::fetch::{Event, FetchedFile, Options, Program};
use crate::store::{self, Stopped};

/// The number of redirects that are followed.
const REDIRECTS: &str = "5";

/// The bytes per second below which a server is too slow.
const SLOW: &str = "1000";

/// Downloads a file into the cache, in several attempts if need be.
///
/// # Errors
///
/// There is no `curl`, it fails, or the content is not that of the file.
pub(crate) fn download(
    file: &'static KnownFile,
    home: &Path,
    options: &Options,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<FetchedFile> {
    observer(Event::Started {
        from: file.from,
        with: Program::Curl,
        bytes: file.check.bytes(),
    });
    let mut attempt = 1;
    loop {
        match try_once(file, home, options, observer) {
            Err(error) if error.is_passing() && attempt < options.attempts => {
                let pause = options.pause.saturating_mul(attempt);
                observer(Event::Retrying {
                    error: &error,
                    pause,
                });
                std::thread::sleep(pause);
                attempt += 1;
            }
            done => return done,
        }
    }
}

fn try_once(
    file: &'static KnownFile,
    home: &Path,
    options: &Options,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<FetchedFile> {
    let mut curl = Running(start(file.from, options)?);
    let Some(mut content) = curl.0.stdout.take() else {
        return Err(cannot_start(std::io::Error::other("it has no output")));
    };
    let total = file.check.bytes();
    let mut progress = |bytes| observer(Event::Received { bytes, total });
    let received = match store::receive(home, file, &mut content, &mut progress) {
        Ok(received) => received,
        // Dropping `curl` ends it.
        Err(Stopped::Refused(error)) => return Err(error),
        Err(Stopped::Source(error)) => return Err(cannot_start(error)),
    };
    // The reason why the content ended comes before what is wrong with the content.
    curl.finish(file.from)?;
    received.keep(home, file)
}

/// Starts `curl`, with the content of the address as its output.
fn start(address: &str, options: &Options) -> Result<Child> {
    let Some((program, first)) = options.curl.split_first() else {
        return Err(Error::NoCurl);
    };
    let protocols = if options.allow_http {
        "=https,http"
    } else {
        "=https"
    };
    let seconds = |timeout: std::time::Duration| timeout.as_secs().max(1).to_string();
    Command::new(program)
        .args(first)
        .args(["--fail", "--silent", "--show-error", "--globoff"])
        .args(["--location", "--max-redirs", REDIRECTS])
        // Of redirects, too.
        .args(["--proto", protocols])
        .args(["--connect-timeout", &seconds(options.connect_timeout)])
        .args(["--speed-limit", SLOW])
        .args(["--speed-time", &seconds(options.stall_timeout)])
        .args(["--output", "-", "--url", address])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::NoCurl,
            _ => cannot_start(error),
        })
}

fn cannot_start(error: std::io::Error) -> Error {
    let program = "curl";
    Error::CannotStart { program, error }
}

/// A process that is ended when the value is dropped.
struct Running(Child);

impl Running {
    /// Waits for the end of the process.
    ///
    /// # Errors
    ///
    /// It failed.
    fn finish(&mut self, address: &'static str) -> Result<()> {
        let mut said = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            said = String::from_utf8_lossy(&bytes).into_owned();
        }
        let status = self.0.wait().map_err(cannot_start)?;
        if status.success() {
            return Ok(());
        }
        Err(explain(status.code(), &said, address))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The error for an exit code of `curl` and its standard error.
fn explain(code: Option<i32>, said: &str, address: &'static str) -> Error {
    let last = said.trim().lines().last().unwrap_or_default();
    let reason = last.strip_prefix("curl: ").unwrap_or(last).to_owned();
    let reason = match (reason.is_empty(), code) {
        (false, _) => reason,
        (true, Some(code)) => format!("it ended with code {code} and gave no reason"),
        (true, None) => "it was ended by a signal".to_owned(),
    };
    // The codes are those of the section "exit codes" of curl's manual.
    match code {
        // A host that cannot be resolved or reached, or no encrypted connection to it.
        Some(5 | 6 | 7 | 35 | 60) => Error::Unreachable { address, reason },
        Some(22) => match status(&reason) {
            Some(status) => Error::Status { address, status },
            None => Error::Curl { address, reason },
        },
        // A protocol that is not allowed (the code has other meanings, too), and too many redirects.
        Some(1) if reason.contains("rotocol") => Error::Redirect { address, reason },
        Some(47) => Error::Redirect { address, reason },
        Some(28) => Error::TooSlow { address, reason },
        // A part of the file, no answer, and failures of the connection, also in HTTP/2.
        Some(16 | 18 | 52 | 55 | 56 | 92) => Error::BrokenOff { address, reason },
        _ => Error::Curl { address, reason },
    }
}

/// The status in curl's message `(22) The requested URL returned error: 404`.
fn status(reason: &str) -> Option<u16> {
    let (_, status) = reason.rsplit_once("error: ")?;
    status.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_messages_of_old_and_new_versions() {
        for said in [
            "curl: (22) The requested URL returned error: 404",
            "curl: (22) The requested URL returned error: 404 Not Found\n",
        ] {
            let error = explain(Some(22), said, "https://example.com/a");
            assert!(
                matches!(error, Error::Status { status: 404, .. }),
                "{error}"
            );
        }
        let error = explain(
            Some(22),
            "curl: (22) nothing of use",
            "https://example.com/a",
        );
        assert!(matches!(error, Error::Curl { .. }), "{error}");
    }

    #[test]
    fn a_failure_without_a_message_has_a_reason() {
        for (code, reason) in [(Some(99), "code 99"), (None, "by a signal")] {
            let error = explain(code, "", "https://example.com/a");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
