//! Shutting down: what is under way is finished, what is idle is closed, what is stuck is
//! cut off and counted.

use std::time::Duration;

use ropewalk_http::server::{Config, Unfinished};
use ropewalk_http::{App, Request};
use ropewalk_rt::channel;

use super::site::{LONG, Site};

#[test]
fn idle_connections_are_closed_and_new_ones_refused() {
    let site = Site::of(App::new().get("/", |_: &mut Request| "home"));
    let mut idle = site.connect();
    assert_eq!(idle.get("/").status, 200);
    let addr = site.addr;
    assert_eq!(site.handle.shutdown(LONG), Ok(()));
    assert_eq!(idle.rest(), "");
    site.join().unwrap();
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn a_request_under_way_is_answered_and_its_connection_closed() {
    let (began, has_begun) = channel::bounded::<()>(1);
    let (go, wait) = channel::bounded::<()>(0);
    let site = Site::of(App::new().get("/", move |_: &mut Request| {
        began.send(()).unwrap();
        wait.recv().unwrap();
        "done"
    }));
    let mut idle = site.connect();
    let mut busy = site.connect();
    busy.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    has_begun.recv().unwrap();
    let handle = site.handle.clone();
    let shutdown = std::thread::spawn(move || handle.shutdown(LONG));
    // The idle one is closed while the other still works.
    assert_eq!(idle.rest(), "");
    assert!(!shutdown.is_finished());
    go.send(()).unwrap();
    let answer = busy.answer();
    assert_eq!((answer.body.as_str(), answer.closes()), ("done", true));
    busy.end_writing();
    assert_eq!(busy.rest(), "");
    assert_eq!(shutdown.join().unwrap(), Ok(()));
    site.join().unwrap();
}

#[test]
fn what_is_stuck_at_the_deadline_is_cut_off_and_counted() {
    let (began, has_begun) = channel::bounded::<()>(1);
    let (go, wait) = channel::bounded::<()>(0);
    let site = Site::of(App::new().get("/", move |_: &mut Request| {
        began.send(()).unwrap();
        wait.recv().unwrap();
        "done"
    }));
    let mut stuck = site.connect();
    stuck.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    has_begun.recv().unwrap();
    let handle = site.handle.clone();
    let left = handle.shutdown(Duration::from_millis(20));
    assert_eq!(left, Err(Unfinished { connections: 1 }));
    stuck.ended();
    // It does not wait for the handler, which runs on.
    site.join().unwrap();
    assert_eq!(handle.connections(), 1);
    go.send(()).unwrap();
    assert_eq!(handle.shutdown(LONG), Ok(()));
}

#[test]
fn a_shutdown_before_serving_ends_it_at_once() {
    let server = ropewalk_http::Server::bind("127.0.0.1:0").unwrap();
    assert_eq!(server.handle().shutdown(LONG), Ok(()));
    server.serve(App::new()).unwrap();
}

/// Each round ends with a connection that may be accepted just as the stop comes.
#[test]
fn stopping_and_accepting_at_once_leaves_nothing() {
    let once = || {
        let site = Site::of(App::new().get("/", |_: &mut Request| "home"));
        let peers: Vec<_> = (0..4).map(|_| site.connect()).collect();
        let handle = site.handle.clone();
        assert_eq!(handle.shutdown(LONG), Ok(()));
        site.join().unwrap();
        assert_eq!(handle.connections(), 0);
        for mut peer in peers {
            peer.ended();
        }
    };
    // Each may take the second that connections have for their first request.
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(once);
        }
    });
}

// Shutting the socket down (`shutdown(2)`) would end it for all who accept from it.
#[test]
fn another_server_on_the_same_socket_serves_on() {
    let listener = ropewalk_rt::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let app = || App::new().get("/", |_: &mut Request| "home");
    let servers = [listener.try_clone().unwrap(), listener].map(ropewalk_http::Server::from);
    let [first, second] = servers.map(|server| {
        let handle = server.handle();
        (handle, ropewalk_rt::spawn(move || server.serve(app())))
    });
    let get = || {
        let url = format!("http://{addr}/");
        ropewalk_http::Client::new().get(url).send()?.text()
    };
    assert_eq!(get().unwrap(), "home");
    assert_eq!(first.0.shutdown(LONG), Ok(()));
    first.1.join().unwrap().unwrap();
    assert_eq!(get().unwrap(), "home");
    assert_eq!(second.0.shutdown(LONG), Ok(()));
    second.1.join().unwrap().unwrap();
    assert!(std::net::TcpStream::connect(addr).is_err());
}

// It once tried again and again, without a pause.
#[test]
fn cancelling_who_serves_ends_it() {
    let server = ropewalk_http::Server::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    let serving = ropewalk_rt::spawn(move || {
        let app = App::new().get("/", |_: &mut Request| "home");
        server.serve(app)
    });
    let url = format!("http://{addr}/");
    let home = ropewalk_http::Client::new().get(url).send().unwrap();
    assert_eq!(home.text().unwrap(), "home");
    serving.cancel();
    assert!(serving.join().unwrap().is_err());
    assert!(std::net::TcpStream::connect(addr).is_err());
}

// A client that keeps its connection held the server up until that had been idle for long enough.
#[test]
fn cancelling_who_serves_ends_its_connections() {
    let config = Config {
        idle_timeout: LONG * 100,
        ..Config::default()
    };
    let site = Site::with(config, App::new().get("/", |_: &mut Request| "home"));
    let mut idle = site.connect();
    assert_eq!(idle.get("/").status, 200);
    site.cancel();
    assert_eq!(idle.rest(), "");
    assert!(site.join().is_err());
}

// Its client can't know that nobody would answer: with a restart, that request would be lost.
#[test]
fn a_connection_gets_its_first_request_answered() {
    let site = Site::of(App::new().get("/", |_: &mut Request| "home"));
    let mut used = site.connect();
    assert_eq!(used.get("/").status, 200);
    let mut fresh = site.connect();
    let mut silent = site.connect();
    while site.handle.connections() < 3 {
        std::thread::yield_now();
    }
    let handle = site.handle.clone();
    let shutdown = std::thread::spawn(move || handle.shutdown(LONG));
    assert_eq!(used.rest(), "");
    fresh.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    let answer = fresh.answer();
    assert_eq!((answer.body.as_str(), answer.closes()), ("home", true));
    // One that says nothing is not waited for to the deadline.
    assert_eq!(silent.rest(), "");
    fresh.end_writing();
    assert_eq!(fresh.rest(), "");
    assert_eq!(shutdown.join().unwrap(), Ok(()));
    site.join().unwrap();
}
