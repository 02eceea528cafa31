//! Many parked coroutines: counts, groups, time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_rt::Runtime;
use ropewalk_rt::inspect::Dump;
use ropewalk_rt::sync::{Mutex, Semaphore};

use crate::stage::{dump_until, on_each, runtime};

/// How many of the tasks wait for a permit, and have a stack in which `function` is.
fn waiting(dump: &Dump, function: &str) -> usize {
    dump.groups
        .iter()
        .filter(|group| group.reason == Some("waiting for a permit"))
        .filter(|group| {
            let mut stack = group.stack.iter();
            stack.any(|frame| frame.function.contains(function))
        })
        .map(|group| group.tasks.len())
        .sum()
}

#[inline(never)]
fn wait_here(gate: &Semaphore) {
    drop(gate.acquire());
}

#[inline(never)]
fn wait_there(gate: &Semaphore) {
    drop(gate.acquire());
    std::hint::black_box(gate);
}

#[test]
fn equal_stacks_are_one_group() {
    on_each(|runtime| {
        let gate = Arc::new(Semaphore::new(0));
        let spawn = |wait: fn(&Semaphore)| {
            let gate = Arc::clone(&gate);
            runtime.spawn(move || wait(&gate))
        };
        let mut handles: Vec<_> = (0..300).map(|_| spawn(wait_here)).collect();
        handles.extend((0..200).map(|_| spawn(wait_there)));
        let dump = dump_until(runtime, |dump| {
            waiting(dump, "wait_here") == 300 && waiting(dump, "wait_there") == 200
        });
        assert_eq!(dump.groups.len(), 2, "{dump}");
        assert_eq!(dump.groups[0].tasks.len(), 300);
        // Nothing of the runtime's own is on top.
        let top = &dump.groups[0].stack[0];
        assert!(top.function.contains("wait_here"), "{dump}");
        assert!(dump.groups[0].folded > 0);
        for (_, task) in dump.tasks() {
            assert!(task.worker.is_some() && task.runtime == Some(0), "{task}");
            assert!(task.site.is_some_and(|site| site.file() == file!()));
            assert!(task.object.is_some() && task.age.is_some() && task.waiting.is_some());
        }
        gate.add_permits(500);
        handles
            .into_iter()
            .for_each(|handle| handle.join().unwrap());
    });
}

/// A dump resumes each coroutine to look at it: none may notice.
#[test]
fn dumps_disturb_nobody() {
    on_each(|runtime| {
        let count = Arc::new(Mutex::new(0));
        let handles: Vec<_> = (0..20)
            .map(|_| {
                let count = Arc::clone(&count);
                runtime.spawn(move || {
                    for _ in 0..500 {
                        let mut guard = count.lock();
                        ropewalk_rt::coroutine::yield_now();
                        *guard += 1;
                    }
                })
            })
            .collect();
        while handles.iter().any(|handle| !handle.is_finished()) {
            runtime.dump();
        }
        handles
            .into_iter()
            .for_each(|handle| handle.join().unwrap());
        assert_eq!(*count.lock(), 10_000);
    });
}

#[test]
fn tasks_may_come_and_go_meanwhile() {
    on_each(|runtime| {
        let spawner = runtime.spawn(|| {
            for _ in 0..100 {
                let handles: Vec<_> = (0..100)
                    .map(|_| ropewalk_rt::spawn(ropewalk_rt::coroutine::yield_now))
                    .collect();
                handles
                    .into_iter()
                    .for_each(|handle| handle.join().unwrap());
                ropewalk_rt::spawn_async(async {}).join().unwrap();
            }
        });
        let mut dumps = 0;
        while !spawner.is_finished() || dumps == 0 {
            let dump = ropewalk_rt::inspect::dump();
            assert!(!dump.to_json().is_empty() && !dump.to_string().is_empty());
            dumps += 1;
        }
        spawner.join().unwrap();
    });
}

#[test]
fn stacks_are_measured_if_asked_for() {
    let runtime = runtime(1);
    let gate = Arc::new(Semaphore::new(0));
    let spawn = |bytes: usize| {
        let gate = Arc::clone(&gate);
        runtime.spawn(move || {
            deep(bytes);
            drop(gate.acquire());
        })
    };
    let (small, large) = (spawn(0), spawn(100 << 10));
    dump_until(&runtime, |dump| waiting(dump, "stacks_are_measured") == 2);
    // They measure by themselves, when they have a turn.
    let options = ropewalk_rt::inspect::DumpOptions::new().measure_stacks(true);
    let options = options.patience(Duration::from_secs(120));
    let dump = ropewalk_rt::inspect::dump_with(&options);
    let used = |id: u64| {
        let mut tasks = dump.tasks();
        let (_, task) = tasks.find(|(_, task)| task.id == id).expect("it is there");
        task.stack_bytes.expect("it was measured")
    };
    let (of_small, of_large) = (used(small.id()), used(large.id()));
    assert!(
        of_small >= 4096 && of_small < of_large,
        "{of_small} {of_large}"
    );
    assert!(of_large >= 100 << 10, "{of_large}");
    let most = ropewalk_rt::inspect::metrics().stack_used_max_bytes;
    assert!(most.is_some_and(|most| most >= of_large));
    gate.add_permits(2);
    small.join().unwrap();
    large.join().unwrap();
}

/// Uses at least so much of the stack.
#[inline(never)]
fn deep(bytes: usize) {
    let room = std::hint::black_box([0u8; 1024]);
    if bytes > room.len() {
        deep(bytes - room.len());
    }
    std::hint::black_box(&room);
}

/// Prints what a dump of 100,000 parked coroutines costs, against what resuming each once does.
#[test]
#[ignore = "a measurement, for release builds: run it with --ignored --nocapture"]
fn a_hundred_thousand() {
    const COUNT: usize = 100_000;
    let runtime = Runtime::builder().workers(2).watch(None).build().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let handles: Vec<_> = (0..COUNT)
        .map(|n| {
            let gate = Arc::clone(&gate);
            runtime.spawn(move || match n % 4 {
                0 => wait_here(&gate),
                1 => wait_there(&gate),
                2 => ropewalk_rt::cancel::timeout(Duration::from_secs(1000), || wait_here(&gate))
                    .expect("in time"),
                _ => drop(gate.acquire()),
            })
        })
        .collect();
    let parked = |dump: &Dump| {
        let groups = dump.groups.iter();
        let parked = groups.filter(|group| group.reason.is_some() && !group.stack.is_empty());
        parked.map(|group| group.tasks.len()).sum::<usize>() == COUNT
    };
    dump_until(&runtime, parked);
    for _ in 0..3 {
        let began = Instant::now();
        let dump = runtime.dump();
        let taken = began.elapsed();
        let text = dump.to_string();
        let written = began.elapsed();
        let json = dump.to_json();
        let all = began.elapsed();
        assert!(parked(&dump));
        println!(
            "dump {taken:?}, text of {} bytes {:?}, JSON of {} bytes {:?}",
            text.len(),
            written - taken,
            json.len(),
            all - written
        );
    }
    let began = Instant::now();
    gate.add_permits(COUNT);
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
    println!("waking and joining all: {:?}", began.elapsed());
}
