//! Names, addresses, refusals: what happens before a connection is there.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use ropewalk_http::client::Client;

use super::script::{Server, each_way, ok};

/// A socket bound to an address of its own.
fn bound() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

#[test]
fn a_refused_connection_names_the_address() {
    each_way(|| {
        // Bound, so that nobody else listens there, and not listening.
        let (_nobody, addr) = bound();
        let e = Client::new()
            .get(format!("http://{addr}/x"))
            .send()
            .unwrap_err();
        assert!(
            e.is_connect() && !e.is_timeout() && !e.is_dns() && !e.is_closed(),
            "{e}"
        );
        let text = e.to_string();
        assert!(
            text.contains(&addr.to_string()) && text.contains("could not connect"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
        assert_eq!(e.url().unwrap().as_str(), format!("http://{addr}/x"));
        let source = std::error::Error::source(&e).unwrap();
        let io = source.downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(io.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_name_is_looked_up_and_its_addresses_tried_in_turn() {
    each_way(|| {
        // localhost often means ::1 first, where this server does not listen.
        let server = Server::always(ok("found"));
        let url = format!("http://localhost:{}/", server.addr.port());
        let client = Client::new();
        let response = client.get(&url).send().unwrap();
        assert_eq!(response.remote_addr(), server.addr);
        assert_eq!(response.text().unwrap(), "found");
        // Without a deadline the lookup goes another way.
        let client = Client::builder()
            .timeout(None)
            .connect_timeout(None)
            .build()
            .unwrap();
        assert_eq!(client.get(&url).send().unwrap().text().unwrap(), "found");
    });
}

#[test]
fn a_name_without_an_address_is_a_dns_error() {
    each_way(|| {
        // RFC 6761: `.invalid` never resolves.
        let client = Client::new();
        let e = client
            .get("http://no-such-host.invalid/")
            .send()
            .unwrap_err();
        assert!(e.is_connect(), "{e}");
        assert!(e.is_dns() || e.is_timeout(), "{e}");
        assert!(e.to_string().contains("no-such-host.invalid"), "{e}");
    });
}

#[test]
fn ipv6_literals_work() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let n = stream.read(&mut request).unwrap();
        let host = format!("host: {addr}\r\n");
        let text = String::from_utf8_lossy(&request[..n]).to_ascii_lowercase();
        let body = text.contains(&host).to_string();
        stream.write_all(ok(&body).as_bytes()).unwrap();
    });
    let response = Client::new().get(format!("http://{addr}/")).send().unwrap();
    assert_eq!(response.text().unwrap(), "true");
}

/// An address that swallows packets: a listener whose queue is full drops further ones.
#[test]
fn a_connect_that_hangs_ends_at_its_timeout() {
    each_way(|| {
        let (socket, addr) = bound();
        socket.listen(0).unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) =
            std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(200))
        {
            queued.push(stream);
        }
        let connect_timeout = Duration::from_millis(40);
        let client = Client::builder()
            .connect_timeout(connect_timeout)
            .build()
            .unwrap();
        let e = client.get(format!("http://{addr}/")).send().unwrap_err();
        assert!(e.is_timeout() && e.is_connect(), "{e}");
        assert!(e.to_string().contains(&addr.to_string()), "{e}");
    });
}

/// The right to a connection is given back when connecting fails.
#[test]
fn a_failed_connect_frees_its_place() {
    let (_nobody, addr) = bound();
    let client = Client::builder()
        .connections_per_host_max(1)
        .build()
        .unwrap();
    for _ in 0..3 {
        let e = client.get(format!("http://{addr}/")).send().unwrap_err();
        assert!(e.is_connect() && !e.is_timeout(), "{e}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_without_tls_says_what_is_missing() {
    let e = Client::new().get("https://127.0.0.1/").send().unwrap_err();
    assert!(e.is_url(), "{e}");
    assert!(e.to_string().contains("`tls` feature"), "{e}");
}
