//! A UDP server: receives, and runs a handler in a coroutine for each datagram.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ropewalk_kernel::cancel::{self, Cancelled};

use super::handle::ServerHandle;
use super::handlers::{Counts, Handlers, Loop, Place, Tokens};
use super::pause::{After, Pause};
use super::tcp::Served;
use crate::coroutine;
use crate::net::{ToSocketAddrs, UdpSocket};

/// The longest datagram there can be.
const LONGEST: usize = 65_535;
/// How many handlers run at once, if nothing else was said.
const HANDLERS: usize = 1024;

/// What a server does with a datagram; closures and functions of this argument are handlers.
///
/// It runs in a coroutine of its own; a panic concerns this datagram only.
pub trait UdpHandler: Send + Sync + 'static {
    /// Serves one datagram.
    ///
    /// # Errors
    ///
    /// Whatever ended it badly; it is counted, and concerns no other.
    fn handle(&self, request: Request) -> io::Result<()>;
}

impl<F, R> UdpHandler for F
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: Served,
{
    fn handle(&self, request: Request) -> io::Result<()> {
        self(request).into_result()
    }
}

/// A datagram that was received, and the way back.
#[derive(Clone, Debug)]
pub struct Request {
    data: Vec<u8>,
    peer: SocketAddr,
    socket: Arc<UdpSocket>,
}

impl Request {
    /// What it holds; an empty datagram holds nothing.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Gives what it holds away.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Who sent it.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends a datagram back to who sent this one, from the server's address.
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::send_to`].
    pub fn reply(&self, data: &[u8]) -> io::Result<usize> {
        self.socket.send_to(data, self.peer)
    }

    /// The server's socket, to send to others by.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }
}

/// A UDP server, bound and not yet serving; as `socketserver.UDPServer`, with the threads of its
/// `ThreadingMixIn`.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::net::{UdpSocket, server::{Request, UdpServer}};
/// use std::time::Duration;
///
/// let server = UdpServer::bind("127.0.0.1:0", |request: Request| {
///     request.reply(&request.data().to_ascii_uppercase()).map(drop)
/// })?;
/// let (addr, handle) = (server.local_addr()?, server.handle());
/// let serving = ropewalk_rt::spawn(move || server.serve_forever());
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", addr)?;
/// let mut buf = [0; 16];
/// let (len, from) = client.recv_from(&mut buf)?;
/// assert_eq!((&buf[..len], from), (&b"HELLO"[..], addr));
/// handle.shutdown(Duration::from_secs(5)).unwrap();
/// serving.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpServer<H> {
    socket: Arc<UdpSocket>,
    handler: Arc<H>,
    handlers: Arc<Handlers>,
}

impl<H: UdpHandler> UdpServer<H> {
    /// Binds to an address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A, handler: H) -> io::Result<UdpServer<H>> {
        Ok(UdpServer::on(UdpSocket::bind(addr)?, handler))
    }

    /// Serves what comes to `socket`.
    pub fn on(socket: UdpSocket, handler: H) -> UdpServer<H> {
        let handlers = Arc::new(Handlers::new());
        handlers.set_most(HANDLERS);
        UdpServer {
            socket: Arc::new(socket),
            handler: Arc::new(handler),
            handlers,
        }
    }

    /// Limits how many handlers run at once; without it 1024. Datagrams beyond that stay in
    /// the socket's buffer, and those beyond that are dropped by the system.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn max_handlers(self, most: usize) -> UdpServer<H> {
        assert!(most > 0, "a limit of 0 handlers would serve nobody");
        self.handlers.set_most(most);
        self
    }

    /// Sets how long handlers that a shutdown has cancelled have to end; without it 1 s.
    pub fn grace(self, grace: Duration) -> UdpServer<H> {
        self.handlers.set_grace(grace);
        self
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What shuts it down, from anywhere.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            handlers: Arc::clone(&self.handlers),
        }
    }

    /// Receives and serves until a [`ServerHandle`] stops it; returns when its handlers have
    /// ended, or a shutdown has given up on them.
    ///
    /// Running out of memory doesn't end it, and is told once: receiving goes on after a pause.
    /// The handlers stand under a token below the caller's. If the caller is cancelled,
    /// so are they, and they have the [`grace`](Self::grace) to end.
    ///
    /// # Errors
    ///
    /// When the socket is broken, or the caller was cancelled.
    pub fn serve_forever(self) -> io::Result<()> {
        let Some((tokens, mut loops)) = Handlers::begin(&self.handlers, 1) else {
            return Ok(());
        };
        let counted = loops.pop().expect("one was asked for");
        let result = self.receive(&tokens, counted);
        // The address is free when this returns, unless a handler keeps the socket.
        drop(self.socket);
        self.handlers.end(result)
    }

    /// Receives until it is cancelled.
    fn receive(&self, tokens: &Tokens, counted: Loop) -> io::Result<()> {
        let _counted = counted;
        let mut pause = Pause::new("receiving");
        let mut buf = vec![0; LONGEST];
        tokens.accepting.run(|| {
            while !self.handlers.is_stopping() {
                let place = self.handlers.reserve().map_err(Cancelled::into_io)?;
                match self.socket.recv_from(&mut buf) {
                    Ok((len, peer)) => {
                        pause.reset();
                        let request = Request {
                            data: buf[..len].to_vec(),
                            peer,
                            socket: Arc::clone(&self.socket),
                        };
                        self.start(request, place, tokens);
                    }
                    Err(error) if cancel::check().is_err() => return Err(error),
                    Err(error) => match pause.after(&error) {
                        After::Now => {}
                        After::Pause(duration) => self.handlers.pause(duration),
                        After::Broken => return Err(error),
                    },
                }
            }
            Ok(())
        })
    }

    fn start(&self, request: Request, mut place: Place, tokens: &Tokens) {
        place.serve(request.peer);
        let handler = Arc::clone(&self.handler);
        let run = move || {
            let counts = &place.begin().counts;
            Counts::add(&counts.accepted);
            match catch_unwind(AssertUnwindSafe(|| handler.handle(request))) {
                Ok(Ok(())) => {}
                Ok(Err(_)) => Counts::add(&counts.failed),
                Err(_) => Counts::add(&counts.panicked),
            }
        };
        let spawn = || coroutine::Builder::new().spawn(run);
        if tokens.handling.run(spawn).is_err() {
            Counts::add(&self.handlers.counts.refused);
        }
    }
}

impl<H> fmt::Debug for UdpServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpServer")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
