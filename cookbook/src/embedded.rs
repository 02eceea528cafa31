//! A web server inside the program that asks it.

use std::io;
use std::net::SocketAddr;

use ropewalk::JoinHandle;
use ropewalk::http::server::Handle;
use ropewalk::http::{App, Server};
use ropewalk::time::Duration;

/// How long requests under way may take when the server is stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// An HTTP server on a free port of 127.0.0.1, served by coroutines of the caller's runtime.
#[derive(Debug)]
pub struct Embedded {
    addr: SocketAddr,
    handle: Handle,
    serving: JoinHandle<io::Result<()>>,
}

impl Embedded {
    /// Starts serving `app`.
    ///
    /// # Errors
    ///
    /// The system's, if there is no port left.
    pub fn start(app: App) -> io::Result<Embedded> {
        let server = Server::bind("127.0.0.1:0")?;
        Ok(Embedded {
            addr: server.local_addr()?,
            handle: server.handle(),
            serving: ropewalk::spawn(move || server.serve(app)),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.handle.connections()
    }

    /// Lets requests under way finish, and stops.
    ///
    /// # Errors
    ///
    /// If requests had to be cut off, and what the server itself failed with.
    ///
    /// # Panics
    ///
    /// If the serving coroutine panicked.
    pub fn stop(self) -> io::Result<()> {
        self.handle.shutdown(PATIENCE).map_err(io::Error::other)?;
        self.serving.join().expect("the server doesn't panic")
    }
}
