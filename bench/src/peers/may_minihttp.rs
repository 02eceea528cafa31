//! may_minihttp: the minimal server on may that leads public comparisons. It parses with
//! `httparse`, has no router, checks little (no limits, no deadlines) and answers what it read
//! in one go with one write. It has no setting for `TCP_NODELAY`, so that is done behind its
//! back: without it some answers to pipelined requests wait 40 ms for an acknowledgement.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use may_minihttp::{HttpServer, HttpService, Request, Response};

use super::{HELLO, may};

#[derive(Clone)]
struct Hello;

impl HttpService for Hello {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        if request.method() == "GET" && request.path() == "/" {
            response
                .header("Content-Type: text/plain; charset=utf-8")
                .body(HELLO);
        } else {
            response.status_code(404, "Not Found");
        }
        Ok(())
    }
}

/// Serves HTTP. The answer has `Server: M`, `Date`, `Content-Length` and `Content-Type`.
pub(super) fn serve_http() -> io::Result<u16> {
    may::configure();
    // Dropping the handle leaves the server running.
    drop(HttpServer(Hello).start((Ipv4Addr::LOCALHOST, 0))?);
    let listener = only_listener()?;
    // Linux hands the option on to the connections that the listener accepts.
    TcpStream::from(OwnedFd::from(listener.try_clone()?)).set_nodelay(true)?;
    Ok(listener.local_addr()?.port())
}

/// Finds the listener that the server keeps to itself: the one socket this process has.
fn only_listener() -> io::Result<TcpListener> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(descriptor) = name.to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        // SAFETY: the process has just started and nothing in it closes descriptors but the
        // listing itself, which is still open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let candidate = TcpListener::from(borrowed.try_clone_to_owned()?);
        if candidate.local_addr().is_ok() {
            return Ok(candidate);
        }
    }
    Err(io::Error::other("the server has no listening socket"))
}
