//! The floor: one thread, epoll, `read` and `write`, and next to nothing between them. The
//! HTTP server looks for the ends of requests and answers each with the same bytes. It shows
//! what the kernel's part of the work costs; nobody could serve from it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::{ECHO_BUFFER_BYTES, HELLO, PLAIN_TEXT};
use crate::epoll::{Epoll, Trigger};

/// Room for sixteen requests of the load generator and more.
const REQUEST_BUFFER_BYTES: usize = 16 * 1024;
const LISTENER: u64 = u64::MAX;

/// Serves an echo.
pub(super) fn serve_echo() -> io::Result<u16> {
    let mut buffer = [0; ECHO_BUFFER_BYTES];
    serve(move |stream| {
        let length = stream.read(&mut buffer)?;
        stream.write_all(&buffer[..length])?;
        Ok(length > 0)
    })
}

/// Serves HTTP, if one may call it that; its date stands still.
pub(super) fn serve_http() -> io::Result<u16> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {PLAIN_TEXT}\r\ncontent-length: {}\r\n\
         date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{HELLO}",
        HELLO.len()
    );
    let mut buffer = [0; REQUEST_BUFFER_BYTES];
    let mut answers = Vec::new();
    serve(move |stream| {
        let length = stream.read(&mut buffer)?;
        let ends = buffer[..length]
            .windows(4)
            .filter(|window| window == b"\r\n\r\n")
            .count();
        answers.clear();
        (0..ends).for_each(|_| answers.extend_from_slice(answer.as_bytes()));
        stream.write_all(&answers)?;
        Ok(length > 0)
    })
}

/// Runs `turn` for each readable connection, on a thread; `Ok(true)` keeps the connection.
fn serve(
    mut turn: impl FnMut(&mut TcpStream) -> io::Result<bool> + Send + 'static,
) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let mut epoll = Epoll::new(1024)?;
    epoll.add(&listener, LISTENER, Trigger::Level)?;
    std::thread::Builder::new().spawn(move || {
        let mut connections: Vec<Option<TcpStream>> = Vec::new();
        let mut accepted = Vec::new();
        loop {
            for token in epoll.wait(-1).expect("a working epoll") {
                if token == LISTENER {
                    accepted.extend(listener.accept());
                    continue;
                }
                let place = &mut connections[token as usize];
                let keep = place
                    .as_mut()
                    .is_some_and(|stream| turn(stream).unwrap_or(false));
                if !keep {
                    *place = None;
                }
            }
            for (stream, _) in accepted.drain(..) {
                stream
                    .set_nodelay(true)
                    .expect("a socket takes TCP_NODELAY");
                epoll
                    .add(&stream, connections.len() as u64, Trigger::Level)
                    .expect("room for a connection");
                connections.push(Some(stream));
            }
        }
    })?;
    Ok(port)
}
