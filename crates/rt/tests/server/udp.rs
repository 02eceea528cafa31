//! The UDP server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::net::UdpSocket;
use ropewalk_rt::net::server::{Request, ServerHandle, UdpHandler, UdpServer};
use ropewalk_rt::sync::Semaphore;
use ropewalk_rt::{JoinHandle, cancel, coroutine};

use crate::stage::{PATIENCE, on_each, until};

type Serving = JoinHandle<io::Result<()>>;

fn start<H: UdpHandler>(server: UdpServer<H>) -> (SocketAddr, ServerHandle, Serving) {
    let addr = server.local_addr().unwrap();
    let handle = server.handle();
    (
        addr,
        handle,
        coroutine::spawn(move || server.serve_forever()),
    )
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// An address of this process alone, as far as there are enough: a port that was closed is taken by
/// nobody meanwhile.
fn own_loopback() -> Ipv4Addr {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    Ipv4Addr::new(127, 78, high, low)
}

fn upper(request: Request) -> io::Result<()> {
    let answer = request.data().to_ascii_uppercase();
    request.reply(&answer).map(drop)
}

#[test]
fn answers_each_datagram_and_keeps_its_borders() {
    on_each(|| {
        let server = UdpServer::bind((own_loopback(), 0), upper).unwrap();
        let (addr, handle, serving) = start(server);
        let clients: Vec<_> = (0..5).map(|_| client()).collect();
        let long = "x".repeat(60_000);
        for text in ["one", "", "two", &long] {
            // Not more at once than the server's buffer holds.
            let clients = &clients[..if text.len() > 3 { 1 } else { clients.len() }];
            for client in clients {
                client.send_to(text.as_bytes(), addr).unwrap();
            }
            for client in clients {
                let mut buf = vec![0; 65_535];
                let (len, from) = client.recv_from(&mut buf).unwrap();
                assert_eq!(from, addr);
                assert_eq!(&buf[..len], text.to_uppercase().as_bytes());
            }
        }
        until(|| handle.stats().open == 0);
        assert_eq!(handle.stats().accepted, 16);
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
        // The address is free again; a moment later where another test starts a process, which has
        // the socket too until it runs its program.
        until(|| UdpSocket::bind(addr).is_ok());
    });
}

#[test]
fn handlers_are_bounded_and_nothing_in_the_buffer_is_lost() {
    on_each(|| {
        let gate = Arc::new(Semaphore::new(0));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let handler = {
            let (gate, now, most) = (Arc::clone(&gate), Arc::clone(&now), Arc::clone(&most));
            move |_: Request| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().unwrap().forget();
                now.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let server = UdpServer::bind("127.0.0.1:0", handler).unwrap();
        let (addr, handle, serving) = start(server.max_handlers(2));
        let client = client();
        for n in 0..10u8 {
            client.send_to(&[n], addr).unwrap();
        }
        until(|| now.load(Ordering::SeqCst) == 2);
        assert_eq!(handle.stats().open, 2);
        gate.add_permits(10);
        until(|| handle.stats().accepted == 10 && handle.stats().open == 0);
        assert_eq!(most.load(Ordering::SeqCst), 2);
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn panics_and_errors_concern_one_datagram_only() {
    on_each(|| {
        let handler = |request: Request| match request.data() {
            b"panic" => panic!("as it should be"),
            b"fail" => Err(io::Error::other("as it should be")),
            _ => upper(request),
        };
        let (addr, handle, serving) = start(UdpServer::bind("127.0.0.1:0", handler).unwrap());
        let client = client();
        for text in ["panic", "fail", "fine"] {
            client.send_to(text.as_bytes(), addr).unwrap();
        }
        let mut buf = [0; 16];
        let len = client.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"FINE");
        until(|| handle.stats().accepted == 3 && handle.stats().open == 0);
        let stats = handle.stats();
        assert_eq!((stats.panicked, stats.failed), (1, 1));
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_shutdown_cancels_who_waits_too_long() {
    on_each(|| {
        let handler = |_: Request| cancel::sleep(Duration::from_secs(3600)).is_ok();
        let handler = move |request| {
            assert!(!handler(request), "it is cancelled");
        };
        let server = UdpServer::bind("127.0.0.1:0", handler).unwrap();
        let (addr, handle, serving) = start(server.grace(PATIENCE));
        let client = client();
        client.send_to(b"", addr).unwrap();
        until(|| handle.stats().open == 1);
        assert_eq!(handle.peers(), [client.local_addr().unwrap()]);
        let unfinished = handle.shutdown(Duration::from_millis(5)).unwrap_err();
        assert_eq!((unfinished.cancelled(), unfinished.left().len()), (1, 0));
        serving.join().unwrap().unwrap();
        assert_eq!(handle.stats().panicked, 0);
    });
}

// As with TCP: by its token, or by the handle of its coroutine.
#[test]
fn a_cancelled_server_cancels_its_handlers() {
    on_each(|| {
        for by_token in [true, false] {
            let token = cancel::Token::new();
            let handler = |_: Request| assert!(cancel::sleep(Duration::from_secs(3600)).is_err());
            let server = UdpServer::bind("127.0.0.1:0", handler).unwrap();
            let (addr, handle, serving) = token.run(|| start(server.grace(PATIENCE)));
            client().send_to(b"", addr).unwrap();
            until(|| handle.stats().open == 1);
            if by_token {
                token.cancel();
            } else {
                serving.cancel();
            }
            let error = serving.join().unwrap().unwrap_err();
            let inner = error.get_ref().expect("the reason");
            assert!(inner.is::<cancel::Cancelled>(), "{error}");
            let stats = handle.stats();
            assert_eq!((stats.open, stats.panicked, stats.pauses), (0, 0, 0));
        }
    });
}
