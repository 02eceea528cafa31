//! Names to addresses, without blocking a worker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Arc, LazyLock};
use std::vec;

use ropewalk_kernel::blocking;
use ropewalk_kernel::cancel::Cancelled;

use crate::JoinError;
use crate::promise::promise;
use crate::sync::Semaphore;

/// What can be turned into socket addresses; mirrors [`std::net::ToSocketAddrs`], for the
/// same types.
///
/// Names are looked up by the system (`getaddrinfo`), on a thread of the blocking pool: a
/// cancellation point. The system's call itself can't be ended: it goes on in the
/// background, its result is dropped, and until its end it is one of the 128 look-ups that
/// run at a time; further ones wait, which is a cancellation point too. Addresses in numbers
/// are not looked up at all.
pub trait ToSocketAddrs {
    /// Gives the addresses, in the system's order.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for text that is no `host:port`; `TimedOut` if the caller's deadline
    /// ended the wait; else the look-up's failure.
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>>;

    /// Gives the first of the addresses; without an allocation where it is one already.
    ///
    /// # Errors
    ///
    /// As [`to_socket_addrs`](Self::to_socket_addrs).
    #[doc(hidden)]
    fn first_socket_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.to_socket_addrs().map(|mut addrs| addrs.next())
    }
}

/// Looks up the addresses of a host.
///
/// # Errors
///
/// As [`ToSocketAddrs::to_socket_addrs`].
///
/// # Examples
///
/// ```
/// let mut addrs = ropewalk_rt::net::lookup_host(("127.0.0.1", 80))?;
/// assert_eq!(addrs.next().unwrap().port(), 80);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// With a time limit:
///
/// ```no_run
/// use ropewalk_rt::{cancel, net::lookup_host};
/// use std::time::Duration;
///
/// match cancel::timeout(Duration::from_secs(2), || lookup_host("example.com:80")) {
///     Ok(Ok(addrs)) => println!("{:?}", addrs.collect::<Vec<_>>()),
///     Ok(Err(error)) => println!("{error}"),
///     Err(_) => println!("no answer in time"),
/// }
/// ```
pub fn lookup_host<A: ToSocketAddrs>(host: A) -> io::Result<vec::IntoIter<SocketAddr>> {
    host.to_socket_addrs()
}

fn one(addr: impl Into<SocketAddr>) -> io::Result<vec::IntoIter<SocketAddr>> {
    Ok(vec![addr.into()].into_iter())
}

fn look_up(host: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return one((ip, port));
    }
    let permit = LOOKUPS.acquire_owned().map_err(Cancelled::into_io)?;
    let (promise, handle) = promise();
    let name = host.to_owned();
    blocking::detach(move || {
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port));
        drop(permit);
        // Refused if nobody waits any more.
        let _ = promise.set(found);
    });
    match handle.join() {
        Ok(found) => found
            .map_err(|error| io::Error::new(error.kind(), format!("looking up {host}: {error}"))),
        Err(JoinError::WaitCancelled) => Err(Cancelled::current().into_io()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

/// How many look-ups run at a time, those included that nobody waits for any more: it keeps
/// names that are slow to fail from taking all the threads of the pool.
const LOOKUPS_MAX: usize = 128;

static LOOKUPS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LOOKUPS_MAX)));

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        if let Ok(addr) = self.parse::<SocketAddr>() {
            return one(addr);
        }
        let invalid = |what: &str| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{self:?} {what}: use host:port"),
            )
        };
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("has no port"))?;
        let port = port
            .parse()
            .map_err(|_| invalid("has no port number from 0 to 65535"))?;
        look_up(host, port)
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        look_up(self.0, self.1)
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        look_up(&self.0, self.1)
    }
}

impl ToSocketAddrs for &[SocketAddr] {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        Ok(Vec::from(*self).into_iter())
    }
}

impl<A: ToSocketAddrs + ?Sized> ToSocketAddrs for &A {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (**self).to_socket_addrs()
    }

    fn first_socket_addr(&self) -> io::Result<Option<SocketAddr>> {
        (**self).first_socket_addr()
    }
}

macro_rules! addresses {
    ($($t:ty),+ $(,)?) => {$(
        impl ToSocketAddrs for $t {
            fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
                one(*self)
            }

            fn first_socket_addr(&self) -> io::Result<Option<SocketAddr>> {
                Ok(Some((*self).into()))
            }
        }
    )+};
}

addresses! {
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16),
}
