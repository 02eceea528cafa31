//! Figures, for those who work on this: `cargo test --release -p ropewalk-process --test pool --
//! --ignored --nocapture measure`.

use std::collections::VecDeque;
use std::time::Instant;

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::RunTask;

use crate::tasks::{self, Blob};

#[test]
#[ignore = "prints figures"]
fn measure_tiny_tasks() {
    let pool = ProcessPool::new(2).unwrap();
    pool.submit(tasks::noop, ()).unwrap().join().unwrap();
    for _ in 0..3 {
        let n = 300_000;
        let start = Instant::now();
        let mut handles = VecDeque::new();
        for _ in 0..n {
            handles.push_back(pool.submit(tasks::noop, ()).unwrap());
            if handles.len() > 2000 {
                handles.pop_front().unwrap().join().unwrap();
            }
        }
        for handle in handles {
            handle.join().unwrap();
        }
        let rate = n as f64 / start.elapsed().as_secs_f64();
        println!("pipelined: {rate:.0} tasks/s");
        let n = 30_000;
        let start = Instant::now();
        for _ in 0..n {
            pool.submit(tasks::noop, ()).unwrap().join().unwrap();
        }
        let rate = n as f64 / start.elapsed().as_secs_f64();
        println!("round trips: {rate:.0}/s");
    }
    println!("{:#?}", pool.insight());
}

#[test]
#[ignore = "prints figures"]
fn measure_large_payloads() {
    const LEN: usize = 64 << 20;
    let pool = ProcessPool::new(1).unwrap();
    let blob = Blob(vec![7; LEN]);
    let rate = |name: &str, start: Instant| {
        let rate = LEN as f64 / start.elapsed().as_secs_f64() / 1e9;
        println!("{name}: {rate:.2} GB/s");
    };
    for _ in 0..4 {
        let start = Instant::now();
        let copy = std::hint::black_box(&blob).clone();
        rate("copy into fresh memory", start);
        drop(copy);
        let start = Instant::now();
        let handle = pool.submit(tasks::count, (blob.clone(),)).unwrap();
        rate("copy and submit", start);
        let start2 = Instant::now();
        assert_eq!(handle.join().unwrap(), LEN);
        rate("join the argument", start2);
        rate("copy, submit and join", start);
        let start = Instant::now();
        let handle = pool.submit(tasks::make, (LEN,)).unwrap();
        assert_eq!(handle.join().unwrap().0.len(), LEN);
        rate("make and return", start);
        let start = Instant::now();
        std::hint::black_box(tasks::make(LEN));
        rate("make here", start);
    }
}
