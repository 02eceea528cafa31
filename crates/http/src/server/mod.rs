//! The server: routes, handlers, connections, and a clean end.
//!
//! # The way of one request
//!
//! [`Server::serve`] accepts, and gives each connection a coroutine. That coroutine reads
//! what has come, parses a head (`codec`), looks the path up ([`App`]) and calls the handler,
//! a plain function on the same stack. The handler may read the body: the bytes are taken
//! from the connection as it asks for them. What it returns is encoded behind the answers
//! that are still to be sent. When no complete request is left in what was read, all answers
//! leave in one write. So pipelined requests cost two system calls together.
//!
//! | file | what lives there |
//! |---|---|
//! | `app.rs` | routes and what is called for them |
//! | `request.rs`, `body.rs` | what a handler is given |
//! | `response.rs` | what a handler gives |
//! | `connection.rs` | the loop of one connection; deadlines, draining, closing |
//! | `answer.rs` | encoding a response |
//! | `accept.rs`, `stage.rs` | accepting, limits, shutting down |
//! | `date.rs` | the `Date` field |

mod accept;
mod answer;
mod app;
mod body;
mod connection;
mod date;
mod request;
mod response;
mod stage;

pub use accept::{Handle, Server, Unfinished};
pub use app::{App, Handler};
pub use body::RequestBody;
pub use request::{ClientGone, Request};
pub use response::{BodyWriter, IntoResponse, Response, Upgraded};

use std::time::Duration;

use crate::codec::Limits;

/// How a server treats its clients. All is on by default.
#[derive(Clone, Debug)]
pub struct Config {
    /// What requests may have. Bodies: 64 MiB unless said otherwise.
    pub limits: Limits,
    /// How long a head may take from its first byte. Default 10 s.
    pub head_timeout: Duration,
    /// How long each wait for more of a body may take. Default 30 s.
    pub body_timeout: Duration,
    /// How long each write may wait for the client. Default 30 s.
    pub write_timeout: Duration,
    /// How long a connection may be idle between two requests. Default 75 s.
    pub idle_timeout: Duration,
    /// How many connections there may be; more wait to be accepted. Default 100,000.
    pub connections_max: usize,
    /// How many bytes of a body that the handler left unread are read and thrown away to keep
    /// the connection; with more to come it is closed. Default 256 KiB.
    pub drain_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            limits: Limits {
                body_bytes_max: Some(64 << 20),
                ..Limits::default()
            },
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            connections_max: 100_000,
            drain_bytes_max: 256 << 10,
        }
    }
}
