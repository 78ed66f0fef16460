//! The fetcher against a server on this machine that misbehaves in every way: each is the error that it
//! should be, and nothing is left in the cache.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use files::Kind;
use model_zoo::{Check, Download, Error, Event, Options, State};

#[path = "loopback/file.rs"]
mod file;
#[path = "loopback/server.rs"]
mod server;

use file::{SHA256, content, download, verified};
use server::{Server, answer, ok, send};

/// Options for a cache folder, with one attempt, and without the user's own settings of `curl`.
fn options(home: &Path) -> Options {
    Options {
        home: Some(home.to_owned()),
        curl: ["curl", "--disable", "--noproxy", "*"]
            .map(Into::into)
            .to_vec(),
        attempts: 1,
        pause: Duration::ZERO,
        stall_timeout: Duration::from_secs(1),
        allow_http: true,
        ..Options::default()
    }
}

/// Whether the tests can run on this machine.
fn has_curl() -> bool {
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if !has_curl {
        println!("skipped: there is no curl");
    }
    has_curl
}

/// The cause of a failure, after which nothing is in the cache.
#[track_caller]
fn failure(download: &Download, options: &Options) -> Error {
    let error = download.fetch(options, &mut |_| {}).unwrap_err();
    let place = download.files[0].place(options.home.as_ref().unwrap());
    let message = error.to_string();
    assert!(
        message.contains(&format!("save it as {}", place.display())),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_eq!(files_in(options.home.as_ref().unwrap()), 0, "{message}");
    match error {
        Error::Failed {
            cause, name: "m", ..
        } => *cause,
        other => panic!("{other}"),
    }
}

/// The cause of a failure when the server behaves in this way.
#[track_caller]
fn failure_at(server: &Server) -> Error {
    let home = tempfile::tempdir().unwrap();
    failure(
        &download(&server.address, verified()),
        &options(home.path()),
    )
}

/// The number of files in a folder and those in it.
fn files_in(folder: &Path) -> usize {
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { files_in(&path) } else { 1 })
        .sum()
}

#[test]
fn a_good_file_is_fetched_once_and_needs_no_server_after_that() {
    if !has_curl() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let options = options(home.path());
    let server = Server::sending(ok(&content()));
    let file = download(&server.address, verified());
    assert_eq!(file.cached(home.path()), State::Missing);
    let (mut received, mut stored) = (0, 0);
    let mut observer = |event: Event<'_>| match event {
        Event::Received { bytes, total } => {
            assert!(bytes > received && total == 100_000);
            received = bytes;
        }
        Event::Stored { .. } => stored += 1,
        _ => {}
    };
    let fetched = file.fetch(&options, &mut observer).unwrap();
    assert_eq!((received, stored), (100_000, 1));
    assert!(fetched.files[0].is_new);
    assert_eq!(fetched.files[0].sha256, SHA256);
    assert_eq!(std::fs::read(&fetched.files[0].path).unwrap(), content());
    assert_eq!(file.cached(home.path()), State::Good);

    // Nothing listens on the address of a server that has none left.
    let gone = download("http://127.0.0.1:1", verified());
    let again = gone.fetch(&options, &mut |_| {}).unwrap();
    assert!(!again.files[0].is_new);
    assert_eq!((server.connections(), files_in(home.path())), (1, 1));
}

#[test]
fn a_damaged_file_is_fetched_again() {
    if !has_curl() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let server = Server::sending(ok(&content()));
    let file = download(&server.address, verified());
    let place = file.files[0].place(home.path());
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    let mut flipped = content();
    flipped[50_000] ^= 1;
    for damaged in [&flipped[..], &flipped[..1000], &[]] {
        std::fs::write(&place, damaged).unwrap();
        let mut is_reported = false;
        let mut observer = |event: Event<'_>| is_reported |= matches!(event, Event::Damaged { .. });
        file.fetch(&options(home.path()), &mut observer).unwrap();
        assert!(is_reported);
        assert_eq!(std::fs::read(&place).unwrap(), content());
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn the_first_digits_and_the_published_length_are_checked() {
    if !has_curl() {
        return;
    }
    // 100,000 bytes are 0.095 MiB.
    let published = |sha256_start, milli_mib| Check::Published {
        sha256_start,
        milli_mib,
    };
    let server = Server::sending(ok(&content()));
    let home = tempfile::tempdir().unwrap();
    let options = options(home.path());
    let digits = download(&server.address, published("d692f480", 95));
    assert!(matches!(
        failure(&digits, &options),
        Error::WrongHash {
            expected: "d692f480",
            ..
        }
    ));
    let longer = download(&server.address, published("d692f48f", 97));
    assert!(matches!(
        failure(&longer, &options),
        Error::WrongLength { or_more: false, .. }
    ));
    let shorter = download(&server.address, published("d692f48f", 93));
    assert!(matches!(
        failure(&shorter, &options),
        Error::WrongLength { or_more: true, .. }
    ));
    let good = download(&server.address, published("d692f48f", 95));
    let fetched = good.fetch(&options, &mut |_| {}).unwrap();
    assert_eq!(fetched.files[0].sha256, SHA256);
}

#[test]
fn an_error_status_is_named() {
    if !has_curl() {
        return;
    }
    for status in [404, 500] {
        let page = b"<html>the server's own page about the error</html>";
        let server = Server::sending(answer(&format!("{status} Sorry"), "", page));
        match failure_at(&server) {
            Error::Status { status: got, .. } => assert_eq!(got, status),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_page_a_pointer_or_nothing_in_place_of_the_file_is_named() {
    if !has_curl() {
        return;
    }
    for (body, expected) in [
        (&b"<!DOCTYPE html><title>Log in</title>"[..], Kind::Html),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            Kind::GitLfsPointer,
        ),
        (b"", Kind::Empty),
    ] {
        match failure_at(&Server::sending(ok(body))) {
            Error::WrongKind { kind, .. } => assert_eq!(kind, expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn another_file_of_the_same_length_is_refused() {
    if !has_curl() {
        return;
    }
    let mut other = content();
    other[99_999] ^= 1;
    let error = failure_at(&Server::sending(ok(&other)));
    assert!(matches!(error, Error::WrongHash { .. }), "{error}");
}

#[test]
fn a_body_that_ends_early_is_a_broken_connection() {
    if !has_curl() {
        return;
    }
    let whole = content();
    let error = failure_at(&Server::new(move |stream, _| {
        let length = "Content-Length: 100000\r\n";
        send(stream, &answer("200 OK", length, &whole[..60_000]));
    }));
    assert!(matches!(error, Error::BrokenOff { .. }), "{error}");
    // The same without a length in the header: only our own table can tell.
    let whole = content();
    let error = failure_at(&Server::sending(answer("200 OK", "", &whole[..60_000])));
    assert!(
        matches!(
            error,
            Error::WrongLength {
                got: 60_000,
                or_more: false,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_length_in_the_header_that_lies_is_detected() {
    if !has_curl() {
        return;
    }
    let content = content();
    // Of a header that says less, the rest of the body is not read.
    let error = failure_at(&Server::sending(answer(
        "200 OK",
        "Content-Length: 99999\r\n",
        &content,
    )));
    assert!(
        matches!(error, Error::WrongLength { got: 99_999, .. }),
        "{error}"
    );
    let error = failure_at(&Server::sending(answer(
        "200 OK",
        "Content-Length: 100001\r\n",
        &content,
    )));
    assert!(matches!(error, Error::BrokenOff { .. }), "{error}");
    let error = failure_at(&Server::sending(answer(
        "200 OK",
        "Content-Length: many\r\n",
        &content,
    )));
    assert!(
        matches!(
            error,
            Error::Curl { .. } | Error::WrongLength { .. } | Error::BrokenOff { .. }
        ),
        "{error}"
    );
}

#[test]
fn a_body_without_end_is_stopped() {
    if !has_curl() {
        return;
    }
    let error = failure_at(&Server::new(|stream, _| {
        send(stream, &answer("200 OK", "", b""));
        while stream.write_all(&[7; 10_000]).is_ok() {}
    }));
    match error {
        Error::WrongLength {
            got, or_more: true, ..
        } => assert!(got < 300_000, "{got}"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_server_that_drips_and_then_hangs_is_given_up() {
    if !has_curl() {
        return;
    }
    let error = failure_at(&Server::new(|stream, _| {
        send(stream, &answer("200 OK", "Content-Length: 100000\r\n", b""));
        for _ in 0..5 {
            send(stream, b"x");
            std::thread::sleep(Duration::from_millis(100));
        }
        // Until the client closes the connection.
        let _ = stream.read(&mut [0]);
    }));
    assert!(matches!(error, Error::TooSlow { .. }), "{error}");
}

#[test]
fn redirects_end_and_do_not_leave_the_web() {
    if !has_curl() {
        return;
    }
    let redirect = |to: &str| {
        answer(
            "302 Found",
            &format!("Location: {to}\r\nContent-Length: 0\r\n"),
            b"",
        )
    };
    let server = Server::sending(redirect("/again"));
    let error = failure_at(&server);
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
    assert!(server.connections() < 10);

    // A file that exists on this machine and must not be read.
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), content()).unwrap();
    for scheme in ["file", "ftp", "gopher"] {
        let to = format!("{scheme}://{}", secret.path().display());
        let error = failure_at(&Server::sending(redirect(&to)));
        assert!(matches!(error, Error::Redirect { .. }), "{scheme}: {error}");
    }

    // A redirect to the file itself is followed.
    let good = Server::sending(ok(&content()));
    let server = Server::sending(redirect(&format!("{}/moved", good.address)));
    let home = tempfile::tempdir().unwrap();
    download(&server.address, verified())
        .fetch(&options(home.path()), &mut |_| {})
        .unwrap();
}

#[test]
fn without_the_option_an_address_must_be_encrypted() {
    if !has_curl() {
        return;
    }
    let server = Server::sending(ok(&content()));
    let home = tempfile::tempdir().unwrap();
    let options = Options {
        allow_http: false,
        ..options(home.path())
    };
    let error = failure(&download(&server.address, verified()), &options);
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_server_that_is_not_there_or_says_nothing_is_named() {
    if !has_curl() {
        return;
    }
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let home = tempfile::tempdir().unwrap();
    let error = failure(
        &download(&format!("http://{port}"), verified()),
        &options(home.path()),
    );
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let error = failure_at(&Server::new(|_, _| {}));
    assert!(matches!(error, Error::BrokenOff { .. }), "{error}");
    // An answer that is not HTTP.
    let error = failure_at(&Server::sending(content()));
    assert!(matches!(error, Error::Curl { .. }), "{error}");
}

#[test]
fn passing_failures_are_tried_again_and_lasting_ones_are_not() {
    if !has_curl() {
        return;
    }
    let busy = || answer("503 Busy", "Content-Length: 0\r\n", b"");
    let whole = content();
    // Each attempt starts anew: nothing of the broken one is in the file.
    let server = Server::new(move |stream, connection| match connection {
        0 => send(stream, &busy()),
        1 => send(
            stream,
            &answer("200 OK", "Content-Length: 100000\r\n", &whole[..60_000]),
        ),
        _ => send(stream, &ok(&whole)),
    });
    let home = tempfile::tempdir().unwrap();
    let options = Options {
        attempts: 3,
        ..options(home.path())
    };
    let mut failures = 0;
    let mut observer =
        |event: Event<'_>| failures += usize::from(matches!(event, Event::Retrying { .. }));
    let file = download(&server.address, verified());
    let fetched = file.fetch(&options, &mut observer).unwrap();
    assert_eq!(failures, 2);
    assert_eq!(std::fs::read(&fetched.files[0].path).unwrap(), content());

    let other_home = tempfile::tempdir().unwrap();
    let options = Options {
        home: Some(other_home.path().to_owned()),
        ..options
    };
    let server = Server::sending(busy());
    let error = failure(&download(&server.address, verified()), &options);
    assert!(
        matches!(error, Error::Status { status: 503, .. }),
        "{error}"
    );
    assert_eq!(server.connections(), 3);
    let server = Server::sending(answer("404 Not Found", "", b""));
    let error = failure(&download(&server.address, verified()), &options);
    assert!(
        matches!(error, Error::Status { status: 404, .. }),
        "{error}"
    );
    assert_eq!(server.connections(), 1);
}

#[test]
fn without_curl_it_says_so() {
    let home = tempfile::tempdir().unwrap();
    for curl in [vec!["no-such-program".into()], Vec::new()] {
        let options = Options {
            curl,
            ..options(home.path())
        };
        let error = failure(&download("http://127.0.0.1:1", verified()), &options);
        assert!(matches!(error, Error::NoCurl), "{error}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::write(&home, "a file in the way").unwrap();
    let server = Server::sending(ok(&content()));
    let file = download(&server.address, verified());
    let error = file.fetch(&options(&home), &mut |_| {}).unwrap_err();
    let Error::Failed { cause, .. } = error else {
        panic!("{error}")
    };
    assert!(
        matches!(*cause, Error::CannotWrite { .. } | Error::CannotRead { .. }),
        "{cause}"
    );
    assert_eq!(files_in(folder.path()), 1);
}
