//! Answers that break HTTP: each is the peer's fault, said so, and costs the connection.

use ropewalk_http::client::Client;

use super::script::{Server, each_way};

/// Fails when the head is read.
const BAD_HEADS: &[(&str, &str)] = &[
    ("not HTTP at all", "SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    ("HTTP/0.9", "<html>hello</html>\r\n\r\n"),
    (
        "an unknown version",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "a status of two digits",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "a status of letters",
        "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "two lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ),
    (
        "a signed length",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
    ),
    (
        "a negative length",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\na",
    ),
    (
        "an overflowing length",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\na",
    ),
    (
        "length and chunked",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an unknown coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a space before the colon",
        "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\na",
    ),
    (
        "a folded line",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "a NUL in a value",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "a bare CR in a value",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "protocols switched unasked",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ),
];

/// Fails when the body is read.
const BAD_CHUNKS: &[(&str, &str)] = &[
    ("no number", "x\r\nhello\r\n0\r\n\r\n"),
    ("a signed size", "+5\r\nhello\r\n0\r\n\r\n"),
    ("0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    (
        "an overflowing size",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ),
    ("more data than the size", "3\r\nhello\r\n0\r\n\r\n"),
    ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
];

#[test]
fn bad_heads_are_the_peers_fault() {
    each_way(|| {
        for (what, answer) in BAD_HEADS {
            let server = Server::always(*answer);
            let client = Client::new();
            let e = match client.get(server.url("/")).send() {
                Err(e) => e,
                Ok(response) => panic!("{what} was accepted: {response:?}"),
            };
            assert!(e.is_protocol(), "{what}: {e}");
            assert!(
                !e.is_request() && !e.is_timeout() && !e.is_closed(),
                "{what}: {e}"
            );
            assert!(!e.to_string().contains('\n'), "{what}: {e}");
            let _ = client.get(server.url("/")).send();
            // The listener counts before it hands out, so both are in.
            assert_eq!(
                server.accepted(),
                2,
                "{what}: the connection was used again"
            );
        }
    });
}

#[test]
fn bad_chunks_are_the_peers_fault() {
    each_way(|| {
        for (what, body) in BAD_CHUNKS {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let server = Server::always(format!("{head}{body}"));
            let client = Client::new();
            for n in 1..=2 {
                let e = client
                    .get(server.url("/"))
                    .send()
                    .unwrap()
                    .bytes()
                    .unwrap_err();
                assert!(e.is_protocol() && e.is_body(), "{what}: {e}");
                assert_eq!(
                    server.accepted(),
                    n,
                    "{what}: the connection was used again"
                );
            }
        }
    });
}

/// A head without end must not fill the memory.
#[test]
fn an_endless_head_is_cut_off() {
    for filler in ["X-Filler: 0123456789\r\n", "x"] {
        let server = Server::start(move |_, peer| {
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\nA: ");
            use std::io::Write;
            let piece = filler.repeat(512);
            while peer.stream.write_all(piece.as_bytes()).is_ok() {}
        });
        let e = Client::new().get(server.url("/")).send().unwrap_err();
        assert!(e.is_protocol(), "{e}");
    }
}

#[test]
fn endless_interim_responses_are_cut_off() {
    let server = Server::start(|_, peer| {
        peer.request();
        use std::io::Write;
        let piece = "HTTP/1.1 102 Processing\r\n\r\n".repeat(16);
        while peer.stream.write_all(piece.as_bytes()).is_ok() {}
    });
    let e = Client::new().get(server.url("/")).send().unwrap_err();
    assert!(e.is_protocol(), "{e}");
    assert!(e.to_string().contains("1xx"), "{e}");
}

#[test]
fn an_end_without_or_within_the_head_is_told_apart_from_bad_http() {
    for (answer, text) in [
        ("", "without a response"),
        ("HTTP/1.1 200 OK\r\nX: ", "within the head"),
    ] {
        let server = Server::once(answer);
        let e = Client::new().get(server.url("/")).send().unwrap_err();
        assert!(e.is_closed() && !e.is_protocol() && !e.is_body(), "{e}");
        assert!(e.to_string().contains(text), "{e}");
    }
}

/// What follows a complete response unasked must not become the answer to the next request.
#[test]
fn bytes_after_the_response_are_never_the_next_response() {
    each_way(|| {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
        let smuggled = format!("{answer}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        let server = Server::always(smuggled);
        let client = Client::new();
        for n in 1..=3 {
            let response = client.get(server.url("/")).send().unwrap();
            assert_eq!(response.text().unwrap(), "good");
            assert_eq!(server.accepted(), n);
        }
    });
}
