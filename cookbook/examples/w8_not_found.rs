//! W8, known as the unknown URL and the browser's `/favicon.ico`.
//!
//! What no route is for is answered by 404, also if it came with a body that nobody reads,
//! and the connection goes on: everything below is asked over one connection.

use std::io::{self, BufRead, BufReader, Read, Write};

use ropewalk::http::{App, Request};
use ropewalk::net::TcpStream;
use ropewalk_cookbook::Embedded;

/// One page, which tells its client's port, and nothing else.
pub fn app() -> App {
    App::new().get("/", |request: &mut Request| {
        let peer = request.peer().expect("it came over the network");
        format!("hello to port {}", peer.port())
    })
}

/// A client that speaks HTTP/1.1 on one connection, and never opens another.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn open(server: &Embedded) -> io::Result<Connection> {
        let stream = BufReader::new(TcpStream::connect(server.addr())?);
        Ok(Connection { stream })
    }

    /// The port that the server sees.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.stream.get_ref().local_addr()?.port())
    }

    /// Asks, and reads the answer: its status and its body.
    ///
    /// # Errors
    ///
    /// The system's; `UnexpectedEof` if the server has closed the connection.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let length = body.len();
        let stream = self.stream.get_mut();
        stream.write_all(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )?;

        let mut status = 0;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().map_err(io::Error::other)?;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        String::from_utf8(body)
            .map(|body| (status, body))
            .map_err(io::Error::other)
    }
}

/// Asks for pages that are there and for some that aren't, all on `connection`.
///
/// # Errors
///
/// As [`Connection::ask`].
pub fn visit(connection: &mut Connection) -> io::Result<Vec<(u16, String)>> {
    let unread = "nobody reads this. ".repeat(1000);
    [
        ("GET", "/", ""),
        ("GET", "/favicon.ico", ""),
        ("GET", "/no/such/page?x=1", ""),
        ("POST", "/no/such/form", &unread),
        ("GET", "/", ""),
    ]
    .into_iter()
    .map(|(method, path, body)| connection.ask(method, path, body))
    .collect()
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let server = Embedded::start(app())?;
    let mut connection = Connection::open(&server)?;
    println!("connected from port {}", connection.port()?);
    for (status, body) in visit(&mut connection)? {
        println!("{status}: {}", body.trim_end());
    }
    println!("connections open at the server: {}", server.connections());
    drop(connection);
    server.stop()
}
