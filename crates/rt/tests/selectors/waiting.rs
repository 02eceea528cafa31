//! Waiting for readiness: in both directions, many at once, from several workers and threads.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::net::TcpStream;
use ropewalk_rt::{cancel, coroutine, spawn};

use crate::{listener, on_all, on_runtimes, pair, stage};

/// Echoes until the other end is done; gives the number of bytes.
fn echo(mut stream: TcpStream) -> usize {
    let mut buf = [0; 256];
    let mut sum = 0;
    loop {
        match stream.read(&mut buf).unwrap() {
            0 => return sum,
            length => stream.write_all(&buf[..length]).unwrap(),
        }
        sum += 1;
    }
}

// Short messages back and forth, through accept and connect of the coroutines' own.
#[test]
fn echoes() {
    on_all(|| {
        const CLIENTS: usize = 8;
        const MESSAGES: u32 = 25;
        let (listener, addr) = listener();
        coroutine::scope(|scope| {
            let server = scope.spawn(|| {
                let served: Vec<_> = (0..CLIENTS)
                    .map(|_| {
                        let (stream, _) = listener.accept().unwrap();
                        spawn(move || echo(stream))
                    })
                    .collect();
                served.into_iter().map(|each| each.join().unwrap()).sum()
            });
            for client in 0..CLIENTS as u32 {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    for message in 0..MESSAGES {
                        let sent = [client.to_ne_bytes(), message.to_ne_bytes()].concat();
                        stream.write_all(&sent).unwrap();
                        let mut received = [0; 8];
                        stream.read_exact(&mut received).unwrap();
                        assert_eq!(received[..], sent[..]);
                    }
                });
            }
            let served: usize = server.join().unwrap();
            assert!(served >= CLIENTS * MESSAGES as usize);
        });
    });
}

// More than the buffers between them hold: writers wait for room while readers wait for bytes,
// both directions of each connection at the same time.
#[test]
fn streams_both_ways_at_once() {
    on_all(|| {
        const BYTES: usize = 6 << 20;
        let (one, other) = pair();
        coroutine::scope(|scope| {
            for stream in [&one, &other] {
                scope.spawn(move || {
                    let mut writer = stream;
                    let block = [7; 64 << 10];
                    for _ in 0..BYTES / block.len() {
                        writer.write_all(&block).unwrap();
                    }
                });
                scope.spawn(move || {
                    let mut reader = stream;
                    let mut block = vec![0; 64 << 10];
                    let mut left = BYTES;
                    while left > 0 {
                        let length = reader.read(&mut block).unwrap();
                        assert!(length > 0 && block[..length].iter().all(|byte| *byte == 7));
                        left -= length;
                    }
                });
            }
        });
    });
}

// All wait at once, and each is woken by its own bytes, the last to come first.
#[test]
fn many_descriptors() {
    on_all(|| {
        const COUNT: usize = 150;
        let (mut near, far): (Vec<_>, Vec<_>) = (0..COUNT).map(|_| pair()).unzip();
        let waiting = AtomicUsize::new(0);
        coroutine::scope(|scope| {
            let readers: Vec<_> = far
                .iter()
                .enumerate()
                .map(|(index, mut stream)| {
                    let waiting = &waiting;
                    scope.spawn(move || {
                        waiting.fetch_add(1, Ordering::SeqCst);
                        let mut buf = [0; 8];
                        for round in 0..3 {
                            stream.read_exact(&mut buf).unwrap();
                            assert_eq!(usize::from_ne_bytes(buf), index + round);
                        }
                    })
                })
                .collect();
            stage::until(|| waiting.load(Ordering::SeqCst) == COUNT);
            for round in 0..3 {
                for (index, stream) in near.iter_mut().enumerate().rev() {
                    stream.write_all(&(index + round).to_ne_bytes()).unwrap();
                }
            }
            for reader in readers {
                reader.join().unwrap();
            }
        });
    });
}

// Several wait on one descriptor, in the same direction and from different workers: each
// connection goes to one of them, and none is left waiting.
#[test]
fn several_wait_on_one_listener() {
    on_all(|| {
        const EACH: usize = 20;
        let (listener, addr) = listener();
        coroutine::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let (mut stream, _) = listener.accept().unwrap();
                        stream.write_all(b"!").unwrap();
                    }
                });
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let mut stream = TcpStream::connect(addr).unwrap();
                        assert_eq!(stream.read(&mut [0; 2]).unwrap(), 1);
                        assert_eq!(stream.read(&mut [0; 2]).unwrap(), 0);
                    }
                });
            }
        });
    });
}

// The workers have nothing else to do, so they are blocked in the kernel while a plain thread
// spawns, wakes and writes.
#[test]
fn threads_wake_blocked_workers() {
    on_runtimes(|runtime| {
        let (sender, receiver) = ropewalk_rt::channel::unbounded();
        let (mut near, mut far) = pair();
        let reader = runtime.spawn(move || {
            let mut read = Vec::new();
            far.read_to_end(&mut read).unwrap();
            read
        });
        let receiving = runtime.spawn(move || receiver.iter().sum::<u32>());
        for number in 0..100 {
            sender.send(number).unwrap();
            near.write_all(&[number as u8]).unwrap();
            assert_eq!(runtime.spawn(move || number).join().unwrap(), number);
        }
        drop((sender, near));
        assert_eq!(receiving.join().unwrap(), (0..100).sum());
        assert_eq!(reader.join().unwrap(), (0..100).collect::<Vec<u8>>());
    });
}

// A descriptor's home is one worker; on the other one somebody starts to wait for the other
// direction while the home is blocked.
#[test]
fn other_workers_wait_at_a_blocked_home() {
    on_runtimes(|runtime| {
        let workers = runtime.workers();
        let (near, far) = pair();
        let (mut near, far) = (near, std::sync::Arc::new(far));
        for round in 0..20u8 {
            let readers: Vec<_> = (0..workers)
                .map(|worker| {
                    let far = far.clone();
                    let spawned = runtime.spawn_on(worker, move || {
                        let mut byte = [0];
                        (&*far).read_exact(&mut byte).map(|()| byte[0])
                    });
                    spawned.unwrap()
                })
                .collect();
            near.write_all(&vec![round; workers]).unwrap();
            for reader in readers {
                assert_eq!(reader.join().unwrap().unwrap(), round);
            }
        }
    });
}

// A wait that its time-out ended has taken nothing, and the next one is woken.
#[test]
fn timeouts() {
    on_all(|| {
        let (mut near, mut far) = pair();
        far.set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        for round in 0..5u8 {
            let error = far.read(&mut [0; 4]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            near.write_all(&[round]).unwrap();
            far.set_read_timeout(None).unwrap();
            let mut buf = [0; 4];
            assert_eq!(far.read(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], round);
            far.set_read_timeout(Some(Duration::from_millis(2)))
                .unwrap();
        }
        // A writer that finds no room, too.
        near.set_write_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        let block = [0; 64 << 10];
        let error = loop {
            if let Err(error) = near.write(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

// A cancelled wait ends by an error; the descriptor stays as it was.
#[test]
fn cancellation() {
    on_all(|| {
        let (mut near, far) = pair();
        let far = std::sync::Arc::new(far);
        for round in 0..5u8 {
            let waiting = std::sync::Arc::new(AtomicUsize::new(0));
            let (stream, began) = (far.clone(), waiting.clone());
            let reader = spawn(move || {
                began.store(1, Ordering::SeqCst);
                (&*stream).read(&mut [0; 4]).map_err(|error| {
                    assert!(cancel::check().is_err(), "{error}");
                })
            });
            stage::until(|| waiting.load(Ordering::SeqCst) == 1);
            reader.cancel();
            assert_eq!(reader.join().unwrap(), Err(()));

            near.write_all(&[round]).unwrap();
            let mut buf = [0; 4];
            assert_eq!((&*far).read(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], round);
        }
    });
}
