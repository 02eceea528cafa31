//! The processes that this one has started and that are alive, and what becomes of them at
//! the end of the program.
//!
//! The list holds each from its start until somebody sees that it has ended: whoever joins it,
//! asks for the list, or starts another. One whose `Process` is dropped while it is alive gets
//! a thread that waits for it, with next to no stack, so that its end is taken even if nobody
//! ever looks again.
//!
//! At the end of a `main` under `#[ropewalk::main]`, those that are no daemons are waited for,
//! and then the daemons are ended.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ropewalk_kernel::runtime::OwnThread;

use super::ProcessHandle;

/// How long daemons have at the end, after SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
/// The stack of a thread that waits for a child.
const STACK_BYTES: usize = 64 * 1024;

inventory::submit! {
    ropewalk_rt::__private::EndHook(finish)
}

static CHILDREN: Mutex<Vec<ProcessHandle>> = Mutex::new(Vec::new());

fn children() -> MutexGuard<'static, Vec<ProcessHandle>> {
    let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
    children.retain(ProcessHandle::is_alive);
    children
}

/// All processes that this process has started as [`Process`](super::Process)es and that are
/// alive, in the order in which they were started.
pub fn active_children() -> Vec<ProcessHandle> {
    children().clone()
}

pub(super) fn add(child: ProcessHandle) {
    children().push(child);
}

/// Takes note that a process has lost its owner.
pub(super) fn let_go(child: &ProcessHandle) {
    if !children().iter().any(|known| known.is(child)) {
        return;
    }
    let child = child.clone();
    let thread = thread::Builder::new().name("ropewalk-child".to_owned());
    // If there is no thread to be had, its end is taken when somebody looks.
    let _ = thread.stack_size(STACK_BYTES).spawn(move || {
        let _counted = OwnThread::new();
        let _ = child.wait();
        drop(children());
    });
}

/// Waits for all that are no daemons, then ends the daemons. Says whether it waited for any.
fn finish() -> bool {
    let mut waited = false;
    while let Some(child) = active_children().into_iter().find(|one| !one.is_daemon()) {
        waited = true;
        if child.wait().is_err() {
            break;
        }
    }
    if waited {
        // Others may have been started meanwhile, here or by tasks that are still to be seen.
        return true;
    }
    let daemons = active_children();
    for daemon in &daemons {
        let _ = daemon.terminate();
    }
    let end = Instant::now() + GRACE;
    for daemon in &daemons {
        if daemon
            .wait_timeout(end.saturating_duration_since(Instant::now()))
            .is_err()
        {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
    false
}
