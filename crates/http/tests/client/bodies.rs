//! Bodies of responses: every framing, read every way, and never silently short.

use std::io::{ErrorKind, Read};

use ropewalk_http::client::{Client, Error};

use super::script::{Server, each_way, ok};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn every_framing_gives_the_same_body() {
    each_way(|| {
        for answer in [
            ok("hello world"),
            format!("{CHUNKED}5\r\nhello\r\n1;ext=1\r\n \r\n05\r\nworld\r\n0\r\nX-T: 1\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world".to_owned(),
            "HTTP/1.0 200 OK\r\n\r\nhello world".to_owned(),
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_owned() + &ok("hello world"),
        ] {
            let server = Server::once(answer.clone());
            let client = Client::new();
            let url = server.url("/");
            assert_eq!(
                client.get(&url).send().unwrap().bytes().unwrap(),
                b"hello world"
            );
            assert_eq!(
                client.get(&url).send().unwrap().text().unwrap(),
                "hello world"
            );
            let mut copied = Vec::new();
            let n = client
                .get(&url)
                .send()
                .unwrap()
                .copy_to(&mut copied)
                .unwrap();
            assert_eq!((n, copied.as_slice()), (11, b"hello world".as_slice()));
            let mut response = client.get(&url).send().unwrap();
            let mut bytes = Vec::new();
            let mut one = [0];
            while response.read(&mut one).unwrap() == 1 {
                bytes.push(one[0]);
            }
            assert_eq!(bytes, b"hello world", "{answer}");
            assert_eq!(response.read(&mut one).unwrap(), 0, "the end stays the end");
        }
    });
}

/// Answers a byte at a time, so that every border falls between two reads.
#[test]
fn answers_in_single_bytes_are_understood() {
    for answer in [
        ok("hello"),
        format!("{CHUNKED}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ] {
        let server = Server::start(move |_, peer| {
            peer.stream.set_nodelay(true).unwrap();
            while peer.request().is_some() {
                for byte in answer.as_bytes() {
                    peer.send([*byte]);
                    std::thread::yield_now();
                }
            }
        });
        let client = Client::new();
        for _ in 0..2 {
            assert_eq!(
                client.get(server.url("/")).send().unwrap().text().unwrap(),
                "hello"
            );
        }
        assert_eq!(server.accepted(), 1);
    }
}

#[test]
fn large_bodies_come_through_whole() {
    each_way(|| {
        let body: Vec<u8> = (0..3_000_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut bytes = std::mem::take(&mut answer).into_bytes();
        bytes.extend(&body);
        let sized = Server::always(bytes);
        let mut bytes = CHUNKED.as_bytes().to_vec();
        for chunk in body.chunks(70_001) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        let chunked = Server::always(bytes);
        let client = Client::new();
        for server in [&sized, &chunked] {
            for _ in 0..2 {
                assert!(client.get(server.url("/")).send().unwrap().bytes().unwrap() == body);
            }
            assert_eq!(server.accepted(), 1);
        }
    });
}

#[test]
fn responses_without_a_body_keep_the_connection() {
    let server = Server::start(|_, peer| {
        while let Some(request) = peer.request() {
            peer.send(match request.line() {
                "HEAD / HTTP/1.1" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                "GET /204 HTTP/1.1" => "HTTP/1.1 204 No Content\r\n\r\n",
                "GET /304 HTTP/1.1" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            });
        }
    });
    let client = Client::new();
    let head = client.head(server.url("/")).send().unwrap();
    assert_eq!(head.headers()["content-length"], "1000");
    assert_eq!(head.bytes().unwrap(), b"");
    for path in ["/204", "/304", "/empty"] {
        let response = client.get(server.url(path)).send().unwrap();
        assert_eq!(response.bytes().unwrap(), b"");
    }
    assert_eq!(server.accepted(), 1);
}

fn reads_short(answer: &str) -> Error {
    let server = Server::once(answer);
    let client = Client::new();
    let mut response = client.get(server.url("/")).send().unwrap();
    assert!(response.read_to_end(&mut Vec::new()).is_err());
    let again = response.read(&mut [0; 8]).unwrap_err();
    assert_eq!(
        again.kind(),
        ErrorKind::UnexpectedEof,
        "failed once, it fails again"
    );
    let e = client
        .get(server.url("/"))
        .send()
        .unwrap()
        .bytes()
        .unwrap_err();
    assert_eq!(e.url().unwrap().as_str(), server.url("/"));
    e
}

#[test]
fn a_premature_end_is_an_error() {
    each_way(|| {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
            &format!("{CHUNKED}5\r\nhel"),
            &format!("{CHUNKED}5\r\nhello\r\n"),
            &format!("{CHUNKED}5\r\nhello\r\n0\r\n"),
            CHUNKED,
        ] {
            let e = reads_short(answer);
            assert!(e.is_closed() && e.is_body(), "{answer:?}: {e}");
            assert!(!e.is_protocol() && !e.is_timeout() && !e.is_connect());
        }
    });
}

/// Ends a response behind each of its bytes: whole only if it is whole.
#[test]
fn a_response_cut_anywhere_is_an_error() {
    each_way(|| {
        for answer in [
            ok("hello"),
            format!("{CHUNKED}3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n"),
            format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("hello")),
        ] {
            let whole = answer.len();
            let server = Server::start(move |n, peer| {
                peer.request();
                peer.send(&answer.as_bytes()[..n.min(whole)]);
            });
            let client = Client::new();
            for n in 0..=whole {
                let result = client.get(server.url("/")).send().and_then(|r| r.bytes());
                match result {
                    Ok(bytes) => assert!(n == whole && bytes == b"hello", "cut at {n}"),
                    Err(e) => assert!(n < whole && e.is_closed(), "cut at {n}: {e}"),
                }
                assert_eq!(server.accepted(), n + 1);
            }
        }
    });
}

/// Buffers of every size, around the one from which they are read into directly.
#[test]
fn any_buffer_size_reads_the_same() {
    each_way(|| {
        let body: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let mut sized =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        sized.extend(&body);
        let mut chunked = CHUNKED.as_bytes().to_vec();
        for chunk in body.chunks(4_099) {
            chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        for answer in [sized, chunked] {
            let server = Server::always(answer);
            let client = Client::new();
            for size in [1, 7, 4095, 4096, 4097, 16_384, 65_536, 200_000] {
                let mut response = client.get(server.url("/")).send().unwrap();
                let mut piece = vec![0; size];
                let mut read = Vec::new();
                loop {
                    match response.read(&mut piece).unwrap() {
                        0 => break,
                        n => read.extend_from_slice(&piece[..n]),
                    }
                }
                assert!(read == body, "in pieces of {size}");
            }
            assert_eq!(server.accepted(), 1);
        }
    });
}

#[test]
fn a_premature_end_shows_in_read_too() {
    let server = Server::once("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello");
    let mut response = Client::new().get(server.url("/")).send().unwrap();
    let mut bytes = Vec::new();
    let e = response.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(bytes, b"hello", "what came is there");
    let inner = e.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    assert!(inner.is_closed() && inner.is_body());
}

#[test]
fn a_reset_in_the_body_is_an_error() {
    let server = Server::start(|_, peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
        // Closed with data unread, the connection is reset rather than ended.
        peer.send("x");
        let linger = socket2::SockRef::from(&peer.stream);
        linger.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let response = match Client::new().get(server.url("/")).send() {
        Ok(response) => response,
        // The reset may overtake the head.
        Err(e) => return assert!(e.is_closed(), "{e}"),
    };
    let e = response.bytes().unwrap_err();
    assert!(e.is_closed() && e.is_body(), "{e}");
}

#[test]
fn the_size_limit_holds_for_every_framing() {
    for answer in [
        ok("hello world"),
        format!("{CHUNKED}b\r\nhello world\r\n0\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world".to_owned(),
    ] {
        let server = Server::always(answer.clone());
        let url = server.url("/");
        for (max, fits) in [(10, false), (11, true)] {
            let server = Server::once(answer.clone());
            let client = Client::builder().body_bytes_max(max).build().unwrap();
            let result = client.get(server.url("/")).send().unwrap().bytes();
            match result {
                Ok(bytes) => assert!(fits && bytes == b"hello world"),
                Err(e) => {
                    assert!(!fits && e.is_limit() && e.is_body(), "{e}");
                    assert!(e.to_string().contains("body_bytes_max"), "{e}");
                }
            }
        }
        drop((server, url));
    }
}

#[test]
fn text_replaces_what_is_not_utf_8() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec();
    answer.extend(b"\xef\xbb\xbfgr\xfc\xc3\xbcn");
    let server = Server::always(answer);
    let response = Client::new().get(server.url("/")).send().unwrap();
    assert_eq!(response.text().unwrap(), "gr\u{fffd}ün");
}
