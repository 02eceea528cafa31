//! The runtime on the thread-backed switch: `RUSTFLAGS='--cfg ropewalk_thread_switch'`.
//!
//! There each coroutine is an OS thread and a switch hands a baton over, so that tools
//! which don't know about switched stacks can watch the rest of the kernel. Without the cfg
//! the same scenarios run on the real switch.

use std::io::{Read, Write};
use std::time::Duration;

use ropewalk_rt::executor::join;
use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::sync::Mutex;
use ropewalk_rt::{Runtime, channel, coroutine};

fn on_each(test: impl Fn() + Sync) {
    for workers in [1, 2] {
        let runtime = Runtime::builder()
            .workers(workers)
            .build()
            .expect("a runtime");
        runtime.run(&test);
        runtime
            .shutdown(Duration::from_secs(30))
            .expect("nobody is left");
    }
}

#[test]
fn spawns_joins_and_yields() {
    on_each(|| {
        let handles: Vec<_> = (0..50)
            .map(|n| {
                coroutine::spawn(move || {
                    (0..10).for_each(|_| coroutine::yield_now());
                    n
                })
            })
            .collect();
        let sum: i32 = handles
            .into_iter()
            .map(|handle| handle.join().expect("a value"))
            .sum();
        assert_eq!(sum, 1225);
    });
}

#[test]
fn locks_and_sends() {
    on_each(|| {
        let total = Mutex::new(0);
        let (sender, receiver) = channel::bounded(3);
        coroutine::scope(|s| {
            for n in 0..10 {
                let sender = sender.clone();
                s.spawn(move || (0..20).for_each(|_| sender.send(n).expect("a receiver")));
            }
            drop(sender);
            for _ in 0..3 {
                s.spawn(|| receiver.iter().for_each(|n| *total.lock() += n));
            }
        });
        assert_eq!(*total.lock(), 900);
    });
}

#[test]
fn echoes() {
    on_each(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let addr = listener.local_addr().expect("an address");
        coroutine::scope(|s| {
            s.spawn(move || {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut buf = [0; 16];
                loop {
                    match stream.read(&mut buf).expect("a read") {
                        0 => break,
                        n => stream.write_all(&buf[..n]).expect("a write"),
                    }
                }
            });
            let mut stream = TcpStream::connect(addr).expect("connects");
            for _ in 0..20 {
                stream.write_all(b"to and fro").expect("a write");
                let mut buf = [0; 10];
                stream.read_exact(&mut buf).expect("a read");
                assert_eq!(&buf, b"to and fro");
            }
        });
    });
}

#[test]
fn a_panic_stays_in_its_coroutine() {
    on_each(|| {
        let error = coroutine::spawn(|| panic!("on purpose"))
            .join()
            .expect_err("a panic");
        assert_eq!(error.panic_message(), Some("on purpose"));
    });
}

#[test]
fn forks_and_joins() {
    fn sum(numbers: &[u64]) -> u64 {
        match numbers {
            [] => 0,
            [one] => {
                if one % 7 == 0 {
                    coroutine::yield_now();
                }
                *one
            }
            _ => {
                let (left, right) = numbers.split_at(numbers.len() / 2);
                let (left, right) = join(|| sum(left), || sum(right));
                left + right
            }
        }
    }
    on_each(|| {
        let numbers: Vec<u64> = (0..200).collect();
        assert_eq!(sum(&numbers), 19_900);
        let (sender, receiver) = channel::bounded(0);
        assert_eq!(join(|| receiver.recv(), || sender.send(1)).0, Ok(1));
    });
}
