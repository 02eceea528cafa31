//! The settings of a client and how they are made.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ropewalk_rt::time::Duration;

use super::Client;
use super::error::{Cause, Error, Phase};
use super::pool::{Bounds, Pool};
use super::transport::Connector;

/// Makes a [`Client`]; from [`Client::builder`].
#[derive(Debug)]
pub struct ClientBuilder {
    settings: Settings,
    bounds: Bounds,
    connect_timeout: Option<Duration>,
    #[cfg(feature = "tls")]
    roots: Vec<Vec<u8>>,
    /// The first mistake; `build` returns it.
    error: Option<Error>,
}

/// What a call looks up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) timeout: Option<Duration>,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) redirects_max: u32,
    pub(crate) body_bytes_max: Option<u64>,
    pub(crate) expect_continue: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) limits: crate::codec::Limits,
}

/// A client with these settings.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) connector: Connector,
    pub(crate) pool: Arc<Pool<super::connection::Connection>>,
}

impl ClientBuilder {
    pub(crate) fn new() -> ClientBuilder {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("ropewalk/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        ClientBuilder {
            settings: Settings {
                timeout: Some(Duration::from_secs(30)),
                read_timeout: None,
                redirects_max: 10,
                body_bytes_max: None,
                expect_continue: false,
                headers,
                limits: crate::codec::Limits::default(),
            },
            bounds: Bounds {
                idle_per_host_max: 32,
                idle_max: 1024,
                idle_timeout: Duration::from_secs(90),
                connections_per_host_max: None,
            },
            connect_timeout: Some(Duration::from_secs(10)),
            #[cfg(feature = "tls")]
            roots: Vec::new(),
            error: None,
        }
    }

    /// Limits a whole call, from `send` to the last byte of the body, with waiting for a connection,
    /// all redirects and retries in between. 30 s by default; `None` for no limit.
    /// [`RequestBuilder::timeout`](super::RequestBuilder::timeout) overrides it for one call.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.timeout = timeout.into();
        self
    }

    /// Limits resolving, connecting and the TLS handshake together. 10 s by default. The addresses of
    /// a host are tried in turn, each for its share of that time.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = timeout.into();
        self
    }

    /// Limits the silence of the peer: how long one read may bring nothing, or one write go nowhere.
    /// No limit by default, other than that of the whole call.
    pub fn read_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.read_timeout = timeout.into();
        self
    }

    /// Follows at most this many redirects a call; one more is an error. 10 by default; with 0 none
    /// is followed, and the redirecting response is returned as it is.
    ///
    /// `Authorization`, `Cookie`, `Proxy-Authorization` and an explicit `Host` are dropped when a
    /// redirect leaves the origin (scheme, host and port). A redirect from https to http is followed,
    /// without them.
    pub fn redirects_max(mut self, redirects_max: u32) -> Self {
        self.settings.redirects_max = redirects_max;
        self
    }

    /// Keeps at most this many unused connections open for each scheme, host and port. 32 by default;
    /// with 0 every connection is closed after its response.
    pub fn pool_idle_per_host_max(mut self, idle_per_host_max: usize) -> Self {
        self.bounds.idle_per_host_max = idle_per_host_max;
        self
    }

    /// Keeps at most this many unused connections open in all; the longest unused goes first. 1024 by
    /// default.
    pub fn pool_idle_max(mut self, idle_max: usize) -> Self {
        self.bounds.idle_max = idle_max;
        self
    }

    /// Closes connections unused for this long, at the client's next call. 90 s by default.
    pub fn pool_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.bounds.idle_timeout = idle_timeout;
        self
    }

    /// Opens at most this many connections for each scheme, host and port; further calls wait for a
    /// free one, first come first served, within their timeout. Unlimited by default.
    ///
    /// A [`Response`](super::Response) holds its connection until it is read to its end or dropped.
    pub fn connections_per_host_max(mut self, connections_max: impl Into<Option<usize>>) -> Self {
        self.bounds.connections_per_host_max = connections_max.into();
        self
    }

    /// Fails reading a response whose body is longer than this. Unlimited by default.
    pub fn body_bytes_max(mut self, bytes_max: impl Into<Option<u64>>) -> Self {
        self.settings.body_bytes_max = bytes_max.into();
        self
    }

    /// Asks with `Expect: 100-continue` before sending a body, and sends it once the server agrees or
    /// has said nothing for a second. Off by default. Saves sending a large body that is refused.
    pub fn expect_continue(mut self, expect_continue: bool) -> Self {
        self.settings.expect_continue = expect_continue;
        self
    }

    /// Sends this `User-Agent`; `ropewalk/` and the version by default.
    pub fn user_agent(self, user_agent: &str) -> Self {
        self.default_header(header::USER_AGENT, user_agent)
    }

    /// Sends this header with every request that doesn't set it itself. Replaces an earlier default
    /// of this name.
    pub fn default_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        match header_pair(name, value) {
            Ok((name, value)) => {
                self.settings.headers.insert(name, value);
            }
            Err(e) => self.error = self.error.or(Some(e)),
        }
        self
    }

    /// Trusts this certificate authority too, beside Mozilla's: a certificate in DER form.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(der.into());
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// A header that is not allowed ([`Error::is_request`]), a root certificate that can't be read
    /// ([`Error::is_tls`]), or a bound of no connections at all.
    pub fn build(self) -> Result<Client, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.bounds.connections_per_host_max == Some(0) {
            let message = "connections_per_host_max must be at least 1";
            return Err(Error::new(Cause::Request, Phase::Prepare, message));
        }
        for name in [
            header::HOST,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::EXPECT,
        ] {
            if self.settings.headers.contains_key(&name) {
                let message = format!("{name} can't be a default: it differs by request");
                return Err(Error::new(Cause::Request, Phase::Prepare, message));
            }
        }
        Ok(Client(Arc::new(Shared {
            settings: self.settings,
            #[cfg(feature = "tls")]
            connector: Connector::new(self.connect_timeout, &self.roots)?,
            #[cfg(not(feature = "tls"))]
            connector: Connector::new(self.connect_timeout),
            pool: Arc::new(Pool::new(self.bounds)),
        })))
    }
}

/// Converts what the caller gave as header; what is wrong with it is the caller's fault.
pub(crate) fn header_pair<N, V>(name: N, value: V) -> Result<(HeaderName, HeaderValue), Error>
where
    N: TryInto<HeaderName, Error: Into<http::Error>>,
    V: TryInto<HeaderValue, Error: Into<http::Error>>,
{
    let failed = |what: &str, e: http::Error| {
        Error::new(Cause::Request, Phase::Prepare, format!("{what}: {e}")).with_source(e)
    };
    let name = name
        .try_into()
        .map_err(|e| failed("not a header name", e.into()))?;
    let value = value.try_into().map_err(|e| {
        failed(
            &format!("the value of the header {name} is invalid"),
            e.into(),
        )
    })?;
    Ok((name, value))
}
