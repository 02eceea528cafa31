//! A request as the caller puts it together.

use std::fmt;

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ropewalk_rt::time::Duration;
use url::Url;

use super::body::Body;
use super::builder::header_pair;
use super::error::{Cause, Error, Phase};
use super::target;
use super::{Client, Response, call};

/// Puts a request together; from [`Client::get`] and its like. Nothing happens until
/// [`send`](RequestBuilder::send).
///
/// A mistake (a bad URL, a bad header) is kept and returned by `send`.
#[must_use = "nothing is sent until `send`"]
pub struct RequestBuilder {
    client: Client,
    request: Result<Request, Error>,
}

/// A request whose parts are valid by themselves.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Without user name and password.
    pub(crate) url: Url,
    /// User name and password of the URL.
    pub(crate) basic: Option<HeaderValue>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) timeout: Option<Duration>,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, url: &str) -> RequestBuilder {
        let timeout = client.0.settings.timeout;
        let request = target::parse(url).map(|mut url| Request {
            basic: target::take_userinfo(&mut url),
            method,
            url,
            headers: HeaderMap::new(),
            body: Body::empty(),
            timeout,
        });
        RequestBuilder { client, request }
    }

    fn change(mut self, change: impl FnOnce(&mut Request) -> Result<(), Error>) -> Self {
        if let Ok(request) = &mut self.request
            && let Err(e) = change(request)
        {
            self.request = Err(e.with_url(&request.url));
        }
        self
    }

    /// Adds a header. Several of one name are all sent; one the client has a default for replaces
    /// that.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.change(|request| {
            let (name, value) = header_pair(name, value)?;
            request.headers.append(name, value);
            Ok(())
        })
    }

    /// Adds all these headers.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.change(|request| {
            let mut last = None;
            for (name, value) in headers {
                last = name.or(last);
                if let Some(name) = &last {
                    request.headers.append(name, value);
                }
            }
            Ok(())
        })
    }

    /// Sets the body: bytes, text, or a [`Body`] made from a reader.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|request| {
            request.body = body.into();
            Ok(())
        })
    }

    /// Limits this call instead of [`ClientBuilder::timeout`](super::ClientBuilder::timeout);
    /// `None` for no limit.
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.change(|request| {
            request.timeout = timeout.into();
            Ok(())
        })
    }

    /// Sends the request and waits for the head of the final response, following redirects. Only
    /// the calling coroutine or thread waits.
    ///
    /// A status such as 404 or 500 is a response, not an error.
    ///
    /// # Errors
    /// See [`Error`]'s predicates.
    ///
    /// # Cancellation
    /// Ends as its reads and writes do; the connection is closed.
    pub fn send(self) -> Result<Response, Error> {
        let mut request = self.request?;
        let url = request.url.clone();
        check(&mut request)
            .and_then(|()| call::run(&self.client, request))
            .map_err(|e| e.with_url(&url))
    }
}

/// Refuses what would contradict the framing, and makes a header of user name and password.
fn check(request: &mut Request) -> Result<(), Error> {
    let refuse = |message: &str| Err(Error::new(Cause::Request, Phase::Prepare, message));
    if let Some(basic) = request.basic.take()
        && !request.headers.contains_key(header::AUTHORIZATION)
    {
        request.headers.insert(header::AUTHORIZATION, basic);
    }
    if request.method == Method::CONNECT {
        return refuse("CONNECT makes a tunnel, which this client does not do");
    }
    if request.headers.contains_key(header::TRANSFER_ENCODING) {
        return refuse("Transfer-Encoding is set by the client; use `Body::reader` for chunks");
    }
    if let Some(expect) = request.headers.get(header::EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return refuse("an Expect other than 100-continue");
    }
    if request
        .headers
        .get_all(header::HOST)
        .iter()
        .nth(1)
        .is_some()
    {
        return refuse("more than one Host");
    }
    // The client writes the length itself; one that agrees is what a copied header map brings.
    if let header::Entry::Occupied(given) = request.headers.entry(header::CONTENT_LENGTH) {
        let length = request.body.len().map(|n| n.to_string());
        if !given
            .iter()
            .all(|v| length.as_ref().is_some_and(|n| v == n.as_str()))
        {
            return refuse(
                "Content-Length differs from the body's length; leave it to the client, and give a \
                 reader's length with `Body::sized`",
            );
        }
        given.remove_entry_mult();
    }
    Ok(())
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.request {
            Ok(request) => f
                .debug_struct("RequestBuilder")
                .field("method", &request.method)
                .field("url", &request.url.as_str())
                .field("body", &request.body)
                .finish_non_exhaustive(),
            Err(e) => f.debug_tuple("RequestBuilder").field(e).finish(),
        }
    }
}
