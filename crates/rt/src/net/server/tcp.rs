//! A TCP server: accepts, and runs a handler in a coroutine for each connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ropewalk_kernel::cancel::{self, Cancelled, shield};

use super::handle::ServerHandle;
use super::handlers::{Counts, Handlers, Loop, Place, Tokens};
use super::listeners::listeners;
use super::pause::{After, Pause};
use crate::coroutine;
use crate::io::is_cancelled;
use crate::net::{TcpListener, TcpStream, ToSocketAddrs};
use crate::runtime::RuntimeHandle;

/// What a server does with a connection; closures and functions of these arguments are handlers.
///
/// It runs in a coroutine of its own. Where it ends the stream is closed, unless it was moved
/// elsewhere. A panic ends this connection only.
pub trait TcpHandler: Send + Sync + 'static {
    /// Serves one connection.
    ///
    /// # Errors
    ///
    /// Whatever ended it badly; it is counted, and concerns no other connection.
    fn handle(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()>;
}

impl<F, R> TcpHandler for F
where
    F: Fn(TcpStream, SocketAddr) -> R + Send + Sync + 'static,
    R: Served,
{
    fn handle(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        self(stream, peer).into_result()
    }
}

/// What a handler may return: nothing, or an [`io::Result`].
pub trait Served {
    /// As a result.
    ///
    /// # Errors
    ///
    /// The handler's.
    fn into_result(self) -> io::Result<()>;
}

impl Served for () {
    fn into_result(self) -> io::Result<()> {
        Ok(())
    }
}

impl Served for io::Result<()> {
    fn into_result(self) -> io::Result<()> {
        self
    }
}

/// What happens to a connection when as many are open as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits in the kernel's queue to be accepted.
    #[default]
    Wait,
    /// It is accepted and closed at once.
    Refuse,
}

/// A TCP server, bound and not yet serving; as `socketserver.TCPServer`.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::net::{TcpStream, server::TcpServer};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let server = TcpServer::bind("127.0.0.1:0", |mut stream: TcpStream, _peer| {
///     stream.write_all(b"hello")
/// })?;
/// let (addr, handle) = (server.local_addr()?, server.handle());
/// let serving = ropewalk_rt::spawn(move || server.serve_forever());
///
/// let mut text = String::new();
/// TcpStream::connect(addr)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// handle.shutdown(Duration::from_secs(5)).unwrap();
/// serving.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpServer<H> {
    listeners: Vec<TcpListener>,
    handler: Arc<H>,
    when_full: WhenFull,
    handlers: Arc<Handlers>,
}

impl<H: TcpHandler> TcpServer<H> {
    /// Binds to an address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A, handler: H) -> io::Result<TcpServer<H>> {
        Ok(TcpServer::on(vec![TcpListener::bind(addr)?], handler))
    }

    /// Binds several [`listeners`] to one address, for as many workers to accept at once.
    ///
    /// # Errors
    ///
    /// As [`listeners`].
    pub fn bind_many<A: ToSocketAddrs>(
        addr: A,
        n: NonZeroUsize,
        handler: H,
    ) -> io::Result<TcpServer<H>> {
        Ok(TcpServer::on(listeners(addr, n)?, handler))
    }

    /// Serves what comes to all of `listeners`.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn on(listeners: Vec<TcpListener>, handler: H) -> TcpServer<H> {
        assert!(!listeners.is_empty(), "a server without a listener");
        TcpServer {
            listeners,
            handler: Arc::new(handler),
            when_full: WhenFull::Wait,
            handlers: Arc::new(Handlers::new()),
        }
    }

    /// Limits how many connections are open at once; without it they are not.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn max_connections(self, most: usize) -> TcpServer<H> {
        assert!(most > 0, "a limit of 0 connections would serve nobody");
        self.handlers.set_most(most);
        self
    }

    /// Says what happens to a connection beyond the limit.
    pub fn when_full(mut self, when_full: WhenFull) -> TcpServer<H> {
        self.when_full = when_full;
        self
    }

    /// Sets how long handlers that a shutdown has cancelled have to end; without it 1 s.
    pub fn grace(self, grace: Duration) -> TcpServer<H> {
        self.handlers.set_grace(grace);
        self
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listeners[0].local_addr()
    }

    /// What shuts it down, from anywhere.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            handlers: Arc::clone(&self.handlers),
        }
    }

    /// Accepts, from several listeners on as many workers, and serves until a [`ServerHandle`] stops it; returns when its handlers have
    /// ended, or a shutdown has given up on them.
    ///
    /// Running out of descriptors or memory doesn't end it, and is told once: accepting goes on
    /// when one of its own connections has ended, or after a pause of 5 ms that doubles up to
    /// a second.
    ///
    /// The handlers stand under a token below the caller's. If the caller is cancelled,
    /// so are they, and they have the [`grace`](Self::grace) to end.
    ///
    /// # Errors
    ///
    /// When a listener is broken, or the caller was cancelled.
    ///
    /// On a plain thread also those of the global runtime's start.
    pub fn serve_forever(self) -> io::Result<()> {
        // Each counts from here on, should it never start.
        let loops = self.listeners.len();
        let Some((tokens, mut loops)) = Handlers::begin(&self.handlers, loops) else {
            return Ok(());
        };
        let accept = |listener, counted| {
            let result = self.accept_from(listener, &tokens, counted);
            // One that is broken ends them all.
            tokens.accepting.cancel();
            result
        };
        let mut counted = || loops.pop().expect("one for each listener");
        let result = match &self.listeners[..] {
            [only] => accept(only, counted()),
            [first, others @ ..] => coroutine::scope(|scope| {
                let accept = &accept;
                let mut started = Vec::new();
                for (listener, worker) in others.iter().zip(other_workers()?) {
                    let counted = counted();
                    let one = coroutine::Builder::new().on_worker(worker);
                    let accepting = one.spawn_scoped(scope, move || accept(listener, counted));
                    match accepting {
                        Ok(accepting) => started.push(accepting),
                        Err(error) => {
                            tokens.accepting.cancel();
                            return Err(error);
                        }
                    }
                }
                let mut result = accept(first, counted());
                for other in started {
                    // Cancelled with us, if we are.
                    let other = shield(|| other.join()).unwrap_or_else(|error| {
                        Err(if error.is_cancelled() {
                            Cancelled::current().into_io()
                        } else {
                            io::Error::other(format!("accepting ended: {error}"))
                        })
                    });
                    result = match (result, other) {
                        // Cancelled because of that one.
                        (Err(error), Err(cause)) if is_cancelled(&error) => Err(cause),
                        (result, other) => result.and(other),
                    };
                }
                result
            }),
            [] => unreachable!("a server has a listener"),
        };
        // Those that were not begun.
        drop(loops);
        drop(self.listeners);
        self.handlers.end(result)
    }

    /// Accepts until it is cancelled.
    fn accept_from(
        &self,
        listener: &TcpListener,
        tokens: &Tokens,
        counted: Loop,
    ) -> io::Result<()> {
        let _counted = counted;
        let mut pause = Pause::new("accepting");
        tokens.accepting.run(|| {
            while !self.handlers.is_stopping() {
                match self.accept_one(listener) {
                    Ok((stream, peer, Some(place))) => {
                        pause.reset();
                        self.start(stream, peer, place, tokens);
                    }
                    Ok((stream, _, None)) => {
                        // Counted before the peer can see it.
                        Counts::add(&self.handlers.counts.refused);
                        drop(stream);
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

    /// Waits for a connection, and before that for room if it is to wait.
    fn accept_one(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, Option<Place>)> {
        let reserve = || self.handlers.reserve().map_err(Cancelled::into_io);
        match self.when_full {
            WhenFull::Refuse => {
                let (stream, peer) = listener.accept()?;
                Ok((stream, peer, self.handlers.try_reserve()))
            }
            WhenFull::Wait => {
                // Of several, one without connections must not sit on a place.
                if self.listeners.len() > 1 && self.handlers.most() != usize::MAX {
                    listener.await_connection()?;
                }
                let place = reserve()?;
                let (stream, peer) = listener.accept()?;
                Ok((stream, peer, Some(place)))
            }
        }
    }

    fn start(&self, stream: TcpStream, peer: SocketAddr, mut place: Place, tokens: &Tokens) {
        place.serve(peer);
        let handler = Arc::clone(&self.handler);
        let run = move || {
            let counts = &place.begin().counts;
            Counts::add(&counts.accepted);
            // The stream is closed before the place is free.
            match catch_unwind(AssertUnwindSafe(|| handler.handle(stream, peer))) {
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

/// The workers of the caller's runtime, or of the global one, round and round, beginning with the
/// one after the caller's own.
fn other_workers() -> io::Result<impl Iterator<Item = usize>> {
    let runtime = match RuntimeHandle::current() {
        Some(runtime) => runtime,
        None => RuntimeHandle::global()?,
    };
    let workers = runtime.workers();
    let first = coroutine::worker().map_or(0, |own| own + 1);
    Ok((first..).map(move |index| index % workers))
}

impl<H> fmt::Debug for TcpServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpServer")
            .field("listeners", &self.listeners)
            .field("when_full", &self.when_full)
            .finish_non_exhaustive()
    }
}
