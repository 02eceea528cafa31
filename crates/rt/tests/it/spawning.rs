//! Spawning and joining: values, panics, handles, sizes.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::sync::Mutex;
use ropewalk_rt::{block_on, channel, coroutine, spawn};

use crate::stage::{in_coroutines, on_each, on_thread, until, until_waiting};

// A hundred coroutines give their values to whoever joins them, in any order.
#[test]
fn values_come_back_through_join() {
    on_each(|| {
        let handles: Vec<_> = (0..100u64).map(|n| spawn(move || n * n)).collect();
        for (n, handle) in handles.into_iter().enumerate().rev() {
            assert_eq!(handle.join().unwrap(), (n * n) as u64);
        }
    });
}

// What a coroutine owns and what it gives may be of any size and alignment: small ones lie in
// the task's record, others in a box.
#[test]
fn closures_and_values_of_any_size() {
    #[repr(align(64))]
    #[derive(Clone, Copy)]
    struct Aligned([u8; 64]);

    fn round_trip<T: Copy + Send + PartialEq + std::fmt::Debug + 'static>(value: T) {
        assert_eq!(spawn(move || value).join().unwrap(), value);
    }

    on_each(|| {
        round_trip(());
        round_trip(1u8);
        round_trip(u128::MAX);
        round_trip([7u64; 6]);
        round_trip([7u64; 7]);
        round_trip([7u64; 8]);
        round_trip([1u8; 56]);
        round_trip([1u8; 57]);
        round_trip([9u8; 4096]);
        let aligned = Aligned(std::array::from_fn(|at| at as u8));
        let back = spawn(move || {
            assert_eq!((&raw const aligned).addr() % 64, 0, "aligned inside");
            coroutine::yield_now();
            aligned
        });
        let back = back.join().unwrap();
        assert_eq!((&raw const back).addr() % 64, 0, "aligned outside");
        assert!(
            back.0
                .iter()
                .enumerate()
                .all(|(at, &byte)| byte == at as u8)
        );
    });
}

// A panic ends the coroutine alone. The joiner learns that it was a panic, its message if it
// was text, and can take the payload.
#[test]
fn a_panic_is_the_joiners_to_handle() {
    on_each(|| {
        let error = spawn(|| panic!("told plainly")).join().unwrap_err();
        assert!(error.is_panic() && !error.is_shutdown());
        assert_eq!(error.panic_message(), Some("told plainly"));
        assert_eq!(error.to_string(), "the task panicked: told plainly");
        assert!(format!("{error:?}").contains("told plainly"));

        let number = 7;
        let error = spawn(move || panic!("number {number}")).join().unwrap_err();
        assert_eq!(error.panic_message(), Some("number 7"));
        let payload = error.into_panic();
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "number 7");

        let error = spawn(|| std::panic::panic_any(42u32)).join().unwrap_err();
        assert_eq!(error.panic_message(), None);
        assert_eq!(error.to_string(), "the task panicked");
        let payload = error.try_into_panic().expect("it panicked");
        assert_eq!(payload.downcast_ref::<u32>(), Some(&42));

        // The worker is as good as before.
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
    });
}

// A join whose time is up gives the handle back, as often as it is asked; the coroutine goes
// on, and its value can be had later.
#[test]
fn a_timed_join_gives_the_handle_back() {
    on_each(|| {
        let (go, gone) = channel::bounded::<()>(0);
        let handle = spawn(move || {
            gone.recv().unwrap();
            5
        });
        let id = handle.id();
        let handle = handle.join_timeout(Duration::ZERO).unwrap_err();
        let handle = handle.join_timeout(Duration::from_millis(2)).unwrap_err();
        let handle = handle.join_deadline(Instant::now()).unwrap_err();
        let handle = handle.try_join().unwrap_err();
        assert!(!handle.is_finished());
        assert_eq!(handle.id(), id);
        go.send(()).unwrap();
        let outcome = handle.join_timeout(Duration::from_secs(3600));
        assert_eq!(outcome.expect("ended in time").unwrap(), 5);

        let handle = spawn(|| 6);
        until(|| handle.is_finished());
        assert_eq!(handle.try_join().expect("ended").unwrap(), 6);
        let handle = spawn(|| 7);
        let outcome = handle.join_deadline(Instant::now() + Duration::from_secs(3600));
        assert_eq!(outcome.expect("ended in time").unwrap(), 7);
    });
}

// The deadline of a join races with the end of the task: whichever wins, the value comes out
// once.
#[test]
fn a_timed_join_races_with_the_end() {
    on_each(|| {
        let (mut early, mut late) = (0, 0);
        for round in 0..500u64 {
            let pause = Duration::from_micros(round % 7 * 30);
            let handle = spawn(move || {
                coroutine::sleep(pause);
                round
            });
            let value = match handle.join_timeout(Duration::from_micros(90)) {
                Ok(outcome) => {
                    early += 1;
                    outcome.unwrap()
                }
                Err(handle) => {
                    late += 1;
                    handle.join().unwrap()
                }
            };
            assert_eq!(value, round);
        }
        assert_eq!(early + late, 500);
    });
}

// A handle is a future, ready when the task ends; it may be polled in turn with others, and
// dropped after it was polled.
#[test]
fn a_handle_is_a_future() {
    on_each(|| {
        let (go, gone) = channel::bounded::<()>(0);
        let slow = spawn(move || {
            gone.recv().unwrap();
            "slow"
        });
        let quick = spawn(|| "quick");
        let failed = spawn(|| panic!("as expected"));
        let (quick, failed) = block_on(async { (quick.await, failed.await) });
        assert_eq!(quick.unwrap(), "quick");
        assert_eq!(failed.unwrap_err().panic_message(), Some("as expected"));
        let opener = spawn(move || go.send(()).unwrap());
        assert_eq!(block_on(slow).unwrap(), "slow");
        opener.join().unwrap();

        // Polled once, pending, and dropped: the task goes on by itself.
        let (go, gone) = channel::bounded::<()>(0);
        let (done, was_done) = channel::bounded::<()>(1);
        let mut handle = spawn(move || {
            gone.recv().unwrap();
            done.send(()).unwrap();
        });
        block_on(std::future::poll_fn(|context| {
            let polled = std::pin::Pin::new(&mut handle).poll(context);
            assert!(polled.is_pending());
            std::task::Poll::Ready(())
        }));
        drop(handle);
        go.send(()).unwrap();
        was_done.recv().unwrap();
    });
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

// Without its handle a coroutine goes on, and its value is dropped when it ends: once. The
// same if the handle goes after the end.
#[test]
fn dropping_the_handle_detaches() {
    on_each(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (go, gone) = channel::bounded::<()>(0);
        let value = Counted(Arc::clone(&drops));
        drop(spawn(move || {
            gone.recv().unwrap();
            value
        }));
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        go.send(()).unwrap();
        until(|| drops.load(Ordering::SeqCst) == 1);

        let value = Counted(Arc::clone(&drops));
        let handle = spawn(move || value);
        until(|| handle.is_finished());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        drop(handle);
        assert_eq!(drops.load(Ordering::SeqCst), 2);

        // A detached panic is nobody's, and harms nobody.
        let value = Counted(Arc::clone(&drops));
        drop(spawn(move || {
            let _value = value;
            panic!("of a detached coroutine");
        }));
        until(|| drops.load(Ordering::SeqCst) == 3);
    });
}

// The handle may go at the very moment the task ends: the value is dropped once, by one side
// or the other.
#[test]
fn detaching_races_with_the_end() {
    const ROUNDS: usize = 5_000;
    on_each(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        for round in 0..ROUNDS {
            let value = Counted(Arc::clone(&drops));
            let handle = spawn(move || value);
            if round % 3 == 0 {
                coroutine::yield_now();
            }
            drop(handle);
        }
        until(|| drops.load(Ordering::SeqCst) == ROUNDS);
    });
}

// Spawning a coroutine from a coroutine, 10,000 deep, each joining the one it spawned.
#[test]
fn ten_thousand_nested_spawns() {
    fn nest(depth: u64) -> u64 {
        match depth {
            0 => 0,
            _ => 1 + spawn(move || nest(depth - 1)).join().unwrap(),
        }
    }
    on_each(|| assert_eq!(nest(10_000), 10_000));
}

// Ten thousand alive at once: each waits for the same word.
#[test]
fn ten_thousand_at_once() {
    on_each(|| {
        let (sender, receiver) = channel::unbounded::<u64>();
        let handles: Vec<_> = (0..10_000)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.recv().unwrap())
            })
            .collect();
        for n in 0..10_000 {
            sender.send(n).unwrap();
        }
        let total: u64 = handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        assert_eq!(total, 9_999 * 10_000 / 2);
    });
}

// A local coroutine may share what isn't `Send` with the one that spawned it, across waits:
// it runs on the same thread.
#[test]
fn local_coroutines_share_an_rc() {
    in_coroutines(|| {
        let thread = std::thread::current().id();
        let shared = Rc::new(Cell::new(0));
        let handles: Vec<_> = (0..50)
            .map(|_| {
                let shared = Rc::clone(&shared);
                coroutine::spawn_local(move || {
                    for _ in 0..20 {
                        shared.set(shared.get() + 1);
                        coroutine::yield_now();
                    }
                    assert_eq!(std::thread::current().id(), thread);
                    shared
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(shared.get(), 1_000);
        assert_eq!(Rc::strong_count(&shared), 1);
    });
}

// There is no worker to stay on for a local coroutine of a plain thread.
#[test]
fn spawn_local_outside_a_coroutine_panics() {
    on_thread(|| {
        let caught = catch_unwind(|| coroutine::spawn_local(|| 1));
        let payload = caught.unwrap_err();
        let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        assert!(text.unwrap().contains("spawn_local"));
    });
}

// Many join one after the other what ends in any order, from many coroutines at once.
#[test]
fn handles_may_be_joined_elsewhere() {
    on_each(|| {
        let (sender, receiver) = channel::bounded(4);
        let joiners: Vec<_> = (0..4)
            .map(|_| {
                let receiver: channel::Receiver<coroutine::JoinHandle<u64>> = receiver.clone();
                spawn(move || {
                    receiver
                        .iter()
                        .map(|handle| handle.join().unwrap())
                        .sum::<u64>()
                })
            })
            .collect();
        for n in 0..2_000 {
            sender.send(spawn(move || n)).unwrap();
        }
        drop(sender);
        let total: u64 = joiners
            .into_iter()
            .map(|joiner| joiner.join().unwrap())
            .sum();
        assert_eq!(total, 1_999 * 2_000 / 2);
    });
}

// A plain thread joins what coroutines spawned, and coroutines what a plain thread spawned.
#[test]
fn handles_cross_between_threads_and_coroutines() {
    on_each(|| {
        let handle = spawn(|| {
            coroutine::yield_now();
            "joined by a thread"
        });
        let thread = std::thread::spawn(move || handle.join().unwrap());
        let text = ropewalk_rt::unblock(|| thread.join().unwrap());
        assert_eq!(text, "joined by a thread");
    });
}

// Code in `Drop` may wait: of what a closure captured, of a value nobody takes, and while a
// panic unwinds.
#[test]
fn drops_may_wait() {
    struct Waits(channel::Sender<()>, Arc<Mutex<u32>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            coroutine::yield_now();
            coroutine::sleep(Duration::from_micros(50));
            *self.1.lock() += 1;
            self.0.send(()).unwrap();
        }
    }
    on_each(|| {
        let count = Arc::new(Mutex::new(0));
        let (sender, receiver) = channel::unbounded();
        let waits = || Waits(sender.clone(), Arc::clone(&count));
        let captured = waits();
        spawn(move || drop(captured)).join().unwrap();
        let given = waits();
        drop(spawn(move || given));
        let unwound = waits();
        let caught = spawn(move || {
            let _unwound = unwound;
            panic!("on the way out");
        })
        .join();
        assert!(caught.unwrap_err().is_panic());
        for _ in 0..3 {
            receiver.recv().unwrap();
        }
        assert_eq!(*count.lock(), 3);
    });
}

// A panic can be caught inside the coroutine, with waits before, inside and after.
#[test]
fn panics_can_be_caught_around_waits() {
    on_each(|| {
        let handles: Vec<_> = (0..20)
            .map(|n| {
                spawn(move || {
                    let mut caught = 0;
                    for _ in 0..5 {
                        coroutine::yield_now();
                        let result = catch_unwind(AssertUnwindSafe(|| {
                            coroutine::yield_now();
                            std::panic::panic_any(n);
                        }));
                        let payload = result.unwrap_err();
                        caught += payload.downcast_ref::<i32>().copied().unwrap();
                    }
                    assert!(!std::thread::panicking());
                    caught
                })
            })
            .collect();
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), 5 * n as i32);
        }
    });
}

// A coroutine with a stack of its own size has that much to use; one of the default runs next
// to it.
#[test]
fn a_stack_may_be_larger() {
    fn dig(depth: u32) -> u64 {
        let frame = [depth as u64; 512];
        let below = if depth == 0 { 0 } else { dig(depth - 1) };
        std::hint::black_box(&frame);
        frame[7] + below
    }
    on_each(|| {
        let handles: Vec<_> = (0..4)
            .map(|_| {
                let builder = coroutine::Builder::new().stack_size(16 << 20);
                builder.spawn(|| dig(1_500)).unwrap()
            })
            .collect();
        for handle in handles {
            assert_eq!(handle.join().unwrap(), 1_500 * 1_501 / 2);
        }
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
    });
}

// A joiner shows up in the list of the living as one that joins.
#[test]
fn a_joiner_is_listed_as_joining() {
    in_coroutines(|| {
        let (go, gone) = channel::bounded::<()>(0);
        let slow = spawn(move || gone.recv().unwrap());
        let joiner = spawn(move || slow.join().unwrap());
        until_waiting(joiner.id(), "joining");
        go.send(()).unwrap();
        joiner.join().unwrap();
    });
}
