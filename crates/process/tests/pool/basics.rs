//! Work that goes well.

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::RunTask;

use crate::tasks;

#[test]
fn results_come_back() {
    let pool = ProcessPool::new(2).unwrap();
    let handles: Vec<_> = (0..2000)
        .map(|n| pool.submit(tasks::square, (n,)).unwrap())
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), (n * n) as u64);
    }
    let sum = pool.submit(tasks::add, (2, 40)).unwrap();
    assert_eq!(sum.join().unwrap(), 42);
    let pid = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    assert_ne!(pid, std::process::id());
    assert!(pool.pids().contains(&pid));
    pool.shutdown(true, false);
}

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
