//! Connections that go while others come, and that outlive their runtime.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use ropewalk_rt::net::TcpStream;
use ropewalk_rt::{coroutine, spawn};

use super::pair;
use crate::stage::{PATIENCE, close, in_coroutines, on_each, runtime, until_waiting, with_workers};

/// Waits in vain for a moment, so that the driver gets to know the stream.
fn wait_in_vain(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_micros(200)))
        .unwrap();
    assert_eq!(
        stream.read(&mut [0; 1]).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    stream.set_read_timeout(None).unwrap();
}

// A stream that the driver knows is dropped with news for it under way, and its descriptor is
// used again at once: the next stream sees its own data only, and waits for its own.
#[test]
fn a_descriptor_is_used_again_at_once() {
    on_each(|| {
        for round in 0..200u8 {
            let (mut client, mut server) = pair();
            wait_in_vain(&mut server);
            let reader = spawn(move || {
                let mut buf = [0; 2];
                server.read_exact(&mut buf).unwrap();
                assert_eq!(buf, [round; 2]);
                server
            });
            client.write_all(&[round]).unwrap();
            coroutine::yield_now();
            client.write_all(&[round]).unwrap();
            let server = reader.join().unwrap();
            // News that nobody will ask for.
            client.write_all(b"too late").unwrap();
            drop(server);
        }
    });
}

// The same among many: streams come and go in all orders, some with data unread.
#[test]
fn many_come_and_go() {
    in_coroutines(|| {
        coroutine::scope(|s| {
            for who in 0..20u8 {
                s.spawn(move || {
                    for round in 0..30u8 {
                        let (mut client, mut server) = pair();
                        if round % 3 == 0 {
                            wait_in_vain(&mut server);
                        }
                        let sent = [who, round];
                        client.write_all(&sent).unwrap();
                        let mut buf = [0; 2];
                        if round % 4 != 0 {
                            server.read_exact(&mut buf).unwrap();
                            assert_eq!(buf, sent);
                        }
                        if round % 2 == 0 {
                            drop(client);
                            drop(server);
                        } else {
                            drop(server);
                            drop(client);
                        }
                    }
                });
            }
        });
    });
}

// A stream is dropped on another worker, or thread, than the one that waited for it.
#[test]
fn a_stream_is_dropped_elsewhere() {
    with_workers(2, || {
        for round in 0..100 {
            let (mut client, mut server) = pair();
            wait_in_vain(&mut server);
            client.write_all(b"news").unwrap();
            if round % 2 == 0 {
                spawn(move || drop(server)).join().unwrap();
            } else {
                ropewalk_rt::thread::spawn(move || drop(server))
                    .join()
                    .unwrap();
            }
            let mut rest = Vec::new();
            // The end, or a reset as the news was not read.
            let _ = client.read_to_end(&mut rest);
            assert!(rest.is_empty());
        }
    });
}

// A stream outlives its runtime: it is used in another, and by a plain thread.
#[test]
fn a_stream_outlives_its_runtime() {
    for driver in crate::stage::drivers() {
        let first = runtime(driver, 2);
        let (mut client, mut server) = first.run(|| {
            let (mut client, mut server) = pair();
            wait_in_vain(&mut server);
            wait_in_vain(&mut client);
            (client, server)
        });
        close(first);
        // By a thread.
        client.write_all(b"1").unwrap();
        assert_eq!(server.read(&mut [0; 10]).unwrap(), 1);
        wait_in_vain(&mut server);
        // In others, one after the other.
        for _ in 0..3 {
            let next = runtime(driver, 1);
            (client, server) = next.run(move || {
                wait_in_vain(&mut client);
                let reader = spawn(move || {
                    let mut buf = [0; 3];
                    server.read_exact(&mut buf).unwrap();
                    assert_eq!(&buf, b"two");
                    server
                });
                until_waiting(reader.id(), "reading");
                client.write_all(b"two").unwrap();
                (client, reader.join().unwrap())
            });
            close(next);
        }
    }
}

// A stream that one runtime got to know is waited for in another when the first ends: the wait
// goes on, and ends with the data.
#[test]
fn a_runtime_ends_while_another_waits_for_a_stream_it_knew() {
    for driver in crate::stage::drivers() {
        let (first, second) = (runtime(driver, 1), runtime(driver, 1));
        let (mut client, mut server) = first.run(|| {
            let (client, mut server) = pair();
            wait_in_vain(&mut server);
            (client, server)
        });
        let reader = second.spawn(move || server.read(&mut [0; 10]).unwrap());
        until_waiting(reader.id(), "reading");
        close(first);
        client.write_all(b"after the end").unwrap();
        let read = reader.join_timeout(PATIENCE);
        assert_eq!(
            read.expect("it was woken").unwrap(),
            10,
            "{}",
            driver.as_str()
        );
        close(second);
    }
}
