//! Rule 4: an I/O operation returns only after its completion.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::time::Duration;

use ropewalk_kernel::clock;
use ropewalk_kernel::driver::Source;

use super::{drivers, is_deed, run_deed, runtime_with, text};

fn pair() -> (Source, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let ours = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let (theirs, _) = listener.accept().expect("accepts");
    theirs.set_nodelay(true).expect("an option");
    (Source::new(OwnedFd::from(ours)), theirs)
}

/// A receive into a buffer on the stack runs into its deadline; then data comes. The buffer
/// stays as it was, and the data is there for the next receive.
///
/// Broken on purpose: in `Uring::perform`, return `TimedOut` as soon as the deadline has woken
/// the coroutine: the kernel then writes into a frame that is used for something else.
#[test]
fn a_receive_that_timed_out_writes_no_more() {
    for driver in drivers() {
        let runtime = runtime_with(1, Some(driver), "rule4");
        runtime.run(Location::caller(), || {
            let (source, mut peer) = pair();
            let mut first = [0xee; 32];
            let deadline = clock::deadline_after(Duration::from_millis(5));
            let error = source
                .recv(&mut first, 0, Some(deadline))
                .expect_err("nothing came");
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            peer.write_all(b"late").expect("writes");
            let mut second = [0; 32];
            assert_eq!(source.recv(&mut second, 0, None).expect("receives"), 4);
            assert_eq!(&second[..4], b"late");
            assert_eq!(first, [0xee; 32]);
        });
        runtime
            .shutdown(Duration::from_secs(10))
            .expect("nobody is left");
    }
}

/// Deadlines race with data for many rounds: each byte is received once, and by the call
/// that says so.
///
/// Broken on purpose: as above; or drop the result of a cancelled operation that succeeded.
#[test]
fn no_byte_is_lost_between_deadline_and_completion() {
    const ROUNDS: u8 = 200;
    for driver in drivers() {
        let runtime = runtime_with(1, Some(driver), "rule4");
        runtime.run(Location::caller(), || {
            let (source, mut peer) = pair();
            let sender = std::thread::spawn(move || {
                for round in 0..ROUNDS {
                    // Spread over the ticks in which the deadlines lie; the outcome of each
                    // race may be either.
                    for _ in 0..(u32::from(round) * 97) % 4000 {
                        std::hint::spin_loop();
                    }
                    peer.write_all(&[round]).expect("writes");
                }
            });
            let mut next = 0;
            let mut timeouts = 0u32;
            while next < ROUNDS {
                let mut buf = [0xee; 1];
                let deadline = clock::deadline_after(Duration::from_micros(70));
                match source.recv(&mut buf, 0, Some(deadline)) {
                    Ok(1) => {
                        assert_eq!(buf[0], next);
                        next += 1;
                    }
                    Ok(other) => panic!("{other} bytes"),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::TimedOut);
                        assert_eq!(buf, [0xee]);
                        timeouts += 1;
                    }
                }
            }
            ropewalk_kernel::blocking::unblock(|| sender.join().expect("no panic"));
            println!("{}: {timeouts} time-outs", driver.as_str());
        });
        runtime
            .shutdown(Duration::from_secs(10))
            .expect("nobody is left");
    }
}

/// Nothing may unwind out of a frame that a queue or the kernel refers to: the hook that runs
/// between joining a queue and parking panics, and the process ends.
///
/// Broken on purpose: leave out `AbortOnUnwind` in `wait_coroutine`: the queue then refers to
/// a frame that is gone.
#[test]
fn unwinding_out_of_a_wait_aborts() {
    use ropewalk_kernel::wait::{Limit, Reason, WaitQueue};
    if !is_deed() {
        let output = run_deed("operations::unwinding_out_of_a_wait_aborts");
        assert!(!output.status.success());
        assert!(
            text(&output).contains("unwinding out of a wait"),
            "{}",
            text(&output)
        );
        return;
    }
    let runtime = runtime_with(1, None, "guard");
    runtime.run(Location::caller(), || {
        let queue = WaitQueue::new();
        queue
            .lock()
            .wait_after(0, Reason::Condition, 0, Limit::NONE, || {
                panic!("in between")
            });
    });
}
