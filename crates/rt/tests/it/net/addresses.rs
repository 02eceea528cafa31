//! Addresses, names, and connecting to them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ropewalk_rt::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use ropewalk_rt::spawn;
use socket2::{Domain, Socket, Type};

use super::listener;
use crate::stage::on_each;

/// A port that is taken by a socket that doesn't listen: connecting is refused.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

// Nobody listens: refused, with or without a time limit.
#[test]
fn a_refused_connection() {
    on_each(|| {
        let (_socket, addr) = refusing();
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let hour = std::time::Duration::from_secs(3600);
        let error = TcpStream::connect_timeout(&addr, hour).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

// Of several addresses each is tried in turn; if all fail, the last failure is told.
#[test]
fn addresses_are_tried_in_turn() {
    on_each(|| {
        let ((_socket, dead), (listener, alive)) = (refusing(), listener());
        let client = TcpStream::connect(&[dead, dead, alive][..]).unwrap();
        assert_eq!(client.peer_addr().unwrap(), alive);
        drop(listener);
        let error = TcpStream::connect(&[dead, dead][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let none: &[SocketAddr] = &[];
        let error = TcpStream::connect(none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

// Everything that std takes for an address is taken here.
#[test]
fn forms_of_addresses() {
    fn first(addr: impl ToSocketAddrs) -> SocketAddr {
        lookup_host(addr).unwrap().next().unwrap()
    }
    on_each(|| {
        let four = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, 80));
        assert_eq!(first("127.0.0.1:80"), four);
        assert_eq!(first("127.0.0.1:80".to_owned()), four);
        let text = "127.0.0.1:80".to_owned();
        assert_eq!(first(&text), four);
        assert_eq!(first(("127.0.0.1", 80)), four);
        assert_eq!(first(("127.0.0.1".to_owned(), 80)), four);
        assert_eq!(first((Ipv4Addr::LOCALHOST, 80)), four);
        assert_eq!(first((four.ip(), 80)), four);
        assert_eq!(first(four), four);
        assert_eq!(first(&[four][..]), four);
        assert_eq!(first("[::1]:80"), six);
        assert_eq!(first(("::1", 80)), six);
        assert_eq!(first((Ipv6Addr::LOCALHOST, 80)), six);
        assert_eq!(first(six), six);
    });
}

// A name is looked up; the port is the one that was asked for.
#[test]
fn looking_up_a_name() {
    on_each(|| {
        let addrs: Vec<_> = lookup_host("localhost:0").unwrap().collect();
        assert!(!addrs.is_empty());
        assert!(
            addrs
                .iter()
                .all(|addr| addr.ip().is_loopback() && addr.port() == 0)
        );
        let listener = TcpListener::bind(("localhost", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("localhost", port)).unwrap();
        assert_eq!(client.peer_addr().unwrap().port(), port);
    });
}

// What is no address is refused with the text that was given and what would be one.
#[test]
fn errors_say_what_was_wrong() {
    on_each(|| {
        for (text, what) in [
            ("", "no port"),
            ("localhost", "no port"),
            ("127.0.0.1", "no port"),
            ("localhost:", "no port number"),
            ("localhost:http", "no port number"),
            ("localhost:70000", "no port number"),
            ("localhost:-1", "no port number"),
        ] {
            for error in [
                TcpStream::connect(text).unwrap_err(),
                TcpListener::bind(text).unwrap_err(),
                lookup_host(text).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
                let told = error.to_string();
                assert!(
                    told.contains(&format!("{text:?}")) && told.contains(what),
                    "{told}"
                );
                assert!(told.contains("host:port"), "{told}");
            }
        }
        // A look-up that fails says whose; no resolver is asked for this one.
        let error = lookup_host("no\0body:80").unwrap_err();
        assert!(error.to_string().contains("looking up no\0body"), "{error}");
    });
}

// A port that is taken can't be bound again.
#[test]
fn a_port_that_is_taken() {
    on_each(|| {
        let (_listener, addr) = listener();
        let error = TcpListener::bind(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

// IPv6, where there is any.
#[test]
fn version_six() {
    on_each(|| {
        let listener = match TcpListener::bind("[::1]:0") {
            Ok(listener) => listener,
            Err(error) => return eprintln!("skipped without IPv6: {error}"),
        };
        let addr = listener.local_addr().unwrap();
        assert!(addr.is_ipv6());
        let server = spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            assert!(from.ip().is_loopback() && from.is_ipv6());
            stream.write_all(b"six").unwrap();
        });
        let mut text = String::new();
        TcpStream::connect(addr)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "six");
        server.join().unwrap();
    });
}
