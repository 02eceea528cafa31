//! `ropewalk top` without a process: those that can be inspected.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::format;
use super::snapshot::Metrics;
use super::socket::{self, Connection};
use crate::say;

/// How long to wait for one: it may be stopped, and others are to be listed too.
const PATIENCE: Duration = Duration::from_secs(2);

/// A process that answers.
#[derive(Debug, Serialize)]
struct Process {
    pid: u32,
    program: String,
    uptime_ms: Option<u64>,
    live: Option<u64>,
}

/// Lists the processes of this user that answer, as a table or as JSON.
pub(super) fn list(json: bool) -> String {
    let mut processes: Vec<Process> = pids().into_iter().filter_map(process).collect();
    processes.sort_by_key(|process| process.pid);
    if json {
        let text = serde_json::to_string_pretty(&processes);
        return text.expect("numbers and strings can be written") + "\n";
    }
    if processes.is_empty() {
        say(
            "no process of yours can be inspected; start one with ROPEWALK_INSPECT=1 in its environment\n",
        );
        return String::new();
    }
    let mut text = format!("{:>8}  {:>7}  {:>7}  PROGRAM\n", "PID", "UP", "TASKS");
    for process in processes {
        let Process {
            pid,
            program,
            uptime_ms,
            live,
        } = process;
        let up = format::millis(uptime_ms);
        let live = live.map_or_else(|| "-".to_owned(), |live| live.to_string());
        let program = format::without_controls(&program);
        writeln!(text, "{pid:>8}  {up:>7}  {live:>7}  {program}").expect("writing to a String");
    }
    text
}

/// The processes that have a socket.
fn pids() -> Vec<u32> {
    let mut pids = Vec::new();
    for folder in socket::folders() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_suffix(".sock"));
            pids.extend(pid.and_then(|pid| pid.parse::<u32>().ok()));
        }
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Asks a process who it is; `None` if it doesn't answer.
fn process(pid: u32) -> Option<Process> {
    let mut connection = Connection::open(pid, PATIENCE).ok()?;
    let body = connection.ask("metrics json").ok()?;
    let metrics: Metrics = serde_json::from_str(&body).ok()?;
    Some(Process {
        pid,
        program: metrics.program,
        uptime_ms: metrics.uptime_ms,
        live: metrics.total.live,
    })
}
