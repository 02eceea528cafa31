//! Servers, framing, copying and what else stands on the sockets.

mod copying;
mod failing;
mod framing;
mod futures_io;
#[path = "../it/process.rs"]
#[allow(dead_code)]
mod process;
mod protocols;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod tcp;
mod udp;
