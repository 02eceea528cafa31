//! Where a pool may be, what its workers look like from outside, and that they never outlive it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::RunTask;
use rustix::process::{Pid, Signal, kill_process};

use crate::alone::{self, lives, wait_for};
use crate::tasks;

#[test]
fn a_worker_can_not_have_a_pool() {
    let pool = ProcessPool::new(1).unwrap();
    let why = pool
        .submit(tasks::starts_a_pool, ())
        .unwrap()
        .join()
        .unwrap();
    assert!(why.contains("a worker of a pool"), "{why}");
}

#[test]
fn a_workers_name_is_what_ps_shows() {
    let pool = ProcessPool::builder()
        .workers(1)
        .name("thumbs")
        .build()
        .unwrap();
    let pid = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(comm, "thumbs-0\n");
    assert_eq!(pool.insight().workers[0].name, "thumbs-0");
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

#[test]
fn an_interrupt_does_nothing_to_workers() {
    let pool = ProcessPool::new(1).unwrap();
    let before = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    let handle = pool.submit(tasks::sleeps, (50,)).unwrap();
    for _ in 0..5 {
        signal(before, Signal::INT);
    }
    assert_eq!(handle.join().unwrap(), 50);
    let after = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    assert_eq!(before, after);
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_busy() {
    alone::be_interruptible();
    let pool = ProcessPool::new(2).unwrap();
    wait_for("two workers", || pool.pids().len() == 2);
    let _busy = pool.submit(tasks::sleeps, (60_000,)).unwrap();
    for pid in pool.pids() {
        println!("\npid {pid}");
    }
    println!("all");
    std::thread::sleep(Duration::from_secs(60));
}

fn start_busy() -> (Child, Vec<u32>) {
    use std::os::unix::process::CommandExt;
    let mut command = alone::command("start::alone_busy");
    command.stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap();
    let mut pids = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(pid) = line.strip_prefix("pid ") {
            pids.push(pid.parse().unwrap());
        }
        if line == "all" {
            break;
        }
    }
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|&pid| lives(pid)));
    (child, pids)
}

#[test]
fn workers_end_with_a_parent_that_is_killed() {
    let (mut child, pids) = start_busy();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the workers' end", || !pids.iter().any(|&pid| lives(pid)));
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_from_the_beginning() {
    alone::be_interruptible();
    println!("\nbegun");
    let pool = ProcessPool::builder()
        .workers(2)
        .initializer(tasks::sleeps, (20,))
        .build()
        .unwrap();
    let handles: Vec<_> = (0..20)
        .map(|n| pool.submit(tasks::sleeps, (n,)).unwrap())
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    pool.shutdown(true, false).unwrap();
}

/// Who lives in a group of processes.
fn members(group: Pid) -> Vec<String> {
    let mut members = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Ok(stat) = std::fs::read_to_string(entry.unwrap().path().join("stat")) else {
            continue;
        };
        // After the name, which may have anything in it: state, parent, group.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let mut fields = after.split(' ');
        let state = fields.next();
        let its = fields.nth(1).and_then(|its| its.parse().ok());
        if its == Some(group.as_raw_nonzero().get()) && state != Some("Z") {
            members.push(stat);
        }
    }
    members
}

/// While the pool is made, its workers begin, have tasks, or end: all of them are gone at once.
#[test]
fn control_c_at_any_moment_leaves_nobody() {
    use std::os::unix::process::CommandExt;
    for moment in 0..30 {
        let mut command = alone::command("start::alone_from_the_beginning");
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "begun"));
        std::thread::sleep(Duration::from_micros(moment * moment * 300));
        let group = Pid::from_child(&child);
        // It may have come to its end.
        let _ = rustix::process::kill_process_group(group, Signal::INT);
        child.wait().unwrap();
        wait_for("nobody is left", || members(group).is_empty());
    }
}

#[test]
fn control_c_ends_all() {
    let (mut child, pids) = start_busy();
    let group = Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process_group(group, Signal::INT).unwrap();
    child.wait().unwrap();
    wait_for("the workers' end", || !pids.iter().any(|&pid| lives(pid)));
}
