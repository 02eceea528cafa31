//! Accepting: alone, in company, from listeners that were given, until told to stop.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::{coroutine, spawn, thread};
use socket2::SockRef;

use super::listener;
use crate::stage::{PATIENCE, in_coroutines, on_each, runtime, until_waiting};

/// Connects `clients` times and lets `acceptors` accept that many together.
fn accept_in_company(listener: &TcpListener, acceptors: usize, clients: usize) {
    assert_eq!(clients % acceptors, 0);
    let addr = listener.local_addr().unwrap();
    let served = AtomicUsize::new(0);
    coroutine::scope(|s| {
        for _ in 0..acceptors {
            s.spawn(|| {
                for _ in 0..clients / acceptors {
                    let (mut stream, from) = listener.accept().unwrap();
                    assert_eq!(stream.peer_addr().unwrap(), from);
                    served.fetch_add(1, Ordering::Relaxed);
                    stream.write_all(b"served").unwrap();
                }
            });
        }
        for _ in 0..clients {
            s.spawn(move || {
                let mut text = String::new();
                TcpStream::connect(addr)
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap();
                assert_eq!(text, "served");
            });
        }
    });
    assert_eq!(served.into_inner(), clients);
}

// Several coroutines accept from one listener: each connection goes to one of them.
#[test]
fn several_acceptors() {
    on_each(|| {
        let (listener, _) = listener();
        accept_in_company(&listener, 5, 100);
    });
}

// The same from a listener that std made, which blocks: it is used as it is, and keeps its mode.
#[test]
fn several_acceptors_on_a_given_listener() {
    on_each(|| {
        for nonblocking in [false, true] {
            let given = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            given.set_nonblocking(nonblocking).unwrap();
            let listener = TcpListener::from(given);
            accept_in_company(&listener, 5, 60);
            assert_eq!(SockRef::from(&listener).nonblocking().unwrap(), nonblocking);
            let given = std::net::TcpListener::from(listener);
            assert_eq!(SockRef::from(&given).nonblocking().unwrap(), nonblocking);
        }
    });
}

// Threads and coroutines accept side by side.
#[test]
fn threads_accept_too() {
    on_each(|| {
        let (listener, addr) = listener();
        let listener = Arc::new(listener);
        let accept = || {
            let listener = Arc::clone(&listener);
            move || {
                for _ in 0..10 {
                    listener.accept().unwrap().0.write_all(b"ok").unwrap();
                }
            }
        };
        let acceptors = [thread::spawn(accept()), spawn(accept()), spawn(accept())];
        for _ in 0..30 {
            let mut text = String::new();
            TcpStream::connect(addr)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, "ok");
        }
        for acceptor in acceptors {
            acceptor.join().unwrap();
        }
    });
}

// The iterator goes on for ever.
#[test]
fn incoming() {
    on_each(|| {
        let (listener, addr) = listener();
        let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let accepted: Vec<_> = listener
            .incoming()
            .take(5)
            .map(|stream| stream.unwrap())
            .collect();
        for stream in &accepted {
            let peer = stream.peer_addr().unwrap();
            assert!(
                clients
                    .iter()
                    .any(|client| client.local_addr().unwrap() == peer)
            );
        }
    });
}

// Shutting the socket of a listener down ends the accepts that wait.
#[test]
fn shutting_a_listener_down_ends_its_accepts() {
    in_coroutines(|| {
        let (listener, _) = listener();
        coroutine::scope(|s| {
            let acceptors: Vec<_> = (0..3)
                .map(|_| s.spawn(|| listener.accept().is_err()))
                .collect();
            for acceptor in &acceptors {
                until_waiting(acceptor.id(), "reading");
            }
            SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
            for acceptor in acceptors {
                assert!(acceptor.join().unwrap());
            }
        });
        assert!(listener.accept().is_err());
    });
}

// Two owners of one socket both accept; one goes, the other is none the worse.
#[test]
fn a_cloned_listener() {
    on_each(|| {
        let (listener, addr) = listener();
        let clone = listener.try_clone().unwrap();
        assert_eq!(clone.local_addr().unwrap(), addr);
        let first = TcpStream::connect(addr).unwrap();
        let (_, from) = clone.accept().unwrap();
        assert_eq!(from, first.local_addr().unwrap());
        drop(listener);
        let acceptor = spawn(move || clone.accept().unwrap().1);
        let second = TcpStream::connect(addr).unwrap();
        assert_eq!(acceptor.join().unwrap(), second.local_addr().unwrap());
    });
}

// One owner of a socket hands it to std, where it blocks: the other accepts without blocking its
// worker all the same.
#[test]
fn a_clone_given_to_std_does_not_block_the_other() {
    for driver in crate::stage::drivers() {
        let runtime = runtime(driver, 1);
        let (listener, addr) = listener();
        let clone = listener.try_clone().unwrap();
        let given = std::net::TcpListener::from(clone);
        let acceptor = runtime.spawn(move || drop(listener.accept().unwrap()));
        let other = runtime.spawn(|| ()).join_timeout(PATIENCE);
        // Also lets a worker go that is blocked.
        let _client = TcpStream::connect(addr).unwrap();
        acceptor.join().unwrap();
        assert!(other.is_ok(), "the worker was blocked");
        drop(given);
        crate::stage::close(runtime);
    }
}
