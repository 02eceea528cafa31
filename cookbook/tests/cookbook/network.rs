//! Rows N: sockets.

use std::sync::atomic::Ordering;

use ropewalk::time::Duration;

use crate::program::n1_echo::{Fourth, POOL, STARTS, Server, fourth_waits, restart};
use crate::program::n2_nonblocking::{Polling, troublesome_clients};
use crate::program::{n6_protocols, n10_socketserver};

/// N1: three are served at once and the fourth after one of them, with threads and with
/// coroutines; then the address is used again.
#[test]
fn the_fourth_client_waits_its_turn() {
    for (kind, start) in STARTS {
        let server = Server::start(([127, 0, 0, 1], 0).into(), start).unwrap();
        let expected = Fourth {
            first: ["ONE", "TWO", "THREE"].map(String::from).to_vec(),
            early: false,
            answer: "FOUR".to_string(),
            most: POOL,
        };
        assert_eq!(fourth_waits(&server).unwrap(), expected, "with {kind}");

        let (lingering, answer) = restart(server, start).unwrap();
        assert!(lingering, "nothing would have been in the way, with {kind}");
        assert_eq!(answer, "AGAIN", "with {kind}");
    }
}

/// N2: a peer that takes nothing and one that resets its connection harm nobody, and what
/// could not be sent at once is sent later.
#[test]
fn polled_clients_do_not_harm_each_other() {
    let server = Polling::start().unwrap();
    let (answer, got, sent) = troublesome_clients(&server).unwrap();
    assert_eq!(answer, "AND ME?");
    assert_eq!(got, sent);
    assert_eq!(server.counts.reset.load(Ordering::SeqCst), 1);
    assert!(server.counts.full.load(Ordering::SeqCst) > 0);
    server.stop().unwrap();
}

/// N6: streams, and protocols for TCP, pipes and UDP.
#[test]
fn streams_and_protocols_do_what_asyncio_does() {
    let len = 32 << 20;
    let (before, arrived) = n6_protocols::write_waits_for_room(len).unwrap();
    assert!(before < len && arrived >= len, "{before} {arrived}");
    let (text, log) = n6_protocols::over_tcp().unwrap();
    assert_eq!(text, "hello, and goodbye");
    assert_eq!(log, ["connected", "data: hello", "eof", "lost: None"]);
    assert_eq!(n6_protocols::flow_control().unwrap(), ["pause", "resume"]);
    assert_eq!(n6_protocols::over_pipes().unwrap(), "apple\nfig\npear\n");
    assert_eq!(n6_protocols::over_udp().unwrap(), "A DATAGRAM");
}

/// N10: no more than so many are served at once, and a shutdown waits for them.
#[test]
fn a_socketserver_serves_and_shuts_down() {
    let handler = n10_socketserver::Upper::default();
    let server = n10_socketserver::start_tcp(handler, 2).unwrap();
    let mut one = n10_socketserver::Client::connect(server.addr).unwrap();
    assert_eq!(one.ask("hello").unwrap(), "HELLO");
    let ending = ropewalk::spawn({
        let handle = server.handle.clone();
        move || handle.shutdown(Duration::from_secs(30))
    });
    assert_eq!(one.ask("to the end").unwrap(), "TO THE END");
    drop(one);
    ending.join().unwrap().unwrap();
    server.join().unwrap();

    let server = n10_socketserver::start_udp(n10_socketserver::upper).unwrap();
    assert_eq!(n10_socketserver::ask_udp(server.addr, b"").unwrap(), b"");
    assert_eq!(n10_socketserver::ask_udp(server.addr, b"x").unwrap(), b"X");
    server.handle.shutdown(Duration::from_secs(30)).unwrap();
    server.join().unwrap();
}
