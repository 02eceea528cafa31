//! `ropewalk top` against a live process: what is printed, what is refused, who can harm what.

#[path = "../../../examples/crowd.rs"]
#[allow(dead_code, unreachable_pub)] // It is a program of its own.
mod crowd;
mod hostile;
mod screen;
mod target;

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Folder, Running, ropewalk, run};
use target::Plan;

#[test]
fn a_dump_as_text() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 200).start();
    target.top_until(&["--dump"], |out| {
        [
            "nap_again_and_again",
            "sleeping",
            "receiving",
            "waiting for a permit",
            "locking",
        ]
        .iter()
        .all(|words| out.contains(words))
    });
}

#[test]
fn a_dump_as_json() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 200).start();
    let group_of = |out: &str, reason: &str| -> Option<Value> {
        let dump: Value = serde_json::from_str(out).unwrap();
        let groups = dump["groups"].as_array().unwrap().clone();
        groups.into_iter().find(|group| group["reason"] == reason)
    };
    let out = target.top_until(&["--dump", "--json"], |out| {
        // With their stack: a worker may be too late to show it.
        group_of(out, "waiting for a permit")
            .is_some_and(|group| group["count"] == 20 && group["stack"][0].is_object())
    });
    let group = group_of(&out, "waiting for a permit").unwrap();
    assert_eq!(group["tasks"].as_array().unwrap().len(), 20);
    let site = group["tasks"][0]["spawned_at"].as_str().unwrap();
    assert!(site.contains("crowd.rs:"), "{site}");
    let function = group["stack"][0]["function"].as_str().unwrap();
    assert!(function.contains("gather"), "{function}");
}

#[test]
fn metrics_in_both_forms() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 200).start();
    let text = target.top_until(&["--metrics"], |out| {
        out.contains("ropewalk_live_tasks 201")
    });
    for name in [
        "ropewalk_resumed_total",
        "ropewalk_queue_latency_seconds_bucket",
    ] {
        assert!(text.contains(name), "{text}");
    }
    let text = target.top(&["--metrics", "--json"]).out;
    let metrics: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metrics["pid"].to_string(), target.pid());
    assert_eq!(metrics["workers"].as_array().unwrap().len(), 2);
    assert_eq!(metrics["total"]["live"], 201);
}

#[test]
fn a_list_of_processes() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).start();
    let list = |args: &[&str]| {
        let mut command = ropewalk(["top"]);
        command.args(args).env("XDG_RUNTIME_DIR", folder.path());
        Running::start(&mut command).finish()
    };
    let text = list(&[]);
    assert_eq!(text.code, Some(0));
    let line = text.out.lines().find(|line| line.contains(&target.pid()));
    assert!(
        line.is_some_and(|line| line.contains("command")),
        "{}",
        text.out
    );
    let json: Value = serde_json::from_str(&list(&["--json"]).out).unwrap();
    let processes = json.as_array().unwrap();
    assert!(
        processes
            .iter()
            .any(|p| p["pid"] == target.running.id() && p["live"] == 21)
    );
}

#[test]
fn all_workers_compute_and_it_answers() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).mishap("busy").start();
    let computing = |out: &str| {
        let dump: Value = serde_json::from_str(out).unwrap();
        let silent = &dump["runtimes"][0]["silent_workers"];
        silent.as_array().is_some_and(|silent| silent.len() == 2)
    };
    target.top_until(&["--dump", "--json"], computing);
    assert_eq!(target.top(&["--metrics"]).code, Some(0));
}

// It was waited for, half a minute; to be told at once is what a script wants.
#[test]
fn a_stopped_process_is_said_to_be_stopped() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).start();
    target.running.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", target.pid());
    while !fs::read_to_string(&stat).unwrap().contains(") T ") {}
    let finished = target.top(&["--dump"]);
    assert_eq!((finished.code, finished.out.as_str()), (Some(2), ""));
    assert!(finished.err.contains("is stopped"), "{}", finished.err);
    target.running.signal(Signal::CONT);
    // It may take a moment until it goes on.
    while target.top(&["--dump"]).err.contains("is stopped") {}
    assert_eq!(target.top(&["--dump"]).code, Some(0));
}

#[test]
fn a_deadlock_can_be_looked_at() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 0).mishap("deadlock").start();
    let both = |out: &str| -> Option<Vec<(u64, u64)>> {
        let dump: Value = serde_json::from_str(out).unwrap();
        let groups = dump["groups"].as_array().unwrap();
        let locking = groups.iter().filter(|group| group["reason"] == "locking");
        let tasks = locking.flat_map(|group| group["tasks"].as_array().unwrap());
        let pairs: Option<Vec<_>> = tasks
            .map(|task| Some((task["id"].as_u64()?, task["owner"].as_u64()?)))
            .collect();
        pairs.filter(|pairs| pairs.len() == 2)
    };
    let out = target.top_until(&["--dump", "--json"], |out| {
        // Where locks aren't tracked, owners aren't known.
        let locking = both(out).is_some() || (!cfg!(debug_assertions) && out.contains("locking"));
        // With their stack: a worker may be too late to show it.
        locking && out.contains("lock_both")
    });
    if let Some(pairs) = both(&out) {
        let ((a, holds_a), (b, holds_b)) = (pairs[0], pairs[1]);
        assert_eq!((holds_a, holds_b), (b, a), "each waits for the other");
    }
}

#[test]
fn the_socket_is_for_its_user_only() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 1).start();
    let mode = |path: &std::path::Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&target.socket()), 0o600);
    assert_eq!(mode(target.socket().parent().unwrap()), 0o700);
}

#[test]
fn sockets_are_removed_at_the_end_or_by_the_next() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 1).start();
    let socket = target.socket();
    let finished = target.running.finish();
    assert_eq!(finished.code, Some(0));
    assert!(!socket.exists(), "removed by an orderly end");

    let target = Plan::new(&folder, 1).start();
    let (socket, pid) = (target.socket(), target.pid());
    target.running.signal(Signal::KILL);
    assert_eq!(target.running.finish().code, None);
    assert!(socket.exists());
    let mut command = ropewalk(["top", "--dump", &pid]);
    command.env("XDG_RUNTIME_DIR", folder.path());
    let finished = Running::start(&mut command).finish();
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.err.contains("there is no process"),
        "{}",
        finished.err
    );
    let _next = Plan::new(&folder, 1).start();
    assert!(!socket.exists(), "removed by the next process");
}

#[test]
fn what_can_not_be_inspected() {
    let folder = Folder::new();
    let mut plan = Plan::new(&folder, 1);
    plan.inspected = false;
    let target = plan.start();
    let pid = target.pid();
    for (args, said) in [
        (&["--dump", "4194999"][..], "there is no process 4194999"),
        (&["--dump", "0"], "there is no process 0"),
        (&["--metrics", "4294967295"], "there is no process"),
        (&["--dump", &pid], "ROPEWALK_INSPECT=1"),
        (&[&pid], "ROPEWALK_INSPECT=1"),
        (&["--dump"], "PID"),
        (&["--dump", "--metrics", "1"], "cannot be used with"),
        (&["--json", &pid], "--json goes with"),
        (&["--interval", "1ms", &pid], "at least 100ms"),
        (&["nonsense"], "invalid"),
    ] {
        let mut command = ropewalk(["top"]);
        command.args(args).env("XDG_RUNTIME_DIR", folder.path());
        let finished = Running::start(&mut command).finish();
        assert_eq!(finished.code, Some(2), "{args:?}: {finished:?}");
        assert_eq!(finished.out, "", "{args:?}");
        assert!(finished.err.contains(said), "{args:?}: {}", finished.err);
    }
    assert!(run(["top", "--help"]).out.contains("ROPEWALK_INSPECT=1"));
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 1).start();
    let finished = target.top(&[]);
    assert_eq!(finished.code, Some(2));
    assert!(finished.err.contains("use --dump"), "{}", finished.err);
}

#[test]
fn a_broken_pipe_is_no_failure() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 2000).start();
    let mut running = Running::start(&mut target.command(&["--dump", "--json"]));
    drop(running.out.take());
    let finished = running.finish();
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
}
