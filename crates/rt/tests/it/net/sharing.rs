//! One connection, many users.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use ropewalk_rt::net::{Shutdown, TcpStream};
use ropewalk_rt::{channel, coroutine, spawn, thread};

use super::pair;
use crate::stage::{in_coroutines, on_each, until_waiting, with_workers};

// One coroutine reads while another writes, through `&TcpStream`, on both ends at once.
#[test]
fn reading_and_writing_at_once() {
    const BYTES: usize = 1 << 20;
    on_each(|| {
        let (client, server) = pair();
        coroutine::scope(|s| {
            for stream in [&client, &server] {
                s.spawn(move || {
                    let mut stream = stream;
                    for at in 0..BYTES / 1024 {
                        stream.write_all(&[at as u8; 1024]).unwrap();
                    }
                    stream.shutdown(Shutdown::Write).unwrap();
                });
                s.spawn(move || {
                    let (mut stream, mut all) = (stream, Vec::new());
                    stream.read_to_end(&mut all).unwrap();
                    assert_eq!(all.len(), BYTES);
                    let right = |(at, chunk): (usize, &[u8])| chunk.iter().all(|&b| b == at as u8);
                    assert!(all.chunks(1024).enumerate().all(right));
                });
            }
        });
    });
}

// Several wait to read from one connection: each byte goes to one of them, and its end to all.
#[test]
fn several_readers() {
    const BYTES: usize = 20_000;
    on_each(|| {
        let (mut client, server) = pair();
        let total: usize = coroutine::scope(|s| {
            let readers: Vec<_> = (0..5)
                .map(|_| {
                    s.spawn(|| {
                        let (mut buf, mut total) = ([0; 7], 0);
                        loop {
                            match (&server).read(&mut buf).unwrap() {
                                0 => return total,
                                n => total += n,
                            }
                        }
                    })
                })
                .collect();
            for at in 0..BYTES / 10 {
                client.write_all(&[0; 10]).unwrap();
                if at % 50 == 0 {
                    coroutine::sleep(Duration::from_micros(100));
                }
            }
            drop(client);
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap())
                .sum()
        });
        assert_eq!(total, BYTES);
    });
}

// All are waiting when the first byte comes, and all when the end comes.
#[test]
fn the_end_reaches_all_who_wait() {
    in_coroutines(|| {
        let (mut client, server) = pair();
        let server = Arc::new(server);
        let readers: Vec<_> = (0..10)
            .map(|_| {
                let server = Arc::clone(&server);
                spawn(move || (&*server).read(&mut [0; 1]).unwrap())
            })
            .collect();
        for reader in &readers {
            until_waiting(reader.id(), "reading");
        }
        client.write_all(&[1, 2, 3]).unwrap();
        drop(client);
        let read: usize = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        assert_eq!(read, 3);
    });
}

// Several wait for room to write: all get through.
#[test]
fn several_writers() {
    const EACH: usize = 1 << 20;
    on_each(|| {
        let (client, mut server) = pair();
        coroutine::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    let chunk = vec![9; 1 << 14];
                    for _ in 0..EACH / chunk.len() {
                        (&client).write_all(&chunk).unwrap();
                    }
                });
            }
            let mut left = 4 * EACH;
            let mut buf = vec![0; 1 << 16];
            while left > 0 {
                left -= server.read(&mut buf).unwrap();
            }
        });
        server
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        assert!(server.read(&mut [0; 1]).is_err(), "nothing is left");
    });
}

// A clone is a second owner of the connection, with the same time-outs; the connection lives as
// long as one of them.
#[test]
fn clones() {
    on_each(|| {
        let (client, mut server) = pair();
        let patience = Some(Duration::from_secs(3600));
        client.set_read_timeout(patience).unwrap();
        client.set_write_timeout(patience).unwrap();
        let mut clone = client.try_clone().unwrap();
        assert_eq!(clone.read_timeout().unwrap(), patience);
        assert_eq!(clone.write_timeout().unwrap(), patience);
        assert_eq!(clone.local_addr().unwrap(), client.local_addr().unwrap());
        let reader = spawn(move || {
            let mut buf = [0; 5];
            clone.read_exact(&mut buf).unwrap();
            (buf, clone)
        });
        (&client).write_all(b"there").unwrap();
        let mut buf = [0; 5];
        server.read_exact(&mut buf).unwrap();
        drop(client);
        server.write_all(&buf).unwrap();
        let (back, clone) = reader.join().unwrap();
        assert_eq!(&back, b"there");
        drop(clone);
        assert_eq!(server.read(&mut buf).unwrap(), 0);
    });
}

/// Waits for 8 bytes and answers with the next number.
fn answer(stream: &TcpStream) {
    let (mut stream, mut number) = (stream, [0; 8]);
    stream.read_exact(&mut number).unwrap();
    let next = u64::from_be_bytes(number) + 1;
    stream.write_all(&next.to_be_bytes()).unwrap();
}

// A connection that was first waited for on one worker is used from another, from a plain
// thread, and from the first again.
#[test]
fn a_connection_wanders_between_workers_and_threads() {
    with_workers(2, || {
        let (mut client, server) = pair();
        let asker = spawn(move || {
            for n in 0..300u64 {
                client.write_all(&n.to_be_bytes()).unwrap();
                let mut back = [0; 8];
                client.read_exact(&mut back).unwrap();
                assert_eq!(u64::from_be_bytes(back), n + 1);
                // The next to answer waits before it is asked, or doesn't.
                if n % 2 == 0 {
                    coroutine::sleep(Duration::from_micros(50));
                }
            }
        });
        // Two coroutines that are surely on different workers: both block until both run.
        let both = Arc::new(Barrier::new(2));
        let (finished, all_finished) = channel::bounded(2);
        let hands: Vec<_> = (0..2)
            .map(|_| {
                let (both, finished) = (Arc::clone(&both), finished.clone());
                let (give, given) = channel::bounded::<TcpStream>(0);
                let (take, taken) = channel::bounded::<TcpStream>(0);
                spawn(move || {
                    both.wait();
                    for stream in given {
                        answer(&stream);
                        take.send(stream).unwrap();
                    }
                    finished.send(std::thread::current().id()).unwrap();
                });
                (give, taken)
            })
            .collect();
        let mut stream = server;
        for _ in 0..100 {
            for (give, taken) in &hands {
                give.send(stream).unwrap();
                stream = taken.recv().unwrap();
            }
            let thread = thread::spawn(move || {
                answer(&stream);
                stream
            });
            stream = thread.join().unwrap();
        }
        drop(hands);
        asker.join().unwrap();
        let workers: HashSet<_> = (0..2).map(|_| all_finished.recv().unwrap()).collect();
        assert_eq!(workers.len(), 2);
    });
}

// Coroutines of both workers and a thread wait on one connection at the same time.
#[test]
fn a_connection_is_waited_for_from_everywhere() {
    with_workers(2, || {
        let (mut client, server) = pair();
        let server = Arc::new(server);
        let both = Arc::new(Barrier::new(2));
        let read_all = |server: Arc<TcpStream>| {
            let (mut total, mut buf) = (0, [0; 3]);
            loop {
                match (&*server).read(&mut buf).unwrap() {
                    0 => return total,
                    n => total += n,
                }
            }
        };
        let mut readers: Vec<_> = (0..2)
            .map(|_| {
                let (both, server) = (Arc::clone(&both), Arc::clone(&server));
                spawn(move || {
                    both.wait();
                    read_all(server)
                })
            })
            .collect();
        readers.push(thread::spawn({
            let server = Arc::clone(&server);
            move || read_all(server)
        }));
        for _ in 0..500 {
            client.write_all(&[0; 5]).unwrap();
            coroutine::yield_now();
        }
        drop(client);
        let total: usize = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        assert_eq!(total, 2_500);
    });
}
