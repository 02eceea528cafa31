//! Arguments and results that are large, or that can't be serialised.

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::{Refusal, RunTask};

use crate::alone;
use crate::tasks::{self, OneWay};

#[test]
fn payloads_of_every_size_come_back() {
    let pool = ProcessPool::new(1).unwrap();
    for len in [0, 1, 200, 224, 225, 5000, 262_144, 262_145, 3_000_000] {
        let bytes: Vec<u8> = (0..len).map(|at: usize| at as u8).collect();
        let handle = pool.submit(tasks::reverse, (bytes.clone(),)).unwrap();
        let back = handle.join().unwrap();
        assert!(back.iter().eq(bytes.iter().rev()), "{len} bytes");
    }
}

#[test]
fn many_large_payloads_at_once_find_room() {
    let pool = ProcessPool::builder()
        .workers(2)
        .arena_size(1 << 16)
        .build()
        .unwrap();
    let bytes = |n: usize| vec![n as u8; 1000 * n];
    let handles: Vec<_> = (0..100)
        .map(|n| pool.submit(tasks::reverse, (bytes(n),)).unwrap())
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), bytes(n));
    }
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_without_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let pool = ProcessPool::new(1).unwrap();
    let before = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    let limits = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(3),
        maximum: limits.maximum,
    };
    setrlimit(Resource::Nofile, none).unwrap();
    let large = pool.submit(tasks::make, (4 << 20,)).unwrap().join();
    setrlimit(Resource::Nofile, limits).unwrap();
    let error = large.err().expect("no descriptor").to_string();
    assert!(error.contains("open files"), "{error}");
    let large = pool.submit(tasks::make, (4 << 20,)).unwrap().join();
    assert_eq!(large.unwrap().0.len(), 4 << 20);
    let after = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    assert_eq!(before, after);
}

/// Once the worker was killed, whose memory was said to be broken.
#[test]
fn a_large_result_that_finds_no_descriptor_is_no_fault_of_the_worker() {
    alone::run("payloads::alone_without_descriptors");
}

#[test]
fn arguments_that_can_not_be_written_are_given_back() {
    let pool = ProcessPool::new(1).unwrap();
    let error = pool
        .submit(tasks::takes_one_way, (OneWay(13),))
        .unwrap_err();
    assert!(matches!(error.reason, Refusal::Encode(_)), "{error}");
    assert_eq!(error.into_work(), (OneWay(13),));
}

#[test]
fn what_can_not_be_written_or_read_fails_only_its_task() {
    let pool = ProcessPool::new(1).unwrap();
    let before = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    let error = |n| {
        let handle = pool.submit(tasks::makes_one_way, (n,)).unwrap();
        handle.join().unwrap_err()
    };
    let unwritable = error(13).to_string();
    assert!(unwritable.contains("can't be serialised"), "{unwritable}");
    let unreadable = error(14).to_string();
    assert!(unreadable.contains("can't be read"), "{unreadable}");
    assert_eq!(error(15).panic_message(), Some("15 panics when it is read"));
    let handle = pool.submit(tasks::takes_one_way, (OneWay(14),)).unwrap();
    let unreadable = handle.join().unwrap_err().to_string();
    assert!(unreadable.contains("can't be read"), "{unreadable}");
    let handle = pool.submit(tasks::makes_one_way, (16,)).unwrap();
    assert_eq!(handle.join().unwrap(), OneWay(16));
    let after = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    assert_eq!(before, after);
}

#[test]
fn what_is_no_task_is_refused_by_name() {
    fn stranger(n: u8) -> u8 {
        n
    }
    let pool = ProcessPool::new(1).unwrap();
    let error = pool.submit(stranger, (1,)).unwrap_err();
    assert!(error.to_string().contains("stranger"), "{error}");
}
