//! Redirects followed, counted, refused; credentials that stay behind. Over the wire; the table of
//! methods and locations is a unit test beside the code.

use std::sync::mpsc;

use http::Method;
use ropewalk_http::client::{Body, Client};

use super::script::{Request, Server, each_way, ok};

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved")
}

/// Redirects `/from/STATUS` to `/to`, and passes on what it was asked.
fn redirector() -> (Server, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel();
    let server = Server::start(move |_, peer| {
        while let Some(request) = peer.request() {
            let path = request.line().split(' ').nth(1).unwrap().to_owned();
            sender.send(request).unwrap();
            match path.strip_prefix("/from/") {
                Some(status) => peer.send(redirect(status.parse().unwrap(), "../to?x=1")),
                None => peer.send(ok("arrived")),
            }
        }
    });
    (server, receiver)
}

#[test]
fn redirects_are_followed_on_the_same_connection() {
    each_way(|| {
        let (server, requests) = redirector();
        let client = Client::new();
        for status in [301, 302, 303, 307, 308] {
            let url = server.url(&format!("/from/{status}#part"));
            let response = client.get(url).send().unwrap();
            assert_eq!(response.url().as_str(), server.url("/to?x=1#part"));
            assert_eq!(response.text().unwrap(), "arrived");
            requests.recv().unwrap();
            assert_eq!(requests.recv().unwrap().line(), "GET /to?x=1 HTTP/1.1");
        }
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn methods_and_bodies_follow_the_status() {
    let (server, requests) = redirector();
    let client = Client::new();
    for (method, status, then, keeps_body) in [
        (Method::POST, 301, "GET", false),
        (Method::POST, 302, "GET", false),
        (Method::POST, 303, "GET", false),
        (Method::PUT, 303, "GET", false),
        (Method::PUT, 302, "PUT", true),
        (Method::POST, 307, "POST", true),
        (Method::POST, 308, "POST", true),
    ] {
        let request = client
            .request(method, server.url(&format!("/from/{status}")))
            .header("content-type", "text/plain")
            .body("payload");
        assert_eq!(request.send().unwrap().text().unwrap(), "arrived");
        assert_eq!(requests.recv().unwrap().body, b"payload");
        let second = requests.recv().unwrap();
        assert!(
            second.line().starts_with(&format!("{then} /to?x=1 ")),
            "{}",
            second.line()
        );
        assert_eq!(
            second.body,
            if keeps_body {
                b"payload".to_vec()
            } else {
                Vec::new()
            }
        );
        assert_eq!(second.field("content-type").is_some(), keeps_body);
        assert_eq!(second.field("content-length").is_some(), keeps_body);
    }
}

#[test]
fn credentials_are_dropped_across_origins_and_kept_within() {
    each_way(|| {
        let (target, requests) = redirector();
        let elsewhere = target.url("/to");
        let server = Server::start(move |_, peer| {
            while peer.request().is_some() {
                peer.send(redirect(307, &elsewhere));
            }
        });
        let client = Client::new();
        let with_secrets = |url: String| {
            client
                .get(url)
                .header("authorization", "Bearer secret")
                .header("cookie", "session=secret")
                .header("proxy-authorization", "Basic secret")
                .header("x-harmless", "stays")
                .send()
                .unwrap()
        };
        with_secrets(server.url("/"));
        let request = requests.recv().unwrap();
        for name in ["authorization", "cookie", "proxy-authorization"] {
            assert_eq!(request.field(name), None, "another port is another origin");
        }
        assert_eq!(request.field("x-harmless").unwrap(), "stays");
        assert_eq!(request.field("host").unwrap(), target.addr.to_string());

        with_secrets(target.url("/from/302"));
        requests.recv().unwrap();
        let request = requests.recv().unwrap();
        assert_eq!(request.field("authorization").unwrap(), "Bearer secret");
        assert_eq!(request.field("cookie").unwrap(), "session=secret");
    });
}

#[test]
fn a_loop_ends_at_the_limit() {
    each_way(|| {
        let server = Server::start(|_, peer| {
            while peer.request().is_some() {
                peer.send(redirect(302, "/again"));
            }
        });
        let e = Client::new().get(server.url("/")).send().unwrap_err();
        assert!(e.is_redirect() && !e.is_protocol(), "{e}");
        assert!(e.to_string().contains("more than 10 redirects"), "{e}");
        assert!(e.url().unwrap().as_str().ends_with("/again"));
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn the_limit_is_exact_and_zero_follows_none() {
    let server = Server::start(|_, peer| {
        while let Some(request) = peer.request() {
            let n: u32 = request
                .line()
                .split(['/', ' '])
                .nth(2)
                .unwrap()
                .parse()
                .unwrap();
            peer.send(if n == 0 {
                ok("end")
            } else {
                redirect(302, &format!("/{}", n - 1))
            });
        }
    });
    let client = Client::builder().redirects_max(3).build().unwrap();
    assert_eq!(
        client.get(server.url("/3")).send().unwrap().text().unwrap(),
        "end"
    );
    assert!(
        client
            .get(server.url("/4"))
            .send()
            .unwrap_err()
            .is_redirect()
    );
    let client = Client::builder().redirects_max(0).build().unwrap();
    let response = client.get(server.url("/4")).send().unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "/3");
    assert_eq!(response.text().unwrap(), "moved");
}

#[test]
fn redirects_that_lead_nowhere_are_errors_and_without_location_responses() {
    for location in [
        "ftp://127.0.0.1/",
        "http://[nonsense",
        "data:text/plain,hello",
    ] {
        let server = Server::always(redirect(302, location));
        let e = Client::new().get(server.url("/")).send().unwrap_err();
        assert!(e.is_redirect() && !e.is_request(), "{location}: {e}");
    }
    let server = Server::always("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        Client::new().get(server.url("/")).send().unwrap().status(),
        302
    );
}

#[test]
fn a_reader_cannot_be_sent_twice() {
    let (server, _requests) = redirector();
    let client = Client::new();
    let body = Body::reader(&b"once"[..]);
    let e = client
        .post(server.url("/from/307"))
        .body(body)
        .send()
        .unwrap_err();
    assert!(e.is_redirect(), "{e}");
    assert!(e.to_string().contains("can't be read again"), "{e}");
    // Where the body isn't wanted any more it doesn't matter.
    let body = Body::reader(&b"once"[..]);
    let response = client
        .post(server.url("/from/303"))
        .body(body)
        .send()
        .unwrap();
    assert_eq!(response.text().unwrap(), "arrived");
}

/// Asked first, a redirected upload has not been read yet, and goes to where it is wanted.
#[test]
fn an_upload_that_asks_first_survives_a_redirect() {
    let server = Server::start(|n, peer| {
        let head = peer.head().unwrap();
        if n == 0 {
            peer.send("HTTP/1.1 307 Moved\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n");
            peer.until_closed();
        } else {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(peer.body(&head), b"once");
            peer.send(ok("arrived"));
        }
    });
    let client = Client::builder().expect_continue(true).build().unwrap();
    let body = Body::reader(&b"once"[..]);
    let response = client.post(server.url("/from")).body(body).send().unwrap();
    assert_eq!(response.text().unwrap(), "arrived");
}

/// The body of a redirect is not worth much: an endless one is given up with its connection.
#[test]
fn an_endless_redirect_body_costs_only_its_connection() {
    let server = Server::start(|n, peer| {
        peer.request();
        if n > 0 {
            return peer.send(ok("arrived"));
        }
        use std::io::Write;
        peer.send("HTTP/1.1 302 Found\r\nLocation: /to\r\nTransfer-Encoding: chunked\r\n\r\n");
        while peer.stream.write_all(b"4\r\nmore\r\n").is_ok() {}
    });
    // With one connection at a time, the first must be given up before the second is opened.
    let client = Client::builder()
        .connections_per_host_max(1)
        .build()
        .unwrap();
    let response = client.get(server.url("/")).send().unwrap();
    assert_eq!(response.text().unwrap(), "arrived");
    assert_eq!(server.accepted(), 2);
}
