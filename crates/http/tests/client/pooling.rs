//! Connections kept, refreshed, bounded and given up, counted at the server.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use ropewalk_http::client::{Body, Client};
use ropewalk_rt::coroutine;

use super::script::{Server, each_way, ok};

#[test]
fn a_finished_response_gives_its_connection_back() {
    each_way(|| {
        let server = Server::always(ok("body"));
        let client = Client::new();
        for _ in 0..10 {
            assert_eq!(
                client.get(server.url("/")).send().unwrap().text().unwrap(),
                "body"
            );
        }
        assert_eq!(server.accepted(), 1);
        // Clones share the pool; other clients don't.
        client
            .clone()
            .get(server.url("/"))
            .send()
            .unwrap()
            .bytes()
            .unwrap();
        assert_eq!(server.accepted(), 1);
        Client::new()
            .get(server.url("/"))
            .send()
            .unwrap()
            .bytes()
            .unwrap();
        assert_eq!(server.accepted(), 2);
    });
}

#[test]
fn the_last_clone_and_the_last_response_close_the_connections() {
    each_way(|| {
        let (sender, closed) = mpsc::channel();
        let server = Server::start(move |_, peer| {
            while peer.request().is_some() {
                peer.send(ok("body"));
            }
            sender.send(()).unwrap();
        });
        let client = Client::new();
        client.get(server.url("/")).send().unwrap().bytes().unwrap();
        let open = client.get(server.url("/")).send().unwrap();
        drop(client);
        assert_eq!(open.text().unwrap(), "body");
        closed.recv().unwrap();
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn an_open_response_keeps_its_connection_to_itself() {
    let server = Server::always(ok("body"));
    let client = Client::new();
    let first = client.get(server.url("/")).send().unwrap();
    let second = client.get(server.url("/")).send().unwrap();
    assert_eq!(server.accepted(), 2);
    assert_eq!(second.text().unwrap(), "body");
    assert_eq!(first.text().unwrap(), "body");
    client.get(server.url("/")).send().unwrap().bytes().unwrap();
    assert_eq!(server.accepted(), 2);
}

/// Reading exactly the bytes of a chunked body, without seeing its end, is the common case.
#[test]
fn a_dropped_response_whose_rest_has_arrived_gives_its_connection_back() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let server = Server::always(chunked);
    let client = Client::new();
    for _ in 0..3 {
        let mut response = client.get(server.url("/")).send().unwrap();
        response.read_exact(&mut [0; 4]).unwrap();
    }
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_dropped_response_with_more_to_come_closes_its_connection() {
    let (sender, closed) = mpsc::channel();
    let server = Server::start(move |_, peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome");
        peer.until_closed();
        sender.send(()).unwrap();
    });
    let client = Client::new();
    drop(client.get(server.url("/")).send().unwrap());
    closed.recv().unwrap();
    drop(client.get(server.url("/")).send().unwrap());
    assert_eq!(server.accepted(), 2);
}

#[test]
fn close_is_honoured_both_ways() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let server = Server::always(answer);
        let client = Client::new();
        for n in 1..=2 {
            client.get(server.url("/")).send().unwrap().bytes().unwrap();
            assert_eq!(server.accepted(), n, "{answer}");
        }
    }
    let old =
        Server::always("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx");
    let new = Server::always(ok("x"));
    let client = Client::new();
    for _ in 0..2 {
        client.get(old.url("/")).send().unwrap().bytes().unwrap();
    }
    assert_eq!(old.accepted(), 1, "1.0 keeps alive when it says so");
    for n in 1..=2 {
        let request = client.get(new.url("/")).header("Connection", "close");
        request.send().unwrap().bytes().unwrap();
        assert_eq!(new.accepted(), n, "the caller wants it closed");
    }
}

#[test]
fn without_a_pool_every_request_connects() {
    let server = Server::always(ok("x"));
    let client = Client::builder().pool_idle_per_host_max(0).build().unwrap();
    for n in 1..=3 {
        client.get(server.url("/")).send().unwrap().bytes().unwrap();
        assert_eq!(server.accepted(), n);
    }
}

#[test]
fn an_idle_connection_past_its_timeout_is_not_used() {
    let server = Server::always(ok("x"));
    let client = Client::builder()
        .pool_idle_timeout(Duration::ZERO)
        .build()
        .unwrap();
    for n in 1..=3 {
        client.get(server.url("/")).send().unwrap().bytes().unwrap();
        assert_eq!(server.accepted(), n);
    }
}

/// The server has closed the idle connection: seen before anything is sent, so even a POST is fine.
#[test]
fn a_connection_closed_while_idle_is_replaced_unseen() {
    each_way(|| {
        let (sender, closing) = mpsc::channel();
        let server = Server::start(move |n, peer| {
            let request = peer.request().unwrap();
            peer.send(ok(&String::from_utf8(request.body).unwrap()));
            if n > 0 {
                peer.until_closed();
                return;
            }
            peer.stream.shutdown(std::net::Shutdown::Both).unwrap();
            sender.send(()).unwrap();
        });
        let client = Client::new();
        client
            .post(server.url("/"))
            .body("a")
            .send()
            .unwrap()
            .bytes()
            .unwrap();
        closing.recv().unwrap();
        let body = Body::reader(&b"once"[..]);
        let response = client.post(server.url("/")).body(body).send().unwrap();
        assert_eq!(response.text().unwrap(), "once");
        assert_eq!(server.accepted(), 2);
    });
}

/// A server that speaks on an idle connection (a 408, say) has spoilt it.
#[test]
fn a_connection_that_spoke_while_idle_is_replaced() {
    let (sender, spoken) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Server::start(move |n, peer| {
        while peer.request().is_some() {
            peer.send(ok(&n.to_string()));
            if n == 0 {
                wait.lock().unwrap().recv().unwrap();
                peer.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
                sender.send(()).unwrap();
            }
        }
    });
    let client = Client::new();
    assert_eq!(
        client.get(server.url("/")).send().unwrap().text().unwrap(),
        "0"
    );
    go.send(()).unwrap();
    spoken.recv().unwrap();
    assert_eq!(
        client.get(server.url("/")).send().unwrap().text().unwrap(),
        "1"
    );
    assert_eq!(server.accepted(), 2);
}

/// A server that closes the kept connection only when the next request arrives: the race that no
/// look beforehand can win.
fn closes_at_the_second_request() -> Server {
    Server::start(|n, peer| {
        let request = peer.request().unwrap();
        peer.send(ok(request.line()));
        if n == 0 {
            peer.request();
        } else {
            peer.until_closed();
        }
    })
}

#[test]
fn an_idempotent_request_on_a_stale_connection_is_repeated_once() {
    each_way(|| {
        let server = closes_at_the_second_request();
        let client = Client::new();
        client
            .get(server.url("/1"))
            .send()
            .unwrap()
            .bytes()
            .unwrap();
        let response = client.put(server.url("/2")).body("x").send().unwrap();
        assert_eq!(response.text().unwrap(), "PUT /2 HTTP/1.1");
        assert_eq!(server.accepted(), 2);
    });
}

#[test]
fn what_must_not_be_repeated_is_not() {
    for repeatable in [false, true] {
        let server = closes_at_the_second_request();
        let client = Client::new();
        client
            .get(server.url("/1"))
            .send()
            .unwrap()
            .bytes()
            .unwrap();
        let request = if repeatable {
            // Idempotent, but its body is gone.
            client.put(server.url("/2")).body(Body::reader(&b"x"[..]))
        } else {
            client.post(server.url("/2")).body("x")
        };
        let e = request.send().unwrap_err();
        assert!(e.is_closed() && !e.is_connect(), "{e}");
        assert_eq!(server.accepted(), 1);
    }
}

#[test]
fn a_fresh_connection_that_fails_is_not_repeated() {
    let server = Server::start(|_, peer| {
        peer.request();
    });
    let e = Client::new().get(server.url("/")).send().unwrap_err();
    assert!(e.is_closed(), "{e}");
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_repeat_that_fails_too_is_an_error() {
    let server = Server::start(|n, peer| {
        if n == 0 {
            peer.request();
            peer.send(ok("x"));
        }
        peer.request();
    });
    let client = Client::new();
    client.get(server.url("/")).send().unwrap().bytes().unwrap();
    let e = client.get(server.url("/")).send().unwrap_err();
    assert!(e.is_closed(), "{e}");
    assert_eq!(server.accepted(), 2);
}

#[test]
fn a_response_that_broke_off_is_not_repeated() {
    let server = Server::start(|_, peer| {
        peer.request();
        peer.send(ok("x"));
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Le");
    });
    let client = Client::new();
    client.get(server.url("/")).send().unwrap().bytes().unwrap();
    let e = client.get(server.url("/")).send().unwrap_err();
    assert!(e.is_closed(), "{e}");
    assert_eq!(server.accepted(), 1);
}

#[test]
fn connections_per_host_are_bounded_and_shared() {
    each_way(|| {
        let now = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (open, peak) = (Arc::clone(&now), Arc::clone(&most));
        let server = Server::start(move |_, peer| {
            peak.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let mut served = 0;
            while peer.request().is_some() {
                served += 1;
                // Some connections end, so that the right to open moves on as well.
                if served % 5 == 0 {
                    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
                    open.fetch_sub(1, Ordering::SeqCst);
                    peer.send(last);
                    return;
                }
                peer.send(ok("x"));
            }
            open.fetch_sub(1, Ordering::SeqCst);
        });
        let client = Client::builder()
            .connections_per_host_max(3)
            .build()
            .unwrap();
        let jobs: Vec<_> = (0..24)
            .map(|_| {
                let (client, url) = (client.clone(), server.url("/"));
                coroutine::spawn(move || {
                    for _ in 0..5 {
                        assert_eq!(client.get(&url).send().unwrap().text().unwrap(), "x");
                    }
                })
            })
            .collect();
        for job in jobs {
            job.join().unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 3);
        assert!(server.accepted() >= 24, "120 requests, 5 a connection");
    });
}

#[test]
fn waiting_for_a_connection_ends_at_the_deadline() {
    each_way(|| {
        let server = Server::always(ok("x"));
        let client = Client::builder()
            .connections_per_host_max(1)
            .build()
            .unwrap();
        let held = client.get(server.url("/")).send().unwrap();
        let waiting = client
            .get(server.url("/"))
            .timeout(Duration::from_millis(30));
        let e = waiting.send().unwrap_err();
        assert!(e.is_timeout() && e.is_connect(), "{e}");
        assert!(e.to_string().contains("connections_per_host_max"), "{e}");
        drop(held);
        assert_eq!(
            client.get(server.url("/")).send().unwrap().text().unwrap(),
            "x"
        );
        assert_eq!(server.accepted(), 1);
    });
}
