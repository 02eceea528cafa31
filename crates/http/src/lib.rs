//! HTTP/1.1 for Ropewalk: one strict codec, a client and a server.
//!
//! Everything here blocks the caller; in a coroutine, only the coroutine waits. So a handler,
//! the reading of a body and a streamed answer are plain calls, one after another.
//!
//! ```no_run
//! use ropewalk_http::{App, Request, Server};
//!
//! fn hello(request: &mut Request) -> String {
//!     format!("Hello, {}!\n", request.param("name").unwrap_or("world"))
//! }
//!
//! let app = App::new().get("/", hello).get("/{name}", hello);
//! Server::bind("127.0.0.1:8080")?.serve(app)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`codec`] | heads and bodies, without I/O; strict |
//! | [`client`] | requests, pools, redirects, TLS |
//! | [`server`] | routes, handlers, connections, the end of it all |
//! | [`files`] | static files: paths, types, ranges, conditions |
#![forbid(unsafe_code)]

pub mod client;
pub mod codec;
pub mod files;
pub mod server;

pub use client::Client;
pub use server::{App, IntoResponse, Request, Response, Server};

pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
