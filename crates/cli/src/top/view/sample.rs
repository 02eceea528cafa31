//! Answers of a process as the tests need them.

use std::time::{Duration, Instant};

use crate::top::snapshot::{Dump, Metrics};
use crate::top::state::Look;

const DUMP: &str = r#"{
  "pid": 7, "program": "/usr/bin/mail-room", "taken_unix_ms": 1700000000000, "of_tomorrow": [1],
  "runtimes": [{"workers": 2, "driver": "io_uring", "live": 1012, "silent_workers": [1]}],
  "groups": [
    {"count": 1000, "state": "parked", "reason": "sleeping", "folded": 4, "stack": [
       {"function": "mail_room::letter::wait", "file": "src/letter.rs", "line": 31},
       {"function": "mail_room::main::{closure}", "file": "src/main.rs", "line": 12}],
     "tasks": [
       {"id": 4, "name": "letter 4", "parent": 1, "kind": "coroutine", "spawned_at": "src/main.rs:12",
        "worker": 0, "runtime": 0, "age_ms": 65000, "waiting_ms": 1500, "object": null, "owner": null,
        "stack_bytes": 4096},
       {"id": 5, "name": null, "parent": 1, "kind": "coroutine", "spawned_at": "src/main.rs:12",
        "worker": 1, "runtime": 0, "age_ms": 64000, "waiting_ms": 700}]},
    {"count": 11, "state": "parked", "reason": "locking", "folded": 2, "stack": [
       {"function": "mail_room::ledger::enter", "file": "src/ledger.rs", "line": 8}],
     "tasks": [
       {"id": 9, "name": "clerk", "kind": "coroutine", "spawned_at": "src/main.rs:20",
        "waiting_ms": 61000, "object": "0x7f00aa", "owner": 4}]},
    {"count": 1, "state": "fresh", "reason": null, "folded": 0, "stack": [],
     "tasks": [{"id": 11, "kind": "async", "spawned_at": "src/door/bell.rs:3"}]}
  ]}"#;

/// Returns a look at a process this long after its start, after so many resumes.
pub(in crate::top) fn look(uptime_ms: u64, resumes: u64) -> Look {
    let metrics = format!(
        r#"{{"pid": 7, "program": "/usr/bin/mail-room", "uptime_ms": {uptime_ms},
          "total": {{"resumes": {resumes}, "spawns": {resumes}, "steals": 0, "stacks_in_use": 1011}},
          "workers": [
            {{"runtime": 0, "index": 0, "resumes": {resumes}, "queue_len": 3,
             "queue_latency_ns": {{"p50": 1200, "p99": 85000, "max": 2300000, "count": {resumes},
               "buckets": [[1024, {resumes}], [65536, 40]]}},
             "parks": {{"sleeping": {resumes}, "receiving": 17}}}},
            {{"runtime": 0, "index": 1, "resumes": 0, "queue_len": 0, "queue_latency_ns": null,
             "parks": {{}}}}]}}"#
    );
    let dump: Dump = serde_json::from_str(DUMP).unwrap();
    let metrics: Metrics = serde_json::from_str(&metrics).unwrap();
    // Our own clock goes along with the process's.
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    Look {
        dump,
        metrics,
        at: *START.get_or_init(Instant::now) + Duration::from_millis(uptime_ms),
        connection: 1,
    }
}
