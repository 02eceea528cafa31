//! What goes over the wire for a request, and what is refused before anything does.

use std::io::Read;
use std::sync::mpsc;

use http::{HeaderMap, HeaderValue, Method};
use ropewalk_http::client::{Body, Client};

use super::script::{Request, Server, each_way, ok};

/// A server that answers everything and passes on what it was asked.
fn recorder() -> (Server, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel();
    let server = Server::start(move |_, peer| {
        while let Some(request) = peer.request() {
            sender.send(request).unwrap();
            peer.send(ok("fine"));
        }
    });
    (server, receiver)
}

#[test]
fn a_get_has_one_host_an_agent_and_no_framing() {
    each_way(|| {
        let (server, requests) = recorder();
        let client = Client::new();
        let response = client.get(server.url("/a/b?c=d#fragment")).send().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.version(), http::Version::HTTP_11);
        assert_eq!(response.content_length(), Some(4));
        assert_eq!(response.remote_addr(), server.addr);
        assert_eq!(response.text().unwrap(), "fine");
        let request = requests.recv().unwrap();
        assert_eq!(request.line(), "GET /a/b?c=d HTTP/1.1");
        assert_eq!(request.field("host").unwrap(), server.addr.to_string());
        assert!(
            request
                .field("user-agent")
                .unwrap()
                .starts_with("ropewalk/")
        );
        assert_eq!(request.field("accept").unwrap(), "*/*");
        assert_eq!(request.field("content-length"), None);
        assert_eq!(request.field("transfer-encoding"), None);
        assert_eq!(request.field("connection"), None);
    });
}

#[test]
fn every_method_is_sent_as_it_is() {
    let (server, requests) = recorder();
    let client = Client::new();
    let url = server.url("/x");
    for (builder, line, length) in [
        (client.get(&url), "GET /x HTTP/1.1", None),
        (client.post(&url), "POST /x HTTP/1.1", Some("0")),
        (client.put(&url), "PUT /x HTTP/1.1", Some("0")),
        (client.patch(&url), "PATCH /x HTTP/1.1", Some("0")),
        (client.delete(&url), "DELETE /x HTTP/1.1", None),
        (
            client.request(Method::from_bytes(b"PURGE").unwrap(), &url),
            "PURGE /x HTTP/1.1",
            None,
        ),
    ] {
        builder.send().unwrap().bytes().unwrap();
        let request = requests.recv().unwrap();
        assert_eq!(request.line(), line);
        assert_eq!(request.field("content-length").as_deref(), length, "{line}");
    }
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_path_is_never_empty_and_percent_encoded() {
    let (server, requests) = recorder();
    let client = Client::new();
    for (path, line) in [
        ("", "GET / HTTP/1.1"),
        ("?q", "GET /?q HTTP/1.1"),
        ("/ä b", "GET /%C3%A4%20b HTTP/1.1"),
        ("/a/../b", "GET /b HTTP/1.1"),
    ] {
        client
            .get(server.url(path))
            .send()
            .unwrap()
            .bytes()
            .unwrap();
        assert_eq!(requests.recv().unwrap().line(), line);
    }
}

#[test]
fn headers_of_the_request_replace_defaults_and_may_repeat() {
    let (server, requests) = recorder();
    let client = Client::builder()
        .user_agent("probe/1")
        .default_header("x-default", "one")
        .default_header("x-other", "two")
        .build()
        .unwrap();
    let mut more = HeaderMap::new();
    more.append("x-many", HeaderValue::from_static("a"));
    more.append("x-many", HeaderValue::from_static("b"));
    client
        .get(server.url("/"))
        .header("X-Default", "mine")
        .header("Host", "elsewhere.example")
        .headers(more)
        .send()
        .unwrap();
    let request = requests.recv().unwrap();
    assert_eq!(request.field("user-agent").unwrap(), "probe/1");
    assert_eq!(request.field("x-default").unwrap(), "mine");
    assert_eq!(request.field("x-other").unwrap(), "two");
    assert_eq!(request.field("host").unwrap(), "elsewhere.example");
    let many: Vec<_> = request
        .head
        .lines()
        .filter(|l| l.starts_with("x-many:"))
        .collect();
    assert_eq!(many, ["x-many: a", "x-many: b"]);
}

#[test]
fn user_and_password_become_basic_authorization() {
    let (server, requests) = recorder();
    let client = Client::new();
    let url = format!("http://Aladdin:open%20sesame@{}/", server.addr);
    let response = client.get(&url).send().unwrap();
    let request = requests.recv().unwrap();
    assert_eq!(
        request.field("authorization").unwrap(),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
    assert_eq!(
        response.url().as_str(),
        server.url("/"),
        "the password is not shown"
    );

    client
        .get(&url)
        .header("authorization", "Bearer x")
        .send()
        .unwrap();
    assert_eq!(
        requests.recv().unwrap().field("authorization").unwrap(),
        "Bearer x"
    );
}

#[test]
fn bodies_are_sent_with_their_length_or_chunked() {
    each_way(|| {
        let (server, requests) = recorder();
        let client = Client::new();
        let large: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
        let post = |body: Body| {
            client
                .post(server.url("/"))
                .body(body)
                .send()
                .unwrap()
                .bytes()
                .unwrap();
            requests.recv().unwrap()
        };
        for (body, expected) in [
            (Body::from("text"), b"text".to_vec()),
            (Body::from("string".to_owned()), b"string".to_vec()),
            (Body::from(b"array"), b"array".to_vec()),
            (Body::from(large.clone()), large.clone()),
            (
                Body::sized(std::io::Cursor::new(large.clone()), 200_000),
                large[..200_000].to_vec(),
            ),
            (Body::sized(std::io::empty(), 0), Vec::new()),
        ] {
            let request = post(body);
            assert_eq!(
                request.field("content-length").unwrap(),
                expected.len().to_string()
            );
            assert_eq!(request.field("transfer-encoding"), None);
            assert!(request.body == expected);
        }
        for expected in [large.clone(), Vec::new(), b"x".to_vec()] {
            let request = post(Body::reader(std::io::Cursor::new(expected.clone())));
            assert_eq!(request.field("content-length"), None);
            assert_eq!(request.field("transfer-encoding").unwrap(), "chunked");
            assert!(request.body == expected);
        }
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn a_body_that_fails_or_ends_early_is_the_callers_fault() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let server = Server::start(|_, peer| {
        if peer.head().is_some() {
            peer.until_closed();
        }
    });
    let client = Client::new();
    let broken = client
        .post(server.url("/"))
        .body(Body::reader(Broken))
        .send()
        .unwrap_err();
    assert!(broken.is_request() && !broken.is_protocol(), "{broken}");
    assert!(broken.to_string().contains("the disk is gone"), "{broken}");
    let short = Body::sized(&b"12345"[..], 9);
    let short = client.post(server.url("/")).body(short).send().unwrap_err();
    assert!(short.is_request(), "{short}");
    assert!(short.to_string().contains("4 bytes early"), "{short}");
}

#[test]
fn contradictions_are_refused_before_anything_is_sent() {
    let client = Client::new();
    // Nothing listens here; these must not even try.
    let post = || client.post("http://127.0.0.1:1/");
    for (builder, text) in [
        (
            post().header("transfer-encoding", "chunked"),
            "Transfer-Encoding",
        ),
        (
            post().header("content-length", "7").body("text"),
            "Content-Length",
        ),
        (
            post()
                .header("content-length", "4")
                .body(Body::reader(&b"text"[..])),
            "Content-Length",
        ),
        (
            post()
                .header("content-length", "4")
                .header("content-length", "5"),
            "Content-Length",
        ),
        (post().header("host", "a").header("host", "b"), "Host"),
        (
            post().header("expect", "the unexpected").body("x"),
            "Expect",
        ),
        (post().header("bad name", "x"), "header name"),
        (post().header("x", "split\r\nevil: 1"), "header x"),
        (
            client.request(Method::CONNECT, "http://127.0.0.1:1/"),
            "CONNECT",
        ),
        (client.get("127.0.0.1/x"), "no scheme"),
        (client.get("http://"), "empty host"),
        (client.get("ftp://127.0.0.1/"), "only http and https"),
        (client.get("file:///etc/passwd"), "only http and https"),
        (client.get("http://127.0.0.1:99999/"), "port"),
    ] {
        let e = builder.send().unwrap_err();
        assert!(e.is_request(), "{e}");
        assert!(
            !e.is_connect() && !e.is_protocol() && !e.is_timeout(),
            "{e}"
        );
        assert!(e.to_string().contains(text), "{e}");
        assert!(!e.to_string().contains('\n'), "one line: {e}");
    }
}

#[test]
fn a_content_length_that_agrees_is_accepted_once() {
    let (server, requests) = recorder();
    let client = Client::new();
    client
        .post(server.url("/"))
        .header("content-length", "4")
        .body("text")
        .send()
        .unwrap();
    assert_eq!(
        requests.recv().unwrap().field("content-length").unwrap(),
        "4"
    );
}

#[test]
fn builders_report_their_mistakes() {
    let e = Client::builder()
        .default_header("bad name", "x")
        .build()
        .unwrap_err();
    assert!(e.is_request(), "{e}");
    let e = Client::builder()
        .default_header("content-length", "1")
        .build()
        .unwrap_err();
    assert!(e.is_request(), "{e}");
    let e = Client::builder()
        .connections_per_host_max(0)
        .build()
        .unwrap_err();
    assert!(e.is_request(), "{e}");
}

#[test]
fn the_free_function_gets() {
    let (server, requests) = recorder();
    let response = ropewalk_http::client::get(server.url("/free")).unwrap();
    assert_eq!(response.text().unwrap(), "fine");
    assert_eq!(requests.recv().unwrap().line(), "GET /free HTTP/1.1");
}

#[test]
fn an_agreed_expectation_sends_the_body_and_a_refusal_does_not() {
    each_way(|| {
        let (sender, bodies) = mpsc::channel();
        let server = Server::start(move |_, peer| {
            while let Some(head) = peer.head() {
                assert_eq!(
                    super::script::field(&head, "expect").unwrap(),
                    "100-continue"
                );
                if head.starts_with("POST /no ") {
                    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
                    // The client closes: it can't know whether we wait for the body.
                    assert_eq!(peer.fill(), 0);
                    return;
                }
                peer.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
                sender.send(peer.body(&head)).unwrap();
                peer.send(ok("done"));
            }
        });
        let client = Client::builder().expect_continue(true).build().unwrap();
        let yes = client
            .post(server.url("/yes"))
            .body("hello")
            .send()
            .unwrap();
        assert_eq!(yes.text().unwrap(), "done");
        assert_eq!(bodies.recv().unwrap(), b"hello");
        let no = client.post(server.url("/no")).body("hello").send().unwrap();
        assert_eq!(no.status(), 403);
        // The caller's own header asks as well.
        let own = Client::new()
            .post(server.url("/yes"))
            .header("Expect", "100-Continue");
        assert_eq!(own.body("own").send().unwrap().text().unwrap(), "done");
        assert_eq!(bodies.recv().unwrap(), b"own");
    });
}

#[test]
fn a_server_that_ignores_the_expectation_gets_the_body_anyway() {
    let (server, requests) = recorder();
    let client = Client::builder().expect_continue(true).build().unwrap();
    client.post(server.url("/")).body("hello").send().unwrap();
    assert_eq!(requests.recv().unwrap().body, b"hello");
    // Nothing to ask for without a body.
    client.get(server.url("/")).send().unwrap();
    assert_eq!(requests.recv().unwrap().field("expect"), None);
}

#[test]
fn a_server_that_refuses_to_be_asked_is_told() {
    let server = Server::start(|n, peer| {
        let head = peer.head().unwrap();
        if n == 0 {
            assert!(super::script::field(&head, "expect").is_some());
            peer.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
            peer.until_closed();
        } else {
            assert_eq!(super::script::field(&head, "expect"), None);
            assert_eq!(peer.body(&head), b"hello");
            peer.send(ok("told"));
        }
    });
    let client = Client::builder().expect_continue(true).build().unwrap();
    let response = client.post(server.url("/")).body("hello").send().unwrap();
    assert_eq!(response.text().unwrap(), "told");
    assert_eq!(server.accepted(), 2);
}

/// An early error ends the upload: the rest of an endless body is not sent.
#[test]
fn an_early_refusal_ends_the_upload() {
    each_way(|| {
        let server = Server::start(|_, peer| {
            peer.head().unwrap();
            peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nstop");
            peer.until_closed();
        });
        let client = Client::new();
        let endless = Body::reader(std::io::repeat(b'x'));
        let response = client.post(server.url("/")).body(endless).send().unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(response.text().unwrap(), "stop");
    });
}

/// The answer of a server that closes in the middle of the upload is preferred to the broken pipe.
#[test]
fn an_answer_before_a_broken_pipe_is_returned() {
    let server = Server::start(|_, peer| {
        let head = peer.head().unwrap();
        let _ = head;
        peer.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
        peer.until_closed();
    });
    let client = Client::new();
    let body = vec![b'x'; 8 << 20];
    let response = client.put(server.url("/")).body(body).send().unwrap();
    assert_eq!(response.status(), 401);
}

#[test]
fn an_early_success_waits_for_the_upload() {
    let server = Server::start(|_, peer| {
        let head = peer.head().unwrap();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
        let body = peer.body(&head);
        peer.send(format!("{:06}", body.len()));
        peer.until_closed();
    });
    let response = Client::new()
        .post(server.url("/"))
        .body(vec![b'x'; 500_000])
        .send()
        .unwrap();
    assert_eq!(response.text().unwrap(), "500000");
}
