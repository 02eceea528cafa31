//! Over loopback: connections that stay, that are slow, that break, and how many there may be.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_http::codec::Limits;
use ropewalk_http::server::Config;
use ropewalk_http::{App, Request, Response};
use ropewalk_rt::channel;

use super::site::Site;

const SHORT: Duration = Duration::from_millis(50);

fn home() -> App {
    App::new().get("/", |_: &mut Request| "home")
}

#[test]
fn a_connection_is_kept_also_after_404() {
    let site = Site::of(home());
    let mut peer = site.connect();
    for _ in 0..3 {
        assert_eq!(peer.get("/").body, "home");
        assert_eq!(peer.get("/nowhere").status, 404);
    }
    assert_eq!(site.handle.connections(), 1);
}

#[test]
fn a_slow_handler_stalls_nobody_else() {
    let (go, wait) = channel::bounded::<()>(0);
    let site = Site::of(home().get("/slow", move |_: &mut Request| {
        wait.recv().unwrap();
        "slow"
    }));
    let mut slow: Vec<_> = (0..50).map(|_| site.connect()).collect();
    for peer in &mut slow {
        peer.send("GET /slow HTTP/1.1\r\nhost: here\r\n\r\n");
    }
    assert_eq!(site.connect().get("/").body, "home");
    for _ in &slow {
        go.send(()).unwrap();
    }
    for peer in &mut slow {
        assert_eq!(peer.answer().body, "slow");
    }
}

#[test]
fn a_panic_harms_no_other_connection() {
    let site = Site::of(home().get("/panic", |_: &mut Request| -> &'static str {
        std::panic::resume_unwind(Box::new("on purpose"))
    }));
    let mut other = site.connect();
    assert_eq!(other.get("/").status, 200);
    let mut peer = site.connect();
    let answer = peer.get("/panic");
    assert_eq!((answer.status, answer.closes()), (500, true));
    peer.end_writing();
    assert_eq!(peer.rest(), "");
    assert_eq!(other.get("/").status, 200);
}

#[test]
fn a_head_that_drips_is_408() {
    let config = Config {
        head_timeout: SHORT,
        ..Config::default()
    };
    let site = Site::with(config, home());
    let mut peer = site.connect();
    peer.send("GET / HTTP/1.1\r\nhost: he");
    let answer = peer.answer();
    assert_eq!((answer.status, answer.closes()), (408, true));
    peer.end_writing();
    assert_eq!(peer.rest(), "");
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let config = Config {
        body_timeout: SHORT,
        ..Config::default()
    };
    let site = Site::with(
        config,
        App::new().post("/", |request: &mut Request| request.read_body()),
    );
    let mut peer = site.connect();
    peer.send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhe");
    assert_eq!(peer.answer().status, 408);
    peer.ended();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let config = Config {
        idle_timeout: SHORT,
        ..Config::default()
    };
    // Its request is there before the time runs, however slow this client is.
    let request = "GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    let (site, mut peer) = Site::with_early(config, home(), request);
    assert_eq!(peer.answer().status, 200);
    assert_eq!(peer.rest(), "");
    let mut peer = site.connect();
    assert_eq!(peer.rest(), "");
}

/// The handler's endless answer ends when the client takes none of it.
#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let config = Config {
        write_timeout: SHORT,
        ..Config::default()
    };
    let site = Site::with(
        config,
        App::new().get("/", |_: &mut Request| {
            Response::reader(std::io::repeat(b'x'), None)
        }),
    );
    let mut peer = site.connect();
    peer.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    let mut first = [0];
    peer.stream.read_exact(&mut first).unwrap();
    while site.handle.connections() > 0 {
        std::thread::yield_now();
    }
    peer.ended();
}

/// Requests that nobody reads the answers of are not run without end.
#[test]
fn requests_are_not_run_ahead_of_a_client_that_reads_nothing() {
    let ran = Arc::new(AtomicUsize::new(0));
    let runs = Arc::clone(&ran);
    let site = Site::of(App::new().get("/", move |_: &mut Request| {
        runs.fetch_add(1, Ordering::SeqCst);
        "x".repeat(1 << 20)
    }));
    let mut peer = site.connect();
    const REQUESTS: usize = 100;
    peer.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n".repeat(REQUESTS));
    for nth in 0..REQUESTS {
        assert_eq!(peer.answer().body.len(), 1 << 20);
        // What the sockets of both sides hold is a few MiB.
        let ahead = ran.load(Ordering::SeqCst) - nth;
        assert!(ahead < 32, "{ahead} answers ahead");
    }
}

#[test]
fn a_half_closed_client_gets_its_answers() {
    let site = Site::of(home());
    let mut peer = site.connect();
    peer.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n".repeat(3));
    peer.end_writing();
    let all = peer.rest();
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 3);
    assert!(all.ends_with("home"));
}

#[test]
fn connections_over_the_limit_wait_their_turn() {
    let config = Config {
        connections_max: 2,
        ..Config::default()
    };
    let site = Site::with(config, home());
    let mut first = site.connect();
    let mut second = site.connect();
    assert_eq!(first.get("/").status, 200);
    assert_eq!(second.get("/").status, 200);
    let mut third = site.connect();
    third.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    assert_eq!(first.get("/").status, 200);
    assert_eq!(site.handle.connections(), 2);
    drop(first);
    assert_eq!(third.answer().status, 200);
}

#[test]
fn heads_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits {
        head_bytes_max: 20_000,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    let site = Site::with(config, home());
    let of = |len: usize| {
        let frame = "GET / HTTP/1.1\r\nhost: here\r\nlong: \r\n\r\n".len();
        let value = "v".repeat(len - frame);
        format!("GET / HTTP/1.1\r\nhost: here\r\nlong: {value}\r\n\r\n")
    };
    let mut peer = site.connect();
    peer.send(of(20_000));
    assert_eq!(peer.answer().status, 200);
    peer.send(of(20_001));
    assert_eq!(peer.answer().status, 431);
    peer.end_writing();
    assert_eq!(peer.rest(), "");
}

/// A head over the limit is refused while it is still being sent, and the answer arrives.
#[test]
fn an_endless_head_is_431() {
    let site = Site::of(home());
    let mut peer = site.connect();
    peer.send("GET / HTTP/1.1\r\nhost: here\r\n");
    peer.send("a: b\r\n".repeat(50_000));
    assert_eq!(peer.answer().status, 431);
    peer.end_writing();
    assert_eq!(peer.rest(), "");
}
