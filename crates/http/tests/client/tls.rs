//! https: an authority of our own, and every certificate that must be refused.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use ropewalk_http::client::{Body, Client, Error};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::script::each_way;

/// A certificate authority made for the test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Authority {
            issuer: Issuer::new(params, key),
            der,
        }
    }

    fn client(&self) -> Client {
        Client::builder()
            .root_certificate(self.der.clone())
            .build()
            .unwrap()
    }

    /// Signs a certificate for these names, changed by `change`.
    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        (
            cert.der().clone(),
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
    }
}

type Signed = (CertificateDer<'static>, PrivateKeyDer<'static>);
type ServerStream = StreamOwned<ServerConnection, std::net::TcpStream>;

struct TlsServer {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl TlsServer {
    /// Runs `script` on each connection; the handshake happens in its first read.
    fn start(signed: Signed, script: fn(&mut ServerStream)) -> TlsServer {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.0], signed.1)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(session, stream.unwrap());
                thread::spawn(move || script(&mut stream));
            }
        });
        TlsServer { addr, accepted }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.addr.port())
    }
}

/// Reads a request's head and returns it; `None` when the client is gone.
fn head(stream: &mut ServerStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// Answers with the negotiated protocol and name, then the body it was sent.
fn echo(stream: &mut ServerStream) {
    while let Some(head) = head(stream) {
        let length = head.lines().find_map(|l| {
            l.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
        let alpn =
            String::from_utf8_lossy(stream.conn.alpn_protocol().unwrap_or(b"-")).into_owned();
        let name = stream.conn.server_name().unwrap_or("-").to_owned();
        let reply = format!(
            "HTTP/1.1 200 OK\r\nX-Alpn: {alpn}\r\nX-Name: {name}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(reply.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        stream.flush().unwrap();
    }
}

#[test]
fn an_own_authority_is_trusted_and_connections_are_kept() {
    each_way(|| {
        let authority = Authority::new("ours");
        let server = TlsServer::start(authority.sign(&["localhost", "127.0.0.1"], |_| {}), echo);
        let client = authority.client();
        let large = vec![b'x'; 400_000];
        for _ in 0..3 {
            let request = client.post(server.url("localhost")).body(large.clone());
            let response = request.send().unwrap();
            assert_eq!(response.headers()["x-alpn"], "http/1.1");
            assert_eq!(response.headers()["x-name"], "localhost");
            assert!(response.bytes().unwrap() == large);
        }
        assert_eq!(
            server.accepted.load(Ordering::SeqCst),
            1,
            "session tickets don't spoil it"
        );
        let by_address = client.get(server.url("127.0.0.1")).send().unwrap();
        assert_eq!(
            by_address.headers()["x-name"],
            "-",
            "addresses are not named in the hello"
        );
        assert_eq!(by_address.bytes().unwrap(), b"");
    });
}

#[track_caller]
fn refused(client: &Client, signed: Signed, host: &str, text: &str) -> Error {
    let server = TlsServer::start(signed, echo);
    let e = client.get(server.url(host)).send().unwrap_err();
    assert!(e.is_tls() && e.is_connect(), "{e}");
    assert!(
        !e.is_timeout() && !e.is_protocol() && !e.is_request(),
        "{e}"
    );
    let line = e.to_string();
    assert!(line.contains(text) && line.contains(host), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    e
}

#[test]
fn bad_certificates_are_refused() {
    each_way(|| {
        let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
        let good = |authority: &Authority| authority.sign(&["localhost"], |_| {});
        let client = authority.client();
        let e = refused(&client, good(&other), "localhost", "root_certificate");
        assert!(std::error::Error::source(&e).is_some());
        refused(
            &Client::new(),
            good(&authority),
            "localhost",
            "UnknownIssuer",
        );
        refused(&client, good(&authority), "127.0.0.1", "not valid for name");
        let expired = authority.sign(&["localhost"], |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        });
        refused(&client, expired, "localhost", "expired");
        let future = authority.sign(&["localhost"], |params| {
            params.not_before = date_time_ymd(2990, 1, 1);
            params.not_after = date_time_ymd(2999, 1, 1);
        });
        refused(&client, future, "localhost", "not valid yet");
    });
}

#[test]
fn a_port_that_does_not_speak_tls_is_told() {
    let server = super::script::Server::start(|_, peer| {
        peer.fill();
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.until_closed();
    });
    let e = Client::new()
        .get(format!("https://{}/", server.addr))
        .send()
        .unwrap_err();
    assert!(e.is_tls(), "{e}");
    assert!(e.to_string().contains("does this port speak https?"), "{e}");

    let server = super::script::Server::start(|_, peer| {
        peer.fill();
    });
    let e = Client::new()
        .get(format!("https://{}/", server.addr))
        .send()
        .unwrap_err();
    assert!(e.is_tls() && e.is_connect(), "{e}");
}

#[test]
fn a_root_that_is_none_is_refused_at_once() {
    let e = Client::builder()
        .root_certificate(b"not a certificate")
        .build()
        .unwrap_err();
    assert!(e.is_tls(), "{e}");
}

/// Whoever cuts the wire can end TCP, but not say TLS's farewell.
#[test]
fn a_body_cut_without_farewell_is_an_error() {
    each_way(|| {
        let authority = Authority::new("ours");
        let cut = TlsServer::start(authority.sign(&["localhost"], |_| {}), |stream| {
            head(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf").unwrap();
            stream.flush().unwrap();
        });
        let whole = TlsServer::start(authority.sign(&["localhost"], |_| {}), |stream| {
            head(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nwhole").unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        });
        let client = authority.client();
        let response = client.get(cut.url("localhost")).send().unwrap();
        let e = response.bytes().unwrap_err();
        assert!(e.is_closed() && e.is_body(), "{e}");
        let response = client.get(whole.url("localhost")).send().unwrap();
        assert_eq!(response.text().unwrap(), "whole");
    });
}

#[test]
fn uploads_without_length_work_over_tls() {
    let authority = Authority::new("ours");
    let server = TlsServer::start(authority.sign(&["localhost"], |_| {}), |stream| {
        head(stream);
        let mut body = Vec::new();
        let mut byte = [0];
        while !body.ends_with(b"0\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            body.push(byte[0]);
        }
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n{:6}",
            body.len()
        );
        stream.write_all(reply.as_bytes()).unwrap();
        stream.flush().unwrap();
    });
    let body = Body::reader(std::io::Cursor::new(vec![b'x'; 100]));
    let response = authority
        .client()
        .post(server.url("localhost"))
        .body(body)
        .send()
        .unwrap();
    // "64\r\n", the data, "\r\n", "0\r\n\r\n".
    assert_eq!(response.text().unwrap().trim(), "111");
}
