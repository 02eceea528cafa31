//! What a handler is given.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::HeaderMap;
use http::{Method, Uri, Version};

use ropewalk_rt::cancel::Token;
use ropewalk_rt::coroutine::{self, ScopedJoinHandle};
use ropewalk_rt::net::TcpStream;

use super::body::RequestBody;
use crate::codec::RequestHead;

/// A request, for as long as its handler runs.
pub struct Request<'c> {
    pub(super) head: &'c RequestHead,
    pub(super) params: Params<'c>,
    pub(super) body: RequestBody<'c>,
    pub(super) peer: Option<SocketAddr>,
    headers: OnceCell<HeaderMap>,
}

/// The client went away while its handler ran; holds what the handler's closure returned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientGone<T = ()>(T);

impl<T> ClientGone<T> {
    /// What the closure returned after its wait was ended.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for ClientGone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientGone(..)")
    }
}

impl<T> fmt::Display for ClientGone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client went away")
    }
}

impl<T> std::error::Error for ClientGone<T> {}

/// Stops watching when it is dropped, also by a panic.
struct Watcher<'scope>(ScopedJoinHandle<'scope, ()>);

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Waits until the client closes its side or sends something; says whether it was the first.
fn has_gone(stream: &TcpStream) -> bool {
    loop {
        match stream.peek(&mut [0]) {
            Ok(received) => return received == 0,
            // The server's deadline for the next request; or we are stopped, and see it next.
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return true,
            Err(_) => return false,
        }
        if ropewalk_rt::cancel::check().is_err() {
            return false;
        }
    }
}

/// What the route's `{name}`s stand for.
pub(super) enum Params<'c> {
    None,
    /// Nothing in the path is percent-encoded.
    Plain(matchit::Params<'c, 'c>),
    Decoded(Vec<(String, String)>),
}

impl<'c> Params<'c> {
    pub(super) fn new(params: matchit::Params<'c, 'c>, path: &str) -> Params<'c> {
        if params.is_empty() {
            return Params::None;
        }
        if !path.contains('%') {
            return Params::Plain(params);
        }
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        Params::Decoded(
            params
                .iter()
                .map(|(name, value)| (name.into(), decode(value)))
                .collect(),
        )
    }
}

impl<'c> Request<'c> {
    pub(super) fn new(
        head: &'c RequestHead,
        body: RequestBody<'c>,
        peer: Option<SocketAddr>,
    ) -> Request<'c> {
        Request {
            head,
            params: Params::None,
            body,
            peer,
            headers: OnceCell::new(),
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The path, still percent-encoded.
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// What stands behind the `?`, still percent-encoded.
    pub fn query(&self) -> Option<&str> {
        self.head.query()
    }

    /// The value of the first `name` in the query, decoded as forms are.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.query()?;
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(own, value)| (own == name).then_some(value))
    }

    /// The target as it was sent: a path with a query, mostly.
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The target as a URI.
    pub fn uri(&self) -> Uri {
        self.head.uri()
    }

    /// The version of HTTP: 1.0 or 1.1.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The host that is asked for, perhaps with a port.
    pub fn host(&self) -> Option<&str> {
        self.head.host()
    }

    /// The value of the first header with this name, in any case; `None` also if it isn't
    /// UTF-8. Costs less than [`headers`](Self::headers).
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head.fields.find(name)?).ok()
    }

    /// The headers as a map, made when first asked for.
    pub fn headers(&self) -> &HeaderMap {
        self.headers.get_or_init(|| self.head.headers())
    }

    /// What `{name}` of the route stands for, percent-decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        match &self.params {
            Params::None => None,
            Params::Plain(params) => params.get(name),
            Params::Decoded(params) => params
                .iter()
                .find_map(|(own, value)| (own == name).then_some(value.as_str())),
        }
    }

    /// The client's address; `None` in tests without a network.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Runs `f` for as long as the client is there: when it closes its connection, what waits in
    /// `f` is [cancelled](ropewalk_rt::cancel).
    ///
    /// What is to be sent before is sent first. Read the body before: data that the client has
    /// sent ahead, a next request too, hides its going away.
    ///
    /// # Errors
    ///
    /// [`ClientGone`], with what `f` returned, if the client has gone.
    pub fn while_connected<T>(&mut self, f: impl FnOnce() -> T) -> Result<T, ClientGone<T>> {
        let Some(stream) = self.body.wire.socket() else {
            return Ok(f());
        };
        let token = Token::new();
        let gone = AtomicBool::new(false);
        let value = coroutine::scope(|s| {
            let _watcher = Watcher(s.spawn(|| {
                if has_gone(stream) {
                    gone.store(true, Ordering::SeqCst);
                    token.cancel();
                }
            }));
            token.run(f)
        });
        if gone.load(Ordering::SeqCst) {
            Err(ClientGone(value))
        } else {
            Ok(value)
        }
    }

    /// Says whether the client asks to upgrade the connection.
    pub fn wants_upgrade(&self) -> bool {
        self.head.upgrade
    }

    /// The body, to be read.
    pub fn body(&mut self) -> &mut RequestBody<'c> {
        &mut self.body
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    ///
    /// As [`RequestBody`].
    pub fn read_body(&mut self) -> io::Result<Vec<u8>> {
        // What the client announces is not believed beyond a page: it may never come.
        let ahead = self
            .body
            .left()
            .map_or(0, |left| left.min(64 << 10) as usize);
        let mut bytes = Vec::with_capacity(ahead);
        self.body.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the body to its end, as text.
    ///
    /// # Errors
    ///
    /// As [`RequestBody`]; `InvalidData` if it isn't UTF-8.
    pub fn read_text(&mut self) -> io::Result<String> {
        String::from_utf8(self.read_body()?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the body is not UTF-8"))
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("target", &self.target())
            .field("headers", self.headers())
            .finish_non_exhaustive()
    }
}
