//! The client against scripted servers, against hyper, and over TLS.

#[path = "client/script.rs"]
mod script;

#[path = "client/bodies.rs"]
mod bodies;
#[path = "client/connecting.rs"]
mod connecting;
#[path = "client/hostile.rs"]
mod hostile;
#[path = "client/hyper_server.rs"]
mod hyper_server;
#[path = "client/pooling.rs"]
mod pooling;
#[path = "client/redirects.rs"]
mod redirects;
#[path = "client/requests.rs"]
mod requests;
#[path = "client/timeouts.rs"]
mod timeouts;
#[cfg(feature = "tls")]
#[path = "client/tls.rs"]
mod tls;
