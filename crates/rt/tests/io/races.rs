//! What comes at the moment at which a wait for it ends early is had by somebody: by the one who
//! waited, or by the next.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;

use ropewalk_rt::cancel::Token;
use ropewalk_rt::net::unix::{UnixDatagram, UnixStream};
use ropewalk_rt::net::{TcpListener, TcpStream, UdpSocket};
use ropewalk_rt::{coroutine, spawn};

use crate::stage::{in_coroutines, on_each, until_waiting};
use crate::ways::tcp;

const ROUNDS: usize = 300;

/// Lets a little time pass, another one in each round, without giving way.
fn a_moment(round: usize) {
    for _ in 0..round % 37 * 30 {
        std::hint::spin_loop();
    }
}

/// `wait` is cancelled while `send` has something come; what is left is had by `wait` again.
/// Both are given the round's number, and `wait` gives the number of what came.
fn lost_by_nobody<S: Sync>(
    shared: &S,
    wait: fn(&S) -> std::io::Result<usize>,
    send: fn(&S, usize),
) {
    for round in 0..ROUNDS {
        let token = Token::new();
        coroutine::scope(|s| {
            let waiting = token.run(|| s.spawn(|| wait(shared)));
            if round % 3 != 0 {
                coroutine::yield_now();
            }
            let cancelling = s.spawn(|| {
                a_moment(round);
                token.cancel();
            });
            a_moment(round / 37);
            send(shared, round);
            cancelling.join().unwrap();
            let came = match waiting.join() {
                Ok(Ok(came)) => came,
                // Cancelled in its wait, or before it began.
                Ok(Err(error)) => {
                    assert!(error.to_string().contains("cancelled"), "{error}");
                    wait(shared).unwrap()
                }
                Err(error) => {
                    assert!(error.is_cancelled(), "{error}");
                    wait(shared).unwrap()
                }
            };
            assert_eq!(came, round);
        });
    }
}

fn number(buf: &[u8]) -> usize {
    usize::from_le_bytes(buf.try_into().expect("a number, whole"))
}

#[test]
fn datagrams_that_come_as_the_wait_is_cancelled() {
    in_coroutines(|| {
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        lost_by_nobody(
            &sockets,
            |[_, receiver]| {
                let mut buf = [0; 100];
                let (len, _) = receiver.recv_from(&mut buf)?;
                Ok(number(&buf[..len]))
            },
            |[sender, receiver], round| {
                let to = receiver.local_addr().unwrap();
                sender.send_to(&round.to_le_bytes(), to).unwrap();
            },
        );
        let sockets = UnixDatagram::pair().unwrap();
        lost_by_nobody(
            &sockets,
            |(_, receiver)| {
                let mut buf = [0; 100];
                let datagram = receiver.recv_datagram(&mut buf)?;
                Ok(number(&buf[..datagram.len]))
            },
            |(sender, _), round| assert_eq!(sender.send(&round.to_le_bytes()).unwrap(), 8),
        );
    });
}

#[test]
fn descriptors_that_come_as_the_wait_is_cancelled() {
    in_coroutines(|| {
        let streams = UnixStream::pair().unwrap();
        lost_by_nobody(
            &streams,
            |(_, receiver)| {
                let mut buf = [0; 8];
                let mut received = receiver.recv_fds(&mut buf, 1)?;
                // A pipe's end, in which the number is.
                let end = received.fds.pop().expect("one came");
                let mut text = String::new();
                std::fs::File::from(end).read_to_string(&mut text)?;
                assert_eq!(text, number(&buf).to_string());
                Ok(number(&buf))
            },
            |(sender, _), round| {
                let (reader, mut writer) = std::io::pipe().unwrap();
                write!(writer, "{round}").unwrap();
                let sent = sender.send_fds(&round.to_le_bytes(), &[reader.as_fd()]);
                assert_eq!(sent.unwrap(), 8);
            },
        );
    });
}

#[test]
fn connections_that_come_as_the_wait_is_cancelled() {
    in_coroutines(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        lost_by_nobody(
            &listener,
            |listener| {
                let mut buf = [0; 8];
                let (mut stream, _) = listener.accept()?;
                // Shielded: it is the accepting that is cancelled, or not.
                ropewalk_rt::cancel::shield(|| stream.read_exact(&mut buf))?;
                Ok(number(&buf))
            },
            |listener, round| {
                let addr = listener.local_addr().unwrap();
                let mut stream = TcpStream::connect(addr).unwrap();
                stream.write_all(&round.to_le_bytes()).unwrap();
            },
        );
    });
}

// All who wait to read see the peer's last word, and what they write still arrives.
#[test]
fn half_closed_while_several_read() {
    in_coroutines(|| {
        let (near, far) = tcp();
        let near = &near;
        coroutine::scope(|s| {
            let reading: Vec<_> = (0..4)
                .map(|_| s.spawn(move || (&*near).read(&mut [0; 10]).unwrap()))
                .collect();
            for one in &reading {
                until_waiting(one.id(), "reading");
            }
            far.shutdown(Shutdown::Write).unwrap();
            for one in reading {
                assert_eq!(one.join().unwrap(), 0);
            }
            (&*near).write_all(b"still here").unwrap();
            let mut buf = [0; 10];
            (&far).read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"still here");
            assert_eq!((&*near).read(&mut buf).unwrap(), 0);
        });
    });
}

// A reader and a writer wait on one stream, which is shut down beside them.
#[test]
fn shut_down_under_who_reads_and_who_writes() {
    in_coroutines(|| {
        let (near, _far) = tcp();
        let near = &near;
        coroutine::scope(|s| {
            let reading = s.spawn(move || (&*near).read(&mut [0; 10]).unwrap());
            let writing = s.spawn(move || {
                loop {
                    if let Err(error) = (&*near).write_all(&[7; 100_000]) {
                        break error.kind();
                    }
                }
            });
            until_waiting(reading.id(), "reading");
            until_waiting(writing.id(), "writing");
            near.shutdown(Shutdown::Both).unwrap();
            assert_eq!(reading.join().unwrap(), 0);
            assert_eq!(writing.join().unwrap(), ErrorKind::BrokenPipe);
        });
    });
}

// A question and its answer cross: each side reads and writes at once, through no copy of the
// stream, and one side is half-closed in the middle of the other's flood.
#[test]
fn floods_in_both_directions_with_an_early_end() {
    const MUCH: usize = 2 << 20;
    on_each(|| {
        let (near, far) = tcp();
        let flood = |mut stream: &TcpStream, len: usize| {
            stream.write_all(&vec![7; len]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        };
        let drink = |mut stream: &TcpStream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all.len()
        };
        let other = spawn(move || {
            coroutine::scope(|s| {
                s.spawn(|| flood(&far, MUCH));
                drink(&far)
            })
        });
        let got = coroutine::scope(|s| {
            s.spawn(|| flood(&near, 10));
            drink(&near)
        });
        assert_eq!((got, other.join().unwrap()), (MUCH, 10));
    });
}
