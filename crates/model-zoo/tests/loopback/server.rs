//! A server on this machine whose answers a test chooses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server whose answer to every connection is given by a function, which is told the number of the
/// connection, from 0.
pub(crate) struct Server {
    pub(crate) address: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn new(answer: impl Fn(&mut TcpStream, usize) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        // The thread ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                read_request(&mut stream);
                answer(&mut stream, counter.fetch_add(1, Ordering::SeqCst));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// A server that sends these bytes and closes the connection.
    pub(crate) fn sending(answer: Vec<u8>) -> Self {
        Self::new(move |stream, _| send(stream, &answer))
    }

    /// The number of connections that were answered.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        request.push(byte[0]);
    }
}

/// Sends bytes to a client that may be gone.
pub(crate) fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// An answer with a status, headers and a body.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").into_bytes();
    answer.extend(body);
    answer
}

/// An answer with a body of this length.
pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.len());
    answer("200 OK", &length, body)
}
