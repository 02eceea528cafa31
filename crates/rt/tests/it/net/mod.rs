//! TCP on 127.0.0.1: what std does, from coroutines and threads.

mod addresses;
mod conversions;
mod lifetimes;
mod listeners;
mod sharing;
mod streams;
mod timeouts;

use std::net::SocketAddr;

use ropewalk_rt::net::{TcpListener, TcpStream};

/// A listener on a port of its own.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

/// Both ends of a connection: the one that connected, the one that was accepted.
fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = listener();
    // The system completes the connection before it is accepted.
    let client = TcpStream::connect(addr).expect("connected");
    let (server, from) = listener.accept().expect("accepted");
    assert_eq!(from, client.local_addr().expect("an address"));
    (client, server)
}
