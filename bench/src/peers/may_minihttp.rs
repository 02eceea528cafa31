//! may_minihttp: the minimal server on may that leads public comparisons. It parses with
//! `httparse`, has no router, checks little (no limits, no deadlines) and answers what it read
//! in one go with one write. It leaves `TCP_NODELAY` off; answers of one write don't wait
//! for it.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

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
    // It binds by itself and does not tell its port, so one that was free a moment ago it is.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let server = HttpServer(Hello).start((Ipv4Addr::LOCALHOST, port))?;
    // Dropping the handle leaves the server running.
    drop(server);
    Ok(port)
}
