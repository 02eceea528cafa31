//! Over loopback: bodies that come late, in pieces, too long or not at all; upgrades.

use std::io::{Read, Write};

use ropewalk_http::codec::Limits;
use ropewalk_http::server::Config;
use ropewalk_http::{App, Request, Response};

use super::site::Site;

fn app() -> App {
    App::new()
        .get("/", |_: &mut Request| "home")
        .post("/echo", |request: &mut Request| request.read_text())
        .post("/ignore", |_: &mut Request| "not read")
        .post("/first", |request: &mut Request| {
            let mut first = [0];
            request
                .body()
                .read_exact(&mut first)
                .map(|()| first.to_vec())
        })
}

const CHUNKED: &str = "POST /echo HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n";

fn post(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n{fields}\r\n{body}")
}

#[test]
fn bodies_come_back_whole_in_either_framing() {
    let site = Site::of(app());
    let mut peer = site.connect();
    let long = "0123456789abcdef".repeat(40_000);
    for body in ["hello", "", &long] {
        let send = post("/echo", "", body);
        // Not to wait for each other: the answer only begins when all was read.
        peer.send(send);
        assert_eq!(peer.answer().body, body);
    }
    peer.send(format!(
        "{CHUNKED}5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\nx: y\r\n\r\n"
    ));
    assert_eq!(peer.answer().body, "hello world");
    assert_eq!(peer.get("/").body, "home");
}

#[test]
fn a_request_in_single_bytes_is_understood() {
    let site = Site::of(app());
    let mut peer = site.connect();
    for request in [
        post("/echo", "", "hello"),
        format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n"),
    ] {
        for byte in request.as_bytes() {
            peer.send([*byte]);
        }
        assert_eq!(peer.answer().body, "hello");
    }
}

#[test]
fn a_short_unread_body_is_thrown_away_and_the_connection_kept() {
    let site = Site::of(app());
    let mut peer = site.connect();
    for path in ["/ignore", "/first", "/nowhere"] {
        peer.send(post(path, "", &"x".repeat(100_000)));
        assert!(!peer.answer().closes());
        assert_eq!(peer.get("/").body, "home", "after {path}");
    }
}

#[test]
fn a_long_unread_body_ends_the_connection_after_the_answer() {
    let site = Site::of(app());
    let mut peer = site.connect();
    // More than is thrown away; only a part of it comes.
    peer.send("POST /ignore HTTP/1.1\r\nhost: here\r\ncontent-length: 10000000\r\n\r\n");
    peer.send([b'x'; 100_000]);
    let answer = peer.answer();
    assert_eq!((answer.status, answer.closes()), (200, true));
    peer.end_writing();
    assert_eq!(peer.rest(), "");
}

/// The answer must reach a client that is still sending: no reset may overtake it.
#[test]
fn a_body_over_the_limit_is_413_to_a_client_that_still_sends() {
    let limits = Limits {
        body_bytes_max: Some(1000),
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    let site = Site::with(config, app());
    let chunk = format!("{:x}\r\n{}\r\n", 600, "y".repeat(600));
    for request in [
        post("/echo", "", &"x".repeat(300_000)),
        format!("{CHUNKED}{}", chunk.repeat(500)),
    ] {
        let mut peer = site.connect();
        peer.send(request);
        let answer = peer.answer();
        assert_eq!(answer.status, 413, "{answer:?}");
        peer.end_writing();
        assert_eq!(peer.rest(), "");
    }
}

#[test]
fn broken_chunks_are_400_and_end_the_connection() {
    let site = Site::of(app());
    for chunk in [
        "x\r\n",
        "5\r\nhelloworld",
        "-1\r\n",
        "5\nhello\r\n",
        "11111111111111111\r\n",
    ] {
        let mut peer = site.connect();
        peer.send(format!("{CHUNKED}{chunk}"));
        assert_eq!(peer.answer().status, 400, "{chunk:?}");
        peer.end_writing();
        assert_eq!(peer.rest(), "");
    }
}

#[test]
fn continue_is_sent_when_the_body_is_first_asked_for() {
    let site = Site::of(app());
    let mut peer = site.connect();
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    peer.send(head("/echo"));
    assert_eq!(peer.answer().status, 100);
    peer.send("hello");
    assert_eq!(peer.answer().body, "hello");

    // Not asked for: whether the body comes is not known, so that nothing can follow.
    peer.send(head("/ignore"));
    let answer = peer.answer();
    assert_eq!((answer.status, answer.closes()), (200, true));
    peer.end_writing();
    assert_eq!(peer.rest(), "");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_body_is_an_error_to_the_handler() {
    let site = Site::of(app());
    let mut peer = site.connect();
    peer.send("POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 50\r\n\r\nhello");
    peer.end_writing();
    assert_eq!(peer.answer().status, 400);
    assert_eq!(peer.rest(), "");
}

#[test]
fn an_upgraded_connection_keeps_what_came_behind_the_request() {
    let site = Site::of(App::new().get("/", |_: &mut Request| {
        Response::upgrade("shout", |both| {
            assert!(both.tcp().is_some());
            let mut buf = [0; 64];
            while let Ok(len @ 1..) = both.read(&mut buf) {
                both.write_all(buf[..len].to_ascii_uppercase().as_slice())
                    .unwrap();
            }
        })
    }));
    let mut peer = site.connect();
    peer.send(
        "GET / HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\nearly ",
    );
    let answer = peer.answer();
    assert_eq!(answer.status, 101);
    assert!(answer.head.contains("\r\nupgrade: shout\r\n"));
    peer.send("late");
    peer.end_writing();
    assert_eq!(peer.rest(), "EARLY LATE");

    let mut peer = site.connect();
    assert_eq!(peer.get("/").status, 426);
    assert_eq!(peer.get("/").status, 426, "the connection is kept");
}
