//! `--demo`: a server inside this process to fetch from, which takes its time to answer.

use std::io;

use ropewalk::coroutine;
use ropewalk::http::server::Handle;
use ropewalk::http::{App, Request, Server};
use ropewalk::net::SocketAddr;
use ropewalk::time::Duration;
use ropewalk::{JoinHandle, spawn};

use super::Entries;
use super::input::Entry;

/// How long the server may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demo {
    /// How many URLs.
    pub(super) count: u64,
    /// How long an answer takes.
    pub(super) delay: Duration,
}

/// The server while it runs.
pub(super) struct Running {
    demo: Demo,
    address: SocketAddr,
    handle: Handle,
    serving: JoinHandle<io::Result<()>>,
}

impl Demo {
    /// Starts the server on a free port of 127.0.0.1.
    pub(super) fn start(self) -> io::Result<Running> {
        let server = Server::bind("127.0.0.1:0")?;
        let (address, handle) = (server.local_addr()?, server.handle());
        let app = App::new().get("/{number}", move |request: &mut Request<'_>| {
            coroutine::sleep(self.delay);
            format!("page {}\n", request.param("number").unwrap_or_default())
        });
        let serving = spawn(move || server.serve(app));
        Ok(Running {
            demo: self,
            address,
            handle,
            serving,
        })
    }
}

impl Running {
    /// Returns the URLs to fetch, each another page.
    pub(super) fn entries(&self) -> Entries {
        let address = self.address;
        let url = move |number| Ok(Entry::Url(format!("http://{address}/{number}")));
        Box::new((0..self.demo.count).map(url))
    }

    /// Ends the server.
    pub(super) fn stop(self) {
        // Everything was fetched, so only idle connections are left; and the process ends anyway.
        let _ = self.handle.shutdown(PATIENCE);
        let _ = self.serving.join();
    }
}
