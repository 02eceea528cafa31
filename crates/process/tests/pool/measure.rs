//! Figures, for those who work on this: `cargo test --release -p ropewalk-process --test pool --
//! --ignored --nocapture measure`.

use std::collections::VecDeque;
use std::time::Instant;

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::RunTask;

use crate::tasks;

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
