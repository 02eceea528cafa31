//! The TCP server: it serves, keeps to its limit, survives what can fail, and ends.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::net::server::{ServerHandle, TcpHandler, TcpServer, WhenFull, listeners};
use ropewalk_rt::net::{Shutdown, TcpStream};
use ropewalk_rt::sync::{Event, Mutex};
use ropewalk_rt::{JoinHandle, cancel, coroutine};

use crate::stage::{PATIENCE, on_each, until};

type Serving = JoinHandle<io::Result<()>>;

fn start<H: TcpHandler>(server: TcpServer<H>) -> (SocketAddr, ServerHandle, Serving) {
    let addr = server.local_addr().unwrap();
    let handle = server.handle();
    (
        addr,
        handle,
        coroutine::spawn(move || server.serve_forever()),
    )
}

fn upper(mut stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    let mut buf = [0; 512];
    loop {
        let read = stream.read(&mut buf)?;
        if read == 0 {
            return Ok(());
        }
        buf[..read].make_ascii_uppercase();
        stream.write_all(&buf[..read])?;
    }
}

fn ask(stream: &TcpStream, text: &str) -> io::Result<String> {
    let (mut reader, mut writer) = (stream, stream);
    writer.write_all(text.as_bytes())?;
    let mut answer = vec![0; text.len()];
    reader.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn serves_many_at_once_and_ends_when_they_have() {
    on_each(|| {
        let (addr, handle, serving) = start(TcpServer::bind("127.0.0.1:0", upper).unwrap());
        let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(addr).unwrap()).collect();
        for (n, client) in clients.iter().enumerate() {
            assert_eq!(
                ask(client, &format!("client {n:02}")).unwrap(),
                format!("CLIENT {n:02}")
            );
        }
        let stats = handle.stats();
        assert_eq!((stats.open, stats.accepted, stats.refused), (20, 20, 0));
        let peers: HashSet<_> = handle.peers().into_iter().collect();
        let own: HashSet<_> = clients
            .iter()
            .map(|client| client.local_addr().unwrap())
            .collect();
        assert_eq!(peers, own);

        // It waits for those who are being served, and takes no new ones.
        let ending = coroutine::spawn({
            let handle = handle.clone();
            move || handle.shutdown(PATIENCE)
        });
        until(|| TcpStream::connect(addr).is_err());
        assert_eq!(ask(&clients[7], "still here").unwrap(), "STILL HERE");
        drop(clients);
        ending.join().unwrap().unwrap();
        serving.join().unwrap().unwrap();
        assert_eq!(handle.stats().open, 0);
    });
}

#[test]
fn who_does_not_end_is_cancelled_and_who_does_not_mind_that_is_told() {
    on_each(|| {
        let go_on = Arc::new(Event::new());
        let stubborn = Arc::clone(&go_on);
        let (begun, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (begins, ends) = (Arc::clone(&begun), Arc::clone(&ended));
        let handler = move |mut stream: TcpStream, _peer: SocketAddr| -> io::Result<()> {
            let mut kind = [0];
            stream.read_exact(&mut kind)?;
            begins.fetch_add(1, Ordering::SeqCst);
            if kind == *b"s" {
                cancel::shield(|| stubborn.wait()).expect("shielded");
            }
            // Ends by its token.
            let end = stream.read_exact(&mut kind);
            ends.fetch_add(1, Ordering::SeqCst);
            end
        };
        let server = TcpServer::bind("127.0.0.1:0", handler).unwrap();
        let (addr, handle, serving) = start(server.grace(Duration::from_millis(50)));
        let connect = |kind: &[u8]| {
            let client = TcpStream::connect(addr).unwrap();
            (&client).write_all(kind).unwrap();
            client
        };
        let _patient = [connect(b"p"), connect(b"p")];
        let stubborn = connect(b"s");
        until(|| begun.load(Ordering::SeqCst) == 3);
        let unfinished = handle.shutdown(Duration::from_millis(10)).unwrap_err();
        assert_eq!(unfinished.cancelled(), 3);
        // On a busy machine the others may have had no turn in that time.
        let stubborn = stubborn.local_addr().unwrap();
        let mut left = unfinished.left().iter();
        let left = left.find(|left| left.peer == stubborn).expect("it is left");
        assert!(left.task.as_ref().unwrap().is_alive());
        let text = unfinished.to_string();
        assert!(text.contains(&left.peer.to_string()), "{text}");
        // The server is over nevertheless.
        serving.join().unwrap().unwrap();
        until(|| ended.load(Ordering::SeqCst) == 2 && handle.stats().open == 1);
        assert_eq!(handle.peers(), [stubborn]);
        go_on.set();
        until(|| handle.stats().open == 0);
        assert_eq!(handle.stats().failed, 3);
    });
}

#[test]
fn a_panic_ends_one_connection_only() {
    on_each(|| {
        let handler = |stream: TcpStream, peer: SocketAddr| {
            let mut kind = [0];
            (&stream).read_exact(&mut kind).unwrap();
            assert_ne!(kind, *b"!", "as it should be");
            upper(stream, peer).unwrap();
        };
        let (addr, handle, serving) = start(TcpServer::bind("127.0.0.1:0", handler).unwrap());
        let good = TcpStream::connect(addr).unwrap();
        let bad = TcpStream::connect(addr).unwrap();
        (&bad).write_all(b"!").unwrap();
        assert_eq!((&bad).read(&mut [0]).unwrap(), 0);
        (&good).write_all(b".").unwrap();
        assert_eq!(ask(&good, "fine").unwrap(), "FINE");
        until(|| handle.stats().open == 1);
        assert_eq!(handle.stats().panicked, 1);
        drop(good);
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn no_more_are_served_at_once_than_may_be() {
    on_each(|| {
        let most = Arc::new(AtomicUsize::new(0));
        let now = Arc::new(AtomicUsize::new(0));
        let handler = {
            let (most, now) = (Arc::clone(&most), Arc::clone(&now));
            move |stream: TcpStream, peer: SocketAddr| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let result = upper(stream, peer);
                now.fetch_sub(1, Ordering::SeqCst);
                result
            }
        };
        let server = TcpServer::bind("127.0.0.1:0", handler).unwrap();
        let (addr, handle, serving) = start(server.max_connections(3));
        // The kernel takes them all; those beyond are served when others have gone.
        let mut clients: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
        while !clients.is_empty() {
            until(|| handle.stats().open == clients.len().min(3));
            let client = clients.remove(0);
            assert_eq!(ask(&client, "my turn").unwrap(), "MY TURN");
        }
        until(|| handle.stats().open == 0);
        assert_eq!(handle.stats().accepted, 10);
        assert!(most.load(Ordering::SeqCst) <= 3);
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn those_beyond_the_limit_are_refused_if_so_told() {
    on_each(|| {
        let server = TcpServer::bind("127.0.0.1:0", upper).unwrap();
        let (addr, handle, serving) = start(server.max_connections(1).when_full(WhenFull::Refuse));
        let first = TcpStream::connect(addr).unwrap();
        assert_eq!(ask(&first, "in").unwrap(), "IN");
        let second = TcpStream::connect(addr).unwrap();
        assert_eq!((&second).read(&mut [0]).unwrap(), 0);
        assert_eq!(handle.stats().refused, 1);
        drop((first, second));
        until(|| handle.stats().open == 0);
        let third = TcpStream::connect(addr).unwrap();
        assert_eq!(ask(&third, "in").unwrap(), "IN");
        drop(third);
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
    });
}

// A shutdown that runs out of time while the limit holds others back: who is served is cancelled,
// who waits for a place is never served, and the server is over.
#[test]
fn a_shutdown_at_the_limit_serves_nobody_more() {
    on_each(|| {
        for several in [false, true] {
            let begun = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&begun);
            let handler = move |mut stream: TcpStream, _: SocketAddr| -> io::Result<()> {
                stream.write_all(b"!")?;
                // From here on it may be cancelled.
                count.fetch_add(1, Ordering::SeqCst);
                stream.read(&mut [0]).map(drop)
            };
            let n = NonZeroUsize::new(if several { 3 } else { 1 }).unwrap();
            let server = TcpServer::bind_many("127.0.0.1:0", n, handler).unwrap();
            let (addr, handle, serving) = start(server.max_connections(1).grace(PATIENCE));
            let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(addr).unwrap()).collect();
            until(|| begun.load(Ordering::SeqCst) == 1);
            let unfinished = handle.shutdown(Duration::from_millis(5)).unwrap_err();
            assert_eq!((unfinished.cancelled(), unfinished.left().len()), (1, 0));
            serving.join().unwrap().unwrap();
            assert_eq!((handle.stats().open, handle.stats().accepted), (0, 1));
            let mut answered = 0;
            for mut client in clients {
                // The one that was served reads its byte and the end; the others are reset.
                answered += usize::from(matches!(client.read(&mut [0]), Ok(1)));
            }
            assert_eq!(answered, 1);
            assert_eq!(begun.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn all_listeners_of_a_port_get_connections() {
    on_each(|| {
        const N: usize = 4;
        let all = listeners("127.0.0.1:0", NonZeroUsize::new(N).unwrap()).unwrap();
        let addr = all[0].local_addr().unwrap();
        assert!(all.iter().all(|one| one.local_addr().unwrap() == addr));
        let counts: Vec<_> = (0..N).map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let servers: Vec<_> = all
            .into_iter()
            .zip(&counts)
            .map(|(listener, count)| {
                let count = Arc::clone(count);
                start(TcpServer::on(
                    vec![listener],
                    move |_: TcpStream, _: SocketAddr| {
                        count.fetch_add(1, Ordering::SeqCst);
                    },
                ))
            })
            .collect();
        // By a hash of the addresses: that one gets none of 200 has a chance of (3/4)^200.
        for _ in 0..200 {
            let client = TcpStream::connect(addr).unwrap();
            assert_eq!((&client).read(&mut [0]).unwrap(), 0);
        }
        let counts: Vec<_> = counts
            .iter()
            .map(|count| count.load(Ordering::SeqCst))
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 200);
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        for (_, handle, serving) in servers {
            handle.shutdown(PATIENCE).unwrap();
            serving.join().unwrap().unwrap();
        }
    });
}

#[test]
fn one_server_on_several_listeners_keeps_one_limit() {
    on_each(|| {
        let n = NonZeroUsize::new(3).unwrap();
        let server = TcpServer::bind_many("127.0.0.1:0", n, upper).unwrap();
        let (addr, handle, serving) = start(server.max_connections(2));
        let mut clients: Vec<_> = (0..12).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let mut served = 0;
        while !clients.is_empty() {
            // Which are served is the kernel's choice; one that has gone may still be among them.
            let mut at = None;
            until(|| {
                let peers = handle.peers();
                assert!(peers.len() <= 2);
                let served = |client: &TcpStream| peers.contains(&client.local_addr().unwrap());
                at = clients.iter().position(served);
                at.is_some()
            });
            let at = at.expect("found");
            assert_eq!(ask(&clients.remove(at), "one").unwrap(), "ONE");
            served += 1;
        }
        assert_eq!(served, 12);
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_handler_may_end_its_own_server() {
    on_each(|| {
        let slot: Arc<Mutex<Option<ServerHandle>>> = Arc::default();
        let own = Arc::clone(&slot);
        let handler = move |stream: TcpStream, _: SocketAddr| {
            let handle = own.lock().clone().unwrap();
            let result = handle.shutdown(PATIENCE);
            (&stream).write_all(if result.is_ok() { b"ok" } else { b"no" })
        };
        let (addr, handle, serving) = start(TcpServer::bind("127.0.0.1:0", handler).unwrap());
        *slot.lock() = Some(handle);
        let mut text = String::new();
        let mut client = TcpStream::connect(addr).unwrap();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ok");
        serving.join().unwrap().unwrap();
        slot.lock().take();
    });
}

// By its token, or by the handle of its coroutine: that one it took for a failure that passes.
#[test]
fn a_cancelled_server_cancels_its_handlers() {
    on_each(|| {
        for by_token in [true, false] {
            let token = cancel::Token::new();
            let server = TcpServer::bind("127.0.0.1:0", upper).unwrap();
            let (addr, handle, serving) = token.run(|| start(server.grace(PATIENCE)));
            let client = TcpStream::connect(addr).unwrap();
            assert_eq!(ask(&client, "here").unwrap(), "HERE");
            if by_token {
                token.cancel();
            } else {
                serving.cancel();
            }
            let error = serving.join().unwrap().unwrap_err();
            assert!(
                error.get_ref().unwrap().is::<cancel::Cancelled>(),
                "{error}"
            );
            assert_eq!((&client).read(&mut [0]).unwrap(), 0);
            assert_eq!((handle.stats().open, handle.stats().pauses), (0, 0));
        }
    });
}

#[test]
fn a_server_that_was_stopped_first_never_serves() {
    on_each(|| {
        let server = TcpServer::bind("127.0.0.1:0", upper).unwrap();
        let handle = server.handle();
        handle.shutdown(PATIENCE).unwrap();
        server.serve_forever().unwrap();
        handle.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn a_handler_may_pass_the_stream_on() {
    on_each(|| {
        let (sender, receiver) = ropewalk_rt::channel::unbounded();
        let handler = move |stream: TcpStream, _: SocketAddr| sender.send(stream).unwrap();
        let (addr, handle, serving) = start(TcpServer::bind("127.0.0.1:0", handler).unwrap());
        let client = TcpStream::connect(addr).unwrap();
        let passed = receiver.recv().unwrap();
        (&passed).write_all(b"later").unwrap();
        passed.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        (&client).read_to_string(&mut text).unwrap();
        assert_eq!(text, "later");
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
    });
}
