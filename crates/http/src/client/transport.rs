//! From an origin to a stream that bytes of HTTP go over: resolving, connecting, TLS.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;

use ropewalk_rt::time::{Duration, Instant};
use ropewalk_rt::{channel, coroutine, net};

use super::error::{Cause, Error, Phase, cause_of, remedy};
use super::socket::{Pending, Socket, TimeLimits};
use super::target::Origin;
#[cfg(feature = "tls")]
use super::tls::{self, TlsStream};

/// A connected stream, plain or encrypted.
pub(crate) enum Transport {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

/// What connecting needs to know besides the origin.
pub(crate) struct Connector {
    /// For name, connection and handshake together.
    pub(crate) timeout: Option<Duration>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Arc<rustls::ClientConfig>,
}

impl Connector {
    #[cfg(feature = "tls")]
    pub(crate) fn new(timeout: Option<Duration>, roots: &[Vec<u8>]) -> Result<Connector, Error> {
        Ok(Connector {
            timeout,
            tls: tls::config(roots)?,
        })
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn new(timeout: Option<Duration>) -> Connector {
        Connector { timeout }
    }

    /// Connects to `origin`, trying all its addresses in turn, and shakes hands if it is https.
    pub(crate) fn connect(&self, origin: &Origin, call: TimeLimits) -> Result<Transport, Error> {
        let limits = match self.timeout {
            // The sum overflows only for timeouts that mean "never".
            Some(timeout) => match Instant::now().checked_add(timeout) {
                Some(by) => call.no_later_than(by),
                None => call,
            },
            None => call,
        };
        let addresses = resolve(origin, limits)?;
        #[cfg_attr(not(feature = "tls"), expect(unused_mut))]
        let mut socket = connect_any(origin, &addresses, limits)?;
        #[cfg(feature = "tls")]
        if origin.tls {
            socket.set_limits(limits);
            let stream = TlsStream::connect(&self.tls, &origin.host, socket)?;
            return Ok(Transport::Tls(Box::new(stream)));
        }
        Ok(Transport::Plain(socket))
    }
}

/// Finds the addresses of the origin's host, in the order the name service gives them.
fn resolve(origin: &Origin, limits: TimeLimits) -> Result<Vec<SocketAddr>, Error> {
    if let Some(ip) = origin.ip() {
        return Ok(vec![SocketAddr::new(ip, origin.port)]);
    }
    let timed_out = |elapsed| {
        let message = format!("timed out while resolving the host name {:?}", origin.host);
        Error::new(Cause::Timeout, Phase::Connect, message).with_source(io::Error::from(elapsed))
    };
    let found = match limits.left().map_err(timed_out)? {
        None => lookup(origin),
        Some(left) => {
            // The name service can't be interrupted and may take longer than this call has: a
            // coroutine of its own waits for it, and is left behind if it comes too late.
            let (sender, receiver) = channel::bounded(1);
            let asked = origin.clone();
            coroutine::spawn(move || {
                // Nobody receives after a timeout.
                let _ = sender.send(lookup(&asked));
            });
            match receiver.recv_timeout(left) {
                Ok(found) => found,
                Err(_) => {
                    limits.left().map_err(timed_out)?;
                    Err(io::Error::other("the lookup was abandoned"))
                }
            }
        }
    };
    let host = &origin.host;
    let addresses = found.map_err(|e| {
        let message = format!("could not resolve the host name {host:?}: {e}");
        Error::new(Cause::Dns, Phase::Connect, message).with_source(e)
    })?;
    if addresses.is_empty() {
        let message = format!("the host name {host:?} has no address");
        return Err(Error::new(Cause::Dns, Phase::Connect, message));
    }
    Ok(addresses)
}

fn lookup(origin: &Origin) -> io::Result<Vec<SocketAddr>> {
    Ok(net::lookup_host((&*origin.host, origin.port))?.collect())
}

/// Tries one address after the other. Each gets an equal share of the time that is left, so that a
/// first one that swallows packets doesn't use it all up.
fn connect_any(
    origin: &Origin,
    addresses: &[SocketAddr],
    limits: TimeLimits,
) -> Result<Socket, Error> {
    let mut failures = Vec::new();
    for (tried, &address) in addresses.iter().enumerate() {
        let left = match limits.left() {
            Ok(left) => left,
            Err(elapsed) => {
                failures.push((address, io::Error::from(elapsed)));
                break;
            }
        };
        let share = left.map(|left| {
            let share = left / (addresses.len() - tried).min(64) as u32;
            share.max(Duration::from_millis(1))
        });
        let connected = match share {
            Some(share) => net::TcpStream::connect_timeout(&address, share),
            None => net::TcpStream::connect(address),
        };
        match connected.and_then(|tcp| Socket::new(tcp, address)) {
            Ok(socket) => return Ok(socket),
            Err(e) => failures.push((address, e)),
        }
    }
    Err(explain(origin, failures))
}

/// Makes one error of the failures of all addresses.
fn explain(origin: &Origin, failures: Vec<(SocketAddr, io::Error)>) -> Error {
    let all_timed_out = failures.iter().all(|(_, e)| cause_of(e) == Cause::Timeout);
    let cause = if all_timed_out {
        Cause::Timeout
    } else {
        Cause::Io
    };
    let mut message = match cause {
        Cause::Timeout => format!("timed out while connecting to {origin}"),
        _ => format!("could not connect to {origin}"),
    };
    let mut hint = "";
    for (i, (address, e)) in failures.iter().enumerate() {
        message.push_str(if i == 0 { " (" } else { "; " });
        message.push_str(&format!("{address}: {e}"));
        hint = if hint.is_empty() { remedy(e) } else { hint };
    }
    if !failures.is_empty() {
        message.push(')');
    }
    message.push_str(hint);
    let error = Error::new(cause, Phase::Connect, message);
    match failures.into_iter().next_back() {
        Some((_, e)) => error.with_source(e),
        None => error,
    }
}

impl Transport {
    fn socket(&self) -> &Socket {
        match self {
            Transport::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.socket(),
        }
    }

    fn socket_mut(&mut self) -> &mut Socket {
        match self {
            Transport::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.socket_mut(),
        }
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.socket().remote()
    }

    pub(crate) fn limits(&self) -> TimeLimits {
        self.socket().limits()
    }

    /// Sets the limits of all further reads and writes.
    pub(crate) fn set_limits(&mut self, limits: TimeLimits) {
        self.socket_mut().set_limits(limits);
    }

    /// Looks, without waiting, whether there is something to read.
    pub(crate) fn pending(&mut self) -> Pending {
        match self {
            Transport::Plain(socket) => socket.pending(),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.pending(),
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read(buf),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.write(buf),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.flush(),
        }
    }
}
