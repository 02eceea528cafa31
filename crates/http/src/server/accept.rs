//! Accepting connections, and ending.
//!
//! Shutting down is: no further connection is accepted; those that wait for another request
//! are closed; the others finish their request and say `Connection: close`; those that are left
//! at the deadline are cut off, and counted.
//!
//! A connection that was only just accepted waits for a request too, but its client has no way
//! to know that nobody will answer: it has a second for its first request.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::coroutine;
use ropewalk_rt::net::{TcpListener, TcpStream, ToSocketAddrs};
use ropewalk_rt::sync::{Condvar, Mutex};

use super::connection::{Connection, Notices};
use super::stage::{Stage, Waiting};
use super::{App, Config};

/// An HTTP server, bound to an address and not yet serving.
///
/// # Examples
///
/// ```
/// use ropewalk_http::{App, Client, Request, Server};
/// use std::time::Duration;
///
/// let server = Server::bind("127.0.0.1:0")?;
/// let url = format!("http://{}/", server.local_addr()?);
/// let handle = server.handle();
/// let app = App::new().get("/", |_: &mut Request| "hello");
/// let serving = ropewalk_rt::spawn(move || server.serve(app));
///
/// assert_eq!(Client::new().get(url.as_str()).send()?.text()?, "hello");
/// handle.shutdown(Duration::from_secs(5)).unwrap();
/// serving.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    config: Config,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stage: Stage,
    /// Stands over each wait for a connection, while there is one who accepts.
    ///
    /// The socket itself is not shut down: another process may accept from it too.
    accept: Mutex<Option<Token>>,
    connections: Mutex<Connections>,
    /// Told when a connection ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    open: HashMap<u64, Arc<Open>>,
    next: u64,
    accepting: bool,
    /// The deadline of a shutdown has passed: nobody waits for those that are left.
    given_up: bool,
}

/// How long a connection without a request is waited for when the server ends.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);

/// A connection that is being served.
#[derive(Debug)]
struct Open {
    stream: TcpStream,
    state: Waiting,
}

impl Server {
    /// Binds to an address; port 0 takes a free one. `Server::from` makes one of a
    /// [`TcpListener`], such as a prefork worker's.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Server> {
        TcpListener::bind(addr).map(Server::from)
    }

    /// With other limits and deadlines.
    pub fn config(mut self, config: Config) -> Server {
        self.config = config;
        self
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What shuts it down, from anywhere.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Accepts and serves, a coroutine for each connection, until a [`Handle`] shuts the
    /// server down and its connections have ended, or were cut off.
    ///
    /// Running out of descriptors or memory does not end it: accepting goes on after a pause
    /// of 5 ms that doubles up to a second.
    ///
    /// # Errors
    ///
    /// When the listener itself is broken; when the caller is cancelled, and its connections
    /// with it.
    pub fn serve(self, app: App) -> io::Result<()> {
        let Server {
            listener,
            config,
            shared,
        } = self;
        let (app, config) = (Arc::new(app), Arc::new(config));
        let token = Token::new();
        *shared.accept.lock() = Some(token.clone());
        shared.connections.lock().accepting = true;
        let mut pause = Pause::default();
        let result = loop {
            if shared.stage.is_stopping() {
                break Ok(());
            }
            shared.await_room(config.connections_max);
            match token.run(|| listener.accept()) {
                Ok((stream, peer)) => {
                    pause.reset();
                    shared.spawn(stream, peer, &app, &config);
                }
                Err(_) if shared.stage.is_stopping() => break Ok(()),
                // The caller, and with it the connections.
                Err(error) if cancel::check().is_err() => break Err(error),
                Err(error) => match pause.after(&error) {
                    Some(duration) => coroutine::sleep(duration),
                    None if is_broken(&error) => break Err(error),
                    None => {}
                },
            }
        };
        shared.accept.lock().take();
        drop(listener);
        let mut connections = shared.connections.lock();
        connections.accepting = false;
        if cancel::check().is_err() {
            connections.cut_off();
        }
        shared.ended.notify_all();
        shared.ended.wait_while(&mut connections, |connections| {
            !connections.open.is_empty() && !connections.given_up
        });
        result
    }
}

impl Connections {
    /// Ends every read and write of every connection.
    fn cut_off(&self) {
        for open in self.open.values() {
            let _ = open.stream.shutdown(Shutdown::Both);
        }
    }
}

impl From<TcpListener> for Server {
    fn from(listener: TcpListener) -> Server {
        let shared = Arc::new(Shared {
            stage: Stage::default(),
            accept: Mutex::new(None),
            connections: Mutex::new(Connections::default()),
            ended: Condvar::new(),
        });
        Server {
            listener,
            config: Config::default(),
            shared,
        }
    }
}

impl Shared {
    fn await_room(&self, most: usize) {
        let mut connections = self.connections.lock();
        self.ended.wait_while(&mut connections, |connections| {
            connections.open.len() >= most && !self.stage.is_stopping()
        });
    }

    fn spawn(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        app: &Arc<App>,
        config: &Arc<Config>,
    ) {
        // It fails only for a connection that is gone already.
        let _ = stream.set_nodelay(true);
        let open = Arc::new(Open {
            stream,
            state: Waiting::default(),
        });
        let number = {
            let mut connections = self.connections.lock();
            connections.next += 1;
            let number = connections.next;
            connections.open.insert(number, Arc::clone(&open));
            number
        };
        let (shared, app, config) = (Arc::clone(self), Arc::clone(app), Arc::clone(config));
        coroutine::spawn(move || {
            let counted = Counted {
                shared: &shared,
                open: Some(open),
                number,
            };
            let Some(open) = counted.open.as_deref() else {
                return;
            };
            let notices = Notices {
                stage: &shared.stage,
                waiting: &open.state,
            };
            Connection::new(&open.stream, Some(peer), &app, &config, notices).run();
        });
    }

    /// Closes the connections that wait for a request and need not any longer.
    fn close_idle(&self) {
        for open in self.connections.lock().open.values() {
            if open.state.is_over(&self.stage) {
                // What came before this is still read, and answered.
                let _ = open.stream.shutdown(Shutdown::Read);
            }
        }
    }
}

/// Takes a connection off the list, whatever ends it.
struct Counted<'a> {
    shared: &'a Shared,
    open: Option<Arc<Open>>,
    number: u64,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        // The list has the last of the two, so that its descriptor is closed before anyone
        // can see that the connection is off the list.
        self.open = None;
        let mut connections = self.shared.connections.lock();
        drop(connections.open.remove(&self.number));
        drop(connections);
        self.shared.ended.notify_all();
    }
}

/// How long to wait after a failed accept.
#[derive(Default)]
struct Pause {
    ms: u64,
    told: bool,
}

impl Pause {
    fn reset(&mut self) {
        self.ms = 0;
    }

    /// `None` if the next accept may come at once.
    fn after(&mut self, error: &io::Error) -> Option<Duration> {
        use rustix::io::Errno;
        // What concerns one connection only.
        if matches!(
            Errno::from_io_error(error),
            Some(Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::PERM)
        ) || is_broken(error)
        {
            return None;
        }
        if !std::mem::replace(&mut self.told, true) {
            eprintln!("ropewalk: accepting failed ({error}); the server goes on");
        }
        self.ms = (self.ms * 2).clamp(5, 1000);
        Some(Duration::from_millis(self.ms))
    }
}

/// Says whether no accept on this listener can ever succeed.
fn is_broken(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP | Errno::FAULT)
    )
}

/// Shuts a server down; clone it as needed.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// Connections that had to be cut off at the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// How many.
    pub connections: usize,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections were still busy at the deadline, and cut off",
            self.connections
        )
    }
}

impl std::error::Error for Unfinished {}

impl Handle {
    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().open.len()
    }

    /// Stops accepting, lets requests under way finish for `patience` at most, and returns
    /// when no connection is left.
    ///
    /// # Errors
    ///
    /// How many were cut off. A handler that doesn't use its connection may run on.
    pub fn shutdown(&self, patience: Duration) -> Result<(), Unfinished> {
        let shared = &self.shared;
        shared.stage.stop();
        if let Some(token) = &*shared.accept.lock() {
            // The accept fails then, and finds `stopping` set.
            token.cancel();
        }
        shared.ended.notify_all();
        shared.close_idle();
        let deadline = Instant::now() + patience;
        let first_requests_until = deadline.min(Instant::now() + FIRST_REQUEST_GRACE);
        let mut until = first_requests_until;
        let mut connections = shared.connections.lock();
        while connections.accepting || !connections.open.is_empty() {
            if shared.ended.wait_until(&mut connections, until).timed_out() {
                if until == deadline {
                    break;
                }
                until = deadline;
                shared.stage.end_first_requests();
            } else if connections.accepting {
                continue;
            }
            // One may have been accepted while the stop was on its way.
            drop(connections);
            shared.close_idle();
            connections = shared.connections.lock();
        }
        let left = connections.open.len();
        connections.cut_off();
        connections.given_up = true;
        drop(connections);
        shared.ended.notify_all();
        if left == 0 {
            Ok(())
        } else {
            Err(Unfinished { connections: left })
        }
    }
}
