//! The deadline, in every phase of a call; the read timeout, between.
//!
//! The servers here never do what the client waits for, so a test that ends has seen its timeout; how
//! long it took is not measured. Where something must succeed before the timeout strikes, a busy
//! machine may need more of it: see [`with_room`].

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use ropewalk_http::client::{Body, Client, Error};

use super::script::{Server, each_way, ok};

const SHORT: Duration = Duration::from_millis(40);

/// Tries with ever longer timeouts until the timeout struck where it was meant to.
fn with_room<T>(attempt: impl Fn(Duration) -> Option<T>) -> T {
    let mut timeout = SHORT;
    loop {
        if let Some(done) = attempt(timeout) {
            return done;
        }
        timeout *= 2;
        assert!(timeout < Duration::from_secs(120), "it never gets there");
    }
}

#[track_caller]
fn assert_timeout(e: &Error) {
    assert!(e.is_timeout(), "{e}");
    assert!(!e.is_closed() && !e.is_protocol() && !e.is_request(), "{e}");
    assert!(e.to_string().contains("timed out"), "{e}");
}

/// Lets every connection hang after the given bytes.
fn hanging(answer: &'static str) -> Server {
    Server::start(move |_, peer| {
        peer.head();
        peer.send(answer);
        peer.until_closed();
    })
}

#[test]
fn a_server_that_never_answers() {
    each_way(|| {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nX: ",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            let server = hanging(answer);
            let e = with_room(|timeout| {
                let client = Client::builder().timeout(timeout).build().unwrap();
                let e = client.get(server.url("/")).send().unwrap_err();
                assert_timeout(&e);
                let waited = e.to_string().contains("waiting for the response");
                waited.then_some(e)
            });
            assert!(!e.is_connect() && !e.is_body(), "{e}");
            // A request's own timeout wins, both ways.
            let client = Client::builder().timeout(None).build().unwrap();
            let e = client
                .get(server.url("/"))
                .timeout(SHORT)
                .send()
                .unwrap_err();
            assert_timeout(&e);
        }
    });
}

#[test]
fn a_body_that_stops() {
    each_way(|| {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf",
        ] {
            let server = hanging(answer);
            let client = Client::new();
            let e = with_room(|timeout| {
                let mut response = client.get(server.url("/")).timeout(timeout).send().ok()?;
                let mut bytes = Vec::new();
                let e = response.read_to_end(&mut bytes).unwrap_err();
                assert!(b"half".starts_with(&bytes));
                (bytes.len() == 4).then_some(e)
            });
            assert_eq!(e.kind(), ErrorKind::TimedOut);
            let e = e.into_inner().unwrap().downcast::<Error>().unwrap();
            assert_timeout(&e);
            assert!(e.is_body());
        }
    });
}

/// Each byte arrives in time; all together don't.
#[test]
fn a_body_that_drips_does_not_outlast_the_deadline() {
    each_way(|| {
        let server = Server::start(|_, peer| {
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while peer.stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let e = with_room(|timeout| {
            let client = Client::builder().timeout(timeout).read_timeout(timeout * 2);
            let call = client.build().unwrap().get(server.url("/")).send();
            Some(call.ok()?.bytes().unwrap_err())
        });
        assert_timeout(&e);
        assert!(e.is_body());
    });
}

#[test]
fn a_peer_that_does_not_take_the_body() {
    each_way(|| {
        let (sender, done) = mpsc::channel::<()>();
        let done = std::sync::Mutex::new(done);
        let server = Server::start(move |_, peer| {
            peer.head();
            // Reads no more until the test is over.
            let _ = done.lock().unwrap().recv();
        });
        let client = Client::new();
        let e = with_room(|timeout| {
            let endless = Body::reader(std::io::repeat(b'x'));
            let call = client.post(server.url("/")).timeout(timeout).body(endless);
            call.send().err().filter(|e| !e.is_connect())
        });
        assert_timeout(&e);
        assert!(e.to_string().contains("sending"), "{e}");
        let silent = Client::builder()
            .timeout(None)
            .read_timeout(SHORT)
            .build()
            .unwrap();
        let e = silent
            .post(server.url("/"))
            .body(vec![0; 64 << 20])
            .send()
            .unwrap_err();
        assert_timeout(&e);
        drop(sender);
    });
}

#[test]
fn the_read_timeout_limits_silence_alone() {
    each_way(|| {
        let server = hanging("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        let e = with_room(|silence| {
            let client = Client::builder().timeout(None).read_timeout(silence);
            let call = client.build().unwrap().get(server.url("/")).send();
            Some(call.ok()?.bytes().unwrap_err())
        });
        assert_timeout(&e);
        assert!(e.to_string().contains("read_timeout"), "{e}");
    });
}

#[test]
fn a_tls_handshake_that_hangs() {
    #[cfg(feature = "tls")]
    each_way(|| {
        let server = Server::start(|_, peer| peer.until_closed());
        let client = Client::builder()
            .connect_timeout(SHORT)
            .timeout(None)
            .build()
            .unwrap();
        let e = client
            .get(format!("https://{}/", server.addr))
            .send()
            .unwrap_err();
        assert_timeout(&e);
        assert!(e.is_connect(), "{e}");
    });
}

/// The deadline spans redirects: each hop is quick, all together never end.
#[test]
fn redirects_share_the_deadline() {
    let server = Server::start(|_, peer| {
        while peer.request().is_some() {
            std::thread::sleep(Duration::from_millis(5));
            peer.send("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let client = Client::builder()
        .redirects_max(u32::MAX)
        .timeout(SHORT)
        .build()
        .unwrap();
    assert_timeout(&client.get(server.url("/")).send().unwrap_err());
}

#[test]
fn a_timed_out_connection_is_not_used_again() {
    let server = Server::start(|_, peer| {
        while let Some(request) = peer.request() {
            if request.line().contains("/never") {
                peer.fill();
            }
            peer.send(ok("x"));
        }
    });
    let client = Client::new();
    with_room(|timeout| {
        let e = client
            .get(server.url("/never"))
            .timeout(timeout)
            .send()
            .unwrap_err();
        assert_timeout(&e);
        (!e.is_connect()).then_some(())
    });
    client.get(server.url("/")).send().unwrap().bytes().unwrap();
    assert!(server.accepted() >= 2);
}

/// A deadline of one call does not stay on the connection for the next.
#[test]
fn limits_are_those_of_the_call() {
    each_way(|| {
        let server = Server::start(|_, peer| {
            while let Some(request) = peer.request() {
                if let Some(ms) = request.line().split('?').nth(1) {
                    let ms = ms.split(' ').next().unwrap().parse().unwrap();
                    std::thread::sleep(Duration::from_millis(ms));
                }
                peer.send(ok("x"));
            }
        });
        let client = Client::new();
        let short = with_room(|timeout| {
            let quick = client.get(server.url("/")).timeout(timeout).send();
            quick.ok()?.bytes().ok().map(|_| timeout)
        });
        let accepted = server.accepted();
        let slow = server.url(&format!("/?{}", (short * 2).as_millis()));
        client
            .get(slow)
            .timeout(None)
            .send()
            .unwrap()
            .bytes()
            .unwrap();
        assert_eq!(server.accepted(), accepted);
    });
}
