//! The client's one error: what went wrong (`Cause`), how far the call had come (`Phase`), the URL
//! and the error underneath.
//!
//! Cause and phase are kept apart because callers ask two different questions: *whose fault is it*
//! (ours, the peer's, the clock's) and *can the server have seen the request*.

use std::fmt;
use std::io;

use url::Url;

/// Why a call failed; opaque, asked through its predicates.
///
/// The text is one line and names the URL (without its password), the host and the address, and,
/// where there is one, the remedy. It includes the text of [`source`](std::error::Error::source),
/// which is there to be downcast rather than printed again.
pub struct Error(Box<Inner>);

struct Inner {
    cause: Cause,
    phase: Phase,
    url: Option<Url>,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Whose fault, or what kind of fault, it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The caller's URL.
    Url,
    /// The caller's request: a header, the method, the body.
    Request,
    /// The name has no address.
    Dns,
    /// The operating system refused: unreachable, out of descriptors.
    Io,
    /// Certificate or TLS protocol.
    Tls,
    /// A deadline passed.
    Timeout,
    /// Too many redirects, or one that can't be followed.
    Redirect,
    /// The peer broke HTTP.
    Protocol,
    /// The peer went away in the middle.
    Closed,
    /// A limit set on this client was exceeded.
    Limit,
}

/// How far the call had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Building the request; nothing has been sent.
    Prepare,
    /// Waiting for a free connection, resolving, connecting or shaking hands: nothing has been sent.
    Connect,
    /// Sending the request.
    Send,
    /// Waiting for the head of the response.
    Head,
    /// Reading the body of the response.
    Body,
}

impl Error {
    pub(crate) fn new(cause: Cause, phase: Phase, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            cause,
            phase,
            url: None,
            message: message.into(),
            source: None,
        }))
    }

    /// Wraps an I/O error met while doing `what` ("reading the response head").
    pub(crate) fn io(phase: Phase, what: &str, err: io::Error) -> Error {
        let cause = cause_of(&err);
        let message = match cause {
            Cause::Timeout => format!("timed out while {what}: {err}"),
            Cause::Closed => format!("the connection was closed while {what}: {err}"),
            _ => format!("failed while {what}: {err}{}", remedy(&err)),
        };
        Error::new(cause, phase, message).with_source(err)
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Adds the URL unless one is known already.
    pub(crate) fn with_url(mut self, url: &Url) -> Error {
        if self.0.url.is_none() {
            self.0.url = Some(url.clone());
        }
        self
    }

    pub(crate) fn cause(&self) -> Cause {
        self.0.cause
    }

    /// Tells whether a deadline passed: the call's, the connect's or the read's.
    pub fn is_timeout(&self) -> bool {
        self.0.cause == Cause::Timeout
    }

    /// Tells whether no usable connection came about (no free one in time, name not found, refused,
    /// unreachable, handshake failed). The server has seen nothing of the request, so it is safe to
    /// send again.
    pub fn is_connect(&self) -> bool {
        self.0.phase == Phase::Connect
    }

    /// Tells whether the host name could not be resolved.
    pub fn is_dns(&self) -> bool {
        self.0.cause == Cause::Dns
    }

    /// Tells whether TLS failed: an untrusted, expired or foreign certificate, or a broken handshake.
    pub fn is_tls(&self) -> bool {
        self.0.cause == Cause::Tls
    }

    /// Tells whether a redirect could not be followed: too many, a loop, a bad `Location`.
    pub fn is_redirect(&self) -> bool {
        self.0.cause == Cause::Redirect
    }

    /// Tells whether the head of the response had arrived and reading its body failed.
    pub fn is_body(&self) -> bool {
        self.0.phase == Phase::Body
    }

    /// Tells whether the peer broke the rules of HTTP.
    pub fn is_protocol(&self) -> bool {
        self.0.cause == Cause::Protocol
    }

    /// Tells whether the request was wrong before anything was sent (a bad header, method or URL) or
    /// the body the caller gave failed to be read: the caller's fault.
    pub fn is_request(&self) -> bool {
        matches!(self.0.cause, Cause::Request | Cause::Url)
    }

    /// Tells whether the URL was malformed or of a scheme this client doesn't speak: the caller's
    /// fault. Such an error is also [`is_request`](Error::is_request).
    pub fn is_url(&self) -> bool {
        self.0.cause == Cause::Url
    }

    /// Tells whether the peer closed or reset the connection before the response was complete.
    pub fn is_closed(&self) -> bool {
        self.0.cause == Cause::Closed
    }

    /// Tells whether the response exceeded a limit of this client, such as
    /// [`body_bytes_max`](super::ClientBuilder::body_bytes_max).
    pub fn is_limit(&self) -> bool {
        self.0.cause == Cause::Limit
    }

    /// Returns the URL of the failed exchange (after redirects, without user name and password), if
    /// it could be parsed.
    pub fn url(&self) -> Option<&Url> {
        self.0.url.as_ref()
    }
}

/// Sorts an I/O error into whose fault it is.
pub(crate) fn cause_of(err: &io::Error) -> Cause {
    #[cfg(feature = "tls")]
    if err.get_ref().is_some_and(|e| e.is::<rustls::Error>()) {
        return Cause::Tls;
    }
    match err.kind() {
        // A plain socket's receive timeout shows as `WouldBlock`.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Cause::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::WriteZero => Cause::Closed,
        _ => Cause::Io,
    }
}

/// Says what to do about the errors of the operating system that have a remedy.
pub(crate) fn remedy(err: &io::Error) -> &'static str {
    match err.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            "; raise the limit on open files (ulimit -n) or make fewer calls at once"
        }
        Some(libc::EADDRNOTAVAIL) => {
            "; no local port may be left: reuse one Client so that connections are kept alive"
        }
        _ => "",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.url {
            Some(url) => write!(f, "{url}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("cause", &self.0.cause)
            .field("phase", &self.0.phase)
            .field("url", &self.0.url.as_ref().map(Url::as_str))
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| &**e as _)
    }
}

/// Keeps the meaning in the kind: `TimedOut`, `UnexpectedEof`, `InvalidData`, `InvalidInput`,
/// `Other`. The error itself stays inside and can be downcast out again.
impl From<Error> for io::Error {
    fn from(err: Error) -> io::Error {
        let kind = match err.cause() {
            Cause::Timeout => io::ErrorKind::TimedOut,
            Cause::Closed => io::ErrorKind::UnexpectedEof,
            Cause::Protocol | Cause::Tls | Cause::Limit => io::ErrorKind::InvalidData,
            Cause::Url | Cause::Request => io::ErrorKind::InvalidInput,
            Cause::Dns | Cause::Io | Cause::Redirect => io::ErrorKind::Other,
        };
        io::Error::new(kind, err)
    }
}
