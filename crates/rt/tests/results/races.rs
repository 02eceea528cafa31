//! Setting a promise races with everything its reader may do: no value is lost, none is seen
//! twice, nobody is left waiting. And the same for groups' places and for results as they come.
//!
//! Broken on purpose, these fail: `settle` that doesn't look at GONE as it adds DONE (values are
//! lost); a claim by a load and a store in place of one step (two settle at once, and perhaps
//! nobody goes on: not in every run).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use ropewalk_rt::results::{as_completed, wait_first_timeout};
use ropewalk_rt::{
    Group, JoinError, Promise, PromiseHandle, block_on, cancel, channel, coroutine, promise,
    spawn_async, thread,
};

use crate::stage::{in_coroutines, on_each, with_workers};

const ROUNDS: usize = 100_000;

/// Small random numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// Wastes a little time, or gives way.
    fn dawdle(&mut self) {
        match self.roll(8) {
            0 => coroutine::yield_now(),
            n => (0..n * 20).for_each(|_| std::hint::spin_loop()),
        }
    }
}

/// What became of the values: each has one fate.
#[derive(Default)]
struct Fates {
    /// Taken by the reader.
    read: AtomicUsize,
    /// Looked at by a callback that outlived its handle.
    called: AtomicUsize,
    /// Given back to the setter.
    back: AtomicUsize,
    /// Dropped with the handle by a reader that did not look.
    unread: AtomicUsize,
    /// Dropped by the setter, who was told that it was taken over.
    lost: AtomicUsize,
}

struct Value {
    fates: Arc<Fates>,
    setter: u64,
    looked_at: AtomicBool,
}

impl Value {
    fn meets(&self, fate: impl Fn(&Fates) -> &AtomicUsize) {
        let before = self.looked_at.swap(true, Ordering::Relaxed);
        assert!(!before, "nobody has seen it before");
        fate(&self.fates).fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if !*self.looked_at.get_mut() {
            let by_setter = coroutine::current().id() == self.setter;
            self.meets(|fates| {
                if by_setter {
                    &fates.lost
                } else {
                    &fates.unread
                }
            });
        }
    }
}

fn set(fates: &Arc<Fates>, promise: Promise<Value>) {
    let value = Value {
        fates: Arc::clone(fates),
        setter: coroutine::current().id(),
        looked_at: AtomicBool::new(false),
    };
    if let Err(value) = promise.set(value) {
        value.meets(|fates| &fates.back);
    }
}

/// Does one of all the things a reader may do.
fn read(handle: PromiseHandle<Value>, dice: &mut Dice) {
    let look = |outcome: Result<Value, JoinError>| match outcome {
        Ok(value) => value.meets(|fates| &fates.read),
        Err(error) => assert!(error.is_cancelled(), "{error}"),
    };
    match dice.roll(7) {
        0 => look(handle.join()),
        1 => {
            let mut handle = handle;
            let limit = Duration::from_nanos(dice.roll(3_000));
            let outcome = loop {
                match handle.join_timeout(limit) {
                    Ok(outcome) => break outcome,
                    Err(back) => handle = back,
                }
            };
            look(outcome);
        }
        2 => {
            dice.dawdle();
            handle.cancel();
            look(handle.join());
        }
        3 => look(block_on(handle)),
        4 => {
            // Polled, and then given up.
            let mut handle = handle;
            let mut context = Context::from_waker(Waker::noop());
            if let std::task::Poll::Ready(outcome) = Pin::new(&mut handle).poll(&mut context) {
                return look(outcome);
            }
            dice.dawdle();
            drop(handle);
        }
        5 => {
            handle.on_done(|outcome| match outcome {
                Ok(value) => value.meets(|fates| &fates.called),
                Err(error) => panic!("{error}"),
            });
            dice.dawdle();
            drop(handle);
        }
        _ => {
            let mut handles = vec![handle];
            let limit = Duration::from_nanos(dice.roll(3_000));
            match wait_first_timeout(&mut handles, limit) {
                Some((_, outcome)) => look(outcome),
                None => {
                    handles[0].cancel();
                    look(handles.remove(0).join());
                }
            }
        }
    }
}

/// Plays `ROUNDS` rounds between the caller, who reads, and a setter that `start` starts.
fn play(start: impl FnOnce(Box<dyn FnOnce() + Send>)) {
    let fates = Arc::new(Fates::default());
    let (give, take) = channel::bounded::<Promise<Value>>(1);
    let setters = Arc::clone(&fates);
    start(Box::new(move || {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        for promise in take {
            dice.dawdle();
            set(&setters, promise);
        }
    }));
    let mut dice = Dice(0xD1B5_4A32_D192_ED03);
    for _ in 0..ROUNDS {
        let (promise, handle) = promise();
        give.send(promise).unwrap();
        read(handle, &mut dice);
    }
    drop(give);
    while Arc::strong_count(&fates) > 1 {
        coroutine::sleep(Duration::from_micros(100));
    }
    let count = |fate: &AtomicUsize| fate.load(Ordering::Relaxed);
    let all = [&fates.read, &fates.called, &fates.back, &fates.unread];
    let sum: usize = all.map(count).iter().sum();
    assert_eq!((count(&fates.lost), sum), (0, ROUNDS));
    // The sides of the race were seen.
    for fate in &all[..3] {
        assert_ne!(count(fate), 0);
    }
}

#[test]
fn setting_against_all_a_reader_does() {
    on_each(|| play(|setter| drop(coroutine::spawn(setter))));
}

#[test]
fn setting_on_a_thread_against_a_coroutine() {
    in_coroutines(|| play(|setter| drop(thread::spawn(setter))));
}

#[test]
fn setting_in_a_task_against_a_coroutine() {
    with_workers(2, || {
        play(|setter| drop(spawn_async(async move { setter() })))
    });
}

// A cancellation of the reader against the value: it has it, or the handle has, or the setter.
#[test]
fn a_cancelled_reader() {
    const ROUNDS: usize = 20_000;
    on_each(|| {
        let mut dice = Dice(0x1234_5678_9ABC_DEF1);
        for round in 0..ROUNDS {
            let (promise, handle) = promise::<usize>();
            let reader = coroutine::spawn(move || {
                let mut handle = handle;
                while cancel::check().is_ok() {
                    match handle.join_timeout(Duration::from_secs(3600)) {
                        Ok(outcome) => return Ok(outcome.unwrap()),
                        Err(back) => handle = back,
                    }
                }
                Err(handle)
            });
            if dice.roll(2) == 0 {
                coroutine::yield_now();
            }
            let setter = coroutine::spawn(move || promise.set(round));
            if dice.roll(2) == 0 {
                coroutine::yield_now();
            }
            reader.cancel();
            let set = setter.join().unwrap();
            match reader.join() {
                // The closure never ran, and dropped the handle before or after the value came.
                Err(error) => assert!(
                    error.is_cancelled() && set.is_err_and(|back| back == round) || set.is_ok()
                ),
                Ok(Ok(value)) => assert!(value == round && set.is_ok()),
                Ok(Err(handle)) => {
                    assert_eq!(set, Ok(()), "there was a handle all the time");
                    assert_eq!(handle.join().unwrap(), round);
                }
            }
        }
    });
}

// Two takers of time: results arrive while the iterator gives up and is asked again.
#[test]
fn results_as_they_come_against_time_limits() {
    on_each(|| {
        let mut dice = Dice(0xFEED_F00D);
        for _ in 0..500 {
            let handles: Vec<_> = (0..20)
                .map(|n| {
                    let spins = dice.roll(50);
                    coroutine::spawn(move || {
                        (0..spins).for_each(|_| std::hint::spin_loop());
                        if spins.is_multiple_of(3) {
                            coroutine::yield_now();
                        }
                        n
                    })
                })
                .collect();
            let mut results = as_completed(handles);
            let mut sum = 0;
            while !results.is_empty() {
                if let Some((index, value)) = results.next_timeout(Duration::from_nanos(500)) {
                    assert_eq!(value.unwrap(), index);
                    sum += index;
                }
            }
            assert_eq!(sum, 190);
        }
    });
}

// Places of a full group, against spawners that give up and children that are cancelled: none
// is lost, so that in the end the group is as wide as it was.
#[test]
fn no_place_of_a_group_is_lost() {
    const EACH: usize = 5_000;
    on_each(|| {
        let group = Arc::new(Group::with_limit(2));
        let spawners: Vec<_> = (1..=4)
            .map(|seed| {
                let group = Arc::clone(&group);
                coroutine::spawn(move || {
                    let mut dice = Dice(seed);
                    let mut spawned = 0;
                    for _ in 0..EACH {
                        let limit = Duration::from_nanos(dice.roll(20_000));
                        let yields = dice.roll(2) == 0;
                        let child = move || {
                            if yields {
                                coroutine::yield_now();
                            }
                        };
                        if let Ok(handle) = group.spawn_timeout(limit, child) {
                            spawned += 1;
                            if dice.roll(3) == 0 {
                                handle.cancel();
                            }
                        }
                    }
                    spawned
                })
            })
            .collect();
        for spawner in spawners {
            assert_ne!(spawner.join().unwrap(), 0);
        }
        group.join().unwrap();
        assert!(group.is_empty());
        let event = Arc::new(ropewalk_rt::sync::Event::new());
        let wait = || {
            let event = Arc::clone(&event);
            move || event.wait().unwrap()
        };
        let both = [
            group.try_spawn(wait()).unwrap(),
            group.try_spawn(wait()).unwrap(),
        ];
        assert!(group.try_spawn(wait()).is_err());
        event.set();
        for handle in both {
            handle.join().unwrap();
        }
    });
}
