//! Who answers a dump, who does not, and from where it can be asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ropewalk_rt::Runtime;
use ropewalk_rt::coroutine::{Builder, no_wait};
use ropewalk_rt::inspect::{self, State};
use ropewalk_rt::sync::{Barrier, Mutex, Semaphore};

use crate::stage::{answered_until, dump_until, named, on_each, runtime, waits};

#[test]
fn a_worker_that_computes_does_not_hang_the_dump() {
    // Watched, as what computes can be looked at then; but not reported.
    let builder = Runtime::builder().workers(2);
    let runtime = builder.watch(Duration::from_secs(1000)).build().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (started, computes) = mpsc::channel();
    let computing = {
        let stop = stop.clone();
        runtime.run(move || {
            let body = move || {
                started.send(()).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
            };
            Builder::new().name("computing").spawn(body).unwrap()
        })
    };
    computes.recv().unwrap();
    let parked = {
        let gate = gate.clone();
        runtime.run(move || {
            let body = move || drop(gate.acquire());
            Builder::new().name("parked").spawn(body).unwrap()
        })
    };
    // `run` went to the other worker, and so did what it spawned. That one answers, and the one that
    // computes can be looked at, in time if the machine isn't too busy.
    let dump = dump_until(&runtime, |dump| {
        let seen = |name| named(dump, name).is_some_and(|(group, _)| !group.stack.is_empty());
        waits(dump, "parked", "waiting for a permit")
            && dump.runtimes[0].silent_workers.len() == 1
            && seen("parked")
            && seen("computing")
    });
    let silent = &dump.runtimes[0].silent_workers;
    let (group, task) = named(&dump, "computing").unwrap();
    assert_eq!(group.state, State::Running);
    let mut files = group.stack.iter().filter_map(|frame| frame.file.as_deref());
    assert!(files.any(|name| name.ends_with("answers.rs")), "{dump}");
    assert_eq!(silent.len(), 1, "{dump}");
    assert_eq!(Some(silent[0].index), task.worker);
    assert_eq!(silent[0].task, Some(task.id));
    assert!(dump.to_string().contains("did not answer"), "{dump}");
    let (group, _) = named(&dump, "parked").unwrap();
    assert!(!group.stack.is_empty(), "the other worker answered: {dump}");
    stop.store(true, Ordering::SeqCst);
    computing.join().unwrap();
    gate.add_permits(1);
    parked.join().unwrap();
    let dump = answered_until(&runtime, |_| true);
    assert!(dump.groups.is_empty(), "{dump}");
}

/// Owners are known where locks are tracked.
#[test]
fn a_deadlock_shows_both_owners() {
    ropewalk_rt::deadlock::track(true);
    ropewalk_rt::deadlock::set_hook(|_| ());
    let runtime = runtime(2);
    let locks = Arc::new([const { Mutex::new(()) }; 2]);
    let both = Arc::new(Barrier::new(2));
    let names = ["first", "second"];
    for (own, name) in names.into_iter().enumerate() {
        let (locks, both) = (locks.clone(), both.clone());
        runtime.run(move || {
            let body = move || {
                let _held = locks[own].lock();
                both.wait();
                drop(locks[1 - own].lock());
            };
            // Nobody waits for its end: it has none.
            drop(Builder::new().name(name).daemon(true).spawn(body).unwrap());
        });
    }
    let dump = dump_until(&runtime, |dump| {
        names.iter().all(|name| {
            named(dump, name).is_some_and(|(group, task)| {
                group.reason == Some("locking") && task.owner.is_some()
            })
        })
    });
    let [first, second] = names.map(|name| named(&dump, name).unwrap().1);
    assert_eq!(first.owner, Some(second.id), "{dump}");
    assert_eq!(second.owner, Some(first.id), "{dump}");
    assert_ne!(first.object, second.object);
    let text = dump.to_string();
    for task in [first, second] {
        assert!(text.contains(&format!("held by {}", task.id)), "{text}");
    }
    ropewalk_rt::deadlock::take_hook();
    // Stopping it would take the grace for tasks that never end.
    std::mem::forget(runtime);
}

#[test]
fn a_dump_can_be_asked_for_anywhere() {
    on_each(|runtime| {
        let gate = Arc::new(Semaphore::new(0));
        let waiter = {
            let gate = gate.clone();
            runtime.spawn(move || drop(gate.acquire()))
        };
        let id = waiter.id();
        let has_it = move |dump: &inspect::Dump| dump.tasks().any(|(_, task)| task.id == id);
        assert!(has_it(&inspect::dump()), "from a plain thread");
        let thread = ropewalk_rt::thread::spawn(move || has_it(&inspect::dump()));
        assert!(thread.join().unwrap(), "from a thread of ours");
        runtime.run(|| {
            assert!(has_it(&inspect::dump()), "from a coroutine");
            let task = ropewalk_rt::spawn_async(async move { has_it(&inspect::dump()) });
            assert!(task.join().unwrap(), "from an async task");
            // Here the worker can't answer meanwhile.
            let options = inspect::DumpOptions::new().patience(Duration::from_millis(1));
            let dump = no_wait(|| inspect::dump_with(&options));
            assert!(has_it(&dump), "where nothing may wait");
        });
        gate.add_permits(1);
        waiter.join().unwrap();
    });
}

#[test]
fn each_runtime_has_its_own() {
    let runtimes = [runtime(1), runtime(2)];
    let gate = Arc::new(Semaphore::new(0));
    let waiters = [0, 1].map(|at| {
        let gate = gate.clone();
        let runtime: &ropewalk_rt::Runtime = &runtimes[at];
        runtime.spawn(move || drop(gate.acquire()))
    });
    for (at, runtime) in runtimes.iter().enumerate() {
        let dump = dump_until(runtime, |dump| {
            let mut groups = dump.groups.iter();
            groups.any(|group| group.reason == Some("waiting for a permit"))
        });
        assert_eq!(dump.runtimes.len(), 1);
        assert_eq!(dump.runtimes[0].workers, at + 1);
        let ids: Vec<u64> = dump.tasks().map(|(_, task)| task.id).collect();
        assert_eq!(ids, [waiters[at].id()]);
    }
    let all = inspect::dump();
    let of = |id: u64| {
        let mut tasks = all.tasks();
        tasks.find(|(_, task)| task.id == id).unwrap().1.runtime
    };
    let of = waiters.each_ref().map(|waiter| of(waiter.id()).unwrap());
    assert_ne!(of[0], of[1]);
    assert_eq!(of.map(|index| all.runtimes[index].workers), [1, 2]);
    gate.add_permits(2);
    for waiter in waiters {
        waiter.join().unwrap();
    }
}

/// A runtime whose coroutines were left parked has workers that answer no more.
#[test]
fn a_runtime_that_has_stopped_is_not_waited_for() {
    let runtime = runtime(1);
    let gate = Arc::new(Semaphore::new(0));
    let left = {
        let gate = gate.clone();
        runtime.spawn(move || drop(gate.acquire()))
    };
    dump_until(&runtime, |dump| {
        let mut groups = dump.groups.iter();
        groups.any(|group| group.reason.is_some())
    });
    assert!(runtime.shutdown(Duration::ZERO).is_err());
    let options = inspect::DumpOptions::new().patience(Duration::from_secs(1000));
    let began = Instant::now();
    let dump = inspect::dump_with(&options);
    assert!(began.elapsed() < Duration::from_secs(500));
    let mut tasks = dump.tasks();
    assert!(tasks.any(|(_, task)| task.id == left.id()));
}
