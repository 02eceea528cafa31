//! The HTTP client: blocking calls that wait only their coroutine or thread.
//!
//! ```no_run
//! use ropewalk_http::client::Client;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new();
//! let response = client.get("https://example.com/").send()?;
//! println!("{} {}", response.status(), response.text()?);
//! # Ok(()) }
//! ```
//!
//! The way of a call: [`RequestBuilder::send`] checks the request; `call` runs it, with redirects and
//! the one retry; `pool` lends a connection, which `transport` has opened (`socket` below it enforces
//! the deadline, `tls` encrypts); `connection` speaks HTTP on it through the codec; [`Response`] reads
//! the body from the connection and gives it back to the pool at the end.
//!
//! # Timeouts
//! Every call has a deadline ([`ClientBuilder::timeout`], 30 s by default) that covers everything from
//! waiting for a free connection to the last byte of the body. Before each read and write the time
//! left is computed anew, so a server that drips a byte a second doesn't outlast it.
//!
//! # Connections
//! A connection whose response was read to the end is used again; before that, it is checked without
//! waiting. Should the server close it in the very moment the request goes out, an idempotent request
//! whose body can be sent again is repeated, once, on a fresh connection.
//!
//! # What it does not do
//! Cookies, content encodings, proxies and upgrades; caching. Request and response take turns: a
//! response that starts while the request body is still being sent ends the sending if it is an error
//! or a redirect, and waits otherwise.

mod body;
mod builder;
mod call;
mod connection;
mod error;
mod pool;
mod redirect;
mod request;
mod response;
mod socket;
mod target;
#[cfg(feature = "tls")]
mod tls;
mod transport;

use std::fmt;
use std::sync::{Arc, OnceLock};

use http::Method;

pub use body::Body;
pub use builder::ClientBuilder;
pub use error::Error;
pub use request::RequestBuilder;
pub use response::Response;

/// Makes requests and keeps connections alive between them.
///
/// Cheap to clone; clones share settings and connections. Make one and use it everywhere. The last
/// clone and the last response that go close the connections.
#[derive(Clone)]
pub struct Client(Arc<builder::Shared>);

impl Client {
    /// Makes a client with the defaults.
    ///
    /// # Panics
    /// Never: the defaults are valid.
    pub fn new() -> Client {
        Client::builder()
            .build()
            .expect("the default settings are valid")
    }

    /// Starts making a client with settings of its own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Starts a request of any method. A bad URL is reported by
    /// [`send`](RequestBuilder::send).
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url.as_ref())
    }

    /// Starts a GET request.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// Starts a HEAD request.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// Starts a POST request.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Starts a PUT request.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// Starts a PATCH request.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// Starts a DELETE request.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }
}

impl Default for Client {
    fn default() -> Client {
        Client::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// Gets a URL with a client that the whole program shares: the defaults, connections kept alive.
///
/// # Errors
/// As [`RequestBuilder::send`].
pub fn get(url: impl AsRef<str>) -> Result<Response, Error> {
    static SHARED: OnceLock<Client> = OnceLock::new();
    SHARED.get_or_init(Client::new).get(url).send()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_cross_threads() {
        fn is_send<T: Send>() {}
        fn is_sync<T: Sync>() {}
        is_send::<Client>();
        is_sync::<Client>();
        is_send::<RequestBuilder>();
        is_send::<Response>();
        is_send::<Error>();
        is_sync::<Error>();
    }
}
