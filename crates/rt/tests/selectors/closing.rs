//! The end of descriptors that somebody waits for, or has waited for.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::{coroutine, spawn};

use crate::{is_aside, listener, on_all, on_runtimes, pair, passes_aside, stage};

// A reader hears of the other end's close, and of its own stream's shutdown.
#[test]
fn readers_hear_of_the_end() {
    on_all(|| {
        let (near, mut far) = pair();
        let reader = spawn(move || far.read(&mut [0; 4]).unwrap());
        drop(near);
        assert_eq!(reader.join().unwrap(), 0);

        let (near, _far) = pair();
        let near = Arc::new(near);
        let same = near.clone();
        let reader = spawn(move || (&*same).read(&mut [0; 4]).unwrap());
        coroutine::yield_now();
        near.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    });
}

// The reset of a connection wakes both a reader and a writer that has no room. The system tells
// one of them why; for the other one it is the end.
#[test]
fn reset_wakes_both_directions() {
    on_all(|| {
        let (near, far) = pair();
        far.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        coroutine::scope(|scope| {
            let reader = scope.spawn(|| match (&near).read(&mut [0; 4]) {
                Ok(length) => {
                    assert_eq!(length, 0);
                    None
                }
                Err(error) => Some(error.kind()),
            });
            let writer = scope.spawn(|| {
                let block = [0; 64 << 10];
                loop {
                    if let Err(error) = (&near).write(&block) {
                        return Some(error.kind());
                    }
                }
            });
            for _ in 0..10 {
                coroutine::yield_now();
            }
            drop(far);
            let kinds = [reader.join().unwrap(), writer.join().unwrap()];
            assert!(
                kinds.contains(&Some(ErrorKind::ConnectionReset)),
                "{kinds:?}"
            );
        });
    });
}

// A listener whose wait was given up is dropped on a thread while its worker may be blocked in
// the kernel: when the drop returns, the address is free. In a process of its own, as one that
// another test starts has all descriptors for a moment, too.
#[test]
fn a_dropped_listener_is_closed_at_once() {
    if !is_aside() {
        return passes_aside("closing::a_dropped_listener_is_closed_at_once", "");
    }
    let [high, low, ..] = std::process::id().to_be_bytes()[2..] else {
        unreachable!("four bytes")
    };
    let own = Ipv4Addr::new(127, 77, high, low);
    on_runtimes(|runtime| {
        for _ in 0..10 {
            let listener = TcpListener::bind((own, 0)).unwrap();
            let addr = listener.local_addr().unwrap();
            let listener = Arc::new(listener);
            let same = listener.clone();
            let began = Arc::new(AtomicBool::new(false));
            let begins = began.clone();
            let acceptor = runtime.spawn(move || {
                begins.store(true, Ordering::SeqCst);
                let accepted = same.accept().map(drop);
                drop(same);
                accepted.map_err(drop)
            });
            stage::until(|| began.load(Ordering::SeqCst));
            acceptor.cancel();
            assert_eq!(acceptor.join().unwrap(), Err(()));
            drop(Arc::try_unwrap(listener).expect("ours alone"));
            // SO_REUSEADDR is no help against a socket that still listens.
            let again = std::net::TcpListener::bind(addr)
                .unwrap_or_else(|error| panic!("{:?}: {error}", runtime.driver()));
            drop(again);
        }
    });
}

// The number of a closed descriptor is the next one's at once: nobody is woken for the wrong
// one for good, or forgotten.
#[test]
fn numbers_are_taken_again() {
    on_runtimes(|runtime| {
        let echo = runtime.spawn({
            let (listener, addr) = listener();
            move || {
                let server = spawn(move || serve(&listener));
                for round in 0..60u8 {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    stream.write_all(&[round]).unwrap();
                    let mut buf = [0; 4];
                    assert_eq!(stream.read(&mut buf).unwrap(), 1);
                    assert_eq!(buf[0], round);
                    if round % 3 == 0 {
                        // Dropped on another thread.
                        std::thread::spawn(move || drop(stream)).join().unwrap();
                    }
                }
                server.cancel();
                server.join().unwrap();
            }
        });
        echo.join().unwrap();
        stage::until(|| runtime.live() == 0);
    });
}

fn serve(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        drop(spawn(move || {
            let mut buf = [0; 4];
            while let Ok(length @ 1..) = stream.read(&mut buf) {
                if stream.write_all(&buf[..length]).is_err() {
                    break;
                }
            }
        }));
    }
}
